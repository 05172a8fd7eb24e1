//! What the chosen node of the net is, its filters, and what its channels make of the picture.

use egui::{Grid, Image, RichText, Sense, Ui, vec2};

use super::Pen;
use crate::gui::command::Command;
use crate::gui::host::{OpenNet, Pick, Sheet};
use crate::gui::textures::{Grain, Slot};
use crate::gui::widgets::{painted, section};
use crate::tasks::inspect::Layer;

pub fn net_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    let Some(net) = pen.state.net.clone() else {
        ui.label(RichText::new("No net is open").weak());
        return;
    };
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        ui.add(egui::Label::new(RichText::new(net.graph.name()).heading()).truncate());
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if ui.button("Open a net…").on_hover_text("Or drop its file anywhere").clicked() {
                pen.push(Command::Pick(Pick::Net));
            }
        });
    });
    summary_ui(ui, &net);
    let selected = pen.state.net_view.selected.filter(|&node| node < net.graph.nodes().len());
    match selected {
        None => {
            ui.separator();
            ui.label("Click a node of the drawing to see what it is and what it makes of the picture.");
        }
        Some(node) => node_ui(ui, pen, &net, node),
    }
    if let Some(filters) = &net.filters {
        let is_shown = selected.is_none_or(|node| net.graph.node(node).name == filters.layer);
        if is_shown {
            section(ui, &format!("Filters of {}", filters.layer));
            ui.label(RichText::new("What the first layer looks for, as pictures").small().weak());
            sheet_ui(ui, pen, &filters.sheet, &filters.layer, Sheets::Filters);
        }
    }
}

fn summary_ui(ui: &mut Ui, net: &OpenNet) {
    let totals = &net.inspection.totals;
    Grid::new("net").num_columns(2).spacing(vec2(12.0, 3.0)).show(ui, |ui| {
        let mut line = |name: &str, value: String| {
            ui.label(RichText::new(name).weak());
            ui.label(value);
            ui.end_row();
        };
        line("Takes", shape(&totals.input));
        line("Layers", totals.layers.to_string());
        line("Weights", with_unit(totals.params));
        line("Cost", format!("{} MACs a picture", with_unit(totals.macs)));
        line("Classes", totals.labels.to_string());
    });
    let provenance = net.graph.provenance();
    for text in [&provenance.source, &provenance.licence] {
        if !text.is_empty() {
            ui.add(egui::Label::new(RichText::new(text).small().weak()).wrap());
        }
    }
}

fn node_ui(ui: &mut Ui, pen: &mut Pen<'_>, net: &OpenNet, node: usize) {
    ui.separator();
    let name = &net.graph.node(node).name;
    ui.label(RichText::new(name).strong().size(15.0));
    // The input is no layer: layers begin behind it.
    if let Some(layer) = node.checked_sub(1).and_then(|i| net.inspection.layers.get(i)) {
        layer_ui(ui, layer);
    } else {
        ui.label(format!("The picture, as the net takes it: {}", shape(&net.inspection.totals.input)));
    }
    let has_maps = net.layers.iter().any(|layer| layer.name == *name && layer.has_maps);
    if !has_maps {
        ui.label(RichText::new("It has no maps to dream of").weak());
        return;
    }
    if ui.button("Dream with this layer").clicked() {
        pen.push(Command::DreamLayer(name.clone()));
        pen.push(Command::SetMode(crate::gui::state::Mode::Dream));
    }
    let looked = pen.state.sees.looked.clone().filter(|looked| looked.layer == *name);
    section(ui, "What it makes of the picture");
    picture_ui(ui, pen);
    match looked.and_then(|looked| looked.sheet) {
        Some(sheet) => {
            let hint = format!("{} channels, dark to light each; click one to dream with it", sheet.count);
            ui.label(RichText::new(hint).small().weak());
            sheet_ui(ui, pen, &sheet, name, Sheets::Maps);
        }
        None if pen.state.sees.asked.is_some() => {
            ui.spinner();
        }
        None => {
            ui.label(RichText::new("Open a photo to see its maps").weak());
        }
    }
}

/// The picture that the net looks at, small.
fn picture_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    const HEIGHT: f32 = 96.0;
    let Some(image) = pen.state.after().cloned() else { return };
    let size = vec2(image.width() as f32, image.height() as f32);
    let size = size * (HEIGHT / size.y.max(1.0)).min(ui.available_width() / size.x.max(1.0));
    let texture = pen.textures.slot(ui.ctx(), Slot::After, &image, Grain::Smooth);
    ui.add(Image::from_texture((texture, size)).corner_radius(3).alt_text("The picture"));
}

fn layer_ui(ui: &mut Ui, layer: &Layer) {
    Grid::new("node").num_columns(2).spacing(vec2(12.0, 3.0)).show(ui, |ui| {
        let mut line = |name: &str, value: String| {
            ui.label(RichText::new(name).weak());
            ui.label(value);
            ui.end_row();
        };
        line("Kind", layer.kind.to_string());
        line("Output", shape(&layer.output));
        line("Weights", with_unit(layer.params));
        line("Cost", format!("{} MACs", with_unit(layer.macs)));
        let pixels = |size: Option<[f64; 2]>| {
            size.map_or_else(|| "the whole picture".into(), |[height, width]| format!("{width:.0}×{height:.0} px"))
        };
        line("Sees", pixels(layer.receptive_field));
        if let Some([down, across]) = layer.stride {
            line("Stride", format!("{across:.0}×{down:.0} px"));
        }
    });
}

fn shape(dims: &[usize]) -> String {
    dims.iter().map(usize::to_string).collect::<Vec<_>>().join("×")
}

fn with_unit(number: u64) -> String {
    crate::base::text::with_unit(number)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sheets {
    Filters,
    Maps,
}

/// A sheet as wide as the panel; of maps, one can be clicked to dream with it.
fn sheet_ui(ui: &mut Ui, pen: &mut Pen<'_>, sheet: &Sheet, layer: &str, sheets: Sheets) {
    let [width, height] = sheet.image.size.map(|px| px as f32);
    let scale = (ui.available_width() / width.max(1.0)).min(2.0);
    let size = vec2(width, height) * scale;
    let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
    let grain = if scale >= 1.0 { Grain::Pixels } else { Grain::Smooth };
    let texture = pen.textures.of(ui.ctx(), &sheet.image, grain);
    Image::from_texture((texture, size)).paint_at(ui, rect);
    let name = match sheets {
        Sheets::Filters => format!("Filters of {layer}"),
        Sheets::Maps => format!("Maps of {layer}"),
    };
    let response = painted(ui, rect, ui.scope_id().with(&name), Sense::click(), &name);
    let Some(pos) = response.hover_pos() else { return };
    let at = (pos - rect.min) / scale;
    let Some(index) = sheet.index_at(at.x.max(0.0) as usize, at.y.max(0.0) as usize) else { return };
    if response.clicked() {
        pen.push(Command::DreamChannel { layer: layer.into(), channel: index });
        pen.push(Command::SetMode(crate::gui::state::Mode::Dream));
    }
    response.on_hover_text_at_pointer(format!("channel {index}: click to dream with it"));
}

//! The layer picker: a searchable tree of the net's layers, and the layers that are dreamt with.

use std::collections::BTreeMap;

use egui::{CollapsingHeader, DragValue, RichText, ScrollArea, TextEdit, Ui};

use super::Pen;
use crate::gui::command::Command;
use crate::gui::host::OpenNet;
use crate::gui::state::Form;
use crate::gui::widgets::{Label, row};
use crate::tasks::dream::{Channels, DreamSpec, LayerWeight};
use crate::tasks::look::LayerInfo;

const CHANNELS: Label = Label::new(
    "Channels",
    "Only these channels of the layer, such as 3,17-20: each knows its own motif; empty is all of them",
);

pub fn layers_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    let Some(net) = pen.state.net.clone() else { return };
    if pen.state.spec.class.is_none() {
        chosen_ui(ui, pen);
        channels_ui(ui, pen);
    }
    CollapsingHeader::new("Choose a layer").id_salt("layers").default_open(false).show(ui, |ui| {
        let mut query = pen.state.form.layer_query.clone();
        let field = TextEdit::singleline(&mut query).hint_text("Search layers").desired_width(f32::INFINITY);
        if ui.add(field).accessible_name("Search layers").changed() {
            pen.push(Command::SetForm(Form { layer_query: query.clone(), ..pen.state.form.clone() }));
        }
        ui.label(RichText::new("Ctrl-click adds a layer to those that are dreamt with").small().weak());
        ScrollArea::vertical().id_salt("layer tree").max_height(260.0).auto_shrink([false, true]).show(ui, |ui| {
            if query.trim().is_empty() {
                tree_ui(ui, pen, &net);
            } else {
                found_ui(ui, pen, &net, &query);
            }
        });
    });
}

/// The layers in use, with their weights.
fn chosen_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    let state = pen.state;
    let spec = &state.spec;
    if spec.layers.is_empty() {
        let names: Vec<&str> = pen.state.preset_layers.iter().map(|layer| layer.name.as_str()).collect();
        let text = format!("The preset's choice: {}", names.join(", "));
        ui.label(RichText::new(text).weak()).on_hover_text("Choose a layer below, or click the picture to find one");
        return;
    }
    for (i, layer) in spec.layers.iter().enumerate() {
        ui.horizontal(|ui| {
            ui.label(RichText::new(&layer.name).strong()).on_hover_text("This layer is made to respond");
            if spec.layers.len() > 1 {
                let mut weight = layer.weight;
                let value = DragValue::new(&mut weight).speed(0.02).range(-4.0..=4.0).max_decimals(2).prefix("× ");
                let value = value.clamp_existing_to_range(false);
                let response = ui.add(value).accessible_name(format!("Weight of {}", layer.name));
                if response.changed() && weight != 0.0 {
                    let mut layers = spec.layers.clone();
                    layers[i].weight = weight;
                    push_layers(pen, layers, "layer weight");
                }
                if response.on_hover_text("Its share of the dream; below 0 it is made to respond less").drag_stopped() {
                    pen.push(Command::Settle);
                }
            }
            let name = format!("Leave out {}", layer.name);
            if ui.small_button("✖").accessible_name(&name).on_hover_text(name).clicked() {
                let mut layers = spec.layers.clone();
                layers.remove(i);
                push_layers(pen, layers, "layer");
                pen.push(Command::Settle);
            }
        });
    }
}

fn push_layers(pen: &mut Pen<'_>, layers: Vec<LayerWeight>, control: &'static str) {
    let spec = DreamSpec { layers, class: None, ..pen.state.spec.clone() };
    pen.push(Command::Edit(Box::new(spec), control));
}

fn channels_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    let form = &pen.state.form;
    let is_all = pen.state.spec.channels.is_empty() && form.channels.is_empty();
    let ((text, is_changed, is_done), reset) = row(ui, CHANNELS, is_all, |ui| {
        let mut text = form.channels.clone();
        let width = ui.available_width() - 30.0;
        let field = TextEdit::singleline(&mut text).hint_text("all").desired_width(width);
        let response = ui.add(field).accessible_name(CHANNELS.name).on_hover_text(CHANNELS.hint);
        (text, response.changed(), response.lost_focus())
    });
    let text = if reset { String::new() } else { text };
    if !(is_changed || reset) {
        if is_done {
            pen.push(Command::Settle);
        }
        return;
    }
    let channels = if text.trim().is_empty() { Some(Channels::default()) } else { text.parse::<Channels>().ok() };
    if let Some(Channels(channels)) = channels {
        let spec = DreamSpec { channels, neuron: None, class: None, ..pen.state.spec.clone() };
        pen.push(Command::Edit(Box::new(spec), CHANNELS.name));
    }
    // What is typed stays as it is typed, also where it is not a list yet.
    pen.push(Command::SetForm(Form { channels: text, ..pen.state.form.clone() }));
}

/// Layers by group, in the net's order.
#[derive(Default)]
struct Branch<'a> {
    /// Groups and layers under the place of their first layer.
    groups: BTreeMap<usize, (String, Branch<'a>)>,
    layers: Vec<(usize, &'a LayerInfo)>,
}

impl<'a> Branch<'a> {
    fn of(layers: &'a [LayerInfo]) -> Self {
        let mut root = Self::default();
        for (place, layer) in layers.iter().enumerate().filter(|(_, layer)| layer.has_maps) {
            let mut branch = &mut root;
            for name in &layer.group {
                let known = branch.groups.iter().find(|(_, (known, _))| known == name).map(|(&place, _)| place);
                let at = known.unwrap_or(place);
                branch = &mut branch.groups.entry(at).or_insert_with(|| (name.clone(), Branch::default())).1;
            }
            branch.layers.push((place, layer));
        }
        root
    }

    fn ui(&self, ui: &mut Ui, pen: &mut Pen<'_>) {
        let mut layers = self.layers.iter().peekable();
        for (&place, (name, branch)) in &self.groups {
            while let Some((_, layer)) = layers.next_if(|(at, _)| *at < place) {
                layer_ui(ui, pen, layer);
            }
            CollapsingHeader::new(name).id_salt((place, name)).show(ui, |ui| branch.ui(ui, pen));
        }
        layers.for_each(|(_, layer)| layer_ui(ui, pen, layer));
    }
}

fn tree_ui(ui: &mut Ui, pen: &mut Pen<'_>, net: &OpenNet) {
    Branch::of(&net.layers).ui(ui, pen);
}

fn found_ui(ui: &mut Ui, pen: &mut Pen<'_>, net: &OpenNet, query: &str) {
    let words: Vec<String> = query.to_lowercase().split_whitespace().map(String::from).collect();
    let is_found = |layer: &&LayerInfo| {
        let text = format!("{} {}", layer.name, layer.kind).to_lowercase();
        layer.has_maps && words.iter().all(|word| text.contains(word))
    };
    let found: Vec<&LayerInfo> = net.layers.iter().filter(is_found).collect();
    if found.is_empty() {
        ui.label(RichText::new("No layer with maps is called so").weak());
    }
    found.into_iter().for_each(|layer| layer_ui(ui, pen, layer));
}

fn layer_ui(ui: &mut Ui, pen: &mut Pen<'_>, layer: &LayerInfo) {
    let spec = &pen.state.spec;
    let chosen = spec.layers.iter().position(|chosen| chosen.name == layer.name);
    let shape = layer.output.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
    let hint = format!("{} with {} channels; its output is {shape}", layer.kind, layer.output[0]);
    let button = egui::Button::selectable(chosen.is_some(), layer.name.as_str())
        .right_text(RichText::new(shape).small().weak())
        .min_size(egui::vec2(ui.available_width(), 0.0));
    let response = ui.add(button).accessible_name(format!("Layer {}", layer.name)).on_hover_text(hint);
    if !response.clicked() {
        return;
    }
    let adds = ui.input(|input| input.modifiers.command);
    match (adds, chosen) {
        (false, _) => pen.push(Command::DreamLayer(layer.name.clone())),
        (true, Some(i)) => {
            let mut layers = spec.layers.clone();
            layers.remove(i);
            push_layers(pen, layers, "layer");
        }
        (true, None) => {
            let mut layers = spec.layers.clone();
            layers.push(LayerWeight { name: layer.name.clone(), weight: 1.0 });
            push_layers(pen, layers, "layer");
        }
    }
}

//! "What does it see?": the classes of the picture, and the channels that fire most at a place of it.

use egui::{ComboBox, Image, RichText, Sense, Ui, vec2};

use super::Pen;
use super::presets::elided;
use crate::gui::command::Command;
use crate::gui::host::Looked;
use crate::gui::textures::Grain;
use crate::gui::theme;
use crate::gui::update::look_layer;
use crate::gui::widgets::painted;
use crate::tasks::classify::ClassScore;
use crate::tasks::look::Firing;

pub fn sees_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    let sees = &pen.state.sees;
    let Some(looked) = sees.looked.clone() else {
        if sees.asked.is_some() {
            ui.spinner();
            return;
        }
        ui.label("Click the picture: the channels that fire there are listed here, and what the net takes the whole picture for.");
        ui.add_space(4.0);
        let can = pen.state.seen().is_some() && pen.state.net.is_some();
        if ui.add_enabled(can, egui::Button::new("Look at the whole picture")).clicked() {
            pen.push(Command::LookAt(None));
        }
        return;
    };
    classes_ui(ui, pen, &looked);
    ui.separator();
    channels_ui(ui, pen, &looked);
}

fn classes_ui(ui: &mut Ui, pen: &mut Pen<'_>, looked: &Looked) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("The whole picture").strong());
        if pen.state.sees.asked.is_some() {
            ui.add(egui::Spinner::new().size(12.0));
        }
    });
    let classes = match &looked.classes {
        Ok(classes) => classes,
        Err(sentence) => {
            ui.label(RichText::new(sentence).weak());
            return;
        }
    };
    for class in classes {
        class_ui(ui, pen, class);
    }
}

/// A class with a bar as long as it is likely.
fn class_ui(ui: &mut Ui, pen: &mut Pen<'_>, class: &ClassScore) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 20.0), Sense::hover());
    let name = format!("Dream of {}", class.label);
    let response = painted(ui, rect, ui.scope_id().with(("class", class.index)), Sense::click(), &name);
    let is_pointed_at = response.hovered() || response.has_focus();
    let visuals = ui.visuals();
    let ground = if is_pointed_at { visuals.widgets.hovered.weak_bg_fill } else { visuals.faint_bg_color };
    let painter = ui.painter();
    painter.rect_filled(rect, 3, ground);
    let mut bar = rect;
    bar.set_width(rect.width() * class.probability.clamp(0.0, 1.0) as f32);
    painter.rect_filled(bar, 3, theme::accent(visuals).gamma_multiply(0.45));
    let (font, color) = (egui::FontId::proportional(12.5), visuals.text_color());
    let left = rect.left_center() + vec2(6.0, 0.0);
    painter.text(left, egui::Align2::LEFT_CENTER, elided(&class.label, 26), font.clone(), color);
    let percent = format!("{:.0} %", class.probability * 100.0);
    painter.text(rect.right_center() - vec2(6.0, 0.0), egui::Align2::RIGHT_CENTER, percent, font, color);
    if response.on_hover_text(format!("Click to dream of {}", class.label)).clicked() {
        pen.push(Command::DreamClass(class.index));
    }
}

fn channels_ui(ui: &mut Ui, pen: &mut Pen<'_>, looked: &Looked) {
    let place = if looked.at.is_some() { "At the marked place" } else { "Strongest channels" };
    ui.label(RichText::new(place).strong());
    layer_choice_ui(ui, pen);
    if looked.firings.is_empty() {
        ui.label(RichText::new("No channel of this layer fires here").weak());
        return;
    }
    ui.label(RichText::new("Click one to dream with it").small().weak());
    for (firing, map) in looked.firings.iter().zip(&looked.maps) {
        firing_ui(ui, pen, looked, firing, map);
    }
}

/// The layer that is looked through.
fn layer_choice_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    let Some(net) = pen.state.net.clone() else { return };
    let now = look_layer(pen.state);
    let text = now.clone().unwrap_or_default();
    ui.horizontal(|ui| {
        ui.label("Layer");
        let combo = ComboBox::from_id_salt("look layer").selected_text(elided(&text, 22)).width(ui.available_width());
        let response = combo.show_ui(ui, |ui| {
            for layer in net.layers.iter().filter(|layer| layer.has_maps) {
                let shape = layer.output.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
                let is_on = now.as_ref() == Some(&layer.name);
                if ui.selectable_label(is_on, format!("{}  {shape}", layer.name)).clicked() {
                    pen.push(Command::SetLookLayer(Some(layer.name.clone())));
                }
            }
        });
        response.response.accessible_name("Layer to look through");
    });
}

fn firing_ui(ui: &mut Ui, pen: &mut Pen<'_>, looked: &Looked, firing: &Firing, map: &crate::gui::host::Image) {
    let height = 40.0;
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    let name = format!("Dream with channel {} of {}", firing.channel, looked.layer);
    let response = painted(ui, rect, ui.scope_id().with(("firing", firing.channel)), Sense::click(), &name);
    let is_on = pen.state.spec.channels == [firing.channel]
        && pen.state.spec.layers.iter().any(|layer| layer.name == looked.layer);
    let fill = match (is_on, response.hovered() || response.has_focus()) {
        (true, _) => ui.visuals().selection.bg_fill,
        (false, true) => ui.visuals().widgets.hovered.weak_bg_fill,
        (false, false) => ui.visuals().faint_bg_color,
    };
    ui.painter().rect_filled(rect, 4, fill);
    let aspect = map.width() as f32 / map.height().max(1) as f32;
    let size = vec2((height - 6.0) * aspect.clamp(0.4, 2.0), height - 6.0);
    let picture = egui::Rect::from_min_size(rect.min + vec2(3.0, 3.0), size);
    let texture = pen.textures.of(ui.ctx(), map, Grain::Pixels);
    Image::from_texture((texture, size)).corner_radius(2).paint_at(ui, picture);
    let text_at = egui::pos2(picture.max.x + 8.0, rect.min.y + 4.0);
    let color = ui.visuals().text_color();
    let painter = ui.painter();
    let title = format!("channel {}", firing.channel);
    painter.text(text_at, egui::Align2::LEFT_TOP, title, egui::FontId::proportional(13.0), color);
    let detail = format!("{:.2}, {:.1} times its mean", firing.value, firing.over_mean);
    let weak = ui.visuals().weak_text_color();
    painter.text(text_at + vec2(0.0, 17.0), egui::Align2::LEFT_TOP, detail, egui::FontId::proportional(11.0), weak);
    if response.on_hover_text(name).clicked() {
        pen.push(Command::DreamChannel { layer: looked.layer.clone(), channel: firing.channel });
    }
}

//! The presets: those that come with the program and the user's own, each with a small picture.

use egui::{
    Align2, Button, Color32, CornerRadius, FontId, Image, Rect, Response, RichText, Sense, Stroke, StrokeKind, Ui,
    Vec2, vec2,
};

use super::Pen;
use crate::gui::command::Command;
use crate::gui::host::Image as Picture;
use crate::gui::state::Dialog;
use crate::gui::textures::Grain;
use crate::gui::theme;
use crate::gui::widgets::painted;
use crate::tasks::dream::DreamSpec;

/// The smallest card; cards are widened until they fill the row.
const CARD: Vec2 = vec2(68.0, 64.0);
const NAME_HEIGHT: f32 = 16.0;

pub fn presets_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        ui.label(RichText::new("Presets").strong());
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let hint = "Keep the present settings under a name";
            if ui.add(Button::new("Save as preset…").small()).on_hover_text(hint).clicked() {
                pen.push(Command::Open(Dialog::SavePreset(String::new())));
            }
        });
    });
    let bundled = pen.state.bundled.clone();
    let own = pen.state.presets.clone();
    let gap = 6.0;
    let width = ui.available_width();
    let columns = ((width + gap) / (CARD.x + gap)).floor().max(1.0);
    let size = vec2(((width - gap * (columns - 1.0)) / columns).floor(), CARD.y);
    ui.scope(|ui| {
        ui.spacing_mut().item_spacing = Vec2::splat(gap);
        ui.horizontal_wrapped(|ui| {
            for preset in &bundled {
                let card =
                    Card { name: &preset.name, hint: &preset.summary, spec: &preset.spec, picture: &preset.picture };
                card_ui(ui, pen, &card, size);
            }
            for preset in &own {
                let card = Card { name: &preset.name, hint: "Your own", spec: &preset.spec, picture: &preset.picture };
                let response = card_ui(ui, pen, &card, size);
                own_menu(&response, pen, &preset.name);
            }
        });
    });
    if !own.is_empty() {
        ui.label(RichText::new("Right-click one of your own to rename or delete it").small().weak());
    }
}

struct Card<'a> {
    name: &'a str,
    hint: &'a str,
    spec: &'a DreamSpec,
    picture: &'a Option<Picture>,
}

fn card_ui(ui: &mut Ui, pen: &mut Pen<'_>, card: &Card<'_>, size: Vec2) -> Response {
    let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
    let id = ui.scope_id().with(("preset", card.name));
    let response = painted(ui, rect, id, Sense::click(), &format!("Preset {}", card.name));
    let is_on = is_in_use(card.spec, &pen.state.spec);
    let picture = Rect::from_min_max(rect.min, rect.max - vec2(0.0, NAME_HEIGHT));
    let radius = CornerRadius::same(4);
    ui.painter().rect_filled(picture, radius, ui.visuals().extreme_bg_color);
    if let Some(image) = card.picture {
        let texture = pen.textures.of(ui.ctx(), image, Grain::Smooth);
        let uv = cover_uv(vec2(image.width() as f32, image.height() as f32), picture.size());
        Image::from_texture((texture, picture.size())).uv(uv).corner_radius(radius).paint_at(ui, picture);
    }
    let color = if is_on { theme::accent(ui.visuals()) } else { ui.visuals().text_color() };
    let stroke = match (is_on, response.hovered() || response.has_focus()) {
        (true, _) => Stroke::new(2.0, color),
        (false, true) => Stroke::new(1.0, ui.visuals().strong_text_color()),
        (false, false) => Stroke::new(1.0, Color32::TRANSPARENT),
    };
    ui.painter().rect_stroke(picture, radius, stroke, StrokeKind::Inside);
    let name = ui.painter().layout_no_wrap(elided(card.name, 13), FontId::proportional(11.0), color);
    let at = Align2::CENTER_BOTTOM.anchor_size(rect.center_bottom(), name.size()).min;
    ui.painter().galley(at, name, color);
    if response.clicked() {
        pen.push(Command::ApplyPreset(Box::new(card.spec.clone())));
    }
    response.on_hover_text(card.hint)
}

fn own_menu(response: &Response, pen: &mut Pen<'_>, name: &str) {
    response.context_menu(|ui| {
        if ui.button("Rename…").clicked() {
            pen.push(Command::Open(Dialog::RenamePreset { old: name.into(), new: name.into() }));
            ui.close();
        }
        if ui.button("Delete…").clicked() {
            pen.push(Command::Open(Dialog::DeletePreset(name.into())));
            ui.close();
        }
    });
}

/// Whether the settings are the preset's, but for what belongs to the photo.
fn is_in_use(preset: &DreamSpec, now: &DreamSpec) -> bool {
    let dressed = now.with_look(preset);
    dressed == DreamSpec { net: dressed.net.clone(), ..now.clone() }
}

/// The middle part of an image that covers `space` without being stretched.
pub fn cover_uv(image: Vec2, space: Vec2) -> Rect {
    let scale = (space.x / image.x.max(1.0)).max(space.y / image.y.max(1.0)).max(f32::MIN_POSITIVE);
    let shown = vec2(space.x / (image.x * scale).max(1.0), space.y / (image.y * scale).max(1.0)).min(Vec2::splat(1.0));
    Rect::from_center_size(egui::pos2(0.5, 0.5), shown)
}

/// `text`, shortened to about so many characters.
pub fn elided(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

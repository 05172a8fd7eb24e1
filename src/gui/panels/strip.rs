//! The film strip: the kept steps of the dream to go back through, and the other dreams of this session.

use egui::{
    Align2, Color32, FontId, Image, Key, Rect, RichText, ScrollArea, Sense, Stroke, StrokeKind, Ui, UiBuilder, pos2,
    vec2,
};

use super::Pen;
use super::presets::cover_uv;
use crate::gui::command::Command;
use crate::gui::state::{Phase, Take};
use crate::gui::textures::Grain;
use crate::gui::theme;
use crate::gui::widgets::painted;

const HEIGHT: f32 = 62.0;
/// The widest that one thumbnail of the strip is drawn.
const FRAME_WIDTH: f32 = 92.0;
const TAKE_WIDTH: f32 = 84.0;
/// The most room that the other dreams take.
const TAKES_SHARE: f32 = 0.34;

pub fn strip_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    ui.horizontal(|ui| {
        ui.set_min_height(HEIGHT + 6.0);
        let width = ui.available_width();
        let takes = pen.state.takes.len() as f32 * (TAKE_WIDTH + 6.0);
        let takes_width = if pen.state.takes.len() > 1 { takes.min(width * TAKES_SHARE) } else { 0.0 };
        steps_ui(ui, pen, width - takes_width - 8.0);
        if takes_width > 0.0 {
            let (rect, _) = ui.allocate_exact_size(vec2(takes_width, HEIGHT), Sense::hover());
            ui.scope_builder(UiBuilder::new().max_rect(rect), |ui| takes_ui(ui, pen));
        }
    });
    ui.add_space(2.0);
}

/// All kept steps as one strip; where it is pressed or dragged, that step is shown.
fn steps_ui(ui: &mut Ui, pen: &mut Pen<'_>, width: f32) {
    let (rect, _) = ui.allocate_exact_size(vec2(width.max(60.0), HEIGHT), Sense::hover());
    let radius = egui::CornerRadius::same(4);
    ui.painter().rect_filled(rect, radius, ui.visuals().extreme_bg_color);
    let state = pen.state;
    let Some(take) = state.take().filter(|take| !take.steps.is_empty()) else {
        let color = ui.visuals().weak_text_color();
        let text = "The steps of the dream gather here, to go back to and branch off from";
        ui.painter().text(rect.center(), Align2::CENTER_CENTER, text, FontId::proportional(12.5), color);
        return;
    };
    let response = painted(ui, rect, ui.scope_id().with("steps"), Sense::click_and_drag(), "Steps of the dream");
    let count = take.steps.len();
    let cells = ((rect.width() / FRAME_WIDTH).ceil() as usize).clamp(1, count.max(1));
    let cell_width = rect.width() / cells as f32;
    for cell in 0..cells {
        let step = &take.steps[(cell * count + count / 2) / cells];
        let left = rect.min.x + cell as f32 * cell_width;
        let place = Rect::from_min_size(pos2(left, rect.min.y), vec2(cell_width, HEIGHT)).shrink(1.0);
        let image = &step.thumbnail;
        let texture = pen.textures.of(ui.ctx(), image, Grain::Smooth);
        let uv = cover_uv(vec2(image.width() as f32, image.height() as f32), place.size());
        Image::from_texture((texture, place.size())).uv(uv).corner_radius(3).paint_at(ui, place);
    }
    let index_at = |x: f32| {
        let share = ((x - rect.min.x) / rect.width()).clamp(0.0, 1.0);
        ((share * count as f32) as usize).min(count - 1)
    };
    marker(ui, rect, state.shown_step().unwrap_or(count - 1), count, state.scrub.is_some());
    if let Some(pos) = response.hover_pos().filter(|_| !response.dragged()) {
        let frame = &take.steps[index_at(pos.x)].frame;
        let text = format!("step {}, octave {} of {}", frame.done, frame.octave, frame.octaves);
        response.clone().on_hover_text_at_pointer(text);
    }
    let pressed = response.clicked() || response.dragged();
    if let Some(pos) = response.interact_pointer_pos().filter(|_| pressed) {
        let index = index_at(pos.x);
        if state.scrub.as_ref().map(|scrub| scrub.index) != Some(index) {
            pen.push(Command::ShowStep(index));
        }
    }
    if response.has_focus() {
        ui.input(|input| {
            for (key, by) in [(Key::ArrowLeft, -1), (Key::ArrowRight, 1)] {
                if input.key_pressed(key) {
                    pen.commands.push(Command::StepBy(by));
                }
            }
        });
    }
}

/// Shows where in the strip the picture on the canvas stands.
fn marker(ui: &Ui, rect: Rect, index: usize, count: usize, is_scrubbed: bool) {
    let x = rect.min.x + rect.width() * (index as f32 + 0.5) / count as f32;
    let x = x.clamp(rect.min.x + 2.0, rect.max.x - 2.0);
    let color = if is_scrubbed { theme::accent(ui.visuals()) } else { Color32::WHITE };
    let painter = ui.painter_at(rect.expand(3.0));
    painter.vline(x, rect.y_range(), Stroke::new(5.0, Color32::from_black_alpha(140)));
    painter.vline(x, rect.y_range(), Stroke::new(2.5, color));
    if is_scrubbed {
        let rest = Rect::from_min_max(pos2(x + 2.0, rect.min.y), rect.max);
        painter.rect_filled(rest, 0, Color32::from_black_alpha(120));
    }
}

/// The dreams of this session.
fn takes_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    ScrollArea::horizontal().id_salt("takes").auto_shrink(false).stick_to_right(true).show(ui, |ui| {
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            let state = pen.state;
            for (i, take) in state.takes.iter().enumerate() {
                take_ui(ui, pen, take, i, state.current == Some(i));
            }
        });
    });
}

fn take_ui(ui: &mut Ui, pen: &mut Pen<'_>, take: &Take, number: usize, is_current: bool) {
    let (rect, _) = ui.allocate_exact_size(vec2(TAKE_WIDTH, HEIGHT), Sense::hover());
    let name = format!("Dream {} of {}", number + 1, take.title());
    let response = painted(ui, rect, ui.scope_id().with(("take", take.job)), Sense::click(), &name);
    ui.painter().rect_filled(rect, 4, ui.visuals().extreme_bg_color);
    let newest = take.steps.last().map(|step| &step.thumbnail);
    if let Some(image) = newest.or(take.photo().map(|photo| &photo.thumbnail)) {
        let texture = pen.textures.of(ui.ctx(), image, Grain::Smooth);
        let uv = cover_uv(vec2(image.width() as f32, image.height() as f32), rect.size());
        Image::from_texture((texture, rect.size())).uv(uv).corner_radius(4).paint_at(ui, rect);
    }
    let color = if is_current { theme::accent(ui.visuals()) } else { Color32::TRANSPARENT };
    ui.painter().rect_stroke(rect, 4, Stroke::new(2.0, color), StrokeKind::Inside);
    let sign = match &take.phase {
        Phase::Starting | Phase::Running => Some("▶"),
        Phase::Paused => Some("⏸"),
        Phase::Failed(_) => Some("⚠"),
        Phase::Ended => take.saved.as_ref().map(|_| "💾"),
    };
    if let Some(sign) = sign {
        let at = rect.left_bottom() + vec2(5.0, -4.0);
        let painter = ui.painter();
        painter.circle_filled(at + vec2(7.0, -8.0), 10.0, Color32::from_black_alpha(150));
        painter.text(at, Align2::LEFT_BOTTOM, sign, FontId::proportional(12.0), Color32::WHITE);
    }
    if response.clicked() {
        pen.push(Command::ShowTake(take.job));
    }
    response.context_menu(|ui| {
        if ui.button("Take out of the strip").clicked() {
            pen.push(Command::CloseTake(take.job));
            ui.close();
        }
        if take.is_unsaved() {
            ui.label(RichText::new("It is in no file yet").small().weak());
        }
    });
    response.on_hover_text(name);
}

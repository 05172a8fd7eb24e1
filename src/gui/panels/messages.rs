//! Sentences to the user, and the times of frames.

use egui::{Align2, Area, Color32, Context, Frame, Order, RichText, Stroke, Ui, vec2};

use super::Pen;
use crate::gui::command::Command;
use crate::gui::state::Tone;

const WIDTH: f32 = 420.0;

pub fn messages_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    if pen.state.messages.is_empty() {
        return;
    }
    let space = ui.max_rect();
    let area = Area::new(ui.scope_id().with("messages")).order(Order::Foreground).pivot(Align2::CENTER_BOTTOM);
    area.fixed_pos(space.center_bottom() - vec2(0.0, 14.0)).show(ui.ctx(), |ui| {
        ui.set_max_width(WIDTH.min(space.width() - 24.0));
        for message in &pen.state.messages {
            let (sign, color) = match message.tone {
                Tone::Info => ("ℹ", ui.visuals().hyperlink_color),
                Tone::Warning => ("⚠", ui.visuals().warn_fg_color),
                Tone::Error => ("⚠", ui.visuals().error_fg_color),
            };
            let frame = Frame::popup(ui.style()).stroke(Stroke::new(1.0, color)).inner_margin(8);
            frame.show(ui, |ui| {
                ui.horizontal_top(|ui| {
                    ui.label(RichText::new(sign).color(color));
                    ui.with_layout(egui::Layout::right_to_left(egui::Align::Min), |ui| {
                        let close = ui.small_button("✖").accessible_name("Close the message");
                        if close.clicked() {
                            pen.commands.push(Command::CloseMessage(message.id));
                        }
                        ui.with_layout(egui::Layout::left_to_right(egui::Align::Min), |ui| {
                            ui.add(egui::Label::new(&message.text).wrap());
                        });
                    });
                });
            });
        }
    });
}

/// What the last frames cost, for those who measure.
pub fn frame_times_ui(ctx: &Context, last_ms: f32, median_ms: f32, worst_ms: f32) {
    let area = Area::new(egui::Id::unique("frame times")).order(Order::Tooltip).interactable(false);
    area.anchor(Align2::RIGHT_TOP, vec2(-12.0, 76.0)).show(ctx, |ui| {
        Frame::new().fill(Color32::from_black_alpha(200)).inner_margin(8).corner_radius(4).show(ui, |ui| {
            let text = format!("frame {last_ms:.1} ms\nmedian {median_ms:.1} ms\nworst of 240: {worst_ms:.1} ms");
            ui.label(RichText::new(text).monospace().color(Color32::WHITE));
        });
    });
}

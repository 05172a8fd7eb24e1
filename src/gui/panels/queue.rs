//! The queue of photos that are dreamt one after the other.

use egui::{ProgressBar, RichText, Ui};

use super::Pen;
use crate::base::text::duration;
use crate::gui::command::Command;
use crate::gui::host::Pick;
use crate::gui::state::{BatchItem, BatchPhase};
use crate::gui::theme;

pub fn queue_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    if pen.state.batch.is_empty() {
        ui.label("Drop several photos, or a folder: they are dreamt one after the other with the present settings.");
        ui.add_space(4.0);
        if ui.button("Open a folder…").clicked() {
            pen.push(Command::Pick(Pick::Folder));
        }
        return;
    }
    ui.horizontal_wrapped(|ui| {
        let (text, pause) = if pen.state.batch_is_paused { ("▶ Resume", false) } else { ("⏸ Pause", true) };
        if ui.button(text).on_hover_text("Hold the queue, or go on").clicked() {
            pen.push(Command::PauseBatch(pause));
        }
        let has_finished = pen.state.batch.iter().any(|item| item.phase.is_over());
        if ui.add_enabled(has_finished, egui::Button::new("Clear finished")).clicked() {
            pen.push(Command::ClearBatch);
        }
    });
    let done = pen.state.batch.iter().filter(|item| item.phase.is_over()).count();
    let text = format!("{done} of {} done{}", pen.state.batch.len(), time_left(&pen.state.batch));
    ui.label(RichText::new(text).weak());
    ui.separator();
    let state = pen.state;
    for item in &state.batch {
        item_ui(ui, pen, item);
    }
}

/// How long the photos that wait will take, after those that are done.
fn time_left(batch: &[BatchItem]) -> String {
    let running = batch.iter().find(|item| item.phase == BatchPhase::Running);
    let Some(progress) = running.and_then(|item| item.progress.as_ref()) else { return String::new() };
    let whole = progress.left_s.map(|left| left + progress.elapsed_s);
    let waiting = batch.iter().filter(|item| item.phase == BatchPhase::Waiting).count() as f64;
    let left = progress.left_s.zip(whole).map(|(left, whole)| left + whole * waiting);
    left.map(|left| format!(", about {} left", duration(left))).unwrap_or_default()
}

fn item_ui(ui: &mut Ui, pen: &mut Pen<'_>, item: &BatchItem) {
    let name = item.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    ui.push_id(item.job, |ui| {
        ui.horizontal(|ui| {
            let (sign, hint) = match &item.phase {
                BatchPhase::Waiting => ("○", "waits".to_string()),
                BatchPhase::Running => ("▶", "is dreamt".into()),
                BatchPhase::Paused => ("⏸", "is held".into()),
                BatchPhase::Done(path) => ("✔", format!("saved as {}", path.display())),
                BatchPhase::Failed(sentence) => ("⚠", sentence.clone()),
                BatchPhase::Cancelled => ("✖", "was taken out".into()),
            };
            ui.label(sign).on_hover_text(&hint);
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                buttons_ui(ui, pen, item, &name);
                ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                    ui.add(egui::Label::new(&name).truncate()).on_hover_text(hint);
                });
            });
        });
        if let (BatchPhase::Running | BatchPhase::Paused, Some(progress)) = (&item.phase, &item.progress) {
            let fill = theme::accent(ui.visuals());
            let bar = ProgressBar::new(progress.position.work_done as f32).desired_height(5.0).fill(fill);
            ui.add(bar).accessible_name(format!("Progress of {name}"));
        }
        if let BatchPhase::Failed(sentence) = &item.phase {
            ui.label(RichText::new(sentence).small().color(ui.visuals().error_fg_color));
        }
    });
}

fn buttons_ui(ui: &mut Ui, pen: &mut Pen<'_>, item: &BatchItem, name: &str) {
    let mut small = |ui: &mut Ui, sign: &str, what: String, command: Command| {
        let button = egui::Button::new(sign).small().frame(false);
        if ui.add(button).accessible_name(&what).on_hover_text(what).clicked() {
            pen.push(command);
        }
    };
    match item.phase {
        BatchPhase::Waiting => {
            small(ui, "✖", format!("Take {name} out"), Command::CancelBatch(item.job));
            small(ui, "⏷", format!("{name} later"), Command::MoveBatch(item.job, 1));
            small(ui, "⏶", format!("{name} earlier"), Command::MoveBatch(item.job, -1));
        }
        BatchPhase::Running | BatchPhase::Paused => {
            small(ui, "✖", format!("Cancel {name}"), Command::CancelBatch(item.job));
        }
        BatchPhase::Done(_) => {
            if let BatchPhase::Done(path) = &item.phase {
                small(ui, "👁", format!("Show the dream of {name}"), Command::OpenFiles(vec![path.clone()]));
            }
        }
        BatchPhase::Failed(_) | BatchPhase::Cancelled => {}
    }
}

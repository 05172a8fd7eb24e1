//! Start, pause, stop, save; and how far the dream is.

use egui::{Align, Layout, ProgressBar, RichText, Ui};

use super::Pen;
use crate::base::text::duration;
use crate::gui::command::Command;
use crate::gui::state::{AppState, Phase, Take};
use crate::gui::theme;
use crate::gui::widgets::{primary_button, sign_button};

pub fn transport_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        let state = pen.state;
        let (text, hint) = main_action(state);
        let can = state.photo.is_some() || state.spec.from_noise.is_some() || state.take().is_some();
        if primary_button(ui, text, can).on_hover_text(hint).clicked() {
            pen.push(Command::Toggle);
        }
        let is_alive = state.live_take().is_some();
        if sign_button(ui, "⏹", "Stop the dream; what is there stays (Esc)", is_alive).clicked() {
            pen.push(Command::Stop);
        }
        if sign_button(ui, "⟲", "Start over from the photo (R)", can).clicked() {
            pen.push(Command::StartOver);
        }
        if sign_button(ui, "💾", "Save (Ctrl+S)", state.shown_step().is_some()).clicked() {
            pen.push(Command::Save);
        }
        ui.add_space(4.0);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            export_ui(ui, pen);
            status_ui(ui, pen.state);
        });
    });
    ui.add_space(4.0);
}

/// What space does next, and why.
fn main_action(state: &AppState) -> (&'static str, &'static str) {
    match state.take().map(|take| &take.phase) {
        Some(Phase::Starting | Phase::Running) => ("⏸  Pause", "Hold the dream (space)"),
        Some(Phase::Paused) if state.scrub.is_none() => ("▶  Resume", "Dream on (space)"),
        Some(_) if state.scrub.is_some() => {
            ("▶  Go on here", "A new dream from the step that is shown, with the present settings (space)")
        }
        Some(_) if state.shown_step().is_some() => {
            ("▶  Deeper", "Dream on from here with the present settings (space)")
        }
        _ => ("▶  Dream", "Dream the photo (space)"),
    }
}

fn status_ui(ui: &mut Ui, state: &AppState) {
    let Some(take) = state.take() else {
        let text = match (&state.net, &state.photo) {
            (None, _) => "The net is being opened …",
            (Some(_), None) => "Drop a picture to begin",
            (Some(_), Some(_)) => "Ready",
        };
        ui.label(RichText::new(text).weak());
        return;
    };
    if let (Phase::Starting, None) = (&take.phase, &take.progress) {
        ui.label(RichText::new("Getting ready …").weak());
        ui.spinner();
        return;
    }
    if let Phase::Failed(sentence) = &take.phase {
        ui.colored_label(ui.visuals().error_fg_color, sentence.as_str());
        return;
    }
    let text = status_text(take, state);
    let share = take.progress.as_ref().map_or(1.0, |progress| progress.position.work_done as f32);
    ui.label(RichText::new(text).monospace().size(12.0));
    let width = ui.available_width().clamp(40.0, 420.0);
    let fill = theme::accent(ui.visuals());
    let bar = ProgressBar::new(share).desired_width(width).desired_height(8.0).fill(fill);
    ui.add(bar).accessible_name("Progress of the dream");
}

fn status_text(take: &Take, state: &AppState) -> String {
    let Some(progress) = &take.progress else {
        return take.steps.last().map_or_else(String::new, |step| format!("{} steps", step.frame.done));
    };
    let position = &progress.position;
    if let Some(scrub) = &state.scrub
        && let Some(step) = take.steps.get(scrub.index)
    {
        return format!("showing step {} of {}", step.frame.done, position.done);
    }
    let at = format!("octave {}/{}  step {}/{}", position.stage, position.stages, position.step, position.steps);
    match &take.phase {
        Phase::Running => {
            let speed = progress.steps_per_second.map(|speed| format!("  {speed:.1}/s")).unwrap_or_default();
            let left = progress.left_s.map(|left| format!("  {} left", duration(left))).unwrap_or_default();
            format!("{at}{speed}{left}")
        }
        Phase::Paused => format!("{at}  paused"),
        _ if position.done >= position.total => {
            format!("{} steps in {}", position.done, duration(progress.elapsed_s))
        }
        _ => format!("stopped after {} of {} steps", position.done, position.total),
    }
}

fn export_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    let Some(export) = pen.state.export else { return };
    if ui.small_button("✖").accessible_name("Stop the export").on_hover_text("Stop the export").clicked() {
        pen.push(Command::CancelExport);
    }
    ui.label(RichText::new(format!("exporting {} of {}", export.done, export.count)).small());
    ui.separator();
}

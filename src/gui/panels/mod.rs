//! What is drawn where. Panels read the state, draw it, and push what the user did; they change nothing themselves.

mod canvas;
mod class;
mod dialogs;
mod dream;
mod layers;
mod menu;
mod messages;
mod net;
mod net_graph;
mod nets;
mod presets;
mod queue;
mod sees;
mod strip;
#[cfg(test)]
mod tests;
mod transport;

use egui::{CentralPanel, Frame, Margin, Panel, ScrollArea, Ui};

use crate::gui::command::Command;
use crate::gui::state::{AppState, Mode, Side};
use crate::gui::textures::Textures;
use crate::gui::theme;

pub use messages::frame_times_ui;

/// What the user did in this frame.
pub type Commands = Vec<Command>;

/// What every panel gets.
pub struct Pen<'a> {
    pub state: &'a AppState,
    pub textures: &'a mut Textures,
    pub commands: &'a mut Commands,
}

impl Pen<'_> {
    pub fn push(&mut self, command: Command) {
        self.commands.push(command);
    }
}

/// Draws the whole window.
pub fn window_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    Panel::top("menu").show(ui, |ui| menu::menu_ui(ui, pen));
    if pen.state.mode == Mode::Dream {
        let bar = Panel::bottom("transport").resizable(false);
        bar.show(ui, |ui| {
            transport::transport_ui(ui, pen);
            strip::strip_ui(ui, pen);
        });
        let left = Panel::left("dream").resizable(true).default_size(318.0).size_range(290.0..=460.0);
        left.show(ui, |ui| dream::dream_ui(ui, pen));
    }
    // Each mode has a panel of its own, so that each keeps its own width.
    let right = match pen.state.mode {
        Mode::Dream => Panel::right("sees").default_size(264.0).size_range(220.0..=420.0),
        Mode::Net => Panel::right("node").default_size(400.0).size_range(280.0..=640.0),
    };
    right.resizable(true).show(ui, |ui| {
        // What is too long is cut or wrapped: it must not push the panel wider.
        ui.set_max_width(ui.available_width());
        side_ui(ui, pen);
    });
    let fill = theme::canvas(ui.visuals());
    CentralPanel::default().frame(Frame::new().fill(fill).inner_margin(Margin::ZERO)).show(ui, |ui| {
        match pen.state.mode {
            Mode::Dream => canvas::canvas_ui(ui, pen),
            Mode::Net => net_graph::net_graph_ui(ui, pen),
        }
        messages::messages_ui(ui, pen);
    });
    dialogs::dialogs_ui(ui, pen);
}

fn side_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    if pen.state.mode == Mode::Net {
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| net::net_ui(ui, pen));
        return;
    }
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        let waiting = pen.state.waiting_in_batch();
        let queue = if waiting > 0 { format!("Queue ({waiting})") } else { "Queue".into() };
        for (side, name, hint) in [
            (Side::Sees, "What does it see?", "What the net recognizes in the picture on the canvas"),
            (Side::Queue, queue.as_str(), "Photos that are dreamt one after the other"),
        ] {
            if ui.selectable_label(pen.state.side == side, name).on_hover_text(hint).clicked() {
                pen.push(Command::ShowSide(side));
            }
        }
    });
    ui.separator();
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| match pen.state.side {
        Side::Sees => sees::sees_ui(ui, pen),
        Side::Queue => queue::queue_ui(ui, pen),
    });
}

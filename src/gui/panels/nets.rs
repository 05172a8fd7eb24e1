//! All nets that there are: to use, to fetch, to remove.

use egui::{Button, Grid, ProgressBar, RichText, ScrollArea, Ui};

use super::Pen;
use crate::gui::command::Command;
use crate::gui::host::{Fetching, Pick};
use crate::gui::theme;
use crate::tasks::catalogue::{Listing, Published, State};

const COLUMNS: [&str; 5] = ["Net", "Size", "Top-1", "Dreams", ""];
/// Of the progress of a download, in points.
const BAR_WIDTH: f32 = 210.0;

pub fn nets_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    ui.heading("Nets");
    ui.label(
        RichText::new("Fetched nets are kept on this machine. A net in a file can be dropped on the window.").weak(),
    );
    ui.add_space(4.0);
    if pen.state.nets.is_empty() {
        ui.spinner();
    }
    ScrollArea::vertical().max_height(460.0).auto_shrink([false, true]).show(ui, |ui| {
        Grid::new("nets").num_columns(COLUMNS.len()).striped(true).spacing([14.0, 8.0]).show(ui, |ui| {
            for column in COLUMNS {
                ui.label(RichText::new(column).small().weak());
            }
            ui.end_row();
            for net in &pen.state.nets.clone() {
                net_ui(ui, pen, net);
                ui.end_row();
            }
        });
    });
    ui.add_space(8.0);
    ui.horizontal(|ui| {
        if ui.button("Open a net…").clicked() {
            pen.push(Command::CloseDialog);
            pen.push(Command::Pick(Pick::Net));
        }
        if ui.button("Close").clicked() {
            pen.push(Command::CloseDialog);
        }
    });
}

fn net_ui(ui: &mut Ui, pen: &mut Pen<'_>, net: &Listing) {
    let in_use = pen.state.net.as_ref().is_some_and(|open| open.key == net.name);
    ui.vertical(|ui| {
        ui.set_width(330.0);
        let name = RichText::new(&net.name).strong();
        ui.label(if in_use { name.color(theme::accent(ui.visuals())) } else { name });
        let facts = [net.summary.as_str(), net.task.as_str(), net.licence.as_str()];
        let facts: Vec<&str> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
        ui.label(RichText::new(facts.join(" · ")).small().weak());
    });
    ui.label(net.bytes.map_or_else(String::new, |bytes| format!("{:.0} MB", (bytes as f64 / 1e6).max(1.0))));
    ui.label(net.top_1.map_or_else(String::new, |percent| format!("{percent:.1} %")));
    ui.label(net.dreams.unwrap_or_default()).on_hover_text("How well it dreams");
    ui.horizontal(|ui| match pen.state.fetching.get(&net.name).cloned() {
        Some(fetching) => fetching_ui(ui, pen, net, &fetching),
        None => choices_ui(ui, pen, net, in_use),
    });
}

fn fetching_ui(ui: &mut Ui, pen: &mut Pen<'_>, net: &Listing, fetching: &Fetching) {
    let share = fetching.share.unwrap_or(0.0);
    let bar = ProgressBar::new(share).desired_width(BAR_WIDTH).text(RichText::new(&fetching.doing).small());
    ui.add(bar.animate(fetching.share.is_none()));
    if ui
        .button("Stop")
        .on_hover_text("What has arrived is kept")
        .accessible_name(format!("Stop {}", net.name))
        .clicked()
    {
        pen.push(Command::StopGettingNet(net.name.clone()));
    }
}

/// Whether its makers offer it.
fn is_published(name: &str) -> bool {
    Published::find(name).is_some()
}

fn choices_ui(ui: &mut Ui, pen: &mut Pen<'_>, net: &Listing, in_use: bool) {
    let choice = |ui: &mut Ui, text: &str, is_enabled: bool, hint: &str| {
        let button = ui.add_enabled(is_enabled, Button::new(text)).on_hover_text(hint);
        button.accessible_name(format!("{text} {}", net.name)).clicked()
    };
    match net.state {
        State::BuiltIn | State::Installed => {
            if choice(ui, "Use", !in_use, "Dream with it") {
                pen.push(Command::OpenNet(net.name.clone()));
                pen.push(Command::CloseDialog);
            }
            if net.state == State::Installed && choice(ui, "Remove", !in_use, "Remove it from this machine") {
                pen.push(Command::RemoveNet(net.name.clone()));
            }
        }
        State::Begun => {
            if choice(ui, "Go on", true, "Fetch what is missing") {
                pen.push(Command::GetNet(net.name.clone()));
            }
            if choice(ui, "Remove", true, "Remove what has arrived") {
                pen.push(Command::RemoveNet(net.name.clone()));
            }
        }
        State::Damaged => {
            if choice(ui, "Remove", true, "Its files are damaged: remove them") {
                pen.push(Command::RemoveNet(net.name.clone()));
            }
            if is_published(&net.name) && choice(ui, "Get", true, "Its files are damaged: fetch them again") {
                pen.push(Command::GetNet(net.name.clone()));
            }
        }
        State::Available => {
            if choice(ui, "Get", true, "Fetch it from its makers") {
                pen.push(Command::GetNet(net.name.clone()));
            }
        }
    }
}

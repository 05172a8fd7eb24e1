//! Questions and pages in front of everything else.

use egui::{Grid, Id, Modal, RichText, ScrollArea, TextEdit, Ui};

use super::{Pen, nets};
use crate::gui::command::Command;
use crate::gui::shortcuts;
use crate::gui::state::Dialog;

pub fn dialogs_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    let Some(dialog) = pen.state.dialog.clone() else { return };
    let modal = Modal::new(Id::unique("dialog")).show(ui.ctx(), |ui| {
        ui.set_width(match dialog {
            Dialog::Shortcuts => 780.0,
            Dialog::Nets => 760.0,
            _ => 380.0,
        });
        match dialog {
            Dialog::Shortcuts => shortcuts_ui(ui),
            Dialog::About => about_ui(ui),
            Dialog::Nets => nets::nets_ui(ui, pen),
            Dialog::SavePreset(name) => save_preset_ui(ui, pen, name),
            Dialog::RenamePreset { old, new } => rename_preset_ui(ui, pen, old, new),
            Dialog::DeletePreset(name) => delete_preset_ui(ui, pen, name),
            Dialog::Quit { would_lose } => quit_ui(ui, pen, &would_lose),
        }
    });
    if modal.should_close() {
        pen.push(Command::CloseDialog);
    }
}

/// The buttons of a question; `is_entered` is the enter key in its text field.
fn close_row(ui: &mut Ui, pen: &mut Pen<'_>, text: &str, (is_enabled, is_entered): (bool, bool), command: Command) {
    ui.add_space(8.0);
    ui.horizontal(|ui| {
        let button = ui.add_enabled(is_enabled, egui::Button::new(RichText::new(text).strong()));
        if button.clicked() || (is_entered && is_enabled) {
            pen.push(command);
        }
        if ui.button("Cancel").clicked() {
            pen.push(Command::CloseDialog);
        }
    });
}

/// What the mouse does, and keys that are no commands.
const OTHER_KEYS: [(&str, &str); 7] = [
    ("B, held", "See the photo alone"),
    ("Ctrl+C, Ctrl+V", "Copy the dream, paste a picture"),
    ("Click", "What does it see here?"),
    ("Wheel", "Zoom"),
    ("Drag", "Move the picture"),
    ("Shift+drag", "Mark a part of the picture"),
    ("Double-click", "Fit, or one to one"),
];

fn shortcuts_ui(ui: &mut Ui) {
    ui.heading("Shortcuts");
    ui.add_space(4.0);
    let mut lines: Vec<(String, &str)> = Vec::new();
    for shortcut in shortcuts::ALL {
        let keys = ui.ctx().format_shortcut(&shortcut.keys);
        match lines.iter_mut().find(|(_, name)| *name == shortcut.name) {
            Some((known, _)) => *known = format!("{known}, {keys}"),
            None => lines.push((keys, shortcut.name)),
        }
    }
    lines.extend(OTHER_KEYS.map(|(keys, name)| (keys.to_string(), name)));
    let half = lines.len().div_ceil(2);
    ScrollArea::vertical().max_height(520.0).show(ui, |ui| {
        ui.columns(2, |columns| {
            for (i, (lines, ui)) in lines.chunks(half).zip(columns).enumerate() {
                Grid::new(("shortcuts", i)).num_columns(2).striped(true).spacing([12.0, 4.0]).show(ui, |ui| {
                    for (keys, name) in lines {
                        ui.label(RichText::new(keys).monospace().size(11.5));
                        ui.label(*name);
                        ui.end_row();
                    }
                });
            }
        });
    });
}

fn about_ui(ui: &mut Ui) {
    ui.heading(concat!("Oneiric ", env!("CARGO_PKG_VERSION")));
    ui.add_space(4.0);
    ui.label("Dream with convolutional networks, and look into them.");
    ui.add_space(8.0);
    ui.label(
        "The algorithm is that of A. Mordvintsev, C. Olah and M. Tyka, Inceptionism: Going Deeper into Neural Networks, \
         2015. Everything runs on this machine; no picture leaves it.",
    );
    ui.add_space(8.0);
    ui.label(RichText::new("Licensed under MIT or Apache 2.0, at your option").weak());
}

/// Whether the name was changed, and whether it was entered.
fn name_field(ui: &mut Ui, name: &mut String) -> (bool, bool) {
    let field = TextEdit::singleline(name).hint_text("A name").char_limit(64).desired_width(f32::INFINITY);
    let response = ui.add(field).accessible_name("Name of the preset");
    let is_entered = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
    if ui.memory(|memory| memory.focused().is_none()) && !is_entered {
        response.request_focus();
    }
    (response.changed(), is_entered)
}

fn save_preset_ui(ui: &mut Ui, pen: &mut Pen<'_>, name: String) {
    ui.heading("Save as preset");
    ui.label("All settings but the size and what is started from, with the picture on the canvas.");
    let mut typed = name;
    let (is_changed, is_entered) = name_field(ui, &mut typed);
    if is_changed {
        pen.push(Command::Open(Dialog::SavePreset(typed.clone())));
    }
    let is_taken = pen.state.presets.iter().any(|preset| preset.name == typed.trim());
    if is_taken {
        ui.label(RichText::new("There is one of that name: it will be replaced").color(ui.visuals().warn_fg_color));
    }
    let can = !typed.trim().is_empty();
    let text = if is_taken { "Replace" } else { "Save" };
    close_row(ui, pen, text, (can, is_entered), Command::SavePreset(typed));
}

fn rename_preset_ui(ui: &mut Ui, pen: &mut Pen<'_>, old: String, new: String) {
    ui.heading(format!("Rename {old}"));
    let mut typed = new;
    let (is_changed, is_entered) = name_field(ui, &mut typed);
    if is_changed {
        pen.push(Command::Open(Dialog::RenamePreset { old: old.clone(), new: typed.clone() }));
    }
    let can = !typed.trim().is_empty() && typed.trim() != old;
    close_row(ui, pen, "Rename", (can, is_entered), Command::RenamePreset { old, new: typed });
}

fn delete_preset_ui(ui: &mut Ui, pen: &mut Pen<'_>, name: String) {
    ui.heading(format!("Delete {name}?"));
    ui.label("The preset and its picture are removed. What was dreamt with it stays.");
    close_row(ui, pen, "Delete", (true, false), Command::DeletePreset(name));
}

fn quit_ui(ui: &mut Ui, pen: &mut Pen<'_>, would_lose: &str) {
    ui.heading("Quit now?");
    ui.label(format!("This would be lost: {would_lose}."));
    ui.add_space(8.0);
    ui.horizontal(|ui| {
        if ui.button(RichText::new("Stay").strong()).clicked() {
            pen.push(Command::CloseDialog);
        }
        if ui.button("Quit").clicked() {
            pen.push(Command::QuitAnyway);
        }
    });
}

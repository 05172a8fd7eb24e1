//! The menu bar, with the modes and the net in use.

use egui::{Align, Button, DragValue, Layout, MenuBar, RichText, Ui};

use super::Pen;
use crate::gui::command::Command;
use crate::gui::host::Pick;
use crate::gui::settings::{Settings, Theme};
use crate::gui::shortcuts;
use crate::gui::state::{Dialog, Mode};
use crate::gui::theme;
use crate::tasks::catalogue;

pub fn menu_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    MenuBar::new().ui(ui, |ui| {
        ui.menu_button("File", |ui| file_ui(ui, pen));
        ui.menu_button("Edit", |ui| edit_ui(ui, pen));
        ui.menu_button("View", |ui| view_ui(ui, pen));
        ui.menu_button("Net", |ui| nets_ui(ui, pen));
        ui.menu_button("Help", |ui| help_ui(ui, pen));
        ui.add_space(16.0);
        for mode in Mode::ALL {
            let is_on = pen.state.mode == mode;
            let text = if is_on { RichText::new(mode.name()).strong() } else { RichText::new(mode.name()) };
            let hint = match mode {
                Mode::Dream => "Dream a photo",
                Mode::Net => "Look into the net: its layers, its filters, and what they make of the picture",
            };
            let button = Button::selectable(is_on, text).min_size(egui::vec2(64.0, 24.0));
            if ui.add(button).on_hover_text(hint).clicked() {
                pen.push(Command::SetMode(mode));
            }
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| net_name_ui(ui, pen));
    });
}

fn net_name_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    match (&pen.state.opening_net, &pen.state.net) {
        (Some(key), _) => {
            ui.label(RichText::new(format!("opening {key} …")).weak());
            ui.spinner();
        }
        (None, Some(net)) => {
            let classes = net.graph.labels().len();
            let hint = format!("The net that dreams: {} layers, {classes} classes", net.layers.len());
            ui.label(RichText::new(net.graph.name()).color(theme::accent(ui.visuals()))).on_hover_text(hint);
        }
        (None, None) => {
            ui.label(RichText::new("no net").weak());
        }
    }
}

/// A line of a menu; its key stands behind it where it has one.
fn item(ui: &mut Ui, pen: &mut Pen<'_>, text: &str, is_enabled: bool, command: Command) {
    let keys = shortcuts::text_of(ui.ctx(), text);
    let button = ui.add_enabled(is_enabled, Button::new(text).shortcut_text(keys)).accessible_name(text);
    if button.clicked() {
        pen.push(command);
        ui.close();
    }
}

fn file_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    ui.set_min_width(220.0);
    let has_dream = pen.state.shown_step().is_some();
    item(ui, pen, "Open photos…", true, Command::Pick(Pick::Photos));
    item(ui, pen, "Open a folder…", true, Command::Pick(Pick::Folder));
    ui.menu_button("Recent photos", |ui| {
        if pen.state.settings.recent_photos.is_empty() {
            ui.label(RichText::new("None yet").weak());
        }
        for path in pen.state.settings.recent_photos.clone() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if ui.button(name).on_hover_text(path.to_string_lossy()).clicked() {
                pen.push(Command::OpenFiles(vec![path]));
                ui.close();
            }
        }
        if !pen.state.settings.recent_photos.is_empty() {
            ui.separator();
            item(ui, pen, "Forget recent files", true, Command::ForgetRecent);
        }
    });
    item(ui, pen, "Open the sample photo", true, Command::OpenSample);
    ui.separator();
    item(ui, pen, "Save", has_dream, Command::Save);
    item(ui, pen, "Save as…", has_dream, Command::Pick(Pick::SaveAs));
    item(ui, pen, "Export the steps…", has_dream, Command::Pick(Pick::Animation));
    ui.separator();
    item(ui, pen, "Where dreams are saved…", true, Command::Pick(Pick::OutputFolder));
    let folder = pen.state.settings.output_folder.clone();
    item(ui, pen, "Save dreams beside their photos", folder.is_some(), Command::SetOutputFolder(None));
    if let Some(folder) = folder {
        ui.label(RichText::new(format!("now: {}", folder.display())).small().weak());
    }
    ui.separator();
    item(ui, pen, "Quit", true, Command::Quit);
}

fn edit_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    ui.set_min_width(220.0);
    let (can_undo, can_redo) = (pen.state.history.can_undo(), pen.state.history.can_redo());
    item(ui, pen, "Undo", can_undo, Command::Undo);
    item(ui, pen, "Redo", can_redo, Command::Redo);
    ui.separator();
    item(ui, pen, "Copy the picture", pen.state.shown_step().is_some(), Command::Copy);
    ui.label(RichText::new("Paste a picture with the usual keys").small().weak());
    ui.separator();
    item(ui, pen, "Save as preset…", true, Command::Open(Dialog::SavePreset(String::new())));
    ui.separator();
    let mut dreams = pen.state.settings.dream_on_drop;
    let text = "Dream as soon as a photo is dropped";
    if ui.checkbox(&mut dreams, text).changed() {
        pen.push(Command::SetDreamOnDrop(dreams));
    }
    ui.horizontal(|ui| {
        let name = "Each step of an animation stays";
        ui.label(name);
        let [shortest, longest] = Settings::FRAME_MS;
        let mut frame_ms = pen.state.settings.animation_frame_ms;
        let value = DragValue::new(&mut frame_ms).range(shortest..=longest).suffix(" ms");
        if ui.add(value).accessible_name(name).changed() {
            pen.push(Command::SetAnimationFrame(frame_ms));
        }
    });
}

fn view_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    ui.set_min_width(200.0);
    for theme in Theme::ALL {
        if ui.radio(pen.state.settings.theme == theme, theme.name()).clicked() {
            pen.push(Command::SetTheme(theme));
        }
    }
    ui.separator();
    let scale = pen.state.settings.scale;
    let [least, .., most] = Settings::SCALES;
    item(ui, pen, "Larger", scale < most, Command::StepScale { larger: true });
    item(ui, pen, "Smaller", scale > least, Command::StepScale { larger: false });
    item(ui, pen, "Usual size", scale != 1.0, Command::ResetScale);
    ui.label(RichText::new(format!("now: {:.0} %", scale * 100.0)).small().weak());
    ui.separator();
    item(ui, pen, "Frame times", true, Command::ToggleFrameTimes);
}

fn nets_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    ui.set_min_width(260.0);
    let in_use = pen.state.net.as_ref().map(|net| net.key.clone());
    let mut at_hand: Vec<(String, String)> =
        pen.state.nets_at_hand().map(|net| (net.name.clone(), net.summary.clone())).collect();
    if at_hand.is_empty() {
        at_hand = catalogue::entries().iter().map(|entry| (entry.name.into(), entry.summary.into())).collect();
    }
    for (name, summary) in &at_hand {
        let is_on = in_use.as_ref() == Some(name);
        if ui.radio(is_on, name).on_hover_text(summary).clicked() {
            pen.push(Command::OpenNet(name.clone()));
            ui.close();
        }
    }
    for key in pen.state.settings.recent_nets.clone() {
        if at_hand.iter().any(|(name, _)| *name == key) {
            continue;
        }
        let name = std::path::Path::new(&key).file_name().unwrap_or_default().to_string_lossy().into_owned();
        if ui.radio(in_use.as_ref() == Some(&key), name).on_hover_text(&key).clicked() {
            pen.push(Command::OpenNet(key));
            ui.close();
        }
    }
    ui.separator();
    item(ui, pen, "All nets…", true, Command::ShowNets);
    item(ui, pen, "Open a net…", true, Command::Pick(Pick::Net));
}

fn help_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    ui.set_min_width(180.0);
    item(ui, pen, "All shortcuts", true, Command::Open(Dialog::Shortcuts));
    item(ui, pen, "About Oneiric", true, Command::Open(Dialog::About));
}

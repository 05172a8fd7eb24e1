//! Settings of the window, and the user's presets.

use std::path::PathBuf;

use crate::gui::command::Command;
use crate::gui::host::{JobHost, Request};
use crate::gui::state::{AppState, Tone};

pub fn change(state: &mut AppState, command: &Command, host: &mut dyn JobHost) {
    let settings = &mut state.settings;
    match command {
        Command::SetTheme(theme) => settings.theme = *theme,
        Command::StepScale { larger } => settings.step_scale(*larger),
        Command::ResetScale => settings.scale = 1.0,
        Command::SetDreamOnDrop(dreams) => settings.dream_on_drop = *dreams,
        Command::SetOutputFolder(Some(folder)) if folder.to_str().is_none() => {
            return state.say(Tone::Error, "the name of this folder is not Unicode text, so it cannot be kept");
        }
        Command::SetOutputFolder(folder) => settings.output_folder.clone_from(folder),
        Command::SetAnimationFrame(ms) => settings.animation_frame_ms = *ms,
        Command::ForgetRecent => {
            settings.recent_photos.clear();
            settings.recent_nets.clear();
        }
        _ => return,
    }
    keep(state, host);
}

pub fn set_output_folder(state: &mut AppState, folder: Option<PathBuf>, host: &mut dyn JobHost) {
    if folder.is_some() {
        change(state, &Command::SetOutputFolder(folder), host);
    }
}

pub fn keep(state: &AppState, host: &mut dyn JobHost) {
    host.submit(Request::KeepSettings(Box::new(state.settings.clone())));
}

pub fn save_preset(state: &mut AppState, name: String, host: &mut dyn JobHost) {
    state.dialog = None;
    let picture = state.after().cloned();
    host.submit(Request::SavePreset { name, spec: Box::new(state.spec.clone()), picture });
}

pub fn rename_preset(state: &mut AppState, old: String, new: String, host: &mut dyn JobHost) {
    state.dialog = None;
    host.submit(Request::RenamePreset { old, new });
}

pub fn delete_preset(state: &mut AppState, name: String, host: &mut dyn JobHost) {
    state.dialog = None;
    host.submit(Request::DeletePreset(name));
}

/// The clock moved on: messages that were shown long enough go.
pub fn tick(state: &mut AppState, now_s: f64) {
    state.now_s = now_s;
    state.messages.retain(|message| message.until_s.is_none_or(|until_s| until_s > now_s));
}

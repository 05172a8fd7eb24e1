//! Keys, in one list: what they do, and how the help calls it.

use egui::{Context, Key, KeyboardShortcut, Modifiers, Popup};

use crate::gui::command::Command;
use crate::gui::host::Pick;
use crate::gui::state::{AppState, CanvasView, Dialog, Mode};

/// One key with what it does.
pub struct Shortcut {
    pub keys: KeyboardShortcut,
    pub name: &'static str,
    command: fn(&Context, &AppState) -> Command,
}

const fn plain(key: Key, name: &'static str, command: fn(&Context, &AppState) -> Command) -> Shortcut {
    Shortcut { keys: KeyboardShortcut::new(Modifiers::NONE, key), name, command }
}

const fn ctrl(key: Key, name: &'static str, command: fn(&Context, &AppState) -> Command) -> Shortcut {
    Shortcut { keys: KeyboardShortcut::new(Modifiers::COMMAND, key), name, command }
}

const fn ctrl_shift(key: Key, name: &'static str, command: fn(&Context, &AppState) -> Command) -> Shortcut {
    Shortcut { keys: KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), key), name, command }
}

/// Those with more modifiers come first: a key with fewer would answer to them, too.
pub const ALL: &[Shortcut] = &[
    ctrl_shift(Key::S, "Save as…", |_, _| Command::Pick(Pick::SaveAs)),
    ctrl_shift(Key::O, "Open a folder…", |_, _| Command::Pick(Pick::Folder)),
    ctrl_shift(Key::Z, REDO, |_, _| Command::Redo),
    ctrl(Key::S, "Save", |_, _| Command::Save),
    ctrl(Key::O, "Open photos…", |_, _| Command::Pick(Pick::Photos)),
    ctrl(Key::E, "Export the steps…", |_, _| Command::Pick(Pick::Animation)),
    ctrl(Key::Z, UNDO, |_, _| Command::Undo),
    ctrl(Key::Y, REDO, |_, _| Command::Redo),
    ctrl(Key::Plus, "Larger", |_, _| Command::StepScale { larger: true }),
    ctrl(Key::Equals, "Larger", |_, _| Command::StepScale { larger: true }),
    ctrl(Key::Minus, "Smaller", |_, _| Command::StepScale { larger: false }),
    ctrl(Key::Num0, "Usual size", |_, _| Command::ResetScale),
    ctrl(Key::Num1, "Dream mode", |_, _| Command::SetMode(Mode::Dream)),
    ctrl(Key::Num2, "Net mode", |_, _| Command::SetMode(Mode::Net)),
    ctrl(Key::Q, QUIT, |_, _| Command::Quit),
    plain(Key::Space, "Dream, pause, go on", |_, _| Command::Toggle),
    plain(Key::R, "Start over", |_, _| Command::StartOver),
    plain(Key::G, "Go on from the step that is shown", |_, _| Command::GoOn),
    plain(Key::Escape, "Stop the dream", unmark_or_stop),
    plain(Key::ArrowLeft, "One step back", |_, _| Command::StepBy(-1)),
    plain(Key::ArrowRight, "One step forth", |_, _| Command::StepBy(1)),
    plain(Key::Home, "The first step", |_, _| Command::ShowStep(0)),
    plain(Key::End, "The newest step", |_, _| Command::ShowNewest),
    plain(Key::C, "Compare before and after", compare),
    plain(Key::F, "Fit the picture into the window", |_, state| {
        Command::SetView(CanvasView { zoom: None, center: [0.5; 2], ..state.canvas.clone() })
    }),
    plain(Key::Num1, "One pixel on one pixel", |ctx, state| {
        let zoom = Some(1.0 / ctx.pixels_per_point());
        Command::SetView(CanvasView { zoom, ..state.canvas.clone() })
    }),
    plain(Key::W, "What does it see?", |_, _| Command::LookAt(None)),
    plain(Key::F12, "Frame times", |_, _| Command::ToggleFrameTimes),
    plain(Key::F1, "All shortcuts", |_, _| Command::Open(Dialog::Shortcuts)),
    plain(Key::Questionmark, "All shortcuts", |_, _| Command::Open(Dialog::Shortcuts)),
];

const QUIT: &str = "Quit";
const UNDO: &str = "Undo";
const REDO: &str = "Redo";
/// What a text field does by itself.
const TEXTS_OWN: [&str; 2] = [UNDO, REDO];

/// The key that shows the photo while it is held.
pub const PEEK: Key = Key::B;

fn compare(_: &Context, state: &AppState) -> Command {
    let split = if state.canvas.split.is_some() { None } else { Some(0.5) };
    Command::SetView(CanvasView { split, ..state.canvas.clone() })
}

/// What is marked goes first.
fn unmark_or_stop(_: &Context, state: &AppState) -> Command {
    if state.canvas.marked.is_none() {
        return Command::Stop;
    }
    Command::SetView(CanvasView { marked: None, ..state.canvas.clone() })
}

/// The commands of the keys that were pressed. Keys without a modifier belong to the control that has the focus, to an
/// open menu, or to a dialog, where there is one; texts have an undo of their own.
pub fn pressed(ctx: &Context, state: &AppState) -> Vec<Command> {
    let is_in_dialog = state.dialog.is_some();
    let has_focus = ctx.memory(|memory| memory.focused().is_some());
    let takes_plain = !(has_focus || is_in_dialog || Popup::is_any_open(ctx));
    let is_typing = ctx.text_edit_focused();
    let mut commands = Vec::new();
    for shortcut in ALL {
        let is_allowed = match shortcut.keys.modifiers {
            Modifiers::NONE => takes_plain,
            _ if is_in_dialog => shortcut.name == QUIT,
            _ => !(is_typing && TEXTS_OWN.contains(&shortcut.name)),
        };
        if is_allowed && ctx.input_mut(|input| consume(input, &shortcut.keys)) {
            commands.push((shortcut.command)(ctx, state));
        }
    }
    commands
}

fn consume(input: &mut egui::InputState, keys: &KeyboardShortcut) -> bool {
    if keys.logical_key == Key::Questionmark {
        // Most keyboards want shift for it.
        return input.consume_key(Modifiers::SHIFT, Key::Questionmark) || input.consume_shortcut(keys);
    }
    input.consume_shortcut(keys)
}

/// How the key of a command is written, for menus.
pub fn text_of(ctx: &Context, name: &str) -> String {
    let shortcut = ALL.iter().find(|shortcut| shortcut.name == name);
    shortcut.map(|shortcut| ctx.format_shortcut(&shortcut.keys)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_does_two_things() {
        for (i, shortcut) in ALL.iter().enumerate() {
            let clash = ALL[..i].iter().find(|other| other.keys == shortcut.keys);
            assert!(clash.is_none(), "{} and {}", shortcut.name, clash.map_or("", |clash| clash.name));
        }
    }

    #[test]
    fn keys_with_more_modifiers_are_asked_first() {
        let count = |shortcut: &Shortcut| {
            let modifiers = shortcut.keys.modifiers;
            u8::from(modifiers.shift) + u8::from(modifiers.command)
        };
        assert!(ALL.windows(2).all(|pair| count(&pair[0]) >= count(&pair[1])));
    }
}

//! The window itself: events in, a frame out.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use eframe::{CreationContext, NativeOptions};
use egui::{Context, Event as Input, IconData, Ui, ViewportBuilder, ViewportCommand};

use crate::gui::command::Command;
use crate::gui::host::Files;
use crate::gui::host::worker::{Host, Wake};
use crate::gui::panels::{self, Pen};
use crate::gui::settings::Settings;
use crate::gui::state::{AppState, Effect, Leaving};
use crate::gui::textures::Textures;
use crate::gui::update::update;
use crate::gui::{Desktop, DesktopError, shortcuts, theme};
use crate::tasks::home::Home;

/// The size of the window at its first start, and the least that nothing is cut at.
const USUAL_SIZE: [f32; 2] = [1280.0, 800.0];
const LEAST_SIZE: [f32; 2] = [960.0, 600.0];
/// How many frames the times are told of.
const FRAMES_TIMED: usize = 240;
const ICON: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/icon.png"));

/// Opens the window and stays until it is closed.
pub fn run(desktop: Desktop) -> Result<(), DesktopError> {
    crate::base::parallel::configure_in_background(desktop.threads);
    let files = Files::new(Home::find().ok());
    let settings = files.settings();
    let mut viewport = ViewportBuilder::default()
        .with_app_id("oneiric")
        .with_title("Oneiric")
        .with_inner_size(USUAL_SIZE)
        .with_min_inner_size(LEAST_SIZE)
        .with_drag_and_drop(true);
    if let Some(icon) = icon() {
        viewport = viewport.with_icon(Arc::new(icon));
    }
    let options = NativeOptions { viewport, centered: true, ..NativeOptions::default() };
    let made =
        move |context: &CreationContext<'_>| -> Result<Box<dyn eframe::App>, Box<dyn std::error::Error + Send + Sync>> {
            let ctx = context.egui_ctx.clone();
            let wake: Wake = Arc::new(move || ctx.request_repaint());
            let host = Host::open(files, wake)?;
            Ok(Box::new(App::new(&context.egui_ctx, host, settings, desktop)))
        };
    let closed = eframe::run_native("Oneiric", options, Box::new(made));
    closed.map_err(|error| DesktopError::NoWindow(without_source_line(&error.to_string()).to_string()))
}

/// What an error says, without the line of the window system's source code that it was found at.
fn without_source_line(text: &str) -> &str {
    let after_file = text.find(".rs:").and_then(|at| text.get(at + 4..));
    let said = after_file.and_then(|rest| rest.split_once(": ")).map_or(text, |(_, said)| said);
    said.trim_end_matches(['.', ' '])
}

/// The picture of the window in bars and switchers.
fn icon() -> Option<IconData> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(ICON));
    decoder.set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::ALPHA);
    let mut reader = decoder.read_info().ok()?;
    let mut rgba = vec![0; reader.output_buffer_size()?];
    let info = reader.next_frame(&mut rgba).ok()?;
    rgba.truncate(info.buffer_size());
    (info.color_type == png::ColorType::Rgba).then_some(IconData { rgba, width: info.width, height: info.height })
}

/// State, host and textures behind the window.
pub struct App {
    state: AppState,
    host: Host,
    textures: Textures,
    frame_ms: VecDeque<f32>,
    applied: Option<Settings>,
}

impl App {
    /// What is behind a window that opens the files of `desktop`.
    pub fn new(ctx: &Context, mut host: Host, settings: Settings, desktop: Desktop) -> Self {
        theme::install(ctx);
        // The scale is a setting, with keys of its own.
        ctx.options_mut(|options| options.zoom_with_keyboard = false);
        let mut state = AppState { settings, ..AppState::default() };
        update(&mut state, Command::Begin { files: desktop.files }, &mut host);
        Self { state, host, textures: Textures::default(), frame_ms: VecDeque::new(), applied: None }
    }

    fn apply_settings(&mut self, ctx: &Context) {
        let settings = &self.state.settings;
        if self.applied.as_ref() == Some(settings) {
            return;
        }
        theme::choose(ctx, settings.theme);
        ctx.set_zoom_factor(settings.scale);
        self.applied = Some(settings.clone());
    }

    /// What is shown.
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// Carries out a command, whoever it comes from.
    pub fn update(&mut self, command: Command) {
        update(&mut self.state, command, &mut self.host);
    }

    /// What came from the host since the last frame.
    fn poll(&mut self) {
        for event in self.host.poll() {
            self.update(Command::Host(Box::new(event)));
        }
    }

    /// Files and pictures that were dropped or pasted, and the keys.
    fn inputs(&mut self, ctx: &Context) -> Vec<Command> {
        let mut commands = Vec::new();
        let dropped: Vec<PathBuf> =
            ctx.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_path_buf()).collect());
        if !dropped.is_empty() {
            commands.push(Command::OpenFiles(dropped));
        }
        let is_typing = ctx.text_edit_focused();
        ctx.input(|input| {
            for event in &input.events {
                match event {
                    Input::PasteImage(image) if !is_typing => commands.push(Command::Paste(image.clone())),
                    Input::Paste(text) if !is_typing => commands.extend(pasted_paths(text)),
                    Input::Copy if !is_typing => commands.push(Command::Copy),
                    _ => {}
                }
            }
        });
        commands.extend(shortcuts::pressed(ctx, &self.state));
        commands
    }

    fn carry_out(&mut self, ctx: &Context) {
        for effect in std::mem::take(&mut self.state.effects) {
            match effect {
                Effect::CopyImage(image) => ctx.copy_image((*image.0).clone()),
                Effect::Close => ctx.send_viewport_cmd(ViewportCommand::Close),
            }
        }
    }

    /// Keeps the window open until everything is kept, or the user says that it need not be.
    fn handle_close(&mut self, ctx: &Context) {
        let is_asked = ctx.input(|input| input.viewport().close_requested());
        if is_asked && self.state.leaving != Leaving::Free {
            ctx.send_viewport_cmd(ViewportCommand::CancelClose);
            self.update(Command::Quit);
        }
    }

    fn note_frame(&mut self, ctx: &Context, frame: &eframe::Frame) {
        let Some(seconds) = frame.info().cpu_usage else { return };
        self.frame_ms.push_back(seconds * 1000.0);
        if self.frame_ms.len() > FRAMES_TIMED {
            self.frame_ms.pop_front();
        }
        if self.state.shows_frame_times {
            let mut sorted: Vec<f32> = self.frame_ms.iter().copied().collect();
            sorted.sort_by(f32::total_cmp);
            let (median, worst) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
            panels::frame_times_ui(ctx, seconds * 1000.0, median, worst);
        }
    }
}

/// Files that were copied in a file manager.
fn pasted_paths(text: &str) -> Option<Command> {
    let path = |line: &str| PathBuf::from(line.trim().strip_prefix("file://").unwrap_or(line.trim()));
    let paths: Vec<PathBuf> = text.lines().map(path).filter(|path| path.is_absolute() && path.exists()).collect();
    (!paths.is_empty()).then_some(Command::OpenFiles(paths))
}

impl eframe::App for App {
    /// Also called while the window cannot be seen, and may be closed all the same.
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        self.handle_close(ctx);
        self.poll();
        self.carry_out(ctx);
    }

    fn ui(&mut self, ui: &mut Ui, frame: &mut eframe::Frame) {
        self.frame_ui(ui);
        self.note_frame(ui.ctx(), frame);
    }
}

impl App {
    /// One frame: the state drawn, and what the user did carried out.
    pub fn frame_ui(&mut self, ui: &mut Ui) {
        let ctx = ui.ctx().clone();
        self.apply_settings(&ctx);
        self.handle_close(&ctx);
        self.poll();
        self.update(Command::Tick(ctx.time()));
        for command in self.inputs(&ctx) {
            self.update(command);
        }
        self.textures.next_frame();
        let mut commands = Vec::new();
        let mut pen = Pen { state: &self.state, textures: &mut self.textures, commands: &mut commands };
        panels::window_ui(ui, &mut pen);
        let did_something = !commands.is_empty();
        for command in commands {
            self.update(command);
        }
        self.carry_out(&ctx);
        if did_something {
            ctx.request_repaint();
        }
        if let Some(until_s) = self.state.messages.iter().filter_map(|message| message.until_s).reduce(f64::min) {
            ctx.request_repaint_after_secs((until_s - ctx.time()).max(0.1) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_no_source_code() {
        let text = "winit EventLoopError: os error at /some/where/linux/mod.rs:765: neither A nor B is set.";
        assert_eq!(without_source_line(text), "neither A nor B is set");
        assert_eq!(without_source_line("no OpenGL 2.0"), "no OpenGL 2.0");
    }
}

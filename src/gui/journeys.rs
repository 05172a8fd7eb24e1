//! Whole journeys through the real application, with its real host and real files, but without a screen.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::{DroppedFile, Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;

use crate::gui::Desktop;
use crate::gui::app::App;
use crate::gui::command::Command;
use crate::gui::host::worker::Host;
use crate::gui::host::{Event, Files, Pick};
use crate::gui::settings::Settings;
use crate::gui::state::{AppState, BatchPhase, Leaving, Phase};
use crate::gui::testing::{small_spec, write_files};
use crate::imageio;
use crate::tasks::dream::{DreamSpec, LayerWeight, Recipe};
use crate::tasks::home::Home;

/// A window without a screen, and the folder that its user works in.
struct Window {
    harness: Harness<'static, Option<App>>,
    folder: tempfile::TempDir,
}

/// A file as the system drops it.
#[derive(Debug)]
struct Dropped(PathBuf);

impl DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|error| error.to_string())
    }
}

impl Window {
    /// A window with a small net; `files` of the folder are opened with it.
    fn open(files: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_files(folder.path());
        Self::open_in(folder, files)
    }

    fn open_in(folder: tempfile::TempDir, files: &[&str]) -> Self {
        let home = Home::at(folder.path().join("home"));
        let desk = Files::new(Some(home));
        let settings = desk.settings();
        let files = files.iter().map(|name| folder.path().join(name)).collect();
        let mut made = Some((desk, settings, files));
        let frame = move |ui: &mut egui::Ui, app: &mut Option<App>| {
            let ctx = ui.ctx().clone();
            if let Some((desk, settings, files)) = made.take() {
                *app = Some(start(&ctx, desk, settings, files));
            }
            if let Some(app) = app {
                app.frame_ui(ui);
            }
        };
        let builder = Harness::builder().with_size([1280.0, 800.0]).with_max_steps(64);
        let mut window = Self { harness: builder.build_ui_state(frame, None), folder };
        window.wait("a net", |state| state.net.is_some());
        window
    }

    fn state(&self) -> &AppState {
        self.harness.state().as_ref().expect("the application has started").state()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Draws frames until `is_there`.
    fn wait(&mut self, what: &str, is_there: impl Fn(&AppState) -> bool) {
        let began = Instant::now();
        loop {
            self.harness.step();
            if is_there(self.state()) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(120), "{what} never came: {:?}", self.state().messages);
            std::thread::sleep(Duration::from_millis(4));
        }
    }

    fn drop_files(&mut self, names: &[&str]) {
        let paths = names.iter().map(|name| self.path(name));
        let dropped: Vec<_> = paths.map(|path| Arc::new(Dropped(path)) as egui::DroppedFileHandle).collect();
        self.harness.input_mut().dropped_files = dropped;
        self.harness.step();
    }

    fn key(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.harness.step();
        self.harness.step();
    }

    fn click(&mut self, label: &str) {
        self.harness.get_by_label(label).click();
        self.harness.step();
        self.harness.step();
    }

    /// As if the user had done it by a dialog or the system's clipboard, which tests have not.
    fn run(&mut self, command: Command) {
        self.harness.state_mut().as_mut().expect("the application has started").update(command);
        self.harness.step();
    }

    fn ended(&mut self) {
        self.wait("the end of the dream", |state| {
            state.take().is_some_and(|take| take.phase == Phase::Ended && take.is_unsaved())
        });
    }

    fn says(&self, part: &str) -> bool {
        self.state().messages.iter().any(|message| message.text.contains(part))
    }
}

fn start(ctx: &egui::Context, desk: Files, settings: Settings, files: Vec<PathBuf>) -> App {
    let wake_ctx = ctx.clone();
    let host = Host::open(desk, Arc::new(move || wake_ctx.request_repaint())).expect("there are threads");
    App::new(ctx, host, settings, Desktop { files, threads: None })
}

const FIRST_LAYER: &str = "block1/relu";

/// A recipe of the small net, so that a dropped photo dreams quickly.
fn write_recipe(window: &Window, name: &str, spec: DreamSpec) {
    let net = window.path("small.safetensors").to_string_lossy().into_owned();
    let photo = window.path("photo.png").to_string_lossy().into_owned();
    let source = Some(crate::tasks::dream::SourcePhoto { file: photo, crc32: String::new() });
    let dream = DreamSpec { net, ..spec };
    let program = Recipe::PROGRAM.to_string();
    let recipe = Recipe { program, stopped_after: None, source, changes: Vec::new(), dream };
    std::fs::write(window.path(name), recipe.to_text()).expect("it can be written");
}

#[test]
fn a_photo_is_dropped_dreamt_steered_saved_and_brought_back() {
    let mut window = Window::open(&["small.safetensors"]);
    let spec = DreamSpec { steps: 40, ..small_spec() };
    write_recipe(&window, "slow.toml", spec);
    window.drop_files(&["slow.toml"]);
    window.wait("the recipe", |state| state.spec.steps == 40);
    window.drop_files(&["photo.png"]);
    window.wait("the first steps", |state| state.take().is_some_and(|take| take.steps.len() > 2));
    window.key(Modifiers::NONE, Key::Space);
    window.wait("the pause", |state| state.take().is_some_and(|take| take.phase == Phase::Paused));
    // Another layer while it is held, then on.
    window.click("Choose a layer");
    window.harness.get_by_label("Search layers").focus();
    window.harness.step();
    window.harness.get_by_label("Search layers").type_text("block1");
    window.harness.step();
    window.wait("the search", |state| state.form.layer_query == "block1");
    window.harness.step();
    window.click(&format!("Layer {FIRST_LAYER}"));
    window.wait("the layer", |state| state.spec.layers.first().is_some_and(|layer| layer.name == FIRST_LAYER));
    window.click("▶  Resume");
    window.ended();
    assert_eq!(window.state().take().map(|take| take.steps.len()), Some(80));
    window.key(Modifiers::COMMAND, Key::S);
    window.wait("the file", |state| state.take().is_some_and(|take| take.saved.is_some()));
    let saved = window.path("photo-dream.png");
    let recipe = Recipe::from_picture(&saved).expect("it carries its recipe");
    assert_eq!(recipe.changes.len(), 1, "the layer was changed on the way");
    assert_eq!(recipe.spec().layers, [LayerWeight { name: FIRST_LAYER.into(), weight: 1.0 }]);

    // A week later, in a new window that knows nothing.
    let Window { harness, folder } = window;
    let before = harness.state().as_ref().expect("it ran").state().spec.clone();
    drop(harness);
    std::fs::remove_dir_all(folder.path().join("home")).expect("it can be removed");
    let mut window = Window::open_in(folder, &["small.safetensors"]);
    window.drop_files(&["photo-dream.png"]);
    window.wait("the dream", |state| state.restored.is_some());
    assert_eq!(window.state().spec, before);
    assert_eq!(window.state().photo.as_ref().map(|photo| photo.name()), Some("photo.png".into()));
}

#[test]
fn steps_are_gone_back_to_and_branched_off_from() {
    let mut window = Window::open(&["small.safetensors"]);
    write_recipe(&window, "quick.toml", small_spec());
    window.drop_files(&["quick.toml"]);
    window.wait("the recipe", |state| state.spec.steps == 4);
    window.key(Modifiers::NONE, Key::Space);
    window.ended();
    for _ in 0..4 {
        window.key(Modifiers::NONE, Key::ArrowLeft);
    }
    assert_eq!(window.state().shown_step(), Some(3));
    window.wait("the older step", |state| state.scrub.as_ref().is_some_and(|scrub| scrub.picture.is_some()));
    window.click("▶  Go on here");
    window.wait("the branch", |state| state.takes.len() == 2);
    window.ended();
    let takes = &window.state().takes;
    let done = |take: usize| takes[take].steps.iter().map(|step| step.frame.done).collect::<Vec<_>>();
    assert_eq!((done(0), done(1)), ((1..=8).collect(), (1..=8).collect()));
    // The same settings from the same step come to the same picture, to the bit.
    let last = |take: usize| takes[take].steps.last().expect("it has steps").frame.rgb().to_vec();
    assert!(last(0) == last(1));
}

#[test]
fn a_folder_is_dreamt_photo_by_photo_and_bad_files_are_told() {
    let mut window = Window::open(&["small.safetensors"]);
    let photo = std::fs::read(window.path("photo.png")).expect("it is there");
    std::fs::create_dir(window.path("in")).expect("it can be made");
    std::fs::write(window.path("in/a.png"), &photo).expect("it can be written");
    std::fs::write(window.path("in/b.png"), &photo[..photo.len() / 2]).expect("it can be written");
    std::fs::write(window.path("in/c.png"), &photo).expect("it can be written");
    window.drop_files(&["in"]);
    window.wait("the end of the queue", |state| state.batch.len() == 3 && state.waiting_in_batch() == 0);
    let phases: Vec<_> = window.state().batch.iter().map(|item| item.phase.clone()).collect();
    let BatchPhase::Failed(sentence) = &phases[1] else { panic!("{phases:?}") };
    assert!(sentence.contains("b.png"), "{sentence}");
    for name in ["in/dreams/a-dream.png", "in/dreams/c-dream.png"] {
        assert!(Recipe::from_picture(&window.path(name)).is_ok(), "{name}: {phases:?}");
    }
}

#[test]
fn what_cannot_be_opened_is_told_in_the_same_words_as_on_the_command_line() {
    let mut window = Window::open(&["small.safetensors"]);
    std::fs::write(window.path("text.png"), "no picture").expect("it can be written");
    std::fs::write(window.path("net.safetensors"), "no net").expect("it can be written");
    let words = imageio::load(&window.path("text.png"), &imageio::Limits::default()).expect_err("it is none");
    let words = crate::base::text::one_line(&words);
    window.drop_files(&["text.png"]);
    window.wait("the refusal", |state| !state.messages.is_empty());
    assert!(window.says(&words), "{:?} is not {words}", window.state().messages);
    window.drop_files(&["net.safetensors"]);
    window.wait("the other refusal", |state| state.messages.len() > 1);
    assert!(window.says("net.safetensors"), "{:?}", window.state().messages);
    window.drop_files(&["not there.png"]);
    window.wait("the third refusal", |state| state.messages.len() > 2);
    assert!(window.state().net.is_some() && window.state().opening.is_empty());
}

#[test]
fn a_closed_window_comes_back_where_it_was() {
    let mut window = Window::open(&["small.safetensors"]);
    write_recipe(&window, "quick.toml", DreamSpec { seed: 5, ..small_spec() });
    window.drop_files(&["quick.toml"]);
    window.wait("the recipe", |state| state.spec.seed == 5);
    window.key(Modifiers::NONE, Key::Space);
    window.ended();
    window.key(Modifiers::NONE, Key::C);
    let shown = window.state().takes[0].steps.last().expect("it has steps").frame.rgb().to_vec();
    window.key(Modifiers::COMMAND, Key::Q);
    window.wait("the farewell", |state| state.leaving == Leaving::Free);
    assert!(window.path("home/data/session/session.toml").exists());
    let Window { harness, folder } = window;
    drop(harness);
    let mut window = Window::open_in(folder, &[]);
    window.wait("the session", |state| state.take().is_some());
    let state = window.state();
    assert_eq!((state.spec.seed, state.canvas.split), (5, Some(0.5)));
    assert_eq!(state.photo.as_ref().map(|photo| photo.name()), Some("photo.png".into()));
    assert_eq!(state.takes[0].steps[0].frame.rgb(), shown);
    // And on it goes.
    window.key(Modifiers::NONE, Key::Space);
    window.ended();
    assert_eq!(window.state().takes.last().and_then(|take| take.steps.last()).map(|step| step.frame.done), Some(12));
}

#[test]
fn the_net_is_asked_what_it_sees() {
    let mut window = Window::open(&["small.safetensors", "photo.png"]);
    window.wait("the photo", |state| state.photo.as_ref().is_some_and(|photo| photo.name() == "photo.png"));
    window.ended();
    window.key(Modifiers::NONE, Key::W);
    window.wait("an answer", |state| state.sees.looked.is_some());
    let looked = window.state().sees.looked.clone().expect("it was waited for");
    let classes = looked.classes.expect("the net classifies");
    assert_eq!(classes.len(), 4);
    assert!(!looked.firings.is_empty() && looked.firings.len() == looked.maps.len());
    let channel = looked.firings[0].channel;
    window.harness.step();
    window.click(&format!("Dream with channel {channel} of {}", looked.layer));
    assert_eq!(window.state().spec.channels, [channel]);
}

#[test]
fn a_photo_that_vanishes_while_it_waits_does_not_hold_the_others_up() {
    let mut window = Window::open(&["small.safetensors"]);
    window.run(Command::PauseBatch(true));
    for name in ["a.png", "b.png"] {
        std::fs::copy(window.path("photo.png"), window.path(name)).expect("it can be copied");
    }
    window.drop_files(&["a.png", "b.png"]);
    assert_eq!(window.state().waiting_in_batch(), 2);
    std::fs::remove_file(window.path("a.png")).expect("it can be removed");
    window.run(Command::PauseBatch(false));
    window.wait("the end of the queue", |state| state.waiting_in_batch() == 0);
    let phases: Vec<_> = window.state().batch.iter().map(|item| item.phase.clone()).collect();
    assert!(matches!(&phases[0], BatchPhase::Failed(sentence) if sentence.contains("a.png")), "{phases:?}");
    assert!(matches!(&phases[1], BatchPhase::Done(_)), "{phases:?}");
}

#[test]
fn a_folder_that_cannot_be_written_is_told_before_anything_is_dreamt() {
    let mut window = Window::open(&["small.safetensors"]);
    // A file in the place of the folder stops the administrator, too.
    std::fs::write(window.path("out"), "").expect("it can be written");
    let folder = window.path("out");
    window.run(Command::SetOutputFolder(Some(folder)));
    std::fs::copy(window.path("photo.png"), window.path("b.png")).expect("it can be copied");
    window.drop_files(&["photo.png", "b.png"]);
    window.wait("the end of the queue", |state| state.batch.len() == 2 && state.waiting_in_batch() == 0);
    for item in &window.state().batch {
        assert!(matches!(&item.phase, BatchPhase::Failed(sentence) if sentence.contains("out")), "{:?}", item.phase);
        assert!(item.progress.is_none(), "it was dreamt for nothing");
    }
    // The settings are kept in their file.
    let (home, out) = (window.path("home"), window.path("out"));
    window.wait("the settings in their file", move |_| {
        Files::new(Some(Home::at(&home))).settings().output_folder.as_ref() == Some(&out)
    });
}

/// The header of a PNG of 100,000 × 100,000 pixels, and nothing else.
fn huge_png() -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(100_000u32.to_be_bytes());
    header.extend(100_000u32.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let checksum = crc32fast::hash(&header).to_be_bytes();
    [b"\x89PNG\r\n\x1a\n", &13u32.to_be_bytes()[..], &header, &checksum].concat()
}

#[test]
fn a_picture_that_no_machine_holds_is_refused_by_its_header() {
    let mut window = Window::open(&["small.safetensors"]);
    std::fs::write(window.path("huge.png"), huge_png()).expect("it can be written");
    let words = crate::tasks::dream::Photo::load(&window.path("huge.png"), None).expect_err("it is too large");
    window.drop_files(&["huge.png"]);
    window.wait("the refusal", |state| !state.messages.is_empty());
    // How much memory is left changes from one moment to the next.
    let begins = crate::base::text::one_line(&words);
    let begins = begins.split(char::is_numeric).next().unwrap_or_default();
    assert!(!begins.is_empty() && window.says(begins), "{:?} is not {words}", window.state().messages);
    assert!(window.state().opening.is_empty());
}

#[test]
fn steps_are_exported_and_pasted_pictures_dreamt() {
    let mut window = Window::open(&["small.safetensors"]);
    write_recipe(&window, "quick.toml", small_spec());
    window.drop_files(&["quick.toml"]);
    window.wait("the recipe", |state| state.spec.steps == 4);
    let picture = crate::gui::testing::open_photo("x").image.clone();
    window.run(Command::Paste(picture));
    window.wait("the pasted picture", |state| state.photo.as_ref().is_some_and(|photo| photo.name() == "pasted.png"));
    window.ended();
    for name in ["steps.gif", "steps.png", "steps.webp"] {
        let path = window.path(name);
        let picked = Event::Picked { pick: Pick::Animation, paths: vec![path.clone()] };
        window.run(Command::Host(Box::new(picked)));
        window.wait("the animation", |state| state.export.is_none());
        let loaded = imageio::load(&path, &imageio::Limits::default()).expect("it can be read");
        assert_eq!([loaded.picture.width, loaded.picture.height], [48, 32], "{name}");
        assert!(loaded.notes.iter().any(|note| note.contains("first")), "{name}: {:?}", loaded.notes);
    }
}

#[test]
fn presets_are_kept_renamed_and_deleted() {
    let mut window = Window::open(&["small.safetensors", "photo.png"]);
    window.wait("the looks", |state| !state.bundled.is_empty());
    window.run(Command::SavePreset("night".into()));
    window.wait("the preset", |state| state.presets.len() == 1);
    assert!(window.state().presets[0].picture.is_some());
    window.run(Command::RenamePreset { old: "night".into(), new: "day".into() });
    window.wait("its new name", |state| state.presets.first().is_some_and(|preset| preset.name == "day"));
    window.run(Command::SavePreset("vivid".into()));
    window.wait("a refusal", |state| !state.messages.is_empty());
    window.run(Command::DeletePreset("day".into()));
    window.wait("its end", |state| state.presets.is_empty());
}

#[test]
fn keys_belong_to_an_open_menu_and_to_what_has_the_focus_first() {
    let mut window = Window::open(&["small.safetensors"]);
    write_recipe(&window, "slow.toml", DreamSpec { steps: 100_000, ..small_spec() });
    window.drop_files(&["slow.toml"]);
    window.wait("the recipe", |state| state.spec.steps == 100_000);
    window.key(Modifiers::NONE, Key::Space);
    window.wait("the first steps", |state| state.take().is_some_and(|take| take.steps.len() > 2));
    window.click("File");
    assert!(window.harness.query_by_label("Save as…").is_some());
    window.key(Modifiers::NONE, Key::Escape);
    window.harness.step();
    assert!(window.harness.query_by_label("Save as…").is_none(), "escape closes the menu");
    assert!(window.state().live_take().is_some(), "and nothing else");
    // A text is typed, not commanded.
    window.harness.get_by_label("Dream of a class").focus();
    window.harness.step();
    window.key(Modifiers::NONE, Key::R);
    assert_eq!(window.state().takes.len(), 1);
    window.key(Modifiers::NONE, Key::Escape);
    window.harness.step();
    window.key(Modifiers::NONE, Key::Escape);
    window.wait("the end", |state| state.live_take().is_none());
}

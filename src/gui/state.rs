//! All that the window shows, as plain data. Changed by [`crate::gui::update`] alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::gui::history::History;
use crate::gui::host::{
    BundledPreset, Exposure, Fetching, Image, JobId, Looked, OpenNet, OpenPhoto, OwnPreset, Seen, Start, Step,
};
use crate::gui::settings::Settings;
use crate::job::Progress;
use crate::tasks::catalogue::{Listing, State};
use crate::tasks::dream::{DreamSpec, LayerWeight};

/// What the window is for at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Dream,
    /// A look into the net itself.
    Net,
}

impl Mode {
    pub const ALL: [Self; 2] = [Self::Dream, Self::Net];

    pub fn name(self) -> &'static str {
        match self {
            Self::Dream => "Dream",
            Self::Net => "Net",
        }
    }
}

/// How far a dream is.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Waiting for its turn, or being prepared.
    Starting,
    Running,
    Paused,
    /// The steps are done, or it was stopped.
    Ended,
    /// Why it could not go on.
    Failed(String),
}

impl Phase {
    /// Whether a job stands behind it.
    pub fn is_alive(&self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Paused)
    }
}

/// One dream on the canvas: from a start, in steps that can be gone back to.
#[derive(Clone, Debug)]
pub struct Take {
    pub job: JobId,
    pub start: Start,
    pub net: Arc<OpenNet>,
    /// The settings that its next step is made with.
    pub spec: DreamSpec,
    pub phase: Phase,
    /// `[height, width]` of the result, once it is known.
    pub size_px: Option<[usize; 2]>,
    pub progress: Option<Progress>,
    /// The latest picture.
    pub picture: Option<Image>,
    /// What was kept of it, oldest first.
    pub steps: Vec<Step>,
    /// The number of steps done in what was saved last, and where.
    pub saved: Option<(usize, PathBuf)>,
}

impl Take {
    pub fn photo(&self) -> Option<&Arc<OpenPhoto>> {
        match &self.start {
            Start::Photo(photo) => Some(photo),
            Start::File(_) | Start::Noise => None,
        }
    }

    pub fn title(&self) -> String {
        self.photo().map_or_else(|| "noise".into(), |photo| photo.name())
    }

    /// What it takes to develop a kept step.
    pub fn exposure(&self, index: usize) -> Option<Exposure> {
        let frame = self.steps.get(index)?.frame.clone();
        Some(Exposure { job: self.job, graph: self.net.graph.clone(), start: self.start.clone(), frame })
    }

    /// Whether the newest step is in no file yet.
    pub fn is_unsaved(&self) -> bool {
        let newest = self.steps.last().map(|step| step.frame.done);
        newest.is_some() && self.saved.as_ref().map(|(done, _)| *done) != newest
    }
}

/// A kept step that is shown instead of the newest.
#[derive(Clone, Debug)]
pub struct Scrub {
    pub index: usize,
    /// Its picture, once it is ready; until then what was shown stays.
    pub picture: Option<Image>,
}

/// How the picture lies on the canvas.
#[derive(Clone, Debug, PartialEq)]
pub struct CanvasView {
    /// Points of the screen a pixel; none fits the picture into the canvas.
    pub zoom: Option<f32>,
    /// Where the middle of the canvas lies in the picture, from 0 to 1 across and down.
    pub center: [f32; 2],
    /// Where before and after meet, from 0 (all after) to 1 (all before); none shows the after alone.
    pub split: Option<f32>,
    /// Whether the photo alone is shown while a key is held.
    pub peek: bool,
    /// The part of the picture that was marked with the mouse: left, top, right, bottom, from 0 to 1.
    pub marked: Option<[f32; 4]>,
}

impl Default for CanvasView {
    fn default() -> Self {
        Self { zoom: None, center: [0.5; 2], split: None, peek: false, marked: None }
    }
}

/// How a photo of a batch fares.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchPhase {
    Waiting,
    Running,
    Paused,
    /// The file that it was saved to.
    Done(PathBuf),
    Failed(String),
    Cancelled,
}

impl BatchPhase {
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Failed(_) | Self::Cancelled)
    }
}

/// One photo of a batch.
#[derive(Clone, Debug)]
pub struct BatchItem {
    pub job: JobId,
    pub path: PathBuf,
    /// The settings when it was put in the queue.
    pub spec: DreamSpec,
    /// The net at that time; none while the first net was not open yet.
    pub net: Option<Arc<OpenNet>>,
    pub folder: PathBuf,
    pub phase: BatchPhase,
    pub progress: Option<Progress>,
    /// The latest picture, while it is dreamt.
    pub picture: Option<Image>,
}

/// What the right-hand panel shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    #[default]
    Sees,
    Queue,
}

/// "What does it see?"
#[derive(Clone, Debug, Default)]
pub struct Sees {
    pub looked: Option<Looked>,
    /// The number of the question whose answer is on its way.
    pub asked: Option<u64>,
    /// The layer to look at; none is the one that is dreamt with.
    pub layer: Option<String>,
    /// What was looked at last, so that another layer can be looked at in the same place.
    pub last: Option<(Seen, Option<[f32; 2]>)>,
}

/// What the Net mode shows.
#[derive(Clone, Debug)]
pub struct NetView {
    /// The node that was clicked.
    pub selected: Option<usize>,
    pub zoom: f32,
    /// The point of the drawing in the middle of the view.
    pub center: [f32; 2],
    /// Whether the drawing is to be brought to its beginning at the next frame.
    pub is_fresh: bool,
}

impl Default for NetView {
    fn default() -> Self {
        Self { selected: None, zoom: 1.0, center: [0.0; 2], is_fresh: true }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Info,
    Warning,
    Error,
}

/// One sentence to the user, shown for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub id: u64,
    pub tone: Tone,
    pub text: String,
    /// When it goes by itself, in the window's seconds; errors stay until they are closed.
    pub until_s: Option<f64>,
}

/// A question or a page in front of everything else.
#[derive(Clone, Debug, PartialEq)]
pub enum Dialog {
    Shortcuts,
    About,
    /// The nets that there are.
    Nets,
    /// The text of the name field.
    SavePreset(String),
    RenamePreset {
        old: String,
        new: String,
    },
    DeletePreset(String),
    /// Closing would lose this, as the end of a sentence.
    Quit {
        would_lose: String,
    },
}

/// Texts that are being typed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Form {
    pub layer_query: String,
    pub class_query: String,
    /// As typed; the spec has what it means.
    pub channels: String,
}

/// What only the window's frame can do; taken by the application after each update.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    CopyImage(ImageHandle),
    Close,
}

/// An image that is equal to itself alone.
#[derive(Clone, Debug)]
pub struct ImageHandle(pub Image);

impl PartialEq for ImageHandle {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// An export of steps that is being written: done, of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Export {
    pub done: usize,
    pub count: usize,
}

/// How far the window is on its way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaving {
    #[default]
    Not,
    /// The session of this number is being kept; `anyway` says that the user does not mind what is lost.
    Keeping { session: u64, anyway: bool },
    /// The session is kept, saves are still being written.
    Saving,
    /// Nothing holds it any more.
    Free,
}

#[derive(Debug, Default)]
pub struct AppState {
    pub mode: Mode,
    pub photo: Option<Arc<OpenPhoto>>,
    /// Files that are being read.
    pub opening: Vec<PathBuf>,
    pub net: Option<Arc<OpenNet>>,
    /// The net that is being read.
    pub opening_net: Option<String>,
    /// All nets that there are, once they have been listed.
    pub nets: Vec<Listing>,
    /// The nets that are being fetched.
    pub fetching: BTreeMap<String, Fetching>,
    /// Settings as the controls show them.
    pub spec: DreamSpec,
    pub history: History,
    /// Why the dream that runs cannot take the present settings: they count from the next start on.
    pub waits_for_start: Option<&'static str>,
    pub takes: Vec<Take>,
    /// The take on the canvas.
    pub current: Option<usize>,
    pub scrub: Option<Scrub>,
    /// A picture that came with its recipe, shown until something is dreamt.
    pub restored: Option<Arc<OpenPhoto>>,
    /// A photo that is to be dreamt as soon as it is open and a net is there.
    pub dream_when_open: bool,
    pub batch: Vec<BatchItem>,
    pub batch_is_paused: bool,
    pub canvas: CanvasView,
    pub side: Side,
    pub sees: Sees,
    pub net_view: NetView,
    /// Presets that come with the program.
    pub bundled: Vec<BundledPreset>,
    /// The user's own.
    pub presets: Vec<OwnPreset>,
    pub export: Option<Export>,
    pub messages: Vec<Message>,
    pub dialog: Option<Dialog>,
    pub form: Form,
    pub settings: Settings,
    pub shows_frame_times: bool,
    pub effects: Vec<Effect>,
    /// The window's clock in seconds.
    pub now_s: f64,
    pub leaving: Leaving,
    /// Saves that are being written.
    pub saving: usize,
    /// The layers that the preset chooses for the net, while none is named.
    pub preset_layers: Vec<LayerWeight>,
    /// The classes that are called as the user types.
    pub found_classes: Vec<(usize, String)>,
    pub next_id: u64,
}

impl AppState {
    /// The nets that can be opened at once, by name.
    pub fn nets_at_hand(&self) -> impl Iterator<Item = &Listing> {
        self.nets.iter().filter(|net| matches!(net.state, State::BuiltIn | State::Installed))
    }

    pub fn take(&self) -> Option<&Take> {
        self.takes.get(self.current?)
    }

    pub fn take_mut(&mut self) -> Option<&mut Take> {
        self.takes.get_mut(self.current?)
    }

    pub fn take_of(&mut self, job: JobId) -> Option<&mut Take> {
        self.takes.iter_mut().find(|take| take.job == job)
    }

    /// The dream on the canvas that has a job behind it.
    pub fn live_take(&self) -> Option<&Take> {
        self.take().filter(|take| take.phase.is_alive())
    }

    /// The kept step that is shown: the one gone back to, or the newest.
    pub fn shown_step(&self) -> Option<usize> {
        let take = self.take()?;
        match &self.scrub {
            Some(scrub) if scrub.index < take.steps.len() => Some(scrub.index),
            _ => take.steps.len().checked_sub(1),
        }
    }

    /// The picture after the dream, or the photo where there is no dream.
    pub fn after(&self) -> Option<&Image> {
        let scrubbed = self.scrub.as_ref().and_then(|scrub| scrub.picture.as_ref());
        let dreamt = self.take().and_then(|take| take.picture.as_ref());
        let restored = self.restored.as_ref().map(|picture| &picture.image);
        let queued = self.batch_picture().filter(|_| self.current.is_none());
        scrubbed.or(dreamt).or(restored).or(queued).or(self.before())
    }

    /// What the queue is dreaming: shown while the canvas has no dream of its own.
    pub fn batch_picture(&self) -> Option<&Image> {
        let dreamt = |item: &&BatchItem| matches!(item.phase, BatchPhase::Running | BatchPhase::Paused);
        self.batch.iter().find(dreamt)?.picture.as_ref()
    }

    /// The photo, where there is one.
    pub fn before(&self) -> Option<&Image> {
        let photo = match self.take() {
            Some(take) => take.photo(),
            None if self.restored.is_none() && self.batch_picture().is_some() => None,
            None => self.photo.as_ref(),
        };
        photo.map(|photo| &photo.image)
    }

    /// `[height, width]` in pixels of what is on the canvas at its full size.
    pub fn canvas_size_px(&self) -> Option<[usize; 2]> {
        let of_take = self.take().and_then(|take| take.size_px);
        let of_restored = self.restored.as_ref().map(|picture| picture.size_px());
        let queued = self.batch_picture().filter(|_| self.current.is_none() && self.restored.is_none());
        let of_queued = queued.map(|image| [image.height(), image.width()]);
        of_take.or(of_restored).or(of_queued).or_else(|| self.photo.as_ref().map(|photo| photo.size_px()))
    }

    /// What a net would look at: the picture on the canvas.
    pub fn seen(&self) -> Option<Seen> {
        let frame = self.shown_step().and_then(|index| Some(self.take()?.steps.get(index)?.frame.clone()));
        let opened = self.restored.as_ref().or(self.photo.as_ref());
        frame.map(Seen::Step).or_else(|| opened.cloned().map(Seen::Photo))
    }

    /// Finds again what follows from the settings and the net.
    pub fn refresh(&mut self) {
        let net = self.net.as_ref();
        self.preset_layers = net.map(|net| self.spec.layers_for(&net.graph)).unwrap_or_default();
    }

    pub fn is_leaving(&self) -> bool {
        self.leaving != Leaving::Not
    }

    pub fn waiting_in_batch(&self) -> usize {
        self.batch.iter().filter(|item| !item.phase.is_over()).count()
    }

    pub fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Says something to the user. A sentence that is on the screen already is not said twice.
    pub fn say(&mut self, tone: Tone, text: impl Into<String>) {
        const SHOWN_S: f64 = 8.0;
        const MOST: usize = 5;
        let text = sentence(text.into());
        self.messages.retain(|message| message.text != text);
        let until_s = (tone != Tone::Error).then_some(self.now_s + SHOWN_S);
        let id = self.fresh_id();
        self.messages.push(Message { id, tone, text, until_s });
        let too_many = self.messages.len().saturating_sub(MOST);
        self.messages.drain(..too_many);
    }
}

/// `text` with a capital at its beginning, where that is a word and not the name of a file or a setting.
fn sentence(text: String) -> String {
    let is_word = text.split([' ', ',']).next().is_some_and(|word| word.chars().all(char::is_alphabetic));
    let mut chars = text.chars();
    if !is_word {
        return text;
    }
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => text,
    }
}

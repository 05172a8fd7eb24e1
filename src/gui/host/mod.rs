//! What the window asks for and what it hears back: everything that loads, saves or computes happens behind this line.
//!
//! [`crate::gui::update`] sends [`Request`]s into a [`JobHost`] and is fed its [`Event`]s. The real host works on threads of
//! its own ([`worker`]); tests bring one that plays a script.

mod dream;
mod files;
mod keep;
mod look;
mod nets;
mod pictures;
mod sheets;
pub mod worker;

pub use files::{Files, NODE_SIZE};
pub use nets::{FetchOutcome, Fetching};

use std::path::PathBuf;
use std::sync::Arc;

use crate::formats::LoadOptions;
use crate::gui::session::Session;
use crate::gui::settings::Settings;
use crate::imageio::{AnimationFormat, Picture};
use crate::job::{How, Progress};
use crate::nn::graph::Graph;
use crate::tasks::catalogue::Listing;
use crate::tasks::classify::ClassScore;
use crate::tasks::dream::{DreamSpec, Frame, Photo, Recipe};
use crate::tasks::inspect::Inspection;
use crate::tasks::look::{Firing, LayerInfo, NetLayout};

/// A picture made ready for the screen.
pub type Image = Arc<egui::ColorImage>;

/// Names one dream of the window, in the order that they were begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// A photo that is open.
#[derive(Debug)]
pub struct OpenPhoto {
    pub photo: Photo,
    /// The whole photo, no larger than a texture may be.
    pub image: Image,
    pub thumbnail: Image,
}

impl OpenPhoto {
    /// The name of its file, for titles.
    pub fn name(&self) -> String {
        self.photo.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// `[height, width]` in pixels.
    pub fn size_px(&self) -> [usize; 2] {
        self.photo.picture.size()
    }
}

/// A net that is open, with what the panels show of it.
#[derive(Debug)]
pub struct OpenNet {
    /// What opens it: a name in the catalogue, or a path.
    pub key: String,
    /// What was said of it beside its file.
    pub options: LoadOptions,
    pub graph: Arc<Graph>,
    /// For the layer picker.
    pub layers: Vec<LayerInfo>,
    pub inspection: Inspection,
    pub layout: NetLayout,
    pub filters: Option<FilterSheet>,
}

impl OpenNet {
    /// Whether it is the net that the settings name.
    pub fn is_of(&self, spec: &DreamSpec) -> bool {
        self.key == spec.net && self.options == spec.net_options
    }
}

/// The filters of the first layer, side by side.
#[derive(Debug)]
pub struct FilterSheet {
    pub layer: String,
    pub sheet: Sheet,
}

/// Small pictures of one size in rows, with a line between them.
#[derive(Clone, Debug)]
pub struct Sheet {
    pub image: Image,
    /// How many pictures a row holds.
    pub columns: usize,
    pub count: usize,
    /// `[height, width]` of one picture with its line.
    pub cell_px: [usize; 2],
}

impl Sheet {
    /// Which picture lies at a pixel of the sheet.
    pub fn index_at(&self, x: usize, y: usize) -> Option<usize> {
        let [height, width] = self.cell_px;
        let (column, row) = (x / width.max(1), y / height.max(1));
        let index = row * self.columns + column;
        (column < self.columns && index < self.count).then_some(index)
    }
}

/// One kept step of a dream.
#[derive(Clone, Debug)]
pub struct Step {
    pub frame: Arc<Frame>,
    pub thumbnail: Image,
}

/// A step that was kept from one start to the next, with all that it takes to go on from it.
#[derive(Clone, Debug)]
pub struct Kept {
    pub step: Step,
    /// The step at full size.
    pub picture: Image,
    /// `[height, width]` of the full size; the picture is smaller where no texture could hold it.
    pub size_px: [usize; 2],
    pub start: Start,
    /// The net that it was dreamt with, which need not be that of the session.
    pub net: Arc<OpenNet>,
}

/// What a dream starts from.
#[derive(Clone, Debug)]
pub enum Start {
    Photo(Arc<OpenPhoto>),
    /// A photo that is read when its turn comes.
    File(PathBuf),
    /// Noise of the size that the spec names.
    Noise,
}

/// What becomes of a dream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deliver {
    /// It is shown step by step, and its steps are kept.
    Canvas,
    /// It is saved into this folder under a fresh name.
    Folder(PathBuf),
}

#[derive(Clone, Debug)]
pub struct DreamOrder {
    pub job: JobId,
    pub graph: Arc<Graph>,
    pub spec: DreamSpec,
    pub start: Start,
    /// The step to go on from, instead of the beginning.
    pub from: Option<Arc<Frame>>,
    /// Kept steps up to that one.
    pub earlier: Vec<Step>,
    pub deliver: Deliver,
}

/// Which file a picture goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaveTo {
    /// A fresh name after the photo's: in this folder, else beside the photo, else in the user's pictures.
    Fresh(Option<PathBuf>),
    /// This file; replaced if it is there.
    File(PathBuf),
}

/// A step of a dream, and what it takes to develop it at full size.
#[derive(Clone, Debug)]
pub struct Exposure {
    pub job: JobId,
    pub graph: Arc<Graph>,
    pub start: Start,
    pub frame: Arc<Frame>,
}

/// What a dialog asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    Photos,
    Folder,
    Net,
    SaveAs,
    Animation,
    OutputFolder,
}

/// The layer and the picture that are looked into.
#[derive(Clone, Debug)]
pub struct LookOrder {
    /// Comes back with the answer.
    pub number: u64,
    pub graph: Arc<Graph>,
    pub layer: String,
    pub picture: Seen,
    /// Across and down, from 0 to 1.
    pub at: Option<[f32; 2]>,
    /// Whether the layer's maps are wanted as pictures, too.
    pub with_maps: bool,
}

/// Which picture the net looks at.
#[derive(Clone, Debug)]
pub enum Seen {
    Photo(Arc<OpenPhoto>),
    Step(Arc<Frame>),
}

/// What a net sees in a picture.
#[derive(Clone, Debug)]
pub struct Looked {
    pub number: u64,
    pub layer: String,
    /// The place that was asked for; none is the whole picture.
    pub at: Option<[f32; 2]>,
    /// The strongest first.
    pub firings: Vec<Firing>,
    /// A small map of each of the firings.
    pub maps: Vec<Image>,
    /// The likeliest classes, or why there are none.
    pub classes: Result<Vec<ClassScore>, String>,
    /// All maps of the layer, when they were asked for.
    pub sheet: Option<Sheet>,
}

/// A preset of the user's own.
#[derive(Clone, Debug)]
pub struct OwnPreset {
    pub name: String,
    pub spec: DreamSpec,
    pub picture: Option<Image>,
}

/// A preset that comes with the program.
#[derive(Clone, Debug)]
pub struct BundledPreset {
    pub name: String,
    /// What it does to a picture, in one line.
    pub summary: String,
    pub spec: DreamSpec,
    pub picture: Option<Image>,
}

/// What the window wants done.
#[derive(Clone, Debug)]
pub enum Request {
    /// Reads a photo, or a picture with a recipe, or a text file that holds one.
    OpenPhoto(PathBuf),
    OpenSample,
    /// Opens what was open when the window was closed last: the photo, the net, then the session itself; at the first
    /// start the sample photo and the net that ships.
    ///
    /// Quietly, only the session is opened: where files were named, or the user was faster.
    ComeBack {
        quietly: bool,
    },
    /// Keeps a picture from the clipboard as a file, and opens it.
    KeepPasted(Image),
    OpenNet {
        key: String,
        options: Box<LoadOptions>,
    },
    ListNets,
    FetchNet(String),
    StopFetching(String),
    RemoveNet(String),
    /// Finds the pictures in a folder.
    ListFolder(PathBuf),
    Dream(Box<DreamOrder>),
    Pause(JobId),
    Resume(JobId),
    Cancel(JobId),
    /// New settings for a dream that runs, from its next step on.
    Steer(JobId, Box<DreamSpec>),
    /// A kept step as a picture for the screen.
    ShowStep(Exposure),
    Save(Exposure, SaveTo),
    /// A step at full size for the clipboard.
    Copy(Exposure),
    Export {
        exposures: Vec<Exposure>,
        path: PathBuf,
        frame_ms: u32,
    },
    CancelExport,
    Look(Box<LookOrder>),
    Pick(Pick, Option<PathBuf>),
    ListPresets,
    SavePreset {
        name: String,
        spec: Box<DreamSpec>,
        picture: Option<Image>,
    },
    RenamePreset {
        old: String,
        new: String,
    },
    DeletePreset(String),
    KeepSettings(Box<Settings>),
    /// Keeps where the user is, so that the next start comes back here. The number comes back when it is done.
    KeepSession {
        number: u64,
        session: Box<Session>,
        frame: Option<Arc<Frame>>,
    },
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    PhotoOpened(Arc<OpenPhoto>),
    /// A picture from the clipboard, kept and opened.
    PhotoPasted(Arc<OpenPhoto>),
    /// A picture that carries a recipe: its settings, and its photo where that was found.
    DreamOpened {
        path: PathBuf,
        recipe: Box<Recipe>,
        photo: Option<Arc<OpenPhoto>>,
        picture: Arc<OpenPhoto>,
    },
    NetOpened(Arc<OpenNet>),
    NetsListed(Vec<Listing>),
    FetchProgress {
        name: String,
        progress: Fetching,
    },
    /// The error is a sentence for the user.
    FetchEnded {
        name: String,
        ended: Result<FetchOutcome, String>,
    },
    FolderListed {
        folder: PathBuf,
        pictures: Vec<PathBuf>,
    },
    /// `[height, width]` of the result, and what the settings came to (the layers that the preset chose).
    JobStarted {
        job: JobId,
        size_px: [usize; 2],
        spec: Box<DreamSpec>,
    },
    JobProgress {
        job: JobId,
        progress: Progress,
    },
    JobPreview {
        job: JobId,
        image: Image,
    },
    /// All kept steps, oldest first.
    JobSteps {
        job: JobId,
        steps: Vec<Step>,
    },
    JobWarned {
        job: JobId,
        sentence: String,
    },
    JobEnded {
        job: JobId,
        ended: Result<Ended, String>,
    },
    StepShown {
        job: JobId,
        done: usize,
        image: Image,
    },
    Saved {
        job: JobId,
        done: usize,
        path: PathBuf,
    },
    CopyReady(Image),
    ExportProgress {
        done: usize,
        count: usize,
    },
    ExportEnded {
        path: PathBuf,
        stopped: bool,
    },
    Looked(Box<Looked>),
    Picked {
        pick: Pick,
        paths: Vec<PathBuf>,
    },
    BundledPresets(Vec<BundledPreset>),
    PresetsListed(Vec<OwnPreset>),
    /// The last session, whose photo and net are open by now, and the step that was shown. Where its net could not be
    /// opened, its settings are for the net that ships.
    SessionFound {
        session: Box<Session>,
        shown: Option<Box<Kept>>,
        /// Only the kept step is wanted: the user opens something else.
        quietly: bool,
    },
    SessionKept {
        number: u64,
    },
    /// A request failed: one sentence for the user.
    Failed {
        what: Failed,
        sentence: String,
    },
    Warned(String),
    /// What the user may want to know.
    Noted(String),
}

/// How a dream ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub how: How,
    /// The result for the screen; none where it went to a file only.
    pub image: Option<Image>,
    pub saved: Option<PathBuf>,
}

/// What a failed request was about, where the window waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    OpenPhoto(PathBuf),
    OpenNet(String),
    Save,
    Export,
    Look,
    KeepSession,
    Other,
}

impl Failed {
    /// What fails when this request does.
    pub fn of(request: &Request) -> Self {
        match request {
            Request::OpenPhoto(path) => Self::OpenPhoto(path.clone()),
            Request::OpenNet { key, .. } => Self::OpenNet(key.clone()),
            Request::Save(..) => Self::Save,
            Request::Export { .. } => Self::Export,
            Request::Look(_) => Self::Look,
            Request::KeepSession { .. } => Self::KeepSession,
            _ => Self::Other,
        }
    }
}

/// Where requests go. Returns at once; what comes of a request is an [`Event`] later.
pub trait JobHost {
    fn submit(&mut self, request: Request);
}

/// Which file formats the steps can be exported to, as the dialogs name them.
pub const ANIMATIONS: [(AnimationFormat, &str); 3] =
    [(AnimationFormat::Gif, "GIF"), (AnimationFormat::Apng, "Animated PNG"), (AnimationFormat::WebP, "Animated WebP")];

/// A frame's picture at its octave's size.
pub fn picture_of(frame: &Frame) -> Picture {
    let [height, width] = frame.size_px;
    Picture::from_rgb(width, height, frame.rgb().to_vec())
}

//! Everything that a user can do, as values: panels return them, [`crate::gui::update`] carries them out.

use std::path::PathBuf;

use crate::gui::host::{Event, Image, JobId, Pick};
use crate::gui::settings::Theme;
use crate::gui::state::{CanvasView, Dialog, Form, Mode, Side};
use crate::tasks::dream::DreamSpec;

#[derive(Clone, Debug)]
pub enum Command {
    /// The first command of a run: what was given on the command line.
    Begin {
        files: Vec<PathBuf>,
    },
    SetMode(Mode),
    /// Files that were dropped, picked, or named.
    OpenFiles(Vec<PathBuf>),
    OpenSample,
    OpenNet(String),
    /// The list of all nets that there are.
    ShowNets,
    /// Fetches a net of the catalogue.
    GetNet(String),
    /// Stops fetching it; what has arrived stays.
    StopGettingNet(String),
    /// Removes an installed net from the disk.
    RemoveNet(String),
    Paste(Image),
    Copy,
    Pick(Pick),
    Save,
    /// Puts a marked part of the picture, or nothing marked, into the view.
    SetView(CanvasView),
    /// Starts from the photo, whatever is there.
    StartOver,
    /// Pauses what runs; resumes what is paused; goes on from the step that is shown; or starts.
    Toggle,
    /// Goes on from the step that is shown, as a dream of its own.
    GoOn,
    /// Ends the dream; what is there stays.
    Stop,
    ShowStep(usize),
    /// Back to the newest step.
    ShowNewest,
    /// One kept step back or forth.
    StepBy(isize),
    ShowTake(JobId),
    CloseTake(JobId),
    /// New settings, changed by the named control.
    Edit(Box<DreamSpec>, &'static str),
    /// The control has been let go.
    Settle,
    /// All settings of a preset but those that belong to the photo.
    ApplyPreset(Box<DreamSpec>),
    Undo,
    Redo,
    SavePreset(String),
    RenamePreset {
        old: String,
        new: String,
    },
    DeletePreset(String),
    /// What does the net see here? Across and down, from 0 to 1; none is the whole picture.
    LookAt(Option<[f32; 2]>),
    SetLookLayer(Option<String>),
    /// Dreams with one channel of a layer, from now on.
    DreamChannel {
        layer: String,
        channel: usize,
    },
    DreamLayer(String),
    DreamClass(usize),
    ShowSide(Side),
    SelectNode(Option<usize>),
    SetNetView {
        zoom: f32,
        center: [f32; 2],
    },
    PauseBatch(bool),
    CancelBatch(JobId),
    /// Up (negative) or down in the queue.
    MoveBatch(JobId, isize),
    ClearBatch,
    CancelExport,
    SetForm(Form),
    Open(Dialog),
    CloseDialog,
    CloseMessage(u64),
    SetTheme(Theme),
    StepScale {
        larger: bool,
    },
    ResetScale,
    SetDreamOnDrop(bool),
    SetOutputFolder(Option<PathBuf>),
    /// How long a step of an exported animation stays, in milliseconds.
    SetAnimationFrame(u32),
    ForgetRecent,
    ToggleFrameTimes,
    /// The user wants to leave; asks when something would be lost.
    Quit,
    /// Leaves whatever is lost.
    QuitAnyway,
    /// The clock moved on.
    Tick(f64),
    Host(Box<Event>),
}

//! Where the user was when the window closed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::gui::state::Mode;
use crate::tasks::dream::DreamSpec;

/// A step that is in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedStep {
    pub done: usize,
    pub file: PathBuf,
}

/// What the next start comes back to. The newest step of the dream on the canvas is kept beside it, exact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    pub mode: Mode,
    pub photo: Option<PathBuf>,
    pub spec: DreamSpec,
    /// What of the dream was saved last, and where.
    pub saved: Option<SavedStep>,
    /// Where the before and after meet, from 0 to 1; none when only one is shown.
    pub split: Option<f32>,
}

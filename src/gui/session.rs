//! Where the user was when the window closed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::gui::state::Mode;
use crate::tasks::dream::DreamSpec;

/// What the next start comes back to. The step that was shown is kept beside it, exact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    pub mode: Mode,
    pub photo: Option<PathBuf>,
    pub spec: DreamSpec,
    /// The file that the kept step was saved to, if it was.
    pub saved: Option<PathBuf>,
    /// Where the before and after meet, from 0 to 1; none when only one is shown.
    pub split: Option<f32>,
}

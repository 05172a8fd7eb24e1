//! The desktop: drop a photo and it dreams.
//!
//! [`state`] is all that is shown, [`command`] all that a user can do, [`update`](mod@update) what a command does to the state;
//! [`host`] is where everything that takes time happens, on threads of its own. [`panels`] draw the state and return
//! commands; [`app`] ties them to a window.

pub mod app;
pub mod command;
pub mod history;
pub mod host;
#[cfg(test)]
mod journeys;
pub mod panels;
pub mod session;
pub mod settings;
pub mod shortcuts;
pub mod state;
#[cfg(test)]
mod testing;
pub mod text;
pub mod textures;
pub mod theme;
pub mod update;
pub mod widgets;

use std::path::PathBuf;

/// What the window is opened with.
#[derive(Clone, Debug, Default)]
pub struct Desktop {
    /// Photos, folders, dreams or nets to open.
    pub files: Vec<PathBuf>,
    /// How many threads may dream; all cores by default.
    pub threads: Option<usize>,
}

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
pub enum DesktopError {
    #[error("cannot open a window ({0}): without a display, use the commands that `oneiric --help` lists")]
    NoWindow(String),
    #[error("the system has no thread to give: {0}")]
    NoThread(#[from] std::io::Error),
}

/// Opens the window and stays until it is closed.
///
/// # Errors
/// Where there is no display, or it cannot draw.
pub fn run(desktop: Desktop) -> Result<(), DesktopError> {
    app::run(desktop)
}

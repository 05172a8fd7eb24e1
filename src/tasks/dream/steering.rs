//! New settings for a dream that runs.

use std::sync::{Arc, Mutex, PoisonError};

use super::spec::DreamSpec;

/// Hands a running dream new settings. The latest win; the dream takes them before its next step, or says in one
/// warning why it cannot. Made by [`super::DreamJob::steering`]; clones steer the same dream.
#[derive(Clone, Debug, Default)]
pub struct Steering {
    latest: Arc<Mutex<Option<DreamSpec>>>,
}

impl Steering {
    /// All settings that the dream is to have from its next step on.
    pub fn set(&self, spec: DreamSpec) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(spec);
    }

    /// What was set since the last call.
    pub(super) fn take(&self) -> Option<DreamSpec> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

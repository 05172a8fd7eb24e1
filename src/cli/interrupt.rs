//! Ctrl-C: the first one asks the work to stop and save, the second one ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

use super::failure::{Exit, Failure};
use crate::job::Control;

type Cancel = Box<dyn Fn() + Send>;

#[derive(Default)]
struct Shared {
    requested: AtomicBool,
    cancel: Mutex<Option<Cancel>>,
}

/// Watches for Ctrl-C, and for SIGTERM and SIGHUP, which mean the same.
#[derive(Clone)]
pub struct Interrupts {
    shared: Arc<Shared>,
}

impl Interrupts {
    /// Starts to watch. Once a process.
    pub fn watch() -> Result<Self, Failure> {
        let shared = Arc::new(Shared::default());
        let seen = shared.clone();
        let on_signal = move || {
            if seen.requested.swap(true, Ordering::SeqCst) {
                std::process::exit(Exit::Interrupted as i32);
            }
            if let Some(cancel) = &*seen.cancel.lock().unwrap_or_else(PoisonError::into_inner) {
                cancel();
            }
        };
        ctrlc::set_handler(on_signal).context("cannot watch for Ctrl-C").map_err(Failure::Running)?;
        Ok(Self { shared })
    }

    /// Whether somebody asked to stop.
    pub fn requested(&self) -> bool {
        self.shared.requested.load(Ordering::SeqCst)
    }

    /// Cancels the job behind `control` when somebody asks to stop, or at once if somebody already has.
    pub fn cancel_with<P: Send + Sync + 'static>(&self, control: &Control<P>) {
        let control = control.clone();
        *self.shared.cancel.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new({
            let control = control.clone();
            move || control.cancel()
        }));
        // A signal may have come before the handler knew of this job.
        if self.requested() {
            control.cancel();
        }
    }
}

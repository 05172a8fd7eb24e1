//! The run loop that every long task shares: steps, progress, previews, pause, cancel, panics.
//!
//! A task is a [`Job`]: an object that does a little more work at every [`Job::step`]. [`drive()`] steps it to its end on
//! the calling thread, [`spawn`] does so on a thread of its own and returns the [`Handle`] by which the command line or
//! the desktop follows it. What is only worth having fresh (progress, preview) lies in slots that hold the latest value;
//! what must not be lost (warnings, intermediate results) comes through a bounded channel.

mod drive;
mod progress;

pub use drive::{Control, Ended, Event, Handle, How, JobError, Link, Outbox, Outcome, Wait, drive, link, spawn};
pub use progress::{Position, Progress};

/// Whether a job wants another step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    Done,
}

/// A task cut into steps. Between two steps it is in a consistent state that can be shown, kept, or delivered.
pub trait Job {
    /// What it makes.
    type Output: Send;
    /// What can be shown of it while it runs.
    type Preview: Send + Sync;
    type Error: Send;

    /// Does one step: at most about a second of work, so that pausing and cancelling feel immediate.
    fn step(&mut self, outbox: &mut Outbox<'_, Self::Output>) -> Result<Flow, Self::Error>;

    /// Where the job stands. Called before the first step and after each.
    fn position(&self) -> Position;

    /// A picture of the present state. Called only when somebody asked for one.
    fn preview(&mut self) -> Option<Self::Preview> {
        None
    }

    /// Keeps what is needed to go on later. Called about twice a minute, and when the job is paused or cancelled.
    fn checkpoint(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Delivers what is there: the whole result after [`Flow::Done`], the best so far when cancelled.
    fn finish(self) -> Result<Self::Output, Self::Error>
    where
        Self: Sized;
}

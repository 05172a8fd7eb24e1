//! A job on its own thread, followed from the terminal: progress, events, Ctrl-C.

use std::time::Duration;

use super::failure::{Failure, bug};
use super::interrupt::Interrupts;
use super::progress::Reporter;
use crate::job::{Ended, Event, Flow, Job, JobError, Outbox, Position, Wait, spawn};
use crate::tasks::TaskError;

/// How often progress is shown.
const REDRAW_EVERY: Duration = Duration::from_millis(100);

impl From<TaskError> for Failure {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Input(_) => Self::input(error),
            TaskError::Run(_) => Self::running(error),
        }
    }
}

/// Runs `job` to its end, or until Ctrl-C; hands every intermediate result to `keep`. When `keep` fails, the job is
/// cancelled and that failure returned.
pub fn follow<J>(
    job: J,
    reporter: &mut Reporter,
    interrupts: &Interrupts,
    mut keep: impl FnMut(J::Output) -> Result<(), Failure>,
) -> Result<Ended<J::Output>, Failure>
where
    J: Job<Error = TaskError> + Send + 'static,
    J::Output: 'static,
    J::Preview: 'static,
{
    let handle = spawn(job).map_err(Failure::running)?;
    let control = handle.control.clone();
    interrupts.cancel_with(&control);
    let mut kept = Ok(());
    let mut told_to_stop = false;
    let mut ended = false;
    while !ended {
        match handle.wait(REDRAW_EVERY) {
            Wait::Event(Event::Warning(sentence)) => reporter.note(&sentence),
            Wait::Event(Event::Intermediate(output)) if kept.is_ok() => {
                kept = keep(output);
                if kept.is_err() {
                    control.cancel();
                }
            }
            Wait::Event(Event::Intermediate(_)) | Wait::Quiet => {}
            Wait::Ended => ended = true,
        }
        if interrupts.requested() && !told_to_stop {
            reporter.note("finishing this step or its tile, then saving; Ctrl-C again quits at once");
            told_to_stop = true;
        }
        if let Some(progress) = control.progress() {
            reporter.update(&progress);
        }
    }
    let ended = handle.join();
    reporter.finish(control.progress().as_ref());
    kept?;
    ended.map_err(|error| match error {
        JobError::Failed(error) => error.into(),
        JobError::Panicked(message) => bug(&message),
    })
}

/// A job that ends after so many steps: how a dream that was stopped is repeated.
pub struct StopAfter<J> {
    pub job: J,
    pub steps: usize,
}

impl<J: Job> Job for StopAfter<J> {
    type Output = J::Output;
    type Preview = J::Preview;
    type Error = J::Error;

    fn step(&mut self, outbox: &mut Outbox<'_, Self::Output>) -> Result<Flow, Self::Error> {
        if self.job.position().done >= self.steps {
            return Ok(Flow::Done);
        }
        let flow = self.job.step(outbox)?;
        Ok(if self.job.position().done >= self.steps { Flow::Done } else { flow })
    }

    fn position(&self) -> Position {
        self.job.position()
    }

    fn preview(&mut self) -> Option<Self::Preview> {
        self.job.preview()
    }

    fn checkpoint(&mut self) -> Result<(), Self::Error> {
        self.job.checkpoint()
    }

    fn finish(self) -> Result<Self::Output, Self::Error> {
        self.job.finish()
    }
}

//! The one drive loop, and both ends of the wire to it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::progress::Meter;
use super::{Flow, Job, Progress};

/// Events that may wait to be read; a job that reports more waits for its reader.
const EVENTS_WAITING: usize = 16;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);

/// What a job comes to.
pub type Outcome<J> = Result<Ended<<J as Job>::Output>, JobError<<J as Job>::Error>>;

/// What must reach the reader.
#[derive(Debug)]
pub enum Event<O> {
    /// One sentence for the user.
    Warning(String),
    /// A result on the way; the last one is delivered by [`Ended`].
    Intermediate(O),
}

/// How a job came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Completed,
    /// Somebody cancelled it; the output is what was there.
    Cancelled,
}

#[derive(Debug)]
pub struct Ended<O> {
    pub output: O,
    pub how: How,
}

#[derive(Debug, thiserror::Error)]
pub enum JobError<E> {
    #[error(transparent)]
    Failed(E),
    /// A defect of this program.
    #[error("this should not have happened, please report it: {0}")]
    Panicked(String),
}

/// Where a step puts what must not be lost.
pub struct Outbox<'a, O> {
    events: &'a SyncSender<Event<O>>,
}

impl<O> Outbox<'_, O> {
    pub fn warn(&mut self, sentence: impl Into<String>) {
        self.send(Event::Warning(sentence.into()));
    }

    pub fn intermediate(&mut self, output: O) {
        self.send(Event::Intermediate(output));
    }

    fn send(&mut self, event: Event<O>) {
        // An error says that nobody reads any more: then nobody misses it.
        let _ = self.events.send(event);
    }
}

/// What both ends share.
struct Shared<P> {
    cancelled: AtomicBool,
    paused: Mutex<bool>,
    woken: Condvar,
    preview_wanted: AtomicBool,
    progress: Mutex<Option<Progress>>,
    preview: Mutex<Option<Arc<P>>>,
}

/// A value that a panicking thread left behind is still a whole value: slots are replaced, never edited.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The job's end of the wire.
pub struct Link<O, P> {
    shared: Arc<Shared<P>>,
    events: SyncSender<Event<O>>,
}

impl<O, P> Link<O, P> {
    /// Where steps put their events: for those who step a job without [`drive`].
    pub fn outbox(&self) -> Outbox<'_, O> {
        Outbox { events: &self.events }
    }
}

/// The follower's means to steer a job; it can be cloned and sent to a signal handler.
pub struct Control<P> {
    shared: Arc<Shared<P>>,
}

impl<P> Clone for Control<P> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<P> Control<P> {
    /// Ends the job after the step in work; it then delivers what is there. Also wakes a paused job.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::SeqCst);
        let _paused = lock(&self.shared.paused);
        self.shared.woken.notify_all();
    }

    /// Holds the job after the step in work.
    pub fn pause(&self) {
        *lock(&self.shared.paused) = true;
    }

    pub fn resume(&self) {
        *lock(&self.shared.paused) = false;
        self.shared.woken.notify_all();
    }

    pub fn is_paused(&self) -> bool {
        *lock(&self.shared.paused)
    }

    /// The latest progress; none before the job has started.
    pub fn progress(&self) -> Option<Progress> {
        lock(&self.shared.progress).clone()
    }

    /// Asks for a preview after the step in work. Without this none is made.
    pub fn request_preview(&self) {
        self.shared.preview_wanted.store(true, Ordering::SeqCst);
    }

    /// Takes the latest preview out of its slot.
    pub fn take_preview(&self) -> Option<Arc<P>> {
        lock(&self.shared.preview).take()
    }
}

/// A wire between a job and its follower: the job's end, the controls, and the events.
pub fn link<O, P>() -> (Link<O, P>, Control<P>, Receiver<Event<O>>) {
    let (events, received) = sync_channel(EVENTS_WAITING);
    let shared = Arc::new(Shared {
        cancelled: AtomicBool::new(false),
        paused: Mutex::new(false),
        woken: Condvar::new(),
        preview_wanted: AtomicBool::new(false),
        progress: Mutex::new(None),
        preview: Mutex::new(None),
    });
    (Link { shared: shared.clone(), events }, Control { shared }, received)
}

/// Steps `job` until it is done or cancelled, on this thread.
///
/// A panic inside the job becomes [`JobError::Panicked`].
pub fn drive<J: Job>(job: J, link: &Link<J::Output, J::Preview>) -> Outcome<J> {
    // The job is consumed here and never seen again after a panic.
    match catch_unwind(AssertUnwindSafe(|| run(job, link))) {
        Ok(result) => result.map_err(JobError::Failed),
        Err(panic) => Err(JobError::Panicked(panic_message(panic.as_ref()))),
    }
}

fn run<J: Job>(mut job: J, link: &Link<J::Output, J::Preview>) -> Result<Ended<J::Output>, J::Error> {
    let shared = &link.shared;
    let mut outbox = link.outbox();
    let mut meter = Meter::new();
    let mut started = Instant::now();
    let mut kept = Instant::now();
    *lock(&shared.progress) = Some(meter.read(job.position(), Duration::ZERO));
    let how = loop {
        if *lock(&shared.paused) && !shared.cancelled.load(Ordering::SeqCst) {
            job.checkpoint()?;
            kept = Instant::now();
            started += wait_while_paused(shared);
        }
        if shared.cancelled.load(Ordering::SeqCst) {
            job.checkpoint()?;
            break How::Cancelled;
        }
        let flow = job.step(&mut outbox)?;
        *lock(&shared.progress) = Some(meter.read(job.position(), started.elapsed()));
        if shared.preview_wanted.swap(false, Ordering::SeqCst)
            && let Some(preview) = job.preview()
        {
            *lock(&shared.preview) = Some(Arc::new(preview));
        }
        if flow == Flow::Done {
            break How::Completed;
        }
        if kept.elapsed() >= CHECKPOINT_EVERY {
            job.checkpoint()?;
            kept = Instant::now();
        }
    };
    Ok(Ended { output: job.finish()?, how })
}

/// Sleeps until the job is resumed or cancelled; returns for how long.
fn wait_while_paused<P>(shared: &Shared<P>) -> Duration {
    let since = Instant::now();
    let mut paused = lock(&shared.paused);
    while *paused && !shared.cancelled.load(Ordering::SeqCst) {
        paused = shared.woken.wait(paused).unwrap_or_else(PoisonError::into_inner);
    }
    since.elapsed()
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".into())
}

/// What [`Handle::wait`] saw.
#[derive(Debug)]
pub enum Wait<O> {
    Event(Event<O>),
    /// Nothing happened for that long; a moment to redraw.
    Quiet,
    /// No event will come any more: [`Handle::join`] returns at once.
    Ended,
}

/// A job that runs on a thread of its own.
pub struct Handle<J: Job> {
    pub control: Control<J::Preview>,
    events: Receiver<Event<J::Output>>,
    thread: JoinHandle<Outcome<J>>,
}

impl<J: Job> Handle<J> {
    /// The next event, waiting for it up to `timeout`.
    pub fn wait(&self, timeout: Duration) -> Wait<J::Output> {
        match self.events.recv_timeout(timeout) {
            Ok(event) => Wait::Event(event),
            Err(RecvTimeoutError::Timeout) => Wait::Quiet,
            Err(RecvTimeoutError::Disconnected) => Wait::Ended,
        }
    }

    /// Waits for the end. Events not yet read are dropped.
    pub fn join(self) -> Outcome<J> {
        // The job must not wait for a reader that has gone.
        drop(self.events);
        self.thread.join().unwrap_or_else(|panic| Err(JobError::Panicked(panic_message(panic.as_ref()))))
    }
}

/// Starts `job` on a thread of its own.
///
/// # Errors
/// When the system has no thread to give.
pub fn spawn<J>(job: J) -> std::io::Result<Handle<J>>
where
    J: Job + Send + 'static,
    J::Output: 'static,
    J::Preview: 'static,
    J::Error: 'static,
{
    let (link, control, events) = link();
    let thread = std::thread::Builder::new().name("job".into()).spawn(move || drive(job, &link))?;
    Ok(Handle { control, events, thread })
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;

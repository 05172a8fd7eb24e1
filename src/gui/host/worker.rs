//! The host that the window runs on: threads for files, for developing pictures, for looking, for exports, and one for
//! every dream. The window's own thread only hands over and takes back.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::dream::Switch;
use super::files::Files;
use super::look::Looks;
use super::{Event, Failed, Image, JobHost, JobId, Request, Step, dream, files, nets};
use crate::job::Progress;
use crate::tasks::home::Home;

/// Asks the window to be drawn again; called from any thread.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is only worth having fresh: each new value takes the place of the last.
#[derive(Default)]
struct Latest {
    progress: BTreeMap<JobId, Progress>,
    previews: BTreeMap<JobId, Image>,
    steps: BTreeMap<JobId, Vec<Step>>,
}

/// Where the host's threads put their events.
#[derive(Clone)]
pub struct Outlet {
    events: Sender<Event>,
    latest: Arc<Mutex<Latest>>,
    wake: Wake,
}

impl Outlet {
    /// An outlet that wakes nobody, and its end.
    #[cfg(test)]
    pub fn for_tests() -> (Self, Receiver<Event>) {
        let (events, received) = channel();
        (Self { events, latest: Arc::default(), wake: Arc::new(|| ()) }, received)
    }

    pub fn send(&self, event: Event) {
        // An error says that the window has gone.
        let _ = self.events.send(event);
        (self.wake)();
    }

    pub fn fail(&self, what: Failed, sentence: impl Into<String>) {
        self.send(Event::Failed { what, sentence: sentence.into() });
    }

    pub fn progress(&self, job: JobId, progress: Progress) {
        lock(&self.latest).progress.insert(job, progress);
        (self.wake)();
    }

    pub fn preview(&self, job: JobId, image: Image) {
        lock(&self.latest).previews.insert(job, image);
        (self.wake)();
    }

    pub fn steps(&self, job: JobId, steps: Vec<Step>) {
        lock(&self.latest).steps.insert(job, steps);
        (self.wake)();
    }

    /// Forgets the previews of a job, so that none comes after its end.
    pub fn forget_preview(&self, job: JobId) {
        lock(&self.latest).previews.remove(&job);
    }

    /// The latest values, then all events in their order.
    pub(super) fn take(&self, received: &Receiver<Event>) -> Vec<Event> {
        let Latest { progress, previews, steps } = std::mem::take(&mut *lock(&self.latest));
        let progress = progress.into_iter().map(|(job, progress)| Event::JobProgress { job, progress });
        let previews = previews.into_iter().map(|(job, image)| Event::JobPreview { job, image });
        let steps = steps.into_iter().map(|(job, steps)| Event::JobSteps { job, steps });
        progress.chain(previews).chain(steps).chain(received.try_iter()).collect()
    }
}

/// A thread that does one request after the other.
struct Desk {
    requests: Sender<Request>,
}

impl Desk {
    /// `work` is given the request, and whether another one for the same thing waits already.
    fn open(
        name: &str,
        outlet: &Outlet,
        mut work: impl FnMut(Request, &Outlet) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (requests, received) = channel::<Request>();
        let outlet = outlet.clone();
        let run = move || {
            while let Ok(request) = received.recv() {
                let mut waiting: Vec<Request> = std::iter::once(request).chain(received.try_iter()).collect();
                drop_outdated(&mut waiting);
                for request in waiting {
                    let what = Failed::of(&request);
                    let done = catch_unwind(AssertUnwindSafe(|| work(request, &outlet)));
                    if let Err(panic) = done {
                        outlet.fail(what, bug(panic.as_ref()));
                    }
                }
            }
        };
        thread::Builder::new().name(name.into()).spawn(run)?;
        Ok(Self { requests })
    }

    fn hand(&self, request: Request) {
        // An error says that the thread has gone, and the window with it.
        let _ = self.requests.send(request);
    }
}

/// Of several steps to show, or places to look at, only the last counts.
fn drop_outdated(waiting: &mut Vec<Request>) {
    fn is_transient(request: &Request) -> bool {
        matches!(request, Request::ShowStep(_) | Request::Look(_))
    }
    let last = waiting.iter().rposition(is_transient);
    let mut index = 0;
    waiting.retain(|request| {
        let keep = !is_transient(request) || Some(index) == last;
        index += 1;
        keep
    });
}

/// What to say of a panic on a thread of the host.
pub(super) fn bug(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("this is a bug, please report it: {}", text.unwrap_or("a panic without a message"))
}

/// The real [`JobHost`].
pub struct Host {
    outlet: Outlet,
    received: Receiver<Event>,
    files: Desk,
    darkroom: Desk,
    exports: Desk,
    looks: Desk,
    switches: HashMap<JobId, Arc<Switch>>,
    stop_export: Arc<AtomicBool>,
    home: Option<Home>,
    /// Of the nets that are being fetched, what stops it.
    fetches: HashMap<String, Arc<AtomicBool>>,
}

impl Host {
    /// Opens the threads. `wake` is called whenever there is something for [`Host::poll`].
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn open(files: Files, wake: Wake) -> std::io::Result<Self> {
        let (events, received) = channel();
        let outlet = Outlet { events, latest: Arc::default(), wake };
        let stop_export = Arc::new(AtomicBool::new(false));
        let (mut files, mut looks) = (files, Looks::default());
        let home = files.home().clone();
        let own_home = home.clone();
        let stop = stop_export.clone();
        Ok(Self {
            files: Desk::open("files", &outlet, move |request, outlet| files.work(request, outlet))?,
            darkroom: Desk::open("darkroom", &outlet, move |request, outlet| {
                files::develop(request, home.as_ref(), outlet);
            })?,
            exports: Desk::open("export", &outlet, move |request, outlet| files::export(request, &stop, outlet))?,
            looks: Desk::open("look", &outlet, move |request, outlet| looks.work(request, outlet))?,
            outlet,
            received,
            switches: HashMap::new(),
            stop_export,
            home: own_home,
            fetches: HashMap::new(),
        })
    }

    /// All that has happened since the last call.
    pub fn poll(&mut self) -> Vec<Event> {
        let events = self.outlet.take(&self.received);
        for event in &events {
            match event {
                Event::JobEnded { job, .. } => drop(self.switches.remove(job)),
                Event::FetchEnded { name, .. } => drop(self.fetches.remove(name)),
                _ => {}
            }
        }
        events
    }

    fn begin_dream(&mut self, order: super::DreamOrder) {
        let switch = Arc::new(Switch::default());
        let (job, outlet, own) = (order.job, self.outlet.clone(), switch.clone());
        self.switches.insert(job, switch);
        let run = move || {
            crate::base::parallel::work_in_background();
            let done = catch_unwind(AssertUnwindSafe(|| dream::run(order, &own, &outlet)));
            let ended = done.unwrap_or_else(|panic| Err(bug(panic.as_ref())));
            outlet.forget_preview(job);
            outlet.send(Event::JobEnded { job, ended });
        };
        if let Err(error) = thread::Builder::new().name("dream".into()).spawn(run) {
            let sentence = format!("the system has no thread to give: {error}");
            self.outlet.send(Event::JobEnded { job, ended: Err(sentence) });
        }
    }

    fn begin_fetch(&mut self, name: String) {
        let stop = Arc::new(AtomicBool::new(false));
        if self.fetches.contains_key(&name) {
            return;
        }
        self.fetches.insert(name.clone(), stop.clone());
        let (home, outlet) = (self.home.clone(), self.outlet.clone());
        let own_name = name.clone();
        let run = move || {
            let work = || nets::fetch(&own_name, home.as_ref(), &stop, &outlet);
            let ended = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(bug(panic.as_ref())));
            outlet.send(Event::FetchEnded { name: own_name, ended });
            nets::list(home.as_ref(), &outlet);
        };
        if let Err(error) = thread::Builder::new().name("fetch".into()).spawn(run) {
            let ended = Err(format!("the system has no thread to give: {error}"));
            self.outlet.send(Event::FetchEnded { name, ended });
        }
    }

    fn switch(&self, job: JobId) -> Option<&Switch> {
        self.switches.get(&job).map(Arc::as_ref)
    }

    /// Asks the platform for a file. The dialog opens on the window's thread, where some platforms want it.
    fn pick(&self, pick: super::Pick, near: Option<std::path::PathBuf>) {
        let dialog = files::dialog(pick, near.as_deref());
        let outlet = self.outlet.clone();
        let wait = move || {
            let paths = pollster::block_on(dialog);
            outlet.send(Event::Picked { pick, paths });
        };
        if let Err(error) = thread::Builder::new().name("dialog".into()).spawn(wait) {
            self.outlet.fail(Failed::Other, format!("the system has no thread to give: {error}"));
        }
    }
}

impl JobHost for Host {
    fn submit(&mut self, request: Request) {
        match request {
            Request::Dream(order) => self.begin_dream(*order),
            Request::Pause(job) => self.switch(job).into_iter().for_each(|switch| switch.pause(true)),
            Request::Resume(job) => self.switch(job).into_iter().for_each(|switch| switch.pause(false)),
            Request::Cancel(job) => self.switch(job).into_iter().for_each(Switch::cancel),
            Request::Steer(job, spec) => {
                if let Some(switch) = self.switch(job) {
                    switch.steer(*spec);
                }
            }
            Request::ShowStep(_) | Request::Save(..) | Request::Copy(_) => self.darkroom.hand(request),
            Request::Export { .. } => {
                self.stop_export.store(false, Ordering::SeqCst);
                self.exports.hand(request);
            }
            Request::FetchNet(name) => self.begin_fetch(name),
            Request::StopFetching(name) => {
                self.fetches.get(&name).into_iter().for_each(|stop| stop.store(true, Ordering::SeqCst));
            }
            Request::CancelExport => self.stop_export.store(true, Ordering::SeqCst),
            Request::Look(_) => self.looks.hand(request),
            Request::Pick(pick, near) => self.pick(pick, near),
            request => self.files.hand(request),
        }
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;

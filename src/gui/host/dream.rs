//! One dream on its thread: prepared, followed, and its steps made ready for the screen.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::pictures::{image_of, thumbnail_of};
use super::worker::{Outlet, lock};
use super::{Deliver, DreamOrder, Ended, Event, Image, JobId, Start, Step, picture_of};
use crate::base::text::one_line;
use crate::imageio::{self, OutputFormat, Picture, SaveOptions};
use crate::job::{self, Control, JobError, Wait};
use crate::tasks::destination::fresh_name;
use crate::tasks::dream::{Dream, DreamJob, DreamSpec, Dreamer, Frame, Photo, Reel, Steering};

/// How often the thread looks for something new.
const LOOK_EVERY: Duration = Duration::from_millis(8);
/// Pictures come to the screen no faster than it shows them.
const PREVIEW_EVERY: Duration = Duration::from_millis(16);
/// New thumbnails that are made at a time, so that previews are not held up.
const THUMBNAILS_AT_ONCE: usize = 6;
/// Bytes of kept steps of one dream.
const REEL_BYTES: usize = 256 << 20;

/// The window's hold on a dream, there from before it is prepared until after it ended.
#[derive(Default)]
pub struct Switch {
    state: Mutex<SwitchState>,
}

#[derive(Default)]
struct SwitchState {
    is_cancelled: bool,
    is_paused: bool,
    /// Settings that came before the dream was ready to take them.
    steered: Option<DreamSpec>,
    job: Option<(Control<Picture>, Steering)>,
}

impl Switch {
    pub fn cancel(&self) {
        let mut state = lock(&self.state);
        state.is_cancelled = true;
        if let Some((control, _)) = &state.job {
            control.cancel();
        }
    }

    pub fn pause(&self, pause: bool) {
        let mut state = lock(&self.state);
        state.is_paused = pause;
        if let Some((control, _)) = &state.job {
            if pause { control.pause() } else { control.resume() }
        }
    }

    pub fn steer(&self, spec: DreamSpec) {
        let mut state = lock(&self.state);
        match &state.job {
            Some((_, steering)) => steering.set(spec),
            None => state.steered = Some(spec),
        }
    }

    /// Ties the switch to a job that is about to start.
    fn attach(&self, control: &Control<Picture>, steering: Steering) {
        let mut state = lock(&self.state);
        if state.is_paused {
            control.pause();
        }
        if state.is_cancelled {
            control.cancel();
        }
        if let Some(spec) = state.steered.take() {
            steering.set(spec);
        }
        state.job = Some((control.clone(), steering));
    }
}

/// Dreams what was ordered. The error is a sentence for the user.
pub fn run(mut order: DreamOrder, switch: &Switch, outlet: &Outlet) -> Result<Ended, String> {
    let file = match &order.deliver {
        Deliver::Canvas => None,
        Deliver::Folder(folder) => Some(file_in(folder, &order.start)?),
    };
    let (mut job, spec) = prepare(&order)?;
    // Not held by the order any longer: steps that the reel lets go must be freed.
    let earlier = std::mem::take(&mut order.earlier);
    let reel = Arc::new(Reel::starting_with(REEL_BYTES, earlier.iter().map(|step| step.frame.clone()).collect()));
    if order.deliver == Deliver::Canvas {
        job.keep_steps(reel.clone());
    }
    outlet.send(Event::JobStarted { job: order.job, size_px: job.size_px(), spec: Box::new(spec) });
    match job.estimate() {
        Ok(Some(estimate)) if estimate.tiles > 1 => {
            outlet.send(Event::JobWarned { job: order.job, sentence: estimate.to_string() });
        }
        // What keeps it from being measured keeps it from being dreamt.
        Ok(_) | Err(_) => {}
    }
    let steering = job.steering();
    let handle = job::spawn(job).map_err(|error| format!("the system has no thread to give: {error}"))?;
    switch.attach(&handle.control, steering);
    let mut follower = Follower::new(order.job, &order.deliver, earlier, &reel, outlet);
    loop {
        match handle.wait(LOOK_EVERY) {
            Wait::Event(job::Event::Warning(sentence)) => {
                outlet.send(Event::JobWarned { job: order.job, sentence });
            }
            Wait::Event(job::Event::Intermediate(_)) | Wait::Quiet => {}
            Wait::Ended => break,
        }
        follower.look(&handle.control);
    }
    let control = handle.control.clone();
    let ended = handle.join().map_err(|error| match error {
        JobError::Failed(error) => one_line(&error),
        JobError::Panicked(message) => format!("this is a bug, please report it: {message}"),
    })?;
    follower.finish(&control);
    deliver(ended.output, file, ended.how, order.deliver == Deliver::Canvas)
}

fn deliver(dream: Dream, file: Option<PathBuf>, how: job::How, is_shown: bool) -> Result<Ended, String> {
    let saved = file.filter(|_| how == job::How::Completed);
    if let Some(file) = &saved {
        save(file, &dream)?;
    }
    let image = (is_shown && dream.steps_done > 0).then(|| image_of(&dream.picture));
    Ok(Ended { how, image, saved })
}

/// Writes a dream with its recipe, in the format that the name asks for.
pub fn save(file: &Path, dream: &Dream) -> Result<(), String> {
    let format = OutputFormat::of_path(file).map_err(|error| one_line(&error))?;
    let options = SaveOptions { recipe: Some(dream.recipe.to_text()), ..SaveOptions::new(format) };
    imageio::save(file, &dream.picture, &options).map_err(|error| one_line(&error))
}

/// A fresh name for the dream of `start`, after a check that it could be written.
fn file_in(folder: &Path, start: &Start) -> Result<PathBuf, String> {
    let stem = match start {
        Start::Photo(photo) => photo.photo.path.file_stem(),
        Start::File(path) => path.file_stem(),
        Start::Noise => None,
    };
    let file = fresh_name(folder, stem.unwrap_or("noise".as_ref()));
    imageio::check_writable(&file).map_err(|error| one_line(&error))?;
    Ok(file)
}

/// The photo that a dream starts from; none for noise.
pub fn photo_of(start: &Start, max_memory: Option<u64>) -> Result<Option<Photo>, String> {
    match start {
        Start::Photo(photo) => Ok(Some(photo.photo.clone())),
        Start::File(path) => Photo::load(path, max_memory).map(Some).map_err(|error| one_line(&error)),
        Start::Noise => Ok(None),
    }
}

fn prepare(order: &DreamOrder) -> Result<(DreamJob, DreamSpec), String> {
    let photo = photo_of(&order.start, order.spec.max_memory)?;
    let dreamer = Dreamer::new(order.spec.clone(), order.graph.clone()).map_err(|error| one_line(&error))?;
    let job = match &order.from {
        Some(frame) => dreamer.resume(photo, frame),
        None => dreamer.dream(photo),
    };
    Ok((job.map_err(|error| one_line(&error))?, dreamer.spec().clone()))
}

/// Brings a job's news to the screen's form.
struct Follower<'a> {
    job: JobId,
    keeps_steps: bool,
    reel: &'a Reel,
    outlet: &'a Outlet,
    seen_version: u64,
    /// The steps that have a thumbnail, of those that the reel still holds: what it lets go must be freed.
    steps: Vec<Step>,
    shown: Option<Instant>,
    /// The stage and the steps that were told of last.
    told: Option<(usize, usize)>,
}

impl<'a> Follower<'a> {
    /// `steps` have their thumbnails already.
    fn new(job: JobId, deliver: &Deliver, steps: Vec<Step>, reel: &'a Reel, outlet: &'a Outlet) -> Self {
        let keeps_steps = *deliver == Deliver::Canvas;
        Self { job, keeps_steps, reel, outlet, seen_version: u64::MAX, steps, shown: None, told: None }
    }

    fn look(&mut self, control: &Control<Picture>) {
        if let Some(progress) = control.progress() {
            let now = Some((progress.position.stage, progress.position.done));
            if now != self.told {
                self.told = now;
                self.outlet.progress(self.job, progress);
            }
        }
        if let Some(picture) = control.take_preview() {
            self.outlet.preview(self.job, image_of(&picture));
            self.shown = Some(Instant::now());
        }
        if self.shown.is_none_or(|shown| shown.elapsed() >= PREVIEW_EVERY) {
            control.request_preview();
        }
        if self.keeps_steps {
            self.make_thumbnails(THUMBNAILS_AT_ONCE);
        }
    }

    /// Makes thumbnails of the newest steps that have none, and shows all steps that have one.
    fn make_thumbnails(&mut self, most: usize) {
        let version = self.reel.version();
        if version == self.seen_version {
            return;
        }
        let mut known: HashMap<usize, Step> = self.steps.drain(..).map(|step| (step.frame.done, step)).collect();
        let mut thumbnail_of_known = |frame: &Arc<Frame>| {
            let step = known.remove(&frame.done).filter(|step| Arc::ptr_eq(&step.frame, frame));
            step.map(|step| step.thumbnail)
        };
        let frames = self.reel.frames().into_iter();
        let mut made: Vec<(Option<Image>, Arc<Frame>)> =
            frames.map(|frame| (thumbnail_of_known(&frame), frame)).collect();
        if made.iter().filter(|(thumbnail, _)| thumbnail.is_none()).count() <= most {
            self.seen_version = version;
        }
        let missing = made.iter_mut().rev().filter(|(thumbnail, _)| thumbnail.is_none());
        for (thumbnail, frame) in missing.take(most) {
            *thumbnail = Some(thumbnail_of(&picture_of(frame)));
        }
        let with_thumbnail =
            made.into_iter().filter_map(|(thumbnail, frame)| Some(Step { thumbnail: thumbnail?, frame }));
        self.steps = with_thumbnail.collect();
        self.outlet.steps(self.job, self.steps.clone());
    }

    fn finish(&mut self, control: &Control<Picture>) {
        if let Some(progress) = control.progress() {
            self.outlet.progress(self.job, progress);
        }
        if self.keeps_steps {
            self.make_thumbnails(usize::MAX);
        }
    }
}

#[cfg(test)]
#[path = "dream_tests.rs"]
mod tests;

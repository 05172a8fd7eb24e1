//! The queue: one photo after the other, with one set of settings.

use std::path::PathBuf;

use crate::gui::host::{Deliver, DreamOrder, Ended, JobHost, JobId, Request, Start};
use crate::gui::state::{AppState, BatchItem, BatchPhase, Side, Tone};
use crate::job::How;

/// Puts photos into the queue, to be saved into `folder`.
pub fn add(state: &mut AppState, photos: Vec<PathBuf>, folder: PathBuf, host: &mut dyn JobHost) {
    let count = photos.len();
    for path in photos {
        let job = JobId(state.fresh_id());
        let mut spec = state.spec.clone();
        spec.from_noise = None;
        spec.save_every = 0;
        let (folder, phase) = (folder.clone(), BatchPhase::Waiting);
        // With another net on its way the photo waits for that.
        let net = state.net.clone().filter(|net| net.is_of(&spec));
        state.batch.push(BatchItem { job, path, spec, net, folder, phase, progress: None, picture: None });
    }
    state.side = Side::Queue;
    state.say(Tone::Info, format!("{count} photos are in the queue; their dreams go to {}", folder.display()));
    start_next(state, host);
}

/// Starts the next photo when nothing else is dreamt.
pub fn start_next(state: &mut AppState, host: &mut dyn JobHost) {
    let canvas_works = state
        .takes
        .iter()
        .any(|take| matches!(take.phase, crate::gui::state::Phase::Starting | crate::gui::state::Phase::Running));
    let is_busy = state.batch.iter().any(|item| item.phase == BatchPhase::Running);
    if canvas_works || is_busy || state.batch_is_paused {
        return;
    }
    if let Some(held) = state.batch.iter_mut().find(|item| item.phase == BatchPhase::Paused) {
        held.phase = BatchPhase::Running;
        return host.submit(Request::Resume(held.job));
    }
    let Some(next) = state.batch.iter_mut().find(|item| item.phase == BatchPhase::Waiting) else { return };
    let Some(net) = next.net.clone() else { return };
    next.phase = BatchPhase::Running;
    let order = DreamOrder {
        job: next.job,
        graph: net.graph.clone(),
        spec: next.spec.clone(),
        start: Start::File(next.path.clone()),
        from: None,
        earlier: Vec::new(),
        deliver: Deliver::Folder(next.folder.clone()),
    };
    host.submit(Request::Dream(Box::new(order)));
}

/// Holds the queue while the canvas dreams.
pub fn hold(state: &mut AppState, host: &mut dyn JobHost) {
    for item in &mut state.batch {
        if item.phase == BatchPhase::Running {
            item.phase = BatchPhase::Paused;
            host.submit(Request::Pause(item.job));
        }
    }
}

pub fn pause(state: &mut AppState, pause: bool, host: &mut dyn JobHost) {
    state.batch_is_paused = pause;
    if pause {
        hold(state, host);
    } else {
        start_next(state, host);
    }
}

pub fn cancel(state: &mut AppState, job: JobId, host: &mut dyn JobHost) {
    let Some(item) = state.batch.iter_mut().find(|item| item.job == job) else { return };
    match item.phase {
        BatchPhase::Waiting => item.phase = BatchPhase::Cancelled,
        BatchPhase::Running | BatchPhase::Paused => host.submit(Request::Cancel(job)),
        BatchPhase::Done(_) | BatchPhase::Failed(_) | BatchPhase::Cancelled => {}
    }
}

/// Moves a waiting photo past its waiting neighbours.
pub fn reorder(state: &mut AppState, job: JobId, by: isize) {
    let waiting: Vec<usize> = (0..state.batch.len()).filter(|&i| state.batch[i].phase == BatchPhase::Waiting).collect();
    let Some(at) = waiting.iter().position(|&i| state.batch[i].job == job) else { return };
    let to = at.saturating_add_signed(by).min(waiting.len() - 1);
    state.batch.swap(waiting[at], waiting[to]);
}

pub fn clear_finished(state: &mut AppState) {
    state.batch.retain(|item| !item.phase.is_over());
}

/// Notes how the job of a photo ended, and goes on with the next.
pub fn ended(state: &mut AppState, job: JobId, ended: Result<Ended, String>, host: &mut dyn JobHost) {
    let Some(item) = state.batch.iter_mut().find(|item| item.job == job) else { return };
    let name = item.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    item.phase = match ended {
        Ok(Ended { how: How::Completed, saved: Some(path), .. }) => BatchPhase::Done(path),
        Ok(_) => BatchPhase::Cancelled,
        Err(sentence) => BatchPhase::Failed(sentence),
    };
    item.picture = None;
    if let BatchPhase::Failed(sentence) = &item.phase {
        let text = if sentence.contains(&name) { sentence.clone() } else { format!("{name}: {sentence}") };
        state.say(Tone::Error, text);
    }
    if state.waiting_in_batch() == 0 {
        let done = state.batch.iter().filter(|item| matches!(item.phase, BatchPhase::Done(_))).count();
        let text = format!("the queue is done: {done} of {} photos are dreamt", state.batch.len());
        state.say(Tone::Info, text);
    }
    start_next(state, host);
}

//! What the host reports.

use std::path::PathBuf;
use std::sync::Arc;

use crate::gui::history::History;
use crate::gui::host::{Ended, Event, Image, JobHost, JobId, Kept, OpenNet, OpenPhoto, Step};
use crate::gui::session::{SavedStep, Session};
use crate::gui::state::{AppState, CanvasView, Effect, Export, Form, ImageHandle, NetView, Phase, Take, Tone};
use crate::job::{How, Progress};
use crate::tasks::dream::{DreamSpec, Recipe};

use super::{batch, dream, files, look, nets, settings};

pub fn handle(state: &mut AppState, event: Event, host: &mut dyn JobHost) {
    match event {
        Event::PhotoOpened(photo) => photo_opened(state, photo, host),
        Event::PhotoPasted(photo) => {
            state.opening.push(photo.photo.path.clone());
            photo_opened(state, photo, host);
        }
        Event::DreamOpened { path, recipe, photo, picture } => {
            state.opening.retain(|opening| *opening != path);
            dream_opened(state, *recipe, photo, picture, host);
        }
        Event::NetOpened(net) => net_opened(state, net, host),
        Event::FolderListed { folder, pictures } => folder_listed(state, folder, pictures, host),
        Event::JobStarted { job, size_px, spec } => job_started(state, job, size_px, *spec),
        Event::JobProgress { job, progress } => job_progress(state, job, progress),
        Event::JobPreview { job, image } => {
            if let Some(take) = state.take_of(job) {
                take.picture = Some(image);
            } else if let Some(item) = state.batch.iter_mut().find(|item| item.job == job) {
                item.picture = Some(image);
            }
        }
        Event::JobSteps { job, steps } => job_steps(state, job, steps),
        Event::JobWarned { job, sentence } => job_warned(state, job, sentence),
        Event::JobEnded { job, ended } => job_ended(state, job, ended, host),
        Event::StepShown { job, done, image } => step_shown(state, job, done, image),
        Event::Saved { job, done, path } => {
            saved(state, job, done, path);
            files::save_ended(state, host);
        }
        Event::CopyReady(image) => {
            state.effects.push(Effect::CopyImage(ImageHandle(image)));
            state.say(Tone::Info, "the picture is in the clipboard");
        }
        Event::ExportProgress { done, count } => state.export = Some(Export { done, count }),
        Event::ExportEnded { path, stopped } => {
            state.export = None;
            let text = if stopped { "the animation was stopped; nothing is written".into() } else { saved_text(&path) };
            state.say(Tone::Info, text);
        }
        Event::Looked(looked) => look::looked(state, *looked),
        Event::Picked { pick, paths } => files::picked(state, pick, paths, host),
        Event::BundledPresets(presets) => state.bundled = presets,
        Event::PresetsListed(presets) => state.presets = presets,
        Event::SessionFound { session, shown, quietly } => {
            session_found(state, *session, shown.map(|kept| *kept), quietly, host);
        }
        Event::SessionKept { number } => files::session_kept(state, number, host),
        Event::Failed { what, sentence } => files::failed(state, what, sentence, host),
        Event::NetsListed(listed) => nets::listed(state, listed),
        Event::FetchProgress { name, progress } => nets::progressed(state, &name, progress),
        Event::FetchEnded { name, ended } => nets::ended(state, &name, ended),
        Event::Warned(sentence) => state.say(Tone::Warning, sentence),
        Event::Noted(sentence) => state.say(Tone::Info, sentence),
    }
}

fn photo_opened(state: &mut AppState, photo: Arc<OpenPhoto>, host: &mut dyn JobHost) {
    let path = photo.photo.path.clone();
    let was_asked_for = state.opening.contains(&path);
    state.opening.retain(|opening| *opening != path);
    for note in &photo.photo.notes {
        state.say(Tone::Warning, format!("{}: {note}", photo.name()));
    }
    dream::end_live_take(state, host);
    state.photo = Some(photo);
    state.spec.from_noise = None;
    (state.current, state.scrub, state.restored) = (None, None, None);
    state.canvas = CanvasView::default();
    state.waits_for_start = None;
    look::forget(state, false);
    if !was_asked_for {
        return;
    }
    state.settings.remember_photo(&path);
    settings::keep(state, host);
    if state.settings.dream_on_drop {
        if state.net.is_some() { dream::start_over(state, host) } else { state.dream_when_open = true }
    }
}

/// A dream was dropped: its settings come back, and its photo where it is still there.
fn dream_opened(
    state: &mut AppState,
    recipe: Recipe,
    photo: Option<Arc<OpenPhoto>>,
    picture: Arc<OpenPhoto>,
    host: &mut dyn JobHost,
) {
    dream::end_live_take(state, host);
    let file = recipe.source.as_ref().map(|source| source.file.clone());
    let spec = recipe.changes.last().map_or(recipe.dream, |change| change.dream.clone());
    if state.net.as_ref().is_none_or(|net| !net.is_of(&spec)) {
        files::open_net(state, spec.net.clone(), spec.net_options.clone(), host);
    }
    (state.current, state.scrub) = (None, None);
    state.history.settle();
    dream::edit(state, spec, "a dropped dream", host);
    state.history.settle();
    state.canvas = CanvasView::default();
    look::forget(state, false);
    let name = picture.name();
    match (photo, file) {
        (None, Some(file)) => {
            let text = format!(
                "the settings of {name} are back, but its photo {file} is not there: this picture takes its place"
            );
            state.say(Tone::Warning, text);
            state.photo = Some(picture.clone());
        }
        (photo, _) => {
            state.say(Tone::Info, format!("the settings of {name} are back: press space to dream it again"));
            state.photo = photo.or(state.photo.take());
        }
    }
    state.restored = Some(picture);
}

fn net_opened(state: &mut AppState, net: Arc<OpenNet>, host: &mut dyn JobHost) {
    if state.opening_net.as_ref() == Some(&net.key) {
        state.opening_net = None;
    }
    let was_first = state.net.is_none();
    let key = net.key.clone();
    for item in state.batch.iter_mut().filter(|item| item.net.is_none()) {
        item.net = Some(net.clone());
    }
    state.net = Some(net.clone());
    state.net_view = NetView::default();
    if !net.is_of(&state.spec) {
        state.history.note(&state.spec, "net");
        state.history.settle();
        use_spec_of(state, &net);
    }
    state.refresh();
    state.found_classes.clear();
    look::forget(state, true);
    if !was_first {
        state.settings.remember_net(&key);
        settings::keep(state, host);
    }
    if state.dream_when_open {
        dream::start_over(state, host);
    }
    batch::start_next(state, host);
}

/// Brings the settings to a net. Layers and classes of one net mean nothing in another.
pub fn use_spec_of(state: &mut AppState, net: &OpenNet) {
    let spec = &mut state.spec;
    spec.net.clone_from(&net.key);
    spec.net_options.clone_from(&net.options);
    spec.layers.clear();
    spec.channels.clear();
    (spec.neuron, spec.class) = (None, None);
    state.form = Form::default();
    state.refresh();
}

fn folder_listed(state: &mut AppState, folder: PathBuf, pictures: Vec<PathBuf>, host: &mut dyn JobHost) {
    if pictures.is_empty() {
        return state.say(Tone::Error, format!("there is no picture in the folder {}", folder.display()));
    }
    let output = files::output_folder(state, &pictures[0]);
    batch::add(state, pictures, output, host);
}

fn job_started(state: &mut AppState, job: JobId, size_px: [usize; 2], spec: DreamSpec) {
    if let Some(take) = state.take_of(job) {
        take.size_px = Some(size_px);
        take.spec = spec;
        if take.phase == Phase::Starting {
            take.phase = Phase::Running;
        }
    }
}

fn job_progress(state: &mut AppState, job: JobId, progress: Progress) {
    if let Some(take) = state.take_of(job) {
        take.progress = Some(progress);
    } else if let Some(item) = state.batch.iter_mut().find(|item| item.job == job) {
        item.progress = Some(progress);
    }
}

fn job_steps(state: &mut AppState, job: JobId, steps: Vec<Step>) {
    let is_current = state.take().is_some_and(|take| take.job == job);
    let Some(take) = state.take_of(job) else { return };
    // Steps may have been thinned out before the one that is shown: it is found again by its number.
    let old = std::mem::replace(&mut take.steps, steps);
    if !is_current {
        return;
    }
    let Some(shown) = state.scrub.as_ref().and_then(|scrub| old.get(scrub.index)).map(|step| step.frame.done) else {
        return;
    };
    let found = state.take().and_then(|take| take.steps.iter().position(|step| step.frame.done >= shown));
    match (found, &mut state.scrub) {
        (Some(index), Some(scrub)) => scrub.index = index,
        _ => state.scrub = None,
    }
}

fn job_warned(state: &mut AppState, job: JobId, sentence: String) {
    let of_batch = state.batch.iter().find(|item| item.job == job).map(|item| item.path.clone());
    match of_batch.as_deref().and_then(|path| path.file_name()) {
        Some(name) => state.say(Tone::Warning, format!("{}: {sentence}", name.to_string_lossy())),
        None => state.say(Tone::Warning, sentence),
    }
}

fn job_ended(state: &mut AppState, job: JobId, ended: Result<Ended, String>, host: &mut dyn JobHost) {
    if state.batch.iter().any(|item| item.job == job) {
        return batch::ended(state, job, ended, host);
    }
    let Some(take) = state.take_of(job) else {
        // It was taken out of the strip.
        return batch::start_next(state, host);
    };
    let is_empty = take.steps.is_empty();
    match ended {
        Ok(ended) if ended.how == How::Cancelled && is_empty => dream::close_take(state, job, host),
        Ok(ended) => {
            take.phase = Phase::Ended;
            take.picture = ended.image.or(take.picture.take());
            if let (How::Completed, Some(progress)) = (ended.how, &mut take.progress) {
                progress.left_s = Some(0.0);
            }
        }
        Err(sentence) => {
            take.phase = Phase::Failed(sentence.clone());
            state.say(Tone::Error, sentence);
            if is_empty {
                // Nothing came of it: there is nothing to keep in the strip.
                dream::close_take(state, job, host);
            }
        }
    }
    if state.live_take().is_none() {
        state.waits_for_start = None;
    }
    if !state.is_leaving() {
        files::keep_session(state, host);
    }
    batch::start_next(state, host);
}

fn step_shown(state: &mut AppState, job: JobId, done: usize, image: Image) {
    let is_shown = state.take().is_some_and(|take| {
        let index = state.scrub.as_ref().map(|scrub| scrub.index);
        take.job == job && index.and_then(|index| take.steps.get(index)).is_some_and(|step| step.frame.done == done)
    });
    if let (true, Some(scrub)) = (is_shown, &mut state.scrub) {
        scrub.picture = Some(image);
    }
}

fn saved_text(path: &std::path::Path) -> String {
    format!("saved as {}", path.display())
}

fn saved(state: &mut AppState, job: JobId, done: usize, path: PathBuf) {
    state.say(Tone::Info, saved_text(&path));
    if let Some(take) = state.take_of(job)
        && take.saved.as_ref().is_none_or(|(newest, _)| *newest <= done)
    {
        take.saved = Some((done, path));
    }
}

/// Comes back to where the last session ended; its photo and its net are open by now.
fn session_found(state: &mut AppState, session: Session, shown: Option<Kept>, quietly: bool, host: &mut dyn JobHost) {
    let was_faster = !state.takes.is_empty() || !state.opening.is_empty();
    let take = shown.map(|kept| take_of_session(state, kept, session.saved));
    if quietly || was_faster {
        // What was kept goes into the strip, before what has come since.
        if let Some(take) = take {
            state.takes.insert(0, take);
            state.current = state.current.map(|current| current + 1);
        }
        return;
    }
    state.mode = session.mode;
    state.canvas.split = session.split;
    dream::edit(state, session.spec, "the last session", host);
    state.history = History::default();
    if let Some(take) = take {
        state.takes.push(take);
        state.current = Some(state.takes.len() - 1);
    }
}

fn take_of_session(state: &mut AppState, kept: Kept, saved: Option<SavedStep>) -> Take {
    Take {
        job: JobId(state.fresh_id()),
        start: kept.start,
        net: kept.net,
        spec: kept.step.frame.spec().clone(),
        phase: Phase::Ended,
        size_px: Some(kept.size_px),
        progress: None,
        picture: Some(kept.picture),
        saved: saved.map(|saved| (saved.done, saved.file)),
        steps: vec![kept.step],
    }
}

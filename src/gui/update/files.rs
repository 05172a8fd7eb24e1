//! Opening, saving, copying, leaving.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::formats::{LoadOptions, NET_EXTENSIONS};
use crate::gui::host::{Exposure, Failed, Image, JobHost, Pick, Request, SaveTo};
use crate::gui::session::{SavedStep, Session};
use crate::gui::state::{AppState, Dialog, Effect, Export, Leaving, Take, Tone};
use crate::tasks::catalogue;

/// The most steps that an animation shows: they are taken evenly from all.
const MOST_FRAMES: usize = 120;

/// What kind of file a name promises. What is in it is found out by whoever reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Net,
    /// A picture, or a recipe.
    Picture,
    Folder,
}

fn kind(path: &Path) -> Kind {
    match ending(path) {
        _ if path.is_dir() => Kind::Folder,
        Some(ending) if NET_EXTENSIONS.contains(&ending.as_str()) => Kind::Net,
        _ => Kind::Picture,
    }
}

/// In lower case, without the dot.
fn ending(path: &Path) -> Option<String> {
    path.extension().map(|ending| ending.to_string_lossy().to_lowercase())
}

pub fn begin(state: &mut AppState, files: Vec<PathBuf>, host: &mut dyn JobHost) {
    host.submit(Request::ListPresets);
    host.submit(Request::ListNets);
    if files.is_empty() {
        return host.submit(Request::ComeBack { quietly: false });
    }
    // The next start may have another working folder.
    let files: Vec<PathBuf> = files.into_iter().map(|file| std::path::absolute(&file).unwrap_or(file)).collect();
    if !files.iter().any(|file| kind(file) == Kind::Net) {
        open_net(state, catalogue::DEFAULT.into(), LoadOptions::default(), host);
    }
    if files.iter().all(|file| kind(file) != Kind::Picture) {
        open_sample(host);
    }
    open(state, files, host);
    // A dream that was kept goes into the strip.
    host.submit(Request::ComeBack { quietly: true });
}

pub fn open(state: &mut AppState, paths: Vec<PathBuf>, host: &mut dyn JobHost) {
    let (mut pictures, mut nets) = (Vec::new(), Vec::new());
    for path in paths {
        match kind(&path) {
            Kind::Net => nets.push(path),
            Kind::Folder => host.submit(Request::ListFolder(path)),
            Kind::Picture => pictures.push(path),
        }
    }
    open_net_files(state, nets, host);
    if pictures.len() > 1 {
        let folder = output_folder(state, &pictures[0]);
        return super::batch::add(state, pictures, folder, host);
    }
    for path in pictures {
        state.opening.push(path.clone());
        host.submit(Request::OpenPhoto(path));
    }
}

/// Where the dreams of several photos go.
pub fn output_folder(state: &AppState, first: &Path) -> PathBuf {
    let beside = || first.parent().unwrap_or(Path::new("")).join("dreams");
    state.settings.output_folder.clone().unwrap_or_else(beside)
}

pub fn open_sample(host: &mut dyn JobHost) {
    host.submit(Request::OpenSample);
}

pub fn open_net(state: &mut AppState, key: String, options: LoadOptions, host: &mut dyn JobHost) {
    state.opening_net = Some(key.clone());
    host.submit(Request::OpenNet { key, options: Box::new(options) });
}

/// Opens the net that the settings name.
pub fn open_net_of_spec(state: &mut AppState, host: &mut dyn JobHost) {
    open_net(state, state.spec.net.clone(), state.spec.net_options.clone(), host);
}

/// A description and its weights are one net, and what else of a net lies beside it is found; of several nets the last
/// stays.
fn open_net_files(state: &mut AppState, mut paths: Vec<PathBuf>, host: &mut dyn JobHost) {
    const DESCRIPTIONS: [&str; 2] = ["prototxt", "net"];
    const BELONGINGS: [&str; 2] = ["binaryproto", "bin"];
    let is_one_of = |path: &PathBuf, endings: &[&str]| ending(path).is_some_and(|own| endings.contains(&own.as_str()));
    if paths.iter().any(|path| !is_one_of(path, &BELONGINGS)) {
        paths.retain(|path| !is_one_of(path, &BELONGINGS));
    }
    let mut options = LoadOptions::default();
    if let [a, b] = paths.as_slice()
        && is_one_of(a, &DESCRIPTIONS) != is_one_of(b, &DESCRIPTIONS)
    {
        if is_one_of(b, &DESCRIPTIONS) {
            paths.reverse();
        }
        options.weights = paths.pop();
    }
    for path in paths {
        open_net(state, path.to_string_lossy().into_owned(), options.clone(), host);
    }
}

pub fn paste(state: &mut AppState, image: Image, host: &mut dyn JobHost) {
    if image.width() == 0 || image.height() == 0 {
        return state.say(Tone::Warning, "the clipboard holds an empty picture");
    }
    host.submit(Request::KeepPasted(image));
}

/// What it takes to develop the step that is shown, or word to the user that there is none.
fn exposure(state: &mut AppState) -> Option<Exposure> {
    let found = state.take().zip(state.shown_step()).and_then(|(take, index)| take.exposure(index));
    if found.is_none() {
        state.say(Tone::Info, "there is no dream yet: press space to begin one");
    }
    found
}

pub fn copy(state: &mut AppState, host: &mut dyn JobHost) {
    if let Some(exposure) = exposure(state) {
        host.submit(Request::Copy(exposure));
    }
}

/// Saves the step that is shown; without a file under a fresh name.
pub fn save(state: &mut AppState, file: Option<PathBuf>, host: &mut dyn JobHost) {
    let Some(exposure) = exposure(state) else { return };
    let to = file.map_or_else(|| SaveTo::Fresh(state.settings.output_folder.clone()), SaveTo::File);
    state.saving += 1;
    host.submit(Request::Save(exposure, to));
}

pub fn pick(state: &mut AppState, pick: Pick, host: &mut dyn JobHost) {
    if matches!(pick, Pick::SaveAs | Pick::Animation) && exposure(state).is_none() {
        return;
    }
    // The dialog proposes a name after the photo's.
    let near = state.take().and_then(|take| take.photo()).or(state.photo.as_ref());
    let near = near.map(|photo| photo.photo.path.clone());
    host.submit(Request::Pick(pick, near));
}

pub fn picked(state: &mut AppState, pick: Pick, mut paths: Vec<PathBuf>, host: &mut dyn JobHost) {
    match pick {
        Pick::Photos | Pick::Folder => open(state, paths, host),
        Pick::Net => open_net_files(state, paths, host),
        Pick::SaveAs => {
            if let Some(path) = paths.pop() {
                save(state, Some(path), host);
            }
        }
        Pick::Animation => {
            if let Some(path) = paths.pop() {
                export(state, path, host);
            }
        }
        Pick::OutputFolder => super::settings::set_output_folder(state, paths.pop(), host),
    }
}

fn export(state: &mut AppState, path: PathBuf, host: &mut dyn JobHost) {
    if state.export.is_some() {
        return state.say(Tone::Warning, "an animation is being written already: wait for it, or stop it");
    }
    let Some(take) = state.take() else { return };
    let until = state.shown_step().unwrap_or(0);
    let exposures: Vec<Exposure> =
        evenly(until + 1, MOST_FRAMES).into_iter().filter_map(|index| take.exposure(index)).collect();
    state.export = Some(Export { done: 0, count: exposures.len() });
    let frame_ms = state.settings.animation_frame_ms;
    host.submit(Request::Export { exposures, path, frame_ms });
}

/// At most `most` of `0..count`, evenly, the last among them.
fn evenly(count: usize, most: usize) -> Vec<usize> {
    let taken = count.min(most);
    (1..=taken).map(|i| i * count / taken - 1).collect()
}

/// What a close would lose, as the end of a sentence; none when all is kept.
fn would_be_lost(state: &AppState) -> Option<String> {
    let waiting = state.waiting_in_batch();
    // The take on the canvas comes back at the next start, and with it those that it went on from.
    let comes_back = |take: &Take| {
        let kept = state.take().into_iter().flat_map(|current| &current.steps);
        let newest = take.steps.last();
        newest.is_none_or(|newest| kept.into_iter().any(|step| Arc::ptr_eq(&step.frame, &newest.frame)))
    };
    let unsaved = state.takes.iter().filter(|take| take.is_unsaved() && !comes_back(take)).count();
    let mut lost = Vec::new();
    if state.export.is_some() {
        lost.push("the animation that is being written".to_string());
    }
    if waiting > 0 {
        lost.push(format!("the rest of the queue ({waiting} photos)"));
    }
    match unsaved {
        0 => {}
        1 => lost.push("one dream in the strip that is in no file".into()),
        _ => lost.push(format!("{unsaved} dreams in the strip that are in no file")),
    }
    (!lost.is_empty()).then(|| lost.join(" and "))
}

pub fn quit(state: &mut AppState, host: &mut dyn JobHost) {
    if state.is_leaving() {
        return;
    }
    match would_be_lost(state) {
        Some(would_lose) => state.dialog = Some(Dialog::Quit { would_lose }),
        None => leave(state, false, host),
    }
}

/// Keeps where the user is, and closes once that is done. `anyway` also where it cannot be done.
pub fn leave(state: &mut AppState, anyway: bool, host: &mut dyn JobHost) {
    state.dialog = None;
    let session = keep_session(state, host);
    state.leaving = Leaving::Keeping { session, anyway };
}

/// Returns the number under which it is kept.
pub fn keep_session(state: &mut AppState, host: &mut dyn JobHost) -> u64 {
    let number = state.fresh_id();
    let take = state.take();
    let frame = take.and_then(|take| take.steps.last()).map(|step| step.frame.clone());
    let photo = match take {
        Some(take) => take.photo(),
        None => state.photo.as_ref(),
    };
    let saved = take.and_then(|take| take.saved.clone());
    let session = Session {
        mode: state.mode,
        photo: photo.map(|photo| photo.photo.path.clone()),
        spec: state.spec.clone(),
        saved: saved.map(|(done, file)| SavedStep { done, file }),
        split: state.canvas.split,
    };
    host.submit(Request::KeepSession { number, session: Box::new(session), frame });
    number
}

/// Goes on leaving once the session is kept.
pub fn session_kept(state: &mut AppState, number: u64, host: &mut dyn JobHost) {
    if matches!(state.leaving, Leaving::Keeping { session, .. } if session == number) {
        state.leaving = Leaving::Saving;
        leave_when_saved(state, host);
    }
}

/// Closes the window when nothing is being written any more.
fn leave_when_saved(state: &mut AppState, host: &mut dyn JobHost) {
    if state.leaving != Leaving::Saving || state.saving > 0 {
        return;
    }
    super::dream::end_live_take(state, host);
    for item in state.batch.iter().filter(|item| !item.phase.is_over()) {
        host.submit(Request::Cancel(item.job));
    }
    state.leaving = Leaving::Free;
    state.effects.push(Effect::Close);
}

/// A save came to its end.
pub fn save_ended(state: &mut AppState, host: &mut dyn JobHost) {
    state.saving = state.saving.saturating_sub(1);
    leave_when_saved(state, host);
}

/// The session could not be kept: that holds the window only where a dream would be lost.
fn session_lost(state: &mut AppState, sentence: &str, host: &mut dyn JobHost) {
    let Leaving::Keeping { anyway, .. } = state.leaving else { return };
    let would_lose = state.take().is_some_and(Take::is_unsaved) && !anyway;
    if would_lose {
        state.leaving = Leaving::Not;
        state.dialog = Some(Dialog::Quit { would_lose: format!("the dream on the canvas ({sentence})") });
    } else {
        state.leaving = Leaving::Saving;
        leave_when_saved(state, host);
    }
}

/// A request failed: takes back what waited for it, and says why.
pub fn failed(state: &mut AppState, what: Failed, sentence: String, host: &mut dyn JobHost) {
    match &what {
        Failed::OpenPhoto(path) => state.opening.retain(|opening| opening != path),
        Failed::OpenNet(key) => net_failed(state, key),
        Failed::Export => state.export = None,
        Failed::Look => state.sees.asked = None,
        Failed::Save => save_ended(state, host),
        Failed::KeepSession => session_lost(state, &sentence, host),
        Failed::Other => {}
    }
    state.say(Tone::Error, sentence);
    super::batch::start_next(state, host);
}

/// The net that is open stays in use.
fn net_failed(state: &mut AppState, key: &str) {
    if state.opening_net.as_deref() == Some(key) {
        state.opening_net = None;
    }
    let Some(net) = state.net.clone() else { return };
    if state.spec.net == key {
        super::events::use_spec_of(state, &net);
    }
    for item in state.batch.iter_mut().filter(|item| item.net.is_none()) {
        item.net = Some(net.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_an_animation_are_even_and_end_with_the_last() {
        assert_eq!(evenly(3, 10), [0, 1, 2]);
        assert_eq!(evenly(10, 5), [1, 3, 5, 7, 9]);
        assert_eq!(evenly(0, 5), [0usize; 0]);
        let many = evenly(1000, 120);
        assert_eq!((many.len(), many.last()), (120, Some(&999)));
        assert!(many.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_name_says_what_a_file_is_for() {
        assert_eq!(kind(Path::new("a/net.SafeTensors")), Kind::Net);
        assert_eq!(kind(Path::new("a/deploy.prototxt")), Kind::Net);
        assert_eq!(kind(Path::new("a/photo.jpg")), Kind::Picture);
        assert_eq!(kind(Path::new("/")), Kind::Folder);
    }
}

//! What is kept from one start to the next: the settings, and where the user was.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{cannot_write, full_picture, open_net, open_photo, open_sample, read_net};
use super::pictures::{image_of, thumbnail_of};
use super::worker::Outlet;
use super::{Event, Exposure, Failed, JobId, Kept, OpenNet, OpenPhoto, Start, Step, picture_of};
use crate::base::atomic;
use crate::base::text::one_line;
use crate::formats::LoadOptions;
use crate::gui::session::Session;
use crate::gui::settings::Settings;
use crate::tasks::catalogue;
use crate::tasks::dream::{DreamSpec, Frame};
use crate::tasks::home::Home;

/// Sessions and settings that are longer are not ours.
const MAX_TEXT_BYTES: u64 = 1 << 20;
/// A kept step is no larger than this.
const MAX_STEP_BYTES: u64 = 2 << 30;

/// The settings that were kept; the defaults where there are none.
pub fn settings(home: Option<&Home>) -> Settings {
    let text = home.and_then(|home| read_text(&settings_file(home)));
    text.map(|text| Settings::from_toml(&text)).unwrap_or_default()
}

/// Writes settings, as TOML, in place of the old ones. Without a home nothing is kept.
pub fn keep_settings(home: Option<&Home>, text: &str, outlet: &Outlet) {
    let Some(home) = home else { return };
    let path = settings_file(home);
    if text.trim().is_empty() {
        let sentence = format!("the settings cannot be kept: {} stays as it was", path.display());
        return outlet.send(Event::Warned(sentence));
    }
    if let Err(error) = atomic::write(&path, text.as_bytes()) {
        outlet.send(Event::Warned(cannot_write(&path, &error)));
    }
}

/// Opens what was open when the window was closed last; see [`super::Request::ComeBack`].
pub fn come_back(home: Option<&Home>, quietly: bool, outlet: &Outlet) {
    let Some((home, mut session)) = home.and_then(|home| Some((home, read_session(home, outlet)?))) else {
        if !quietly {
            open_sample(home, outlet);
            open_net(catalogue::DEFAULT.into(), &LoadOptions::default(), outlet);
        }
        return;
    };
    let photo = session.photo.as_deref().map(open_photo);
    match &photo {
        _ if quietly => {}
        Some(Ok(photo)) => outlet.send(Event::PhotoOpened(photo.clone())),
        _ => open_sample(Some(home), outlet),
    }
    let net = if quietly { None } else { open_net_of(&mut session.spec, outlet) };
    let shown = kept_step(home, &session, photo, net).unwrap_or_else(|reason| {
        outlet.send(Event::Warned(set_aside(home, &reason)));
        None
    });
    outlet.send(Event::SessionFound { session: Box::new(session), shown: shown.map(Box::new), quietly });
}

/// Opens the net of the settings. Where it cannot be had the net that ships takes its place, and since layers and classes
/// of one net mean nothing in another, the goal goes with it.
fn open_net_of(spec: &mut DreamSpec, outlet: &Outlet) -> Option<Arc<OpenNet>> {
    match read_net(&spec.net, &spec.net_options) {
        Ok((net, _)) => {
            let net = Arc::new(net);
            outlet.send(Event::NetOpened(net.clone()));
            Some(net)
        }
        Err(sentence) => {
            outlet.fail(Failed::OpenNet(spec.net.clone()), sentence);
            spec.net = catalogue::DEFAULT.into();
            spec.net_options = LoadOptions::default();
            spec.layers.clear();
            spec.channels.clear();
            (spec.neuron, spec.class) = (None, None);
            open_net(spec.net.clone(), &spec.net_options, outlet);
            None
        }
    }
}

/// The step that was kept, at full size; none where there is none. The error says why it cannot be shown.
fn kept_step(
    home: &Home,
    session: &Session,
    photo: Option<Result<Arc<OpenPhoto>, String>>,
    net: Option<Arc<OpenNet>>,
) -> Result<Option<Kept>, String> {
    let path = step_file(home);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = read_bounded(&path, MAX_STEP_BYTES).ok_or("its file cannot be read")?;
    let frame = Arc::new(Frame::from_bytes(&bytes).map_err(|error| one_line(&error))?);
    let start = start_of(&frame, session, photo)?;
    let (key, options) = (&frame.spec().net, &frame.spec().net_options);
    let net = match net.filter(|net| net.is_of(frame.spec())) {
        Some(net) => net,
        None => Arc::new(read_net(key, options).map_err(|why| format!("its net {key} cannot be opened ({why})"))?.0),
    };
    let exposure = Exposure { job: JobId(0), graph: net.graph.clone(), start: start.clone(), frame: frame.clone() };
    let picture = full_picture(&exposure)?.picture;
    let thumbnail = thumbnail_of(&picture_of(&frame));
    let (size_px, picture) = (picture.size(), image_of(&picture));
    Ok(Some(Kept { step: Step { frame, thumbnail }, picture, size_px, start, net }))
}

/// What the dream of a kept step started from.
fn start_of(frame: &Frame, session: &Session, photo: Option<Result<Arc<OpenPhoto>, String>>) -> Result<Start, String> {
    if frame.spec().from_noise.is_some() {
        return Ok(Start::Noise);
    }
    let named = frame.recipe().source.as_ref().map_or("", |source| &source.file);
    let name = session.photo.as_ref().map_or_else(|| named.into(), |path| path.display().to_string());
    match photo {
        Some(Ok(photo)) => Ok(Start::Photo(photo)),
        Some(Err(why)) => Err(format!("its photo {name} cannot be opened ({why})")),
        None => Err(format!("where its photo {name} is was not kept")),
    }
}

/// Moves a step that cannot be shown out of the way of the next one. Returns what to say.
fn set_aside(home: &Home, reason: &str) -> String {
    let (path, lost) = (step_file(home), home.session_folder().join("step-lost.safetensors"));
    match std::fs::rename(&path, &lost) {
        Ok(()) => format!("the last dream cannot be shown: {reason}; its step is kept as {}", lost.display()),
        Err(error) => format!("the last dream cannot be shown: {reason}; nor can its step be kept: {error}"),
    }
}

/// Keeps where the user is, and the step that is shown.
///
/// # Errors
/// A sentence, when it cannot be written, or when there is a step and no place for it.
pub fn keep_session(home: Option<&Home>, session: &Session, frame: Option<&Frame>) -> Result<(), String> {
    match (home, frame) {
        (Some(home), _) => write_session(home, session, frame),
        (None, Some(_)) => Err("the dream cannot be kept: there is no folder for settings on this system".into()),
        (None, None) => Ok(()),
    }
}

fn write_session(home: &Home, session: &Session, frame: Option<&Frame>) -> Result<(), String> {
    let (path, step_file) = (session_file(home), step_file(home));
    if let Some(frame) = frame {
        let bytes = frame.to_bytes().map_err(|error| one_line(&error))?;
        atomic::write(&step_file, &bytes).map_err(|error| cannot_write(&step_file, &error))?;
    }
    // TOML is UTF-8 and paths need not be: the rest of the session is worth keeping without them.
    let in_utf8 = |path: &Option<PathBuf>| path.clone().filter(|path| path.to_str().is_some());
    let photo = in_utf8(&session.photo);
    let saved = session.saved.clone().filter(|saved| saved.file.to_str().is_some());
    let session = Session { photo, saved, ..session.clone() };
    let text = toml::to_string(&session).map_err(|error| format!("the session cannot be kept: {error}"))?;
    atomic::write(&path, text.as_bytes()).map_err(|error| cannot_write(&path, &error))?;
    if frame.is_none() {
        // A step of an older session means nothing any more; where there is none, all is well.
        let _ = std::fs::remove_file(&step_file);
    }
    Ok(())
}

/// The session that was kept. One that cannot be understood is told of.
fn read_session(home: &Home, outlet: &Outlet) -> Option<Session> {
    let path = session_file(home);
    let text = read_text(&path)?;
    match toml::from_str(&text) {
        Ok(session) => Some(session),
        Err(error) => {
            let reason = format!("{} is no session ({})", path.display(), error.message());
            let has_step = step_file(home).exists();
            outlet.send(Event::Warned(if has_step { set_aside(home, &reason) } else { reason }));
            None
        }
    }
}

fn read_bounded(path: &Path, most: u64) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(most + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= most).then_some(bytes)
}

fn read_text(path: &Path) -> Option<String> {
    String::from_utf8(read_bounded(path, MAX_TEXT_BYTES)?).ok()
}

/// Where the settings of the window are kept.
fn settings_file(home: &Home) -> PathBuf {
    home.config.join("settings.toml")
}

fn session_file(home: &Home) -> PathBuf {
    home.session_folder().join("session.toml")
}

/// The step that was shown last, exact.
fn step_file(home: &Home) -> PathBuf {
    home.session_folder().join("step.safetensors")
}

#[cfg(test)]
#[path = "keep_tests.rs"]
mod tests;

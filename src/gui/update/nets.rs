//! The catalogue of nets.

use crate::gui::host::{Fetching, JobHost, Request};
use crate::gui::state::{AppState, Dialog, Tone};
use crate::tasks::catalogue::Listing;

pub fn show(state: &mut AppState, host: &mut dyn JobHost) {
    state.dialog = Some(Dialog::Nets);
    host.submit(Request::ListNets);
}

pub fn get(state: &mut AppState, name: String, host: &mut dyn JobHost) {
    state.fetching.entry(name.clone()).or_default();
    host.submit(Request::FetchNet(name));
}

pub fn stop(state: &mut AppState, name: String, host: &mut dyn JobHost) {
    if let Some(fetching) = state.fetching.get_mut(&name) {
        (fetching.is_stopping, fetching.doing) = (true, "stopping".into());
        host.submit(Request::StopFetching(name));
    }
}

pub fn listed(state: &mut AppState, nets: Vec<Listing>) {
    state.nets = nets;
}

pub fn progressed(state: &mut AppState, name: &str, progress: Fetching) {
    if let Some(fetching) = state.fetching.get_mut(name).filter(|fetching| !fetching.is_stopping) {
        *fetching = progress;
    }
}

/// A stop is no error, and what has arrived goes on from there the next time.
pub fn ended(state: &mut AppState, name: &str, ended: Result<(), String>) {
    let was_stopped = state.fetching.remove(name).is_some_and(|fetching| fetching.is_stopping);
    match ended {
        Err(sentence) => state.say(Tone::Error, sentence),
        Ok(()) if was_stopped => state.say(Tone::Info, format!("stopped fetching {name}; what has arrived is kept")),
        Ok(()) => state.say(Tone::Info, format!("{name} is here: choose it in the menu Net")),
    }
}

//! The catalogue of nets.

use crate::gui::command::Command;
use crate::gui::host::{FetchOutcome, Fetching, JobHost, Request};
use crate::gui::state::{AppState, Dialog, Tone};
use crate::tasks::catalogue::Listing;

/// Carries out what the user does to the catalogue.
pub fn change(state: &mut AppState, command: Command, host: &mut dyn JobHost) {
    match command {
        Command::ShowNets => {
            state.dialog = Some(Dialog::Nets);
            host.submit(Request::ListNets);
        }
        Command::GetNet(name) => {
            state.fetching.entry(name.clone()).or_default();
            host.submit(Request::FetchNet(name));
        }
        Command::StopGettingNet(name) => {
            if let Some(fetching) = state.fetching.get_mut(&name) {
                (fetching.is_stopping, fetching.doing) = (true, "stopping".into());
                host.submit(Request::StopFetching(name));
            }
        }
        Command::RemoveNet(name) => host.submit(Request::RemoveNet(name)),
        _ => {}
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

/// What has arrived when the user stops goes on from there the next time.
pub fn ended(state: &mut AppState, name: &str, ended: Result<FetchOutcome, String>) {
    state.fetching.remove(name);
    match ended {
        Err(sentence) => state.say(Tone::Error, sentence),
        Ok(FetchOutcome::Stopped) => {
            state.say(Tone::Info, format!("stopped fetching {name}; what has arrived is kept"));
        }
        Ok(FetchOutcome::Here) => state.say(Tone::Info, format!("{name} is here: choose it in the menu Net")),
    }
}

//! All nets that there are, for people to choose from.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::published::{Dreams, Published};
use super::store::{Installed, Store, StoreError};
use crate::tasks::home::Home;

/// A net to choose, and what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listing {
    /// What opens it.
    pub name: String,
    pub state: State,
    /// What it tells apart, in a few words: `1000 classes`, `205 scenes`; empty where it does not classify.
    pub task: String,
    /// What it takes on disk, or takes to fetch; none where nobody says.
    pub bytes: Option<u64>,
    /// Empty where unknown.
    pub licence: String,
    /// In per cent, as for [`Published::top_1`].
    pub top_1: Option<f32>,
    /// One to three stars; none where unknown.
    pub dreams: Option<&'static str>,
    /// What it is, in one line; may be empty.
    pub summary: String,
}

/// Where a net is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Part of the program.
    BuiltIn,
    Installed,
    /// It is installed, but cannot be opened: its description is damaged, or a file is missing or cut short. It can be
    /// removed, or fetched again if it is one of the catalogue.
    Damaged,
    /// A part of it has been fetched.
    Begun,
    /// It can be fetched.
    Available,
}

impl State {
    pub fn in_words(self) -> &'static str {
        match self {
            Self::BuiltIn => "built in",
            Self::Installed => "installed",
            Self::Damaged => "damaged",
            Self::Begun => "begun",
            Self::Available => "can be fetched",
        }
    }
}

/// The built-in nets, those of the catalogue, and the user's own by name; and what is wrong with nets that are damaged.
pub fn list(home: &Home) -> (Vec<Listing>, Vec<StoreError>) {
    let store = Store::of(home);
    let (installed, mut complaints) = store.installed();
    complaints.extend(installed.iter().filter_map(|net| net.check().err()));
    let damaged: BTreeSet<String> = complaints.iter().filter_map(damaged_net).map(str::to_string).collect();
    let mut own: BTreeMap<String, Listing> =
        installed.iter().map(|net| (net.name().to_string(), Listing::of_own(net))).collect();
    for name in &damaged {
        own.entry(name.clone()).or_insert_with(|| Listing::of_damaged(name)).state = State::Damaged;
    }
    for listing in own.values_mut().filter(|listing| listing.state == State::Damaged) {
        listing.bytes = Some(store.bytes_of(&listing.name));
    }
    let mut listings: Vec<Listing> = super::entries().iter().map(Listing::of_built_in).collect();
    for net in Published::all() {
        let here = own.remove(net.name);
        let begun = store.begun_bytes(net.name) > 0;
        listings.push(Listing::of_published(net, here.as_ref(), begun));
    }
    listings.extend(own.into_values());
    (listings, complaints)
}

/// The name of the net that a complaint says is damaged.
fn damaged_net(complaint: &StoreError) -> Option<&str> {
    match complaint {
        StoreError::Damaged { name, .. } => Some(name),
        _ => None,
    }
}

impl Listing {
    fn of_built_in(entry: &super::Entry) -> Self {
        Self {
            name: entry.name.into(),
            state: State::BuiltIn,
            task: entry.task.in_words().into(),
            bytes: Some(entry.size()),
            licence: entry.licence.into(),
            top_1: entry.top_1,
            dreams: Some(entry.dreams.stars()),
            summary: entry.summary.into(),
        }
    }

    /// `here` is what its folder says, where it has one.
    fn of_published(net: &Published, here: Option<&Self>, begun: bool) -> Self {
        let state = match here {
            Some(here) => here.state,
            None if begun => State::Begun,
            None => State::Available,
        };
        Self {
            name: net.name.into(),
            state,
            task: net.task.in_words().into(),
            bytes: here.map_or_else(|| net.bytes(), |here| here.bytes),
            licence: net.licence.into(),
            top_1: net.top_1,
            dreams: Some(Dreams::stars(net.dreams)),
            summary: net.summary.into(),
        }
    }

    /// A net of whose description no more can be read than the name of its folder.
    fn of_damaged(name: &str) -> Self {
        Self {
            name: name.into(),
            state: State::Damaged,
            task: String::new(),
            bytes: None,
            licence: String::new(),
            top_1: None,
            dreams: None,
            summary: String::new(),
        }
    }

    fn of_own(net: &Installed) -> Self {
        let manifest = &net.manifest;
        let task = if manifest.classes > 0 { format!("{} classes", manifest.classes) } else { String::new() };
        Self {
            name: manifest.name.clone(),
            state: State::Installed,
            task,
            bytes: Some(manifest.bytes()),
            licence: manifest.licence.clone(),
            top_1: None,
            dreams: None,
            summary: manifest.summary.clone(),
        }
    }
}

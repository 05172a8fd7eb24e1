//! `oneiric nets`: the catalogue of nets as a table or as JSON lines; fetching, adding, removing.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::{AddArgs, GetArgs, InfoArgs, ListArgs, NetsAction, PathArgs, RemoveArgs};
use super::failure::{Exit, Failure, complain};
use super::interrupt::Interrupts;
use super::output::{Report, table};
use super::transfer::Transfer;
use crate::base::text::{one_line, with_unit};
use crate::tasks::catalogue::{
    self, CatalogueError, Fetch, FetchError, Fetched, Installed, Listing, Published, Store, StoreError,
};
use crate::tasks::home::Home;

mod convert;
mod info;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if error.is_of_machine() { Self::running(error) } else { Self::input(error) }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        if error.is_of_machine() { Self::running(error) } else { Self::input(error) }
    }
}

pub fn run(action: &NetsAction) -> Result<Exit, Failure> {
    let home = || Home::find().map_err(Failure::input);
    match action {
        NetsAction::List(args) => list(args, &home()?),
        NetsAction::Get(args) => get(args, &home()?),
        NetsAction::Add(args) => add(args, &home()?),
        NetsAction::Remove(args) => remove(args, &home()?),
        NetsAction::Path(args) => path(args, &home()?),
        NetsAction::Info(args) => show(args),
        NetsAction::Convert(args) => convert::run(args),
    }
}

fn list(args: &ListArgs, home: &Home) -> Result<Exit, Failure> {
    let (nets, complaints) = catalogue::list(home);
    let mut report = Report::to_stdout(args.speech.json);
    for net in &nets {
        report.object(net)?;
    }
    for line in rows(&nets) {
        report.line(line)?;
    }
    report.line("")?;
    report.line("top-1: pictures of which the likeliest class is right; dreams: ★★★ the best dreamers")?;
    report.line("fetch one: oneiric nets get NAME   more about one: oneiric nets info NAME")?;
    if !args.speech.quiet {
        complaints.iter().for_each(|complaint| complain(&one_line(complaint)));
    }
    report.finish()?;
    Ok(Exit::Done)
}

/// The table, its head first: at most 100 characters wide for names, licences and numbers of usual length.
fn rows(nets: &[Listing]) -> Vec<String> {
    let head = ["name", "state", "task", "size", "licence", "top-1", "dreams"];
    let mut rows = vec![head.map(str::to_string).to_vec()];
    rows.extend(nets.iter().map(|net| {
        let size = net.bytes.map(|bytes| format!("{}B", with_unit(bytes)));
        vec![
            net.name.clone(),
            net.state.in_words().to_string(),
            net.task.clone(),
            // Right-aligned, as the table puts the first columns to the left.
            format!("{:>7}", size.as_deref().unwrap_or("?")),
            shortened(&net.licence),
            net.top_1.map(|top_1| format!("{top_1:.1} %")).unwrap_or_default(),
            format!("{:<6}", net.dreams.unwrap_or_default()),
        ]
    }));
    table(&rows, 5)
}

/// The start of a text that a file may have made up.
fn shortened(text: &str) -> String {
    const CHARS: usize = 16;
    if text.chars().count() <= CHARS {
        return text.to_string();
    }
    text.chars().take(CHARS - 1).chain(['…']).collect()
}

/// One net that was fetched or added, as JSON.
#[derive(Serialize)]
struct NetLine<'a> {
    net: &'a str,
    folder: &'a Path,
    files: Vec<&'a str>,
    bytes: u64,
    /// Whether it was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    was_there: Option<bool>,
}

impl<'a> NetLine<'a> {
    fn of(net: &'a Installed, was_there: Option<bool>) -> Self {
        let manifest = &net.manifest;
        let files = manifest.files.iter().map(|entry| entry.file.as_str()).collect();
        Self { net: net.name(), folder: &net.folder, files, bytes: manifest.bytes(), was_there }
    }
}

/// Fetches all nets that are named. One that cannot be had is complained about and does not stop the others; Ctrl-C does.
fn get(args: &GetArgs, home: &Home) -> Result<Exit, Failure> {
    let interrupts = Interrupts::watch()?;
    let fetching = Fetch { again: args.force, ..Fetch::default() };
    let mut report = Report::to_stdout(args.speech.json);
    let mut transfer = Transfer::new(args.speech.quiet);
    let mut exit = Exit::Done;
    for name in &args.names {
        let fetched = fetching.run(name, home, &mut |progress| {
            transfer.update(&progress);
            if interrupts.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        transfer.finish();
        match fetched {
            Ok(Fetched { net, was_there, notes }) => {
                notes.iter().for_each(|note| transfer.note(note));
                report.object(&NetLine::of(&net, Some(was_there)))?;
                let name = net.name();
                report.line(match was_there {
                    true => format!("{name} is installed already (--force fetches it again)"),
                    false => format!("{name} is installed: oneiric dream PHOTO --net {name}"),
                })?;
            }
            Err(error @ FetchError::Cancelled(_)) => {
                complain(&one_line(&error));
                return Ok(Exit::Interrupted);
            }
            Err(error) => exit = exit.or_worse(Failure::from(error).report()),
        }
    }
    report.finish()?;
    Ok(exit)
}

fn add(args: &AddArgs, home: &Home) -> Result<Exit, Failure> {
    let added = Store::of(home).add(&args.files, args.name.as_deref(), &args.net.options(args.size))?;
    if !args.speech.quiet {
        added.notes.iter().for_each(|note| complain(note));
    }
    let mut report = Report::to_stdout(args.speech.json);
    report.object(&NetLine::of(&added.net, None))?;
    let name = added.net.name();
    report.line(format_args!("{name} is installed: oneiric dream PHOTO --net {name}"))?;
    report.finish()?;
    Ok(Exit::Done)
}

fn remove(args: &RemoveArgs, home: &Home) -> Result<Exit, Failure> {
    #[derive(Serialize)]
    struct Removed<'a> {
        net: &'a str,
        removed_bytes: u64,
    }
    let mut report = Report::to_stdout(args.speech.json);
    let mut exit = Exit::Done;
    for name in &args.names {
        if let Some(entry) = catalogue::built_in(name) {
            let error = anyhow::anyhow!("`{}` is part of the program and cannot be removed", entry.name);
            exit = exit.or_worse(Failure::Input(error).report());
            continue;
        }
        match Store::of(home).remove(name) {
            Ok(removed_bytes) => {
                report.object(&Removed { net: name, removed_bytes })?;
                report.line(format_args!("{name} is removed, {}B", with_unit(removed_bytes)))?;
            }
            Err(error) => exit = exit.or_worse(Failure::from(error).report()),
        }
    }
    report.finish()?;
    Ok(exit)
}

fn path(args: &PathArgs, home: &Home) -> Result<Exit, Failure> {
    if let Some(entry) = catalogue::built_in(&args.name) {
        return Err(Failure::Input(anyhow::anyhow!("`{}` is part of the program: it has no folder", entry.name)));
    }
    let published = Published::find(&args.name);
    let name = published.map_or(args.name.as_str(), |net| net.name);
    let net = Store::of(home).find(name)?.ok_or_else(|| match published {
        Some(net) => Failure::input(CatalogueError::NotInstalled(net.name)),
        None => Failure::input(StoreError::NotInstalled(args.name.clone())),
    })?;
    let mut report = Report::to_stdout(args.speech.json);
    report.object(&NetLine::of(&net, None))?;
    report.line(net.folder.display())?;
    report.finish()?;
    Ok(Exit::Done)
}

fn show(args: &InfoArgs) -> Result<Exit, Failure> {
    let mut report = Report::to_stdout(args.speech.json);
    let name = args.net.as_str();
    let published = Published::find(name);
    let is_path = PathBuf::from(name).components().count() > 1;
    // A user without a home has no nets there.
    let store = Home::find().ok().filter(|_| !is_path).map(|home| Store::of(&home));
    let found = store.map(|store| store.find(published.map_or(name, |net| net.name))).transpose()?;
    let installed = found.flatten();
    match (catalogue::built_in(name), installed, published) {
        (Some(entry), _, _) => info::built_in(entry, &mut report)?,
        (None, Some(net), published) => info::installed(&net, published, &mut report)?,
        (None, None, Some(net)) => info::published(net, &mut report)?,
        (None, None, None) => info::file(name, args.speech.quiet, &mut report)?,
    }
    report.finish()?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_fits_a_hundred_columns() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (nets, _) = catalogue::list(&Home::at(folder.path()));
        let rows = rows(&nets);
        assert_eq!(rows.len(), nets.len() + 1);
        let widest = rows.iter().map(|row| row.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= 100), "{}", rows.join("\n"));
        let at = |row: &str, word: &str| row.find(word).map(|byte| row[..byte].chars().count());
        for (row, net) in rows.iter().skip(1).zip(&nets) {
            assert_eq!(at(row, net.state.in_words()), at(&rows[0], "state"), "{row}");
            assert_eq!(at(row, "★"), at(&rows[0], "dreams"), "{row}");
        }
    }
}

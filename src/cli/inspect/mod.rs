//! `oneiric inspect`: the layers of a net, drawings of it, and what it does with a photo.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;

use super::args::{Bytes, InspectArgs};
use super::failure::{Exit, Failure, complain};
use super::net;
use super::output::{Report, spare};
use crate::formats::LoadOptions;
use crate::imageio::{self, Picture};
use crate::nn::graph::Graph;
use crate::tasks::catalogue;
use crate::tasks::inspect::{NetInput, available_bytes};

mod check;
mod draw;
mod dump;
mod layers;
mod mode;
mod profile;

use mode::Mode;

pub fn run(args: &InspectArgs) -> Result<Exit, Failure> {
    let mode = Mode::of(args).map_err(|problem| Failure::Input(anyhow!(problem)))?;
    let net = args.net_file.as_deref().or(args.common.net.as_deref()).unwrap_or(catalogue::DEFAULT);
    let options = args.common.net_args.options(args.size);
    spare_what_is_read(args, net, &options)?;
    let graph = net::open(net, &options, args.common.quiet)?;
    match mode {
        Mode::Layers => layers::run(args, &graph),
        Mode::Draw => draw::run(args, &graph),
        Mode::Profile(photo) => profile::run(args, &graph, photo),
        Mode::Check { other, photo } => check::run(args, &graph, other, photo),
        Mode::Dump(photo) => dump::run(args, &graph, photo),
    }
}

/// Refuses to write over the nets, the photo, or what the options name.
fn spare_what_is_read(args: &InspectArgs, net: &str, options: &LoadOptions) -> Result<(), Failure> {
    let nets = [Some(net), args.check.as_deref()].into_iter().flatten().map(Path::new);
    let read: Vec<&Path> = nets.chain(args.photo.as_deref()).chain(args.profile.as_deref()).collect();
    let written = [("--out", &args.out), ("--dot", &args.dot), ("--svg", &args.svg)];
    let mut written = written.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?)));
    written.try_for_each(|(option, path)| spare(&read, options, path, option))
}

/// The report of a command: on stdout, or in the file that `--out` names.
fn report(args: &InspectArgs) -> Report {
    Report::to_file_or_stdout(args.common.json, args.out.as_deref().filter(|out| !is_stdout(out)))
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// `[height, width]` that `--size` says.
fn size_px(args: &InspectArgs) -> Option<[usize; 2]> {
    args.size.map(|size| [size.height, size.width])
}

/// How much memory may be used; `None` where nobody says.
fn memory(args: &InspectArgs) -> Option<u64> {
    args.common.max_memory.map(|Bytes(bytes)| bytes).or_else(available_bytes)
}

fn load(args: &InspectArgs, photo: &Path) -> Result<Picture, Failure> {
    let loaded = imageio::load(photo, &args.common.limits()).map_err(Failure::input)?;
    if !args.common.quiet {
        loaded.notes.iter().for_each(|note| complain(note));
    }
    Ok(loaded.picture)
}

fn input_of(args: &InspectArgs, graph: &Arc<Graph>, picture: &Picture) -> Result<NetInput, Failure> {
    NetInput::new(graph, picture, size_px(args), memory(args)).map_err(Failure::input)
}

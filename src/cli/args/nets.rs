//! The arguments of `oneiric nets`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{NetArgs, values};
use crate::formats::SaveFormat;
use crate::tasks::dream::SizePx;

/// Fetch nets, add your own, and say what is there.
///
/// A net that is here is used by its name: oneiric dream PHOTO --net googlenet.
#[derive(Args, Debug)]
#[command(
    disable_help_subcommand = true,
    subcommand_value_name = "ACTION",
    subcommand_help_heading = "Actions",
    after_help = "ONEIRIC_MIRROR names a URL or a folder in which files are looked for first, as MIRROR/FILE: for \
        machines without internet.\nExample: oneiric nets get googlenet && oneiric dream photo.jpg --net googlenet"
)]
pub struct NetsArgs {
    #[command(subcommand)]
    pub action: NetsAction,
}

#[derive(Debug, Subcommand)]
pub enum NetsAction {
    List(ListArgs),
    Get(GetArgs),
    Add(AddArgs),
    Remove(RemoveArgs),
    Path(PathArgs),
    Info(InfoArgs),
    Convert(ConvertArgs),
}

/// What every action takes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Common options")]
pub struct Speech {
    /// Print one JSON object a line on stdout, and nothing else there
    #[arg(long)]
    pub json: bool,

    /// Keep silent on stderr, except about errors
    #[arg(long, short)]
    pub quiet: bool,
}

/// List all nets: those that are here, and those that can be fetched
#[derive(Args, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    pub speech: Speech,
}

/// Fetch nets and install them; what breaks off is gone on with the next time
#[derive(Args, Debug)]
pub struct GetArgs {
    /// The names of nets, as oneiric nets list has them
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,

    /// Fetch a net that is installed again, in place of the one that is there
    #[arg(long)]
    pub force: bool,

    #[command(flatten)]
    pub speech: Speech,
}

/// Install a net from your own files, which are copied
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The files of one net; what lies beside them and belongs to it is found
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// What to call it [default: after the first file]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// The size in pixels that the net takes, where its files do not say
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = values::size_px)]
    pub size: Option<SizePx>,

    #[command(flatten)]
    pub net: NetArgs,

    #[command(flatten)]
    pub speech: Speech,
}

/// Remove an installed net, or what has been fetched of one
#[derive(Args, Debug)]
pub struct RemoveArgs {
    /// The names of nets
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,

    #[command(flatten)]
    pub speech: Speech,
}

/// Print the folder of an installed net
#[derive(Args, Debug)]
pub struct PathArgs {
    /// The name of the net
    #[arg(value_name = "NAME")]
    pub name: String,

    #[command(flatten)]
    pub speech: Speech,
}

/// Say all that is known of a net
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// The name of the net, or a file
    #[arg(value_name = "NAME|FILE")]
    pub net: String,

    #[command(flatten)]
    pub speech: Speech,
}

/// Write a net in another format: Oneiric's own, ONNX, or weights for PyTorch
#[derive(Args, Debug)]
#[command(after_help = "Example: oneiric nets convert googlenet googlenet.onnx")]
pub struct ConvertArgs {
    /// The name of the net, or a file
    #[arg(value_name = "NAME|FILE")]
    pub net: String,

    /// The file to write
    #[arg(value_name = "OUT")]
    pub out: PathBuf,

    /// The format: native, onnx, or state-dict (safetensors that PyTorch loads) [default: by the ending of OUT]
    #[arg(long, value_name = "FORMAT")]
    pub to: Option<SaveFormat>,

    /// Keep weights as 16-bit floats, in half the space; native files only
    #[arg(long)]
    pub half: bool,

    /// The size in pixels that the net takes, where its files do not say
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = values::size_px)]
    pub size: Option<SizePx>,

    #[command(flatten)]
    pub net_args: NetArgs,

    #[command(flatten)]
    pub speech: Speech,
}

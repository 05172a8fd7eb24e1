//! The arguments of `oneiric nets`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values;
use crate::formats::LoadOptions;
use crate::nn::graph::ChannelOrder;
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

    #[command(flatten)]
    pub load: LoadArgs,

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

/// What files of nets leave open.
#[derive(Args, Debug)]
#[command(next_help_heading = "What the files do not say")]
pub struct LoadArgs {
    /// The mean that is subtracted from pixels of 0 to 255: one number, or one a channel in the net's own order
    #[arg(long, value_name = "NUMBER,…", value_delimiter = ',', value_parser = values::not_negative::<f32>)]
    pub mean: Option<Vec<f32>>,

    /// The factor after the mean is subtracted: one number, or one a channel
    #[arg(long, value_name = "NUMBER,…", value_delimiter = ',', value_parser = values::positive::<f32>)]
    pub scale: Option<Vec<f32>>,

    /// The net takes blue first, as nets of Caffe do
    #[arg(long, conflicts_with = "rgb")]
    pub bgr: bool,

    /// The net takes red first, as most nets do
    #[arg(long)]
    pub rgb: bool,

    /// The size in pixels that the net takes, such as 224 or 640x480
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = values::size_px)]
    pub size: Option<SizePx>,

    /// A text file of class names, one a line
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,

    /// The architecture of bare weights, such as resnet50, or a net's file
    #[arg(long, value_name = "NAME|FILE")]
    pub architecture: Option<String>,
}

impl LoadArgs {
    pub fn options(&self) -> LoadOptions {
        let order = if self.bgr { Some(ChannelOrder::Bgr) } else { self.rgb.then_some(ChannelOrder::Rgb) };
        LoadOptions {
            order,
            mean: self.mean.clone(),
            scale: self.scale.clone(),
            size_px: self.size.map(|size| [size.height, size.width]),
            labels: self.labels.clone(),
            architecture: self.architecture.clone(),
        }
    }
}

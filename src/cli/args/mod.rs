//! What can be said on the command line. Only words become values here; whether they make sense is the tasks' to say.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::imageio::Limits;
use crate::tasks::bench::BenchNet;
use crate::tasks::dream::SizePx;

mod dream;
mod values;

pub use dream::{DreamArgs, SaveArgs};
pub use values::Bytes;

/// Dream with convolutional networks, and look into them.
#[derive(Debug, Parser)]
#[command(
    name = "oneiric",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Start with: oneiric dream photo.jpg\nMore about a command: oneiric COMMAND --help"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Cli {
    /// Parses the process's arguments.
    pub fn from_process() -> Result<Self, clap::Error> {
        Self::from_arg_matches(&Self::definition().try_get_matches()?)
    }

    /// All commands. A value may look like a negative number, so that it is refused as a value and not as an option.
    pub fn definition() -> clap::Command {
        let allow = |arg: clap::Arg| {
            if arg.get_action().takes_values() && !arg.is_positional() { arg.allow_negative_numbers(true) } else { arg }
        };
        Self::command().mut_subcommands(|command| command.mut_args(allow))
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Dream(Box<DreamArgs>),
    Classify(ClassifyArgs),
    Inspect(InspectArgs),
    Bench(BenchArgs),
}

impl Command {
    pub fn common(&self) -> &Common {
        match self {
            Self::Dream(args) => &args.common,
            Self::Classify(args) => &args.common,
            Self::Inspect(args) => &args.common,
            Self::Bench(args) => &args.common,
        }
    }
}

/// What every command takes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The net to use: the name of one that ships, or a file [default: efficientnet-lite0]
    #[arg(long, value_name = "NET")]
    pub net: Option<String>,

    /// The seed of all randomness: the same seed makes the same bytes [default: 0]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,

    /// Print one JSON object a line on stdout, and nothing else there
    #[arg(long)]
    pub json: bool,

    /// Keep silent on stderr, except about errors
    #[arg(long, short)]
    pub quiet: bool,

    /// How many threads may work; never changes the result [default: RAYON_NUM_THREADS, or all cores]
    #[arg(long, value_name = "NUMBER", value_parser = values::threads)]
    pub threads: Option<usize>,

    /// How much memory may be used, such as 2G or 800M [default: what the machine has left]
    #[arg(long, value_name = "SIZE")]
    pub max_memory: Option<Bytes>,
}

impl Common {
    /// What reading one picture may cost.
    pub fn limits(&self) -> Limits {
        let limits = Limits::default();
        let max_alloc_bytes = self.max_memory.map_or(limits.max_alloc_bytes, |Bytes(bytes)| bytes);
        Limits { max_alloc_bytes, ..limits }
    }
}

/// Say what photos show.
///
/// Each photo is resized and its middle cropped to the size that the net was trained at, as ImageNet is evaluated.
#[derive(Args, Debug)]
#[command(after_help = "Example: oneiric classify holiday/*.jpg --top 3 --json")]
pub struct ClassifyArgs {
    /// Pictures in PNG, JPEG, WebP, TIFF, BMP or GIF
    #[arg(value_name = "PHOTO", required = true)]
    pub photos: Vec<PathBuf>,

    /// How many classes to name, the likeliest first
    #[arg(long, value_name = "NUMBER", default_value = "5", value_parser = values::at_least_one)]
    pub top: usize,

    /// Write the result to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,

    #[command(flatten)]
    pub common: Common,
}

/// Show the layers of a net: shapes, weights, cost, and how much of the picture each sees.
///
/// Any layer that is listed here can be dreamt with: oneiric dream PHOTO --layer NAME.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// The net: the name of one that ships, or a file
    #[arg(value_name = "NET", conflicts_with = "net")]
    pub net_file: Option<String>,

    /// Show shapes and cost for a picture of this size in pixels, such as 640x480 [default: the net's own]
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = values::size_px)]
    pub size: Option<SizePx>,

    /// Write the result to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,

    #[command(flatten)]
    pub common: Common,
}

/// Measure how fast this machine dreams.
///
/// The time of one step, forward and back to the picture, of well-known nets.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// The nets to measure: lite0, googlenet, vgg16, resnet50, squeezenet [default: all]
    #[arg(long, value_name = "NET,…", value_delimiter = ',')]
    pub nets: Vec<BenchNet>,

    /// Sides of the square pictures to measure at, in pixels [default: 224,512]
    #[arg(long, value_name = "PIXELS,…", value_delimiter = ',', value_parser = values::at_least_one)]
    pub sizes: Vec<usize>,

    /// How many steps are timed; the median counts [default: 7]
    #[arg(long, value_name = "NUMBER", value_parser = values::at_least_one)]
    pub rounds: Option<usize>,

    /// Write the result to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,

    #[command(flatten)]
    pub common: Common,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::definition().debug_assert();
    }
}

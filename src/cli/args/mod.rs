//! What can be said on the command line. Only words become values here; whether they make sense is the tasks' to say.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::imageio::Limits;
use crate::tasks::bench::{BenchNet, Kind};
use crate::tasks::dream::SizePx;

mod dream;
mod inspect;
mod net;
mod nets;
mod values;

pub use dream::{DreamArgs, SaveArgs};
pub use inspect::InspectArgs;
pub use net::NetArgs;
pub use nets::{AddArgs, ConvertArgs, GetArgs, InfoArgs, ListArgs, NetsAction, NetsArgs, PathArgs, RemoveArgs};
pub use values::Bytes;

/// Dream with convolutional networks, and look into them.
#[derive(Debug, Parser)]
#[command(
    name = "oneiric",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Without a command the window opens; so it does with photos: oneiric photo.jpg\n\
        On the command line start with: oneiric dream photo.jpg\nMore about a command: oneiric COMMAND --help\nMore about this build: oneiric --version --verbose"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Cli {
    /// Parses the process's arguments.
    pub fn from_process() -> Result<Self, clap::Error> {
        let words = std::env::args_os().collect();
        let definition = Self::definition();
        let is_command = |word: &OsString| definition.get_subcommands().any(|command| command.get_name() == *word);
        let words = with_command(words, is_command, |word| Path::new(word).exists());
        Self::from_arg_matches(&definition.clone().try_get_matches_from(words)?)
    }

    /// All commands. A value may look like a negative number, so that it is refused as a value and not as an option.
    pub fn definition() -> clap::Command {
        let allow = |arg: clap::Arg| {
            if arg.get_action().takes_values() && !arg.is_positional() { arg.allow_negative_numbers(true) } else { arg }
        };
        Self::command().mut_subcommands(|command| command.mut_args(allow))
    }
}

/// `oneiric photo.jpg` is `oneiric gui photo.jpg`, where no command is called so and such a file is there.
fn with_command(
    mut words: Vec<OsString>,
    is_command: impl Fn(&OsString) -> bool,
    is_file: impl Fn(&OsString) -> bool,
) -> Vec<OsString> {
    if words.get(1).is_some_and(|first| !is_command(first) && is_file(first)) {
        words.insert(1, "gui".into());
    }
    words
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Gui(GuiArgs),
    Dream(Box<DreamArgs>),
    Classify(ClassifyArgs),
    Inspect(Box<InspectArgs>),
    Nets(NetsArgs),
    Bench(BenchArgs),
}

impl Command {
    /// The options that every command takes but the window and those that run no net.
    pub fn common(&self) -> Option<&Common> {
        match self {
            Self::Gui(_) | Self::Nets(_) => None,
            Self::Dream(args) => Some(&args.common),
            Self::Classify(args) => Some(&args.common),
            Self::Inspect(args) => Some(&args.common),
            Self::Bench(args) => Some(&args.common),
        }
    }
}

/// Open the window: drop a photo, and it dreams.
///
/// Without files it opens where you left it last.
#[derive(Args, Debug)]
pub struct GuiArgs {
    /// Photos or folders to dream, dreams to go on with, or a net to use
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// How many threads may dream; never changes the result [default: RAYON_NUM_THREADS, or all cores]
    #[arg(long, value_name = "NUMBER", value_parser = values::threads)]
    pub threads: Option<usize>,
}

/// What every command takes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The net to use: a name that oneiric nets list has, or a file [default: efficientnet-lite0]
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

    #[command(flatten)]
    pub net_args: NetArgs,
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

    /// The size in pixels that the net takes, such as 224 [default: as its files say]
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = values::size_px)]
    pub size: Option<SizePx>,

    /// How many classes to name, the likeliest first
    #[arg(long, value_name = "NUMBER", default_value = "5", value_parser = values::at_least_one)]
    pub top: usize,

    /// Write the result to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,

    #[command(flatten)]
    pub common: Common,
}

/// Measure how fast this machine dreams, looks and learns.
///
/// The time of one step of well-known nets: of a dream (forward, and back to the picture), of looking at many pictures,
/// and of training. What it reaches of the peak counts operations by definition: tricks that need fewer may exceed it.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// What to measure: dream, forward, train [default: all]
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    pub kinds: Vec<Kind>,

    /// The nets to measure: lite0, googlenet, googlenet-bvlc, vgg16, resnet50, squeezenet to dream; lite0, lenet to look;
    /// lenet, cifar10-quick to train [default: all]
    #[arg(long, value_name = "NET,…", value_delimiter = ',')]
    pub nets: Vec<BenchNet>,

    /// Sides of the square pictures to dream at, in pixels [default: 224,512]
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
    fn a_file_alone_opens_the_window() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let with = |line| with_command(words(line), |word| word == "dream", |word| word != "drem");
        assert_eq!(with("oneiric photo.jpg b.jpg"), words("oneiric gui photo.jpg b.jpg"));
        // A folder of the name of a command does not hide it, and a command that is misspelt is no file.
        for line in ["oneiric dream photo.jpg", "oneiric drem photo.jpg", "oneiric"] {
            assert_eq!(with(line), words(line));
        }
    }

    #[test]
    fn the_definitions_are_sound() {
        Cli::definition().debug_assert();
    }
}

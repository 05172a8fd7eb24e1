//! `oneiric inspect`'s arguments.

use std::path::PathBuf;

use clap::Args;

use super::{Common, values};
use crate::tasks::dream::SizePx;

const DRAW: &str = "Drawings";
const PROFILE: &str = "Profile: how long each layer takes";
const CHECK: &str = "Check: whether another net computes the same";
const DUMP: &str = "Dump: what layers compute";

const EXAMPLES: &str = "\
Examples:
  oneiric inspect                                            the layers of the built-in net
  oneiric inspect net.onnx --size 800x600                    shapes, cost and memory at another size
  oneiric inspect --svg net.svg                              the net as a drawing
  oneiric inspect --dot - | dot -Tpdf -o net.pdf             the same by Graphviz
  oneiric inspect --profile photo.jpg                        how long each layer takes
  oneiric inspect a.mat --check b.onnx --photo photo.jpg     whether two nets compute the same
  oneiric inspect --photo photo.jpg --dump input,block4      values and derivatives, for NumPy";

/// Show the layers of a net: shapes, weights, cost, memory, and how much of the picture each sees.
///
/// Any layer that is listed here can be dreamt with: oneiric dream PHOTO --layer NAME. Besides, the net can be drawn,
/// timed, compared with another one, and what its layers compute can be written to files.
///
/// The bytes of a layer are those of its output for one picture, in single precision. A dream holds only those that it
/// needs at the same time: below the list stands what it takes as a whole, with the default layer and with the deepest.
///
/// Photos are resized to the net's own size or --size, whatever their proportions, and preprocessed by the net's rule;
/// transparent pixels are white.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct InspectArgs {
    /// The net: the name of one that ships, or a file
    #[arg(value_name = "NET", conflicts_with = "net")]
    pub net_file: Option<String>,

    /// Show shapes and cost for a picture of this size in pixels, such as 640x480, and resize photos to it [default: the
    /// net's own]
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = values::size_px)]
    pub size: Option<SizePx>,

    /// Write the result to this file instead of stdout; with --dump, the .npy file or the folder of several
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Write the net as a graph for Graphviz; - is stdout
    #[arg(long, value_name = "FILE", help_heading = DRAW)]
    pub dot: Option<PathBuf>,

    /// Write the net as a drawing in SVG; - is stdout
    #[arg(long, value_name = "FILE", help_heading = DRAW)]
    pub svg: Option<PathBuf>,

    /// Run the net on this photo, and show how long each layer takes forward and back to the picture
    ///
    /// Layers that run together (a convolution with its batch norm and ReLU) are one row. Bytes are an estimate: inputs,
    /// outputs and weights, each once.
    #[arg(long, value_name = "PHOTO", help_heading = PROFILE)]
    pub profile: Option<PathBuf>,

    /// How often the net runs; medians are shown [default: 7]
    #[arg(long, value_name = "NUMBER", help_heading = PROFILE, value_parser = values::at_least_one)]
    pub rounds: Option<usize>,

    /// Compare with another net on --photo: classes, scores, and with --layers every layer of the same name and shape
    ///
    /// Each net takes the photo by its own rule. The exit code is 1 when the class scores (before any softmax) differ by
    /// more than --tolerance.
    #[arg(long, value_name = "NET", help_heading = CHECK)]
    pub check: Option<String>,

    /// Compare every layer of the same name and shape, too; only the class scores decide on the exit code
    #[arg(long, help_heading = CHECK)]
    pub layers: bool,

    /// The largest difference that counts as none, as a share of the largest value [default: 0.0001]
    #[arg(long, value_name = "NUMBER", help_heading = CHECK, value_parser = values::not_negative::<f64>)]
    pub tolerance: Option<f64>,

    /// The photo for --check and --dump
    #[arg(long, value_name = "PHOTO", help_heading = DUMP)]
    pub photo: Option<PathBuf>,

    /// Write what these layers compute on --photo, and the derivative by it, as NumPy files; input is the picture as the
    /// net takes it, all is every layer
    ///
    /// LAYER.npy has the values, LAYER.grad.npy the derivative of ½·sum(x²) of the class scores before any softmax, or
    /// of --layer, or of the score of --class, by these values: f32, in the order batch, channels, height, width. They
    /// are what MatConvNet has in res(i).x and res(i).dzdx (there height, width, channels, batch). Signs that do not
    /// suit a file's name become dashes. With a single layer, --out can name its file; - writes the values to stdout.
    #[arg(long, value_name = "LAYER,…", value_delimiter = ',', help_heading = DUMP)]
    pub dump: Vec<String>,

    /// With --dump, differentiate the score of this class (its number, or a part of its name) before any softmax
    #[arg(long, value_name = "CLASS", help_heading = DUMP, conflicts_with = "layer")]
    pub class: Option<String>,

    /// With --dump and --profile, go back from ½·sum(x²) of this layer [default: the class scores before any softmax]
    #[arg(long, value_name = "NAME", help_heading = DUMP)]
    pub layer: Option<String>,

    #[command(flatten)]
    pub common: Common,
}

//! What can be said about a net of another format.

use std::path::PathBuf;

use clap::Args;

use super::values::{self, Numbers};
use crate::formats::LoadOptions;
use crate::nn::graph::ChannelOrder;
use crate::tasks::dream::SizePx;

/// How pictures are fed to a net, where its files do not say, or say it wrongly.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Nets of other formats")]
pub struct NetArgs {
    /// What is subtracted from pixel values of 0 to 255, in the net's channel order; one number for all channels
    #[arg(long, value_name = "NUMBER,…", value_parser = values::numbers)]
    pub mean: Option<Numbers>,

    /// What they are multiplied with then, such as 1/255
    #[arg(long, value_name = "NUMBER,…", value_parser = values::numbers)]
    pub scale: Option<Numbers>,

    /// The net takes blue, green, red
    #[arg(long, conflicts_with = "rgb")]
    pub bgr: bool,

    /// The net takes red, green, blue
    #[arg(long)]
    pub rgb: bool,

    /// A text file with the names of the classes, one a line
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,

    /// What weights without a graph belong to: a name such as resnet50, or a net file
    #[arg(long, value_name = "NAME|FILE")]
    pub architecture: Option<String>,

    /// The weights, where NET only describes the net and they do not lie beside it
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
}

impl NetArgs {
    /// `size` is what the net takes, where its files do not say.
    pub fn options(&self, size: Option<SizePx>) -> LoadOptions {
        let order = match (self.bgr, self.rgb) {
            (true, _) => Some(ChannelOrder::Bgr),
            (_, true) => Some(ChannelOrder::Rgb),
            _ => None,
        };
        LoadOptions {
            order,
            mean: self.mean.clone().map(|Numbers(numbers)| numbers),
            scale: self.scale.clone().map(|Numbers(numbers)| numbers),
            size_px: size.map(|size| [size.height, size.width]),
            labels: self.labels.clone(),
            architecture: self.architecture.clone(),
            weights: self.weights.clone(),
        }
    }
}

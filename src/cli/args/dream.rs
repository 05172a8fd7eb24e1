//! `oneiric dream`: options, and how they override a preset or a recipe.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::values::{self, Channels};
use super::{Bytes, Common};
use crate::imageio::Bits;
use crate::optvis::objective::Measure;
use crate::optvis::transform::Jitter;
use crate::tasks::dream::{ClassGoal, ClassScore, DreamSpec, LayerWeight, Neuron, Preset, SizePx};

const WHAT: &str = "What is dreamt";
const HOW: &str = "How it is dreamt";
const PICTURE: &str = "The picture";
const SAVING: &str = "Saving";

const CLASS_SCORES: &[(&str, ClassScore)] = &[("logit", ClassScore::Logit), ("posterior", ClassScore::Posterior)];
const MEASURES: &[(&str, Measure)] = &[("l2", Measure::L2), ("mean", Measure::Mean), ("sum", Measure::Sum)];
const BITS: &[(&str, Bits)] = &[("8", Bits::Eight), ("16", Bits::Sixteen)];

/// Dream: let a net see in a photo what it knows, and show that.
///
/// The photo is changed step by step so that a layer of the net responds more. Early layers bring out strokes and
/// textures, later ones eyes, animals and buildings. Without options the dream is vivid and takes seconds to a minute.
#[derive(Args, Debug)]
#[command(
    override_usage = "oneiric dream [OPTIONS] PHOTO…\n       oneiric dream [OPTIONS] FOLDER\n       \
        oneiric dream [OPTIONS] --from-noise [WIDTHxHEIGHT]\n       oneiric dream --recipe DREAM.png",
    after_help = "\
Examples:
  oneiric dream photo.jpg                               a vivid dream, in photo-dream.png
  oneiric dream photo.jpg --layer block4 --size 800     textures, 800 pixels wide
  oneiric dream holiday/ --out dreams/                  every photo of a folder
  oneiric dream --from-noise 640x480 --class macaw      what the net takes for a macaw
  oneiric dream --recipe photo-dream.png --out same.png the same dream again, to the byte

The layers of the net: oneiric inspect. The presets: oneiric dream --list-presets.
Ctrl-C finishes the step and saves what is there."
)]
pub struct DreamArgs {
    /// Pictures in PNG, JPEG, WebP, TIFF, BMP or GIF, or folders of them
    #[arg(value_name = "PHOTO")]
    pub photos: Vec<PathBuf>,

    /// Start from the settings of this preset; see --list-presets [default: vivid]
    #[arg(long, value_name = "NAME", help_heading = WHAT, value_parser = preset_parser())]
    pub preset: Option<Preset>,

    /// Start from the settings inside a picture that oneiric made, or in a text file
    ///
    /// Alone, it makes the same picture again, to the byte on the same machine and version. A PHOTO replaces the one
    /// that the recipe names, and options override the recipe's settings.
    #[arg(long, value_name = "FILE", help_heading = WHAT, conflicts_with = "preset")]
    pub recipe: Option<PathBuf>,

    /// Print every preset with its settings, and end
    #[arg(long, help_heading = WHAT)]
    pub list_presets: bool,

    /// Make this layer respond; several share the dream by weight [default: what suits the net]
    ///
    /// A weight is a number behind `=`: `--layer block4=0.3 --layer block9` lets the second layer shape more of the
    /// dream. A negative weight makes a layer respond less. `oneiric inspect` lists the names.
    #[arg(long = "layer", value_name = "NAME[=WEIGHT]", help_heading = WHAT, conflicts_with = "class")]
    pub layers: Vec<LayerWeight>,

    /// Make only these channels respond, such as 3,17-20: each knows its own motif [default: all]
    #[arg(long, value_name = "LIST", help_heading = WHAT, conflicts_with = "class")]
    pub channels: Option<Channels>,

    /// Make a single neuron respond: the motif of a channel, at one place of the picture
    ///
    /// X and Y say where, from 0 (left, top) to 1 (right, bottom); without them it is the middle.
    #[arg(
        long, value_name = "CHANNEL[@X,Y]", help_heading = WHAT, conflicts_with_all = ["class", "channels"]
    )]
    pub neuron: Option<Neuron>,

    /// Dream of a class of the net instead of a layer: its number, or a part of its name such as macaw
    #[arg(long, value_name = "NAME|NUMBER", help_heading = WHAT)]
    pub class: Option<String>,

    /// What of the class rises: its score before the softmax, or its probability [default: logit]
    ///
    /// The probability also rises when other classes fall, so the score gives clearer pictures.
    #[arg(long, value_name = "SCORE", help_heading = WHAT, value_parser = one_of(CLASS_SCORES), requires = "class")]
    pub class_score: Option<ClassScore>,

    /// What of the layer rises: l2 favours what responds already, mean treats all alike [default: l2]
    #[arg(
        long, value_name = "MEASURE", help_heading = WHAT, value_parser = one_of(MEASURES), conflicts_with = "class"
    )]
    pub objective: Option<Measure>,

    /// How many sizes are dreamt at, from small to full: more give larger motifs [default: 4]
    #[arg(long, value_name = "NUMBER", help_heading = HOW, value_parser = values::at_least_one)]
    pub octaves: Option<usize>,

    /// How much larger each size is than the one before [default: 1.4]
    #[arg(long, value_name = "FACTOR", help_heading = HOW, value_parser = values::octave_scale)]
    pub octave_scale: Option<f64>,

    /// Steps at each size: more go deeper into the dream [default: 20; google-2015: 10]
    #[arg(long, value_name = "NUMBER", help_heading = HOW, value_parser = values::at_least_one)]
    pub steps: Option<usize>,

    /// How far a step changes the picture, in pixel values of 0 to 255 [default: 1.1; google-2015: 1.5]
    #[arg(long, value_name = "VALUE", help_heading = HOW, value_parser = values::positive::<f32>)]
    pub step_size: Option<f32>,

    /// How far the picture is shifted at random before each step, in pixels; hides the net's grid [default: 32]
    #[arg(long, value_name = "PIXELS", help_heading = HOW)]
    pub jitter: Option<u32>,

    /// Even out coarse and fine motifs over this many frequency bands; 0 is off [default: 4; google-2015: 0]
    #[arg(long, value_name = "BANDS", help_heading = HOW)]
    pub laplacian: Option<usize>,

    /// Pull towards gray (L2 regularizer): larger values fade what the dream does not need [default: 0]
    #[arg(long, value_name = "WEIGHT", help_heading = HOW, value_parser = values::not_negative::<f32>)]
    pub l2: Option<f32>,

    /// Smooth (total variation): larger values flatten grain and noise [default: 0]
    #[arg(long, value_name = "WEIGHT", help_heading = HOW, value_parser = values::not_negative::<f32>)]
    pub tv: Option<f32>,

    /// The longer side of the dream in pixels [default: the photo's, up to 1024]
    #[arg(long, value_name = "PIXELS", help_heading = PICTURE, value_parser = values::at_least_one)]
    pub size: Option<usize>,

    /// Start from noise of this size instead of a photo [size: 512x512]
    #[arg(
        long, value_name = "WIDTHxHEIGHT", help_heading = PICTURE, num_args = 0..=1,
        default_missing_value = "512x512", value_parser = values::size_px
    )]
    pub from_noise: Option<SizePx>,

    /// Keep the photo's colours: only forms and brightness are dreamt
    #[arg(long, help_heading = PICTURE)]
    pub keep_colors: bool,

    #[command(flatten)]
    pub save: SaveArgs,

    #[command(flatten)]
    pub common: Common,
}

/// Where and how pictures are saved.
#[derive(Args, Debug)]
#[command(next_help_heading = SAVING)]
pub struct SaveArgs {
    /// The picture to write (PNG, JPEG, WebP or TIFF by its name), or a folder [default: PHOTO-dream.png]
    ///
    /// With several photos it is a folder. A picture that is named here is replaced when the new one is complete;
    /// names that oneiric chooses never replace a file, but get a number.
    #[arg(long, short, value_name = "FILE|FOLDER")]
    pub out: Option<PathBuf>,

    /// Also save the picture after every so many steps, under the name with the number of the step
    #[arg(long, value_name = "STEPS", value_parser = values::at_least_one)]
    pub save_every: Option<usize>,

    /// Bits a colour: 16 only in PNG and TIFF [default: 8]
    #[arg(long, value_name = "8|16", value_parser = one_of(BITS))]
    pub bits: Option<Bits>,

    /// Quality of a JPEG, from 1 to 100 [default: 95]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub quality: Option<u8>,
}

/// Parses one of a few names.
fn one_of<T: Copy + Send + Sync + 'static>(choices: &'static [(&'static str, T)]) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(choices.iter().map(|&(name, _)| name)).map(|text: String| {
        let found = choices.iter().find(|&&(name, _)| name == text);
        found.expect("clap lets only these names pass").1
    })
}

fn preset_parser() -> impl TypedValueParser<Value = Preset> {
    PossibleValuesParser::new(Preset::ALL.map(Preset::name)).map(|text: String| {
        let found = Preset::ALL.into_iter().find(|preset| preset.name() == text);
        found.expect("clap lets only these names pass")
    })
}

impl DreamArgs {
    /// The settings of `base` (a preset's or a recipe's) under the options that are given.
    pub fn override_spec(&self, base: DreamSpec) -> DreamSpec {
        let mut spec = base;
        fn set<T>(field: &mut T, option: Option<T>) {
            if let Some(value) = option {
                *field = value;
            }
        }
        set(&mut spec.seed, self.common.seed);
        set(&mut spec.objective, self.objective);
        set(&mut spec.octaves, self.octaves);
        set(&mut spec.octave_scale, self.octave_scale);
        set(&mut spec.steps, self.steps);
        set(&mut spec.step_size, self.step_size);
        set(&mut spec.jitter, self.jitter.map(Jitter::Random));
        set(&mut spec.laplacian, self.laplacian);
        set(&mut spec.l2, self.l2);
        set(&mut spec.tv, self.tv);
        spec.size = self.size.or(spec.size);
        spec.keep_colors |= self.keep_colors;
        spec.save_every = self.save.save_every.unwrap_or(0);
        spec.max_memory = self.common.max_memory.map(|Bytes(bytes)| bytes);
        self.override_goal(&mut spec);
        set(&mut spec.net, self.common.net.clone());
        self.override_start(&mut spec);
        spec
    }

    /// A goal on the command line replaces one of another kind in the recipe, and another net makes the recipe's goal
    /// void.
    fn override_goal(&self, spec: &mut DreamSpec) {
        if self.common.net.as_ref().is_some_and(|net| *net != spec.net) {
            spec.layers.clear();
            spec.channels.clear();
            (spec.neuron, spec.class) = (None, None);
        }
        if let Some(class) = &self.class {
            let score = self.class_score.unwrap_or_default();
            spec.class = Some(ClassGoal { class: class.clone(), score });
            spec.layers.clear();
            spec.channels.clear();
            spec.neuron = None;
        }
        if !self.layers.is_empty() {
            spec.layers.clone_from(&self.layers);
            spec.class = None;
        }
        if let Some(Channels(channels)) = &self.channels {
            spec.channels.clone_from(channels);
            (spec.class, spec.neuron) = (None, None);
        }
        if self.neuron.is_some() {
            spec.neuron = self.neuron;
            spec.class = None;
            spec.channels.clear();
        }
    }

    fn override_start(&self, spec: &mut DreamSpec) {
        if self.from_noise.is_some() {
            spec.from_noise = self.from_noise;
        } else if !self.photos.is_empty() {
            spec.from_noise = None;
        }
    }
}

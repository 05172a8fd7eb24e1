//! `oneiric dream`: options, and how they override a preset or a recipe.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::values;
use super::{Bytes, Common};
use crate::imageio::Bits;
use crate::optvis::objective::Measure;
use crate::optvis::transform::Jitter;
use crate::tasks::dream::{Channels, ClassGoal, ClassScore, DreamSpec, LayerWeight, Neuron, Preset, SizePx};

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
  oneiric dream photo.jpg --animation dream.gif         the dream, and how it grew
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
    #[arg(long, value_name = "BANDS", help_heading = HOW, value_parser = values::whole)]
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

    /// Let the net look at tiles of about this size, one after the other, to save memory [default: as memory allows]
    ///
    /// The dream is the same, but for rounding, and seams are nowhere: every tile comes with all that its part of the net
    /// sees around it. Small tiles take less memory and more time. 0 leaves the choice to --max-memory.
    #[arg(long, value_name = "PIXELS", help_heading = PICTURE, value_parser = values::whole)]
    pub tile: Option<usize>,

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

    /// Also save the steps as an animation: GIF, APNG (.png) or WebP by its name
    ///
    /// It goes from the photo to the dream in about 60 frames and loops. GIF has 256 colours a frame and is shown
    /// everywhere; APNG and WebP keep every colour and are larger.
    #[arg(long, value_name = "FILE")]
    pub animation: Option<PathBuf>,

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
        if let Some(side_px) = self.tile {
            spec.tile = (side_px > 0).then_some(side_px);
        }
        spec.keep_colors |= self.keep_colors;
        spec.save_every = self.save.save_every.unwrap_or(0);
        spec.max_memory = self.common.max_memory.map(|Bytes(bytes)| bytes);
        self.override_goal(&mut spec);
        self.override_net(&mut spec);
        self.override_start(&mut spec);
        spec
    }

    /// What is said of one net means nothing of another.
    fn override_net(&self, spec: &mut DreamSpec) {
        let said = self.common.net_args.options(None);
        if self.common.net.as_ref().is_some_and(|net| *net != spec.net) || !said.is_silent() {
            spec.net_options = said;
        }
        if let Some(net) = &self.common.net {
            spec.net.clone_from(net);
        }
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

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::super::{Cli, Command};
    use super::*;
    use crate::imageio::{OutputFormat, SaveOptions};

    fn args(line: &str) -> DreamArgs {
        let words = ["oneiric", "dream"].into_iter().chain(line.split_whitespace());
        let matches = Cli::definition().try_get_matches_from(words).expect("the line is right");
        match Cli::from_arg_matches(&matches).expect("the line is right").command {
            Some(Command::Dream(args)) => *args,
            other => panic!("{other:?} is no dream"),
        }
    }

    fn preset(line: &str) -> DreamSpec {
        args(line).override_spec(DreamSpec::preset(Preset::Vivid))
    }

    #[test]
    fn help_tells_the_true_defaults() {
        let (vivid, google) = (DreamSpec::preset(Preset::Vivid), DreamSpec::preset(Preset::Google2015));
        let jitter = |spec: &DreamSpec| match spec.jitter {
            Jitter::Random(most) => most.to_string(),
            Jitter::Offsets(_) => "a list".into(),
        };
        let both = |of: &dyn Fn(&DreamSpec) -> String| match (of(&vivid), of(&google)) {
            (vivid, google) if vivid == google => format!("[default: {vivid}]"),
            (vivid, google) => format!("[default: {vivid}; google-2015: {google}]"),
        };
        let quality = SaveOptions::new(OutputFormat::Jpeg).jpeg_quality;
        let expected = [
            ("octaves", both(&|spec| spec.octaves.to_string())),
            ("octave_scale", both(&|spec| spec.octave_scale.to_string())),
            ("steps", both(&|spec| spec.steps.to_string())),
            ("step_size", both(&|spec| spec.step_size.to_string())),
            ("jitter", both(&jitter)),
            ("laplacian", both(&|spec| spec.laplacian.to_string())),
            ("l2", both(&|spec| spec.l2.to_string())),
            ("tv", both(&|spec| spec.tv.to_string())),
            ("size", format!("up to {}]", DreamSpec::DEFAULT_LONGEST_SIDE_PX)),
            ("preset", format!("[default: {}]", Preset::default())),
            ("net", format!("[default: {}]", vivid.net)),
            ("seed", both(&|spec| spec.seed.to_string())),
            ("quality", format!("[default: {quality}]")),
        ];
        let definition = Cli::definition();
        let dream = definition.find_subcommand("dream").expect("there is a command dream");
        let mut wrong = Vec::new();
        for (id, expected) in expected {
            let arg = dream.get_arguments().find(|arg| arg.get_id() == id).expect("there is such an option");
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            if !help.ends_with(&expected) {
                wrong.push(format!("--{id}: `{help}` should end in `{expected}`"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn options_override_and_what_is_not_given_stays() {
        assert_eq!(preset("x.png"), DreamSpec::preset(Preset::Vivid));
        let spec = preset("x.png --steps 3 --l2 0.5 --seed 9 --jitter 0 --size 64 --keep-colors --max-memory 2G");
        assert_eq!((spec.steps, spec.l2, spec.seed, spec.jitter), (3, 0.5, 9, Jitter::Random(0)));
        assert_eq!((spec.size, spec.keep_colors, spec.max_memory), (Some(64), true, Some(2 << 30)));
        assert_eq!(spec.octaves, DreamSpec::preset(Preset::Vivid).octaves);
        let noise = preset("--from-noise --class macaw");
        assert_eq!(noise.from_noise, Some(SizePx { width: 512, height: 512 }));
        assert_eq!(noise.class, Some(ClassGoal { class: "macaw".into(), score: ClassScore::Logit }));
    }

    #[test]
    fn a_new_goal_replaces_that_of_a_recipe() {
        let class = preset("--class 3 --class-score posterior --from-noise 64");
        let layer = args("x.png --layer a=0.5 --layer b --channels 1,3-4").override_spec(class.clone());
        assert_eq!((layer.class, layer.from_noise), (None, None));
        let weights = |spec: &DreamSpec| spec.layers.iter().map(|layer| layer.weight).collect::<Vec<_>>();
        assert_eq!(weights(&preset("x.png --layer a=0.5 --layer b=-1")), [0.5, -1.0]);
        assert_eq!((layer.layers.len(), layer.channels.as_slice()), (2, &[1, 3, 4][..]));
        let neuron = args("x.png --neuron 7@0.25,1").override_spec(preset("x.png --layer a --channels 1"));
        assert_eq!((neuron.layers.len(), neuron.channels.len()), (1, 0));
        assert_eq!(neuron.neuron, Some(Neuron { channel: 7, x: 0.25, y: 1.0 }));
        let other_net = args("--net other.safetensors --from-noise 64").override_spec(class);
        assert_eq!((other_net.class, other_net.net.as_str()), (None, "other.safetensors"));
    }

    #[test]
    fn what_is_said_of_a_net_goes_into_the_recipe_and_ends_with_the_net() {
        let said = preset("x.png --net a.onnx --bgr --mean 104,117,123");
        assert_eq!(said.net_options.mean.as_deref(), Some(&[104.0, 117.0, 123.0][..]));
        let again = args("x.png --steps 3").override_spec(said.clone());
        assert_eq!(again.net_options, said.net_options);
        let other = args("x.png --net b.onnx").override_spec(said);
        assert!(other.net_options.is_silent());
    }
}

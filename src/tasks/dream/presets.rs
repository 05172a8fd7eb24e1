//! The presets: every setting's value, and the layers that dream well in the nets that are known.

use super::spec::{DreamSpec, LayerWeight, OctaveFilter, Preset};
use crate::formats::LoadOptions;
use crate::nn::graph::Graph;
use crate::optvis::ascent::Normalization;
use crate::optvis::objective::Measure;
use crate::optvis::transform::Jitter;

/// The net that ships.
pub const DEFAULT_NET: &str = "efficientnet-lite0";

/// A net by name, a preset, and the layers with their weights.
type LayerChoice = (&'static str, Preset, &'static [(&'static str, f32)]);

/// Chosen by looking at pictures. A net is looked up by its graph's name.
const LAYERS: &[LayerChoice] = &[
    (DEFAULT_NET, Preset::Vivid, &[("block10", 0.5), ("block11", 1.0)]),
    (DEFAULT_NET, Preset::Google2015, &[("block10", 1.0)]),
    // As torchvision names it, and as Caffe does.
    ("googlenet", Preset::Vivid, &[("inception4c", 1.0)]),
    ("googlenet", Preset::Google2015, &[("inception4c", 1.0)]),
    ("googlenet", Preset::Vivid, &[("inception_4c/output", 1.0)]),
    ("googlenet", Preset::Google2015, &[("inception_4c/output", 1.0)]),
];

impl DreamSpec {
    /// Every setting at the preset's value; layers are left to the net in use.
    pub fn preset(preset: Preset) -> Self {
        let google_2015 = Self {
            preset,
            net: DEFAULT_NET.into(),
            net_options: LoadOptions::default(),
            layers: Vec::new(),
            channels: Vec::new(),
            neuron: None,
            class: None,
            objective: Measure::L2,
            octaves: 4,
            octave_scale: 1.4,
            steps: 10,
            step_size: 1.5,
            jitter: Jitter::Random(32),
            normalization: Normalization::MeanAbs,
            laplacian: 0,
            l2: 0.0,
            tv: 0.0,
            clip: true,
            octave_filter: OctaveFilter::Zoom,
            size: None,
            from_noise: None,
            tile: None,
            keep_colors: false,
            seed: 0,
            save_every: 0,
            max_memory: None,
        };
        match preset {
            Preset::Google2015 => google_2015,
            Preset::Vivid => {
                Self { steps: 20, step_size: 1.1, laplacian: 4, octave_filter: OctaveFilter::Smooth, ..google_2015 }
            }
        }
    }
}

/// The preset's layers for a net; none when the net is not known, or has no such layers.
pub(super) fn layers_for(graph: &Graph, preset: Preset) -> Option<Vec<LayerWeight>> {
    let is_meant = |&&(net, of, layers): &&LayerChoice| {
        let are_there = || layers.iter().all(|&(layer, _)| graph.find(layer).is_ok());
        graph.name().eq_ignore_ascii_case(net) && of == preset && are_there()
    };
    let (_, _, layers) = LAYERS.iter().find(is_meant)?;
    Some(layers.iter().map(|&(name, weight)| LayerWeight { name: name.into(), weight }).collect())
}

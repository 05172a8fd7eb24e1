//! The values and derivatives of layers on one photo, to look at elsewhere.

use std::collections::HashSet;

use super::objective::{Objective, find};
use super::photo::NetInput;
use super::{InspectError, memory};
use crate::base::tensor::{View, nchw_from_nhwc};
use crate::nn::exec::reference::Reference;
use crate::nn::graph::{Graph, NodeId};
use crate::nn::ops::Run;

/// Among the names of layers: all of them.
pub const ALL: &str = "all";

/// Longer file names, in bytes and without what is put behind, are cut.
const MOST_NAME_BYTES: usize = 120;

/// One layer on one photo, in the frameworks' order: batch × channels × height × width, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Dump {
    pub layer: String,
    /// The batch included.
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
    /// The derivative of the objective by the values; `None` where the objective does not depend on the layer.
    pub gradient: Option<Vec<f32>>,
}

/// A net that has run forward to the chosen layers and the objective, and back to the picture: the plain executor, op by
/// op in f32, nothing folded or fused.
pub struct Dumper<'g> {
    net: Reference<'g, f32>,
    chosen: Vec<NodeId>,
    objective: Objective,
    /// By node: whether the objective depends on it.
    differentiated: Vec<bool>,
}

impl<'g> Dumper<'g> {
    /// `layers` are names, [`ALL`] among them for all, `input` for the picture.
    ///
    /// # Errors
    /// For unknown layers, a size that a layer refuses, and when more memory is needed than `available_bytes`.
    pub fn new(
        graph: &'g Graph,
        input: &NetInput,
        layers: &[String],
        objective: Objective,
        available_bytes: Option<u64>,
    ) -> Result<Self, InspectError> {
        let chosen = chosen(graph, layers)?;
        let targets: Vec<NodeId> = chosen.iter().copied().chain([objective.node()]).collect();
        memory::check(memory::plain_bytes(graph, &input.shape, &targets, true)?, available_bytes)?;
        let mut net = Reference::new(graph);
        net.forward(&input.shape, &input.nhwc, &targets, Run::default())?;
        let blob = net.blob(objective.node()).ok_or(InspectError::NothingToRun)?;
        let mut seed = vec![0.0; blob.data.len()];
        objective.seed(&blob, &mut seed);
        net.backward(&[(objective.node(), seed)], |_| false);
        let differentiated = graph.needed_for(&[objective.node()]);
        Ok(Self { net, chosen, objective, differentiated })
    }

    /// The objective's value.
    pub fn objective(&self) -> f64 {
        self.net.blob(self.objective.node()).map_or(0.0, |blob| self.objective.value(&blob))
    }

    /// The chosen layers one by one, in the order in which they were named.
    pub fn dumps(&self) -> impl Iterator<Item = Dump> {
        self.chosen.iter().filter_map(|&id| {
            let blob = self.net.blob(id)?;
            let gradient = self.net.d_blob(id).filter(|_| self.differentiated[id]);
            Some(Dump {
                layer: self.net.graph().node(id).name.clone(),
                shape: blob.shape.dims().to_vec(),
                values: logical(&blob),
                gradient: gradient.map(|data| logical(&View::new(blob.shape, data))),
            })
        })
    }

    /// The names of the chosen layers, in the order of [`Dumper::dumps`].
    pub fn names(&self) -> Vec<&'g str> {
        self.chosen.iter().map(|&id| self.net.graph().node(id).name.as_str()).collect()
    }
}

/// Every layer once, in the order in which they were named.
fn chosen(graph: &Graph, layers: &[String]) -> Result<Vec<NodeId>, InspectError> {
    let mut chosen = Vec::new();
    for name in layers {
        if name == ALL && graph.find(name).is_err() {
            chosen.extend(0..graph.nodes().len());
        } else {
            chosen.push(find(graph, name)?);
        }
    }
    let mut seen = HashSet::new();
    chosen.retain(|&id| seen.insert(id));
    if chosen.is_empty() { Err(InspectError::NothingToRun) } else { Ok(chosen) }
}

fn logical(blob: &View<'_, f32>) -> Vec<f32> {
    match *blob.shape.dims() {
        [batch, channels, height, width] => nchw_from_nhwc([batch, channels, height, width], blob.data),
        _ => blob.data.to_vec(),
    }
}

/// The files of a layer's values and of its derivative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileNames {
    pub values: String,
    pub gradient: String,
}

/// `LAYER.npy` and `LAYER.grad.npy` for every layer: whatever no file system minds stays, all else becomes `-`, and
/// names that would meet (also on file systems that take `A` for `a`) get a number.
pub fn file_names(layers: &[&str]) -> Vec<FileNames> {
    let mut taken = HashSet::new();
    let mut name_of = |layer: &&str| {
        let stem = safe(layer);
        let numbered = |number: usize| {
            let stem = if number == 1 { stem.clone() } else { format!("{stem}-{number}") };
            FileNames { values: format!("{stem}.npy"), gradient: format!("{stem}.grad.npy") }
        };
        let mut number = 1;
        loop {
            let names = numbered(number);
            let keys = [&names.values, &names.gradient].map(|name| name.to_lowercase());
            if keys.iter().all(|key| !taken.contains(key)) {
                taken.extend(keys);
                return names;
            }
            number += 1;
        }
    };
    layers.iter().map(&mut name_of).collect()
}

/// A layer's name as part of a file's.
fn safe(layer: &str) -> String {
    let character = |c: char| if c.is_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '-' };
    let mut name: String = layer.chars().map(character).collect();
    let cut = (0..=MOST_NAME_BYTES.min(name.len())).rev().find(|&at| name.is_char_boundary(at)).unwrap_or(0);
    name.truncate(cut);
    // A leading dot hides a file, a leading dash looks like an option.
    let stem = name.trim_start_matches(['.', '-']).trim_end_matches('.').to_string();
    let device = stem.split('.').next().unwrap_or_default().to_lowercase();
    // Windows takes these for devices, whatever stands behind a dot.
    let is_device = ["con", "prn", "aux", "nul"].contains(&device.as_str())
        || (device.len() == 4 && (device.starts_with("com") || device.starts_with("lpt")));
    if stem.is_empty() || is_device { format!("layer-{stem}") } else { stem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::tensor::Shape;
    use crate::imageio::{Filter, Picture};
    use crate::tasks::look::testing::{photo, shipped, sketch};

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_and_derivatives_of_a_small_net_are_those_of_its_definition() {
        let graph = sketch();
        let picture = Picture::from_rgb(6, 4, (0..72).map(|i| (i * i % 17) as f32).collect());
        let input = NetInput::new(&graph, &picture, None, None).expect("it fits");
        let class = Objective::of_class(&graph, "2").expect("there");
        let dumper =
            Dumper::new(&graph, &input, &strings(&["scores", "input", "maps", "rows"]), class, None).expect("runs");
        let [scores, data, maps, rows] = dumper.dumps().collect::<Vec<_>>().try_into().expect("four layers");
        assert_eq!((data.layer.as_str(), data.shape.as_slice()), ("data", &[1, 3, 4, 6][..]));
        // Red, then green, then blue, each row by row.
        let plane = |colour: usize| picture.rgb.iter().skip(colour).step_by(3).copied().collect::<Vec<f32>>();
        assert_eq!(data.values, [plane(0), plane(1), plane(2)].concat());
        let first: Vec<f32> = plane(0).iter().zip(plane(1)).map(|(red, green)| red - green).collect();
        assert_eq!(maps.values[..24], first);
        // The score of class 2 is twice the sum of the first map.
        let sum: f32 = first.iter().sum();
        assert_eq!(scores.values, [0.0, sum, 2.0 * sum]);
        assert_eq!(dumper.objective(), f64::from(2.0 * sum));
        assert_eq!(scores.gradient, Some(vec![0.0, 0.0, 1.0]));
        assert_eq!(maps.gradient, Some([vec![2.0; 24], vec![0.0; 24]].concat()));
        assert_eq!(data.gradient, Some([vec![2.0; 24], vec![-2.0; 24], vec![0.0; 24]].concat()));
        assert_eq!((rows.shape.as_slice(), rows.gradient), (&[1, 12, 4][..], None), "no score depends on rows");
    }

    #[test]
    fn derivatives_are_central_differences() {
        let graph = shipped();
        let picture = photo("flower.jpg").resized([32, 40], Filter::CatmullRom);
        let input = NetInput::new(&graph, &picture, Some([32, 40]), None).expect("it fits");
        let objective = Objective::of_layer(&graph, Some("block1")).expect("there");
        let dumper = Dumper::new(&graph, &input, &strings(&["input"]), objective, None).expect("runs");
        let gradient = dumper.dumps().next().and_then(|dump| dump.gradient).expect("the picture has a gradient");
        // Along the gradient itself the objective rises by its squared length.
        let value = |input: &[f32]| {
            let mut net = Reference::<f64>::new(&graph);
            let wide: Vec<f64> = input.iter().map(|&x| f64::from(x)).collect();
            let Objective::HalfSquares(node) = objective else { panic!("{objective:?}") };
            net.forward(&Shape::maps(1, 3, 32, 40), &wide, &[node], Run::default()).expect("runs");
            net.blob(node).expect("it ran").data.iter().map(|x| 0.5 * x * x).sum::<f64>()
        };
        let length: f64 = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
        let step = 1e-3 / length.sqrt();
        let at = |step: f64| {
            let nchw: Vec<f32> = gradient.clone();
            let mut moved = input.nhwc.clone();
            for (i, value) in moved.iter_mut().enumerate() {
                let (pixel, channel) = (i / 3, i % 3);
                *value += (step * f64::from(nchw[channel * 32 * 40 + pixel])) as f32;
            }
            value(&moved)
        };
        let slope = (at(step) - at(-step)) / (2.0 * step);
        assert!((slope / length - 1.0).abs() < 0.01, "{slope} is not {length}");
        assert!((dumper.objective() / value(&input.nhwc) - 1.0).abs() < 1e-4);
    }

    #[test]
    fn layers_are_chosen_once_each() {
        let graph = sketch();
        assert_eq!(chosen(&graph, &strings(&["flat", "all", "maps"])).expect("there"), [2, 0, 1, 3, 4]);
        assert!(matches!(chosen(&graph, &[]), Err(InspectError::NothingToRun)));
        assert!(chosen(&graph, &strings(&["nothing"])).is_err());
    }

    #[test]
    fn file_names_are_safe_and_differ() {
        let layers =
            ["inception_4c/output", "a/b", "a-b", "A b", "x", "x.grad", "../../etc/passwd", "", "NUL", "conv.1", "夢"];
        let names: Vec<String> = file_names(&layers).into_iter().map(|names| names.values).collect();
        let expected = [
            "inception_4c-output.npy",
            "a-b.npy",
            "a-b-2.npy",
            "A-b-3.npy",
            "x.npy",
            "x.grad-2.npy",
            "etc-passwd.npy",
            "layer-.npy",
            "layer-NUL.npy",
            "conv.1.npy",
            "夢.npy",
        ];
        assert_eq!(names, expected);
        let long = file_names(&[&"夢".repeat(1000)]).remove(0);
        assert!(long.gradient.len() <= MOST_NAME_BYTES + 9, "{}", long.gradient.len());
    }
}

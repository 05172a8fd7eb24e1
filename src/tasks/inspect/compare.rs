//! Whether two nets compute the same.

use serde::{Serialize, Serializer};

use super::photo::NetInput;
use super::{InspectError, memory, without_batch};
use crate::base::tensor::{Shape, View};
use crate::nn::exec::reference::Reference;
use crate::nn::graph::{Graph, NodeId};
use crate::nn::ops::Run;
use crate::tasks::classify::softmax;

pub const DEFAULT_TOLERANCE: f64 = 1e-4;

/// How far apart two blobs are. Values that are not finite are infinitely far from any other.
///
/// In JSON, which has finite numbers only, an infinite difference is the text `"inf"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// The largest |a − b|.
    #[serde(serialize_with = "number")]
    pub absolute: f64,
    /// The largest |a − b| over the largest |a| or |b|.
    #[serde(serialize_with = "number")]
    pub relative: f64,
}

/// A number, or the text `inf`, `-inf` or `NaN`.
fn number<T: Copy + Into<f64> + Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let wide: f64 = (*value).into();
    if wide.is_finite() { value.serialize(serializer) } else { serializer.collect_str(&wide) }
}

/// A layer that both nets have, by name and shape.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerDifference {
    pub layer: String,
    /// The output without the batch.
    pub output: Vec<usize>,
    #[serde(flatten)]
    pub difference: Difference,
    /// By no more than the tolerance.
    pub same: bool,
}

/// What one net says of the photo.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    pub net: String,
    /// The layer that is compared: the class scores, before any softmax.
    pub layer: String,
    /// Channels, height, width of the picture as the net took it.
    pub input: Vec<usize>,
    /// The likeliest class; where the output has several places, by their mean score.
    pub top: Option<Top>,
}

/// In JSON, a score or probability that is not finite is a text: `"inf"`, `"-inf"` or `"NaN"`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Top {
    pub index: usize,
    /// The class's name, or its number where the net has no names.
    pub label: String,
    /// Before any softmax.
    #[serde(serialize_with = "number")]
    pub score: f32,
    #[serde(serialize_with = "number")]
    pub probability: f64,
}

/// Two nets on one photo.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub answers: [Answer; 2],
    #[serde(flatten)]
    pub difference: Difference,
    pub tolerance: f64,
    /// Whether the outputs differ by no more than the tolerance, relative to their largest value.
    pub same: bool,
    /// Every layer but the input that both nets have, in the order of the first; empty unless asked for.
    #[serde(skip)]
    pub layers: Vec<LayerDifference>,
}

/// Runs both nets on what each takes for the photo, op by op without any folding, and compares their class scores, and
/// `with_layers` every layer of the same name and shape.
///
/// # Errors
/// When the outputs differ in shape, a layer refuses the size, or more memory is needed than `available_bytes`.
pub fn compare(
    nets: [(&Graph, &NetInput); 2],
    with_layers: bool,
    tolerance: f64,
    available_bytes: Option<u64>,
) -> Result<Comparison, InspectError> {
    let mut needed_bytes = 0u64;
    for (graph, input) in nets {
        needed_bytes = needed_bytes.saturating_add(memory::plain_bytes(graph, &input.shape, &[graph.logits()], false)?);
    }
    memory::check(needed_bytes, available_bytes)?;
    let outputs = [output_shape(nets[0])?, output_shape(nets[1])?];
    if !alike(&outputs[0], &outputs[1]) {
        let [a, b] = nets.map(|(graph, _)| graph.name().to_string());
        let [a_shape, b_shape] = outputs;
        return Err(InspectError::Outputs { a, a_shape, b, b_shape });
    }
    let [a, b] = [run(nets[0])?, run(nets[1])?];
    let [a_out, b_out] = [output(&a)?, output(&b)?];
    let difference = difference(a_out.data, b_out.data);
    let layers = if with_layers { layers(&a, &b, tolerance) } else { Vec::new() };
    let answer = |(graph, input): (&Graph, &NetInput), out: &View<'_, f32>| Answer {
        net: graph.name().to_string(),
        layer: graph.node(graph.logits()).name.clone(),
        input: without_batch(&input.shape),
        top: top(graph, out),
    };
    Ok(Comparison {
        answers: [answer(nets[0], &a_out), answer(nets[1], &b_out)],
        difference,
        tolerance,
        same: difference.relative <= tolerance,
        layers,
    })
}

fn output_shape((graph, input): (&Graph, &NetInput)) -> Result<Shape, InspectError> {
    let logits = graph.logits();
    Ok(graph.shapes_for(&input.shape, &[logits])?.swap_remove(logits).unwrap_or_default())
}

fn run<'g>((graph, input): (&'g Graph, &NetInput)) -> Result<Reference<'g, f32>, InspectError> {
    let mut net = Reference::new(graph);
    net.forward(&input.shape, &input.nhwc, &[graph.logits()], Run::default())?;
    Ok(net)
}

fn output<'a>(net: &'a Reference<'_, f32>) -> Result<View<'a, f32>, InspectError> {
    net.blob(net.graph().logits()).ok_or(InspectError::NothingToRun)
}

/// Whether two shapes have the same values in memory; 1×1 maps are a vector.
fn alike(a: &Shape, b: &Shape) -> bool {
    a == b || (a.as_maps().is_some() && a.as_maps() == b.as_maps())
}

fn layers(a: &Reference<'_, f32>, b: &Reference<'_, f32>, tolerance: f64) -> Vec<LayerDifference> {
    let compared = |id: NodeId| {
        let name = &a.graph().node(id).name;
        let other = b.graph().nodes().iter().position(|node| node.name == *name)?;
        let (mine, theirs) = (a.blob(id)?, b.blob(other)?);
        alike(mine.shape, theirs.shape).then(|| {
            let difference = difference(mine.data, theirs.data);
            let same = difference.relative <= tolerance;
            LayerDifference { layer: name.clone(), output: without_batch(mine.shape), difference, same }
        })
    };
    (1..a.graph().nodes().len()).filter_map(compared).collect()
}

fn difference(a: &[f32], b: &[f32]) -> Difference {
    let (mut absolute, mut largest) = (0f64, 0f64);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (f64::from(a), f64::from(b));
        let same = a == b || (a.is_nan() && b.is_nan());
        let off = if same { 0.0 } else { (a - b).abs() };
        absolute = absolute.max(if off.is_nan() { f64::INFINITY } else { off });
        largest =
            [a, b].into_iter().filter(|value| value.is_finite()).fold(largest, |most, value| most.max(value.abs()));
    }
    let relative = if absolute == 0.0 { 0.0 } else { absolute / largest };
    Difference { absolute, relative }
}

/// The likeliest class, if the output has one score a class. Of equal ones the first.
fn top(graph: &Graph, out: &View<'_, f32>) -> Option<Top> {
    let [_, classes, height, width] = out.shape.as_maps()?;
    let places = height * width;
    if classes == 0 || places == 0 {
        return None;
    }
    let mean = |class: usize| {
        let scores = out.data.iter().skip(class).step_by(classes);
        (scores.map(|&score| f64::from(score)).sum::<f64>() / places as f64) as f32
    };
    let scores: Vec<f32> = (0..classes).map(mean).collect();
    let index = (1..classes).fold(0, |best, class| if scores[class] > scores[best] { class } else { best });
    let label = graph.labels().get(index).cloned().unwrap_or_else(|| index.to_string());
    Some(Top { index, label, score: scores[index], probability: softmax(&scores)[index] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imageio::Picture;
    use crate::nn::graph::{ChannelOrder, GraphBuilder};
    use crate::nn::ops::Op;
    use crate::nn::ops::scale::Scale;
    use crate::nn::ops::softmax::Softmax;
    use crate::tasks::look::testing::preprocess;

    /// Multiplies the channels of one pixel.
    fn scaling(factors: [f32; 3], with_softmax: bool) -> Graph {
        let mut net = GraphBuilder::new("data", 3, [1, 1]);
        net.param("factors", &[3], factors.to_vec());
        let scaled = net.add("scores", Op::Scale(Scale {}), &[0], &["factors"]);
        if with_softmax {
            net.add("prob", Op::Softmax(Softmax {}), &[scaled], &[]);
        }
        net.finish("scaling", preprocess(ChannelOrder::Rgb), Vec::new()).expect("sound")
    }

    fn compared(a: &Graph, b: &Graph, tolerance: f64) -> Result<Comparison, InspectError> {
        let picture = Picture::filled(1, 1, [10.0, 20.0, 40.0]);
        let inputs = [NetInput::new(a, &picture, None, None)?, NetInput::new(b, &picture, None, None)?];
        compare([(a, &inputs[0]), (b, &inputs[1])], true, tolerance, None)
    }

    #[test]
    fn differences_are_told_relative_to_the_largest_value() {
        let (a, b) = (scaling([1.0, 1.0, 1.0], true), scaling([1.0, 1.1, 1.0], false));
        let comparison = compared(&a, &b, 1e-4).expect("they can be compared");
        assert!((comparison.difference.absolute - 2.0).abs() < 1e-5, "{comparison:?}");
        assert!((comparison.difference.relative - 0.05).abs() < 1e-6 && !comparison.same, "{comparison:?}");
        assert_eq!(
            comparison.layers.iter().map(|layer| (layer.layer.as_str(), layer.same)).collect::<Vec<_>>(),
            [("scores", false)]
        );
        let top = comparison.answers[0].top.clone().expect("there are classes");
        assert_eq!((top.index, top.label.as_str(), top.score), (2, "2", 40.0));
        assert!(top.probability > 0.999 && top.probability <= 1.0, "{top:?}");
        assert!(compared(&a, &b, 0.06).expect("they can be compared").same);
        assert_eq!(compared(&a, &a, 0.0).expect("they can be compared").difference, Difference::default());
    }

    #[test]
    fn values_that_are_none_are_never_the_same() {
        let far = |a: &[f32], b: &[f32]| difference(a, b).relative;
        assert_eq!(far(&[1.0, f32::NAN], &[1.0, 2.0]), f64::INFINITY);
        assert_eq!(far(&[f32::INFINITY], &[f32::INFINITY]), 0.0);
        assert_eq!(far(&[f32::INFINITY, 1.0], &[3.0, 1.0]), f64::INFINITY);
        assert_eq!((far(&[0.0], &[0.0]), far(&[], &[])), (0.0, 0.0));
        fn json(value: &impl Serialize) -> String {
            serde_json::to_string(value).expect("plain data")
        }
        assert_eq!(json(&difference(&[f32::NAN], &[1.0])), r#"{"absolute":"inf","relative":"inf"}"#);
        assert_eq!(json(&difference(&[0.5], &[1.0])), r#"{"absolute":0.5,"relative":0.5}"#);
        let top = Top { index: 0, label: "a".into(), score: f32::NEG_INFINITY, probability: f64::NAN };
        assert_eq!(json(&top), r#"{"index":0,"label":"a","score":"-inf","probability":"NaN"}"#);
    }

    #[test]
    fn nets_of_other_ends_cannot_be_compared() {
        let net = scaling([1.0; 3], false);
        let picture = Picture::filled(2, 2, [1.0; 3]);
        let inputs = [None, Some([2, 2])].map(|size| NetInput::new(&net, &picture, size, None).expect("it fits"));
        let refused = compare([(&net, &inputs[0]), (&net, &inputs[1])], false, 1.0, None).expect_err("2×2 places");
        let expected = "the nets cannot be compared: `scaling` ends in 1×3×1×1, `scaling` in 1×3×2×2";
        assert_eq!(refused.to_string(), expected);
        let little = compare([(&net, &inputs[0]), (&net, &inputs[0])], false, 1.0, Some(47));
        assert!(matches!(little, Err(InspectError::Memory { needed_bytes: 48, available_bytes: 47 })), "{little:?}");
    }
}

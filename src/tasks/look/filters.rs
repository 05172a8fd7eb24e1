//! The first layer's filters as pictures.

use crate::nn::graph::{ChannelOrder, Graph, GraphBuilder, Node};
use crate::nn::ops::Op;

/// The gray of a weight of nought, and how far the largest weight is from there.
const GRAY: f64 = 127.5;

/// The filters of one convolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filters {
    pub layer: String,
    /// `[height, width]` of each.
    pub size: [usize; 2],
    /// One an output channel: interleaved 8-bit RGB, row by row.
    pub pictures: Vec<Vec<u8>>,
}

/// The filters of the first convolution that reads the picture itself (padded or not), in the picture's colours: what
/// each weighs after the net's channel order and scales are undone. Gray is nought, and each filter's largest weight is
/// black or white. `None` where the net starts with something else. Nets for gray pictures have gray filters.
pub fn first_layer_filters(graph: &Graph) -> Option<Filters> {
    let reads_picture = |node: &Node| match node.inputs.first() {
        Some(&GraphBuilder::INPUT) => true,
        Some(&input) => {
            let before = graph.node(input);
            matches!(before.op, Op::Pad(_)) && before.inputs.first() == Some(&GraphBuilder::INPUT)
        }
        None => false,
    };
    let is_first = |node: &Node| matches!(&node.op, Op::Conv2d(conv) if conv.groups == 1) && reads_picture(node);
    let id = graph.nodes().iter().position(is_first)?;
    let weight = graph.params_of(id).next()?;
    let &[_, channels, height, width] = weight.shape.as_slice() else { return None };
    let filter_len = channels * height * width;
    if channels != graph.input().channels || filter_len == 0 {
        return None;
    }
    let preprocess = graph.preprocess();
    let channel_of = |colour: usize| match preprocess.order {
        ChannelOrder::Rgb => colour,
        ChannelOrder::Bgr => 2 - colour,
        ChannelOrder::Gray => 0,
    };
    let colours = [0, 1, 2].map(channel_of);
    let picture = |filter: &[f32]| {
        let pixels = height * width;
        let weigh = |channel: usize, pixel: usize| {
            f64::from(filter[channel * pixels + pixel]) * f64::from(preprocess.scale[channel])
        };
        let weights: Vec<f64> = (0..pixels).flat_map(|pixel| colours.map(|channel| weigh(channel, pixel))).collect();
        bytes_about_gray(&weights)
    };
    let pictures = weight.data.chunks_exact(filter_len).map(picture).collect();
    Some(Filters { layer: graph.node(id).name.clone(), size: [height, width], pictures })
}

/// Weights as bytes about gray, by their largest finite size. What is not a number is gray.
fn bytes_about_gray(weights: &[f64]) -> Vec<u8> {
    let largest =
        weights.iter().filter(|weight| weight.is_finite()).fold(0.0f64, |most, weight| most.max(weight.abs()));
    let byte = |&weight: &f64| {
        let share = weight / largest;
        let share = if share.is_nan() { 0.0 } else { share.clamp(-1.0, 1.0) };
        (GRAY + GRAY * share).round() as u8
    };
    weights.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{shipped, sketch};
    use super::*;
    use crate::nn::graph::Preprocess;
    use crate::nn::ops::activation::Activation;
    use crate::nn::ops::conv::Conv2d;
    use crate::nn::ops::pad::{Pad, PadMode};
    use crate::nn::ops::window::Window;

    /// A 1 × 2 convolution of two channels on pictures.
    fn net(order: ChannelOrder, scale: &[f32], weights: &[f32], before: Option<Op>) -> Graph {
        let channels = scale.len();
        let mut net = GraphBuilder::new("data", channels, [4, 4]);
        let from = before.map_or(GraphBuilder::INPUT, |op| net.add("before", op, &[GraphBuilder::INPUT], &[]));
        net.param("weight", &[2, channels, 1, 2], weights.to_vec());
        let window = Window { kernel: [1, 2], ..Window::square(1, 1) };
        net.add("first", Op::Conv2d(Conv2d { window, groups: 1 }), &[from], &["weight"]);
        let preprocess = Preprocess { order, mean: vec![9.0; channels], scale: scale.to_vec() };
        net.finish("net", preprocess, Vec::new()).unwrap()
    }

    const WEIGHTS: [f32; 12] = [1.0, 0.0, 0.0, 0.5, -0.5, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];

    #[test]
    fn filters_have_the_colours_of_the_picture() {
        let rgb = first_layer_filters(&net(ChannelOrder::Rgb, &[1.0; 3], &WEIGHTS, None)).unwrap();
        assert_eq!((rgb.layer.as_str(), rgb.size), ("first", [1, 2]));
        assert_eq!(rgb.pictures, [vec![255, 128, 64, 128, 191, 0], vec![128; 6]]);
        let bgr = first_layer_filters(&net(ChannelOrder::Bgr, &[1.0; 3], &WEIGHTS, None)).unwrap();
        assert_eq!(bgr.pictures[0], [64, 128, 255, 0, 191, 128]);
    }

    #[test]
    fn the_nets_scales_count() {
        // Blue first: scaled by 4, green by 2; red by −1 turns about.
        let bgr = first_layer_filters(&net(ChannelOrder::Bgr, &[4.0, 2.0, -1.0], &WEIGHTS, None)).unwrap();
        assert_eq!(bgr.pictures[0], [143, 128, 255, 159, 159, 128]);
    }

    #[test]
    fn gray_nets_have_gray_filters() {
        let gray = net(ChannelOrder::Gray, &[0.5], &[1.0, -2.0, 0.25, 0.25], None);
        let filters = first_layer_filters(&gray).unwrap();
        assert_eq!(filters.pictures, [vec![191, 191, 191, 0, 0, 0], vec![255; 6]]);
    }

    #[test]
    fn numbers_that_are_none_are_gray() {
        let mut weights = WEIGHTS;
        weights[1] = f32::NAN;
        weights[2] = f32::NEG_INFINITY;
        weights[6..].fill(f32::NAN);
        let filters = first_layer_filters(&net(ChannelOrder::Rgb, &[1.0; 3], &weights, None)).unwrap();
        assert_eq!(filters.pictures, [vec![255, 0, 64, 128, 191, 0], vec![128; 6]]);
    }

    #[test]
    fn only_what_reads_the_picture_is_a_picture() {
        let pad = Op::Pad(Pad { top: 1, left: 1, bottom: 1, right: 1, mode: PadMode::Reflect });
        assert!(first_layer_filters(&net(ChannelOrder::Rgb, &[1.0; 3], &WEIGHTS, Some(pad))).is_some());
        let relu = Op::Activation(Activation::Relu);
        assert!(first_layer_filters(&net(ChannelOrder::Rgb, &[1.0; 3], &WEIGHTS, Some(relu))).is_none());
    }

    #[test]
    fn nets_have_their_first_filters() {
        let filters = first_layer_filters(&shipped()).unwrap();
        assert_eq!((filters.layer.as_str(), filters.size, filters.pictures.len()), ("stem/conv", [3, 3], 32));
        assert!(filters.pictures.iter().all(|picture| picture.len() == 27));
        // All are stretched to their range, but for channels that training has left dead.
        let stretched = filters.pictures.iter().filter(|picture| picture.contains(&0) || picture.contains(&255));
        assert!(stretched.count() >= 28);
        assert_eq!(first_layer_filters(&sketch()).unwrap().pictures[0], [255, 0, 128]);
    }
}

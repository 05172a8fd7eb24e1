//! A picture as a net takes it.

use super::{InspectError, input_shape, memory};
use crate::base::tensor::Shape;
use crate::imageio::{Filter, Picture};
use crate::nn::graph::Graph;
use crate::optvis::preprocess::ToNet;

/// What lies behind transparent pixels.
const GROUND: [f32; 3] = [255.0; 3];

/// Pictures of the new size that are held at once: half resized, resized, opaque, and the net's input.
const COPIES: usize = 4;

/// One picture in net space.
#[derive(Clone, Debug)]
pub struct NetInput {
    /// `[1, channels, height, width]`.
    pub shape: Shape,
    /// As the engine has it: height × width × channels.
    pub nhwc: Vec<f32>,
}

impl NetInput {
    /// The whole picture, resized to `size_px` (`[height, width]`) or else to the net's own size, its proportions not
    /// kept (as MatConvNet's examples do it), then by the net's rule: `(p − mean) · scale` of every pixel value `p` from
    /// 0 to 255. A picture of the right size already is not resampled. Transparent pixels are white.
    ///
    /// # Errors
    /// When the picture is empty, or its new size needs more memory than `available_bytes`.
    pub fn new(
        graph: &Graph,
        picture: &Picture,
        size_px: Option<[usize; 2]>,
        available_bytes: Option<u64>,
    ) -> Result<Self, InspectError> {
        if picture.is_empty() {
            return Err(InspectError::EmptyPicture);
        }
        let shape = input_shape(graph, size_px)?;
        memory::check((COPIES * size_of::<f32>() * shape.len()) as u64, available_bytes)?;
        let resized = picture.resized(size_px.unwrap_or(graph.input().size), Filter::CatmullRom);
        let mut nhwc = vec![0.0; shape.len()];
        ToNet::new(graph.preprocess()).apply(&resized.flattened_onto(GROUND).rgb, &mut nhwc);
        Ok(Self { shape, nhwc })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::graph::{ChannelOrder, GraphBuilder, Preprocess};

    #[test]
    fn a_picture_becomes_the_nets_input_by_its_own_rule() {
        let preprocess = Preprocess { order: ChannelOrder::Bgr, mean: vec![1.0, 2.0, 3.0], scale: vec![1.0, 1.0, 0.5] };
        let graph = GraphBuilder::new("data", 3, [1, 2]).finish("net", preprocess, Vec::new()).expect("sound");
        let picture = Picture::from_rgb(2, 1, vec![10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        let input = NetInput::new(&graph, &picture, None, None).expect("it fits");
        assert_eq!(input.nhwc, [29.0, 18.0, 3.5, 59.0, 48.0, 18.5]);
        let clear = picture.clone().with_alpha(Some(vec![0.0, 255.0]));
        assert_eq!(NetInput::new(&graph, &clear, None, None).expect("it fits").nhwc[..3], [254.0, 253.0, 126.0]);
        let larger = NetInput::new(&graph, &picture, Some([4, 6]), None).expect("it fits");
        assert_eq!((larger.shape, larger.nhwc.len()), (Shape::maps(1, 3, 4, 6), 72));
        let empty = Picture::from_rgb(0, 0, Vec::new());
        assert!(matches!(NetInput::new(&graph, &empty, None, None), Err(InspectError::EmptyPicture)));
        for (size, available) in [([usize::MAX, 2], None), ([1000, 1000], Some(40_000_000))] {
            assert!(NetInput::new(&graph, &picture, Some(size), available).is_err(), "{size:?}");
        }
    }
}

//! A net at one layer, ready for one picture after another.

use std::sync::Arc;

use super::activations::Activations;
use crate::base::tensor::Shape;
use crate::imageio::{Filter, Picture};
use crate::nn::exec::{FrozenNet, Session};
use crate::nn::graph::{Graph, GraphError, NodeId};
use crate::optvis::preprocess::ToNet;
use crate::tasks::dream::sizes::with_longest_side;

/// What lies behind transparent pixels, as [`crate::tasks::classify`] has it.
const GROUND: [f32; 3] = [255.0; 3];

#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("the layer `{layer}` has no maps to look at, but values of {shape}: choose another layer")]
    NoMaps { layer: String, shape: Shape },
    #[error("the picture has no pixels")]
    EmptyPicture,
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// A net ready to be looked into with one picture after another, at one layer. Keeps its packed weights and its memory
/// between calls.
pub struct Looker {
    net: FrozenNet,
    layer: NodeId,
    /// With the size of picture, `[height, width]`, that it is for.
    session: Option<([usize; 2], Session)>,
}

impl Looker {
    /// Packs the weights up to `layer`. A layer of one value a channel has maps of one pixel.
    ///
    /// # Errors
    /// When there is no such layer, or its output has no channels, rows and columns.
    pub fn new(graph: Arc<Graph>, layer: &str) -> Result<Self, LookError> {
        let layer = graph.find(layer)?;
        let shape = graph.shapes_for(&graph.native_input_shape(1), &[layer])?.swap_remove(layer).unwrap_or_default();
        if !matches!(shape.as_maps(), Some([1, ..])) {
            return Err(LookError::NoMaps { layer: graph.node(layer).name.clone(), shape });
        }
        Ok(Self { net: FrozenNet::new(graph, &[layer]), layer, session: None })
    }

    pub fn graph(&self) -> &Arc<Graph> {
        self.net.graph()
    }

    /// The name of the layer.
    pub fn layer(&self) -> &str {
        &self.net.graph().node(self.layer).name
    }

    /// Runs the whole picture forward to the layer: made smaller, if need be, so that its longer side is at most
    /// `longest_px`, where the net takes any size; else stretched to the net's own size. Transparent pixels are white.
    ///
    /// # Errors
    /// When the picture is empty.
    pub fn look(&mut self, picture: &Picture, longest_px: usize) -> Result<Activations, LookError> {
        if picture.is_empty() {
            return Err(LookError::EmptyPicture);
        }
        let longest = picture.width.max(picture.height).min(longest_px.max(1));
        let (size_px, mut session) = self.take_session(with_longest_side(picture.size(), longest))?;
        let mut seen = picture.resized(size_px, Filter::CatmullRom);
        if seen.alpha.is_some() {
            seen = seen.flattened_onto(GROUND);
        }
        ToNet::new(self.net.graph().preprocess()).apply(&seen.rgb, session.input_mut());
        session.forward();
        let blob = session.blob(self.layer);
        let layer = self.layer().to_string();
        let Some([_, channels, height, width]) = blob.shape.as_maps() else {
            return Err(LookError::NoMaps { layer, shape: blob.shape.clone() });
        };
        let activations = Activations::new(layer, [channels, height, width], blob.data.to_vec());
        self.session = Some((size_px, session));
        Ok(activations)
    }

    /// A session for `wanted_px`, or for the net's own size where a layer refuses that; and for which size it is.
    fn take_session(&mut self, wanted_px: [usize; 2]) -> Result<([usize; 2], Session), LookError> {
        let old = self.session.take();
        let graph = self.net.graph();
        let input_of = |[height, width]: [usize; 2]| Shape::maps(1, graph.input().channels, height, width);
        let shapes = graph.shapes_for(&input_of(wanted_px), &[self.layer]);
        let takes_it = shapes.is_ok_and(|shapes| shapes[self.layer].as_ref().is_some_and(|shape| shape.len() > 0));
        let size_px = if takes_it { wanted_px } else { graph.input().size };
        match old {
            Some((old_px, session)) if old_px == size_px => Ok((size_px, session)),
            old => Ok((size_px, self.net.session(&input_of(size_px), false, old.map(|(_, session)| session))?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{photo, shipped, sketch};
    use super::*;
    use crate::nn::exec::reference::Reference;
    use crate::nn::ops::Run;

    /// The blob of a layer as the plain executor has it.
    fn plain_blob(graph: &Graph, layer: &str, picture: &Picture) -> Vec<f32> {
        let layer = graph.find(layer).unwrap();
        let shape = Shape::maps(1, graph.input().channels, picture.height, picture.width);
        let mut input = vec![0.0; shape.len()];
        ToNet::new(graph.preprocess()).apply(&picture.rgb, &mut input);
        let mut plain = Reference::<f32>::new(graph);
        plain.forward(&shape, &input, &[layer], Run::default()).unwrap();
        plain.blob(layer).unwrap().data.to_vec()
    }

    fn assert_close(what: &str, got: &[f32], want: &[f32]) {
        assert_eq!(got.len(), want.len(), "{what}");
        let largest = want.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        let off = got.iter().zip(want).map(|(got, want)| (got - want).abs()).fold(0f32, f32::max);
        assert!(largest > 0.0 && off <= 1e-4 * largest, "{what}: off by {off} of {largest}");
    }

    #[test]
    fn activations_agree_with_the_plain_executor() {
        let graph = shipped();
        let picture = photo("flower.jpg").resized([40, 64], Filter::CatmullRom);
        for layer in ["stem", "block3/depthwise/bn", "block4"] {
            let seen = Looker::new(graph.clone(), layer).unwrap().look(&picture, 1000).unwrap();
            let want = plain_blob(&graph, layer, &picture);
            assert_eq!(seen.channels * seen.height * seen.width, want.len());
            assert_close(layer, seen.values(), &want);
        }
    }

    #[test]
    fn pictures_are_made_smaller_never_larger_and_one_looker_serves_all() {
        let mut looker = Looker::new(Arc::new(sketch()), "maps").unwrap();
        for ([height, width], longest_px, expected) in [
            ([30, 60], 40, [20, 40]),
            ([30, 60], 100, [30, 60]),
            ([30, 60], 40, [20, 40]),
            ([1, 500], 100, [1, 100]),
            ([5, 5], 0, [1, 1]),
        ] {
            let picture = Picture::filled(width, height, [200.0, 100.0, 50.0]);
            let seen = looker.look(&picture, longest_px).unwrap();
            assert_eq!([seen.height, seen.width], expected, "{height}×{width} at {longest_px}");
            assert_close("red less green", &seen.values()[..2], &[100.0, -100.0]);
        }
    }

    #[test]
    fn clear_pixels_are_white() {
        let mut looker = Looker::new(Arc::new(sketch()), "maps").unwrap();
        let clear = Picture::filled(4, 4, [9.0, 200.0, 3.0]).with_alpha(Some(vec![0.0; 16]));
        assert!(looker.look(&clear, 4).unwrap().values().iter().all(|value| value.abs() < 1e-3));
    }

    #[test]
    fn a_layer_for_one_size_only_is_looked_at_in_that_size() {
        // The fully connected layer takes 4 × 6 pixels and no others.
        let mut looker = Looker::new(Arc::new(sketch()), "scores").unwrap();
        let picture = Picture::filled(80, 50, [2.0, 1.0, 0.0]);
        let seen = looker.look(&picture, 64).unwrap();
        assert_eq!([seen.channels, seen.height, seen.width], [3, 1, 1]);
        assert_eq!(seen.strongest(1)[0].channel, 2);
    }

    #[test]
    fn what_cannot_be_looked_at_is_refused() {
        let graph = Arc::new(sketch());
        let refused = |layer| Looker::new(graph.clone(), layer).err().expect("it is refused").to_string();
        assert!(
            refused("map").starts_with("there is no layer `map`; the nearest names are maps"),
            "{}",
            refused("map")
        );
        assert!(refused("rows").starts_with("the layer `rows` has no maps"), "{}", refused("rows"));
        let empty = Picture::from_rgb(0, 0, Vec::new());
        assert!(matches!(Looker::new(graph, "maps").unwrap().look(&empty, 9), Err(LookError::EmptyPicture)));
    }

    #[test]
    fn the_input_itself_can_be_looked_at() {
        let mut looker = Looker::new(Arc::new(sketch()), "data").unwrap();
        let seen = looker.look(&Picture::filled(3, 2, [1.0, 2.0, 3.0]), 9).unwrap();
        assert_eq!(seen.values(), [1.0, 2.0, 3.0].repeat(6));
    }
}

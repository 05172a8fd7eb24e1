//! What is differentiated: half the squared length of a layer, or the score of a class.

use super::InspectError;
use crate::base::tensor::View;
use crate::nn::graph::{Graph, NodeId};
use crate::tasks::dream::goal::class_index;

/// A function of one layer's values `x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// ½ Σ x², whose derivative is x.
    HalfSquares(NodeId),
    /// The score of one class before any softmax, summed over all places where there are several.
    Class { logits: NodeId, class: usize },
}

impl Objective {
    /// ½ Σ x² of a layer, by default of the class scores (the last layer before any softmax).
    ///
    /// # Errors
    /// When there is no such layer.
    pub fn of_layer(graph: &Graph, layer: Option<&str>) -> Result<Self, InspectError> {
        let node = layer.map_or(Ok(graph.logits()), |layer| find(graph, layer))?;
        Ok(Self::HalfSquares(node))
    }

    /// The score of a class: its index from 0, its name, or a part of it that no other name holds.
    ///
    /// # Errors
    /// When there is no such class, or there are several.
    pub fn of_class(graph: &Graph, class: &str) -> Result<Self, InspectError> {
        let logits = graph.logits();
        let shape = graph.shapes(&graph.native_input_shape(1))?.swap_remove(logits);
        let Some([_, classes, ..]) = shape.as_maps() else {
            return Err(InspectError::NoClassScores { net: graph.name().into(), shape });
        };
        Ok(Self::Class { logits, class: class_index(class, graph, classes)? })
    }

    /// The layer that it is a function of.
    pub fn node(self) -> NodeId {
        match self {
            Self::HalfSquares(node) | Self::Class { logits: node, .. } => node,
        }
    }

    /// `½ Σ prob²` or `the score of tabby`, for people.
    pub fn words(self, graph: &Graph) -> String {
        match self {
            Self::HalfSquares(node) => format!("½ Σ x² of {}", graph.node(node).name),
            Self::Class { class, .. } => {
                let label = graph.labels().get(class).map_or_else(|| class.to_string(), String::clone);
                format!("the score of class {label}")
            }
        }
    }

    /// The value at a blob of [`Objective::node`].
    pub fn value(self, blob: &View<'_, f32>) -> f64 {
        match self {
            Self::HalfSquares(_) => blob.data.iter().map(|&x| 0.5 * f64::from(x) * f64::from(x)).sum(),
            Self::Class { class, .. } => {
                let channels = channels(blob);
                blob.data.iter().skip(class).step_by(channels).map(|&x| f64::from(x)).sum()
            }
        }
    }

    /// Writes the derivative by the blob, laid out as it is.
    pub fn seed(self, blob: &View<'_, f32>, seed: &mut [f32]) {
        match self {
            Self::HalfSquares(_) => seed.copy_from_slice(blob.data),
            Self::Class { class, .. } => {
                seed.fill(0.0);
                seed.iter_mut().skip(class).step_by(channels(blob)).for_each(|seed| *seed = 1.0);
            }
        }
    }
}

/// Channels lie innermost in maps and vectors.
fn channels(blob: &View<'_, f32>) -> usize {
    blob.shape.as_maps().map_or(1, |[_, channels, ..]| channels.max(1))
}

/// The node of that name; `input` is the picture whatever its node is called, unless a layer has the name.
pub(super) fn find(graph: &Graph, name: &str) -> Result<NodeId, InspectError> {
    match graph.find(name) {
        Err(_) if name == "input" => Ok(0),
        found => Ok(found?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::tensor::Shape;
    use crate::tasks::look::testing::{shipped, sketch};

    #[test]
    fn layers_and_classes_are_found() {
        let graph = sketch();
        assert_eq!(Objective::of_layer(&graph, None).expect("found"), Objective::HalfSquares(4));
        assert_eq!(Objective::of_layer(&graph, Some("input")).expect("found").node(), 0);
        let class = Objective::of_class(&graph, "gold").expect("found");
        assert_eq!(
            (class, class.words(&graph).as_str()),
            (Objective::Class { logits: 4, class: 1 }, "the score of class goldfish")
        );
        assert!(Objective::of_class(&graph, "3").is_err() && Objective::of_layer(&graph, Some("mapz")).is_err());
        assert_eq!(Objective::of_layer(&shipped(), None).expect("found").words(&shipped()), "½ Σ x² of logits");
    }

    #[test]
    fn seeds_are_derivatives() {
        let shape = Shape::maps(1, 3, 1, 2);
        let data = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let blob = View::new(&shape, &data);
        let mut seed = [f32::NAN; 6];
        Objective::HalfSquares(0).seed(&blob, &mut seed);
        assert_eq!((seed, Objective::HalfSquares(0).value(&blob)), (data, 45.5));
        let class = Objective::Class { logits: 0, class: 1 };
        class.seed(&blob, &mut seed);
        assert_eq!((seed, class.value(&blob)), ([0.0, 1.0, 0.0, 0.0, 1.0, 0.0], 7.0));
    }
}

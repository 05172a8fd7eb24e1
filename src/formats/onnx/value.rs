//! What stands for a tensor of an ONNX graph while it is read.

use std::rc::Rc;

use super::constant::Constant;
use crate::nn::graph::NodeId;

/// A tensor of the ONNX graph.
#[derive(Clone, Debug)]
pub enum Value {
    /// An input that is left out, or an output that nobody may use.
    Absent,
    Constant(Rc<Constant>),
    Computed(Computed),
}

/// The output of a node, looked at as the ONNX graph does: axis `i` of the tensor is logical axis `axes[i]` of the node's
/// output, or an axis of length 1 that the node's output has not. Axes that are not looked at have length 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Computed {
    pub node: NodeId,
    pub axes: Vec<Option<usize>>,
    /// Set where the ONNX graph has integers that stand for the node's output.
    pub quantization: Option<Quantization>,
}

/// Integers `q` that stand for `(q − zero) · scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    pub scale: f32,
    pub zero: i64,
}

impl Computed {
    /// The output of a node as it is.
    pub fn whole(node: NodeId, rank: usize) -> Self {
        Self { node, axes: (0..rank).map(Some).collect(), quantization: None }
    }

    /// Another node's output, of the same axes, looked at in the same way.
    pub fn of(&self, node: NodeId) -> Self {
        Self { node, ..self.clone() }
    }

    /// The same output looked at along other axes. Of a `node_rank` output, axes of length 1 that are no longer looked
    /// at stand where there would be none, first at their own places.
    pub fn viewed(&self, mut axes: Vec<Option<usize>>, node_rank: usize) -> Self {
        for axis in 0..axes.len().min(node_rank) {
            if axes[axis].is_none() && !axes.contains(&Some(axis)) {
                axes[axis] = Some(axis);
            }
        }
        for axis in 0..node_rank {
            if !axes.contains(&Some(axis))
                && let Some(free) = axes.iter_mut().find(|place| place.is_none())
            {
                *free = Some(axis);
            }
        }
        Self { axes, ..self.clone() }
    }

    pub fn rank(&self) -> usize {
        self.axes.len()
    }
}

impl From<Constant> for Value {
    fn from(constant: Constant) -> Self {
        Self::Constant(Rc::new(constant))
    }
}

impl From<Computed> for Value {
    fn from(computed: Computed) -> Self {
        Self::Computed(computed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_of_length_one_come_back_to_their_places() {
        let whole = Computed::whole(0, 4);
        let axes = |computed: Computed| computed.axes;
        assert_eq!(axes(whole.viewed(vec![None, Some(1)], 2)), [Some(0), Some(1)]);
        assert_eq!(axes(whole.viewed(vec![Some(1)], 4)), [Some(1)]);
        assert_eq!(axes(whole.viewed(vec![Some(0), None, None, Some(1)], 2)), [Some(0), None, None, Some(1)]);
        assert_eq!(axes(whole.viewed(vec![Some(0), Some(2), Some(3), None], 4)), [Some(0), Some(2), Some(3), Some(1)]);
    }
}

//! What running a net takes in memory.

use std::sync::Arc;

use serde::Serialize;

use super::InspectError;
use crate::base::tensor::Shape;
use crate::nn::exec::FrozenNet;
use crate::nn::graph::{Graph, GraphError, NodeId};
use crate::tasks::dream::DreamSpec;

/// What the net takes in memory when a picture is dreamt with one layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DreamMemory {
    /// The layer, or several with commas between them.
    pub layer: String,
    pub role: Role,
    /// Weights up to the layer, packed for the kernels.
    pub weight_bytes: u64,
    /// The one block of working memory for a picture of the inspected size: the values that are alive at the same time,
    /// forward and back to the picture, masks and gradients included. The picture's own copies are not in it.
    pub session_bytes: u64,
}

/// Why a layer is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A dream without `--layer` takes it.
    Default,
    /// The class scores, behind which there is only softmax: no dream takes more of the net.
    Deepest,
}

/// The memory for dreams with the default layer and with the deepest one, at `size_px` (`[height, width]`) or at the
/// net's own size. Packs the net's weights to measure them, one layer after the other.
///
/// # Errors
/// Where a layer refuses a picture of that size.
pub fn dream_memory(graph: &Arc<Graph>, size_px: Option<[usize; 2]>) -> Result<Vec<DreamMemory>, GraphError> {
    let input = super::input_shape(graph, size_px)?;
    let names = DreamSpec::default().layers_for(graph);
    let default = names.iter().map(|layer| graph.find(&layer.name)).collect::<Result<Vec<NodeId>, _>>()?;
    let mut found = Vec::new();
    for (role, targets) in [(Role::Default, default), (Role::Deepest, vec![graph.logits()])] {
        if targets.is_empty() || targets == [0] {
            continue;
        }
        let net = FrozenNet::new(graph.clone(), &targets);
        found.push(DreamMemory {
            layer: targets.iter().map(|&id| graph.node(id).name.as_str()).collect::<Vec<_>>().join(", "),
            role,
            weight_bytes: net.weight_bytes() as u64,
            session_bytes: net.session_bytes(&input, true)? as u64,
        });
    }
    Ok(found)
}

/// Bytes of every value that the plain executor keeps for `targets`: all outputs, and as much again for their gradients.
pub(super) fn plain_bytes(
    graph: &Graph,
    input: &Shape,
    targets: &[NodeId],
    with_gradient: bool,
) -> Result<u64, GraphError> {
    let shapes = graph.shapes_for(input, targets)?;
    let values = shapes.iter().flatten().fold(0u64, |sum, shape| sum.saturating_add(shape.len() as u64));
    Ok(values.saturating_mul(size_of::<f32>() as u64 * if with_gradient { 2 } else { 1 }))
}

/// Refuses work that takes more memory than there may be.
pub(super) fn check(needed_bytes: u64, available_bytes: Option<u64>) -> Result<(), InspectError> {
    match available_bytes {
        Some(available_bytes) if needed_bytes > available_bytes => {
            Err(InspectError::Memory { needed_bytes, available_bytes })
        }
        _ => Ok(()),
    }
}

/// Bytes of memory that this machine can still give; `None` where the system does not say.
pub fn available_bytes() -> Option<u64> {
    crate::tasks::dream::memory::available_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::look::testing::shipped;

    #[test]
    fn dreams_of_the_shipped_net_are_told_in_bytes() {
        let graph = shipped();
        let small = dream_memory(&graph, Some([64, 64])).expect("the net takes it");
        let large = dream_memory(&graph, Some([128, 128])).expect("the net takes it");
        assert_eq!(small.iter().map(|memory| memory.role).collect::<Vec<_>>(), [Role::Default, Role::Deepest]);
        assert_eq!(small[1].layer, "logits");
        for (small, large) in small.iter().zip(&large) {
            assert_eq!(small.weight_bytes, large.weight_bytes);
            let growth = large.session_bytes as f64 / small.session_bytes as f64;
            assert!((3.0..5.0).contains(&growth), "four times the pixels: {growth}");
        }
        assert!(small[1].weight_bytes > small[0].weight_bytes && small[0].weight_bytes > 100_000, "{small:?}");
    }

    #[test]
    fn what_the_plain_executor_keeps_is_bounded() {
        let graph = shipped();
        let input = graph.native_input_shape(1);
        let forward = plain_bytes(&graph, &input, &[1], false).expect("the net takes it");
        // The picture and the first convolution.
        assert_eq!(forward, 4 * (3 * 224 * 224 + 32 * 112 * 112));
        assert!(check(forward, Some(forward)).is_ok() && check(forward, None).is_ok());
        let refused = check(forward, Some(1_000_000)).expect_err("too much").to_string();
        assert_eq!(refused, "this needs 2.21 MB of memory, but only 1.00 MB may be used: choose a smaller size");
    }
}

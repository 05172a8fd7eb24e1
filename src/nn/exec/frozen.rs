//! The frozen plan: forward to the targets, gradient to the input, weights fixed.

use std::sync::Arc;

use crate::base::tensor::{Shape, View};
use crate::nn::graph::{Graph, GraphError, NodeId};
use crate::nn::ops::ReluRule;

#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// A net with its weights packed for inference and input gradients, for any picture size.
pub struct FrozenNet {
    graph: Arc<Graph>,
    targets: Vec<NodeId>,
}

impl FrozenNet {
    /// Packs the weights of all layers that `targets` need. Targets are the nodes whose blobs will be read or seeded.
    pub fn new(graph: Arc<Graph>, targets: &[NodeId]) -> Result<Self, ExecError> {
        Ok(Self { graph, targets: targets.to_vec() })
    }

    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    pub fn targets(&self) -> &[NodeId] {
        &self.targets
    }

    /// Bytes of memory that a session needs for an input of this shape.
    pub fn session_bytes(&self, _input: &Shape, _with_gradient: bool) -> Result<usize, ExecError> {
        todo!()
    }

    /// A session for inputs of one shape (batch × channels × height × width); `old` gives its memory back to the new one.
    pub fn session(&self, _input: &Shape, _with_gradient: bool, _old: Option<Session>) -> Result<Session, ExecError> {
        todo!()
    }
}

/// The memory and the steps for one input shape. Steady steps allocate nothing.
pub struct Session {}

impl Session {
    /// The input in net space (preprocessed), NHWC.
    pub fn input_mut(&mut self) -> &mut [f32] {
        todo!()
    }

    /// Runs forward to the targets.
    pub fn forward(&mut self) {
        todo!()
    }

    /// The blob of a target after [`Session::forward`], NHWC.
    pub fn blob(&self, _target: NodeId) -> View<'_, f32> {
        todo!()
    }

    /// The blob of a target together with the place for the gradient of the objective with respect to it. All of the
    /// seed must be written before [`Session::backward`].
    pub fn blob_and_seed(&mut self, _target: NodeId) -> (View<'_, f32>, &mut [f32]) {
        todo!()
    }

    /// Sends the seeds of all targets back to the input.
    pub fn backward(&mut self, _rule: ReluRule) {
        todo!()
    }

    /// The gradient with respect to the input after [`Session::backward`], NHWC.
    pub fn d_input(&self) -> &[f32] {
        todo!()
    }
}

//! Normalizations.

use std::sync::Arc;

use super::layout::Format;
use super::reshape::constant;
use super::{Converter, Reason, Value};
use crate::formats::tensorflow::graph::Node;
use crate::nn::ops::Op;
use crate::nn::ops::batch_norm::BatchNorm;
use crate::nn::ops::lrn::{Lrn, LrnRegion};

impl Converter<'_, '_> {
    pub(super) fn fused_batch_norm(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Value, Reason> {
        let trained: Vec<bool> = [3, 4].iter().map(|&i| constant(inputs, i).is_ok_and(|c| c.len() > 0)).collect();
        if node.flag("is_training", true)? || trained.contains(&false) {
            return Err(
                "it normalizes by the statistics of the batch, as in training; export the graph for inference".into()
            );
        }
        let epsilon = node.float("epsilon", 1e-4)?;
        self.batch_norm(Format::of(node)?, inputs, [Some(1), Some(2), Some(3), Some(4)], epsilon)
    }

    /// The first batch normalization of TensorFlow: input, mean, variance, beta, gamma.
    pub(super) fn old_batch_norm(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Value, Reason> {
        let gamma = node.flag("scale_after_normalization", false)?.then_some(4);
        let epsilon = node.float("variance_epsilon", 0.0)?;
        self.batch_norm(Format::Nhwc, inputs, [gamma, Some(3), Some(1), Some(2)], epsilon)
    }

    /// `places` are those of gamma, beta, mean and variance among the inputs; none stands for ones.
    fn batch_norm(
        &mut self,
        format: Format,
        inputs: &[Value],
        places: [Option<usize>; 4],
        epsilon: f32,
    ) -> Result<Value, Reason> {
        let map = self.map_at(inputs, 0)?;
        let map = self.maps(&map, format)?;
        let channels = self.net_dims(&map)?[1];
        let mut params = Vec::with_capacity(4);
        for (name, place) in ["gamma", "beta", "mean", "variance"].into_iter().zip(places) {
            let values: Arc<[f32]> = match place {
                Some(place) => constant(inputs, place)?.to_f32(),
                None => {
                    self.budget.charge(channels)?;
                    vec![1.0; channels].into()
                }
            };
            if values.len() != channels {
                return Err(format!("its {name} has {} values, but its input has {channels} channels", values.len()));
            }
            let name = format!("{}/{name}", self.at);
            params.push(self.param(&name, &[channels], values));
        }
        let id = self.add_here(Op::BatchNorm(BatchNorm { epsilon }), &[map.id], &params)?;
        Ok(Value::Map(super::Map { id, ..map }))
    }

    /// TensorFlow's alpha is the factor of one term of the sum.
    pub(super) fn lrn(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Value, Reason> {
        let map = self.map_at(inputs, 0)?;
        let map = self.maps(&map, Format::Nhwc)?;
        let radius = node.int("depth_radius", 5)?;
        let size = usize::try_from(radius).ok().and_then(|radius| radius.checked_mul(2)?.checked_add(1));
        let op = Lrn {
            size: size.ok_or_else(|| format!("its depth radius, {radius}, is not supported"))?,
            alpha: node.float("alpha", 1.0)?,
            beta: node.float("beta", 0.5)?,
            bias: node.float("bias", 1.0)?,
            region: LrnRegion::AcrossChannels,
        };
        self.elementwise(Op::Lrn(op), &map)
    }
}

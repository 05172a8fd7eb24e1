//! The training plan: batches forward in training mode, gradients back to the parameters.
//!
//! A [`TrainingNet`] owns the weights that are learnt and their gradients; a [`TrainingSession`] lays out the memory of
//! one input shape once. Gradients go no farther back than to the first parameter that is learnt.

mod conv;
mod net;
mod plan;

use std::mem;

use smallvec::SmallVec;

use net::PackedConv;
pub use net::{LearntParam, TrainingNet};
use plan::{ConvStep, InputGradient, Plan, SlotId, Step};

use crate::base::parallel;
use crate::base::tensor::{View, ViewMut};
use crate::nn::graph::NodeId;
use crate::nn::ops::batch_norm::BatchNorm;
use crate::nn::ops::conv::add_bias_gradient;
use crate::nn::ops::{Backward, Forward, Kernel as _, Mode, Op, Run};

/// As many inputs or parameters as an op takes without an allocation.
const FEW: usize = 8;
type Few<T> = SmallVec<[T; FEW]>;

/// The memory of one input shape. Steady steps of nets of convolutions, pooling, activations and fully connected layers
/// allocate nothing.
pub struct TrainingSession {
    plan: Plan,
    target: NodeId,
    run: Run,
    /// Memory by [`SlotId`]; a slot is taken out while it is written to.
    slots: Vec<Vec<f32>>,
    /// One a node, as `u64` for the alignment.
    saved: Vec<Vec<u64>>,
}

impl TrainingSession {
    fn new(plan: Plan, target: NodeId) -> Self {
        let slots = plan.slots.iter().map(|&floats| vec![0.0; floats]).collect();
        let saved_bytes = |step: &Option<Step>| step.as_ref().map_or(0, |step| step.keeps.saved_bytes);
        let saved = plan.steps.iter().map(|step| vec![0; saved_bytes(step).div_ceil(8)]).collect();
        Self { plan, target, run: Run::default(), slots, saved }
    }

    /// The input in net space (preprocessed), NHWC; it stays as it is until it is written again.
    pub fn input_mut(&mut self) -> &mut [f32] {
        let len = self.plan.shapes[0].len();
        let slot = self.plan.blobs[0].expect("every net has an input");
        &mut self.slots[slot][..len]
    }

    /// Runs forward to the target in training mode. `run.seed` and `run.step` are the key of what is random (dropout).
    pub fn forward(&mut self, net: &mut TrainingNet, run: Run) {
        self.run = Run { mode: Mode::Training, ..run };
        parallel::together(|| {
            net.pack();
            for id in 1..self.plan.steps.len() {
                self.forward_node(net, id);
            }
        });
    }

    /// The target's blob after [`TrainingSession::forward`], and the place for the gradient of the loss by it.
    ///
    /// # Panics
    /// If no parameter that the target depends on is learnt.
    pub fn output_and_seed(&mut self) -> (View<'_, f32>, &mut [f32]) {
        let shape = &self.plan.shapes[self.target];
        let output = self.plan.blobs[self.target].expect("the target has been planned for");
        let seed = self.plan.d_blobs[self.target].expect("something is learnt");
        let [output, seed] = self.slots.get_disjoint_mut([output, seed]).expect("both live when the seed is written");
        (View::new(shape, &output[..shape.len()]), &mut seed[..shape.len()])
    }

    /// Sends the seed back to all parameters that are learnt; the net's gradients of before are forgotten.
    pub fn backward(&mut self, net: &mut TrainingNet) {
        parallel::together(|| {
            net.forget_gradients();
            for id in (1..self.plan.steps.len()).rev() {
                self.backward_node(net, id);
            }
        });
    }

    /// Moves the stored statistics of every batch norm towards those of the last batch: stored + momentum · (batch −
    /// stored), the variance of the batch by n − 1, as PyTorch's `BatchNorm2d` does in training.
    pub fn blend_statistics(&self, net: &mut TrainingNet, momentum: f32) {
        for step in self.plan.steps.iter().flatten() {
            let Op::BatchNorm(_) = net.graph().node(step.node).op else { continue };
            let shape = &self.plan.shapes[step.node];
            let (channels, pixels) = (shape.dims()[1], shape.len() / shape.dims()[1]);
            let unbiased = pixels as f32 / pixels.saturating_sub(1).max(1) as f32;
            let of_batch = BatchNorm::batch_statistics::<f32>(bytemuck::cast_slice(&self.saved[step.node]), channels);
            for (place, factor) in [(2, 1.0), (3, unbiased)] {
                let stored = net.param_of_mut(step.node, place);
                for (stored, &batch) in stored.iter_mut().zip(of_batch[place - 2]) {
                    *stored += momentum * (batch * factor - *stored);
                }
            }
        }
    }

    /// Bytes of memory of the session.
    pub fn bytes(&self) -> usize {
        let slots: usize = self.slots.iter().map(|slot| size_of_val(slot.as_slice())).sum();
        slots + self.saved.iter().map(|saved| size_of_val(saved.as_slice())).sum::<usize>()
    }

    fn blob(&self, id: NodeId) -> View<'_, f32> {
        let shape = &self.plan.shapes[id];
        let slot = self.plan.blobs[id].expect("only nodes that are planned for are read");
        View::new(shape, &self.slots[slot][..shape.len()])
    }

    fn forward_node(&mut self, net: &TrainingNet, id: NodeId) {
        let Some(step) = &self.plan.steps[id] else { return };
        let node = net.graph().node(id);
        let slot = self.plan.blobs[id].expect("it is planned for");
        let mut output = mem::take(&mut self.slots[slot]);
        let mut saved = mem::take(&mut self.saved[id]);
        let shape = &self.plan.shapes[id];
        if let (Some(conv), Some(of_shape)) = (net.conv(id), &step.conv) {
            conv::forward(conv, of_shape, self.blob(node.inputs[0]), net.params_of(id).nth(1), &mut output);
        } else {
            let inputs: Few<View<f32>> = node.inputs.iter().map(|&input| self.blob(input)).collect();
            let params: Few<&[f32]> = net.params_of(id).collect();
            node.op.forward(Forward {
                inputs: &inputs,
                params: &params,
                output: ViewMut::new(shape, &mut output[..shape.len()]),
                saved: &mut bytemuck::cast_slice_mut(&mut saved)[..step.keeps.saved_bytes],
                run: Run { node: id as u64, ..self.run },
            });
        }
        self.slots[slot] = output;
        self.saved[id] = saved;
    }

    fn backward_node(&mut self, net: &mut TrainingNet, id: NodeId) {
        let Some(step) = self.plan.steps[id].as_ref().filter(|step| step.backward) else { return };
        let workspace = step.conv.as_ref().and_then(|conv| Some(conv.gradient.as_ref()?.1));
        let slot_of = |(kind, &input): (&InputGradient, &NodeId)| match *kind {
            InputGradient::NotNeeded => None,
            InputGradient::Again(slot) => Some(slot),
            InputGradient::First | InputGradient::Further => self.plan.d_blobs[input],
        };
        let slots: Few<Option<SlotId>> = step.d_inputs.iter().zip(&step.inputs).map(slot_of).collect();
        let mut d_inputs: Few<Vec<f32>> = slots.iter().map(|slot| self.take(*slot)).collect();
        let mut scratch = self.take(workspace);
        let mut d_params: Few<Vec<f32>> =
            (0..net.graph().node(id).params.len()).map(|place| net.take_gradient(id, place)).collect();
        if let Some(step) = &self.plan.steps[id] {
            match (net.conv(id), &step.conv) {
                (Some(conv), Some(of_shape)) => {
                    self.backward_conv(conv, of_shape, step, &mut d_inputs[0], &mut d_params, &mut scratch);
                }
                _ => self.backward_op(net, step, &mut d_inputs, &mut d_params),
            }
        }
        for (place, gradient) in d_params.into_iter().enumerate() {
            net.give_gradient(id, place, gradient);
        }
        for (slot, memory) in slots.iter().zip(d_inputs).chain([(&workspace, scratch)]) {
            if let Some(slot) = *slot {
                self.slots[slot] = memory;
            }
        }
        self.add_repeated(id);
    }

    /// The memory of a slot, to be put back; nothing for none.
    fn take(&mut self, slot: Option<SlotId>) -> Vec<f32> {
        slot.map(|slot| mem::take(&mut self.slots[slot])).unwrap_or_default()
    }

    /// The gradient that has come to a node's output.
    fn d_blob(&self, id: NodeId) -> View<'_, f32> {
        let shape = &self.plan.shapes[id];
        let slot = self.plan.d_blobs[id].expect("a step with a way back has a gradient");
        View::new(shape, &self.slots[slot][..shape.len()])
    }

    fn backward_conv(
        &self,
        conv: &PackedConv,
        of_shape: &ConvStep,
        step: &Step,
        d_input: &mut [f32],
        d_params: &mut [Vec<f32>],
        scratch: &mut [f32],
    ) {
        let (input, d_output) = (self.blob(step.inputs[0]), self.d_blob(step.node));
        if step.d_inputs[0] != InputGradient::NotNeeded {
            let adds = step.d_inputs[0] == InputGradient::Further;
            conv::backward(&conv.conv, of_shape, d_output, d_input, adds);
        }
        if let Some((gradient, _)) = &of_shape.gradient {
            let workspace = &mut scratch[..gradient.workspace_floats()];
            gradient.add(input.data, d_output.data, workspace, &mut d_params[0]);
        }
        if let Some(d_bias) = d_params.get_mut(1).filter(|d_bias| !d_bias.is_empty()) {
            add_bias_gradient(d_output.data, d_bias);
        }
    }

    /// The backward pass of an op by its general kernel.
    fn backward_op(&self, net: &TrainingNet, step: &Step, d_inputs: &mut [Vec<f32>], d_params: &mut [Vec<f32>]) {
        let id = step.node;
        let node = net.graph().node(id);
        let keeps_inputs = step.keeps.inputs || net.learns_at(id);
        let kept = |&input: &NodeId| View {
            shape: &self.plan.shapes[input],
            data: if keeps_inputs { self.blob(input).data } else { &[] },
        };
        let inputs: Few<View<f32>> = node.inputs.iter().map(kept).collect();
        let params: Few<&[f32]> = net.params_of(id).collect();
        let (mut few_inputs, mut few_params) = ([const { None }; FEW], [const { None }; FEW]);
        let (mut many_inputs, mut many_params) = (Vec::new(), Vec::new());
        let of_inputs = nones(node.inputs.len(), &mut few_inputs, &mut many_inputs);
        for (place, d_input) in d_inputs.iter_mut().enumerate() {
            let len = self.plan.shapes[node.inputs[place]].len();
            of_inputs[place] = match step.d_inputs[place] {
                InputGradient::NotNeeded => None,
                InputGradient::Further => Some(&mut d_input[..len]),
                InputGradient::First | InputGradient::Again(_) => {
                    d_input[..len].fill(0.0);
                    Some(&mut d_input[..len])
                }
            };
        }
        let of_params = nones(node.params.len(), &mut few_params, &mut many_params);
        for (place, d_param) in d_params.iter_mut().enumerate() {
            of_params[place] = net.learns(id, place).then_some(d_param.as_mut_slice());
        }
        node.op.backward(Backward {
            inputs: &inputs,
            params: &params,
            output: View {
                shape: &self.plan.shapes[id],
                data: if step.keeps.output { self.blob(id).data } else { &[] },
            },
            saved: &bytemuck::cast_slice(&self.saved[id])[..step.keeps.saved_bytes],
            d_output: self.d_blob(id).data,
            d_inputs: of_inputs,
            d_params: of_params,
            run: Run { node: id as u64, ..self.run },
        });
    }

    /// Adds the gradients of inputs that a node takes more than once.
    fn add_repeated(&mut self, id: NodeId) {
        let Some(step) = &self.plan.steps[id] else { return };
        for (kind, &input) in step.d_inputs.iter().zip(&step.inputs) {
            if let (InputGradient::Again(slot), Some(sum)) = (*kind, self.plan.d_blobs[input]) {
                let len = self.plan.shapes[input].len();
                let [sum, term] = self.slots.get_disjoint_mut([sum, slot]).expect("they live together");
                sum[..len].iter_mut().zip(&term[..len]).for_each(|(sum, term)| *sum += term);
            }
        }
    }
}

/// `count` nones, in `few` if they fit.
fn nones<'s, T>(count: usize, few: &'s mut [Option<T>; FEW], many: &'s mut Vec<Option<T>>) -> &'s mut [Option<T>] {
    if count <= FEW {
        return &mut few[..count];
    }
    many.resize_with(count, || None);
    many
}

#[cfg(test)]
mod tests;

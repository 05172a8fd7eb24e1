//! Convolutions of whole blobs by the fast kernels.

use super::net::PackedConv;
use super::plan::ConvStep;
use crate::base::tensor::{Shape, View};
use crate::nn::ops::conv::frozen::FrozenConv;
use crate::nn::ops::maps::{Finish, Source, Target};

fn maps(shape: &Shape) -> [usize; 4] {
    shape.as_maps().expect("a convolution's maps")
}

fn source(view: View<'_, f32>) -> Source {
    let [batch, channels, height, width] = maps(view.shape);
    Source { data: view.data.as_ptr(), batch, height, width, pixel_stride: channels }
}

fn target(shape: &Shape, data: &mut [f32], finish: Finish) -> Target {
    let [_, channels, height, width] = maps(shape);
    Target { data: data[..shape.len()].as_mut_ptr(), height, width, pixel_stride: channels, finish }
}

/// output = convolution of the input + bias.
pub fn forward(
    PackedConv { conv, few, .. }: &PackedConv,
    step: &ConvStep,
    input: View<'_, f32>,
    bias: Option<&[f32]>,
    shape: &Shape,
    output: &mut [f32],
) {
    let bias = bias.unwrap_or(conv.bias());
    if let Some(few) = few {
        return few.forward(&step.geometry, input.data, bias, &mut output[..shape.len()]);
    }
    let target = target(shape, output, Finish { bias: bias.as_ptr(), ..Finish::NONE });
    // SAFETY: blobs are whole maps of the shapes that the lattices were made for; the two are different memory.
    unsafe { conv.forward(&step.lattices, source(input), target) }
}

/// The gradient of the input, on top of what is there if it `adds`.
pub fn backward(
    conv: &FrozenConv,
    step: &ConvStep,
    d_output: View<'_, f32>,
    shape: &Shape,
    d_input: &mut [f32],
    adds: bool,
) {
    let [_, channels, ..] = maps(shape);
    let mut target = target(shape, d_input, Finish::NONE);
    if adds {
        (target.finish.add, target.finish.add_stride) = (target.data, channels);
    }
    // SAFETY: as above.
    unsafe { conv.backward(&step.lattices, source(d_output), target) }
}

//! Convolutions of whole blobs by the fast kernels.

use super::net::PackedConv;
use super::plan::ConvStep;
use crate::base::tensor::View;
use crate::nn::ops::conv::frozen::FrozenConv;
use crate::nn::ops::conv::general::Geometry;
use crate::nn::ops::maps::{Finish, Source, Target};

/// The maps of a convolution's input, or of its gradient.
fn source(data: &[f32], channels: usize, batch: usize, [height, width]: [usize; 2]) -> Source {
    assert_eq!(data.len(), batch * height * width * channels);
    Source { data: data.as_ptr(), batch, height, width, pixel_stride: channels }
}

fn target(data: &mut [f32], channels: usize, batch: usize, [height, width]: [usize; 2], finish: Finish) -> Target {
    let data = data[..batch * height * width * channels].as_mut_ptr();
    Target { data, height, width, pixel_stride: channels, finish }
}

/// output = convolution of the input + bias.
pub fn forward(
    PackedConv { conv, few, .. }: &PackedConv,
    ConvStep { geometry, lattices, .. }: &ConvStep,
    input: View<'_, f32>,
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    let Geometry { batch, rows, columns, in_channels, out_channels, .. } = geometry;
    let bias = bias.unwrap_or(conv.bias());
    let size = [rows.output, columns.output];
    if let Some(few) = few {
        return few.forward(geometry, input.data, bias, &mut output[..batch * size[0] * size[1] * out_channels]);
    }
    let target = target(output, *out_channels, *batch, size, Finish { bias: bias.as_ptr(), ..Finish::NONE });
    let source = source(input.data, *in_channels, *batch, [rows.input, columns.input]);
    // SAFETY: blobs are whole maps of the geometry that the lattices were made for; the two are different memory.
    unsafe { conv.forward(lattices, source, target) }
}

/// The gradient of the input, on top of what is there if it `adds`.
pub fn backward(
    conv: &FrozenConv,
    ConvStep { geometry, lattices, .. }: &ConvStep,
    d_output: View<'_, f32>,
    d_input: &mut [f32],
    adds: bool,
) {
    let Geometry { batch, rows, columns, in_channels, out_channels, .. } = geometry;
    let source = source(d_output.data, *out_channels, *batch, [rows.output, columns.output]);
    let mut target = target(d_input, *in_channels, *batch, [rows.input, columns.input], Finish::NONE);
    if adds {
        (target.finish.add, target.finish.add_stride) = (target.data, *in_channels);
    }
    // SAFETY: as above.
    unsafe { conv.backward(lattices, source, target) }
}

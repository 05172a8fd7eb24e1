//! Convolution: a window of weights slides over the input (Dumoulin 2016).

mod blocks;
pub mod depthwise;
#[cfg(test)]
mod fast_tests;
pub(in crate::nn) mod few_channels;
pub mod frozen;
pub mod indirect;
pub mod lattice;
pub mod packed;
mod padded;
pub mod tile;
pub(in crate::nn) mod weight_gradient;
pub mod winograd;

use serde::{Deserialize, Serialize};

use super::lanes::add_channel_sums;
use super::window::{Rounding, Window};
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator, expect_inputs, expect_maps, expect_param};
use crate::base::tensor::{Scalar, Shape};

mod depthwise_general;
pub(in crate::nn) mod general;

use general::{Geometry, Onto};

/// Parameters: `weight` \[out, in / groups, kernel height, kernel width\] and, optionally, `bias` \[out\].
///
/// Output `[batch, out, height, width]` with the sizes of the window; pixels outside the input count as nought. Group
/// `g` of the outputs sees group `g` of the inputs only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv2d {
    #[serde(flatten)]
    pub window: Window,
    #[serde(default = "one")]
    pub groups: usize,
}

fn one() -> usize {
    1
}

/// Checks the parameters of a convolution: a weight whose first axis has `rows` channels, or any positive number where
/// `rows` is `None`, and whose second has `columns`; returns the former.
pub(super) fn expect_weight(
    params: &[&[usize]],
    rows: Option<usize>,
    columns: usize,
    kernel: [usize; 2],
) -> Result<usize, OpError> {
    if !(1..=2).contains(&params.len()) {
        return Err(OpError::Params { expected: "a weight and optionally a bias", got: params.len() });
    }
    let rows = rows.or(params[0].first().copied().filter(|&rows| rows > 0)).unwrap_or(1);
    expect_param("weight", &[rows, columns, kernel[0], kernel[1]], params[0])?;
    Ok(rows)
}

/// Checks that groups divide channels.
pub(super) fn expect_groups(groups: usize, what: &str, channels: usize) -> Result<(), OpError> {
    if groups > 0 && channels.is_multiple_of(groups) {
        return Ok(());
    }
    let reason = format!("{groups} groups do not divide {channels} {what} channels");
    Err(OpError::Attribute { name: "groups", reason })
}

/// Convolutions never count a partial window.
pub(super) fn expect_floor(window: &Window) -> Result<(), OpError> {
    match window.rounding {
        Rounding::Floor => Ok(()),
        Rounding::Ceil => {
            let reason = "a convolution's output size is always rounded down".into();
            Err(OpError::Attribute { name: "rounding", reason })
        }
    }
}

impl Conv2d {
    fn geometry(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Geometry, OpError> {
        let [input] = expect_inputs(inputs, "1 input")?;
        let [batch, in_channels, height, width] = expect_maps(input)?;
        expect_floor(&self.window)?;
        let [rows, columns] = self.window.resolve([height, width])?;
        expect_groups(self.groups, "input", in_channels)?;
        let out_channels = expect_weight(params, None, in_channels / self.groups, self.window.kernel)?;
        expect_groups(self.groups, "output", out_channels)?;
        if let Some(bias) = params.get(1) {
            expect_param("bias", &[out_channels], bias)?;
        }
        Ok(Geometry { batch, rows, columns, in_channels, out_channels, groups: self.groups })
    }

    /// The geometry of a call that has passed [`Operator::output_shape`].
    pub(in crate::nn) fn geometry_of(&self, input: &Shape, output: &Shape) -> Geometry {
        let [batch, in_channels, height, width] = input.as_maps().expect("output_shape has checked the input");
        let [rows, columns] = self.window.resolve([height, width]).expect("output_shape has checked the window");
        Geometry { batch, rows, columns, in_channels, out_channels: output.dims()[1], groups: self.groups }
    }
}

impl Operator for Conv2d {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let Geometry { batch, rows, columns, out_channels, .. } = self.geometry(inputs, params)?;
        Shape::new(&[batch, out_channels, rows.output, columns.output]).ok_or(OpError::TooLarge)
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::NOTHING
    }
}

impl<F: Scalar> Kernel<F> for Conv2d {
    fn forward(&self, args: Forward<'_, F>) {
        let geometry = self.geometry_of(args.inputs[0].shape, args.output.shape);
        let onto = args.params.get(1).map_or(Onto::Nought, |bias| Onto::Bias(bias));
        let (input, weight, output) = (args.inputs[0].data, args.params[0], args.output.data);
        if geometry.is_depthwise() {
            geometry.convolve_depthwise(input, weight, onto, output);
        } else {
            geometry.convolve(input, weight, onto, output);
        }
    }

    fn backward(&self, args: Backward<'_, F>) {
        let geometry = self.geometry_of(args.inputs[0].shape, args.output.shape);
        let (input, weight, d_output) = (args.inputs[0].data, args.params[0], args.d_output);
        if let Some(d_input) = &mut args.d_inputs[0] {
            if geometry.is_depthwise() {
                geometry.adjoint_depthwise(d_output, weight, Onto::Sum, d_input);
            } else {
                geometry.adjoint(d_output, weight, Onto::Sum, d_input);
            }
        }
        if let Some(d_weight) = &mut args.d_params[0] {
            if geometry.is_depthwise() {
                geometry.add_weight_gradient_depthwise(input, d_output, d_weight);
            } else {
                geometry.add_weight_gradient(input, d_output, d_weight);
            }
        }
        if let Some(Some(d_bias)) = args.d_params.get_mut(1) {
            add_bias_gradient(d_output, d_bias);
        }
    }
}

/// Adds the sums of a gradient over all pixels, channel by channel.
pub(in crate::nn) fn add_bias_gradient<F: Scalar>(d_output: &[F], d_bias: &mut [F]) {
    add_channel_sums(d_output.len() / d_bias.len(), d_bias, |sums, _, at| {
        for (sum, gradient) in sums.iter_mut().zip(&d_output[at..]) {
            *sum += *gradient;
        }
    });
}

#[cfg(test)]
mod tests;

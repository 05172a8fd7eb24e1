//! Transposed convolution ("deconvolution"): the adjoint of a convolution.

use serde::{Deserialize, Serialize};

use super::conv::general::{Geometry, Onto};
use super::conv::{add_bias_gradient, expect_floor, expect_groups, expect_weight};
use super::window::{Axis, Padding, Window};
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator, expect_inputs, expect_maps, expect_param};
use crate::base::tensor::{Scalar, Shape};

/// Parameters: `weight` \[in, out / groups, kernel height, kernel width\] and, optionally, `bias` \[out\].
///
/// Output sizes are `(input − 1) · stride + extent of the kernel − padding + output_padding`, or `input · stride` with
/// SAME padding (TensorFlow).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConvTranspose2d {
    /// The window of the convolution whose adjoint this is: its stride widens, its padding crops.
    #[serde(flatten)]
    pub window: Window,
    #[serde(default = "one")]
    pub groups: usize,
    /// Pixels added below and to the right of the output. As in PyTorch, less than the stride or the dilation.
    #[serde(default)]
    pub output_padding: [usize; 2],
}

fn one() -> usize {
    1
}

impl ConvTranspose2d {
    /// The convolution from this op's output back to its input.
    fn geometry(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Geometry, OpError> {
        let [input] = expect_inputs(inputs, "1 input")?;
        let [_, channels, ..] = expect_maps(input)?;
        expect_floor(&self.window)?;
        expect_groups(self.groups, "input", channels)?;
        let group_out = params.first().and_then(|weight| weight.get(1)).copied().filter(|&out| out > 0).unwrap_or(1);
        expect_weight(params, Some(channels), group_out, self.window.kernel)?;
        let out_channels = group_out.checked_mul(self.groups).ok_or(OpError::TooLarge)?;
        if let Some(bias) = params.get(1) {
            expect_param("bias", &[out_channels], bias)?;
        }
        self.geometry_to(input, out_channels)
    }

    fn geometry_to(&self, input: &Shape, out_channels: usize) -> Result<Geometry, OpError> {
        let [batch, channels, height, width] = expect_maps(input)?;
        let (rows, columns) = (self.axis(0, height)?, self.axis(1, width)?);
        // Seen from the convolution, this op's output is the input.
        Ok(Geometry { batch, rows, columns, in_channels: out_channels, out_channels: channels, groups: self.groups })
    }

    /// One axis of the convolution: its output is this op's input of `input` pixels.
    fn axis(&self, axis: usize, input: usize) -> Result<Axis, OpError> {
        // Checks the attributes, which must not depend on the size.
        let unit = Window { padding: Padding::NONE, ..self.window };
        let [kernel, stride, dilation] = [unit.kernel[axis], unit.stride[axis], unit.dilation[axis]];
        let extent = (kernel.saturating_sub(1)).saturating_mul(dilation).saturating_add(1);
        unit.resolve([usize::MAX >> 2; 2])?;
        let added = self.output_padding[axis];
        if added > 0 && added >= stride.max(dilation) {
            let reason = format!("{added} is not less than the stride or the dilation");
            return Err(OpError::Attribute { name: "output_padding", reason });
        }
        let full =
            (input - 1).checked_mul(stride).and_then(|full| full.checked_add(extent)).ok_or(OpError::TooLarge)?;
        let (pad_before, pad_after) = match self.window.padding {
            Padding::Explicit { top, left, bottom, right } => [(top, bottom), (left, right)][axis],
            Padding::SameUpper | Padding::SameLower if added > 0 => {
                let reason = "SAME padding fixes the output's size".into();
                return Err(OpError::Attribute { name: "output_padding", reason });
            }
            // SAME padding of an output of input · stride pixels; a kernel shorter than the stride pads nothing.
            same => {
                let total = extent.saturating_sub(stride);
                let (less, more) = (total / 2, total - total / 2);
                if same == Padding::SameUpper { (less, more) } else { (more, less) }
            }
        };
        let shortfall = match self.window.padding {
            Padding::Explicit { .. } => added,
            _ => stride.saturating_sub(extent),
        };
        let padding = pad_before.saturating_add(pad_after);
        let output = match full.saturating_add(shortfall).checked_sub(padding) {
            Some(output) if output > 0 => output,
            _ => return Err(OpError::WindowTooLarge { window: padding, padded: full }),
        };
        Ok(Axis { input: output, output: input, kernel, stride, dilation, pad_before, pad_after })
    }

    /// The geometry of a call that has passed [`Operator::output_shape`].
    fn geometry_of(&self, input: &Shape, output: &Shape) -> Geometry {
        self.geometry_to(input, output.dims()[1]).expect("output_shape has checked the geometry")
    }
}

impl Operator for ConvTranspose2d {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let Geometry { batch, rows, columns, in_channels, .. } = self.geometry(inputs, params)?;
        Shape::new(&[batch, in_channels, rows.input, columns.input]).ok_or(OpError::TooLarge)
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::NOTHING
    }
}

impl<F: Scalar> Kernel<F> for ConvTranspose2d {
    fn forward(&self, args: Forward<'_, F>) {
        let geometry = self.geometry_of(args.inputs[0].shape, args.output.shape);
        let onto = args.params.get(1).map_or(Onto::Nought, |bias| Onto::Bias(bias));
        let (input, weight, output) = (args.inputs[0].data, args.params[0], args.output.data);
        if geometry.is_depthwise() {
            geometry.adjoint_depthwise(input, weight, onto, output);
        } else {
            geometry.adjoint(input, weight, onto, output);
        }
    }

    fn backward(&self, args: Backward<'_, F>) {
        let geometry = self.geometry_of(args.inputs[0].shape, args.output.shape);
        let (input, weight, d_output) = (args.inputs[0].data, args.params[0], args.d_output);
        if let Some(d_input) = &mut args.d_inputs[0] {
            if geometry.is_depthwise() {
                geometry.convolve_depthwise(d_output, weight, Onto::Sum, d_input);
            } else {
                geometry.convolve(d_output, weight, Onto::Sum, d_input);
            }
        }
        if let Some(d_weight) = &mut args.d_params[0] {
            if geometry.is_depthwise() {
                geometry.add_weight_gradient_depthwise(d_output, input, d_weight);
            } else {
                geometry.add_weight_gradient(d_output, input, d_weight);
            }
        }
        if let Some(Some(d_bias)) = args.d_params.get_mut(1) {
            add_bias_gradient(d_output, d_bias);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::Run;
    use crate::nn::ops::check::{Tensor, assert_close, check_literals, gradient_check, output_shape, run_forward};

    struct Case {
        name: &'static str,
        op: ConvTranspose2d,
        channels: [usize; 2],
    }

    fn cases() -> Vec<Case> {
        let case = |name, window, groups, output_padding, channels| {
            let op = ConvTranspose2d { window, groups, output_padding };
            Case { name, op, channels }
        };
        let asymmetric = Padding::Explicit { top: 1, left: 0, bottom: 2, right: 1 };
        let dilated = Window { dilation: [2, 3], ..Window::square(3, 2) };
        vec![
            case("1×1", Window::square(1, 1), 1, [0, 0], [3, 2]),
            case("2×2 stride 2", Window::square(2, 2), 1, [0, 0], [3, 2]),
            case("3×3 stride 2", Window::square(3, 2).padded(Padding::all(1)), 1, [1, 0], [2, 3]),
            case("4×4 stride 2 asymmetric", Window::square(4, 2).padded(asymmetric), 1, [0, 1], [2, 3]),
            case("dilated", dilated.padded(Padding::all(1)), 1, [1, 2], [2, 2]),
            case("stride past the kernel", Window::square(2, 3), 1, [0, 2], [2, 2]),
            case("same", Window::square(3, 2).padded(Padding::SameUpper), 1, [0, 0], [2, 2]),
            case("same, stride past the kernel", Window::square(2, 3).padded(Padding::SameLower), 1, [0, 0], [2, 2]),
            case("groups", Window::square(3, 2), 2, [0, 0], [4, 6]),
            case("depthwise", Window::square(4, 2).padded(Padding::all(1)), 3, [0, 0], [3, 3]),
        ]
    }

    impl Case {
        fn tensors(&self) -> (Tensor<f64>, [Tensor<f64>; 2]) {
            let ([channels, out_channels], [kh, kw]) = (self.channels, self.op.window.kernel);
            let weight = Tensor::random(&[channels, out_channels / self.op.groups, kh, kw], 2);
            (Tensor::random(&[2, channels, 4, 3], 1), [weight, Tensor::random(&[out_channels], 3)])
        }
    }

    /// By the definition: every input pixel is stamped into the output through the kernel.
    fn naive(op: &ConvTranspose2d, input: &Tensor<f64>, weight: &Tensor<f64>, bias: &[f64], shape: &Shape) -> Vec<f64> {
        let [batch, channels, height, width] = input.maps();
        let [_, group_out, kernel_height, kernel_width] = weight.maps();
        let [_, out_channels, out_height, out_width] = shape.as_maps().unwrap();
        let (rows, columns) = (op.axis(0, height).unwrap(), op.axis(1, width).unwrap());
        let mut output: Vec<f64> = (0..shape.len()).map(|i| bias[i % out_channels]).collect();
        for n in 0..batch {
            for i in 0..channels {
                for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                    for (ky, kx) in (0..kernel_height).flat_map(|ky| (0..kernel_width).map(move |kx| (ky, kx))) {
                        let oy = (y * rows.stride + ky * rows.dilation).wrapping_sub(rows.pad_before);
                        let ox = (x * columns.stride + kx * columns.dilation).wrapping_sub(columns.pad_before);
                        if oy >= out_height || ox >= out_width {
                            continue;
                        }
                        for j in 0..group_out {
                            let o = i / (channels / op.groups) * group_out + j;
                            let weight = weight.data[((i * group_out + j) * kernel_height + ky) * kernel_width + kx];
                            output[((n * out_height + oy) * out_width + ox) * out_channels + o] +=
                                weight * input.at(n, i, y, x);
                        }
                    }
                }
            }
        }
        output
    }

    #[test]
    fn all_kinds_agree_with_the_definition() {
        for case in cases() {
            let (input, params) = case.tensors();
            let shape = output_shape(&case.op, std::slice::from_ref(&input), &params).expect(case.name);
            let expected = naive(&case.op, &input, &params[0], &params[1].data, &shape);
            let got = run_forward(&case.op, &[input], &params, Run::default());
            assert_close(case.name, &got.output.data, &expected, 1e-12, 1e-12);
        }
    }

    #[test]
    fn gradients() {
        for case in cases() {
            let (input, params) = case.tensors();
            gradient_check(&case.op, &[input], &params, Run::default());
        }
    }

    #[test]
    fn literals() {
        check_literals("spatial.safetensors", "conv_transpose2d");
    }

    #[test]
    fn same_padding_multiplies_sizes_by_the_stride() {
        for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (4, 2, 2), (5, 3, 2), (1, 2, 0), (3, 1, 2)] {
            for same in [Padding::SameUpper, Padding::SameLower] {
                let window = Window::square(kernel, stride).padded(same);
                let op = ConvTranspose2d { window, groups: 1, output_padding: [0, 0] };
                let axis = op.axis(0, 7).unwrap();
                // The convolution that it is the adjoint of, resolved on its own.
                let [expected, _] = window.resolve([7 * stride; 2]).unwrap();
                assert_eq!((axis.input, axis.output, axis.pad_before), (expected.input, 7, expected.pad_before));
                assert_eq!(axis.pad_before + axis.pad_after, padding, "{kernel} {stride}");
            }
        }
    }

    #[test]
    fn wrong_attributes_are_refused() {
        let maps = Shape::maps(1, 4, 6, 6);
        let shape = |groups, window, output_padding, params: &[&[usize]]| {
            ConvTranspose2d { window, groups, output_padding }.output_shape(&[&maps], params)
        };
        let plain = Window::square(3, 2);
        assert_eq!(shape(1, plain, [1, 0], &[&[4, 8, 3, 3], &[8]]), Ok(Shape::maps(1, 8, 14, 13)));
        assert_eq!(shape(2, plain, [0, 0], &[&[4, 3, 3, 3], &[6]]), Ok(Shape::maps(1, 6, 13, 13)));
        assert!(matches!(
            shape(1, plain, [2, 0], &[&[4, 8, 3, 3]]),
            Err(OpError::Attribute { name: "output_padding", .. })
        ));
        assert!(matches!(shape(3, plain, [0, 0], &[&[4, 8, 3, 3]]), Err(OpError::Attribute { name: "groups", .. })));
        assert!(matches!(shape(1, plain, [0, 0], &[&[8, 4, 3, 3]]), Err(OpError::ParamShape { name: "weight", .. })));
        assert!(matches!(shape(1, plain, [0, 0], &[&[4, 0, 3, 3]]), Err(OpError::ParamShape { name: "weight", .. })));
        assert!(matches!(
            shape(1, plain, [0, 0], &[&[4, 8, 3, 3], &[4]]),
            Err(OpError::ParamShape { name: "bias", .. })
        ));
        assert!(matches!(shape(1, plain, [0, 0], &[]), Err(OpError::Params { .. })));
        assert!(matches!(
            shape(1, Window::square(3, 0), [0, 0], &[&[4, 8, 3, 3]]),
            Err(OpError::Attribute { name: "stride", .. })
        ));
        let cropped = plain.padded(Padding::all(7));
        assert!(matches!(shape(1, cropped, [0, 0], &[&[4, 8, 3, 3]]), Err(OpError::WindowTooLarge { .. })));
        let huge = Window::square(3, 1 << 20).padded(Padding::all(usize::MAX / 2));
        assert!(shape(1, huge, [0, 0], &[&[4, 8, 3, 3]]).is_err());
        let same = plain.padded(Padding::SameUpper);
        assert!(matches!(
            shape(1, same, [1, 0], &[&[4, 8, 3, 3]]),
            Err(OpError::Attribute { name: "output_padding", .. })
        ));
        assert!(shape(usize::MAX, plain, [0, 0], &[]).is_err());
    }
}

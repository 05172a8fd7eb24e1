//! The fully connected layer.

use serde::{Deserialize, Serialize};

use super::conv::general::Onto;
use super::conv::{Conv2d, add_bias_gradient};
use super::lanes::dot;
use super::window::Window;
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator, expect_inputs, expect_param};
use crate::base::blas::{Op, gemm_by_columns, gemm_of_columns};
use crate::base::parallel;
use crate::base::tensor::{Scalar, Shape};

/// Input \[batch, in\] (or maps of 1×1 pixels); parameters: `weight` \[out, in\] and, optionally, `bias` \[out\].
/// Output \[batch, out\] = input · weightᵀ + bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linear {}

impl Linear {
    /// The convolution that a fully connected layer is, of the same weight.
    pub const CONVOLUTION: Conv2d = Conv2d { window: Window::square(1, 1), groups: 1 };
}

/// Rows of the weight that one task handles.
const TASK_OUTPUTS: usize = 64;
/// Inputs whose gradient one task computes for a single image.
const TASK_INPUTS: usize = 2048;

impl Operator for Linear {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let [input] = expect_inputs(inputs, "1 input")?;
        let (batch, channels) = match input.as_maps() {
            Some([batch, channels, 1, 1]) if batch > 0 && channels > 0 => (batch, channels),
            _ => {
                let needed = "batch × channels (flatten maps first)".into();
                return Err(OpError::InputShape { needed, got: (*input).clone() });
            }
        };
        if !(1..=2).contains(&params.len()) {
            return Err(OpError::Params { expected: "a weight and optionally a bias", got: params.len() });
        }
        let outputs = params[0].first().copied().filter(|&outputs| outputs > 0).unwrap_or(1);
        expect_param("weight", &[outputs, channels], params[0])?;
        if let Some(bias) = params.get(1) {
            expect_param("bias", &[outputs], bias)?;
        }
        Shape::new(&[batch, outputs]).ok_or(OpError::TooLarge)
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::NOTHING
    }
}

impl<F: Scalar> Kernel<F> for Linear {
    fn forward(&self, args: Forward<'_, F>) {
        let [batch, channels, ..] = args.inputs[0].shape.as_maps().expect("output_shape has checked the input");
        let outputs = args.output.shape.dims()[1];
        let (input, weight, output) = (args.inputs[0].data, args.params[0], args.output.data);
        args.params.get(1).map_or(Onto::Nought, |bias| Onto::Bias(bias)).prepare(output);
        if batch == 1 {
            return parallel::for_each_chunk_mut(output, TASK_OUTPUTS, |task, output| {
                let weight = weight[task * TASK_OUTPUTS * channels..].chunks_exact(channels);
                output.iter_mut().zip(weight).for_each(|(sum, row)| *sum += dot(row, input));
            });
        }
        // output [batch × out] += input [batch × in] · weight [out × in]ᵀ
        let dims = [batch, outputs, channels];
        gemm_by_columns(dims, F::one(), (input, Op::Plain), (weight, Op::Transposed), F::one(), output);
    }

    fn backward(&self, args: Backward<'_, F>) {
        let [batch, channels, ..] = args.inputs[0].shape.as_maps().expect("output_shape has checked the input");
        let outputs = args.output.shape.dims()[1];
        let (input, weight, d_output) = (args.inputs[0].data, args.params[0], args.d_output);
        if let Some(d_input) = &mut args.d_inputs[0] {
            add_input_gradient([batch, channels, outputs], weight, d_output, d_input);
        }
        if let Some(d_weight) = &mut args.d_params[0] {
            parallel::for_each_chunk_mut(d_weight, TASK_OUTPUTS * channels, |task, d_weight| {
                let (first, rows) = (task * TASK_OUTPUTS, d_weight.len() / channels);
                // d_weight [rows × in] += d_output [batch × rows]ᵀ · input [batch × in]
                let of_rows = (&d_output[first..], outputs, Op::Transposed);
                let dims = [rows, channels, batch];
                gemm_of_columns(dims, F::one(), of_rows, (input, channels, Op::Plain), F::one(), d_weight);
            });
        }
        if let Some(Some(d_bias)) = args.d_params.get_mut(1) {
            add_bias_gradient(d_output, d_bias);
        }
    }
}

fn add_input_gradient<F: Scalar>(
    [batch, channels, outputs]: [usize; 3],
    weight: &[F],
    d_output: &[F],
    d_input: &mut [F],
) {
    if batch == 1 {
        return parallel::for_each_chunk_mut(d_input, TASK_INPUTS, |task, d_input| {
            for (row, gradient) in weight.chunks_exact(channels).zip(d_output) {
                for (sum, weight) in d_input.iter_mut().zip(&row[task * TASK_INPUTS..]) {
                    *sum += *weight * *gradient;
                }
            }
        });
    }
    // d_input [batch × in] += d_output [batch × out] · weight [out × in]
    let dims = [batch, channels, outputs];
    gemm_by_columns(dims, F::one(), (d_output, Op::Plain), (weight, Op::Plain), F::one(), d_input);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::Run;
    use crate::nn::ops::check::{Tensor, assert_close, check_literals, gradient_check, run_forward};

    #[test]
    fn one_image_and_many_agree_with_the_definition() {
        for (batch, channels, outputs) in [(1, 5, 3), (1, 37, 70), (2, 4, 65), (35, 6, 4)] {
            let input = Tensor::<f64>::random(&[batch, channels], 1);
            let params = [Tensor::random(&[outputs, channels], 2), Tensor::random(&[outputs], 3)];
            let expected: Vec<f64> = (0..batch * outputs)
                .map(|i| {
                    let (n, o) = (i / outputs, i % outputs);
                    let terms = (0..channels).map(|c| input.data[n * channels + c] * params[0].data[o * channels + c]);
                    params[1].data[o] + terms.sum::<f64>()
                })
                .collect();
            let got = run_forward(&Linear {}, &[input], &params, Run::default());
            assert_close(&format!("{batch}×{channels}"), &got.output.data, &expected, 1e-12, 1e-12);
        }
    }

    #[test]
    fn gradients() {
        for (batch, channels, outputs) in [(1, 19, 3), (3, 4, 66), (18, 3, 2)] {
            let input = Tensor::random(&[batch, channels], 1);
            let params = [Tensor::random(&[outputs, channels], 2), Tensor::random(&[outputs], 3)];
            gradient_check(&Linear {}, std::slice::from_ref(&input), &params, Run::default());
            gradient_check(&Linear {}, &[input], &params[..1], Run::default());
        }
        let (input, weight) = (Tensor::random(&[1, TASK_INPUTS + 1], 1), Tensor::random(&[1, TASK_INPUTS + 1], 2));
        gradient_check(&Linear {}, &[input], &[weight], Run::default());
    }

    #[test]
    fn literals() {
        check_literals("spatial.safetensors", "linear");
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let vector = Shape::vector(2, 4);
        let shape = |input: &Shape, params: &[&[usize]]| Linear {}.output_shape(&[input], params);
        assert_eq!(shape(&vector, &[&[3, 4], &[3]]), Ok(Shape::vector(2, 3)));
        assert_eq!(shape(&Shape::maps(2, 4, 1, 1), &[&[3, 4]]), Ok(Shape::vector(2, 3)));
        assert!(matches!(shape(&Shape::maps(2, 1, 2, 2), &[&[3, 4]]), Err(OpError::InputShape { .. })));
        assert!(matches!(shape(&Shape::vector(0, 4), &[&[3, 4]]), Err(OpError::InputShape { .. })));
        assert!(matches!(shape(&vector, &[]), Err(OpError::Params { got: 0, .. })));
        assert!(matches!(shape(&vector, &[&[3, 5]]), Err(OpError::ParamShape { name: "weight", .. })));
        assert!(matches!(shape(&vector, &[&[0, 4]]), Err(OpError::ParamShape { name: "weight", .. })));
        assert!(matches!(shape(&vector, &[&[3, 4], &[4]]), Err(OpError::ParamShape { name: "bias", .. })));
        assert!(matches!(Linear {}.output_shape(&[&vector, &vector], &[]), Err(OpError::Inputs { got: 2, .. })));
    }
}

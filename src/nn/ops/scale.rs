//! A factor and, optionally, an offset for each channel.

use serde::{Deserialize, Serialize};

use super::conv::add_bias_gradient;
use super::lanes::{add_channel_sums, rows_per_task};
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator, expect_inputs, expect_maps, expect_param};
use crate::base::parallel;
use crate::base::tensor::{Scalar, Shape};

/// y = factor · x + bias. Parameters: `factor` \[channels\] and, optionally, `bias` \[channels\].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {}

impl Operator for Scale {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let [input] = expect_inputs(inputs, "1 input")?;
        let [_, channels, ..] = expect_maps(input)?;
        if !(1..=2).contains(&params.len()) {
            return Err(OpError::Params { expected: "a factor and optionally a bias", got: params.len() });
        }
        for (name, param) in ["factor", "bias"].into_iter().zip(params) {
            expect_param(name, &[channels], param)?;
        }
        Ok((*input).clone())
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::NOTHING
    }
}

impl<F: Scalar> Kernel<F> for Scale {
    fn forward(&self, args: Forward<'_, F>) {
        let (input, factor) = (args.inputs[0].data, args.params[0]);
        let channels = factor.len();
        let task_len = rows_per_task(channels) * channels;
        parallel::for_each_chunk_mut(args.output.data, task_len, |task, output| {
            let pixels = input[task * task_len..].chunks_exact(channels);
            for (x, y) in pixels.zip(output.chunks_exact_mut(channels)) {
                y.iter_mut().zip(x).zip(factor).for_each(|((y, x), factor)| *y = *x * *factor);
                if let Some(bias) = args.params.get(1) {
                    y.iter_mut().zip(*bias).for_each(|(y, bias)| *y += *bias);
                }
            }
        });
    }

    fn backward(&self, args: Backward<'_, F>) {
        let (input, factor, d_output) = (args.inputs[0].data, args.params[0], args.d_output);
        let channels = factor.len();
        if let Some(d_input) = &mut args.d_inputs[0] {
            let task_len = rows_per_task(channels) * channels;
            parallel::for_each_chunk_mut(d_input, task_len, |task, d_input| {
                let pixels = d_output[task * task_len..].chunks_exact(channels);
                for (dy, dx) in pixels.zip(d_input.chunks_exact_mut(channels)) {
                    dx.iter_mut().zip(dy).zip(factor).for_each(|((dx, dy), factor)| *dx += *dy * *factor);
                }
            });
        }
        if let Some(d_factor) = &mut args.d_params[0] {
            add_channel_sums(d_output.len() / channels, d_factor, |sums, _, at| {
                let terms = d_output[at..].iter().zip(&input[at..]);
                sums.iter_mut().zip(terms).for_each(|(sum, (dy, x))| *sum += *dy * *x);
            });
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
    use crate::nn::ops::check::{Tensor, assert_close, check_literals, gradient_check, maps_from_fn, run_forward};

    #[test]
    fn it_agrees_with_the_definition() {
        for channels in [1, 3, 33] {
            let input = Tensor::<f64>::random(&[2, channels, 5, 4], 1);
            let params = [Tensor::<f64>::random(&[channels], 2), Tensor::random(&[channels], 3)];
            for bias in [false, true] {
                let expected = maps_from_fn(input.maps(), |n, c, y, x| {
                    params[0].data[c] * input.at(n, c, y, x) + if bias { params[1].data[c] } else { 0.0 }
                });
                let params = &params[..1 + usize::from(bias)];
                let got = run_forward(&Scale {}, std::slice::from_ref(&input), params, Run::default());
                assert_close(&format!("{channels} {bias}"), &got.output.data, &expected.data, 1e-14, 1e-14);
            }
        }
    }

    #[test]
    fn gradients() {
        let input = Tensor::random(&[2, 18, 2, 3], 1);
        let params = [Tensor::random(&[18], 2), Tensor::random(&[18], 3)];
        gradient_check(&Scale {}, std::slice::from_ref(&input), &params, Run::default());
        gradient_check(&Scale {}, &[input], &params[..1], Run::default());
    }

    #[test]
    fn literals() {
        check_literals("spatial.safetensors", "scale");
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let maps = Shape::maps(2, 3, 4, 4);
        assert_eq!(Scale {}.output_shape(&[&maps], &[&[3]]), Ok(maps.clone()));
        assert!(matches!(Scale {}.output_shape(&[&maps], &[]), Err(OpError::Params { got: 0, .. })));
        let result = Scale {}.output_shape(&[&maps], &[&[1]]);
        assert!(matches!(result, Err(OpError::ParamShape { name: "factor", .. })));
        let result = Scale {}.output_shape(&[&maps], &[&[3], &[2]]);
        assert!(matches!(result, Err(OpError::ParamShape { name: "bias", .. })));
    }
}

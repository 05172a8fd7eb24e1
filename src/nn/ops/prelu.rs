//! Parametric ReLU (He 2015).

use serde::{Deserialize, Serialize};

use super::activation::rectify_back;
use super::lanes::{add_channel_sums, rows_per_task};
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator, ReluRule, expect_inputs, expect_maps};
use crate::base::parallel::for_each_chunk_mut;
use crate::base::tensor::{Scalar, Shape};

/// x where positive, else slope · x. The input is maps or a vector.
///
/// Parameter: `slope` \[channels\] or \[1\]. At 0 the gradient is the slope. Under the guided and deconvnet rules the
/// blocked side carries no gradient, as with a leaky ReLU; the slope's own gradient is always the true one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PRelu {}

impl Operator for PRelu {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let [input] = expect_inputs(inputs, "one input")?;
        let [_, channels, ..] = expect_maps(input)?;
        let [slope] = params else { return Err(OpError::Params { expected: "one", got: params.len() }) };
        if *slope != [1] {
            super::expect_param("slope", &[channels], slope)?;
        }
        Ok(input.clone())
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::INPUTS
    }
}

impl<F: Scalar> Kernel<F> for PRelu {
    fn forward(&self, args: Forward<'_, F>) {
        let (input, slopes) = (args.inputs[0].data, args.params[0]);
        let task = rows_per_task(slopes.len()) * slopes.len();
        for_each_chunk_mut(args.output.data, task, |i, output| {
            let input = &input[i * task..];
            if let [slope] = *slopes {
                output.iter_mut().zip(input).for_each(|(y, &x)| *y = leak(x, slope));
                return;
            }
            for (output, input) in output.chunks_exact_mut(slopes.len()).zip(input.chunks_exact(slopes.len())) {
                output.iter_mut().zip(input.iter().zip(slopes)).for_each(|(y, (&x, &slope))| *y = leak(x, slope));
            }
        });
    }

    fn backward(&self, args: Backward<'_, F>) {
        let (input, slopes, d_output) = (args.inputs[0].data, args.params[0], args.d_output);
        if let Some(d_input) = args.d_inputs[0].as_deref_mut() {
            match (args.run.relu_rule, slopes) {
                (ReluRule::Gradient, slopes) if slopes.len() > 1 => slopes_back(input, slopes, d_output, d_input),
                (rule, slopes) => rectify_back(rule, input, d_output, d_input, |x| x > F::zero(), slopes[0]),
            }
        }
        if let Some(d_slopes) = args.d_params[0].as_deref_mut() {
            add_slope_gradients(input, d_output, d_slopes);
        }
    }
}

fn leak<F: Scalar>(x: F, slope: F) -> F {
    if x > F::zero() { x } else { slope * x }
}

fn slopes_back<F: Scalar>(input: &[F], slopes: &[F], d_output: &[F], d_input: &mut [F]) {
    let task = rows_per_task(slopes.len()) * slopes.len();
    for_each_chunk_mut(d_input, task, |i, d_input| {
        let pixels = input[i * task..].chunks_exact(slopes.len()).zip(d_output[i * task..].chunks_exact(slopes.len()));
        for (d_input, (input, d_output)) in d_input.chunks_exact_mut(slopes.len()).zip(pixels) {
            let values = input.iter().zip(d_output).zip(slopes);
            d_input.iter_mut().zip(values).for_each(|(d, ((&x, &g), &slope))| {
                *d += if x > F::zero() { g } else { slope * g };
            });
        }
    });
}

fn add_slope_gradients<F: Scalar>(input: &[F], d_output: &[F], d_slopes: &mut [F]) {
    // One slope sees one channel, whose pixels are all the elements.
    add_channel_sums(input.len() / d_slopes.len(), d_slopes, |sums, _, at| {
        let values = input[at..].iter().zip(&d_output[at..]);
        sums.iter_mut().zip(values).for_each(|(sum, (&x, &g))| *sum += if x > F::zero() { F::zero() } else { x * g });
    });
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::super::Run;
    use super::super::check::{Tensor, assert_close, check_literals, gradient_check, run_backward, run_forward};
    use super::super::layout::testing::{check_large, check_refused};
    use super::*;

    #[test]
    fn as_pytorch() {
        check_literals("elementwise.safetensors", "prelu");
    }

    #[test]
    fn large_maps_as_the_formula() {
        for slopes in [1, 7] {
            let x = Tensor::<f64>::separated(&[2, 7, 40, 40], 3);
            let slope = Tensor::<f64>::random(&[slopes], 4);
            check_large(&PRelu {}, from_ref(&x), from_ref(&slope), |at| {
                let (x, slope) = (x.data[at], slope.data[at % 7 % slopes]);
                x.max(0.0) + slope * x.min(0.0)
            });
        }
    }

    #[test]
    fn gradients() {
        for (dims, slopes) in [(&[2, 3, 3, 2][..], 3), (&[2, 3, 3, 2], 1), (&[3, 5], 5), (&[3, 1, 2, 2], 1)] {
            let slope = Tensor::random(&[slopes], 5);
            gradient_check(&PRelu {}, &[Tensor::separated(dims, 6)], &[slope], Run::default());
        }
    }

    #[test]
    fn rules_stop_the_blocked_side_but_not_the_slopes_gradient() {
        let x = Tensor::new(&[1, 2, 1, 2], vec![-1.0, -2.0, 3.0, 4.0]);
        let slope = Tensor::new(&[2], vec![0.5, 0.25]);
        let d_output = [1.0, -1.0, 1.0, -1.0];
        for (relu_rule, expected) in [
            (ReluRule::Gradient, [0.5, -0.25, 1.0, -1.0]),
            (ReluRule::Guided, [0.0, 0.0, 1.0, 0.0]),
            (ReluRule::Deconvnet, [1.0, 0.0, 1.0, 0.0]),
        ] {
            let run = Run { relu_rule, ..Run::default() };
            let (inputs, params) = ([x.clone()], [slope.clone()]);
            let ran = run_forward(&PRelu {}, &inputs, &params, run);
            let got = run_backward(&PRelu {}, &inputs, &params, &ran, &d_output, run);
            assert_close(&format!("{relu_rule:?}"), &got.inputs[0], &expected, 0.0, 0.0);
            assert_close("slopes", &got.params[0], &[-1.0, 2.0], 0.0, 0.0);
        }
    }

    #[test]
    fn wrong_slopes_are_errors() {
        let shape: &[usize] = &[1, 3, 4, 4];
        check_refused(&[
            (&PRelu {}, &[shape], &[], "has 0 parameters, but takes one"),
            (&PRelu {}, &[shape], &[&[3], &[3]], "has 2 parameters"),
            (&PRelu {}, &[shape], &[&[4]], "parameter `slope` should be [3], but is [4]"),
            (&PRelu {}, &[shape], &[&[3, 1]], "parameter `slope`"),
            (&PRelu {}, &[&[1, 3, 4]], &[&[3]], "needs an input of batch × channels × height × width"),
            (&PRelu {}, &[shape, shape], &[&[3]], "takes one input"),
        ]);
    }
}

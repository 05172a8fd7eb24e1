//! Parametric ReLU (He 2015).

use serde::{Deserialize, Serialize};

use super::activation::rectify_back;
use super::layout::{CHUNK, add_pixel_sums};
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

/// `[pixels, channels]`, the batch being pixels too; as many channels as slopes, so that one slope sees one channel.
fn dims(input: &Shape, slopes: usize) -> [usize; 2] {
    [input.len() / slopes, slopes]
}

impl<F: Scalar> Kernel<F> for PRelu {
    fn forward(&self, args: Forward<'_, F>) {
        let (input, slopes) = (args.inputs[0].data, args.params[0]);
        let task = (CHUNK / slopes.len()).max(1) * slopes.len();
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
            add_slope_gradients(args.inputs[0].shape, input, d_output, d_slopes);
        }
    }
}

fn leak<F: Scalar>(x: F, slope: F) -> F {
    if x > F::zero() { x } else { slope * x }
}

fn slopes_back<F: Scalar>(input: &[F], slopes: &[F], d_output: &[F], d_input: &mut [F]) {
    let task = (CHUNK / slopes.len()).max(1) * slopes.len();
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

fn add_slope_gradients<F: Scalar>(shape: &Shape, input: &[F], d_output: &[F], d_slopes: &mut [F]) {
    let [pixels, channels] = dims(shape, d_slopes.len());
    add_pixel_sums(d_slopes, [channels, pixels], |offset, block| {
        let values = input[offset..].iter().zip(&d_output[offset..]);
        block.iter_mut().zip(values).for_each(|(b, (&x, &g))| *b = if x > F::zero() { F::zero() } else { x * g });
    });
}

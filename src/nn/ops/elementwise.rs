//! Element-wise arithmetic of several inputs.

use serde::{Deserialize, Serialize};

use super::lanes::{LANES, TASK_ELEMENTS, add_channel_sums, rows_per_task};
use super::layout::{expect_elements, expect_finite, expect_no_params};
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::parallel::for_each_chunk_mut;
use crate::base::tensor::{Scalar, Shape, View};

/// Two inputs or more of one shape. Among maps, an input of 1×1 maps (or a vector) with as many channels is spread over
/// height and width. No parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Elementwise {
    Add,
    /// Σ coefficient · input, a coefficient an input.
    WeightedSum {
        coefficients: Vec<f32>,
    },
    /// First minus second.
    Sub,
    Mul,
    /// The gradient goes to the first of equal inputs.
    Max,
}

impl Operator for Elementwise {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        expect_no_params(params)?;
        match self {
            Self::Sub if inputs.len() != 2 => {
                return Err(OpError::Inputs { expected: "two inputs", got: inputs.len() });
            }
            _ if inputs.len() < 2 => {
                return Err(OpError::Inputs { expected: "two inputs or more", got: inputs.len() });
            }
            Self::WeightedSum { coefficients } => {
                if coefficients.len() != inputs.len() {
                    let reason = format!("{} are given for {} inputs", coefficients.len(), inputs.len());
                    return Err(OpError::Attribute { name: "coefficients", reason });
                }
                coefficients.iter().try_for_each(|&value| expect_finite("coefficients", value))?;
            }
            _ => {}
        }
        inputs.iter().try_for_each(|input| expect_elements(input))?;
        common_shape(inputs)
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        match self {
            Self::Add | Self::WeightedSum { .. } | Self::Sub => Keeps::NOTHING,
            Self::Mul | Self::Max => Keeps::INPUTS,
        }
    }
}

fn common_shape(inputs: &[&Shape]) -> Result<Shape, OpError> {
    let largest = inputs.iter().fold(inputs[0], |largest, input| {
        let wider = (input.len(), input.rank()) > (largest.len(), largest.rank());
        if wider { input } else { largest }
    });
    for input in inputs {
        let spreads = match (largest.as_maps(), input.as_maps()) {
            (Some([batch, channels, ..]), Some(dims)) => dims == [batch, channels, 1, 1],
            _ => false,
        };
        if *input != largest && !spreads {
            let needed = format!("{largest}, as the largest one (or 1×1 maps with as many channels)");
            return Err(OpError::InputShape { needed, got: (*input).clone() });
        }
    }
    Ok(largest.clone())
}

/// Elements that are combined at a time: few enough that several operands stay in the first-level cache.
const BLOCK: usize = 1 << 10;

/// How an output is cut so that every operand of a run is one slice: within a pixel if an operand is spread.
struct Runs {
    channels: usize,
    pixels: usize,
    run: usize,
    task: usize,
}

impl Runs {
    fn new<F>(output: &Shape, inputs: &[View<'_, F>]) -> Self {
        let [_, channels, height, width] = output.as_maps().unwrap_or([1, 1, 1, 1]);
        let spread = inputs.iter().any(|input| input.shape.len() != output.len());
        if spread {
            Self { channels, pixels: height * width, run: channels, task: rows_per_task(channels) * channels }
        } else {
            Self { channels, pixels: height * width, run: BLOCK, task: TASK_ELEMENTS }
        }
    }

    /// Runs `body(offset, run)` in parallel over all of `data`, which lies as the output.
    fn for_each<F: Scalar>(&self, data: &mut [F], body: impl Fn(usize, &mut [F]) + Sync + Send) {
        for_each_chunk_mut(data, self.task, |i, chunk| {
            for (j, run) in chunk.chunks_mut(self.run).enumerate() {
                body(i * self.task + j * self.run, run);
            }
        });
    }

    /// Adds to `sums` (batch × channels) the sums over pixels of what `values(offset, block)` writes.
    fn add_pixel_sums<F: Scalar>(&self, sums: &mut [F], values: impl Fn(usize, &mut [F]) + Sync + Send) {
        for (image, sums) in sums.chunks_exact_mut(self.channels).enumerate() {
            let start = image * self.pixels * self.channels;
            add_channel_sums(self.pixels, sums, |sums, _, at| {
                let mut block = [F::zero(); LANES];
                let block = &mut block[..sums.len()];
                values(start + at, block);
                sums.iter_mut().zip(&*block).for_each(|(sum, &value)| *sum += value);
            });
        }
    }

    /// The values of an operand that belong to the output's `offset..offset + len`, which lie in one run.
    fn operand<'a, F>(&self, input: &View<'a, F>, output_len: usize, offset: usize, len: usize) -> &'a [F] {
        if input.shape.len() == output_len {
            return &input.data[offset..offset + len];
        }
        let (pixel, channel) = (offset / self.channels, offset % self.channels);
        &input.data[pixel / self.pixels * self.channels + channel..][..len]
    }
}

/// `out = f(… f(f(x₀, x₁), x₂) …)`.
fn fold<'a, F: Scalar>(out: &mut [F], count: usize, operand: impl Fn(usize) -> &'a [F], f: impl Fn(F, F) -> F) {
    for ((y, &a), &b) in out.iter_mut().zip(operand(0)).zip(operand(1)) {
        *y = f(a, b);
    }
    for k in 2..count {
        out.iter_mut().zip(operand(k)).for_each(|(y, &x)| *y = f(*y, x));
    }
}

impl<F: Scalar> Kernel<F> for Elementwise {
    fn forward(&self, args: Forward<'_, F>) {
        let (inputs, len) = (args.inputs, args.output.data.len());
        let runs = Runs::new(args.output.shape, inputs);
        runs.for_each(args.output.data, |offset, out| {
            let run = out.len();
            let operand = |k: usize| runs.operand(&inputs[k], len, offset, run);
            match self {
                Self::Add => fold(out, inputs.len(), operand, |a, b| a + b),
                Self::Sub => fold(out, inputs.len(), operand, |a, b| a - b),
                Self::Mul => fold(out, inputs.len(), operand, |a, b| a * b),
                // NaN wins.
                Self::Max => fold(out, inputs.len(), operand, |a, b| if b > a || b.is_nan() { b } else { a }),
                Self::WeightedSum { coefficients } => {
                    out.fill(F::zero());
                    for (k, &coefficient) in coefficients.iter().enumerate() {
                        let coefficient = F::of(f64::from(coefficient));
                        out.iter_mut().zip(operand(k)).for_each(|(y, &x)| *y += coefficient * x);
                    }
                }
            }
        });
    }

    fn backward(&self, args: Backward<'_, F>) {
        let len = args.output.shape.len();
        let runs = Runs::new(args.output.shape, args.inputs);
        for (i, d_input) in args.d_inputs.iter_mut().enumerate() {
            let Some(d_input) = d_input else { continue };
            let slope =
                |offset: usize, block: &mut [F]| self.gradient(&runs, args.inputs, args.d_output, i, offset, block);
            if d_input.len() != len {
                runs.add_pixel_sums(d_input, slope);
            } else if let Some(factor) = self.linear_factor::<F>(i) {
                runs.for_each(d_input, |offset, run| {
                    run.iter_mut().zip(&args.d_output[offset..]).for_each(|(d, &g)| *d += factor * g);
                });
            } else {
                runs.for_each(d_input, |offset, run| {
                    let mut block = [F::zero(); BLOCK];
                    for (j, d) in run.chunks_mut(BLOCK).enumerate() {
                        let block = &mut block[..d.len()];
                        slope(offset + j * BLOCK, block);
                        d.iter_mut().zip(&*block).for_each(|(d, &g)| *d += g);
                    }
                });
            }
        }
    }
}

impl Elementwise {
    /// The gradient of the output by input `i`, if it is a constant.
    fn linear_factor<F: Scalar>(&self, i: usize) -> Option<F> {
        match self {
            Self::Add => Some(F::one()),
            Self::Sub => Some(if i == 0 { F::one() } else { -F::one() }),
            Self::WeightedSum { coefficients } => Some(F::of(f64::from(coefficients[i]))),
            Self::Mul | Self::Max => None,
        }
    }

    /// Writes the gradient by input `i`, not yet summed over pixels, at the output's `offset..offset + block.len()`.
    fn gradient<F: Scalar>(
        &self,
        runs: &Runs,
        inputs: &[View<'_, F>],
        d_output: &[F],
        i: usize,
        offset: usize,
        block: &mut [F],
    ) {
        let (len, run) = (d_output.len(), block.len());
        block.copy_from_slice(&d_output[offset..offset + run]);
        if let Some(factor) = self.linear_factor::<F>(i) {
            block.iter_mut().for_each(|g| *g *= factor);
            return;
        }
        let own = runs.operand(&inputs[i], len, offset, run);
        for (k, input) in inputs.iter().enumerate().filter(|&(k, _)| k != i) {
            let other = runs.operand(input, len, offset, run);
            let zero = F::zero();
            match self {
                Self::Mul => block.iter_mut().zip(other).for_each(|(g, &x)| *g *= x),
                _ if k < i => block.iter_mut().zip(own.iter().zip(other)).for_each(|(g, (&x, &before))| {
                    *g = if x > before { *g } else { zero };
                }),
                _ => block.iter_mut().zip(own.iter().zip(other)).for_each(|(g, (&x, &after))| {
                    *g = if x >= after { *g } else { zero };
                }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{Tensor, assert_close, check_literals, gradient_check, run_backward, run_forward};
    use super::super::layout::testing::{check_large, check_refused};
    use super::super::{Op, Run};
    use super::*;

    fn all() -> Vec<(Elementwise, usize)> {
        let coefficients = vec![0.5, -1.5, 2.0];
        vec![
            (Elementwise::Add, 2),
            (Elementwise::Add, 4),
            (Elementwise::WeightedSum { coefficients }, 3),
            (Elementwise::Sub, 2),
            (Elementwise::Mul, 2),
            (Elementwise::Mul, 3),
            (Elementwise::Max, 2),
            (Elementwise::Max, 4),
        ]
    }

    /// Inputs of `dims`, but for `spread`, which is of 1×1 maps; no two values are equal.
    fn inputs(count: usize, dims: [usize; 4], spread: Option<usize>) -> Vec<Tensor<f64>> {
        let all = Tensor::<f64>::separated(&[count * dims.iter().product::<usize>()], 1).data;
        let of = |i: usize| {
            let [batch, channels, ..] = dims;
            let dims = if spread == Some(i) { [batch, channels, 1, 1] } else { dims };
            let len = dims.iter().product();
            Tensor::new(&dims, all[i * (all.len() / count)..][..len].to_vec())
        };
        (0..count).map(of).collect()
    }

    fn naive(op: &Elementwise, values: &[f64]) -> f64 {
        match op {
            Elementwise::Add => values.iter().sum(),
            Elementwise::WeightedSum { coefficients } => {
                values.iter().zip(coefficients).map(|(x, &c)| x * f64::from(c)).sum()
            }
            Elementwise::Sub => values[0] - values[1],
            Elementwise::Mul => values.iter().product(),
            Elementwise::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    #[test]
    fn as_pytorch() {
        check_literals("elementwise.safetensors", "elementwise");
    }

    #[test]
    fn large_maps_as_the_formulas() {
        let dims = [2, 7, 50, 40];
        for (op, count) in all() {
            for spread in [None, Some(0), Some(count - 1)] {
                let inputs = inputs(count, dims, spread);
                check_large(&op, &inputs, &[], |at| {
                    let (image, channel) = (at / (7 * 50 * 40), at % 7);
                    let value = |(i, x): (usize, &Tensor<f64>)| {
                        x.data[if spread == Some(i) { image * 7 + channel } else { at }]
                    };
                    naive(&op, &inputs.iter().enumerate().map(value).collect::<Vec<_>>())
                });
            }
        }
    }

    #[test]
    fn gradients() {
        for (op, count) in all() {
            for spread in [None, Some(0), Some(count - 1)] {
                gradient_check(&op, &inputs(count, [2, 3, 2, 3], spread), &[], Run::default());
            }
        }
    }

    #[test]
    fn a_spread_input_of_many_channels_is_right_past_a_block() {
        let (a, b) = (Tensor::random(&[1, 1030, 1, 2], 1), Tensor::random(&[1, 1030], 2));
        gradient_check(&Elementwise::Mul, &[a, b], &[], Run::default());
    }

    #[test]
    fn of_equal_inputs_the_first_gets_the_gradient() {
        let inputs = [vec![1.0, 2.0, 3.0], vec![1.0, 3.0, 3.0], vec![0.0, 3.0, 3.0]].map(|x| Tensor::new(&[1, 3], x));
        let ran = run_forward(&Elementwise::Max, &inputs, &[], Run::default());
        let got = run_backward(&Elementwise::Max, &inputs, &[], &ran, &[1.0, 10.0, 100.0], Run::default());
        assert_close("d_inputs", &got.inputs.concat(), &[1., 0., 100., 0., 10., 0., 0., 0., 0.], 0.0, 0.0);
    }

    #[test]
    fn a_maximum_does_not_hide_nan() {
        for nan_first in [false, true] {
            let pair = if nan_first { [f64::NAN, 1.0] } else { [1.0, f64::NAN] };
            let y = run_forward(&Elementwise::Max, &pair.map(|x| Tensor::new(&[1, 1], vec![x])), &[], Run::default());
            assert!(y.output.data[0].is_nan(), "{pair:?}");
        }
    }

    #[test]
    fn wrong_inputs_are_errors() {
        let weighted = |coefficients: &[f32]| Elementwise::WeightedSum { coefficients: coefficients.to_vec() };
        let (maps, ones): (&[usize], &[usize]) = (&[2, 3, 4, 5], &[2, 3, 1, 1]);
        check_refused(&[
            (&Elementwise::Add, &[maps], &[], "takes two inputs or more, but 1 are given"),
            (&Elementwise::Sub, &[maps, maps, maps], &[], "takes two inputs, but 3 are given"),
            (&Elementwise::Add, &[maps, maps], &[&[3]], "takes none"),
            (&weighted(&[1.0]), &[maps, maps], &[], "`coefficients`: 1 are given for 2 inputs"),
            (&weighted(&[1.0, f32::NAN]), &[maps, maps], &[], "NaN is not a finite number"),
            (&Elementwise::Add, &[maps, &[2, 3, 5, 4]], &[], "needs an input of 2×3×4×5"),
            (&Elementwise::Add, &[maps, &[2, 3, 4, 1]], &[], "needs an input of 2×3×4×5"),
            (&Elementwise::Add, &[maps, &[1, 3, 1, 1]], &[], "but gets 1×3×1×1"),
            (&Elementwise::Add, &[ones, maps, &[2, 1, 1, 1]], &[], "but gets 2×1×1×1"),
            (&Elementwise::Add, &[&[2, 3, 4], &[2, 3, 1]], &[], "needs an input of 2×3×4"),
            (&Elementwise::Add, &[&[0, 3], &[0, 3]], &[], "at least one element"),
        ]);
    }

    #[test]
    fn a_file_can_say_each() {
        for (op, _) in all() {
            let op = Op::Elementwise(op);
            let json = serde_json::to_string(&op).unwrap();
            assert_eq!(serde_json::from_str::<Op>(&json).unwrap(), op, "{json}");
        }
    }
}

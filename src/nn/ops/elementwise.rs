//! Element-wise arithmetic of several inputs.

use serde::{Deserialize, Serialize};

use super::layout::{CHUNK, add_pixel_sums, expect_elements, expect_finite, expect_no_params};
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
            Self { channels, pixels: height * width, run: channels, task: (CHUNK / channels).max(1) * channels }
        } else {
            Self { channels, pixels: height * width, run: BLOCK, task: CHUNK }
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
                add_pixel_sums(d_input, [runs.channels, runs.pixels], slope);
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

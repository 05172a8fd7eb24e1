//! Dropout (Srivastava 2014), inverted: scaled while training, the identity afterwards.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Keeps, Kernel, Mode, OpError, Operator, Run, expect_inputs};
use crate::base::parallel;
use crate::base::rng::{Stream, rng};
use crate::base::tensor::{Scalar, Shape};

/// In training every value is dropped with probability `rate`, and the others are multiplied by 1 / (1 − rate).
///
/// No parameters. What is dropped is a function of the run's seed, step and node and of the value's place alone; the
/// backward pass draws it again instead of keeping it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dropout {
    /// The probability of being dropped, in \[0, 1).
    pub rate: f32,
}

/// Values whose random numbers are drawn in one go: each such block has its own place in the random stream.
const BLOCK: usize = 1 << 13;

impl Dropout {
    /// Calls `apply(value, input, factor)` for all values, in parallel; the factor is 0 or 1 / (1 − rate).
    fn for_each<F: Scalar>(&self, run: Run, input: &[F], output: &mut [F], apply: impl Fn(&mut F, F, F) + Sync + Send) {
        let kept = F::of(1.0 / (1.0 - f64::from(self.rate)));
        let threshold = (f64::from(self.rate) * 2f64.powi(32)) as u32;
        parallel::for_each_chunk_mut(output, BLOCK, |block, output| {
            let mut rng = rng(run.seed, Stream::Dropout, run.step);
            rng.set_stream(run.node);
            rng.set_word_pos(block as u128 * BLOCK as u128);
            for (value, input) in output.iter_mut().zip(&input[block * BLOCK..]) {
                apply(value, *input, if rng.next_u32() < threshold { F::zero() } else { kept });
            }
        });
    }
}

impl Operator for Dropout {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let [input] = expect_inputs(inputs, "1 input")?;
        if !params.is_empty() {
            return Err(OpError::Params { expected: "none", got: params.len() });
        }
        if !(0.0..1.0).contains(&self.rate) {
            return Err(OpError::Attribute { name: "rate", reason: format!("{} is not in [0, 1)", self.rate) });
        }
        Ok(input.clone())
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::NOTHING
    }
}

impl<F: Scalar> Kernel<F> for Dropout {
    fn forward(&self, args: Forward<'_, F>) {
        let (input, output) = (args.inputs[0].data, args.output.data);
        match args.run.mode {
            Mode::Inference => output.copy_from_slice(input),
            Mode::Training => self.for_each(args.run, input, output, |y, x, factor| *y = x * factor),
        }
    }

    fn backward(&self, args: Backward<'_, F>) {
        let Some(d_input) = &mut args.d_inputs[0] else { return };
        match args.run.mode {
            Mode::Inference => d_input.iter_mut().zip(args.d_output).for_each(|(dx, dy)| *dx += *dy),
            Mode::Training => self.for_each(args.run, args.d_output, d_input, |dx, dy, factor| *dx += dy * factor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::check::{Tensor, assert_close, gradient_check, run_backward, run_forward};

    const OP: Dropout = Dropout { rate: 0.3 };

    fn training(seed: u64, step: u64, node: u64) -> Run {
        Run { mode: Mode::Training, seed, step, node, ..Run::default() }
    }

    /// Which of `len` values are dropped.
    fn dropped(len: usize, run: Run) -> Vec<bool> {
        let ones = Tensor::<f64>::filled(&[1, len], 1.0);
        run_forward(&OP, &[ones], &[], run).output.data.iter().map(|y| *y == 0.0).collect()
    }

    #[test]
    fn inference_is_the_identity() {
        let input = Tensor::<f64>::random(&[2, 3, 4, 5], 1);
        assert_eq!(run_forward(&OP, std::slice::from_ref(&input), &[], Run::default()).output.data, input.data);
        gradient_check(&OP, &[input], &[], Run::default());
    }

    #[test]
    fn training_drops_the_stated_share_and_keeps_the_mean() {
        let len = 40_000;
        let input = Tensor::<f64>::filled(&[4, len / 4], 2.0);
        let got = run_forward(&OP, &[input], &[], training(1, 2, 3)).output.data;
        let kept = 2.0 / (1.0 - f64::from(OP.rate));
        assert!(got.iter().all(|y| *y == 0.0 || (*y - kept).abs() < 1e-12));
        // Six standard deviations of a share of 40,000.
        let share = got.iter().filter(|y| **y == 0.0).count() as f64 / len as f64;
        assert_close("share", &[share], &[0.3], 0.0, 6.0 * (0.3 * 0.7 / len as f64).sqrt());
    }

    #[test]
    fn a_mask_depends_on_seed_step_and_node_alone() {
        let len = 3 * BLOCK + 5;
        let mask = dropped(len, training(1, 2, 3));
        assert_eq!(mask, dropped(len, training(1, 2, 3)));
        assert_eq!(mask[..len - 100], dropped(len - 100, training(1, 2, 3)), "an earlier value changed with the size");
        for (seed, step, node) in [(0, 2, 3), (1, 1, 3), (1, 2, 4)] {
            assert_ne!(mask, dropped(len, training(seed, step, node)), "{seed} {step} {node}");
        }
        assert_ne!(mask[..BLOCK], mask[BLOCK..2 * BLOCK], "blocks repeat");
    }

    #[test]
    fn gradients_follow_the_mask_of_the_forward_pass() {
        gradient_check(&OP, &[Tensor::random(&[2, 3, 4, 5], 1)], &[], training(5, 6, 7));
    }

    #[test]
    fn wrong_rates_are_refused() {
        let shape = Shape::vector(2, 3);
        assert_eq!(Dropout { rate: 0.0 }.output_shape(&[&shape], &[]), Ok(shape.clone()));
        for rate in [1.0, -0.1, 2.0, f32::NAN] {
            let result = Dropout { rate }.output_shape(&[&shape], &[]);
            assert!(matches!(result, Err(OpError::Attribute { name: "rate", .. })), "{rate}");
        }
        assert!(matches!(OP.output_shape(&[&shape], &[&[1]]), Err(OpError::Params { got: 1, .. })));
    }

    /// Literals of `tests/refs/ops_dropout.py` (torch 2.15.0), whose pass happened to keep every value. Which values are
    /// dropped is each program's own affair; what becomes of the others is not.
    #[test]
    fn kept_values_and_their_gradients_are_pytorchs() {
        let op = Dropout { rate: 0.2 };
        let x = [0.5, -1.0, 2.0, 3.5, -0.25, 1.5, 4.0, -2.0];
        let d_y = [1.0, 2.0, -3.0, 0.5, 4.0, -1.0, 0.25, 8.0];
        let y = [0.625, -1.25, 2.5, 4.375, -0.3125, 1.875, 5.0, -2.5];
        let d_x = [1.25, 2.5, -3.75, 0.625, 5.0, -1.25, 0.3125, 10.0];
        let input = [Tensor::<f64>::new(&[1, 8], x.to_vec())];
        let (mut kept, mut dropped) = (0, 0);
        for step in 0..20 {
            let run = training(1, step, 0);
            let ran = run_forward(&op, &input, &[], run);
            let gradients = run_backward(&op, &input, &[], &ran, &d_y, run);
            let keeps: Vec<bool> = ran.output.data.iter().map(|y| *y != 0.0).collect();
            let only_kept = |values: [f64; 8]| -> Vec<f64> {
                values.iter().zip(&keeps).map(|(value, keep)| if *keep { *value } else { 0.0 }).collect()
            };
            assert_close("output", &ran.output.data, &only_kept(y), 1e-7, 0.0);
            assert_close("gradient", &gradients.inputs[0], &only_kept(d_x), 1e-7, 0.0);
            kept += keeps.iter().filter(|keep| **keep).count();
            dropped += keeps.iter().filter(|keep| !**keep).count();
        }
        assert!(kept > 0 && dropped > 0, "{kept} kept, {dropped} dropped");
        let evaluated = run_forward(&op, &input, &[], Run::default()).output.data;
        assert_eq!(evaluated, x, "dropout is the identity once training is over");
    }
}

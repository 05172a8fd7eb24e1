//! Activations: one value in, one value out.

use serde::{Deserialize, Serialize};

use super::lanes::TASK_ELEMENTS;
use super::layout::{expect_finite, expect_one_input};
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator, ReluRule};
use crate::base::parallel::for_each_chunk_mut;
use crate::base::tensor::{Scalar, Shape};

/// An activation function and its constants, all finite. Inputs may have any shape; there are no parameters.
///
/// `Relu`, `LeakyRelu` and `Clip` send gradients back by the run's [`ReluRule`]. "Positive" means to them: `Relu` and
/// `LeakyRelu` at x > 0, `Clip` at low < x < high. The leak of `LeakyRelu` carries gradients under the true gradient
/// only. At kinks the gradient is the one of the left side, but for `Clip` and `HardSigmoid` it is 0 (PyTorch's
/// `hardtanh` and `hardsigmoid`) and for `HardSwish` at 3 it is 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "function", rename_all = "snake_case")]
pub enum Activation {
    Relu,
    LeakyRelu {
        slope: f32,
    },
    /// min(max(x, low), high); ReLU6 is `Clip { low: 0.0, high: 6.0 }`. An open side is `f32::MIN` or `f32::MAX`.
    Clip {
        low: f32,
        high: f32,
    },
    /// x where positive, else alpha · (eˣ − 1) (Clevert 2016).
    Elu {
        alpha: f32,
    },
    Sigmoid,
    Tanh,
    /// The error function, 2/√π · ∫₀ˣ e^(−t²) dt: what GELU is made of.
    Erf,
    /// x · sigmoid of x (Elfwing 2018; Swish with β = 1).
    Silu,
    /// min(max(slope · x + offset, 0), 1).
    HardSigmoid {
        slope: f32,
        offset: f32,
    },
    /// x · hard sigmoid of x with slope 1/6 and offset 1/2 (Howard 2019).
    HardSwish,
}

impl Operator for Activation {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let input = expect_one_input(inputs, params)?;
        match *self {
            Self::LeakyRelu { slope } => expect_finite("slope", slope)?,
            Self::Elu { alpha } => expect_finite("alpha", alpha)?,
            Self::HardSigmoid { slope, offset } => {
                expect_finite("slope", slope)?;
                expect_finite("offset", offset)?;
            }
            Self::Clip { low, high } => {
                expect_finite("low", low)?;
                expect_finite("high", high)?;
                if low > high {
                    return Err(OpError::Attribute { name: "low", reason: format!("{low} is above high, {high}") });
                }
            }
            Self::Relu | Self::Sigmoid | Self::Tanh | Self::Erf | Self::Silu | Self::HardSwish => {}
        }
        Ok(input.clone())
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        if self.output_tells_gradient() { Keeps::OUTPUT } else { Keeps::INPUTS }
    }
}

impl Activation {
    /// Whether the gradient is a function of the output: a fused convolution then need not keep its own result.
    fn output_tells_gradient(&self) -> bool {
        match *self {
            Self::Relu | Self::Clip { .. } | Self::Sigmoid | Self::Tanh | Self::HardSigmoid { .. } => true,
            // A negative factor folds both sides of zero onto one.
            Self::LeakyRelu { slope: factor } | Self::Elu { alpha: factor } => factor >= 0.0,
            Self::Erf | Self::Silu | Self::HardSwish => false,
        }
    }
}

fn sigmoid<F: Scalar>(x: F) -> F {
    F::one() / (F::one() + (-x).exp())
}

fn clip<F: Scalar>(x: F, low: F, high: F) -> F {
    // Written so that NaN stays NaN.
    let above = if x < low { low } else { x };
    if above > high { high } else { above }
}

fn map<F: Scalar>(input: &[F], output: &mut [F], function: impl Fn(F) -> F + Sync + Send) {
    for_each_chunk_mut(output, TASK_ELEMENTS, |i, output| {
        output.iter_mut().zip(&input[i * TASK_ELEMENTS..]).for_each(|(y, &x)| *y = function(x));
    });
}

/// `d_input += gradient(kept, d_output)`.
fn map_back<F: Scalar>(kept: &[F], d_output: &[F], d_input: &mut [F], gradient: impl Fn(F, F) -> F + Sync + Send) {
    for_each_chunk_mut(d_input, TASK_ELEMENTS, |i, d_input| {
        let (kept, d_output) = (&kept[i * TASK_ELEMENTS..], &d_output[i * TASK_ELEMENTS..]);
        d_input.iter_mut().zip(kept.iter().zip(d_output)).for_each(|(d, (&k, &g))| *d += gradient(k, g));
    });
}

/// Backward of an op that passes or blocks, by the run's rule.
pub(super) fn rectify_back<F: Scalar>(
    rule: ReluRule,
    kept: &[F],
    d_output: &[F],
    d_input: &mut [F],
    passes: impl Fn(F) -> bool + Sync + Send,
    blocked_slope: F,
) {
    let zero = F::zero();
    match rule {
        ReluRule::Gradient if blocked_slope == zero => {
            map_back(kept, d_output, d_input, |k, g| if passes(k) { g } else { zero });
        }
        ReluRule::Gradient => {
            map_back(kept, d_output, d_input, |k, g| if passes(k) { g } else { blocked_slope * g });
        }
        ReluRule::Guided => {
            map_back(kept, d_output, d_input, |k, g| if passes(k) && g > zero { g } else { zero });
        }
        ReluRule::Deconvnet => {
            map_back(kept, d_output, d_input, |_, g| if g > zero { g } else { zero });
        }
    }
}

impl<F: Scalar> Kernel<F> for Activation {
    fn forward(&self, args: Forward<'_, F>) {
        let (x, y) = (args.inputs[0].data, args.output.data);
        let (zero, one) = (F::zero(), F::one());
        let of = |value: f32| F::of(f64::from(value));
        match *self {
            Self::Relu => map(x, y, |x| if x < zero { zero } else { x }),
            Self::LeakyRelu { slope } => {
                let slope = of(slope);
                map(x, y, |x| if x > zero { x } else { slope * x });
            }
            Self::Clip { low, high } => {
                let (low, high) = (of(low), of(high));
                map(x, y, |x| clip(x, low, high));
            }
            Self::Elu { alpha } => {
                let alpha = of(alpha);
                map(x, y, |x| if x > zero { x } else { alpha * x.exp_m1() });
            }
            Self::Sigmoid => map(x, y, sigmoid),
            Self::Tanh => map(x, y, |x| x.tanh()),
            Self::Erf => map(x, y, |x| F::of(libm::erf(x.to_f64()))),
            Self::Silu => map(x, y, |x| x * sigmoid(x)),
            Self::HardSigmoid { slope, offset } => {
                let (slope, offset) = (of(slope), of(offset));
                map(x, y, |x| clip(slope * x + offset, zero, one));
            }
            Self::HardSwish => {
                let (three, six) = (F::of(3.0), F::of(6.0));
                map(x, y, |x| x * clip(x + three, zero, six) / six);
            }
        }
    }

    fn backward(&self, args: Backward<'_, F>) {
        let Some(d_x) = args.d_inputs[0].as_deref_mut() else { return };
        let kept = if self.output_tells_gradient() { args.output.data } else { args.inputs[0].data };
        let (rule, d_y) = (args.run.relu_rule, args.d_output);
        let (zero, one) = (F::zero(), F::one());
        let of = |value: f32| F::of(f64::from(value));
        match *self {
            Self::Relu => rectify_back(rule, kept, d_y, d_x, |k| k > zero, zero),
            Self::LeakyRelu { slope } => rectify_back(rule, kept, d_y, d_x, |k| k > zero, of(slope)),
            Self::Clip { low, high } => {
                let (low, high) = (of(low), of(high));
                rectify_back(rule, kept, d_y, d_x, |y| low < y && y < high, zero);
            }
            Self::Elu { alpha } if alpha >= 0.0 => {
                let alpha = of(alpha);
                map_back(kept, d_y, d_x, |y, g| if y > zero { g } else { g * (y + alpha) });
            }
            Self::Elu { alpha } => {
                let alpha = of(alpha);
                map_back(kept, d_y, d_x, |x, g| if x > zero { g } else { g * alpha * x.exp() });
            }
            Self::Sigmoid => map_back(kept, d_y, d_x, |y, g| g * y * (one - y)),
            Self::Tanh => map_back(kept, d_y, d_x, |y, g| g * (one - y * y)),
            Self::Erf => {
                let factor = F::of(std::f64::consts::FRAC_2_SQRT_PI);
                map_back(kept, d_y, d_x, |x, g| g * factor * (-x * x).exp());
            }
            Self::Silu => map_back(kept, d_y, d_x, |x, g| {
                let s = sigmoid(x);
                g * s * (one + x * (one - s))
            }),
            Self::HardSigmoid { slope, .. } => {
                let slope = of(slope);
                map_back(kept, d_y, d_x, |y, g| if zero < y && y < one { g * slope } else { zero });
            }
            Self::HardSwish => {
                let (half, three) = (F::of(0.5), F::of(3.0));
                let slope = |x: F| if x >= three { one } else { x / three + half };
                map_back(kept, d_y, d_x, |x, g| if x <= -three { zero } else { g * slope(x) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{Report, Tensor, check_literals, gradient_check, run_backward, run_forward};
    use super::super::layout::testing::{check_large, check_refused};
    use super::super::{Op, Run};
    use super::*;

    const RELU6: Activation = Activation::Clip { low: 0.0, high: 6.0 };

    fn all() -> Vec<Activation> {
        vec![
            Activation::Relu,
            Activation::LeakyRelu { slope: 0.1 },
            Activation::LeakyRelu { slope: -0.5 },
            Activation::LeakyRelu { slope: 0.0 },
            RELU6,
            Activation::Clip { low: -0.5, high: 0.75 },
            Activation::Elu { alpha: 0.5 },
            Activation::Elu { alpha: -0.5 },
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Erf,
            Activation::Silu,
            Activation::HardSigmoid { slope: 0.2, offset: 0.5 },
            Activation::HardSigmoid { slope: -1.5, offset: 0.25 },
            Activation::HardSwish,
        ]
    }

    /// By the formulas, one value at a time.
    fn naive(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Relu => x.max(0.0),
            Activation::LeakyRelu { slope } => x.max(0.0) + f64::from(slope) * x.min(0.0),
            Activation::Clip { low, high } => x.max(f64::from(low)).min(f64::from(high)),
            Activation::Elu { alpha } => x.max(0.0) + f64::from(alpha) * (x.min(0.0).exp() - 1.0),
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Activation::Tanh => (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
            Activation::Erf => {
                // 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (1 · 3 · … · (2n+1)), of which all terms have one sign.
                let mut term = x;
                let mut sum = x;
                for n in 1..400 {
                    term *= 2.0 * x * x / f64::from(2 * n + 1);
                    sum += term;
                }
                std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
            }
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::HardSigmoid { slope, offset } => (f64::from(slope) * x + f64::from(offset)).clamp(0.0, 1.0),
            Activation::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        }
    }

    #[test]
    fn as_pytorch_and_at_the_kinks_too() {
        check_literals("elementwise.safetensors", "activation");
    }

    #[test]
    fn large_maps_as_the_formulas() {
        for activation in all() {
            let mut x = Tensor::<f64>::separated(&[2, 7, 40, 40], 1);
            x.data.iter_mut().for_each(|x| *x *= 8.0);
            check_large(&activation, &[x.clone()], &[], |at| naive(activation, x.data[at]));
        }
    }

    #[test]
    fn gradients() {
        for activation in all() {
            // Quarters are kinks above; these are 1/35 from one another and no quarter.
            let mut x = Tensor::<f64>::separated(&[2, 5, 7], 2);
            x.data.iter_mut().for_each(|x| *x *= 4.03);
            gradient_check(&activation, &[x], &[], Run::default());
        }
    }

    #[test]
    fn rules_of_blocking_ops() {
        let x = Tensor::new(&[1, 6], vec![-1.0, -1.0, 0.5, 0.5, 7.0, 7.0]);
        let d_output = [1.0, -1.0, 2.0, -2.0, 3.0, -3.0];
        let leaky = Activation::LeakyRelu { slope: 0.5 };
        let table = [
            (Activation::Relu, ReluRule::Gradient, [0.0, 0.0, 2.0, -2.0, 3.0, -3.0]),
            (Activation::Relu, ReluRule::Guided, [0.0, 0.0, 2.0, 0.0, 3.0, 0.0]),
            (Activation::Relu, ReluRule::Deconvnet, [1.0, 0.0, 2.0, 0.0, 3.0, 0.0]),
            (leaky, ReluRule::Gradient, [0.5, -0.5, 2.0, -2.0, 3.0, -3.0]),
            (leaky, ReluRule::Guided, [0.0, 0.0, 2.0, 0.0, 3.0, 0.0]),
            (leaky, ReluRule::Deconvnet, [1.0, 0.0, 2.0, 0.0, 3.0, 0.0]),
            (RELU6, ReluRule::Gradient, [0.0, 0.0, 2.0, -2.0, 0.0, 0.0]),
            (RELU6, ReluRule::Guided, [0.0, 0.0, 2.0, 0.0, 0.0, 0.0]),
            (RELU6, ReluRule::Deconvnet, [1.0, 0.0, 2.0, 0.0, 3.0, 0.0]),
        ];
        let mut report = Report::new("rules");
        for (activation, relu_rule, expected) in table {
            let run = Run { relu_rule, ..Run::default() };
            let ran = run_forward(&activation, std::slice::from_ref(&x), &[], run);
            let got = run_backward(&activation, std::slice::from_ref(&x), &[], &ran, &d_output, run);
            report.compare(&format!("{activation:?} {relu_rule:?}"), &got.inputs[0], &expected, 0.0, 0.0);
        }
        // A rule is no business of smooth ops.
        let run = Run { relu_rule: ReluRule::Guided, ..Run::default() };
        gradient_check(&Activation::Tanh, &[x], &[], run);
        report.finish();
    }

    #[test]
    fn extremes_neither_overflow_nor_hide_nan() {
        let x = Tensor::new(&[1, 4], vec![-1e4f32, 1e4, f32::NAN, -0.0]);
        for activation in all() {
            let y = run_forward(&activation, std::slice::from_ref(&x), &[], Run::default()).output.data;
            assert!(y[0].is_finite() && y[1].is_finite() && y[2].is_nan(), "{activation:?}: {y:?}");
        }
    }

    #[test]
    fn wrong_attributes_and_arity_are_errors() {
        let shape: &[usize] = &[1, 2, 3, 4];
        check_refused(&[
            (&Activation::Relu, &[], &[], "takes one input, but 0 are given"),
            (&Activation::Relu, &[shape, shape], &[], "takes one input, but 2 are given"),
            (&Activation::Relu, &[shape], &[&[2]], "has 1 parameters, but takes none"),
            (&Activation::Relu, &[&[1, 0]], &[], "at least one element"),
            (&Activation::LeakyRelu { slope: f32::NAN }, &[shape], &[], "`slope`: NaN is not a finite number"),
            (&Activation::Elu { alpha: f32::INFINITY }, &[shape], &[], "`alpha`"),
            (&Activation::Clip { low: 1.0, high: -1.0 }, &[shape], &[], "`low`: 1 is above high, -1"),
            (&Activation::Clip { low: f32::NAN, high: 1.0 }, &[shape], &[], "`low`"),
            (&Activation::HardSigmoid { slope: 1.0, offset: f32::NAN }, &[shape], &[], "`offset`"),
        ]);
    }

    #[test]
    fn a_file_can_say_each() {
        for activation in all() {
            let op = Op::Activation(activation);
            let json = serde_json::to_string(&op).unwrap();
            assert_eq!(serde_json::from_str::<Op>(&json).unwrap(), op, "{json}");
        }
    }
}

//! Optimizers: rules that turn a gradient into a step. One set for all that learns by gradients.
//!
//! All of them minimize. Weight decay is part of the gradient (an L2 penalty of ½ · decay · ‖w‖²), as in Caffe's solvers
//! and in PyTorch's `SGD`, `Adagrad` and `Adam`.

use serde::{Deserialize, Serialize};

use crate::base::parallel;

/// How a step follows from the gradient g (with the weight decay in it). η is the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Rule {
    /// v ← momentum · v + g; w ← w − η · v. As PyTorch has it. Caffe has η inside: v ← momentum · v + η · g; w ← w − v.
    /// The two are the same while η is, and differ for some steps after it changes.
    Sgd { momentum: f32 },
    /// s ← s + g²; w ← w − η · g / (√s + epsilon) (Duchi 2011).
    AdaGrad { epsilon: f32 },
    /// Kingma 2015: m ← β₁ · m + (1 − β₁) · g; v ← β₂ · v + (1 − β₂) · g²; at step t,
    /// w ← w − η · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + epsilon). Caffe adds its epsilon to √v instead.
    Adam { beta1: f32, beta2: f32, epsilon: f32 },
}

impl Rule {
    /// PyTorch's and Caffe's usual constants.
    pub const ADAM: Self = Self::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    pub const ADAGRAD: Self = Self::AdaGrad { epsilon: 1e-10 };

    /// Vectors that are kept from step to step.
    fn states(self) -> usize {
        match self {
            Self::Sgd { momentum: 0.0 } => 0,
            Self::Sgd { .. } | Self::AdaGrad { .. } => 1,
            Self::Adam { .. } => 2,
        }
    }
}

/// What a step of one parameter is scaled by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    pub learning: f32,
    /// The weight decay, added to the gradient times the weights.
    pub decay: f32,
}

/// A rule, and what it remembers of the steps so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    rule: Rule,
    steps: u64,
    /// By parameter; empty before its first step.
    states: Vec<[Vec<f32>; 2]>,
}

/// Values that one task changes.
const TASK_VALUES: usize = 1 << 14;

impl Optimizer {
    pub fn new(rule: Rule) -> Self {
        Self { rule, steps: 0, states: Vec::new() }
    }

    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// Steps that have begun.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// To be called once before the parameters of a step.
    pub fn begin_step(&mut self) {
        self.steps += 1;
    }

    /// Changes the values of parameter number `param` by its gradient.
    ///
    /// # Panics
    /// If the gradient has another length than the values, or the values than at an earlier step.
    pub fn step(&mut self, param: usize, rates: Rates, values: &mut [f32], gradient: &[f32]) {
        assert_eq!(values.len(), gradient.len(), "a gradient has as many values as its parameter");
        if self.states.len() <= param {
            self.states.resize_with(param + 1, Default::default);
        }
        let [first, second] = &mut self.states[param];
        for (index, state) in [&mut *first, &mut *second].into_iter().enumerate() {
            if state.is_empty() && index < self.rule.states() {
                state.resize(values.len(), 0.0);
            }
        }
        let Rates { learning, decay } = rates;
        match self.rule {
            Rule::Sgd { momentum: 0.0 } => parallel::for_each_chunk_mut(values, TASK_VALUES, |task, values| {
                let gradient = &gradient[task * TASK_VALUES..];
                values.iter_mut().zip(gradient).for_each(|(w, g)| *w -= learning * (g + decay * *w));
            }),
            Rule::Sgd { momentum } => for_each(values, gradient, first, |w, g, v| {
                *v = momentum * *v + (g + decay * *w);
                *w -= learning * *v;
            }),
            Rule::AdaGrad { epsilon } => for_each(values, gradient, first, |w, g, s| {
                let g = g + decay * *w;
                *s += g * g;
                *w -= learning * g / (s.sqrt() + epsilon);
            }),
            Rule::Adam { beta1, beta2, epsilon } => {
                let correction = |beta: f32| 1.0 - f64::from(beta).powf(self.steps as f64);
                let rate = (f64::from(learning) / correction(beta1)) as f32;
                let root = correction(beta2).sqrt() as f32;
                parallel::for_each_chunk_pair_mut(values, first, TASK_VALUES, |task, values, first| {
                    // The first moment; the second is changed below, by itself.
                    let gradient = &gradient[task * TASK_VALUES..];
                    for ((m, g), w) in first.iter_mut().zip(gradient).zip(&*values) {
                        *m += (1.0 - beta1) * (g + decay * w - *m);
                    }
                });
                let first = &*first;
                parallel::for_each_chunk_pair_mut(values, second, TASK_VALUES, |task, values, second| {
                    let at = task * TASK_VALUES;
                    for (((w, v), m), g) in values.iter_mut().zip(second).zip(&first[at..]).zip(&gradient[at..]) {
                        let g = g + decay * *w;
                        *v = beta2 * *v + (1.0 - beta2) * g * g;
                        *w -= rate * m / (v.sqrt() / root + epsilon);
                    }
                });
            }
        }
    }
}

/// Runs `body(value, gradient, state)` for all values, in parallel.
fn for_each(
    values: &mut [f32],
    gradient: &[f32],
    state: &mut [f32],
    body: impl Fn(&mut f32, f32, &mut f32) + Sync + Send,
) {
    parallel::for_each_chunk_pair_mut(values, state, TASK_VALUES, |task, values, state| {
        let gradient = &gradient[task * TASK_VALUES..];
        for ((value, state), &gradient) in values.iter_mut().zip(state).zip(gradient) {
            body(value, gradient, state);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::check::assert_close;

    const START: [f32; 4] = [1.0, -2.0, 0.5, 0.0];
    const GRADIENTS: [[f32; 4]; 5] = [
        [0.5, -1.0, 0.25, 0.0],
        [1.5, 0.5, -0.75, 2.0],
        [-1.0, 0.125, 3.0, -0.5],
        [0.0, 0.0, 0.0, 0.0],
        [2.0, -4.0, 1.0, 1e-3],
    ];

    /// PyTorch 2.15's `SGD`, `Adagrad` and `Adam`: `tests/refs/optimizers.py`. The rate is halved after three steps.
    #[test]
    fn steps_are_pytorchs() {
        let cases = [
            (
                Rule::Sgd { momentum: 0.0 },
                [
                    [0.949, -1.898, 0.4745, 0.0],
                    [0.798051, -1.946102, 0.549_025_5, -0.2],
                    [0.897_253, -1.956656, 0.248_476_45, -0.1498],
                    [0.896_804_3, -1.955_677_6, 0.248_352_2, -0.149_725_1],
                    [0.796_355_9, -1.754_699_8, 0.198_228_05, -0.149_700_25],
                ],
            ),
            (
                Rule::Sgd { momentum: 0.9 },
                [
                    [0.949, -1.898, 0.4745, 0.0],
                    [0.752_151, -1.854302, 0.526_075_5, -0.2],
                    [0.674_234_75, -1.825_619_6, 0.271_967_35, -0.3298],
                    [0.638_835_3, -1.811_799_6, 0.157_482_7, -0.388_045_1],
                    [0.506_656_4, -1.598_455_8, 0.004_367_796, -0.440_321_65],
                ],
            ),
            (
                Rule::ADAGRAD,
                [
                    [0.9, -1.9, 0.4, 0.0],
                    [0.805_264_3, -1.942_652_2, 0.494_624_6, -0.1],
                    [0.858_126_7, -1.951_973_1, 0.397_898_17, -0.075_700_79],
                    [0.857_898_06, -1.951_111_6, 0.397_834_12, -0.075_682_43],
                    [0.821_361_8, -1.902_986_3, 0.382_458_54, -0.075_688_33],
                ],
            ),
            (
                Rule::ADAM,
                [
                    [0.9, -1.9, 0.4, 0.0],
                    [0.808_055_8, -1.871_152_4, 0.448_754_1, -0.074_413_68],
                    [0.781_515_7, -1.854_951_4, 0.396_522_7, -0.114_689_16],
                    [0.770_524_7, -1.847_840_4, 0.375_093_2, -0.131_168_6],
                    [0.744_246_84, -1.819_957_5, 0.349_465_2, -0.145_093_34],
                ],
            ),
        ];
        for (rule, expected) in cases {
            let mut optimizer = Optimizer::new(rule);
            let mut weights = START;
            for (step, (gradient, expected)) in GRADIENTS.iter().zip(&expected).enumerate() {
                optimizer.begin_step();
                let rates = Rates { learning: if step < 3 { 0.1 } else { 0.05 }, decay: 0.01 };
                // Number 2: parameters need not come in order, nor all of them.
                optimizer.step(2, rates, &mut weights, gradient);
                assert_close(&format!("{rule:?}, step {step}"), &weights, expected, 2e-6, 1e-6);
            }
            assert_eq!(optimizer.steps(), 5);
        }
    }

    #[test]
    fn long_parameters_are_cut_but_not_changed_by_it() {
        let len = 2 * TASK_VALUES + 5;
        let gradient: Vec<f32> = (0..len).map(|i| (i % 7) as f32 - 3.0).collect();
        for rule in [Rule::Sgd { momentum: 0.0 }, Rule::Sgd { momentum: 0.5 }, Rule::ADAGRAD, Rule::ADAM] {
            let run = |range: std::ops::Range<usize>| {
                let mut optimizer = Optimizer::new(rule);
                let mut weights = vec![0.25; range.len()];
                for _ in 0..2 {
                    optimizer.begin_step();
                    let rates = Rates { learning: 0.1, decay: 0.1 };
                    optimizer.step(0, rates, &mut weights, &gradient[range.clone()]);
                }
                weights
            };
            let whole = run(0..len);
            assert_eq!(whole[TASK_VALUES - 3..TASK_VALUES + 4], run(TASK_VALUES - 3..TASK_VALUES + 4), "{rule:?}");
            assert_ne!(whole[0], 0.25, "{rule:?}");
        }
    }

    #[test]
    #[should_panic(expected = "as many values")]
    fn a_gradient_of_another_length_is_refused() {
        let rates = Rates { learning: 0.1, decay: 0.0 };
        Optimizer::new(Rule::ADAM).step(0, rates, &mut [0.0; 2], &[0.0; 3]);
    }
}

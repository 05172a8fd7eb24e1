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

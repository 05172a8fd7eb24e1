//! What is maximized: weighted sums of what layers answer.

use std::ops::{Add, Mul};

use serde::{Deserialize, Serialize};

use crate::base::parallel::{for_each_chunk_mut, sum_of};
use crate::base::tensor::View;
use crate::nn::exec::frozen::Session;
use crate::nn::graph::NodeId;
use crate::nn::tiling::Part;

/// What is made of the units of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// ½ Σ a²: more of whatever is there already (Mordvintsev 2015).
    #[default]
    L2,
    Mean,
    Sum,
}

impl Measure {
    pub const ALL: [Self; 3] = [Self::L2, Self::Mean, Self::Sum];

    pub fn name(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::Mean => "mean",
            Self::Sum => "sum",
        }
    }
}

/// Which units of a layer count.
#[derive(Clone, Debug, PartialEq)]
pub enum Units {
    All,
    /// Whole maps; each index once.
    Channels(Vec<usize>),
    /// One unit; `x` and `y` from 0 (left, top) to 1.
    Neuron {
        channel: usize,
        x: f32,
        y: f32,
    },
}

/// What is asked of a blob.
#[derive(Clone, Debug, PartialEq)]
pub enum Score {
    Units {
        measure: Measure,
        units: Units,
    },
    /// Of a blob of class scores: the score of one class; the mean where a class has a map of scores.
    Logit(usize),
    /// Of a blob of class scores: the softmax probability of one class; the mean over the places of a map.
    Posterior(usize),
}

#[derive(Clone, Debug, PartialEq)]
struct Term {
    node: NodeId,
    weight: f32,
    score: Score,
}

/// A weighted sum of scores. Sums and multiples of objectives are objectives.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    terms: Vec<Term>,
}

impl Objective {
    pub fn new(node: NodeId, score: Score) -> Self {
        Self { terms: vec![Term { node, weight: 1.0, score }] }
    }

    /// No units of no layer: always 0.
    pub fn nothing() -> Self {
        Self { terms: Vec::new() }
    }

    /// The nodes whose blobs are read, each once.
    pub fn nodes(&self) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self.terms.iter().map(|term| term.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// What the units of `part_of` each node add to the value, after [`Session::forward`]; writes their seeds for
    /// [`Session::backward`], and zero for all others.
    pub fn value_and_seed(&self, session: &mut Session, part_of: impl Fn(NodeId) -> Part) -> f64 {
        let mut value = 0.0;
        for (i, term) in self.terms.iter().enumerate() {
            let (blob, seed) = session.blob_and_seed(term.node);
            if !self.terms[..i].iter().any(|earlier| earlier.node == term.node) {
                seed.fill(0.0);
            }
            value += term.value_and_seed(blob, &part_of(term.node), seed);
        }
        value
    }
}

impl Add for Objective {
    type Output = Self;

    fn add(mut self, mut other: Self) -> Self {
        self.terms.append(&mut other.terms);
        self
    }
}

impl Mul<Objective> for f32 {
    type Output = Objective;

    fn mul(self, mut objective: Objective) -> Objective {
        objective.terms.iter_mut().for_each(|term| term.weight *= self);
        objective
    }
}

impl Term {
    /// What the units of `part` add to the weighted score, of `blob` (NHWC); their gradient is added to `seed`.
    fn value_and_seed(&self, blob: View<'_, f32>, part: &Part, seed: &mut [f32]) -> f64 {
        let [_, channels, height, width] = blob.shape.as_maps().unwrap_or([1, blob.data.len(), 1, 1]);
        if let &Score::Units { measure, units: Units::Neuron { channel, x, y } } = &self.score {
            let Some([row, column]) = part.place([y, x]) else { return 0.0 };
            let one = (row * width + column) * channels..(row * width + column + 1) * channels;
            return f64::from(self.weight)
                * self.channels(measure, &[channel], 1, channels, &blob.data[one.clone()], &mut seed[one]);
        }
        let [rows, columns] = part.own.clone();
        // Whole maps are one run of values, parts of them a run a row.
        let (runs, row_len) = if columns == (0..width) {
            (1, rows.len() * width * channels)
        } else {
            (rows.len(), columns.len() * channels)
        };
        debug_assert!(rows.end <= height && columns.end <= width);
        let places = part.whole[0] * part.whole[1];
        let mut value = 0.0;
        for run in 0..runs {
            let start = ((rows.start + run) * width + columns.start) * channels;
            let (blob, seed) = (&blob.data[start..][..row_len], &mut seed[start..][..row_len]);
            value += match &self.score {
                Score::Units { measure, units: Units::Channels(chosen) } => {
                    self.channels(*measure, chosen, places, channels, blob, seed)
                }
                Score::Units { measure, .. } => self.whole(*measure, places * channels, blob, seed),
                &Score::Logit(class) => self.channels(Measure::Mean, &[class], places, channels, blob, seed),
                &Score::Posterior(class) => self.posterior(class, places, channels, blob, seed),
            };
        }
        f64::from(self.weight) * value
    }

    /// All of `blob`, of a layer of `units` units.
    fn whole(&self, measure: Measure, units: usize, blob: &[f32], seed: &mut [f32]) -> f64 {
        const CHUNK: usize = 1 << 15;
        let scale = self.weight * slope(measure, units);
        for_each_chunk_mut(seed, CHUNK, |i, seed| {
            for (d, &a) in seed.iter_mut().zip(&blob[i * CHUNK..]) {
                *d += if measure == Measure::L2 { scale * a } else { scale };
            }
        });
        match measure {
            Measure::L2 => 0.5 * sum_of(blob, |&a| f64::from(a) * f64::from(a)),
            Measure::Mean => sum_of(blob, |&a| f64::from(a)) / units as f64,
            Measure::Sum => sum_of(blob, |&a| f64::from(a)),
        }
    }

    /// The chosen channels of all places of `blob`, of a layer of `places` places.
    fn channels(
        &self,
        measure: Measure,
        chosen: &[usize],
        places: usize,
        channels: usize,
        blob: &[f32],
        seed: &mut [f32],
    ) -> f64 {
        let units = places * chosen.len();
        let scale = self.weight * slope(measure, units);
        let mut sum = 0.0;
        for (place, d_place) in blob.chunks_exact(channels).zip(seed.chunks_exact_mut(channels)) {
            for &channel in chosen {
                let a = place[channel];
                let (value, derivative) = match measure {
                    Measure::L2 => (0.5 * f64::from(a) * f64::from(a), a),
                    Measure::Mean | Measure::Sum => (f64::from(a), 1.0),
                };
                sum += value;
                d_place[channel] += scale * derivative;
            }
        }
        if measure == Measure::Mean { sum / units as f64 } else { sum }
    }

    /// All places of `blob`, of a layer of `places` places. With p = softmax(a): ∂p_class / ∂a_k = p_class · (δ − p_k).
    fn posterior(&self, class: usize, places: usize, classes: usize, blob: &[f32], seed: &mut [f32]) -> f64 {
        let places = places as f64;
        let mut sum = 0.0;
        for (scores, seed) in blob.chunks_exact(classes).zip(seed.chunks_exact_mut(classes)) {
            let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exp = |score: f32| (f64::from(score) - f64::from(highest)).exp();
            let total: f64 = scores.iter().map(|&score| exp(score)).sum();
            let p_class = exp(scores[class]) / total;
            sum += p_class;
            for (k, (d, &score)) in seed.iter_mut().zip(scores).enumerate() {
                let other = f64::from(u8::from(k == class)) - exp(score) / total;
                *d += (f64::from(self.weight) * p_class * other / places) as f32;
            }
        }
        sum / places
    }
}

/// The constant factor of a measure's derivative.
fn slope(measure: Measure, units: usize) -> f32 {
    if measure == Measure::Mean { 1.0 / units as f32 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::tensor::Shape;
    use crate::optvis::testing::{assert_close, same_on_any_pool, values};

    fn evaluate(objective: &Objective, shape: &Shape, blob: &[f32]) -> (f64, Vec<f32>) {
        let mut seed = vec![0.0; blob.len()];
        let [_, _, height, width] = shape.as_maps().expect("maps");
        let part = Part::all([height, width]);
        let value =
            objective.terms.iter().map(|term| term.value_and_seed(View::new(shape, blob), &part, &mut seed)).sum();
        (value, seed)
    }

    fn of(measure: Measure, units: Units) -> Objective {
        Objective::new(1, Score::Units { measure, units })
    }

    /// Two places of three channels.
    fn small() -> (Shape, [f32; 6]) {
        (Shape::maps(1, 3, 1, 2), [1.0, -2.0, 3.0, 4.0, 5.0, -6.0])
    }

    #[test]
    fn values_are_what_they_say() {
        let (shape, blob) = small();
        let channels = |list: &[usize]| Units::Channels(list.to_vec());
        let neuron = |x| Units::Neuron { channel: 1, x, y: 0.5 };
        let cases = [
            (of(Measure::L2, Units::All), 45.5, [1.0, -2.0, 3.0, 4.0, 5.0, -6.0]),
            (of(Measure::Sum, Units::All), 5.0, [1.0; 6]),
            (of(Measure::Mean, channels(&[0, 2])), 0.5, [0.25, 0.0, 0.25, 0.25, 0.0, 0.25]),
            (of(Measure::L2, channels(&[1])), 14.5, [0.0, -2.0, 0.0, 0.0, 5.0, 0.0]),
            (of(Measure::Sum, neuron(0.0)), -2.0, [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
            (of(Measure::Mean, neuron(1.0)), 5.0, [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
            (Objective::new(1, Score::Logit(2)), -1.5, [0.0, 0.0, 0.5, 0.0, 0.0, 0.5]),
        ];
        for (objective, value, seed) in cases {
            assert_eq!(evaluate(&objective, &shape, &blob), (value, seed.to_vec()), "{objective:?}");
        }
    }

    #[test]
    fn sums_and_multiples_are_objectives() {
        let (shape, blob) = small();
        let objective = 0.5 * of(Measure::L2, Units::All) + -2.0 * of(Measure::Sum, Units::Channels(vec![0]));
        let (value, seed) = evaluate(&objective, &shape, &blob);
        assert_eq!(value, 0.5 * 45.5 - 2.0 * 5.0);
        assert_eq!(seed, [0.5 - 2.0, -1.0, 1.5, 2.0 - 2.0, 2.5, -3.0]);
        let nodes = (objective + Objective::new(0, Score::Logit(0))).nodes();
        assert_eq!(nodes, [0, 1]);
    }

    #[test]
    fn gradients_are_those_of_the_values() {
        let shape = Shape::maps(1, 4, 3, 2);
        let blob = values(shape.len(), 6);
        let posterior = Objective::new(1, Score::Posterior(2));
        let (p, _) = evaluate(&posterior, &shape, &blob);
        assert!(p > 0.05 && p < 0.95, "{p} is a probability far from both ends");
        for objective in [
            posterior,
            3.0 * Objective::new(1, Score::Logit(3)),
            of(Measure::L2, Units::All),
            -0.5 * of(Measure::Mean, Units::All),
            of(Measure::L2, Units::Channels(vec![3, 1])),
            2.0 * of(Measure::L2, Units::Neuron { channel: 3, x: 0.5, y: 0.1 }),
        ] {
            let (_, seed) = evaluate(&objective, &shape, &blob);
            assert!(seed.iter().any(|&d| d != 0.0));
            for i in 0..blob.len() {
                let at = |shift: f32| {
                    let mut moved = blob.clone();
                    moved[i] += shift;
                    evaluate(&objective, &shape, &moved).0
                };
                let slope = (at(1.0 / 64.0) - at(-1.0 / 64.0)) * 32.0;
                assert_close(f64::from(seed[i]), slope, 1e-3, 1e-4);
            }
        }
    }

    #[test]
    fn large_scores_do_not_overflow_the_softmax() {
        let shape = Shape::vector(1, 3);
        let (p, seed) = evaluate(&Objective::new(1, Score::Posterior(0)), &shape, &[1000.0, 1000.0, -1000.0]);
        assert_close(p, 0.5, 1e-12, 0.0);
        assert_eq!(seed, [0.25, -0.25, 0.0]);
    }

    #[test]
    fn a_large_blob_is_summed_alike_on_any_number_of_threads() {
        let shape = Shape::maps(1, 64, 50, 40);
        let blob = values(shape.len(), 7);
        same_on_any_pool(|| evaluate(&of(Measure::L2, Units::All), &shape, &blob));
    }
}

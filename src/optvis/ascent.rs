//! The step rule: forward, objective, backward, adjoints, normalization, penalties, a step uphill.

use serde::{Deserialize, Serialize};

use super::laplacian::BandNormalizer;
use super::objective::Objective;
use super::param::Pixels;
use super::preprocess::ToNet;
use super::regularizer::Penalties;
use super::transform::Roll;
use super::{CHUNK, RGB};
use crate::base::parallel::{for_each_chunk_mut, sum_of};
use crate::nn::exec::frozen::Session;
use crate::nn::graph::Preprocess;
use crate::nn::ops::ReluRule;

/// By what the gradient of a step is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalization {
    /// The mean of |g| (Mordvintsev 2015).
    #[default]
    MeanAbs,
    /// Its standard deviation about zero.
    Std,
    /// Its L2 norm; steps are then shared out over the picture, so they want to be large.
    L2,
    /// Nothing: the plain gradient of the objective (Simonyan 2014).
    None,
}

/// How a step is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub normalization: Normalization,
    /// Bands of [`BandNormalizer`]; above 0 they take the place of `normalization`.
    pub laplacian: usize,
    pub penalties: Penalties,
    /// How far a step goes, in pixel values for a direction of 1.
    pub step_size: f32,
    /// Whether pixels are kept in their valid range.
    pub clip: bool,
    pub relu_rule: ReluRule,
}

#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum AscentError {
    #[error("the gradient overflowed: give the layers a smaller weight, or choose another layer")]
    NotFinite,
}

/// The memory to make steps at one size of picture.
pub struct Ascent {
    rule: Rule,
    objective: Objective,
    preprocess: Preprocess,
    size: [usize; 2],
    /// The picture, shifted; later the gradient, shifted.
    shifted: Vec<f32>,
    direction: Vec<f32>,
    bands: Option<BandNormalizer>,
}

impl Ascent {
    /// For pictures of `size`.
    pub fn new(rule: Rule, objective: Objective, preprocess: Preprocess, size: [usize; 2]) -> Self {
        let mut ascent =
            Self { rule, objective, preprocess, size: [0, 0], shifted: Vec::new(), direction: Vec::new(), bands: None };
        ascent.set_size(size);
        ascent
    }

    /// Makes ready for pictures of another size.
    pub fn set_size(&mut self, size: [usize; 2]) {
        let len = size[0] * size[1] * RGB;
        self.size = size;
        self.shifted.resize(len, 0.0);
        self.direction.resize(len, 0.0);
        self.bands = (self.rule.laplacian > 0).then(|| BandNormalizer::new(size, self.rule.laplacian));
    }

    /// Bytes of memory for pictures of `size`, without the session's.
    pub fn bytes(size: [usize; 2], laplacian: usize) -> usize {
        let picture = size[0] * size[1] * RGB * size_of::<f32>();
        2 * picture + if laplacian > 0 { BandNormalizer::bytes(size) } else { 0 }
    }

    /// One step uphill, seen through `roll`. Returns the objective before the step, without penalties.
    ///
    /// `session` is of this size, with gradient, for a net that has the objective's nodes as targets.
    ///
    /// # Errors
    /// When the gradient is not a number; the picture is then as it was.
    pub fn step(&mut self, pixels: &mut Pixels, session: &mut Session, roll: Roll) -> Result<f64, AscentError> {
        debug_assert_eq!(pixels.size(), self.size);
        let to_net = ToNet::new(&self.preprocess);
        roll.apply(self.size, pixels.rgb(), &mut self.shifted);
        to_net.apply(&self.shifted, session.input_mut());
        session.forward();
        let value = self.objective.value_and_seed(session);
        session.backward(self.rule.relu_rule);
        to_net.adjoint(session.d_input(), &mut self.shifted);
        roll.inverse().apply(self.size, &self.shifted, &mut self.direction);
        self.normalize()?;
        self.rule.penalties.subtract_gradient(self.size, pixels.rgb(), &mut self.direction);
        pixels.ascend(&self.direction, self.rule.step_size, self.rule.clip);
        Ok(value)
    }

    fn normalize(&mut self) -> Result<(), AscentError> {
        let strength = strength(&self.direction, self.rule.normalization);
        if !strength.is_finite() {
            return Err(AscentError::NotFinite);
        }
        if let Some(bands) = &mut self.bands {
            bands.normalize(&mut self.direction);
        } else if strength > 0.0 {
            let factor = 1.0 / strength;
            for_each_chunk_mut(&mut self.direction, CHUNK, |_, values| {
                values.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
            });
        }
        Ok(())
    }
}

/// What the gradient is divided by. Not finite exactly when some value is not, for every kind.
fn strength(gradient: &[f32], normalization: Normalization) -> f64 {
    let squares = || sum_of(gradient, |&g| f64::from(g) * f64::from(g));
    let len = gradient.len().max(1) as f64;
    match normalization {
        Normalization::MeanAbs => sum_of(gradient, |&g| f64::from(g.abs())) / len,
        Normalization::Std => (squares() / len).sqrt(),
        Normalization::L2 => squares().sqrt(),
        Normalization::None if squares().is_finite() => 1.0,
        Normalization::None => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optvis::testing::assert_close;

    #[test]
    fn strengths_are_what_they_say() {
        let gradient = [3.0, -4.0, 0.0, 0.0];
        let cases = [
            (Normalization::MeanAbs, 7.0 / 4.0),
            (Normalization::Std, 2.5),
            (Normalization::L2, 5.0),
            (Normalization::None, 1.0),
        ];
        for (normalization, expected) in cases {
            assert_close(strength(&gradient, normalization), expected, 1e-12, 0.0);
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                assert!(!strength(&[1.0, bad], normalization).is_finite(), "{normalization:?} {bad}");
            }
        }
    }
}

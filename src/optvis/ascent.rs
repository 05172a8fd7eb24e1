//! The step rule: forward, objective, backward, adjoints, normalization, penalties, a step uphill.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::laplacian::BandNormalizer;
use super::objective::Objective;
use super::param::Pixels;
use super::preprocess::ToNet;
use super::regularizer::Penalties;
use super::transform::{Patch, Roll};
use super::{CHUNK, RGB};
use crate::base::parallel::{for_each_chunk_mut, sum_of};
use crate::nn::exec::frozen::Session;
use crate::nn::graph::{ChannelOrder, Preprocess};
use crate::nn::ops::ReluRule;
use crate::nn::tiling::Tiling;

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

/// The net that a step asks: for one piece of the picture after another, or for all of it as the only piece.
pub struct Pieces {
    /// For pictures of the tiles' size, with gradient.
    pub session: Session,
    pub tiling: Tiling,
}

impl Pieces {
    /// Measures how long one piece takes, on a picture of nothing.
    pub fn time(&mut self, objective: &Objective) -> Duration {
        let start = Instant::now();
        self.session.input_mut().fill(0.0);
        self.session.forward();
        objective.value_and_seed(&mut self.session, |node| self.tiling.part(0, node));
        self.session.backward(ReluRule::default());
        start.elapsed()
    }
}

/// The memory to make steps at one size of picture.
pub struct Ascent {
    rule: Rule,
    objective: Objective,
    preprocess: Preprocess,
    size: [usize; 2],
    /// The gradient, as far as its pieces are computed.
    direction: Vec<f32>,
    bands: Option<BandNormalizer>,
    /// The pieces that are in `direction`, and what they add to the objective.
    pieces_done: usize,
    value: f64,
}

impl Ascent {
    /// For pictures of `size`.
    pub fn new(rule: Rule, objective: Objective, preprocess: Preprocess, size: [usize; 2]) -> Self {
        let (direction, bands, pieces_done, value) = (Vec::new(), None, 0, 0.0);
        let mut ascent = Self { rule, objective, preprocess, size: [0, 0], direction, bands, pieces_done, value };
        ascent.set_size(size);
        ascent
    }

    /// Makes ready for pictures of another size.
    pub fn set_size(&mut self, size: [usize; 2]) {
        self.size = size;
        self.pieces_done = 0;
        // The old memory goes before the new comes.
        (self.direction, self.bands) = (Vec::new(), None);
        self.direction = vec![0.0; size[0] * size[1] * RGB];
        self.bands = (self.rule.laplacian > 0).then(|| BandNormalizer::new(size, self.rule.laplacian));
    }

    /// Bytes of memory for pictures of `size`, without the session's.
    pub fn bytes(size: [usize; 2], laplacian: usize) -> usize {
        let picture = size[0] * size[1] * RGB * size_of::<f32>();
        picture + if laplacian > 0 { BandNormalizer::bytes(size) } else { 0 }
    }

    /// Computes one more piece of the gradient of `pixels`, seen through `roll`. With the last piece, goes a step uphill
    /// and returns the objective before the step, without penalties; before that, returns nothing.
    ///
    /// `pieces` are of this size, for a net that has the objective's nodes as targets. Pixels and roll stay the same until
    /// the step is made.
    ///
    /// # Errors
    /// When the gradient is not a number; the picture is then as it was.
    pub fn advance(
        &mut self,
        pixels: &mut Pixels,
        pieces: &mut Pieces,
        roll: Roll,
    ) -> Result<Option<f64>, AscentError> {
        debug_assert_eq!((pixels.size(), pieces.tiling.size()), (self.size, self.size));
        if self.pieces_done == 0 {
            self.value = 0.0;
            for_each_chunk_mut(&mut self.direction, CHUNK, |_, values| values.fill(0.0));
        }
        self.add_piece(pixels.rgb(), pieces, roll);
        self.pieces_done += 1;
        if self.pieces_done < pieces.tiling.count() {
            return Ok(None);
        }
        self.pieces_done = 0;
        self.go_uphill(pixels)?;
        Ok(Some(self.value))
    }

    /// Makes the step, of a gradient that is computed.
    fn go_uphill(&mut self, pixels: &mut Pixels) -> Result<(), AscentError> {
        self.normalize()?;
        self.rule.penalties.subtract_gradient(self.size, pixels.rgb(), &mut self.direction);
        pixels.ascend(&self.direction, self.rule.step_size, self.rule.clip);
        Ok(())
    }

    /// Measures how long what a step does besides asking the net takes for each pixel.
    pub fn seconds_a_pixel(rule: Rule) -> f64 {
        /// Too large for the caches.
        const SIZE: [usize; 2] = [1024, 1024];
        let values = SIZE[0] * SIZE[1] * RGB;
        let gray = Preprocess { order: ChannelOrder::Rgb, mean: vec![0.0; RGB], scale: vec![1.0; RGB] };
        let mut ascent = Self::new(rule, Objective::nothing(), gray, SIZE);
        ascent.direction.iter_mut().enumerate().for_each(|(i, d)| *d = (i % 7) as f32 - 3.0);
        let mut pixels = Pixels::new(SIZE, vec![0.0; values]);
        let start = Instant::now();
        // A gradient of small numbers is finite.
        let _ = ascent.go_uphill(&mut pixels);
        start.elapsed().as_secs_f64() / (SIZE[0] * SIZE[1]) as f64
    }

    /// The pieces of the step in work that are computed.
    pub fn pieces_done(&self) -> usize {
        self.pieces_done
    }

    fn add_piece(&mut self, rgb: &[f32], Pieces { session, tiling }: &mut Pieces, roll: Roll) {
        let (to_net, channels) = (ToNet::new(&self.preprocess), self.preprocess.mean.len());
        let tile = self.pieces_done;
        let patch = Patch { roll, picture: self.size, origin: tiling.origin_px(tile), size: tiling.tile_size() };
        patch.read(rgb, session.input_mut(), channels, |rgb, net| to_net.apply(rgb, net));
        session.forward();
        self.value += self.objective.value_and_seed(session, |node| tiling.part(tile, node));
        session.backward(self.rule.relu_rule);
        let d_rgb = &mut self.direction;
        patch.add_to(session.d_input(), d_rgb, channels, |d_net, d_rgb| to_net.add_adjoint(d_net, d_rgb));
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

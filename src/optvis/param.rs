//! What a picture is made of.
//!
//! Today that is pixels. Whatever takes their place (Fourier coefficients, a small net) renders the same RGB values, and
//! pulls a direction in RGB back to its own parameters by the adjoint of that rendering.

use super::CHUNK;
use crate::base::parallel::for_each_chunk_mut;

/// Values of a pixel that a file can hold.
pub const PIXEL_RANGE: [f32; 2] = [0.0, 255.0];

/// A picture that is its own parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Pixels {
    size: [usize; 2],
    rgb: Vec<f32>,
}

impl Pixels {
    /// `rgb` is height × width × RGB.
    ///
    /// # Panics
    /// When the number of values is another.
    pub fn new(size: [usize; 2], rgb: Vec<f32>) -> Self {
        assert_eq!(rgb.len(), size[0] * size[1] * super::RGB, "a picture of {size:?} has three values a pixel");
        Self { size, rgb }
    }

    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    pub fn rgb(&self) -> &[f32] {
        &self.rgb
    }

    pub fn into_rgb(self) -> Vec<f32> {
        self.rgb
    }

    /// Goes `step` times `direction` uphill, and back into [`PIXEL_RANGE`] when `clip` is set.
    pub fn ascend(&mut self, direction: &[f32], step: f32, clip: bool) {
        let [low, high] = if clip { PIXEL_RANGE } else { [f32::NEG_INFINITY, f32::INFINITY] };
        for_each_chunk_mut(&mut self.rgb, CHUNK, |i, rgb| {
            for (value, d) in rgb.iter_mut().zip(&direction[i * CHUNK..]) {
                *value = (*value + step * d).clamp(low, high);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_goes_up_and_stays_in_range() {
        let mut pixels = Pixels::new([1, 1], vec![10.0, 1.0, 254.0]);
        pixels.ascend(&[1.0, -1.0, 1.0], 2.5, true);
        assert_eq!(pixels.rgb(), [12.5, 0.0, 255.0]);
        pixels.ascend(&[1.0, -1.0, 1.0], 2.5, false);
        assert_eq!(pixels.rgb(), [15.0, -2.5, 257.5]);
    }
}

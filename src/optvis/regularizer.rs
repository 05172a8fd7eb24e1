//! Penalties on pictures. They are subtracted from the objective, so their gradients from the direction of ascent.
//!
//! A penalty sees the picture as `z = (pixel − mean gray of the net) / 127.5`, about -1 to 1, so that a weight means the
//! same for every net, whatever the scale of its input.

use super::{CHUNK, RGB};
use crate::base::parallel::{for_each_chunk_mut, sum_of};
use crate::nn::graph::{ChannelOrder, Preprocess};

/// Half the range of a pixel.
pub const HALF_RANGE: f32 = 127.5;

/// Differences well below this (a quarter of a pixel value) count as none: total variation has a kink there.
const TV_ROUNDING: f32 = 0.25 / HALF_RANGE;

/// Weights of the penalties, and the gray that a picture is pulled to.
#[derive(Clone, Debug, PartialEq)]
pub struct Penalties {
    /// Of ½ Σ z² (Simonyan 2014).
    pub l2: f32,
    /// Of the total variation Σ √(∂z/∂x² + ∂z/∂y²) of each colour (Rudin 1992).
    pub tv: f32,
    /// What the net sees as zero, as RGB pixel values.
    pub mean: [f32; RGB],
}

impl Penalties {
    /// With the net's own mean gray.
    pub fn new(preprocess: &Preprocess, l2: f32, tv: f32) -> Self {
        let mean = match (preprocess.order, preprocess.mean.as_slice()) {
            (ChannelOrder::Rgb, &[red, green, blue]) | (ChannelOrder::Bgr, &[blue, green, red]) => [red, green, blue],
            (_, mean) => [mean.first().copied().unwrap_or(HALF_RANGE); RGB],
        };
        Self { l2, tv, mean }
    }

    /// The sum of the weighted penalties on the picture `rgb`.
    pub fn value(&self, [height, width]: [usize; 2], rgb: &[f32]) -> f64 {
        let mut value = 0.0;
        if self.l2 != 0.0 {
            let pixels = rgb.as_chunks::<RGB>().0;
            let square = |z: f32| f64::from(z) * f64::from(z);
            let energy =
                sum_of(pixels, |rgb| rgb.iter().zip(self.mean).map(|(v, m)| square((v - m) / HALF_RANGE)).sum());
            value += f64::from(self.l2) * 0.5 * energy;
        }
        if self.tv != 0.0 {
            let rows: Vec<usize> = (0..height).collect();
            let variation = |&y: &usize| {
                (0..width * RGB).map(|i| f64::from(slope_at(rgb, [height, width], y, i).length)).sum::<f64>()
            };
            value += f64::from(self.tv) * sum_of(&rows, variation);
        }
        value
    }

    /// Subtracts the gradient with respect to `z` from `direction`.
    pub fn subtract_gradient(&self, size: [usize; 2], rgb: &[f32], direction: &mut [f32]) {
        if self.l2 != 0.0 {
            for_each_chunk_mut(direction, CHUNK, |i, direction| {
                let pixels = rgb[i * CHUNK..].as_chunks::<RGB>().0;
                for (d, rgb) in direction.as_chunks_mut::<RGB>().0.iter_mut().zip(pixels) {
                    for (d, (value, mean)) in d.iter_mut().zip(rgb.iter().zip(self.mean)) {
                        *d -= self.l2 * (value - mean) / HALF_RANGE;
                    }
                }
            });
        }
        if self.tv != 0.0 {
            for_each_chunk_mut(direction, size[1] * RGB, |y, row| {
                for (i, d) in row.iter_mut().enumerate() {
                    *d -= self.tv * tv_gradient_at(rgb, size, y, i);
                }
            });
        }
    }
}

/// The slope of `z` at one value of a picture, by forward differences; none across the last row and column.
struct Slope {
    x: f32,
    y: f32,
    length: f32,
}

/// `i` counts the values of the row `y`.
fn slope_at(rgb: &[f32], [height, width]: [usize; 2], y: usize, i: usize) -> Slope {
    let row_len = width * RGB;
    let at = y * row_len + i;
    let x = if i + RGB < row_len { (rgb[at + RGB] - rgb[at]) / HALF_RANGE } else { 0.0 };
    let y = if y + 1 < height { (rgb[at + row_len] - rgb[at]) / HALF_RANGE } else { 0.0 };
    Slope { x, y, length: (x * x + y * y + TV_ROUNDING * TV_ROUNDING).sqrt() }
}

/// The derivative of total variation: of the slope here, and of those at the left and above that end here.
fn tv_gradient_at(rgb: &[f32], size: [usize; 2], y: usize, i: usize) -> f32 {
    let here = slope_at(rgb, size, y, i);
    let mut gradient = -(here.x + here.y) / here.length;
    if i >= RGB {
        let left = slope_at(rgb, size, y, i - RGB);
        gradient += left.x / left.length;
    }
    if y > 0 {
        let above = slope_at(rgb, size, y - 1, i);
        gradient += above.y / above.length;
    }
    gradient
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optvis::testing::{assert_close, values};

    fn penalties(l2: f32, tv: f32) -> Penalties {
        Penalties { l2, tv, mean: [100.0, 127.0, 150.0] }
    }

    #[test]
    fn the_mean_is_told_in_rgb() {
        let preprocess = Preprocess { order: ChannelOrder::Bgr, mean: vec![1.0, 2.0, 3.0], scale: vec![1.0; 3] };
        assert_eq!(Penalties::new(&preprocess, 0.0, 0.0).mean, [3.0, 2.0, 1.0]);
        let preprocess = Preprocess { order: ChannelOrder::Gray, mean: vec![9.0], scale: vec![1.0] };
        assert_eq!(Penalties::new(&preprocess, 0.0, 0.0).mean, [9.0; 3]);
    }

    #[test]
    fn gradients_are_those_of_the_values() {
        let size = [4, 5];
        let rgb: Vec<f32> = values(4 * 5 * RGB, 5).iter().map(|v| 128.0 + 60.0 * v).collect();
        for penalties in [penalties(0.7, 0.0), penalties(0.0, 0.3), penalties(0.2, 0.9)] {
            let mut direction = vec![0.0; rgb.len()];
            penalties.subtract_gradient(size, &rgb, &mut direction);
            for i in 0..rgb.len() {
                let value_at = |shift: f32| {
                    let mut moved = rgb.clone();
                    moved[i] += shift;
                    penalties.value(size, &moved)
                };
                let slope = (value_at(0.25) - value_at(-0.25)) / f64::from(0.5 / HALF_RANGE);
                assert_close(-f64::from(direction[i]), slope, 1e-2, 2e-3);
            }
        }
    }

    #[test]
    fn penalties_pull_towards_gray_and_flatten() {
        let mut direction = vec![0.0; 3];
        penalties(2.0, 0.0).subtract_gradient([1, 1], &[227.5, 127.0, 22.5], &mut direction);
        assert_eq!(direction, [-2.0, 0.0, 2.0]);
        let mut direction = vec![0.0; 6];
        penalties(0.0, 1.0).subtract_gradient([1, 2], &[0.0, 50.0, 0.0, 100.0, 50.0, 0.0], &mut direction);
        assert!(direction[0] > 0.99 && direction[3] < -0.99, "{direction:?}");
        assert_eq!([direction[1], direction[2], direction[4], direction[5]], [0.0; 4]);
    }
}

//! A picture in memory.

use super::resize::{Filter, resize};

/// An upright RGB picture: sRGB-encoded, 0 to 255, row-major from the top left.
///
/// The lengths of `rgb` and `alpha` must fit `width` and `height`; the constructors see to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    /// Interleaved RGB, `3 · width · height` values from 0 to 255.
    pub rgb: Vec<f32>,
    /// `width · height` values from 0 (clear) to 255 (opaque), not premultiplied; `None` when all is opaque.
    pub alpha: Option<Vec<f32>>,
}

impl Picture {
    /// An opaque picture from interleaved values.
    ///
    /// # Panics
    /// When there are not `3 · width · height` values.
    pub fn from_rgb(width: usize, height: usize, rgb: Vec<f32>) -> Self {
        assert_eq!(rgb.len(), 3 * width * height, "a picture of {width}×{height} has three values a pixel");
        Self { width, height, rgb, alpha: None }
    }

    /// An opaque picture from interleaved bytes.
    ///
    /// # Panics
    /// When there are not `3 · width · height` bytes.
    pub fn from_rgb8(width: usize, height: usize, rgb: &[u8]) -> Self {
        Self::from_rgb(width, height, rgb.iter().map(|&value| f32::from(value)).collect())
    }

    /// A picture of one colour.
    pub fn filled(width: usize, height: usize, rgb: [f32; 3]) -> Self {
        Self::from_rgb(width, height, rgb.repeat(width * height))
    }

    /// The same colours under another alpha.
    ///
    /// # Panics
    /// When there are not `width · height` values.
    #[must_use]
    pub fn with_alpha(mut self, alpha: Option<Vec<f32>>) -> Self {
        if let Some(alpha) = &alpha {
            assert_eq!(alpha.len(), self.len(), "alpha has one value a pixel");
        }
        self.alpha = alpha;
        self
    }

    /// The number of pixels.
    pub fn len(&self) -> usize {
        self.width * self.height
    }

    /// Whether there are no pixels. Never so for a picture from a file.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[height, width]`.
    pub fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// The colours in 8 bits, rounded to nearest and cut to 0 to 255 (NaN is 0); interleaved RGB.
    pub fn to_u8(&self) -> Vec<u8> {
        self.rgb.iter().map(|&value| byte_of(value)).collect()
    }

    /// The Rec. 709 luma of every pixel, 0 to 255, of the encoded (not linear) values.
    pub fn luma(&self) -> Vec<f32> {
        self.rgb.as_chunks::<3>().0.iter().map(super::color::luma).collect()
    }

    /// The colours as seen on an opaque ground of colour `ground`, without alpha.
    #[must_use]
    pub fn flattened_onto(&self, ground: [f32; 3]) -> Self {
        let mut rgb = self.rgb.clone();
        if let Some(alpha) = &self.alpha {
            for (pixel, alpha) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(alpha) {
                let cover = alpha.clamp(0.0, 255.0) / 255.0;
                for (value, ground) in pixel.iter_mut().zip(ground) {
                    *value = *value * cover + ground * (1.0 - cover);
                }
            }
        }
        Self::from_rgb(self.width, self.height, rgb)
    }

    /// The picture in another size, in its encoded values (as the field's own tools do), cut to 0 to 255.
    ///
    /// Colours are weighted by alpha, so that what lies hidden under clear pixels does not bleed into edges.
    #[must_use]
    pub fn resized(&self, to: [usize; 2], filter: Filter) -> Self {
        if to == self.size() { self.clone() } else { self.resampled(to, filter) }
    }

    /// As [`Picture::resized`], without a copy where the picture has that size.
    #[must_use]
    pub fn into_resized(self, to: [usize; 2], filter: Filter) -> Self {
        if to == self.size() { self } else { self.resampled(to, filter) }
    }

    fn resampled(&self, to: [usize; 2], filter: Filter) -> Self {
        let [height, width] = to;
        let resized = |values: &[f32], channels| resize(values, channels, self.size(), to, filter);
        let mut rgb = resized(&self.rgb, 3);
        let alpha = self.alpha.as_ref().map(|alpha| {
            let covered: Vec<f32> = self
                .rgb
                .as_chunks::<3>()
                .0
                .iter()
                .zip(alpha)
                .flat_map(|(rgb, &a)| rgb.map(|value| value * a))
                .collect();
            let covered = resized(&covered, 3);
            let mut alpha = resized(alpha, 1);
            let pixels = rgb.as_chunks_mut::<3>().0.iter_mut().zip(covered.as_chunks::<3>().0);
            for ((pixel, covered), alpha) in pixels.zip(&mut alpha) {
                // Below half a step of 8 bits a pixel is not seen: its plain interpolation serves.
                if *alpha >= 0.5 {
                    *pixel = covered.map(|value| value / *alpha);
                }
                *alpha = alpha.clamp(0.0, 255.0);
            }
            alpha
        });
        rgb.iter_mut().for_each(|value| *value = value.clamp(0.0, 255.0));
        Self { width, height, rgb, alpha }
    }
}

/// 8 bits: to nearest, without dithering.
pub(super) fn byte_of(value: f32) -> u8 {
    value.round() as u8
}

/// 16 bits: to nearest of the 65536 steps between 0 and 255.
pub(super) fn word_of(value: f32) -> u16 {
    (value * 257.0).round() as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantization_rounds_to_nearest_and_cuts() {
        let values = [-3.0, 0.49, 0.5, 1.5, 254.5, 255.4, 1e9, f32::NAN];
        assert_eq!(values.map(byte_of), [0, 0, 1, 2, 255, 255, 255, 0]);
        assert_eq!([-1.0, 0.0, 1.0, 255.0, 256.0].map(word_of), [0, 0, 257, 65535, 65535]);
        assert!((0..=u16::MAX).all(|word| word_of(f32::from(word) / 257.0) == word));
    }

    #[test]
    fn a_clear_pixel_is_the_ground() {
        let picture = Picture::from_rgb8(3, 1, &[10, 20, 30, 10, 20, 30, 10, 20, 30]);
        let flat = picture.with_alpha(Some(vec![255.0, 0.0, 127.5])).flattened_onto([255.0; 3]);
        assert_eq!(flat.to_u8(), [10, 20, 30, 255, 255, 255, 133, 138, 143]);
        assert_eq!(flat.alpha, None);
    }

    #[test]
    fn hidden_colours_do_not_bleed() {
        // Red, opaque, on the left; green, clear, on the right.
        let rgb: Vec<f32> =
            (0..64).flat_map(|i| if i % 8 < 4 { [200.0, 0.0, 0.0] } else { [0.0, 200.0, 0.0] }).collect();
        let alpha = (0..64).map(|i| if i % 8 < 4 { 255.0 } else { 0.0 }).collect();
        let picture = Picture::from_rgb(8, 8, rgb).with_alpha(Some(alpha));
        for filter in [Filter::Lanczos3, Filter::CatmullRom, Filter::Bilinear] {
            let small = picture.resized([3, 3], filter);
            let alpha = small.alpha.as_ref().expect("alpha is kept");
            assert!(alpha.iter().all(|a| (0.0..=255.0).contains(a)));
            for (pixel, &alpha) in small.rgb.as_chunks::<3>().0.iter().zip(alpha) {
                assert!(alpha < 0.5 || (pixel[0] - 200.0).abs() < 0.01 && pixel[1].abs() < 0.01, "{pixel:?} {alpha}");
            }
            assert!(alpha[1] > 20.0 && alpha[1] < 235.0, "the edge is soft: {}", alpha[1]);
        }
    }

    #[test]
    fn luma_weighs_green_most() {
        let picture = Picture::from_rgb8(4, 1, &[255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9]);
        let expected = [54.213, 182.376, 18.411, 9.0];
        assert!(picture.luma().iter().zip(expected).all(|(got, want)| (got - want).abs() < 1e-3));
    }
}

//! Pictures and details in another size. Values are never cut: a detail may be negative.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use crate::base::parallel;

/// A resampling kernel. When a picture gets smaller, the kernel is widened with the step, so that nothing aliases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Sharpest; overshoots a little at hard edges.
    #[default]
    Lanczos3,
    /// Bicubic with a = −0.5: softer, with less overshoot.
    CatmullRom,
    /// The triangle: never leaves the range of its input.
    Bilinear,
}

/// Resamples interleaved `pixels` of `channels` (1 to 4) values each from size `from` to size `to`, both
/// `[height, width]`, with pixel centres at half-integers (PyTorch's `align_corners=False` with antialiasing).
///
/// The channels do not see each other: weighting by alpha is [`super::Picture::resized`]'s.
///
/// # Panics
/// When a size is 0, `channels` is not 1 to 4, or `pixels` does not have the length that they give.
pub fn resize(pixels: &[f32], channels: usize, from: [usize; 2], to: [usize; 2], filter: Filter) -> Vec<f32> {
    check_sizes(pixels, channels, from, to);
    if from == to {
        return pixels.to_vec();
    }
    let pixel_type = match channels {
        1 => PixelType::F32,
        2 => PixelType::F32x2,
        3 => PixelType::F32x3,
        _ => PixelType::F32x4,
    };
    let kernel = match filter {
        Filter::Lanczos3 => FilterType::Lanczos3,
        Filter::CatmullRom => FilterType::CatmullRom,
        Filter::Bilinear => FilterType::Bilinear,
    };
    let side = |px: usize| u32::try_from(px).expect("a side of a picture fits 32 bits");
    let mut resized = vec![0.0f32; to[0] * to[1] * channels];
    let source = ImageRef::new(side(from[1]), side(from[0]), bytemuck::cast_slice(pixels), pixel_type)
        .expect("the source has the length that was checked and the alignment of f32");
    let mut target = Image::from_slice_u8(side(to[1]), side(to[0]), bytemuck::cast_slice_mut(&mut resized), pixel_type)
        .expect("the target has the length that it was made with and the alignment of f32");
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(kernel)).use_alpha(false);
    Resizer::new().resize(&source, &mut target, &options).expect("source and target have one pixel type");
    resized
}

/// Linear interpolation with aligned corners and without antialiasing: `scipy.ndimage.zoom(order=1)` of interleaved
/// `pixels`, with the output size given. The resampling of Google's 2015 deep dream.
///
/// Output row i is taken at source row i · (from − 1) / (to − 1), in `f64` as scipy does, and rounded to `f32` once. At
/// some sizes (8 to 26, for one) rounding carries the last position past the last line; scipy then writes a line of
/// zeros, this the last line.
///
/// # Panics
/// When a size is 0, `channels` is not 1 to 4, or `pixels` does not have the length that they give.
pub fn zoom_linear(pixels: &[f32], channels: usize, from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    check_sizes(pixels, channels, from, to);
    let [_, from_width] = from;
    let rows = taps(from[0], to[0]);
    let columns = taps(from_width, to[1]);
    let mut zoomed = vec![0.0f32; to[0] * to[1] * channels];
    parallel::for_each_chunk_mut(&mut zoomed, to[1] * channels, |i, out| {
        let row = rows[i];
        let value = |y: usize, x: usize, c: usize| f64::from(pixels[(y * from_width + x) * channels + c]);
        for (pixel, column) in out.chunks_exact_mut(channels).zip(&columns) {
            for (c, out) in pixel.iter_mut().enumerate() {
                let across = |y| column.mix(value(y, column.low, c), value(y, column.high, c));
                *out = row.mix(across(row.low), across(row.high)) as f32;
            }
        }
    });
    zoomed
}

/// Between which two source lines an output line lies, and how far from the first.
#[derive(Clone, Copy)]
struct Tap {
    low: usize,
    high: usize,
    fraction: f64,
}

impl Tap {
    fn mix(self, low: f64, high: f64) -> f64 {
        low * (1.0 - self.fraction) + high * self.fraction
    }
}

fn taps(from: usize, to: usize) -> Vec<Tap> {
    let step = if to > 1 { (from - 1) as f64 / (to - 1) as f64 } else { 0.0 };
    (0..to)
        .map(|i| {
            let position = i as f64 * step;
            // Rounding may carry the last position past the last line.
            let low = (position as usize).min(from - 1);
            Tap { low, high: (low + 1).min(from - 1), fraction: (position - low as f64).min(1.0) }
        })
        .collect()
}

fn check_sizes(pixels: &[f32], channels: usize, from: [usize; 2], to: [usize; 2]) {
    assert!((1..=4).contains(&channels), "a picture has 1 to 4 channels, not {channels}");
    assert!(from.into_iter().chain(to).all(|px| px > 0), "cannot resize {from:?} to {to:?}: a side is 0");
    assert_eq!(pixels.len(), from[0] * from[1] * channels, "{from:?} with {channels} channels");
}

#[cfg(test)]
#[path = "tests/resize.rs"]
mod tests;

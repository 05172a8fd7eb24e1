//! Pictures and details in another size. Values are never cut: a detail may be negative.

use std::ops::Range;

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
    let mut resized = Vec::with_capacity(to[0] * to[1] * channels);
    resize_strips(pixels, channels, from, to, filter, |rows| {
        if resized.is_empty() && rows.len() == to[0] * to[1] * channels {
            resized = rows;
        } else {
            resized.extend_from_slice(&rows);
        }
    });
    resized
}

/// As [`resize`], handing out the result from the top down, some rows at a time, so that neither it nor what lies between
/// the passes over columns and rows need be in memory whole.
///
/// # Panics
/// As [`resize`].
pub fn resize_strips(
    pixels: &[f32],
    channels: usize,
    from: [usize; 2],
    to: [usize; 2],
    filter: Filter,
    mut take: impl FnMut(Vec<f32>),
) {
    check_sizes(pixels, channels, from, to);
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
    let source = ImageRef::new(side(from[1]), side(from[0]), bytemuck::cast_slice(pixels), pixel_type)
        .expect("the source has the length that was checked and the alignment of f32");
    let mut resizer = Resizer::new();
    for rows in strips(from, to, channels) {
        let mut strip = vec![0.0f32; rows.len() * to[1] * channels];
        let (width, height) = (side(to[1]), side(rows.len()));
        let mut target = Image::from_slice_u8(width, height, bytemuck::cast_slice_mut(&mut strip), pixel_type)
            .expect("the target has the length that it was made with and the alignment of f32");
        let mut options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(kernel)).use_alpha(false);
        if rows.len() < to[0] {
            let rows_a_row = from[0] as f64 / to[0] as f64;
            let top = rows.start as f64 * rows_a_row;
            let height = (rows.len() as f64 * rows_a_row).min(from[0] as f64 - top);
            options = options.crop(0.0, top, from[1] as f64, height);
        }
        resizer.resize(&source, &mut target, &options).expect("source and target have one pixel type");
        take(strip);
    }
}

/// Rows of the result that are made at a time: one strip for pictures of today's screens, and strips of about
/// [`STRIP_VALUES`] for larger ones.
fn strips(from: [usize; 2], to: [usize; 2], channels: usize) -> impl Iterator<Item = Range<usize>> {
    let values = (from[0] * to[1]).max(to[0] * to[1]) * channels;
    let rows = to[0].div_ceil(values.div_ceil(STRIP_VALUES));
    (0..to[0]).step_by(rows).map(move |start| start..(start + rows).min(to[0]))
}

/// 64 MiB.
const STRIP_VALUES: usize = 1 << 24;

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
    let mut zoomed = Vec::new();
    zoom_linear_strips(pixels, channels, from, to, |rows| {
        if zoomed.is_empty() {
            zoomed = rows;
        } else {
            zoomed.extend_from_slice(&rows);
        }
    });
    zoomed
}

/// As [`zoom_linear`], handing out the result from the top down, some rows at a time.
///
/// # Panics
/// As [`zoom_linear`].
pub fn zoom_linear_strips(
    pixels: &[f32],
    channels: usize,
    from: [usize; 2],
    to: [usize; 2],
    mut take: impl FnMut(Vec<f32>),
) {
    check_sizes(pixels, channels, from, to);
    let (rows, columns) = (taps(from[0], to[0]), taps(from[1], to[1]));
    for strip in strips(from, to, channels) {
        take(zoomed_rows(pixels, channels, from[1], &rows[strip], &columns));
    }
}

fn zoomed_rows(pixels: &[f32], channels: usize, from_width: usize, rows: &[Tap], columns: &[Tap]) -> Vec<f32> {
    let mut zoomed = vec![0.0f32; rows.len() * columns.len() * channels];
    parallel::for_each_chunk_mut(&mut zoomed, columns.len() * channels, |i, out| {
        let row = rows[i];
        let value = |y: usize, x: usize, c: usize| f64::from(pixels[(y * from_width + x) * channels + c]);
        for (pixel, column) in out.chunks_exact_mut(channels).zip(columns) {
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

//! The epilogue of every fast kernel, and the pass that is nothing but an epilogue.

use crate::base::parallel;
use crate::base::simd::{LANES, Lanes, Level, for_each_level};
use crate::nn::ops::maps::{FusedActivation, Source, Target};

/// Finishes and writes `count` ≤ 16 values of `pixel` from channel `column` (a multiple of 16) on.
///
/// # Safety
/// All pointers of `target` must be valid for the pixel and the channels.
#[inline(always)]
pub unsafe fn finish_lanes<L: Lanes>(mut y: L, count: usize, target: &Target, pixel: usize, column: usize) {
    unsafe {
        let finish = &target.finish;
        if !finish.bias.is_null() {
            y = y.add(L::load_first(finish.bias.wrapping_add(column), count));
        }
        if !finish.add.is_null() {
            y = y.add(L::load_first(finish.add.wrapping_add(pixel * finish.add_stride + column), count));
        }
        match finish.activation {
            FusedActivation::None => {}
            FusedActivation::Clamp { low, high, bits, bits_stride } => {
                let (low, high) = (L::splat(low), L::splat(high));
                if !bits.is_null() {
                    *bits.wrapping_add(pixel * bits_stride + column / LANES) = y.bits_between(low, high);
                }
                y = y.max(low).min(high);
            }
            FusedActivation::Gate { bits, bits_stride, positive_only } => {
                if !bits.is_null() {
                    y = y.keep(*bits.wrapping_add(pixel * bits_stride + column / LANES));
                }
                if positive_only {
                    y = y.max(L::splat(0.0));
                }
            }
        }
        y.store_first(target.data.wrapping_add(pixel * target.pixel_stride + column), count);
    }
}

/// Some rows of a finished tile: `sums` holds `width` values for each pixel of `pixels`, of which `columns` count.
pub struct FinishRows<'a> {
    pub sums: *const f32,
    pub width: usize,
    pub columns: usize,
    pub column: usize,
    pub pixels: &'a [usize],
    pub target: &'a Target,
}

/// As [`finish_lanes`] row by row, but what a whole tile has in common is decided and loaded once: whole vectors of a
/// column, then the next.
#[inline(always)]
unsafe fn finish_rows<L: Lanes>(rows: &FinishRows) {
    let finish = &rows.target.finish;
    // SAFETY: as the caller vouches.
    unsafe {
        match (finish.add.is_null(), finish.activation) {
            (true, FusedActivation::None) => finish_columns::<L, false, NONE>(rows),
            (false, FusedActivation::None) => finish_columns::<L, true, NONE>(rows),
            (true, FusedActivation::Clamp { bits, .. }) if !bits.is_null() => {
                finish_columns::<L, false, CLAMP>(rows);
            }
            (false, FusedActivation::Clamp { bits, .. }) if !bits.is_null() => {
                finish_columns::<L, true, CLAMP>(rows);
            }
            (true, FusedActivation::Gate { bits, positive_only: false, .. }) if !bits.is_null() => {
                finish_columns::<L, false, GATE>(rows);
            }
            (false, FusedActivation::Gate { bits, positive_only: false, .. }) if !bits.is_null() => {
                finish_columns::<L, true, GATE>(rows);
            }
            _ => finish_columns::<L, false, ANY>(rows),
        }
    }
}

/// What [`finish_columns`] is compiled for.
const NONE: u8 = 0;
/// With bits.
const CLAMP: u8 = 1;
/// By bits alone.
const GATE: u8 = 2;
/// Whatever it is, decided anew for every vector.
const ANY: u8 = 3;

#[inline(always)]
unsafe fn finish_columns<L: Lanes, const ADDS: bool, const ENDING: u8>(rows: &FinishRows) {
    let Target { data, pixel_stride, finish, .. } = rows.target;
    unsafe {
        let (mut low, mut high) = (L::splat(0.0), L::splat(0.0));
        let (mut new_bits, mut old_bits, mut stride) = (std::ptr::null_mut(), std::ptr::null(), 0);
        match finish.activation {
            FusedActivation::Clamp { low: least, high: most, bits, bits_stride } => {
                (low, high, new_bits, stride) = (L::splat(least), L::splat(most), bits, bits_stride);
            }
            FusedActivation::Gate { bits, bits_stride, .. } => (old_bits, stride) = (bits, bits_stride),
            FusedActivation::None => {}
        }
        for first in (0..rows.columns).step_by(LANES) {
            let column = rows.column + first;
            let count = (rows.columns - first).min(LANES);
            let bias = match finish.bias.is_null() {
                true => L::splat(0.0),
                false => L::load_first(finish.bias.wrapping_add(column), count),
            };
            for (row, &pixel) in rows.pixels.iter().enumerate() {
                let mut y = L::load(rows.sums.add(row * rows.width + first));
                if ENDING == ANY {
                    finish_lanes(y, count, rows.target, pixel, column);
                    continue;
                }
                y = y.add(bias);
                if ADDS {
                    y = y.add(L::load_first(finish.add.wrapping_add(pixel * finish.add_stride + column), count));
                }
                if ENDING == CLAMP {
                    *new_bits.wrapping_add(pixel * stride + column / LANES) = y.bits_between(low, high);
                    y = y.max(low).min(high);
                }
                if ENDING == GATE {
                    y = y.keep(*old_bits.wrapping_add(pixel * stride + column / LANES));
                }
                y.store_first(data.wrapping_add(pixel * pixel_stride + column), count);
            }
        }
    }
}

for_each_level!(pub fn finish_rows_fn = finish_rows(rows: &FinishRows));

/// Some squares of 2×2 pixels: `sums` holds 16 values for each square whose first pixel is in `pixels`, `channels` for
/// each of its four pixels. Pixels outside the target are left out.
pub struct FinishSquares<'a> {
    pub sums: *const f32,
    pub channels: usize,
    pub pixels: &'a [usize],
    pub target: &'a Target,
}

#[inline(always)]
unsafe fn finish_squares<L: Lanes>(squares: &FinishSquares) {
    let Target { height, width, .. } = *squares.target;
    for (square, &first) in squares.pixels.iter().enumerate() {
        let (y, x) = (first / width % height, first % width);
        for member in 0..4 {
            let (dy, dx) = (member / 2, member % 2);
            if y + dy < height && x + dx < width {
                // SAFETY: as the caller vouches, for a pixel inside the target.
                unsafe {
                    let from = squares.sums.add(square * LANES + member * squares.channels);
                    let sums = L::load_first(from, squares.channels);
                    finish_lanes(sums, squares.channels, squares.target, first + dy * width + dx, 0);
                }
            }
        }
    }
}

for_each_level!(pub fn finish_squares_fn = finish_squares(squares: &FinishSquares));

/// Consecutive pixels of maps of `channels` channels.
struct Pixels<'a> {
    first: usize,
    end: usize,
    channels: usize,
    source: &'a Source,
    target: &'a Target,
}

#[inline(always)]
unsafe fn finish_pixels<L: Lanes>(pixels: &Pixels) {
    unsafe {
        for pixel in pixels.first..pixels.end {
            let from = pixels.source.data.add(pixel * pixels.source.pixel_stride);
            for column in (0..pixels.channels).step_by(LANES) {
                let count = (pixels.channels - column).min(LANES);
                finish_lanes(L::load_first(from.add(column), count), count, pixels.target, pixel, column);
            }
        }
    }
}

for_each_level!(fn finish_pixels_fn = finish_pixels(pixels: &Pixels));

/// Copies all pixels of `source` to `target` through the epilogue; the two may be the same memory.
///
/// # Safety
/// `source`, `target` and all it points to must be valid for `pixels` pixels of `channels` channels.
pub unsafe fn finish_maps(level: Level, source: &Source, target: &Target, pixels: usize, channels: usize) {
    const FLOATS_A_TASK: usize = 1 << 15;
    let step = (FLOATS_A_TASK / channels.max(1)).max(1);
    let kernel = finish_pixels_fn(level);
    parallel::for_each_index(pixels.div_ceil(step), |task| {
        let (first, end) = (task * step, ((task + 1) * step).min(pixels));
        // SAFETY: as the caller vouches; tasks write disjoint pixels.
        unsafe { kernel(&Pixels { first, end, channels, source, target }) }
    });
}

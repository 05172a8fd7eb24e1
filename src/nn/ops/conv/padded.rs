//! Pictures in the middle of zeros, where all taps of one row of a window lie side by side.

use std::cell::RefCell;

use super::general::Geometry;
use crate::base::simd::LANES;

/// Floats behind a padded picture that kernels may read (never use).
pub const SLACK: usize = 2 * LANES;

thread_local! {
    /// Memory of a thread, kept between calls.
    static PICTURE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Pixels of a padded row: as far as the last window reaches.
pub fn padded_width(geometry: &Geometry) -> usize {
    let columns = &geometry.columns;
    (columns.output - 1) * columns.stride + (columns.kernel - 1) * columns.dilation + 1
}

/// Calls `body` with each of some pictures of an NHWC input, padded: rows of [`padded_width`] pixels, and
/// [`SLACK`] behind them.
pub fn for_each_padded(
    geometry: &Geometry,
    images: std::ops::Range<usize>,
    input: &[f32],
    mut body: impl FnMut(usize, &[f32]),
) {
    let Geometry { rows, columns, in_channels, .. } = *geometry;
    let height = (rows.output - 1) * rows.stride + (rows.kernel - 1) * rows.dilation + 1;
    let row_floats = padded_width(geometry) * in_channels;
    let input_row = columns.input * in_channels;
    let left = (columns.pad_before * in_channels).min(row_floats);
    let inside = input_row.min(row_floats - left);
    PICTURE.with_borrow_mut(|picture| {
        let floats = height * row_floats + SLACK;
        if picture.len() < floats {
            picture.resize(floats, 0.0);
        }
        for image in images {
            for (y, row) in picture.chunks_exact_mut(row_floats).take(height).enumerate() {
                match y.checked_sub(rows.pad_before).filter(|&y| y < rows.input) {
                    Some(y) => {
                        row[..left].fill(0.0);
                        row[left..left + inside]
                            .copy_from_slice(&input[(image * rows.input + y) * input_row..][..inside]);
                        row[left + inside..].fill(0.0);
                    }
                    None => row.fill(0.0),
                }
            }
            body(image, &picture[..floats]);
        }
    });
}

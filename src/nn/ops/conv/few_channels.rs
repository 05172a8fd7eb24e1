//! The forward pass of a convolution from few channels, as a net's first one: a row of the window, all its taps and
//! channels, is one run of a padded picture, so that the register tile gets an inner loop that is long enough.

use super::frozen::Spec;
use super::general::Geometry;
use super::lattice::TapGroup;
use super::packed::PackedWeights;
use super::padded::{for_each_padded, padded_width};
use super::tile::{Ahead, MAX_COLUMNS, MAX_ROWS, Tile, tile_fn, tile_size};
use crate::base::parallel;
use crate::base::simd::Level;
use crate::nn::ops::finish::{FinishRows, finish_rows_fn};
use crate::nn::ops::maps::{Finish, Target};

/// More channels than these fill the inner loop without that.
const MAX_CHANNELS: usize = 4;
const MAX_KERNEL_ROWS: usize = 16;

/// Packed weights of such a convolution.
pub(in crate::nn) struct FewChannels {
    level: Level,
    kernel: [usize; 2],
    in_channels: usize,
    /// A tap for each row of the window, of kernel width × input channels.
    weights: PackedWeights,
    rows: TapGroup,
}

impl FewChannels {
    /// `None` where other kernels do better, or the taps of a row do not lie side by side.
    pub fn new(level: Level, spec: &Spec) -> Option<Self> {
        let fits = spec.groups == 1
            && !spec.transposed
            && spec.in_channels <= MAX_CHANNELS
            && spec.dilation[1] == 1
            && (2..=MAX_KERNEL_ROWS).contains(&spec.kernel[0]);
        if !fits {
            return None;
        }
        let (kernel, in_channels) = (spec.kernel, spec.in_channels);
        let rows: TapGroup = (0..kernel[0]).map(|ky| [ky, 0]).collect();
        let at = weight_of_run(kernel, in_channels, spec.weight);
        let weights = PackedWeights::new(tile_size(level), spec.out_channels, kernel[1] * in_channels, &rows, at);
        Some(Self { level, kernel, in_channels, weights, rows })
    }

    /// Packs other weights of the same shape, \[out, in, height, width\], in place of these.
    pub fn repack(&mut self, weight: &[f32]) {
        self.weights.repack(&self.rows, weight_of_run(self.kernel, self.in_channels, weight));
    }

    /// output = convolution of the input + bias, for a geometry of these weights. Pictures are what tasks are cut into.
    pub fn forward(&self, geometry: &Geometry, input: &[f32], bias: &[f32], output: &mut [f32]) {
        let Geometry { batch, rows, columns, in_channels, out_channels, .. } = *geometry;
        assert_eq!((in_channels, [rows.kernel, columns.kernel]), (self.in_channels, self.kernel));
        assert!(input.len() == batch * rows.input * columns.input * in_channels && bias.len() == out_channels);
        let pixels = rows.output * columns.output;
        assert_eq!(output.len(), batch * pixels * out_channels);
        parallel::for_each_chunk_mut(output, pixels * out_channels, |image, output| {
            let target = Target {
                data: output.as_mut_ptr(),
                height: rows.output,
                width: columns.output,
                pixel_stride: out_channels,
                finish: Finish { bias: bias.as_ptr(), ..Finish::NONE },
            };
            for_each_padded(geometry, image..image + 1, input, |_, picture| {
                for first in (0..pixels).step_by(tile_size(self.level).rows) {
                    // SAFETY: the target is one picture of the output, and nobody else's.
                    unsafe { self.tile(geometry, picture, first, pixels, &target) };
                }
            });
        });
    }

    /// Some pixels of the output from `first` on.
    ///
    /// # Safety
    /// The target must be a picture of `pixels` pixels with the geometry's output channels.
    unsafe fn tile(&self, geometry: &Geometry, picture: &[f32], first: usize, pixels: usize, target: &Target) {
        let Geometry { rows, columns, in_channels, .. } = *geometry;
        let (tile_rows, kernel_rows) = (tile_size(self.level).rows, self.kernel[0]);
        let row_floats = padded_width(geometry) * in_channels;
        let mut of_rows = [0; MAX_ROWS];
        let mut sources = [std::ptr::null::<f32>(); MAX_ROWS * MAX_KERNEL_ROWS];
        for (row, pixel) in of_rows[..tile_rows].iter_mut().enumerate() {
            // Rows that fill up the last tile repeat its last pixel.
            *pixel = (first + row).min(pixels - 1);
            let (y, x) = (*pixel / columns.output, *pixel % columns.output);
            for ky in 0..kernel_rows {
                let at = (y * rows.stride + ky * rows.dilation) * row_floats + x * columns.stride * in_channels;
                sources[ky * tile_rows + row] = picture[at..].as_ptr();
            }
        }
        let pixels = &of_rows[..tile_rows.min(pixels - first)];
        let mut sums = [0.0f32; MAX_ROWS * MAX_COLUMNS];
        for panel in &self.weights.panels {
            let tile = Tile {
                sources: sources.as_ptr(),
                taps: kernel_rows,
                depth: self.weights.depth,
                weights: self.weights.panel(panel).as_ptr(),
                columns: panel.width(),
                sums: sums.as_mut_ptr(),
                ahead: Ahead::NOTHING,
            };
            let (width, columns, column) = (panel.width(), panel.columns, panel.column);
            // SAFETY: every source is the start of a run of `depth` floats inside the padded picture; panel and sums
            // have the tile's extents; the rest is as the caller vouches.
            unsafe {
                tile_fn(self.level)(&tile);
                finish_rows_fn(self.level)(&FinishRows { sums: sums.as_ptr(), width, columns, column, pixels, target });
            }
        }
    }
}

/// The weight (output, place of the run, \[row of the window, 0\]) of \[out, in, height, width\].
fn weight_of_run(
    [height, width]: [usize; 2],
    in_channels: usize,
    weight: &[f32],
) -> impl Fn(usize, usize, [usize; 2]) -> f32 + Sync {
    move |output, place, [y, _]| {
        let (x, input) = (place / in_channels, place % in_channels);
        weight[((output * in_channels + input) * height + y) * width + x]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::check::{Tensor, assert_close};
    use crate::nn::ops::conv::general::Onto;
    use crate::nn::ops::window::{Padding, Window};

    #[test]
    fn every_level_agrees_with_the_general_convolution() {
        let asymmetric = Padding::Explicit { top: 2, left: 0, bottom: 0, right: 3 };
        let tall = Window { kernel: [3, 2], stride: [1, 3], dilation: [2, 1], ..Window::square(1, 1) };
        for (window, size, [ins, outs]) in [
            (Window::square(5, 1), [9, 8], [1, 20]),
            (Window::square(5, 1).padded(Padding::all(2)), [6, 7], [3, 33]),
            (Window::square(7, 2).padded(Padding::all(3)), [15, 12], [3, 64]),
            (Window::square(3, 2).padded(Padding::SameUpper), [8, 11], [4, 5]),
            (Window::square(3, 1).padded(asymmetric), [4, 5], [2, 50]),
            (tall, [7, 9], [3, 16]),
        ] {
            let [rows, columns] = window.resolve(size).unwrap();
            let geometry = Geometry { batch: 3, rows, columns, in_channels: ins, out_channels: outs, groups: 1 };
            let input = Tensor::<f64>::random(&[3 * size[0] * size[1] * ins], 1);
            let weight = Tensor::<f64>::random(&[outs * ins * geometry.taps()], 2);
            let bias = Tensor::<f64>::random(&[outs], 3);
            let mut expected = vec![0.0; 3 * rows.output * columns.output * outs];
            geometry.convolve(&input.data, &weight.data, Onto::Bias(&bias.data), &mut expected);
            let expected: Vec<f32> = expected.iter().map(|&y| y as f32).collect();
            let narrow = weight.cast::<f32>().data;
            let zeros = vec![0.0; narrow.len()];
            let spec = |weight| Spec {
                kernel: window.kernel,
                stride: window.stride,
                dilation: window.dilation,
                groups: 1,
                in_channels: ins,
                out_channels: outs,
                transposed: false,
                weight,
                bias: vec![],
            };
            for level in Level::available() {
                let mut conv = FewChannels::new(level, &spec(&zeros)).unwrap();
                conv.repack(&narrow);
                let mut output = vec![f32::NAN; expected.len()];
                conv.forward(&geometry, &input.cast::<f32>().data, &bias.cast::<f32>().data, &mut output);
                assert_close(&format!("{level:?} {window:?}"), &output, &expected, 1e-4, 1e-4);
            }
            let many = Spec { in_channels: MAX_CHANNELS + 1, ..spec(&narrow) };
            assert!(FewChannels::new(Level::Portable, &many).is_none());
        }
    }
}

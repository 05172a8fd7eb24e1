//! The gradient of a convolution's weights in `f32`, for batches.
//!
//! A weight's gradient is a sum over pixels of input · gradient. The taps of one row of the window lie side by side in
//! NHWC maps ("a run"), so that a register tile holds a few output channels times 16 or 32 places of a run and sums over
//! the pixels of one picture while both its maps are in the cache: no column matrix is ever written.

use super::general::Geometry;
use super::padded::{for_each_padded, padded_width};
use crate::base::parallel;
#[cfg(target_arch = "x86_64")]
use crate::base::simd::{Avx2Lanes, Avx512Lanes};
use crate::base::simd::{LANES, Lanes, Level, PortableLanes};

/// The fewest tasks that a layer is cut into, so that threads find work.
const MIN_TASKS: usize = 16;
/// Partial sums of all chunks of pictures together, about: 4 MB.
const PARTIAL_FLOATS: usize = 1 << 20;

/// Output channels and vectors of a run in one register tile, at most.
const fn tile_size(level: Level) -> (usize, usize) {
    match level {
        Level::Avx512 => (14, 2),
        Level::Avx2 => (6, 1),
        Level::Portable => (4, 1),
    }
}

/// A convolution of one group whose weights are learnt, for maps of one size.
#[derive(Clone, Debug)]
pub(in crate::nn) struct WeightGradient {
    level: Level,
    geometry: Geometry,
    /// Where in a padded picture each run starts, in pixels: `[down, right]`.
    runs: Vec<[usize; 2]>,
    /// Input channels times the taps of a run.
    run_len: usize,
    images_a_chunk: usize,
    units_a_task: usize,
    tasks_a_chunk: usize,
}

impl WeightGradient {
    /// Plans for a geometry of one group.
    pub fn new(level: Level, geometry: Geometry) -> Self {
        debug_assert_eq!(geometry.groups, 1);
        let (rows, columns) = (&geometry.rows, &geometry.columns);
        let taps_a_run = if columns.dilation == 1 { columns.kernel } else { 1 };
        let starts = (0..columns.kernel).step_by(taps_a_run);
        let runs = (0..rows.kernel)
            .flat_map(|ky| starts.clone().map(move |kx| [ky * rows.dilation, kx * columns.dilation]))
            .collect::<Vec<_>>();
        let mut plan = Self {
            level,
            geometry,
            runs,
            run_len: taps_a_run * geometry.in_channels,
            images_a_chunk: 1,
            units_a_task: 1,
            tasks_a_chunk: 1,
        };
        let units = plan.runs.len() * plan.units_a_run();
        let chunks = (PARTIAL_FLOATS / (units * plan.unit_floats())).clamp(1, MIN_TASKS).min(geometry.batch);
        plan.images_a_chunk = geometry.batch.div_ceil(chunks);
        plan.units_a_task = units.div_ceil(MIN_TASKS.div_ceil(chunks));
        plan.tasks_a_chunk = units.div_ceil(plan.units_a_task);
        plan
    }

    /// Places of a run that a unit of work covers.
    fn unit_width(&self) -> usize {
        tile_size(self.level).1 * LANES
    }

    fn units_a_run(&self) -> usize {
        self.run_len.div_ceil(self.unit_width())
    }

    fn unit_floats(&self) -> usize {
        self.geometry.out_channels * self.unit_width()
    }

    fn chunks(&self) -> usize {
        self.geometry.batch.div_ceil(self.images_a_chunk)
    }

    /// Floats of the partial sums: `[chunk, unit, out, place of the run]`.
    pub fn workspace_floats(&self) -> usize {
        self.chunks() * self.tasks_a_chunk * self.units_a_task * self.unit_floats()
    }

    /// Adds the gradient of the weights, \[out, in, kernel height, kernel width\]. `workspace` has
    /// [`WeightGradient::workspace_floats`] of any content.
    pub fn add(&self, input: &[f32], d_output: &[f32], workspace: &mut [f32], d_weight: &mut [f32]) {
        let Geometry { batch, rows, columns, in_channels, out_channels, .. } = self.geometry;
        assert_eq!(input.len(), batch * rows.input * columns.input * in_channels);
        assert_eq!(d_output.len(), batch * rows.output * columns.output * out_channels);
        let chunk_floats = self.units_a_task * self.unit_floats();
        parallel::for_each_chunk_mut(workspace, chunk_floats, |task, partial| {
            let (chunk, first_unit) = (task / self.tasks_a_chunk, task % self.tasks_a_chunk * self.units_a_task);
            partial.fill(0.0);
            let images = chunk * self.images_a_chunk..((chunk + 1) * self.images_a_chunk).min(batch);
            for_each_padded(&self.geometry, images, input, |image, picture| {
                let pixels = rows.output * columns.output;
                let d_output = &d_output[image * pixels * out_channels..][..pixels * out_channels];
                self.add_image(first_unit, picture, d_output, partial);
            });
        });
        self.add_up(workspace, d_weight);
    }

    /// Adds the part of one padded picture to the partial sums of the units from `first_unit` on.
    fn add_image(&self, first_unit: usize, picture: &[f32], d_output: &[f32], partial: &mut [f32]) {
        let Geometry { rows, columns, in_channels, out_channels, .. } = self.geometry;
        let padded_width = padded_width(&self.geometry);
        let (max_outs, _) = tile_size(self.level);
        let blocks = out_channels.div_ceil(max_outs);
        let units = first_unit..(self.runs.len() * self.units_a_run()).min(first_unit + self.units_a_task);
        for (unit, partial) in units.zip(partial.chunks_exact_mut(self.unit_floats())) {
            let [down, right] = self.runs[unit / self.units_a_run()];
            let place = unit % self.units_a_run() * self.unit_width();
            let vectors = (self.run_len - place).min(self.unit_width()).div_ceil(LANES);
            for block in 0..blocks {
                let (first, end) = (block * out_channels / blocks, (block + 1) * out_channels / blocks);
                let tile = Tile {
                    source: picture[(down * padded_width + right) * in_channels + place..].as_ptr(),
                    source_steps: [rows.stride * padded_width * in_channels, columns.stride * in_channels],
                    d_output: d_output[first..].as_ptr(),
                    d_output_step: out_channels,
                    pixels: [rows.output, columns.output],
                    sums: partial[first * self.unit_width()..].as_mut_ptr(),
                    sums_step: self.unit_width(),
                };
                // SAFETY: the level is active. The last vector of the last run may reach over the picture's end, by
                // less than the slack behind it; gradients and sums have `end - first` channels from here on.
                unsafe { add_tile(self.level, end - first, vectors, &tile) };
            }
        }
    }

    /// Adds the partial sums of all chunks, in order, to the gradient.
    fn add_up(&self, workspace: &[f32], d_weight: &mut [f32]) {
        let in_channels = self.geometry.in_channels;
        let taps = self.geometry.taps();
        let (width, unit_floats) = (self.unit_width(), self.unit_floats());
        let chunk_floats = self.tasks_a_chunk * self.units_a_task * unit_floats;
        parallel::for_each_chunk_mut(d_weight, in_channels * taps, |out, d_weight| {
            for unit in 0..self.runs.len() * self.units_a_run() {
                let mut sums = [0.0f32; 2 * LANES];
                for partial in workspace.chunks_exact(chunk_floats) {
                    let partial = &partial[unit * unit_floats + out * width..][..width];
                    sums.iter_mut().zip(partial).for_each(|(sum, partial)| *sum += partial);
                }
                let (run, first_place) = (unit / self.units_a_run(), unit % self.units_a_run() * width);
                let first_tap = run * (taps / self.runs.len());
                for (place, sum) in (first_place..self.run_len).zip(&sums[..width]) {
                    let (tap, channel) = (first_tap + place / in_channels, place % in_channels);
                    d_weight[channel * taps + tap] += sum;
                }
            }
        });
    }
}

/// The operands of one register tile.
struct Tile {
    /// The first place of a run in a padded picture.
    source: *const f32,
    /// Floats from one output pixel's run to that of the next below, and to the right.
    source_steps: [usize; 2],
    /// The first of the tile's output channels in the gradient of the output.
    d_output: *const f32,
    d_output_step: usize,
    /// `[height, width]` of the output.
    pixels: [usize; 2],
    /// A row of sums for each output channel.
    sums: *mut f32,
    sums_step: usize,
}

/// sums\[out\]\[place\] += Σ over pixels of d_output\[pixel\]\[out\] · source\[pixel\]\[place\].
#[inline(always)]
#[allow(clippy::needless_range_loop)] // Constant bounds keep the sums in registers.
unsafe fn add_outs<L: Lanes, const OUTS: usize, const VECTORS: usize>(tile: &Tile) {
    unsafe {
        let mut sums = [[L::splat(0.0); VECTORS]; OUTS];
        for out in 0..OUTS {
            for v in 0..VECTORS {
                sums[out][v] = L::load(tile.sums.add(out * tile.sums_step + v * LANES));
            }
        }
        let mut d_output = tile.d_output;
        for y in 0..tile.pixels[0] {
            let mut source = tile.source.add(y * tile.source_steps[0]);
            for _ in 0..tile.pixels[1] {
                let mut places = [L::splat(0.0); VECTORS];
                for v in 0..VECTORS {
                    places[v] = L::load(source.add(v * LANES));
                }
                for out in 0..OUTS {
                    let gradient = L::splat(*d_output.add(out));
                    for v in 0..VECTORS {
                        sums[out][v] = gradient.mul_add(places[v], sums[out][v]);
                    }
                }
                source = source.add(tile.source_steps[1]);
                d_output = d_output.add(tile.d_output_step);
            }
        }
        for out in 0..OUTS {
            for v in 0..VECTORS {
                sums[out][v].store(tile.sums.add(out * tile.sums_step + v * LANES));
            }
        }
    }
}

/// `add_outs` for a number of output channels that is known at run time.
macro_rules! for_outs {
    ($outs:expr, $tile:expr, $lanes:ty, $vectors:literal: $($count:literal)*) => {
        match $outs {
            $($count => add_outs::<$lanes, $count, $vectors>($tile),)*
            outs => unreachable!("a tile of {outs} output channels"),
        }
    };
}

unsafe fn add_tile(level: Level, outs: usize, vectors: usize, tile: &Tile) {
    // SAFETY: as the caller vouches.
    unsafe {
        match level {
            Level::Portable => portable(outs, tile),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(outs, tile),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if vectors == 1 => avx512_narrow(outs, tile),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512(outs, tile),
            #[cfg(not(target_arch = "x86_64"))]
            _ => portable(outs, tile),
        }
    }
    debug_assert!((1..=2).contains(&vectors));
}

unsafe fn portable(outs: usize, tile: &Tile) {
    // SAFETY: as the caller vouches.
    unsafe { for_outs!(outs, tile, PortableLanes, 1: 1 2 3 4) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(outs: usize, tile: &Tile) {
    // SAFETY: as the caller vouches; the features are enabled here.
    unsafe { for_outs!(outs, tile, Avx2Lanes, 1: 1 2 3 4 5 6) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512_narrow(outs: usize, tile: &Tile) {
    // SAFETY: as the caller vouches; the feature is enabled here.
    unsafe { for_outs!(outs, tile, Avx512Lanes, 1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(outs: usize, tile: &Tile) {
    // SAFETY: as the caller vouches; the feature is enabled here.
    unsafe { for_outs!(outs, tile, Avx512Lanes, 2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::check::{Tensor, assert_close};
    use crate::nn::ops::window::{Padding, Window};

    fn geometry(window: Window, batch: usize, [height, width]: [usize; 2], channels: [usize; 2]) -> Geometry {
        let [rows, columns] = window.resolve([height, width]).unwrap();
        Geometry { batch, rows, columns, in_channels: channels[0], out_channels: channels[1], groups: 1 }
    }

    fn cases() -> Vec<Geometry> {
        let dilated = Window { dilation: [2, 3], ..Window::square(3, 1) }.padded(Padding::all(2));
        let asymmetric = Padding::Explicit { top: 2, left: 0, bottom: 0, right: 3 };
        vec![
            geometry(Window::square(5, 1), 3, [9, 8], [1, 20]),
            geometry(Window::square(5, 1), 20, [7, 6], [20, 50]),
            geometry(Window::square(5, 1).padded(Padding::all(2)), 17, [6, 5], [3, 32]),
            geometry(Window::square(3, 2).padded(Padding::SameUpper), 2, [11, 8], [7, 15]),
            geometry(Window { kernel: [3, 2], stride: [1, 3], ..Window::square(1, 1) }, 1, [6, 9], [33, 5]),
            geometry(dilated, 2, [8, 9], [17, 3]),
            geometry(Window::square(3, 1).padded(asymmetric), 2, [4, 4], [40, 29]),
            geometry(Window::square(1, 1), 2, [3, 5], [50, 31]),
            geometry(Window::square(1, 2), 1, [5, 5], [4, 4]),
            geometry(Window::square(3, 1).padded(Padding::all(4)), 1, [2, 2], [2, 2]),
        ]
    }

    /// Against `general`, which gradient checks hold to central differences, in `f64`.
    #[test]
    fn every_level_agrees_with_the_general_gradient() {
        for geometry in cases() {
            let input_len = geometry.batch * geometry.rows.input * geometry.columns.input * geometry.in_channels;
            let output_len = geometry.batch * geometry.rows.output * geometry.columns.output * geometry.out_channels;
            let input = Tensor::<f64>::random(&[input_len], 1);
            let d_output = Tensor::<f64>::random(&[output_len], 2);
            let before = Tensor::<f64>::random(&[geometry.out_channels * geometry.in_channels * geometry.taps()], 3);
            let mut expected = before.data.clone();
            geometry.add_weight_gradient(&input.data, &d_output.data, &mut expected);
            let expected: Vec<f32> = expected.iter().map(|&d| d as f32).collect();
            for level in Level::available() {
                let plan = WeightGradient::new(level, geometry);
                let mut workspace = vec![f32::NAN; plan.workspace_floats()];
                let mut got = before.cast::<f32>().data;
                plan.add(&input.cast::<f32>().data, &d_output.cast::<f32>().data, &mut workspace, &mut got);
                assert_close(&format!("{level:?} {geometry:?}"), &got, &expected, 1e-4, 1e-4);
            }
        }
    }
}

//! Max pooling between layers with fixed weights: `f32`, 16 channels at a time, from maps to maps through the epilogue.
//!
//! Of the forward pass it keeps a bit for each channel and tap: whether the tap won. The way back gathers, for every
//! input pixel, the gradients of the windows that it won, and is thereby written once, gated and summed on the way.

use std::ops::Range;

use crate::base::parallel;
use crate::base::simd::{LANES, Lanes, Level, for_each_level};
use crate::nn::ops::finish::finish_lanes;
use crate::nn::ops::lanes::rows_per_task;
use crate::nn::ops::maps::{Source, Target};
use crate::nn::ops::window::{Axis, Window};

/// The most taps of a window: their bits and pointers are kept on the stack.
const MAX_TAPS: usize = 16;

/// A max pool over maps of one size. `winners` of its passes are [`FrozenMaxPool::winners`] `u16`s: for every output pixel
/// and group of 16 channels the bits of each tap.
#[derive(Clone, Debug)]
pub struct FrozenMaxPool {
    axes: [Axis; 2],
    channels: usize,
    batch: usize,
}

/// One row of pixels that a pass writes.
struct Row<'a> {
    pool: &'a FrozenMaxPool,
    image: usize,
    y: usize,
    source: &'a Source,
    target: &'a Target,
    /// Null where nobody will ask for the winners.
    winners: *mut u16,
}

impl FrozenMaxPool {
    /// Whether the window is one that these kernels do.
    pub fn takes(window: &Window) -> bool {
        window.kernel[0].saturating_mul(window.kernel[1]) <= MAX_TAPS
    }

    /// For maps whose size `axes` were resolved with.
    pub fn new(axes: [Axis; 2], channels: usize, batch: usize) -> Self {
        assert!(axes[0].kernel * axes[1].kernel <= MAX_TAPS);
        Self { axes, channels, batch }
    }

    /// `u16`s of winners.
    pub fn winners(&self) -> usize {
        self.batch * self.axes[0].output * self.axes[1].output * self.channels.div_ceil(LANES) * self.taps()
    }

    fn taps(&self) -> usize {
        self.axes[0].kernel * self.axes[1].kernel
    }

    /// `[vertical, horizontal]` pixels of the output and of the input.
    pub fn sizes(&self) -> [[usize; 2]; 2] {
        [self.axes.map(|axis| axis.output), self.axes.map(|axis| axis.input)]
    }

    /// `u16`s of winners of one image.
    pub fn winners_of_image(&self) -> usize {
        self.winners() / self.batch
    }

    /// The same pool for one image.
    pub fn of_one_image(&self) -> Self {
        Self { batch: 1, ..self.clone() }
    }

    /// The rows of the input under `rows` of the output.
    pub fn input_rows(&self, rows: &Range<usize>) -> Range<usize> {
        let axis = &self.axes[0];
        let under = |row: usize| (row * axis.stride).saturating_sub(axis.pad_before);
        let last = ((rows.end.max(1) - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1) as isize;
        under(rows.start).min(axis.input)..((last - axis.pad_before as isize).max(0) as usize).min(axis.input)
    }

    /// The rows of the output whose windows reach over `rows` of the input.
    pub fn output_rows(&self, rows: &Range<usize>) -> Range<usize> {
        let axis = &self.axes[0];
        axis.outputs_over(rows.start).start..axis.outputs_over(rows.end.max(1) - 1).end
    }

    /// Takes the largest value of each window, for `rows` of every image of the output; `winners` may be null.
    ///
    /// # Safety
    /// The level must be available; `source` and `target` must be valid for the maps of this pool and must not overlap;
    /// `winners` must be null or valid for [`FrozenMaxPool::winners`] values.
    pub unsafe fn forward(
        &self,
        level: Level,
        rows: Range<usize>,
        source: &Source,
        target: &Target,
        winners: *mut u16,
    ) {
        // SAFETY: as the caller vouches.
        unsafe { self.run(forward_row_fn(level), rows, self.axes[1].output, source, target, winners) }
    }

    /// Sends the gradient of the output in `source` to the winners in `rows` of every image of `target`.
    ///
    /// # Safety
    /// As for [`FrozenMaxPool::forward`], which must have written `winners`.
    pub unsafe fn backward(
        &self,
        level: Level,
        rows: Range<usize>,
        source: &Source,
        target: &Target,
        winners: *mut u16,
    ) {
        // SAFETY: as the caller vouches.
        unsafe { self.run(backward_row_fn(level), rows, self.axes[1].input, source, target, winners) }
    }

    unsafe fn run(
        &self,
        kernel: unsafe fn(&Row),
        rows: Range<usize>,
        width: usize,
        source: &Source,
        target: &Target,
        winners: *mut u16,
    ) {
        /// A pointer that tasks share; each writes its own part.
        struct Shared(*mut u16);
        // SAFETY: as said.
        unsafe impl Sync for Shared {}
        impl Shared {
            fn get(&self) -> *mut u16 {
                self.0
            }
        }
        let winners = Shared(winners);
        let count = self.batch * rows.len();
        let rows_a_task = rows_per_task(width * self.channels);
        parallel::for_each_index(count.div_ceil(rows_a_task), |task| {
            for row in task * rows_a_task..((task + 1) * rows_a_task).min(count) {
                let (image, y) = (row / rows.len(), rows.start + row % rows.len());
                // SAFETY: as the caller vouches; tasks write disjoint rows.
                unsafe { kernel(&Row { pool: self, image, y, source, target, winners: winners.get() }) }
            }
        });
    }
}

#[inline(always)]
unsafe fn forward_row<L: Lanes>(row: &Row) {
    let FrozenMaxPool { axes: [vertical, horizontal], channels, .. } = row.pool;
    let (taps, groups) = (row.pool.taps(), channels.div_ceil(LANES));
    let stride = row.source.pixel_stride;
    let image = row.source.data.wrapping_add(row.image * vertical.input * horizontal.input * stride);
    let mut sources = [std::ptr::null::<f32>(); MAX_TAPS];
    let mut numbers = [0; MAX_TAPS];
    for x in 0..horizontal.output {
        let mut inside = 0;
        for ky in vertical.taps(row.y) {
            let iy = row.y * vertical.stride + ky * vertical.dilation - vertical.pad_before;
            for kx in horizontal.taps(x) {
                let ix = x * horizontal.stride + kx * horizontal.dilation - horizontal.pad_before;
                sources[inside] = image.wrapping_add((iy * horizontal.input + ix) * stride);
                numbers[inside] = ky * horizontal.kernel + kx;
                inside += 1;
            }
        }
        let pixel = (row.image * vertical.output + row.y) * horizontal.output + x;
        for group in 0..groups {
            let channel = group * LANES;
            let count = (channels - channel).min(LANES);
            // SAFETY: sources are pixels of the map; winners has a place for every pixel, group and tap.
            unsafe {
                let mut best = L::load_first(sources[0].add(channel), count);
                let mut above = [u16::MAX; MAX_TAPS];
                for tap in 1..inside {
                    let value = L::load_first(sources[tap].add(channel), count);
                    above[tap] = value.bits_above(best);
                    best = value.max(best);
                }
                if !row.winners.is_null() {
                    // The last tap that was above all before it is the first of the largest.
                    let winners = row.winners.add((pixel * groups + group) * taps);
                    let mut open = u16::MAX;
                    for tap in (0..inside).rev() {
                        *winners.add(numbers[tap]) = above[tap] & open;
                        open &= !above[tap];
                    }
                }
                finish_lanes(best, count, row.target, pixel, channel);
            }
        }
    }
}

for_each_level!(fn forward_row_fn = forward_row(row: &Row));

#[inline(always)]
unsafe fn backward_row<L: Lanes>(row: &Row) {
    let FrozenMaxPool { axes: [vertical, horizontal], channels, .. } = row.pool;
    let (taps, groups) = (row.pool.taps(), channels.div_ceil(LANES));
    let mut gradients = [std::ptr::null::<f32>(); MAX_TAPS];
    let mut winners = [std::ptr::null::<u16>(); MAX_TAPS];
    for x in 0..horizontal.input {
        let mut windows = 0;
        for oy in vertical.outputs_over(row.y) {
            let Some(ky) = vertical.tap_on(oy, row.y) else { continue };
            for ox in horizontal.outputs_over(x) {
                let Some(kx) = horizontal.tap_on(ox, x) else { continue };
                let pixel = (row.image * vertical.output + oy) * horizontal.output + ox;
                gradients[windows] = row.source.data.wrapping_add(pixel * row.source.pixel_stride);
                winners[windows] =
                    row.winners.wrapping_add(pixel * groups * taps + ky * horizontal.kernel + kx).cast_const();
                windows += 1;
            }
        }
        let pixel = (row.image * vertical.input + row.y) * horizontal.input + x;
        for group in 0..groups {
            let channel = group * LANES;
            let count = (channels - channel).min(LANES);
            // SAFETY: gradients are pixels of the map; winners were written for every window and tap inside.
            unsafe {
                let mut sum = L::splat(0.0);
                for window in 0..windows {
                    let won = *winners[window].add(group * taps);
                    sum = sum.add(L::load_first(gradients[window].add(channel), count).keep(won));
                }
                finish_lanes(sum, count, row.target, pixel, channel);
            }
        }
    }
}

for_each_level!(fn backward_row_fn = backward_row(row: &Row));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::Run;
    use crate::nn::ops::check::{Tensor, run_backward, run_forward};
    use crate::nn::ops::maps::Finish;
    use crate::nn::ops::pool::MaxPool;
    use crate::nn::ops::pool::tests::windows;

    fn source(data: &[f32], [batch, channels, height, width]: [usize; 4]) -> Source {
        Source { data: data.as_ptr(), batch, height, width, pixel_stride: channels }
    }

    fn target(data: &mut [f32], [_, channels, height, width]: [usize; 4]) -> Target {
        Target { data: data.as_mut_ptr(), height, width, pixel_stride: channels, finish: Finish::NONE }
    }

    #[test]
    fn all_windows_agree_with_the_general_kernel_at_every_level() {
        for (name, window) in windows() {
            for channels in [1, 16, 35] {
                let mut input = Tensor::<f32>::random(&[2, channels, 9, 8], 5);
                // Few distinct values: ties go to the first.
                input.data.iter_mut().for_each(|x| *x = (*x * 3.0).round());
                let op = MaxPool { window };
                let ran = run_forward(&op, std::slice::from_ref(&input), &[], Run::default());
                let d_output = Tensor::<f32>::random(&[ran.output.data.len()], 6).data;
                let general = run_backward(&op, std::slice::from_ref(&input), &[], &ran, &d_output, Run::default());
                let (ins, outs) = (input.maps(), ran.output.maps());
                let pool = FrozenMaxPool::new(window.resolve([9, 8]).unwrap(), channels, 2);
                for level in Level::available() {
                    let mut winners = vec![0; pool.winners()];
                    let mut output = vec![f32::NAN; ran.output.data.len()];
                    let mut d_input = vec![f32::NAN; input.data.len()];
                    // SAFETY: maps and winners have the sizes of the pool.
                    unsafe {
                        let from = source(&input.data, ins);
                        pool.forward(level, 0..outs[2], &from, &target(&mut output, outs), winners.as_mut_ptr());
                        let from = source(&d_output, outs);
                        pool.backward(level, 0..ins[2], &from, &target(&mut d_input, ins), winners.as_mut_ptr());
                    }
                    assert_eq!(output, ran.output.data, "{name}, {channels} channels, {level:?}");
                    assert_eq!(d_input, general.inputs[0], "{name}, {channels} channels, {level:?}");
                }
            }
        }
    }

    #[test]
    fn large_windows_are_left_to_the_general_kernel() {
        assert!(FrozenMaxPool::takes(&Window::square(4, 2)));
        assert!(!FrozenMaxPool::takes(&Window::square(5, 2)));
        assert!(!FrozenMaxPool::takes(&Window { kernel: [usize::MAX, 2], ..Window::square(1, 1) }));
    }
}

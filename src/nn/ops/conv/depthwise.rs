//! Depthwise convolution: each channel has its own window. Four pixels times 16 channels in registers, over any
//! [`Lattice`].

use super::lattice::{Lattice, TapGroup};
use crate::base::parallel;
use crate::base::simd::{LANES, Lanes, Level, for_each_level};
use crate::nn::ops::finish::finish_lanes;
use crate::nn::ops::maps::{Source, Target};

/// Pixels of a register tile, and of one whose pixels lie inside the source.
const PIXELS: usize = 4;
const WIDE: usize = 8;
/// The most taps that a tile's table of pointers holds.
pub const MAX_TAPS: usize = 128;

/// Weights tap by tap, channels padded with noughts to a multiple of 16.
#[derive(Clone, Debug)]
pub struct DepthwiseWeights {
    channels: usize,
    data: Vec<f32>,
}

impl DepthwiseWeights {
    pub fn new(channels: usize, taps: &TapGroup, weight: impl Fn(usize, [usize; 2]) -> f32) -> Self {
        let mut data = Vec::with_capacity(taps.len() * channels.next_multiple_of(LANES));
        for &tap in taps {
            data.extend((0..channels).map(|c| weight(c, tap)));
            data.resize(data.len().next_multiple_of(LANES), 0.0);
        }
        Self { channels, data }
    }

    pub fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }
}

/// One depthwise pass.
pub struct DepthwisePass<'a> {
    pub level: Level,
    pub source: Source,
    pub lattice: &'a Lattice,
    pub weights: &'a DepthwiseWeights,
    pub target: Target,
    /// Channels, rounded up to a multiple of 16, zeros at least.
    pub zeros: &'a [f32],
}

/// One row of output pixels.
struct Row<'a> {
    pass: &'a DepthwisePass<'a>,
    batch_index: usize,
    i: usize,
}

impl DepthwisePass<'_> {
    /// Runs the pass on all threads.
    ///
    /// # Safety
    /// As for `indirect::Pass::run`; besides, up to 15 floats behind the last channel of any source pixel are read.
    pub unsafe fn run(&self) {
        let [rows, columns] = self.lattice.count;
        if rows == 0 || columns == 0 {
            return;
        }
        assert!(self.zeros.len() >= self.weights.channels.next_multiple_of(LANES));
        assert!(self.lattice.offsets.len() <= MAX_TAPS);
        let kernel = row_fn(self.level);
        let rows_a_task = (4096 / (columns * self.weights.channels)).clamp(1, 8);
        let total = rows * self.source.batch;
        parallel::for_each_index(total.div_ceil(rows_a_task), |task| {
            for row in task * rows_a_task..((task + 1) * rows_a_task).min(total) {
                // SAFETY: as the caller vouches; tasks write disjoint rows.
                unsafe { kernel(&Row { pass: self, batch_index: row / rows, i: row % rows }) }
            }
        });
    }
}

impl Row<'_> {
    /// The source of every tap of pixels `j..j + PIXELS`: `[tap][pixel]`. Pixels behind the row repeat its last.
    #[inline(always)]
    fn locate(&self, j: usize, bounds: [[isize; 2]; 2], sources: &mut [*const f32]) {
        let Lattice { count, source_step, offsets, .. } = self.pass.lattice;
        let Source { data, height, width, pixel_stride, .. } = self.pass.source;
        let image = data.wrapping_add(self.batch_index * height * width * pixel_stride);
        let y = (self.i * source_step[0]) as isize;
        let step = source_step[1];
        let inside =
            |at: isize, bounds: [isize; 2], extent: usize| at + bounds[0] >= 0 && at + bounds[1] < extent as isize;
        let whole = j + PIXELS <= count[1]
            && inside(y, bounds[0], height)
            && inside((j * step) as isize, bounds[1], width)
            && inside(((j + PIXELS - 1) * step) as isize, bounds[1], width);
        for (tap, &[dy, dx]) in offsets.iter().enumerate() {
            let sources = &mut sources[tap * PIXELS..][..PIXELS];
            if whole {
                let first = (y + dy) * width as isize + (j * step) as isize + dx;
                for (p, source) in sources.iter_mut().enumerate() {
                    *source = image.wrapping_offset((first + (p * step) as isize) * pixel_stride as isize);
                }
            } else {
                for (p, source) in sources.iter_mut().enumerate() {
                    let x = ((j + p).min(count[1] - 1) * step) as isize;
                    let (y, x) = ((y + dy) as usize, (x + dx) as usize);
                    *source = if y < height && x < width {
                        image.wrapping_add((y * width + x) * pixel_stride)
                    } else {
                        self.pass.zeros.as_ptr()
                    };
                }
            }
        }
    }
}

/// A lattice whose taps fill a rectangle without gaps: taps of one row then share the pixels that they read.
#[derive(Clone, Copy)]
struct Grid {
    /// Rows and columns of taps.
    taps: [usize; 2],
    /// The least offset.
    first: [isize; 2],
    /// Whether taps are listed from the last position to the first, as those of a backward pass.
    reversed: bool,
}

impl Grid {
    fn of(lattice: &Lattice) -> Option<Self> {
        let offsets = lattice.offsets.as_slice();
        let (&a, &b) = (offsets.first()?, offsets.last()?);
        let reversed = b < a;
        let (first, last) = if reversed { (b, a) } else { (a, b) };
        let taps = [0, 1].map(|axis| (last[axis] - first[axis] + 1).max(0) as usize);
        let at = |index: usize| [first[0] + (index / taps[1]) as isize, first[1] + (index % taps[1]) as isize];
        let fills = taps[0] * taps[1] == offsets.len()
            && (0..offsets.len())
                .all(|index| offsets[if reversed { offsets.len() - 1 - index } else { index }] == at(index));
        fills.then_some(Self { taps, first, reversed })
    }

    /// The tap at a place of the rectangle, counted from the top left.
    #[inline(always)]
    fn tap(&self, row: usize, column: usize) -> usize {
        let index = row * self.taps[1] + column;
        if self.reversed { self.taps[0] * self.taps[1] - 1 - index } else { index }
    }
}

/// The pixels `[first, end)` of a row whose windows lie inside the source from left to right.
fn inner_pixels(lattice: &Lattice, grid: &Grid, width: usize) -> [usize; 2] {
    let step = lattice.source_step[1];
    let first = (-grid.first[1]).max(0) as usize;
    let last_tap = grid.first[1] + grid.taps[1] as isize - 1;
    let end = (width as isize - last_tap).max(0) as usize;
    let (first, end) = (first.div_ceil(step), end.div_ceil(step).min(lattice.count[1]));
    [first.min(end), end]
}

#[inline(always)]
unsafe fn row<L: Lanes>(row: &Row) {
    let Lattice { count, source_step, .. } = row.pass.lattice;
    let grid = Grid::of(row.pass.lattice);
    let inner = grid.map(|grid| (grid, inner_pixels(row.pass.lattice, &grid, row.pass.source.width)));
    // SAFETY: as the caller vouches; inner pixels read inside the source.
    unsafe {
        macro_rules! by_shape {
            ($(($columns:literal, $step:literal))*) => {
                match inner {
                    $(Some((grid, [first, end])) if grid.taps[1] == $columns && source_step[1] == $step => {
                        let mut at = first;
                        while at + WIDE <= end {
                            tile::<L, $columns, $step, WIDE>(row, &grid, at);
                            at += WIDE;
                        }
                        while at + PIXELS <= end {
                            tile::<L, $columns, $step, PIXELS>(row, &grid, at);
                            at += PIXELS;
                        }
                        any_pixels::<L>(row, 0, first);
                        any_pixels::<L>(row, at, count[1]);
                    })*
                    _ => any_pixels::<L>(row, 0, count[1]),
                }
            };
        }
        by_shape!((1, 1)(2, 1)(3, 1)(4, 1)(5, 1)(7, 1)(3, 2)(5, 2)(7, 2));
    }
}

/// `N` neighbouring pixels from `first` on, all inside: every pixel of the source is loaded once and used for every window
/// that it lies under.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // Constant bounds keep the sums in registers.
unsafe fn tile<L: Lanes, const COLUMNS: usize, const STEP: usize, const N: usize>(
    row: &Row,
    grid: &Grid,
    first: usize,
) {
    let pass = row.pass;
    let Lattice { start, step, source_step, .. } = pass.lattice;
    let channels = pass.weights.channels;
    let padded = channels.next_multiple_of(LANES);
    let Source { data, height, width, pixel_stride, .. } = pass.source;
    let y = (row.i * source_step[0]) as isize + grid.first[0];
    let x = ((first * STEP) as isize + grid.first[1]) as usize;
    let image = data.wrapping_add(row.batch_index * height * width * pixel_stride);
    let tap_rows =
        (-y).clamp(0, grid.taps[0] as isize) as usize..(height as isize - y).clamp(0, grid.taps[0] as isize) as usize;
    let target_y = start[0] + row.i * step[0];
    let pixel = (row.batch_index * pass.target.height + target_y) * pass.target.width + start[1] + first * step[1];
    let weights = pass.weights.data.as_ptr();
    for channel in (0..channels).step_by(LANES) {
        // SAFETY: the pixels lie inside the source and are valid for the channels rounded up to 16; weights are padded so.
        unsafe {
            let mut sums = [L::splat(0.0); N];
            for tap_row in tap_rows.clone() {
                let from = image.wrapping_add(((y + tap_row as isize) as usize * width + x) * pixel_stride + channel);
                let mut taps = [L::splat(0.0); COLUMNS];
                for column in 0..COLUMNS {
                    taps[column] = L::load(weights.add(grid.tap(tap_row, column) * padded + channel));
                }
                for column in 0..(N - 1) * STEP + COLUMNS {
                    let value = L::load(from.add(column * pixel_stride));
                    for n in 0..N {
                        if column >= n * STEP && column - n * STEP < COLUMNS {
                            sums[n] = value.mul_add(taps[column - n * STEP], sums[n]);
                        }
                    }
                }
            }
            let lanes = (channels - channel).min(LANES);
            for n in 0..N {
                finish_lanes(sums[n], lanes, &pass.target, pixel + n * step[1], channel);
            }
        }
    }
}

/// Pixels `first..end` of a row, wherever they read.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // Constant bounds keep the sums in registers.
unsafe fn any_pixels<L: Lanes>(row: &Row, first: usize, end: usize) {
    let pass = row.pass;
    let channels = pass.weights.channels;
    let padded = channels.next_multiple_of(LANES);
    let Lattice { start, step, offsets, .. } = pass.lattice;
    let taps = offsets.len();
    let bounds = [0, 1].map(|axis| {
        let positions = offsets.iter().map(|offset| offset[axis]);
        [positions.clone().min().unwrap_or(0), positions.max().unwrap_or(0)]
    });
    let mut sources = [std::ptr::null::<f32>(); MAX_TAPS * PIXELS];
    let y = start[0] + row.i * step[0];
    let first_pixel = (row.batch_index * pass.target.height + y) * pass.target.width + start[1];
    for j in (first..end).step_by(PIXELS) {
        row.locate(j, bounds, &mut sources[..taps * PIXELS]);
        for channel in (0..channels).step_by(LANES) {
            // SAFETY: sources are pixels or zeros, valid for the channels rounded up to 16; weights are padded so.
            unsafe {
                let mut sums = [L::splat(0.0); PIXELS];
                let mut weights = pass.weights.data.as_ptr().add(channel);
                for tap in 0..taps {
                    let weight = L::load(weights);
                    let sources = &*sources.as_ptr().add(tap * PIXELS).cast::<[*const f32; PIXELS]>();
                    for p in 0..PIXELS {
                        sums[p] = L::load(sources[p].add(channel)).mul_add(weight, sums[p]);
                    }
                    weights = weights.add(padded);
                }
                let lanes = (channels - channel).min(LANES);
                for p in 0..PIXELS {
                    if j + p < end {
                        finish_lanes(sums[p], lanes, &pass.target, first_pixel + (j + p) * step[1], channel);
                    }
                }
            }
        }
    }
}

for_each_level!(fn row_fn = row(args: &Row));

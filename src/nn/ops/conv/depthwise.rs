//! Depthwise convolution: each channel has its own window. Four pixels times 16 channels in registers, over any
//! [`Lattice`].

use super::lattice::{Lattice, TapGroup};
use crate::base::parallel;
use crate::base::simd::{LANES, Lanes, Level, for_each_level};
use crate::nn::ops::finish::finish_lanes;
use crate::nn::ops::maps::{Source, Target};

/// Pixels of a register tile.
const PIXELS: usize = 4;
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

#[inline(always)]
#[allow(clippy::needless_range_loop)] // Constant bounds keep the sums in registers.
unsafe fn row<L: Lanes>(row: &Row) {
    let pass = row.pass;
    let channels = pass.weights.channels;
    let padded = channels.next_multiple_of(LANES);
    let Lattice { start, step, count, offsets, .. } = pass.lattice;
    let taps = offsets.len();
    let bounds = [0, 1].map(|axis| {
        let positions = offsets.iter().map(|offset| offset[axis]);
        [positions.clone().min().unwrap_or(0), positions.max().unwrap_or(0)]
    });
    let mut sources = [std::ptr::null::<f32>(); MAX_TAPS * PIXELS];
    let y = start[0] + row.i * step[0];
    let first_pixel = (row.batch_index * pass.target.height + y) * pass.target.width + start[1];
    for j in (0..count[1]).step_by(PIXELS) {
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
                    if j + p < count[1] {
                        finish_lanes(sums[p], lanes, &pass.target, first_pixel + (j + p) * step[1], channel);
                    }
                }
            }
        }
    }
}

for_each_level!(fn row_fn = row(args: &Row));

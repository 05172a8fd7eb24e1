//! Convolution by gathered register tiles (Dukhan 2019, "The Indirect Convolution Algorithm"), over any [`Lattice`].

use std::cell::RefCell;

use super::lattice::Lattice;
use super::packed::{PackedWeights, Panel};
use super::tile::{MAX_COLUMNS, MAX_ROWS, Tile, TileFn, tile_fn, tile_size};
use crate::base::parallel;
use crate::base::simd::{LANES, Level, prefetch, prefetch_to_write};
use crate::nn::ops::finish::{FinishRows, FinishSquares, finish_rows_fn, finish_squares_fn};
use crate::nn::ops::maps::{Source, Target};

/// Sources of at most this many channels are copied into rows of taps · channels first: their taps are too short for
/// the register tile's inner loop.
const MAX_COPIED_DEPTH: usize = 4;
/// Tiles that share a panel of weights while it is in the first-level caches.
const TILES_A_STRIP: usize = 8;
/// The fewest tasks that a layer is cut into, so that threads find work.
const MIN_TASKS: usize = 16;

/// Memory of a thread, kept between calls.
#[derive(Default)]
struct Scratch {
    sources: Vec<*const f32>,
    rows: Vec<f32>,
    pixels: Vec<usize>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// One convolution-like pass over one group of channels.
pub struct Pass<'a> {
    pub level: Level,
    pub source: Source,
    pub lattice: &'a Lattice,
    pub weights: &'a PackedWeights,
    pub target: Target,
    /// Where the lattice is one of 2×2 squares, the channels of each of their pixels; a square has one panel of weights.
    pub square_channels: Option<usize>,
    /// At least [`PackedWeights::depth`] zeros, for taps outside the source.
    pub zeros: &'a [f32],
}

/// A strip of tiles and a range of panels: what one task computes.
struct Task {
    first_row: usize,
    end_row: usize,
    panels: std::ops::Range<usize>,
}

impl Pass<'_> {
    /// Runs the pass on all threads.
    ///
    /// # Safety
    /// `source` and `target` must be valid for the extents of `lattice` and `weights`, and must not overlap, but for
    /// `target.finish.add`, which may be the target itself.
    pub unsafe fn run(&self) {
        let rows = self.source.batch * self.lattice.count[0] * self.lattice.count[1];
        if rows == 0 {
            return;
        }
        assert!(self.zeros.len() >= self.weights.depth);
        let tiles = rows.div_ceil(tile_size(self.level).rows);
        let tiles_a_strip = tiles.div_ceil(MIN_TASKS).clamp(1, TILES_A_STRIP).max(if tiles <= 32 { 4 } else { 1 });
        let strips = tiles.div_ceil(tiles_a_strip);
        let panels = self.weights.panels.len();
        let groups = if strips >= MIN_TASKS { 1 } else { MIN_TASKS.div_ceil(strips).min(panels) };
        let panels_a_group = panels.div_ceil(groups);
        let rows_a_strip = tiles_a_strip * tile_size(self.level).rows;
        let tile = tile_fn(self.level);
        parallel::for_each_index(strips * groups, |index| {
            let (group, strip) = (index / strips, index % strips);
            let task = Task {
                first_row: strip * rows_a_strip,
                end_row: ((strip + 1) * rows_a_strip).min(rows),
                panels: (group * panels_a_group).min(panels)..((group + 1) * panels_a_group).min(panels),
            };
            SCRATCH.with_borrow_mut(|scratch| {
                // SAFETY: as the caller vouches; tasks write disjoint pixels or disjoint channels.
                unsafe { self.run_task(&task, tile, scratch) }
            });
        });
    }

    unsafe fn run_task(&self, task: &Task, tile_fn: TileFn, scratch: &mut Scratch) {
        let tile_rows = tile_size(self.level).rows;
        let copied = self.weights.depth <= MAX_COPIED_DEPTH && self.weights.taps > 1;
        self.locate(task, scratch, tile_rows);
        let (taps, depth) = if copied {
            // SAFETY: as the caller vouches.
            unsafe { self.copy_rows(scratch, tile_rows) };
            (1, self.weights.taps * self.weights.depth)
        } else {
            (self.weights.taps, self.weights.depth)
        };
        let mut sums = [0.0f32; MAX_ROWS * MAX_COLUMNS];
        for panel in &self.weights.panels[task.panels.clone()] {
            let weights = self.weights.panel(panel);
            for (index, pixels) in scratch.pixels.chunks(tile_rows).enumerate() {
                let sources = scratch.sources[index * taps * tile_rows..][..taps * tile_rows].as_ptr();
                let tile = Tile {
                    sources,
                    taps,
                    depth,
                    weights: weights.as_ptr(),
                    columns: panel.width(),
                    sums: sums.as_mut_ptr(),
                };
                self.prefetch_target(panel, pixels);
                // SAFETY: the sources are `taps · rows` valid pointers to `depth` floats; panel and sums have the
                // tile's extents; the rest is as the caller vouches.
                unsafe {
                    tile_fn(&tile);
                    self.finish(panel, &sums, pixels);
                }
            }
        }
    }

    /// Has the cache lines fetched that the epilogue will read and write, while the sums are computed.
    #[inline(always)]
    fn prefetch_target(&self, panel: &Panel, pixels: &[usize]) {
        let Target { data, pixel_stride, finish, .. } = self.target;
        for &pixel in pixels {
            for column in (panel.column..panel.column + panel.columns).step_by(LANES) {
                prefetch_to_write(data.wrapping_add(pixel * pixel_stride + column));
                if !finish.add.is_null() {
                    prefetch(finish.add.wrapping_add(pixel * finish.add_stride + column));
                }
            }
        }
    }

    /// Sends the sums of a tile through the epilogue.
    unsafe fn finish(&self, panel: &Panel, sums: &[f32; MAX_ROWS * MAX_COLUMNS], pixels: &[usize]) {
        let (sums, target) = (sums.as_ptr(), &self.target);
        // SAFETY: as the caller vouches.
        unsafe {
            match self.square_channels {
                Some(channels) => {
                    finish_squares_fn(self.level)(&FinishSquares { sums, channels, pixels, target });
                }
                None => {
                    let Panel { column, columns, .. } = *panel;
                    let width = panel.width();
                    finish_rows_fn(self.level)(&FinishRows { sums, width, columns, column, pixels, target });
                }
            }
        }
    }

    /// Fills in the target pixel of every row and the source pointer of every tap: `[tile][tap][row]`. Rows that fill
    /// up the last tile repeat its last row.
    fn locate(&self, task: &Task, scratch: &mut Scratch, tile_rows: usize) {
        let Lattice { start, step, count, source_step, offsets } = self.lattice;
        let Source { data, height, width, pixel_stride, .. } = self.source;
        let zeros = self.zeros.as_ptr();
        let taps = offsets.len();
        let tiles = (task.end_row - task.first_row).div_ceil(tile_rows);
        scratch.pixels.clear();
        scratch.sources.clear();
        scratch.sources.resize(tiles * taps * tile_rows, zeros);
        scratch.pixels.resize(task.end_row - task.first_row, 0);
        let at = task.first_row;
        let (mut j, mut i, mut n) = (at % count[1], at / count[1] % count[0], at / (count[0] * count[1]));
        for (tile, pixels) in scratch.pixels.chunks_mut(tile_rows).enumerate() {
            let sources = &mut scratch.sources[tile * taps * tile_rows..][..taps * tile_rows];
            let rows = pixels.len();
            for (row, pixel) in pixels.iter_mut().enumerate() {
                *pixel = (n * self.target.height + start[0] + i * step[0]) * self.target.width + start[1] + j * step[1];
                let (y, x) = ((i * source_step[0]) as isize, (j * source_step[1]) as isize);
                let image = data.wrapping_add(n * height * width * pixel_stride);
                for (sources, &[dy, dx]) in sources.chunks_exact_mut(tile_rows).zip(offsets) {
                    let (y, x) = ((y + dy) as usize, (x + dx) as usize);
                    // Negative positions wrap to huge ones.
                    if y < height && x < width {
                        sources[row] = image.wrapping_add((y * width + x) * pixel_stride);
                    }
                }
                j += 1;
                if j == count[1] {
                    (j, i) = (0, i + 1);
                    if i == count[0] {
                        (i, n) = (0, n + 1);
                    }
                }
            }
            for sources in sources.chunks_exact_mut(tile_rows) {
                let last = sources[rows - 1];
                sources[rows..].fill(last);
            }
        }
    }

    /// Replaces the pointers of every row by one to a copy of all its taps, side by side.
    unsafe fn copy_rows(&self, scratch: &mut Scratch, tile_rows: usize) {
        let (taps, depth) = (self.weights.taps, self.weights.depth);
        let rows = scratch.sources.len() / taps;
        scratch.rows.clear();
        scratch.rows.resize(rows * taps * depth, 0.0);
        for row in 0..rows {
            let first = (row / tile_rows) * taps * tile_rows + row % tile_rows;
            let copy = &mut scratch.rows[row * taps * depth..][..taps * depth];
            for (tap, to) in copy.chunks_exact_mut(depth).enumerate() {
                // SAFETY: every source is valid for `depth` floats.
                let from = unsafe { std::slice::from_raw_parts(scratch.sources[first + tap * tile_rows], depth) };
                for (to, from) in to.iter_mut().zip(from) {
                    *to = *from;
                }
            }
        }
        scratch.sources.clear();
        scratch.sources.extend((0..rows).map(|row| scratch.rows[row * taps * depth..].as_ptr()));
    }
}

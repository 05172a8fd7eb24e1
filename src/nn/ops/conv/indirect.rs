//! Convolution by gathered register tiles (Dukhan 2019, "The Indirect Convolution Algorithm"), over any [`Lattice`].

use std::cell::RefCell;

use super::lattice::Lattice;
use super::packed::{PackedWeights, Panel};
use super::tile::{MAX_COLUMNS, MAX_ROWS, Tile, TileFn, tile_fn, tile_size};
use crate::base::parallel;
use crate::base::simd::{LANES, Lanes, Level, for_each_level, prefetch, prefetch_to_write};
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
        self.locate_targets(task, scratch);
        let (taps, depth) = if copied {
            // SAFETY: as the caller vouches.
            unsafe { self.copy_rows(task, scratch, tile_rows) };
            (1, self.weights.taps * self.weights.depth)
        } else {
            self.locate(task, scratch, tile_rows);
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

    /// Fills in the target pixel of every row.
    fn locate_targets(&self, task: &Task, scratch: &mut Scratch) {
        let Lattice { start, step, .. } = self.lattice;
        scratch.pixels.clear();
        scratch.pixels.extend(Places::of(self.lattice, task).map(|[n, i, j]| {
            (n * self.target.height + start[0] + i * step[0]) * self.target.width + start[1] + j * step[1]
        }));
    }

    /// Fills in the source pointer of every tap: `[tile][tap][row]`. Rows that fill up the last tile repeat its last row.
    fn locate(&self, task: &Task, scratch: &mut Scratch, tile_rows: usize) {
        let Lattice { source_step, offsets, .. } = self.lattice;
        let Source { data, height, width, pixel_stride, .. } = self.source;
        let taps = offsets.len();
        let rows = task.end_row - task.first_row;
        scratch.sources.clear();
        scratch.sources.resize(rows.div_ceil(tile_rows) * taps * tile_rows, self.zeros.as_ptr());
        if taps == 0 {
            return;
        }
        let mut places = Places::of(self.lattice, task);
        for sources in scratch.sources.chunks_exact_mut(taps * tile_rows) {
            let mut filled = 0;
            for (row, [n, i, j]) in places.by_ref().take(tile_rows).enumerate() {
                let (y, x) = ((i * source_step[0]) as isize, (j * source_step[1]) as isize);
                let image = data.wrapping_add(n * height * width * pixel_stride);
                for (sources, &[dy, dx]) in sources.chunks_exact_mut(tile_rows).zip(offsets) {
                    let (y, x) = ((y + dy) as usize, (x + dx) as usize);
                    // Negative positions wrap to huge ones.
                    if y < height && x < width {
                        sources[row] = image.wrapping_add((y * width + x) * pixel_stride);
                    }
                }
                filled = row + 1;
            }
            for sources in sources.chunks_exact_mut(tile_rows) {
                let last = sources[filled - 1];
                sources[filled..].fill(last);
            }
        }
    }

    /// Copies the taps of every row side by side, and fills in one pointer a row, to the copy. Taps that lie side by side
    /// in the source are copied together.
    unsafe fn copy_rows(&self, task: &Task, scratch: &mut Scratch, tile_rows: usize) {
        let Lattice { source_step, offsets, .. } = self.lattice;
        let Source { data, height, width, pixel_stride, .. } = self.source;
        let (taps, depth) = (self.weights.taps, self.weights.depth);
        let rows = task.end_row - task.first_row;
        let row_len = taps * depth;
        scratch.rows.clear();
        scratch.rows.resize(rows * row_len + LANES, 0.0);
        // Runs of taps in one row of the source, one behind the other.
        let follows = |tap: usize| {
            pixel_stride == depth
                && offsets[tap][0] == offsets[tap - 1][0]
                && offsets[tap][1] == offsets[tap - 1][1] + 1
        };
        let run_of = |first: usize| 1 + (first + 1..taps).take_while(|&tap| follows(tap)).count();
        let copy = copy_run_fn(self.level);
        for (row, [n, i, j]) in Places::of(self.lattice, task).enumerate() {
            let (y, x) = ((i * source_step[0]) as isize, (j * source_step[1]) as isize);
            let image = data.wrapping_add(n * height * width * pixel_stride);
            let to = scratch.rows[row * row_len..].as_mut_ptr();
            let mut first = 0;
            while first < taps {
                let run = run_of(first);
                let (y, x) = ((y + offsets[first][0]) as usize, x + offsets[first][1]);
                // The taps of the run that lie inside the source; the others stay nought.
                let before = (-x).clamp(0, run as isize) as usize;
                let end = (width as isize - x).clamp(before as isize, run as isize) as usize;
                if y < height && before < end {
                    let from = image.wrapping_add((y * width + (x + before as isize) as usize) * pixel_stride);
                    // SAFETY: the run lies in a row of the source; the copy has room for it.
                    unsafe { copy(from, to.add((first + before) * depth), (end - before) * depth) };
                }
                first += run;
            }
        }
        scratch.sources.clear();
        let first = scratch.rows.as_ptr();
        scratch
            .sources
            .extend((0..rows.next_multiple_of(tile_rows)).map(|row| first.wrapping_add(row.min(rows - 1) * row_len)));
    }
}

/// Copies a few floats.
#[inline(always)]
unsafe fn copy_run<L: Lanes>(from: *const f32, to: *mut f32, len: usize) {
    for first in (0..len).step_by(LANES) {
        let count = (len - first).min(LANES);
        // SAFETY: as the caller vouches.
        unsafe { L::load_first(from.add(first), count).store_first(to.add(first), count) };
    }
}

for_each_level!(fn copy_run_fn = copy_run(from: *const f32, to: *mut f32, len: usize));

/// The rows of a task as pixels of the lattice: image, vertical, horizontal.
struct Places {
    count: [usize; 2],
    next: [usize; 3],
    left: usize,
}

impl Places {
    fn of(lattice: &Lattice, task: &Task) -> Self {
        let (count, at) = (lattice.count, task.first_row);
        let next = [at / (count[0] * count[1]), at / count[1] % count[0], at % count[1]];
        Self { count, next, left: task.end_row - task.first_row }
    }
}

impl Iterator for Places {
    type Item = [usize; 3];

    #[inline(always)]
    fn next(&mut self) -> Option<[usize; 3]> {
        self.left = self.left.checked_sub(1)?;
        let place = self.next;
        self.next[2] += 1;
        if self.next[2] == self.count[1] {
            self.next[1..].copy_from_slice(&[place[1] + 1, 0]);
            if self.next[1] == self.count[0] {
                self.next = [place[0] + 1, 0, 0];
            }
        }
        Some(place)
    }
}

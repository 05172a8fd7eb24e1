//! Convolution by gathered register tiles (Dukhan 2019, "The Indirect Convolution Algorithm"), over any [`Lattice`].

use std::cell::RefCell;

use super::lattice::Lattice;
use super::packed::{PackedWeights, Panel};
use super::tile::{Ahead, MAX_COLUMNS, MAX_ROWS, Tile, TileFn, tile_fn, tile_size};
use crate::base::parallel;
use crate::base::simd::Level;
use crate::nn::ops::finish::{FinishRows, FinishSquares, finish_rows_fn, finish_squares_fn};
use crate::nn::ops::maps::{Source, Target};

/// Taps that lie side by side in sources of at most this many channels count as one tap, of all their channels: they are
/// too short for the register tile's inner loop.
const MAX_JOINED_DEPTH: usize = 4;
/// Tiles that share a panel of weights while it is in the first-level caches.
const TILES_A_STRIP: usize = 8;
/// The fewest tasks that a layer is cut into, so that threads find work.
const MIN_TASKS: usize = 16;

/// Memory of a thread, kept between calls.
#[derive(Default)]
struct Scratch {
    sources: Vec<*const f32>,
    /// Copies of the joined taps that lie outside the source in part.
    edges: Vec<f32>,
    pixels: Vec<usize>,
    /// Where each pixel, and what is added to it, begins.
    targets: Vec<*mut f32>,
    adds: Vec<*const f32>,
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
        self.locate_targets(task, scratch, tile_rows);
        let joined = self.joined_taps();
        if joined == 1 {
            self.locate(task, scratch, tile_rows);
        } else {
            // SAFETY: as the caller vouches.
            unsafe { self.locate_joined(task, scratch, tile_rows, joined) };
        }
        let (taps, depth) = (self.weights.taps / joined, self.weights.depth * joined);
        let mut sums = [0.0f32; MAX_ROWS * MAX_COLUMNS];
        for panel in &self.weights.panels[task.panels.clone()] {
            let weights = self.weights.panel(panel);
            for (index, pixels) in scratch.pixels.chunks(tile_rows).enumerate() {
                let sources = scratch.sources[index * taps * tile_rows..][..taps * tile_rows].as_ptr();
                let first = index * tile_rows;
                let targets = scratch.targets[first..].as_ptr();
                let adds = scratch.adds.get(first..).filter(|adds| !adds.is_empty());
                let adds = adds.map_or(std::ptr::null(), <[_]>::as_ptr);
                let ahead = Ahead { targets, adds, column: panel.column };
                let (weights, columns) = (weights.as_ptr(), panel.width());
                let tile = Tile { sources, taps, depth, weights, columns, sums: sums.as_mut_ptr(), ahead };
                // SAFETY: the sources are `taps · rows` valid pointers to `depth` floats; panel and sums have the
                // tile's extents; the rest is as the caller vouches.
                unsafe {
                    tile_fn(&tile);
                    self.finish(panel, &sums, pixels);
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
    fn locate_targets(&self, task: &Task, scratch: &mut Scratch, tile_rows: usize) {
        let Lattice { start, step, .. } = self.lattice;
        let Target { data, height, width, pixel_stride, finish } = self.target;
        scratch.pixels.clear();
        scratch.targets.clear();
        scratch.adds.clear();
        for Run { image, at: [i, j], len, .. } in runs(self.lattice, task, tile_rows) {
            let first = (image * height + start[0] + i * step[0]) * width + start[1] + j * step[1];
            let pixels = (0..len).map(|index| first + index * step[1]);
            scratch.pixels.extend(pixels.clone());
            scratch.targets.extend(pixels.clone().map(|pixel| data.wrapping_add(pixel * pixel_stride)));
            if !finish.add.is_null() {
                scratch.adds.extend(pixels.map(|pixel| finish.add.wrapping_add(pixel * finish.add_stride)));
            }
        }
        fill_up(&mut scratch.targets, tile_rows);
        fill_up(&mut scratch.adds, tile_rows);
    }

    /// Fills in the source pointer of every tap: `[tile][tap][row]`. Rows that fill up the last tile repeat its last row.
    fn locate(&self, task: &Task, scratch: &mut Scratch, tile_rows: usize) {
        let Lattice { source_step, offsets, .. } = self.lattice;
        let Source { data, height, width, pixel_stride, .. } = self.source;
        let taps = offsets.len();
        let rows = task.end_row - task.first_row;
        scratch.sources.clear();
        scratch.sources.resize(rows.div_ceil(tile_rows) * taps * tile_rows, self.zeros.as_ptr());
        for Run { image, at: [i, j], tile, row, len } in runs(self.lattice, task, tile_rows) {
            let image = data.wrapping_add(image * height * width * pixel_stride);
            for (tap, &[dy, dx]) in offsets.iter().enumerate() {
                // Negative positions wrap to huge ones.
                let y = ((i * source_step[0]) as isize + dy) as usize;
                if y < height {
                    let sources = &mut scratch.sources[(tile * taps + tap) * tile_rows + row..][..len];
                    let mut x = ((j * source_step[1]) as isize + dx) as usize;
                    for source in sources {
                        if x < width {
                            *source = image.wrapping_add((y * width + x) * pixel_stride);
                        }
                        x = x.wrapping_add(source_step[1]);
                    }
                }
            }
        }
        fill_up_last(&mut scratch.sources, rows, taps, tile_rows);
    }

    /// How many taps count as one: those of a row of the window, where they and their channels lie side by side.
    fn joined_taps(&self) -> usize {
        let offsets = &self.lattice.offsets;
        if self.weights.depth > MAX_JOINED_DEPTH || self.source.pixel_stride != self.weights.depth {
            return 1;
        }
        let width = offsets.iter().take_while(|offset| offset[0] == offsets[0][0]).count();
        let side_by_side = |taps: &[[isize; 2]]| {
            taps.len() == width && taps.windows(2).all(|pair| pair[1] == [pair[0][0], pair[0][1] + 1])
        };
        if offsets.chunks(width.max(1)).all(side_by_side) { width.max(1) } else { 1 }
    }

    /// As [`Pass::locate`], for `joined` taps at a time.
    ///
    /// # Safety
    /// As for [`Pass::run`].
    unsafe fn locate_joined(&self, task: &Task, scratch: &mut Scratch, tile_rows: usize, joined: usize) {
        let Lattice { source_step, offsets, .. } = self.lattice;
        let Source { data, height, width, pixel_stride: depth, .. } = self.source;
        let Scratch { sources, edges, .. } = scratch;
        let (taps, tap_len) = (offsets.len() / joined, joined * depth);
        let rows = task.end_row - task.first_row;
        sources.clear();
        sources.resize(rows.div_ceil(tile_rows) * taps * tile_rows, std::ptr::null());
        if edges.len() < (rows * taps + 1) * tap_len {
            edges.resize((rows * taps + 1) * tap_len, 0.0);
        }
        // One that lies outside as a whole, and room for those that do in part.
        let (outside, edges) = edges.split_at_mut(tap_len);
        outside.fill(0.0);
        let mut edges = edges.chunks_exact_mut(tap_len);
        for Run { image, at: [i, j], tile, row, len } in runs(self.lattice, task, tile_rows) {
            let image = data.wrapping_add(image * height * width * depth);
            for (tap, &[dy, dx]) in offsets.iter().step_by(joined).enumerate() {
                let sources = &mut sources[(tile * taps + tap) * tile_rows + row..][..len];
                let y = (i * source_step[0]) as isize + dy;
                if y < 0 || y >= height as isize {
                    sources.fill(outside.as_ptr());
                    continue;
                }
                let line = image.wrapping_add(y as usize * width * depth);
                let first = (j * source_step[1]) as isize + dx;
                let last = first + ((len - 1) * source_step[1]) as isize;
                let all_inside = first >= 0 && last + joined as isize <= width as isize;
                for (index, source) in sources.iter_mut().enumerate() {
                    let x = first + (index * source_step[1]) as isize;
                    let from = line.wrapping_offset(x * depth as isize);
                    if all_inside || (x >= 0 && x + joined as isize <= width as isize) {
                        *source = from;
                        continue;
                    }
                    let inside = x.clamp(0, width as isize)..(x + joined as isize).clamp(0, width as isize);
                    *source = if inside.is_empty() {
                        outside.as_ptr()
                    } else {
                        let edge = edges.next().expect("there is room for every tap of every row");
                        edge.fill(0.0);
                        let (start, count) = ((inside.start - x) as usize * depth, inside.end - inside.start);
                        let from = line.wrapping_offset(inside.start * depth as isize);
                        // SAFETY: as the caller vouches, the pixels that lie inside are valid.
                        let pixels = unsafe { std::slice::from_raw_parts(from, count as usize * depth) };
                        edge[start..start + pixels.len()].copy_from_slice(pixels);
                        edge.as_ptr()
                    };
                }
            }
        }
        fill_up_last(sources, rows, taps, tile_rows);
    }
}

/// Rows of a task whose pixels lie side by side in one row of the lattice, and in one register tile.
struct Run {
    image: usize,
    /// The first pixel of the lattice: vertical, horizontal.
    at: [usize; 2],
    tile: usize,
    /// The first row of the tile.
    row: usize,
    len: usize,
}

fn runs(lattice: &Lattice, task: &Task, tile_rows: usize) -> impl Iterator<Item = Run> {
    let [height, width] = lattice.count;
    let Task { first_row, end_row, .. } = *task;
    let mut next = first_row;
    std::iter::from_fn(move || {
        let (line, j, before) = (next / width, next % width, next - first_row);
        let (tile, row) = (before / tile_rows, before % tile_rows);
        let len = (width - j).min(tile_rows - row).min(end_row - next);
        next += len;
        (len > 0).then_some(Run { image: line / height, at: [line % height, j], tile, row, len })
    })
}

/// Repeats the last place until there is one for every row of the last tile.
fn fill_up<T: Copy>(places: &mut Vec<T>, tile_rows: usize) {
    if let Some(&last) = places.last() {
        places.resize(places.len().next_multiple_of(tile_rows), last);
    }
}

/// The same for the rows of each tap of the last tile.
fn fill_up_last(sources: &mut [*const f32], rows: usize, taps: usize, tile_rows: usize) {
    let filled = rows % tile_rows;
    if filled > 0 {
        let last = sources.len() - taps * tile_rows;
        for sources in sources[last..].chunks_exact_mut(tile_rows) {
            let last = sources[filled - 1];
            sources[filled..].fill(last);
        }
    }
}

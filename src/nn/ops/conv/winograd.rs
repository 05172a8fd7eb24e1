//! Winograd's minimal filtering F(4×4, 3×3) (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks"):
//! 3×3 windows at stride 1 with a quarter of the multiplications.
//!
//! A strip of tiles goes through three stages in one thread's cache: 6×6 pixels of the source are transformed to 36
//! points, at each point a matrix product sums over the channels, and the sums are transformed back to 4×4 pixels, through
//! the epilogue.

use std::cell::RefCell;

use super::blocks::{BlockProduct, Strides, block_product_fn, register_tiles};
use super::packed::Panel;
use super::tile::tile_size;
use crate::base::parallel;
use crate::base::simd::{LANES, Lanes, Level, for_each_level, prefetch, prefetch_to_write};
use crate::nn::ops::finish::finish_lanes;
use crate::nn::ops::maps::{Source, Target};

/// Pixels a side of a tile of the target, and of the source pixels that it needs.
pub const OUT: usize = 4;
const IN: usize = 6;
/// Points at which products are taken.
const POINTS: usize = IN * IN;
/// Floats of one thread's transformed tiles, about: a share of the second-level cache.
const STRIP_FLOATS: usize = 1 << 18;
/// Floats of transformed weights from which on they come from the memory of all cores for every strip, and the fewest tiles
/// that a strip then has, to use what comes more often.
const STREAMED_FLOATS: usize = 1 << 20;
const TILES_A_STREAM: usize = 28;
/// Output channels whose sums are kept at a time.
const COLUMNS_A_GROUP: usize = 128;
/// The fewest tasks that a layer is cut into, so that threads find work.
const MIN_TASKS: usize = 16;

/// Transformed weights: for every point a panel of 16 or 32 columns after the other.
pub struct WinogradWeights {
    depth: usize,
    panels: Vec<Panel>,
    /// Floats of all panels at one point.
    point_len: usize,
    data: Vec<f32>,
}

impl WinogradWeights {
    /// Transforms and packs `weight(column, depth index, [vertical, horizontal])` of 3×3 windows, where vertical and
    /// horizontal count source pixels from the top left.
    pub fn new(level: Level, columns: usize, depth: usize, weight: impl Fn(usize, usize, [usize; 2]) -> f32) -> Self {
        let panels = Panel::cut(tile_size(level), columns, depth);
        let point_len = panels.last().map_or(0, |panel| panel.start() + panel.width() * depth);
        let mut data = vec![0.0; POINTS * point_len];
        for panel in &panels {
            for k in 0..depth {
                for c in 0..panel.columns {
                    let g = [0, 1, 2].map(|y| [0, 1, 2].map(|x| f64::from(weight(panel.column + c, k, [y, x]))));
                    let at = panel.start() + k * panel.width() + c;
                    for (point, value) in transformed_filter(&g).into_iter().enumerate() {
                        data[point * point_len + at] = value as f32;
                    }
                }
            }
        }
        Self { depth, panels, point_len, data }
    }

    pub fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }
}

/// G g Gᵀ, for the interpolation points 0, ±1, ±2 and infinity.
fn transformed_filter(g: &[[f64; 3]; 3]) -> [f64; POINTS] {
    let along = |[a, b, c]: [f64; 3]| {
        [
            a / 4.0,
            -(a + b + c) / 6.0,
            -(a - b + c) / 6.0,
            (a + 2.0 * b + 4.0 * c) / 24.0,
            (a - 2.0 * b + 4.0 * c) / 24.0,
            c,
        ]
    };
    let columns = [0, 1, 2].map(|x| along([g[0][x], g[1][x], g[2][x]]));
    let mut points = [0.0; POINTS];
    for (y, row) in points.chunks_exact_mut(IN).enumerate() {
        row.copy_from_slice(&along([columns[0][y], columns[1][y], columns[2][y]]));
    }
    points
}

/// One convolution of a 3×3 window at stride 1.
pub struct WinogradPass<'a> {
    pub level: Level,
    pub source: Source,
    pub target: Target,
    /// The first pixel of the target.
    pub start: [usize; 2],
    /// `[vertical, horizontal]` pixels of the target.
    pub count: [usize; 2],
    /// The source pixel under the first tap of the first target pixel.
    pub origin: [isize; 2],
    pub weights: &'a WinogradWeights,
    /// At least as many zeros as the source has channels.
    pub zeros: &'a [f32],
}

/// Memory of a thread, kept between calls.
#[derive(Default)]
struct Scratch {
    points: Vec<f32>,
    sums: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// Tiles `first..first + count` of a pass, and some memory.
struct Strip<'a> {
    pass: &'a WinogradPass<'a>,
    first: usize,
    count: usize,
    /// The panels whose sums are in `sums`.
    panels: &'a [Panel],
    /// `[register tile][16 channels of the source][point][tile][16]`: what a tile's transform writes lies close together.
    points: *mut f32,
    /// `[register tile][16 columns of the panels][point][tile][16]`.
    sums: *mut f32,
}

impl WinogradPass<'_> {
    /// `[vertical, horizontal]` tiles of an image.
    fn tiles(&self) -> [usize; 2] {
        self.count.map(|pixels| pixels.div_ceil(OUT))
    }

    /// Runs the pass on all threads.
    ///
    /// # Safety
    /// `source` and `target` must be valid for the channels of `weights` and must not overlap, but for
    /// `target.finish.add`, which may be the target itself.
    pub unsafe fn run(&self) {
        let depth = self.weights.depth;
        assert!(self.zeros.len() >= depth);
        let tiles = self.source.batch * self.tiles()[0] * self.tiles()[1];
        if tiles == 0 {
            return;
        }
        let rows = tile_size(self.level).rows;
        let blocks = depth.div_ceil(LANES);
        let columns: usize = self.weights.panels.iter().map(Panel::width).sum();
        let floats_a_tile = POINTS * (blocks * LANES + columns.min(COLUMNS_A_GROUP));
        let streamed = POINTS * self.weights.point_len > STREAMED_FLOATS;
        let least = if streamed { TILES_A_STREAM.next_multiple_of(rows) } else { rows };
        let most = (STRIP_FLOATS / floats_a_tile).max(TILES_A_STREAM) / rows * rows;
        let fair = tiles.div_ceil(MIN_TASKS).next_multiple_of(rows);
        let strips = tiles.div_ceil(most.min(fair).max(least));
        let tiles_a_strip = tiles.div_ceil(strips);
        // Where tiles are few, tasks share them and divide the columns.
        let panels_a_group = COLUMNS_A_GROUP / tile_size(self.level).columns;
        let groups = self.weights.panels.len().div_ceil(panels_a_group);
        let shares = if strips >= MIN_TASKS { 1 } else { MIN_TASKS.div_ceil(strips).min(groups) };
        let panels_a_share = groups.div_ceil(shares) * panels_a_group;
        parallel::for_each_index(strips * shares, |task| {
            let (share, index) = (task / strips, task % strips);
            let first = index * tiles_a_strip;
            let count = tiles_a_strip.min(tiles.saturating_sub(first));
            let panels = self.weights.panels.chunks(panels_a_share).nth(share).unwrap_or_default();
            if count == 0 || panels.is_empty() {
                return;
            }
            SCRATCH.with_borrow_mut(|scratch| {
                let grow = |memory: &mut Vec<f32>, len: usize| {
                    if memory.len() < len {
                        memory.resize(len, 0.0);
                    }
                    memory.as_mut_ptr()
                };
                let column_blocks = columns.min(COLUMNS_A_GROUP) / LANES;
                let floats = |blocks: usize| count.div_ceil(rows) * strides(rows, blocks).tile;
                let points = grow(&mut scratch.points, floats(blocks));
                let sums = grow(&mut scratch.sums, floats(column_blocks));
                let mut strip = Strip { pass: self, first, count, panels: &[], points, sums };
                // SAFETY: as the caller vouches; the scratch has the lengths that the stages use; tasks write
                // disjoint pixels or disjoint channels.
                unsafe {
                    transform_source_fn(self.level)(&strip);
                    for panels in panels.chunks(panels_a_group) {
                        strip.panels = panels;
                        strip.multiply();
                        transform_sums_fn(self.level)(&strip);
                    }
                }
            });
        });
    }
}

/// How points or sums lie, of register tiles of up to `rows` rows, where each has `blocks` blocks of 16 channels.
#[inline(always)]
const fn strides(rows: usize, blocks: usize) -> Strides {
    let block = POINTS * rows * LANES;
    Strides { tile: blocks * block, block }
}

impl Strip<'_> {
    /// Blocks of 16 channels of the source.
    #[inline(always)]
    fn blocks(&self) -> usize {
        self.pass.weights.depth.div_ceil(LANES)
    }

    /// Blocks of 16 columns of the panels.
    fn column_blocks(&self) -> usize {
        self.panels.iter().map(|panel| panel.width() / LANES).sum()
    }

    /// The image and the first pixel that a tile covers, from the first of the pass on.
    #[inline(always)]
    fn place(&self, tile: usize) -> (usize, [usize; 2]) {
        let [down, across] = self.pass.tiles();
        let tile = self.first + tile;
        (tile / (down * across), [tile / across % down * OUT, tile % across * OUT])
    }

    /// The pixels of the source that a tile is computed from; zeros where they lie outside.
    #[inline(always)]
    fn pixels(&self, tile: usize) -> [[*const f32; IN]; IN] {
        let WinogradPass { source, origin, zeros, .. } = self.pass;
        let (image, [y, x]) = self.place(tile);
        let (y, x) = (y as isize + origin[0], x as isize + origin[1]);
        let image = source.data.wrapping_add(image * source.height * source.width * source.pixel_stride);
        let mut pixels = [[zeros.as_ptr(); IN]; IN];
        for (dy, row) in pixels.iter_mut().enumerate() {
            for (dx, pixel) in row.iter_mut().enumerate() {
                let (y, x) = ((y + dy as isize) as usize, (x + dx as isize) as usize);
                // Negative positions wrap to huge ones.
                if y < source.height && x < source.width {
                    *pixel = image.wrapping_add((y * source.width + x) * source.pixel_stride);
                }
            }
        }
        pixels
    }

    /// The sums over the channels of the source, at every point.
    unsafe fn multiply(&self) {
        let weights = self.pass.weights;
        let rows = tile_size(self.pass.level).rows;
        let (source_strides, sums_strides) = (strides(rows, self.blocks()), strides(rows, self.column_blocks()));
        for point in 0..POINTS {
            let in_block = point * rows * LANES;
            let mut block = 0;
            for (index, panel) in self.panels.iter().enumerate() {
                let weights_of = |point: usize, panel: &Panel| {
                    weights.data.as_ptr().wrapping_add(point * weights.point_len + panel.start())
                };
                let next_weights = match self.panels.get(index + 1) {
                    Some(panel) => weights_of(point, panel),
                    None => weights_of((point + 1) % POINTS, &self.panels[0]),
                };
                // SAFETY: all extents are those that `run` allocated and `WinogradWeights::new` packed.
                unsafe {
                    let source = self.points.add(in_block);
                    block_product_fn(self.pass.level)(&BlockProduct {
                        source,
                        source_strides,
                        rows: self.count,
                        depth: weights.depth,
                        weights: weights_of(point, panel),
                        columns: panel.width(),
                        sums: self.sums.add(block * sums_strides.block + in_block),
                        sums_strides,
                        next_weights,
                    });
                }
                block += panel.width() / LANES;
            }
        }
    }
}

/// Bᵀ d for one column or row of six.
#[inline(always)]
unsafe fn to_points<L: Lanes>(d: [L; IN]) -> [L; IN] {
    unsafe {
        let (two, four, minus_four, minus_five) = (L::splat(2.0), L::splat(4.0), L::splat(-4.0), L::splat(-5.0));
        let even = d[2].mul_add(minus_four, d[4]);
        let odd = d[1].mul_add(minus_four, d[3]);
        let even_2 = d[4].sub(d[2]);
        let odd_2 = d[3].sub(d[1]);
        [
            d[0].mul_add(four, d[2].mul_add(minus_five, d[4])),
            even.add(odd),
            even.sub(odd),
            odd_2.mul_add(two, even_2),
            even_2.sub(odd_2.mul(two)),
            d[1].mul_add(four, d[3].mul_add(minus_five, d[5])),
        ]
    }
}

/// Aᵀ m for one column or row of six.
#[inline(always)]
unsafe fn from_points<L: Lanes>(m: [L; IN]) -> [L; OUT] {
    unsafe {
        let (sum_1, difference_1) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (sum_2, difference_2) = (m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(sum_1).add(sum_2),
            difference_2.mul_add(L::splat(2.0), difference_1),
            sum_2.mul_add(L::splat(4.0), sum_1),
            difference_2.mul_add(L::splat(8.0), difference_1).add(m[5]),
        ]
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop)] // Constant bounds unroll.
unsafe fn transform_source<L: Lanes>(strip: &Strip) {
    let depth = strip.pass.weights.depth;
    let strides = strides(L::TILE_ROWS, strip.blocks());
    let mut next = strip.pixels(0);
    for (register_tile, (first, rows)) in register_tiles(strip.count, L::TILE_ROWS).enumerate() {
        for row in 0..rows {
            let pixels = next;
            next = strip.pixels((first + row + 1).min(strip.count - 1));
            for block in 0..strip.blocks() {
                let channel = block * LANES;
                let lanes = (depth - channel).min(LANES);
                // The next tile shares its first two columns with this one.
                for row in &next {
                    for &pixel in &row[IN - OUT..] {
                        prefetch(pixel.wrapping_add(channel));
                    }
                }
                // SAFETY: pixels are pixels of the source or zeros, valid for `lanes` channels from `channel` on; points has
                // a place for every point, block and tile.
                unsafe {
                    let mut down = [[L::splat(0.0); IN]; IN];
                    for dx in 0..IN {
                        let mut d = [L::splat(0.0); IN];
                        for dy in 0..IN {
                            d[dy] = L::load_first(pixels[dy][dx].add(channel), lanes);
                        }
                        let d = to_points(d);
                        for v in 0..IN {
                            down[v][dx] = d[v];
                        }
                    }
                    let to = strip.points.add(register_tile * strides.tile + block * strides.block + row * LANES);
                    for v in 0..IN {
                        let across = to_points(down[v]);
                        for u in 0..IN {
                            across[u].store(to.add((v * IN + u) * L::TILE_ROWS * LANES));
                        }
                    }
                }
            }
        }
    }
}

for_each_level!(fn transform_source_fn = transform_source(strip: &Strip));

#[inline(always)]
unsafe fn transform_sums<L: Lanes>(strip: &Strip) {
    let strides = strides(L::TILE_ROWS, strip.column_blocks());
    for (register_tile, (first, rows)) in register_tiles(strip.count, L::TILE_ROWS).enumerate() {
        for row in 0..rows {
            // SAFETY: sums has a place for every point, block of columns and tile.
            unsafe {
                let from = strip.sums.add(register_tile * strides.tile + row * LANES);
                transform_sums_of_tile::<L>(strip, first + row, from, strides.block);
            }
        }
    }
}

/// The pixels of one tile from its sums, which begin at `from` with the next block of columns `block_stride` floats on.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // Constant bounds unroll.
unsafe fn transform_sums_of_tile<L: Lanes>(strip: &Strip, tile: usize, from: *const f32, block_stride: usize) {
    let WinogradPass { target, start, count: [height, width], .. } = strip.pass;
    let (first_column, end_column) = match (strip.panels.first(), strip.panels.last()) {
        (Some(first), Some(last)) => (first.column, last.column + last.columns),
        _ => return,
    };
    let first_pixel =
        |(image, [y, x]): (usize, [usize; 2])| (image * target.height + start[0] + y) * target.width + start[1] + x;
    let place = strip.place(tile);
    let (_, [y, x]) = place;
    let (down, across) = ((height - y).min(OUT), (width - x).min(OUT));
    let (this, next) = (first_pixel(place), first_pixel(strip.place((tile + 1).min(strip.count - 1))));
    for column in (0..end_column - first_column).step_by(LANES) {
        let lanes = (end_column - first_column - column).min(LANES);
        for pixel in (0..OUT * OUT).map(|index| next + index / OUT * target.width + index % OUT) {
            prefetch_to_write(target.data.wrapping_add(pixel * target.pixel_stride + first_column + column));
        }
        // SAFETY: as the caller vouches for the sums; pixels inside the target are valid.
        unsafe {
            let from = from.add(column / LANES * block_stride);
            let mut rows = [[L::splat(0.0); IN]; OUT];
            for u in 0..IN {
                let mut m = [L::splat(0.0); IN];
                for v in 0..IN {
                    m[v] = L::load(from.add((v * IN + u) * L::TILE_ROWS * LANES));
                }
                let m = from_points(m);
                for dy in 0..OUT {
                    rows[dy][u] = m[dy];
                }
            }
            for dy in 0..down {
                let row = from_points(rows[dy]);
                for dx in 0..OUT {
                    if dx < across {
                        let pixel = this + dy * target.width + dx;
                        finish_lanes(row[dx], lanes, target, pixel, first_column + column);
                    }
                }
            }
        }
    }
}

for_each_level!(fn transform_sums_fn = transform_sums(strip: &Strip));

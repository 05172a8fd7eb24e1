//! The register tile: a few output pixels times 16 or 32 output channels, the sum over taps and source channels kept in
//! registers. Pixels are gathered through pointers, as in the indirect convolution algorithm (Dukhan 2019), so that
//! padding, strides, dilation and batches cost nothing and no column matrix is ever written.

#[cfg(target_arch = "x86_64")]
use crate::base::simd::{Avx2Lanes, Avx512Lanes};
use crate::base::simd::{LANES, Lanes, Level, PortableLanes, prefetch, prefetch_to_write};

/// The most pixels and channels of a tile, over all levels.
pub const MAX_ROWS: usize = 14;
pub const MAX_COLUMNS: usize = 2 * LANES;

/// How large a level's tiles are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileSize {
    pub rows: usize,
    /// The widest panel of packed weights; a last panel may have 16 columns.
    pub columns: usize,
}

pub const fn tile_size(level: Level) -> TileSize {
    const fn of<L: Lanes>() -> TileSize {
        TileSize { rows: L::TILE_ROWS, columns: L::TILE_VECTORS * LANES }
    }
    match level {
        Level::Portable => of::<PortableLanes>(),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => of::<Avx2Lanes>(),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => of::<Avx512Lanes>(),
        #[cfg(not(target_arch = "x86_64"))]
        _ => of::<PortableLanes>(),
    }
}

/// The operands of one tile.
pub struct Tile {
    /// `taps × rows` pointers to `depth` source channels each.
    pub sources: *const *const f32,
    pub taps: usize,
    pub depth: usize,
    /// `taps · depth` rows of `columns` packed weights.
    pub weights: *const f32,
    /// 16 or 32.
    pub columns: usize,
    /// `rows × columns` sums.
    pub sums: *mut f32,
    /// What the epilogue will write and read, to be fetched while the sums are computed.
    pub ahead: Ahead,
}

/// Cache lines that are needed soon: of every row of a tile, as many floats as it has columns, from `column` on.
#[derive(Clone, Copy)]
pub struct Ahead {
    /// A pointer a row; null for no lines at all.
    pub targets: *const *mut f32,
    /// As many, of what is added to the sums; null where nothing is.
    pub adds: *const *const f32,
    pub column: usize,
}

impl Ahead {
    pub const NOTHING: Self = Self { targets: std::ptr::null(), adds: std::ptr::null(), column: 0 };

    /// Fetches the lines of one row.
    #[inline(always)]
    unsafe fn fetch<const VECTORS: usize>(&self, row: usize) {
        for v in 0..VECTORS {
            let column = self.column + v * LANES;
            // SAFETY: as the caller vouches, there is a pointer for the row; where it leads to does not matter.
            unsafe {
                prefetch_to_write((*self.targets.add(row)).wrapping_add(column));
                if !self.adds.is_null() {
                    prefetch((*self.adds.add(row)).wrapping_add(column));
                }
            }
        }
    }
}

/// A function that computes the sums of one tile.
///
/// # Safety
/// The level must be available; `sources`, `weights` and `sums` must be valid for the extents that [`Tile`] states.
pub type TileFn = unsafe fn(&Tile);

pub fn tile_fn(level: Level) -> TileFn {
    match level {
        Level::Portable => portable,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => avx2,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => avx512,
        #[cfg(not(target_arch = "x86_64"))]
        _ => portable,
    }
}

/// A row of a panel of weights. Rows that come soon are fetched, from the second-level cache mostly.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // Constant bounds keep the row in registers.
pub(super) unsafe fn weight_row<L: Lanes, const VECTORS: usize>(weights: *const f32) -> [L; VECTORS] {
    /// Rows between the one that is used and the one that is fetched.
    const ROWS_AHEAD: usize = 8;
    unsafe {
        let mut row = [L::splat(0.0); VECTORS];
        for v in 0..VECTORS {
            row[v] = L::load(weights.add(v * LANES));
            prefetch(weights.wrapping_add((ROWS_AHEAD * VECTORS + v) * LANES));
        }
        row
    }
}

/// Adds one channel of every row times one row of the weights.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // Constant bounds keep the sums in registers.
unsafe fn add_outer<L: Lanes, const ROWS: usize, const VECTORS: usize>(
    sources: &[*const f32; ROWS],
    channel: usize,
    weights: *const f32,
    sums: &mut [[L; VECTORS]; ROWS],
) {
    unsafe {
        let columns = weight_row::<L, VECTORS>(weights);
        for row in 0..ROWS {
            let x = L::splat(*sources[row].add(channel));
            for v in 0..VECTORS {
                sums[row][v] = x.mul_add(columns[v], sums[row][v]);
            }
        }
    }
}

/// sums\[row\]\[column\] = Σ over taps and depth of source\[tap\]\[row\]\[depth\] · weights\[tap, depth\]\[column\].
#[inline(always)]
#[allow(clippy::needless_range_loop)] // As above.
unsafe fn sums<L: Lanes, const ROWS: usize, const VECTORS: usize>(tile: &Tile) {
    unsafe {
        let mut sums = [[L::splat(0.0); VECTORS]; ROWS];
        let mut weights = tile.weights;
        for tap in 0..tile.taps {
            let sources = &*tile.sources.add(tap * ROWS).cast::<[*const f32; ROWS]>();
            // One row after the other: processors have no more than a dozen misses under way at a time.
            let fetched = if tap > 0 || tile.ahead.targets.is_null() { 0 } else { tile.depth.min(ROWS) };
            for k in 0..fetched {
                tile.ahead.fetch::<VECTORS>(k);
                add_outer::<L, ROWS, VECTORS>(sources, k, weights.add(k * VECTORS * LANES), &mut sums);
            }
            for k in fetched..tile.depth {
                add_outer::<L, ROWS, VECTORS>(sources, k, weights.add(k * VECTORS * LANES), &mut sums);
            }
            weights = weights.add(tile.depth * VECTORS * LANES);
        }
        for row in 0..ROWS {
            for v in 0..VECTORS {
                sums[row][v].store(tile.sums.add((row * VECTORS + v) * LANES));
            }
        }
    }
}

unsafe fn portable(tile: &Tile) {
    debug_assert_eq!(tile.columns, LANES);
    // SAFETY: as the caller vouches.
    unsafe { sums::<PortableLanes, { PortableLanes::TILE_ROWS }, 1>(tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(tile: &Tile) {
    debug_assert_eq!(tile.columns, LANES);
    // SAFETY: as the caller vouches; the features are enabled here.
    unsafe { sums::<Avx2Lanes, { Avx2Lanes::TILE_ROWS }, 1>(tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(tile: &Tile) {
    // SAFETY: as the caller vouches; the feature is enabled here.
    unsafe {
        if tile.columns == LANES {
            sums::<Avx512Lanes, { Avx512Lanes::TILE_ROWS }, 1>(tile)
        } else {
            sums::<Avx512Lanes, { Avx512Lanes::TILE_ROWS }, 2>(tile)
        }
    }
}

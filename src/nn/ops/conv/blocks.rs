//! A matrix product whose left side lies in blocks of 16 columns of the rows of one register tile, so that these are found
//! from one pointer by constant offsets.

use super::tile::weight_row;
#[cfg(target_arch = "x86_64")]
use crate::base::simd::{Avx2Lanes, Avx512Lanes};
use crate::base::simd::{LANES, Lanes, Level, PortableLanes, prefetch_early};

/// sums = source · weights, all rows.
pub struct BlockProduct {
    /// `[register tile][depth / 16, rounded up][row][16]`.
    pub source: *const f32,
    pub source_strides: Strides,
    pub rows: usize,
    pub depth: usize,
    /// `depth` rows of `columns`.
    pub weights: *const f32,
    /// 16, or 32 where the level's register tile is that wide.
    pub columns: usize,
    /// `[register tile][columns / 16][row][16]`.
    pub sums: *mut f32,
    pub sums_strides: Strides,
    /// The weights of the product that will be asked for next: they are fetched meanwhile.
    pub next_weights: *const f32,
}

/// Floats from the first row of a register tile to that of the next, and from one of its blocks to the next.
#[derive(Clone, Copy)]
pub struct Strides {
    pub tile: usize,
    pub block: usize,
}

/// Rows in register tiles of at most `most`, of nearly equal height: the first row of each, and how many it has.
#[inline(always)]
pub fn register_tiles(rows: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = rows.div_ceil(most);
    (0..tiles).map(move |tile| {
        let start = |tile: usize| tile * rows / tiles;
        (start(tile), start(tile + 1) - start(tile))
    })
}

/// A function that computes a product.
///
/// # Safety
/// The level must be available; all pointers of the product must be valid for its extents.
pub type BlockProductFn = unsafe fn(&BlockProduct);

pub fn block_product_fn(level: Level) -> BlockProductFn {
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

/// All register tiles of a product, each compiled for its height. (Only those that a level has: a tile that does not fit
/// into its registers takes the compiler long, and is never asked for.)
macro_rules! in_tiles {
    ($product:ident, $lanes:ty, $vectors:literal, $($rows:literal)*) => {{
        for (tile, (_, rows)) in register_tiles($product.rows, <$lanes>::TILE_ROWS).enumerate() {
            match rows {
                // SAFETY: as the caller vouches, for this tile.
                $($rows => unsafe { multiply::<$lanes, $rows, $vectors>($product, tile) },)*
                _ => debug_assert!(false, "a tile of {rows} rows"),
            }
        }
    }};
}

unsafe fn portable(product: &BlockProduct) {
    in_tiles!(product, PortableLanes, 1, 1 2 3 4);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(product: &BlockProduct) {
    in_tiles!(product, Avx2Lanes, 1, 1 2 3 4 5 6);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(product: &BlockProduct) {
    if product.columns == 2 * LANES {
        in_tiles!(product, Avx512Lanes, 2, 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    } else {
        in_tiles!(product, Avx512Lanes, 1, 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }
}

/// Adds one column of the source times one row of the weights.
///
/// A function of its own, since a closure might be left out of line, without the level's instructions.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // Constant bounds keep the sums in registers.
unsafe fn add_outer<L: Lanes, const ROWS: usize, const VECTORS: usize>(
    source: *const f32,
    weights: *const f32,
    sums: &mut [[L; VECTORS]; ROWS],
) {
    unsafe {
        let columns = weight_row::<L, VECTORS>(weights);
        for row in 0..ROWS {
            let x = L::splat(*source.add(row * LANES));
            for v in 0..VECTORS {
                sums[row][v] = x.mul_add(columns[v], sums[row][v]);
            }
        }
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop)] // As above.
unsafe fn multiply<L: Lanes, const ROWS: usize, const VECTORS: usize>(product: &BlockProduct, tile: usize) {
    let (blocks, rest) = (product.depth / LANES, product.depth % LANES);
    unsafe {
        let mut sums = [[L::splat(0.0); VECTORS]; ROWS];
        let mut weights = product.weights;
        let mut source = product.source.add(tile * product.source_strides.tile);
        // Each register tile fetches its share, spread over its sums.
        let fetched_a_row = product.columns / product.rows.div_ceil(L::TILE_ROWS);
        let mut next_weights = product.next_weights.wrapping_add(tile * fetched_a_row * product.depth);
        for _ in 0..blocks {
            for k in 0..LANES {
                prefetch_early(next_weights);
                next_weights = next_weights.wrapping_add(fetched_a_row);
                add_outer::<L, ROWS, VECTORS>(source.add(k), weights.add(k * VECTORS * LANES), &mut sums);
            }
            weights = weights.add(LANES * VECTORS * LANES);
            source = source.add(product.source_strides.block);
        }
        for k in 0..rest {
            add_outer::<L, ROWS, VECTORS>(source.add(k), weights.add(k * VECTORS * LANES), &mut sums);
        }
        let to = product.sums.add(tile * product.sums_strides.tile);
        for row in 0..ROWS {
            for v in 0..VECTORS {
                sums[row][v].store(to.add(v * product.sums_strides.block + row * LANES));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::conv::tile::tile_size;

    #[test]
    fn register_tiles_cover_all_rows_evenly() {
        for (rows, most) in (0..50).flat_map(|rows| [1, 4, 14].map(|most| (rows, most))) {
            let tiles: Vec<_> = register_tiles(rows, most).collect();
            let mut next = 0;
            for &(first, count) in &tiles {
                assert_eq!(first, next);
                assert!(count <= most && count + 1 >= rows / tiles.len().max(1));
                next += count;
            }
            assert_eq!((next, tiles.len()), (rows, rows.div_ceil(most)));
        }
    }

    #[test]
    fn every_height_of_tile_agrees_with_the_definition_at_every_level() {
        for level in Level::available() {
            let most = tile_size(level).rows;
            let widest = tile_size(level).columns;
            for (rows, depth, columns) in (1..=15usize)
                .flat_map(|rows| [(rows, 5usize, 16usize), (rows, 21, 16), (rows, 32, widest), (rows + 20, 1, widest)])
            {
                let at = |row: usize, k: usize| ((row * 7 + k * 3) % 11) as f32 - 5.0;
                let weight = |k: usize, c: usize| ((k * 5 + c * 7) % 13) as f32 - 6.0;
                // Strides that are larger than need be.
                let block = (most + 1) * LANES;
                let source_strides = Strides { tile: depth.div_ceil(LANES) * block + LANES, block };
                let sums_strides = Strides { tile: columns / LANES * block + 3, block };
                let tiles = register_tiles(rows, most).enumerate();
                let places: Vec<(usize, usize)> =
                    tiles.flat_map(|(tile, (_, rows))| (0..rows).map(move |row| (tile, row))).collect();
                let place = |row: usize, column: usize, strides: Strides| {
                    let (tile, row) = places[row];
                    tile * strides.tile + column / LANES * strides.block + row * LANES + column % LANES
                };
                let mut source = vec![f32::NAN; rows.div_ceil(most) * source_strides.tile];
                for (row, k) in (0..rows).flat_map(|row| (0..depth).map(move |k| (row, k))) {
                    source[place(row, k, source_strides)] = at(row, k);
                }
                let weights: Vec<f32> = (0..depth).flat_map(|k| (0..columns).map(move |c| weight(k, c))).collect();
                let mut sums = vec![f32::NAN; rows.div_ceil(most) * sums_strides.tile];
                let product = BlockProduct {
                    source: source.as_ptr(),
                    source_strides,
                    rows,
                    depth,
                    weights: weights.as_ptr(),
                    columns,
                    sums: sums.as_mut_ptr(),
                    sums_strides,
                    next_weights: weights.as_ptr(),
                };
                // SAFETY: the level is available, and everything has the extents of the product.
                unsafe { block_product_fn(level)(&product) };
                for (row, c) in (0..rows).flat_map(|row| (0..columns).map(move |c| (row, c))) {
                    let want: f32 = (0..depth).map(|k| at(row, k) * weight(k, c)).sum();
                    let got = sums[place(row, c, sums_strides)];
                    assert_eq!(got, want, "{level:?}, {rows} rows of {depth}, [{row}, {c}]");
                }
            }
        }
    }
}

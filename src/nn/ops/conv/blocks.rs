//! A matrix product whose left side lies in blocks of 16 columns, so that the rows of a register tile are found from one
//! pointer by constant offsets.

#[cfg(target_arch = "x86_64")]
use crate::base::simd::{Avx2Lanes, Avx512Lanes};
use crate::base::simd::{LANES, Lanes, Level, PortableLanes};

/// sums = source · weights, all rows.
pub struct BlockProduct {
    /// `[depth / 16, rounded up][row][16]`.
    pub source: *const f32,
    pub rows: usize,
    pub depth: usize,
    /// `depth` rows of `columns`.
    pub weights: *const f32,
    /// 16, or 32 where the level's register tile is that wide.
    pub columns: usize,
    /// `[columns / 16][row][16]`.
    pub sums: *mut f32,
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

/// The rows of a product in register tiles of nearly equal height, each compiled for its height. (Only those that a level
/// has: a tile that does not fit into its registers takes the compiler long, and is never asked for.)
macro_rules! in_tiles {
    ($product:ident, $lanes:ty, $vectors:literal, $($rows:literal)*) => {{
        let tiles = $product.rows.div_ceil(<$lanes>::TILE_ROWS);
        let mut first = 0;
        for index in 0..tiles {
            let rows = ($product.rows - first) / (tiles - index);
            match rows {
                // SAFETY: as the caller vouches, for rows `first..first + rows`.
                $($rows => unsafe { tile::<$lanes, $rows, $vectors>($product, first) },)*
                _ => debug_assert!(rows == 0, "a tile of {rows} rows"),
            }
            first += rows;
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
        let mut columns = [L::splat(0.0); VECTORS];
        for v in 0..VECTORS {
            columns[v] = L::load(weights.add(v * LANES));
        }
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
unsafe fn tile<L: Lanes, const ROWS: usize, const VECTORS: usize>(product: &BlockProduct, first: usize) {
    let (blocks, rest) = (product.depth / LANES, product.depth % LANES);
    unsafe {
        let mut sums = [[L::splat(0.0); VECTORS]; ROWS];
        let mut weights = product.weights;
        let mut source = product.source.add(first * LANES);
        for _ in 0..blocks {
            for k in 0..LANES {
                add_outer::<L, ROWS, VECTORS>(source.add(k), weights.add(k * VECTORS * LANES), &mut sums);
            }
            weights = weights.add(LANES * VECTORS * LANES);
            source = source.add(product.rows * LANES);
        }
        for k in 0..rest {
            add_outer::<L, ROWS, VECTORS>(source.add(k), weights.add(k * VECTORS * LANES), &mut sums);
        }
        for row in 0..ROWS {
            for v in 0..VECTORS {
                sums[row][v].store(product.sums.add((v * product.rows + first + row) * LANES));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_height_of_tile_agrees_with_the_definition_at_every_level() {
        for level in Level::available() {
            let widest = if level == Level::Avx512 { 32 } else { 16 };
            for (rows, depth, columns) in (1..=15usize)
                .flat_map(|rows| [(rows, 5usize, 16usize), (rows, 21, 16), (rows, 32, widest), (rows + 20, 1, widest)])
            {
                let at = |row: usize, k: usize| ((row * 7 + k * 3) % 11) as f32 - 5.0;
                let weight = |k: usize, c: usize| ((k * 5 + c * 7) % 13) as f32 - 6.0;
                let mut source = vec![f32::NAN; depth.div_ceil(LANES) * rows * LANES];
                let mut weights = Vec::new();
                for k in 0..depth {
                    for row in 0..rows {
                        source[(k / LANES * rows + row) * LANES + k % LANES] = at(row, k);
                    }
                    weights.extend((0..columns).map(|c| weight(k, c)));
                }
                let mut sums = vec![f32::NAN; rows * columns];
                let (source, weights) = (source.as_ptr(), weights.as_ptr());
                let product = BlockProduct { source, rows, depth, weights, columns, sums: sums.as_mut_ptr() };
                // SAFETY: the level is available, and everything has the extents of the product.
                unsafe { block_product_fn(level)(&product) };
                for (row, c) in (0..rows).flat_map(|row| (0..columns).map(move |c| (row, c))) {
                    let want: f32 = (0..depth).map(|k| at(row, k) * weight(k, c)).sum();
                    let got = sums[(c / LANES * rows + row) * LANES + c % LANES];
                    assert_eq!(got, want, "{level:?}, {rows} rows of {depth}, [{row}, {c}]");
                }
            }
        }
    }
}

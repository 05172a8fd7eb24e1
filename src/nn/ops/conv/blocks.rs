//! A matrix product whose left side lies in blocks of 16 columns, so that the rows of a register tile are found from one
//! pointer by constant offsets.

use crate::base::simd::{LANES, Lanes, for_each_level};

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

/// Computes `rows` in register tiles of nearly equal height.
#[inline(always)]
unsafe fn block_product<L: Lanes>(product: &BlockProduct) {
    let tiles = product.rows.div_ceil(L::TILE_ROWS);
    let mut first = 0;
    for tile in 0..tiles {
        let rows = (product.rows - first) / (tiles - tile);
        // SAFETY: as the caller vouches, for rows `first..first + rows`.
        unsafe {
            if L::TILE_VECTORS == 2 && product.columns == 2 * LANES {
                tile_of_rows::<L, 2>(product, first, rows);
            } else {
                tile_of_rows::<L, 1>(product, first, rows);
            }
        }
        first += rows;
    }
}

for_each_level!(
    /// All pointers of the product must be valid for its extents.
    pub fn block_product_fn = block_product(product: &BlockProduct)
);

#[inline(always)]
unsafe fn tile_of_rows<L: Lanes, const VECTORS: usize>(product: &BlockProduct, first: usize, rows: usize) {
    macro_rules! by_rows {
        ($($count:literal)*) => {
            match rows {
                // Tiles that are higher than the level's are never asked for, and their code falls away.
                $($count if $count <= L::TILE_ROWS => unsafe { tile::<L, $count, VECTORS>(product, first) },)*
                _ => debug_assert!(rows == 0, "a tile of {rows} rows"),
            }
        };
    }
    by_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
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
    unsafe {
        let mut sums = [[L::splat(0.0); VECTORS]; ROWS];
        let mut weights = product.weights;
        let mut source = product.source.add(first * LANES);
        for _ in 0..product.depth / LANES {
            for k in 0..LANES {
                add_outer::<L, ROWS, VECTORS>(source.add(k), weights.add(k * VECTORS * LANES), &mut sums);
            }
            weights = weights.add(LANES * VECTORS * LANES);
            source = source.add(product.rows * LANES);
        }
        for k in 0..product.depth % LANES {
            add_outer::<L, ROWS, VECTORS>(source.add(k), weights.add(k * VECTORS * LANES), &mut sums);
        }
        for row in 0..ROWS {
            for v in 0..VECTORS {
                sums[row][v].store(product.sums.add((v * product.rows + first + row) * LANES));
            }
        }
    }
}

//! Evening a gradient out over its frequencies.
//!
//! Gradients are strongest in the finest detail. Splitting one into the bands of a Laplacian pyramid (Burt 1983) and
//! bringing each to the same strength lets large forms grow as well; the idea for dreams is Mordvintsev's
//! (TensorFlow's deepdream tutorial, 2015, `lap_normalize`).

use super::RGB;
use crate::base::parallel::{for_each_chunk_mut, sum_of};

/// The binomial kernel of 5.
const REDUCE: [f32; 5] = [1.0 / 16.0, 4.0 / 16.0, 6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0];

/// Sides shorter than the kernel are not split further.
const SHORTEST_SIDE_PX: usize = REDUCE.len();

/// A band weaker than this part of the whole gradient is rounding noise and is not raised.
const FAINTEST: f64 = 1e-6;

/// Rows that one task of a parallel loop works on.
const ROWS: usize = 8;

/// `K` neighbouring values that make one: where they start, and their weights.
#[derive(Clone, Copy)]
struct Taps<const K: usize> {
    start: usize,
    weights: [f32; K],
}

impl<const K: usize> Taps<K> {
    /// From weights by position; positions outside `0..len` are left out and the others raised to a sum of 1.
    fn new(len: usize, weight_of: impl Fn(isize) -> f32, around: isize) -> Self {
        debug_assert!(len >= K);
        let start = (around - K as isize / 2).clamp(0, (len - K) as isize);
        let mut weights = std::array::from_fn(|k| weight_of(start + k as isize));
        let sum: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Self { start: start as usize, weights }
    }
}

/// Halves `len` values (rounding up): value `i` is the kernel's mean around `2 i`.
fn reduce_taps(len: usize) -> Vec<Taps<5>> {
    let taps = |i: usize| {
        let centre = 2 * i as isize;
        let weight_of = |at: isize| REDUCE.get((at - centre + 2) as usize).copied().unwrap_or(0.0);
        Taps::new(len, weight_of, centre)
    };
    (0..len.div_ceil(2)).map(taps).collect()
}

/// Brings half as many values back to `len`: the kernel's mean of those that lie at even places.
fn expand_taps(len: usize) -> Vec<Taps<3>> {
    let taps = |i: usize| {
        let weight_of = |at: isize| REDUCE.get((2 * at - i as isize + 2) as usize).copied().unwrap_or(0.0);
        Taps::new(len.div_ceil(2), weight_of, i as isize / 2)
    };
    (0..len).map(taps).collect()
}

/// The filters between a level and the next smaller one, for rows and columns.
struct Between {
    /// Size of the larger level.
    size: [usize; 2],
    reduce: [Vec<Taps<5>>; 2],
    expand: [Vec<Taps<3>>; 2],
}

/// The memory and filters to even out gradients of one size.
pub struct BandNormalizer {
    between: Vec<Between>,
    /// The levels below the gradient itself, from large to small.
    smaller: Vec<Vec<f32>>,
}

fn halved([height, width]: [usize; 2]) -> [usize; 2] {
    [height.div_ceil(2), width.div_ceil(2)]
}

fn len_of([height, width]: [usize; 2]) -> usize {
    height * width * RGB
}

impl BandNormalizer {
    /// For gradients of `size` in `bands` bands and the rest below them; fewer when the picture is too small to split.
    pub fn new(size: [usize; 2], bands: usize) -> Self {
        let mut between = Vec::new();
        let mut smaller = Vec::new();
        let mut size = size;
        while between.len() < bands && size.iter().all(|&side| side >= SHORTEST_SIDE_PX) {
            let (reduce, expand) = (size.map(reduce_taps), size.map(expand_taps));
            between.push(Between { size, reduce, expand });
            size = halved(size);
            smaller.push(vec![0.0; len_of(size)]);
        }
        Self { between, smaller }
    }

    /// Bytes of memory for gradients of `size`: the levels below it, each a quarter of the one above.
    pub fn bytes(size: [usize; 2]) -> usize {
        len_of(halved(size)) * size_of::<f32>() * 4 / 3
    }

    /// Divides each band of `gradient` by its root mean square.
    pub fn normalize(&mut self, gradient: &mut [f32]) {
        let faintest = FAINTEST * root_mean_square(gradient);
        let depth = self.between.len();
        for i in 0..depth {
            let (above, below) = self.smaller.split_at_mut(i);
            let level = above.last_mut().map_or(&mut *gradient, Vec::as_mut_slice);
            self.between[i].reduce(level, &mut below[0]);
            self.between[i].expand(&below[0], level, |band, low| *band -= low);
        }
        let lowest = self.smaller.last_mut().map_or(&mut *gradient, Vec::as_mut_slice);
        let factor = factor_for(lowest, faintest);
        for_each_chunk_mut(lowest, super::CHUNK, |_, values| values.iter_mut().for_each(|value| *value *= factor));
        for i in (0..depth).rev() {
            let (above, below) = self.smaller.split_at_mut(i);
            let level = above.last_mut().map_or(&mut *gradient, Vec::as_mut_slice);
            let factor = factor_for(level, faintest);
            let merge = |band: &mut f32, low| *band = *band * factor + low;
            self.between[i].expand(&below[0], level, merge);
        }
    }
}

impl Between {
    fn reduce(&self, from: &[f32], to: &mut [f32]) {
        filter(&self.reduce, from, self.size[1] * RGB, to, |value, mean| *value = mean);
    }

    /// Hands each value of `to` and that of `from` brought to its place to `put`.
    fn expand(&self, from: &[f32], to: &mut [f32], put: impl Fn(&mut f32, f32) + Sync + Send) {
        filter(&self.expand, from, self.size[1].div_ceil(2) * RGB, to, put);
    }
}

/// Filters down the columns by the first taps, then along the rows by the others, row by row of `to`, so that nothing
/// between the two is kept. Rows of `from` have `row_len` values. Hands each value of `to` and its mean to `put`.
fn filter<const K: usize>(
    [vertical, horizontal]: &[Vec<Taps<K>>; 2],
    from: &[f32],
    row_len: usize,
    to: &mut [f32],
    put: impl Fn(&mut f32, f32) + Sync + Send,
) {
    let to_row_len = horizontal.len() * RGB;
    for_each_chunk_mut(to, ROWS * to_row_len, |chunk, rows| {
        let mut between = vec![0.0; row_len];
        for (row, taps) in rows.chunks_exact_mut(to_row_len).zip(&vertical[chunk * ROWS..]) {
            down_columns(taps, from, &mut between);
            along_row(horizontal, &between, row, &put);
        }
    });
}

/// One row of `to` from the `K` rows of `from` that `taps` names.
fn down_columns<const K: usize>(taps: &Taps<K>, from: &[f32], to: &mut [f32]) {
    let row_len = to.len();
    let sources: [&[f32]; K] = std::array::from_fn(|k| &from[(taps.start + k) * row_len..][..row_len]);
    for (i, value) in to.iter_mut().enumerate() {
        *value = (0..K).map(|k| taps.weights[k] * sources[k][i]).sum();
    }
}

/// Column `x` of the row `to` from those of `from` that `taps[x]` names.
fn along_row<const K: usize>(taps: &[Taps<K>], from: &[f32], to: &mut [f32], put: &impl Fn(&mut f32, f32)) {
    let pixels = from.as_chunks::<RGB>().0;
    for (to, taps) in to.as_chunks_mut::<RGB>().0.iter_mut().zip(taps) {
        let mut mean = [0.0; RGB];
        for (weight, pixel) in taps.weights.iter().zip(&pixels[taps.start..taps.start + K]) {
            for c in 0..RGB {
                mean[c] += weight * pixel[c];
            }
        }
        for c in 0..RGB {
            put(&mut to[c], mean[c]);
        }
    }
}

fn root_mean_square(values: &[f32]) -> f64 {
    (sum_of(values, |&value| f64::from(value) * f64::from(value)) / values.len().max(1) as f64).sqrt()
}

/// What brings a band to a root mean square of 1.
fn factor_for(band: &[f32], faintest: f64) -> f32 {
    (1.0 / root_mean_square(band).max(faintest).max(f64::from(f32::MIN_POSITIVE))) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optvis::testing::{same_on_any_pool, values};

    /// One colour of a picture, by rows.
    type Plane = Vec<Vec<f64>>;

    fn transposed(plane: &Plane) -> Plane {
        (0..plane[0].len()).map(|x| plane.iter().map(|row| row[x]).collect()).collect()
    }

    /// The mean of the values of `row` that `weight(position)` counts, for `len` results.
    fn filtered(row: &[f64], len: usize, weight: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let mean = |to: usize| {
            let sum: f64 = (0..row.len()).map(|from| weight(to, from)).sum();
            (0..row.len()).map(|from| weight(to, from) * row[from]).sum::<f64>() / sum
        };
        (0..len).map(mean).collect()
    }

    fn binomial(distance: usize) -> f64 {
        [6.0, 4.0, 1.0].get(distance).copied().unwrap_or(0.0)
    }

    fn reduced(plane: &Plane) -> Plane {
        let rows = |plane: &Plane| -> Plane {
            let weight = |to: usize, from: usize| binomial((2 * to).abs_diff(from));
            plane.iter().map(|row| filtered(row, row.len().div_ceil(2), weight)).collect()
        };
        transposed(&rows(&transposed(&rows(plane))))
    }

    fn expanded(plane: &Plane, [height, width]: [usize; 2]) -> Plane {
        let rows = |plane: &Plane, len| -> Plane {
            let weight = |to: usize, from: usize| binomial(to.abs_diff(2 * from));
            plane.iter().map(|row| filtered(row, len, weight)).collect()
        };
        transposed(&rows(&transposed(&rows(plane, width)), height))
    }

    fn zip_planes(a: &[Plane], b: &[Plane], f: impl Fn(f64, f64) -> f64) -> Vec<Plane> {
        let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect();
        a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(row).collect()).collect()
    }

    fn scaled_to_one(planes: &[Plane]) -> Vec<Plane> {
        let squares: Vec<f64> = planes.iter().flatten().flatten().map(|v| v * v).collect();
        let strength = (squares.iter().sum::<f64>() / squares.len() as f64).sqrt();
        zip_planes(planes, planes, |a, _| a / strength)
    }

    /// Split, scale and merge, straight from the definition.
    fn naive(planes: &[Plane], bands: usize) -> Vec<Plane> {
        if bands == 0 {
            return scaled_to_one(planes);
        }
        let size = [planes[0].len(), planes[0][0].len()];
        let low: Vec<Plane> = planes.iter().map(reduced).collect();
        let expanded_all = |low: &[Plane]| -> Vec<Plane> { low.iter().map(|plane| expanded(plane, size)).collect() };
        let high = scaled_to_one(&zip_planes(planes, &expanded_all(&low), |a, b| a - b));
        zip_planes(&high, &expanded_all(&naive(&low, bands - 1)), |a, b| a + b)
    }

    fn planes([height, width]: [usize; 2], picture: &[f32]) -> Vec<Plane> {
        let at = |c, y, x| f64::from(picture[(y * width + x) * RGB + c]);
        (0..RGB).map(|c| (0..height).map(|y| (0..width).map(|x| at(c, y, x)).collect()).collect()).collect()
    }

    #[test]
    fn agrees_with_the_definition() {
        for (size, bands) in [([24, 33], 2), ([33, 24], 3), ([5, 6], 1), ([7, 50], 0)] {
            let mut gradient: Vec<f32> = values(len_of(size), 8).iter().map(|v| 3e-5 * v + 1e-5).collect();
            let expected = naive(&planes(size, &gradient), bands);
            BandNormalizer::new(size, bands).normalize(&mut gradient);
            let got = planes(size, &gradient);
            let worst = zip_planes(&got, &expected, |a, b| (a - b).abs()).into_iter().flatten().flatten();
            let worst = worst.fold(0.0, |worst: f64, d| if d <= worst { worst } else { d });
            assert!(worst <= 2e-4, "{size:?} in {bands} bands: off by {worst}");
        }
    }

    #[test]
    fn memory_is_used_again_without_traces() {
        let size = [20, 31];
        let mut normalizer = BandNormalizer::new(size, 3);
        let fresh = values(len_of(size), 9);
        let (mut first, mut other, mut again) = (fresh.clone(), values(len_of(size), 10), fresh);
        normalizer.normalize(&mut first);
        normalizer.normalize(&mut other);
        normalizer.normalize(&mut again);
        assert_eq!(first, again);
    }

    #[test]
    fn small_pictures_have_fewer_bands_and_nothing_stays_nothing() {
        let mut flat = vec![0.0; len_of([9, 300])];
        let mut normalizer = BandNormalizer::new([9, 300], 10);
        assert_eq!(normalizer.between.len(), 2);
        normalizer.normalize(&mut flat);
        assert!(flat.iter().all(|&value| value == 0.0));
        let mut one = vec![4.0; len_of([1, 1])];
        BandNormalizer::new([1, 1], 4).normalize(&mut one);
        assert_eq!(one, [1.0; 3]);
    }

    #[test]
    fn any_number_of_threads_gives_the_same() {
        let size = [150, 170];
        same_on_any_pool(|| {
            let mut gradient = values(len_of(size), 11);
            BandNormalizer::new(size, 4).normalize(&mut gradient);
            gradient
        });
    }
}

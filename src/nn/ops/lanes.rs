//! What the kernels share: blocks of channels that fill vector registers, the size of a task, and sums over pixels.

use crate::base::parallel;
use crate::base::tensor::Scalar;

/// Channels that a kernel handles at a time: enough for the widest vector registers, a whole cache line in `f32`.
pub const LANES: usize = 16;

/// Elements that one task of a parallel loop should write, about; a number of the problem, not of the machine.
pub const TASK_ELEMENTS: usize = 1 << 14;

/// How many rows of `row_len` elements make a task.
pub fn rows_per_task(row_len: usize) -> usize {
    (TASK_ELEMENTS / row_len.max(1)).max(1)
}

/// `data[at..at + L]` as an array.
#[inline(always)]
pub fn load<F, const L: usize>(data: &[F], at: usize) -> &[F; L] {
    match data[at..at + L].first_chunk() {
        Some(array) => array,
        None => unreachable!("a slice of L elements"),
    }
}

/// `data[at..at + L]` as an array to write to.
#[inline(always)]
pub fn load_mut<F, const L: usize>(data: &mut [F], at: usize) -> &mut [F; L] {
    match data[at..at + L].first_chunk_mut() {
        Some(array) => array,
        None => unreachable!("a slice of L elements"),
    }
}

/// Compiles a function anew for every [`Level`](crate::base::simd::Level) and calls the one for the active level.
///
/// What it calls must be `#[inline(always)]`. Rust never fuses or reorders floating-point operations, so wider
/// registers give the same bytes.
macro_rules! for_active_level {
    ($(#[$doc:meta])* fn $name:ident<$($generic:ident: $bound:path),*>($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        fn $name<$($generic: $bound),*>($($argument: $type),*) {
            #[inline(always)]
            fn portable<$($generic: $bound),*>($($argument: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                use crate::base::simd::Level;
                #[target_feature(enable = "avx2")]
                fn avx2<$($generic: $bound),*>($($argument: $type),*) {
                    portable($($argument),*)
                }
                #[target_feature(enable = "avx512f")]
                fn avx512<$($generic: $bound),*>($($argument: $type),*) {
                    portable($($argument),*)
                }
                match Level::active() {
                    // SAFETY: a level is active only where the machine has its instructions.
                    Level::Avx512 => return unsafe { avx512($($argument),*) },
                    // SAFETY: likewise.
                    Level::Avx2 => return unsafe { avx2($($argument),*) },
                    Level::Portable => {}
                }
            }
            portable($($argument),*)
        }
    };
}
pub(super) use for_active_level;

/// Adds to `sums[c]` the sum over `pixels` pixels of a term, channel by channel, in parallel over channels.
///
/// `accumulate(sums, c, at)` adds the terms of channels `c..c + sums.len()` of one pixel; the element of channel `c`
/// is number `at` of NHWC data. Partial sums of
/// `SUM_PIXELS` pixels are added up in `f64`.
pub fn add_channel_sums<F: Scalar>(
    pixels: usize,
    sums: &mut [F],
    accumulate: impl Fn(&mut [F], usize, usize) + Sync + Send,
) {
    /// Few enough for `f32` to lose nothing that matters, enough to make the conversion to `f64` free.
    const SUM_PIXELS: usize = 64;
    let channels = sums.len();
    parallel::for_each_chunk_mut(sums, LANES, |block, sums| {
        let mut totals = [0.0f64; LANES];
        for first in (0..pixels).step_by(SUM_PIXELS) {
            let mut partial = [F::zero(); LANES];
            let partial = &mut partial[..sums.len()];
            for pixel in first..pixels.min(first + SUM_PIXELS) {
                accumulate(partial, block * LANES, pixel * channels + block * LANES);
            }
            for (total, &partial) in totals.iter_mut().zip(partial.iter()) {
                *total += Scalar::to_f64(partial);
            }
        }
        for (sum, total) in sums.iter_mut().zip(totals) {
            *sum += F::of(total);
        }
    });
}

/// The inner product, in partial sums that fill vector registers.
#[inline(always)]
pub fn dot<F: Scalar>(a: &[F], b: &[F]) -> F {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [F::zero(); LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: F = a_rest.iter().zip(b_rest).map(|(a, b)| *a * *b).sum();
    sums.into_iter().sum::<F>() + rest
}

/// Raises values to a power, by roots where the exponent allows: −3/4 of local response normalization costs two
/// square roots and a division.
#[inline(always)]
pub fn raise<F: Scalar>(values: &mut [F], exponent: f32) {
    if exponent == -0.75 {
        for x in values {
            let root = x.sqrt();
            *x = F::one() / (root * root.sqrt());
        }
    } else if exponent == -0.5 {
        for x in values {
            *x = F::one() / x.sqrt();
        }
    } else if exponent == -1.0 {
        for x in values {
            *x = F::one() / *x;
        }
    } else {
        let exponent = F::of(f64::from(exponent));
        for x in values {
            *x = x.powf(exponent);
        }
    }
}

/// Hands `body` a zeroed scratch of `len` elements, on the stack unless it is large.
pub fn with_scratch<F: Scalar, R>(len: usize, body: impl FnOnce(&mut [F]) -> R) -> R {
    const ON_STACK: usize = 1 << 12;
    if len <= ON_STACK { body(&mut [F::zero(); ON_STACK][..len]) } else { body(&mut vec![F::zero(); len]) }
}

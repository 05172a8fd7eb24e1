//! Gradient ascent on pictures, taken apart.
//!
//! A run is a choice of each: WHAT is maximized ([`objective`]), what the picture is MADE OF ([`param`]), the random
//! TRANSFORMS it is seen through ([`transform`]), how it enters the net ([`preprocess`]), what is held against it
//! ([`regularizer`]), and the rule of the STEP ([`ascent`]). Each part has a value and an adjoint. Objectives are
//! maximized, penalties are subtracted.
//!
//! Pictures are interleaved RGB in 0 to 255; sizes in arrays are `[height, width]`.

pub mod ascent;
pub mod laplacian;
pub mod objective;
pub mod param;
pub mod preprocess;
pub mod regularizer;
pub mod transform;

/// Colour channels of a picture.
const RGB: usize = 3;

/// Values that one task of a parallel loop over a picture works on: whole pixels, some 100 KB.
const CHUNK: usize = RGB << 13;

#[cfg(test)]
pub(crate) mod testing {
    use rand::RngExt;

    use crate::base::rng::{Stream, rng};

    /// Values between -1 and 1, the same for the same key.
    pub fn values(len: usize, key: u64) -> Vec<f32> {
        let mut rng = rng(key, Stream::Test, 0);
        (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    pub fn dot(a: &[f32], b: &[f32]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    }

    #[track_caller]
    pub fn assert_close(got: f64, want: f64, rtol: f64, atol: f64) {
        assert!((got - want).abs() <= atol + rtol * want.abs(), "{got} is not {want}");
    }

    /// Runs `work` on pools of one and of three threads and asserts that both give the same bits.
    pub fn same_on_any_pool<R: Send + PartialEq + std::fmt::Debug>(work: impl Fn() -> R + Send + Sync) {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(&work)
        };
        assert!(on(1) == on(3), "the result depends on the number of threads");
    }
}

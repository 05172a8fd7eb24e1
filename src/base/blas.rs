//! The only calls into BLAS. OpenBLAS is held to one thread: parallelism is the engine's own (`parallel`).

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

use super::tensor::Scalar;

#[cfg(any(feature = "openblas", feature = "accelerate"))]
extern crate blas_src as _;

#[cfg(feature = "openblas")]
fn hold_blas_to_one_thread() {
    unsafe extern "C" {
        fn openblas_set_num_threads(threads: std::ffi::c_int);
    }
    static ONCE: std::sync::Once = std::sync::Once::new();
    // SAFETY: the symbol is OpenBLAS's own, linked by `openblas-src`, and takes a plain int.
    ONCE.call_once(|| unsafe { openblas_set_num_threads(1) });
}

#[cfg(not(feature = "openblas"))]
fn hold_blas_to_one_thread() {}

/// Whether an operand of [`gemm`] is used as it lies or transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Plain,
    Transposed,
}

/// `c = alpha · op(a) · op(b) + beta · c` for row-major matrices.
///
/// `op(a)` is m × k, `op(b)` is k × n, `c` is m × n; all are contiguous, so that a plain `a` has rows of length k and a
/// transposed one rows of length m.
pub fn gemm<F: Scalar>(
    [m, n, k]: [usize; 3],
    alpha: F,
    (a, op_a): (&[F], Op),
    (b, op_b): (&[F], Op),
    beta: F,
    c: &mut [F],
) {
    hold_blas_to_one_thread();
    fn operand<F>(rows: usize, cols: usize, data: &[F], op: Op) -> ArrayView2<'_, F> {
        let lies = if op == Op::Plain { (rows, cols) } else { (cols, rows) };
        let view = ArrayView2::from_shape(lies, data).expect("gemm: operand length matches its dimensions");
        if op == Op::Plain { view } else { view.reversed_axes() }
    }
    let a = operand(m, k, a, op_a);
    let b = operand(k, n, b, op_b);
    let mut c = ArrayViewMut2::from_shape((m, n), c).expect("gemm: result length matches its dimensions");
    general_mat_mul(alpha, &a, &b, beta, &mut c);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(
        m: usize,
        n: usize,
        k: usize,
        a: impl Fn(usize, usize) -> f64,
        b: impl Fn(usize, usize) -> f64,
    ) -> Vec<f64> {
        (0..m * n).map(|ij| (0..k).map(|p| a(ij / n, p) * b(p, ij % n)).sum()).collect()
    }

    #[test]
    fn all_transpositions_agree_with_the_naive_product() {
        let (m, n, k) = (5, 7, 11);
        let a: Vec<f64> = (0..m * k).map(|i| (i as f64 * 0.37).sin()).collect();
        let b: Vec<f64> = (0..k * n).map(|i| (i as f64 * 0.73).cos()).collect();
        for op_a in [Op::Plain, Op::Transposed] {
            for op_b in [Op::Plain, Op::Transposed] {
                let at = |i: usize, p: usize| if op_a == Op::Plain { a[i * k + p] } else { a[p * m + i] };
                let bt = |p: usize, j: usize| if op_b == Op::Plain { b[p * n + j] } else { b[j * k + p] };
                let expected = naive(m, n, k, at, bt);
                let mut c = vec![1.0; m * n];
                gemm([m, n, k], 2.0, (&a, op_a), (&b, op_b), 0.5, &mut c);
                for (got, want) in c.iter().zip(&expected) {
                    assert!((got - (2.0 * want + 0.5)).abs() <= 1e-12, "{op_a:?} {op_b:?}: {got} {want}");
                }
            }
        }
    }
}

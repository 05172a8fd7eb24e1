//! The only calls into BLAS. OpenBLAS is held to one thread: parallelism is the engine's own (`parallel`).

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, Axis, ShapeBuilder as _, s};
use smallvec::SmallVec;

use super::parallel;
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
    let columns = |op: Op, rows: usize, columns: usize| if op == Op::Plain { columns } else { rows };
    assert!((a.len(), b.len(), c.len()) == (m * k, k * n, m * n), "gemm: lengths match dimensions");
    gemm_of_columns([m, n, k], alpha, (a, columns(op_a, m, k), op_a), (b, columns(op_b, k, n), op_b), beta, c);
}

/// As [`gemm`], for operands that may be some columns of wider matrices: each is its data from the first element on,
/// the distance of its rows, and whether it is transposed.
pub fn gemm_of_columns<F: Scalar>(
    [m, n, k]: [usize; 3],
    alpha: F,
    (a, a_stride, op_a): (&[F], usize, Op),
    (b, b_stride, op_b): (&[F], usize, Op),
    beta: F,
    c: &mut [F],
) {
    hold_blas_to_one_thread();
    let a = operand(m, k, a, a_stride, op_a);
    let b = operand(k, n, b, b_stride, op_b);
    let mut c = ArrayViewMut2::from_shape((m, n), c).expect("gemm: result length matches its dimensions");
    general_mat_mul(alpha, &a, &b, beta, &mut c);
}

/// As [`gemm`], in parallel over blocks of some columns of `c`: for a few rows and many columns.
pub fn gemm_by_columns<F: Scalar>(
    [m, n, k]: [usize; 3],
    alpha: F,
    (a, op_a): (&[F], Op),
    (b, op_b): (&[F], Op),
    beta: F,
    c: &mut [F],
) {
    /// Columns of a block: enough that packing `a` anew for each costs little.
    const BLOCK: usize = 64;
    hold_blas_to_one_thread();
    let (a, b) = (
        operand(m, k, a, if op_a == Op::Plain { k } else { m }, op_a),
        operand(k, n, b, if op_b == Op::Plain { n } else { k }, op_b),
    );
    let mut c = ArrayViewMut2::from_shape((m, n), c).expect("gemm: result length matches its dimensions");
    let mut blocks: SmallVec<[ArrayViewMut2<F>; 64]> = c.axis_chunks_iter_mut(Axis(1), BLOCK).collect();
    parallel::for_each_chunk_mut(&mut blocks, 1, |index, block| {
        let first = index * BLOCK;
        for c in block {
            let b = b.slice(s![.., first..first + c.ncols()]);
            general_mat_mul(alpha, &a, &b, beta, c);
        }
    });
}

fn operand<F>(rows: usize, cols: usize, data: &[F], stride: usize, op: Op) -> ArrayView2<'_, F> {
    let lies = if op == Op::Plain { (rows, cols) } else { (cols, rows) };
    let view = ArrayView2::from_shape(lies.strides((stride, 1)), data).expect("gemm: an operand has all its rows");
    if op == Op::Plain { view } else { view.reversed_axes() }
}

/// What does the products of matrices, for people: the library and, where it tells, its version and the kernels that it
/// has chosen for this machine.
pub fn description() -> String {
    #[cfg(feature = "openblas")]
    {
        use std::ffi::{CStr, c_char};
        unsafe extern "C" {
            fn openblas_get_config() -> *const c_char;
            fn openblas_get_corename() -> *const c_char;
        }
        // SAFETY: OpenBLAS's own functions, linked by `openblas-src`; both return texts that last as long as the
        // program.
        let [config, core] = unsafe { [openblas_get_config(), openblas_get_corename()] }.map(|text| {
            if text.is_null() {
                return "unknown".to_string();
            }
            // SAFETY: as above; a C string.
            unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_string()
        });
        format!("{config}, kernels for {core}")
    }
    #[cfg(all(feature = "accelerate", not(feature = "openblas")))]
    {
        "Apple Accelerate".to_string()
    }
    #[cfg(not(any(feature = "openblas", feature = "accelerate")))]
    {
        "none (matrix products in Rust)".to_string()
    }
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

    #[test]
    fn operands_may_be_columns_of_wider_matrices() {
        // Columns 2–4 of 5 × 6, transposed, times columns 1–2 of 5 × 4.
        let (m, n, k) = (3, 2, 5);
        let a: Vec<f64> = (0..k * 6).map(|i| (i as f64 * 0.37).sin()).collect();
        let b: Vec<f64> = (0..k * 4).map(|i| (i as f64 * 0.73).cos()).collect();
        let expected = naive(m, n, k, |i, p| a[p * 6 + 2 + i], |p, j| b[p * 4 + 1 + j]);
        let mut c = vec![0.0; m * n];
        gemm_of_columns([m, n, k], 1.0, (&a[2..], 6, Op::Transposed), (&b[1..], 4, Op::Plain), 0.0, &mut c);
        for (got, want) in c.iter().zip(&expected) {
            assert!((got - want).abs() <= 1e-12, "{got} {want}");
        }
    }

    #[test]
    fn blocks_of_columns_make_the_same_product() {
        let (m, n, k) = (3, 150, 17);
        let a: Vec<f64> = (0..m * k).map(|i| (i as f64 * 0.37).sin()).collect();
        let b: Vec<f64> = (0..k * n).map(|i| (i as f64 * 0.73).cos()).collect();
        for op_b in [Op::Plain, Op::Transposed] {
            let bt = |p: usize, j: usize| if op_b == Op::Plain { b[p * n + j] } else { b[j * k + p] };
            let expected = naive(m, n, k, |i, p| a[i * k + p], bt);
            let mut c = vec![1.0; m * n];
            gemm_by_columns([m, n, k], 2.0, (&a, Op::Plain), (&b, op_b), 0.5, &mut c);
            for (got, want) in c.iter().zip(&expected) {
                assert!((got - (2.0 * want + 0.5)).abs() <= 1e-12, "{op_b:?}: {got} {want}");
            }
        }
    }

    #[test]
    fn the_library_is_described() {
        let text = description();
        assert!(!text.is_empty() && !text.contains('\n'), "{text}");
        assert!(!cfg!(feature = "openblas") || text.starts_with("OpenBLAS"), "{text}");
    }
}

//! How logical axes lie in memory, and copies between layouts: what ops share that move or reduce.

use super::lanes::TASK_ELEMENTS;
use super::{MapAxis, OpError};
use crate::base::parallel::for_each_chunk_mut;
use crate::base::tensor::{MAX_ELEMENTS, Scalar, Shape};

/// The highest rank of tensors that are reshaped, transposed, joined or cut.
pub(super) const MAX_RANK: usize = 6;

/// Checks that an op takes exactly one input and no parameters.
pub(super) fn expect_one_input<'a>(inputs: &[&'a Shape], params: &[&[usize]]) -> Result<&'a Shape, OpError> {
    let [input] = super::expect_inputs(inputs, "one input")?;
    expect_no_params(params)?;
    expect_elements(input)?;
    Ok(input)
}

pub(super) fn expect_no_params(params: &[&[usize]]) -> Result<(), OpError> {
    if params.is_empty() { Ok(()) } else { Err(OpError::Params { expected: "none", got: params.len() }) }
}

/// Checks that a tensor is not empty.
pub(super) fn expect_elements(input: &Shape) -> Result<(), OpError> {
    if input.dims().contains(&0) {
        return Err(OpError::InputShape { needed: "at least one element".into(), got: input.clone() });
    }
    Ok(())
}

/// Checks a rank that [`strides`] can describe; there is always a batch.
pub(super) fn expect_rank(input: &Shape) -> Result<(), OpError> {
    if (1..=MAX_RANK).contains(&input.rank()) {
        return Ok(());
    }
    Err(OpError::InputShape { needed: format!("1 to {MAX_RANK} dimensions"), got: input.clone() })
}

pub(super) fn shape_of(dims: &[usize]) -> Result<Shape, OpError> {
    Shape::new(dims).ok_or(OpError::TooLarge)
}

/// An attribute that must be a number.
pub(super) fn expect_finite(name: &'static str, value: f32) -> Result<(), OpError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(OpError::Attribute { name, reason: format!("{value} is not a finite number") })
}

/// The logical axis that a name means: tensors of any rank have a batch and channels, only maps have the others.
pub(super) fn axis_index(axis: MapAxis, shape: &Shape) -> Result<usize, OpError> {
    let index = match axis {
        MapAxis::Batch => 0,
        MapAxis::Channel => 1,
        MapAxis::Height => 2,
        MapAxis::Width => 3,
    };
    let exists = match axis {
        MapAxis::Batch | MapAxis::Channel => index < shape.rank(),
        MapAxis::Height | MapAxis::Width => shape.rank() == 4,
    };
    if exists && shape.rank() <= MAX_RANK {
        return Ok(index);
    }
    Err(OpError::InputShape { needed: format!("a shape with a {} axis", axis_name(axis)), got: shape.clone() })
}

pub(super) fn axis_name(axis: MapAxis) -> &'static str {
    match axis {
        MapAxis::Batch => "batch",
        MapAxis::Channel => "channel",
        MapAxis::Height => "height",
        MapAxis::Width => "width",
    }
}

/// The logical axes in the order in which they lie in memory, outermost first; only the first `rank` count.
pub(super) fn memory_order(rank: usize) -> [usize; MAX_RANK] {
    if rank == 4 { [0, 2, 3, 1, 4, 5] } else { [0, 1, 2, 3, 4, 5] }
}

/// How far apart in memory neighbours along each logical axis are.
pub(super) fn strides(shape: &Shape) -> [usize; MAX_RANK] {
    let mut strides = [0; MAX_RANK];
    let mut stride = 1;
    for &axis in memory_order(shape.rank())[..shape.rank()].iter().rev() {
        strides[axis] = stride;
        stride *= shape.dims()[axis];
    }
    strides
}

/// Whether memory order is logical order.
pub(super) fn is_row_major(shape: &Shape) -> bool {
    match *shape.dims() {
        [_, channels, height, width] => channels == 1 || height * width == 1,
        _ => true,
    }
}

/// Memory around a logical axis: `[outer, along, inner]`, where `along` is the axis's length.
pub(super) fn around(shape: &Shape, axis: usize) -> [usize; 3] {
    let along = shape.dims()[axis];
    let inner = strides(shape)[axis];
    [shape.len() / (along * inner).max(1), along, inner]
}

/// `combine(dst[i…], src[Σ i · stride])` for every index of `dst`, which lies row-major in `dims` (at most
/// [`MAX_RANK`]). A stride of 0 repeats.
pub(super) fn gather<F: Scalar>(
    dims: &[usize],
    strides: &[usize],
    src: &[F],
    dst: &mut [F],
    combine: impl Fn(&mut F, F) + Sync + Send,
) {
    let (dims, strides, rank) = joined_axes(dims, strides);
    let (dims, strides) = (&dims[..rank], &strides[..rank]);
    let last = rank - 1;
    for_each_chunk_mut(dst, TASK_ELEMENTS, |i, chunk| {
        let mut index = [0; MAX_RANK];
        let mut rest = i * TASK_ELEMENTS;
        for axis in (0..rank).rev() {
            index[axis] = rest % dims[axis];
            rest /= dims[axis];
        }
        let mut chunk = chunk;
        while !chunk.is_empty() {
            let start: usize = index.iter().zip(strides).map(|(i, stride)| i * stride).sum();
            let (run, later) = chunk.split_at_mut(chunk.len().min(dims[last] - index[last]));
            index[last] += run.len();
            match strides[last] {
                0 => run.iter_mut().for_each(|d| combine(d, src[start])),
                1 => run.iter_mut().zip(&src[start..]).for_each(|(d, &s)| combine(d, s)),
                step => run.iter_mut().zip(src[start..].iter().step_by(step)).for_each(|(d, &s)| combine(d, s)),
            }
            for axis in (1..rank).rev() {
                if index[axis] == dims[axis] {
                    index[axis] = 0;
                    index[axis - 1] += 1;
                }
            }
            chunk = later;
        }
    });
}

/// The same indexing with as few axes as possible, so that runs are long.
fn joined_axes(dims: &[usize], strides: &[usize]) -> ([usize; MAX_RANK], [usize; MAX_RANK], usize) {
    let (mut new_dims, mut new_strides, mut rank) = ([1; MAX_RANK], [0; MAX_RANK], 0);
    for (&dim, &stride) in dims.iter().zip(strides) {
        if dim == 1 {
            continue;
        }
        if rank > 0 && new_strides[rank - 1] == dim * stride {
            new_dims[rank - 1] *= dim;
            new_strides[rank - 1] = stride;
        } else {
            (new_dims[rank], new_strides[rank]) = (dim, stride);
            rank += 1;
        }
    }
    (new_dims, new_strides, rank.max(1))
}

/// `to += from`.
pub(super) fn add_to<F: Scalar>(to: &mut [F], from: &[F]) {
    for_each_chunk_mut(to, TASK_ELEMENTS, |i, to| {
        to.iter_mut().zip(&from[i * TASK_ELEMENTS..]).for_each(|(t, &f)| *t += f);
    });
}

/// `to = from`.
pub(super) fn copy_to<F: Scalar>(to: &mut [F], from: &[F]) {
    for_each_chunk_mut(to, TASK_ELEMENTS, |i, to| to.copy_from_slice(&from[i * TASK_ELEMENTS..][..to.len()]));
}

/// The sum of lengths along one axis.
pub(super) fn checked_total(lengths: impl Iterator<Item = usize>) -> Result<usize, OpError> {
    let mut total = 0usize;
    for length in lengths {
        total = total.checked_add(length).filter(|&sum| sum <= MAX_ELEMENTS).ok_or(OpError::TooLarge)?;
    }
    Ok(total)
}

/// The number of elements, none of the dimensions being 0.
pub(super) fn checked_product(dims: &[usize]) -> Result<usize, OpError> {
    shape_of(dims).map(|shape| shape.len())
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::nn::ops::check::{Report, Tensor, run_backward, run_forward};
    use crate::nn::ops::{Kernel, Operator, Run};

    /// An op, the shapes of its inputs and parameters, and words of the error that it must answer with.
    pub type Refused<'a> = (&'a dyn Operator, &'a [&'a [usize]], &'a [&'a [usize]], &'a str);

    /// The logical index of the element that lies at `at`, by the definition of the layouts.
    pub fn index_of(shape: &Shape, at: usize) -> Vec<usize> {
        if let [_, channels, height, width] = *shape.dims() {
            let pixel = at / channels;
            return vec![pixel / width / height, at % channels, pixel / width % height, pixel % width];
        }
        let mut rest = at;
        let mut index: Vec<usize> = shape.dims().iter().rev().map(|dim| (rest % dim, rest /= dim).0).collect();
        index.reverse();
        index
    }

    /// Where the element of a logical index lies.
    pub fn offset_of(shape: &Shape, index: &[usize]) -> usize {
        if let (&[_, channels, height, width], &[n, c, y, x]) = (shape.dims(), index) {
            return ((n * height + y) * width + x) * channels + c;
        }
        shape.dims().iter().zip(index).fold(0, |offset, (dim, i)| offset * dim + i)
    }

    pub fn check_refused(cases: &[Refused<'_>]) {
        let mut report = Report::new("errors");
        for (i, &(op, inputs, params, words)) in cases.iter().enumerate() {
            let shapes: Vec<Shape> = inputs.iter().map(|dims| Shape::new(dims).expect("a valid shape")).collect();
            match op.output_shape(&shapes.iter().collect::<Vec<_>>(), params) {
                Ok(shape) => report.fail(format!("case {i}: accepted, {shape}")),
                Err(error) if !error.to_string().contains(words) => {
                    report.fail(format!("case {i}: `{error}` lacks `{words}`"));
                }
                Err(_) => {}
            }
        }
        report.finish();
    }

    /// Checks a size that takes several tasks: the output against `naive`, and that one thread and three make the same
    /// bytes of output and gradients, in `f32`.
    pub fn check_large<O: Kernel<f32> + Kernel<f64> + Sync>(
        op: &O,
        inputs: &[Tensor<f64>],
        params: &[Tensor<f64>],
        naive: impl Fn(usize) -> f64,
    ) {
        let run = Run::default();
        let output = run_forward(op, inputs, params, run).output;
        assert!(output.data.len().max(inputs[0].data.len()) > TASK_ELEMENTS, "{} is not large", output.shape);
        let expected: Vec<f64> = (0..output.data.len()).map(naive).collect();
        crate::nn::ops::check::assert_close("output", &output.data, &expected, 1e-12, 1e-12);

        let inputs: Vec<Tensor<f32>> = inputs.iter().map(Tensor::cast).collect();
        let params: Vec<Tensor<f32>> = params.iter().map(Tensor::cast).collect();
        let d_output = Tensor::<f32>::random(&[output.data.len()], 77).data;
        let on_threads = |count: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build().expect("a pool");
            pool.install(|| {
                let ran = run_forward(op, &inputs, &params, run);
                let gradients = run_backward(op, &inputs, &params, &ran, &d_output, run);
                let all = [vec![ran.output.data], gradients.inputs, gradients.params].concat();
                all.concat().iter().map(|x| x.to_bits()).collect::<Vec<u32>>()
            })
        };
        assert!(on_threads(1) == on_threads(3), "one thread and three make different bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathers_as_nested_loops_do() {
        let src: Vec<f64> = (0..4 * 30 * 40 * 50).map(f64::from).collect();
        // Transposed, joined, repeated and unit axes; several tasks.
        let cases: &[(&[usize], &[usize])] = &[
            (&[30, 40, 50], &[1, 30, 1200]),
            (&[4, 50, 40, 30], &[60000, 1, 50, 2000]),
            (&[4, 30, 1, 2000], &[60000, 2000, 7, 1]),
            (&[1, 1, 1], &[5, 6, 7]),
            (&[3, 20000], &[0, 3]),
            (&[20000, 3], &[1, 0]),
        ];
        for (dims, strides) in cases {
            let len: usize = dims.iter().product();
            let mut got = vec![0.5; len];
            gather(dims, strides, &src, &mut got, |d, s| *d += s);
            for (at, got) in got.iter().enumerate() {
                let (mut rest, mut from) = (at, 0);
                for (&dim, &stride) in dims.iter().zip(*strides).rev() {
                    from += rest % dim * stride;
                    rest /= dim;
                }
                assert_eq!(*got, src[from] + 0.5, "{dims:?} {strides:?} at {at}");
            }
        }
    }

    #[test]
    fn strides_and_surroundings_are_of_nhwc_memory() {
        let maps = Shape::maps(2, 3, 5, 7);
        assert_eq!(strides(&maps)[..4], [105, 1, 21, 3]);
        assert_eq!(around(&maps, 1), [70, 3, 1]);
        assert_eq!(around(&maps, 3), [10, 7, 3]);
        assert_eq!(strides(&Shape::new(&[2, 3, 5]).unwrap())[..3], [15, 5, 1]);
        assert!(is_row_major(&Shape::maps(2, 3, 1, 1)) && is_row_major(&Shape::maps(2, 1, 4, 4)));
        assert!(!is_row_major(&maps));
    }
}

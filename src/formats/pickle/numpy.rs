//! NumPy's arrays in pickles and `.npy` files.

use std::sync::Arc;

use half::f16;

use super::{Id, Pickle, Value};
use crate::formats::ImportError;
use crate::nn::graph::Param;

/// The floating-point types that are read; both byte orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloatType {
    /// 2, 4 or 8.
    size: usize,
    is_big_endian: bool,
}

impl FloatType {
    /// By NumPy's description without the byte order (`f4`), and the byte order (`<`, `>`, `=`, `|`).
    pub fn new(description: &str, byte_order: char) -> Option<Self> {
        let size = match description {
            "f2" => 2,
            "f4" => 4,
            "f8" => 8,
            _ => return None,
        };
        Some(Self { size, is_big_endian: byte_order == '>' })
    }

    /// By a description such as `<f4`.
    pub fn parse(description: &str) -> Option<Self> {
        let mut rest = description.chars();
        match rest.next()? {
            order @ ('<' | '>' | '=' | '|') => Self::new(rest.as_str(), order),
            _ => Self::new(description, '='),
        }
    }

    fn read(self, bytes: &[u8]) -> f32 {
        let mut wide = [0; 8];
        for (to, from) in wide.iter_mut().zip(bytes) {
            *to = *from;
        }
        if self.is_big_endian
            && let Some(value) = wide.get_mut(..self.size)
        {
            value.reverse();
        }
        let [a, b, c, d, ..] = wide;
        match self.size {
            2 => f16::from_le_bytes([a, b]).to_f32(),
            4 => f32::from_le_bytes([a, b, c, d]),
            _ => f64::from_le_bytes(wide) as f32,
        }
    }
}

/// The values of an array in row-major order; `is_fortran` says that the bytes are column-major.
pub fn decode(float: FloatType, bytes: &[u8], shape: &[usize], is_fortran: bool) -> Result<Param, ImportError> {
    let count = shape.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
    let needed = count.and_then(|count| count.checked_mul(float.size));
    if shape.contains(&0) || needed != Some(bytes.len()) {
        let reason = format!("an array of shape {:?} has {} bytes", shape.get(..8).unwrap_or(shape), bytes.len());
        return Err(ImportError::Damaged(reason));
    }
    let values = bytes.chunks_exact(float.size);
    let data: Arc<[f32]> = if is_fortran && shape.len() > 1 {
        let values: Vec<f32> = values.map(|bytes| float.read(bytes)).collect();
        row_major(&values, shape).into()
    } else {
        values.map(|bytes| float.read(bytes)).collect()
    };
    Ok(Param { shape: shape.to_vec(), data })
}

/// Column-major values in row-major order.
fn row_major(values: &[f32], shape: &[usize]) -> Vec<f32> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for &dim in shape {
        strides.push(stride);
        stride *= dim;
    }
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    let mut out = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        out.push(values.get(at).copied().unwrap_or_default());
        for ((place, &dim), &stride) in index.iter_mut().zip(shape).zip(&strides).rev() {
            *place += 1;
            at += stride;
            if *place < dim {
                break;
            }
            at -= stride * dim;
            *place = 0;
        }
    }
    out
}

/// An array as `numpy.ndarray` pickles itself; `None` where the value is none, or not of floating-point numbers.
pub fn array(pickle: &Pickle<'_>, id: Id) -> Option<Result<Param, ImportError>> {
    let Value::Object(object) = pickle.get(id) else { return None };
    let arguments = pickle.items(object.arguments)?;
    match pickle.global(object.callable)? {
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
            let &[_version, shape, dtype, is_fortran, data] = pickle.items(object.state?)? else { return None };
            let is_fortran = pickle.integer(is_fortran)? != 0;
            raw_array(pickle, [shape, dtype, data], is_fortran)
        }
        // What arrays in protocol 5 are made by.
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => {
            let &[data, dtype, shape, order] = arguments else { return None };
            let is_fortran = pickle.text(order)?.as_ref() == "F";
            raw_array(pickle, [shape, dtype, data], is_fortran)
        }
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => {
            let &[dtype, data] = arguments else { return None };
            Some(decode(float_type(pickle, dtype)?, &pickle.bytes(data)?, &[], false))
        }
        _ => None,
    }
}

/// The elements of an array of objects, as `numpy.ndarray` pickles itself.
pub fn objects<'a>(pickle: &'a Pickle<'_>, id: Id) -> Option<&'a [Id]> {
    let Value::Object(object) = pickle.get(id) else { return None };
    let ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") = pickle.global(object.callable)? else {
        return None;
    };
    let &[_version, _shape, _dtype, _is_fortran, elements] = pickle.items(object.state?)? else { return None };
    pickle.items(elements)
}

fn raw_array(
    pickle: &Pickle<'_>,
    [shape, dtype, data]: [Id; 3],
    is_fortran: bool,
) -> Option<Result<Param, ImportError>> {
    let float = float_type(pickle, dtype)?;
    let dims = pickle.items(shape)?.iter().map(|&dim| usize::try_from(pickle.integer(dim)?).ok());
    let shape: Vec<usize> = dims.collect::<Option<_>>()?;
    Some(decode(float, &pickle.bytes(data)?, &shape, is_fortran))
}

/// `numpy.dtype('f4', …)` with the state `(version, byte order, …)`.
fn float_type(pickle: &Pickle<'_>, id: Id) -> Option<FloatType> {
    let Value::Object(object) = pickle.get(id) else { return None };
    let ("numpy", "dtype") = pickle.global(object.callable)? else { return None };
    let description = pickle.text(*pickle.items(object.arguments)?.first()?)?;
    let order = match object.state {
        Some(state) => pickle.text(*pickle.items(state)?.get(1)?)?.chars().next()?,
        None => '=',
    };
    FloatType::new(&description, order)
}

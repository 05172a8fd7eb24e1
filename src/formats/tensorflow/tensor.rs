//! Constants of a graph: decoded, converted and counted against a budget.

use std::sync::Arc;

use half::{bf16, f16};

use super::proto::{DataType, TensorProto};
use crate::formats::ImportError;

/// The largest rank of a constant.
pub const MAX_RANK: usize = 8;

/// Elements that may still be made beyond those that lie in the file: by filling up, by folding, by rearranging
/// weights. It grows with the file, so that a small file cannot ask for much.
pub struct Budget {
    elements: usize,
}

impl Budget {
    pub fn for_file(bytes: usize) -> Self {
        const LEAST: usize = 1 << 22;
        const PER_BYTE: usize = 4;
        Self { elements: bytes.saturating_mul(PER_BYTE).saturating_add(LEAST) }
    }

    pub fn charge(&mut self, elements: usize) -> Result<(), String> {
        match self.elements.checked_sub(elements) {
            Some(left) => {
                self.elements = left;
                Ok(())
            }
            None => Err("it would need far more memory than a file of this size can ask for".into()),
        }
    }
}

/// The elements of a constant, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// As stored.
    Float(Arc<[f32]>),
    /// Computed from constants.
    Double(Arc<[f64]>),
    Int(Arc<[i64]>),
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub dims: Vec<usize>,
    pub elements: Elements,
}

/// The product of dimensions, if it is one that memory could hold. The other dimensions of nothing are bounded too.
pub fn count(dims: &[usize]) -> Option<usize> {
    const MOST: usize = 1 << 34;
    const MOST_OF_NOTHING: usize = 1 << 16;
    let most = if dims.contains(&0) { MOST_OF_NOTHING } else { MOST };
    let product = dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim.max(1)));
    product.filter(|&product| product <= most).map(|product| if dims.contains(&0) { 0 } else { product })
}

/// How far apart neighbours along each axis lie, row-major.
pub fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; dims.len()];
    for axis in (0..dims.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1].saturating_mul(dims[axis + 1]);
    }
    strides
}

impl Tensor {
    pub fn ints(values: impl IntoIterator<Item = i64>) -> Self {
        let values: Arc<[i64]> = values.into_iter().collect();
        Self { dims: vec![values.len()], elements: Elements::Int(values) }
    }

    pub fn int(value: i64) -> Self {
        Self { dims: Vec::new(), elements: Elements::Int(Arc::new([value])) }
    }

    pub fn number(value: f64) -> Self {
        Self { dims: Vec::new(), elements: Elements::Double(Arc::new([value])) }
    }

    /// Computed values; many of them are kept in the precision of weights.
    pub fn computed(dims: Vec<usize>, values: Vec<f64>) -> Self {
        const MOST_IN_DOUBLE: usize = 1 << 16;
        let elements = if values.len() <= MOST_IN_DOUBLE {
            Elements::Double(values.into())
        } else {
            Elements::Float(values.into_iter().map(|value| value as f32).collect())
        };
        Self { dims, elements }
    }

    pub fn len(&self) -> usize {
        match &self.elements {
            Elements::Float(values) => values.len(),
            Elements::Double(values) => values.len(),
            Elements::Int(values) => values.len(),
        }
    }

    pub fn is_int(&self) -> bool {
        matches!(self.elements, Elements::Int(_))
    }

    /// An element; nought past the end.
    pub fn at(&self, index: usize) -> f64 {
        match &self.elements {
            Elements::Float(values) => values.get(index).copied().map_or(0.0, f64::from),
            Elements::Double(values) => values.get(index).copied().unwrap_or_default(),
            Elements::Int(values) => values.get(index).copied().unwrap_or_default() as f64,
        }
    }

    /// The values of a short list of whole numbers: dimensions, axes, paddings.
    pub fn as_ints(&self) -> Result<Vec<i64>, String> {
        const MOST: usize = 64;
        match &self.elements {
            Elements::Int(values) if values.len() <= MOST => Ok(values.to_vec()),
            Elements::Int(values) => Err(format!("a list of {} numbers is longer than any shape", values.len())),
            _ => Err("numbers with a fraction stand where whole numbers are needed".into()),
        }
    }

    /// The one element of a constant that has no more.
    pub fn single(&self) -> Option<f64> {
        (self.len() == 1).then(|| self.at(0))
    }

    pub fn as_int(&self) -> Option<i64> {
        match &self.elements {
            Elements::Int(values) => <[i64; 1]>::try_from(&values[..]).ok().map(|[value]| value),
            _ => None,
        }
    }

    /// The elements as weights, row-major.
    pub fn to_f32(&self) -> Arc<[f32]> {
        match &self.elements {
            Elements::Float(values) => values.clone(),
            Elements::Double(values) => values.iter().map(|&value| value as f32).collect(),
            Elements::Int(values) => values.iter().map(|&value| value as f32).collect(),
        }
    }

    pub fn with_dims(&self, dims: Vec<usize>) -> Self {
        Self { dims, elements: self.elements.clone() }
    }

    /// The constant with its axes permuted: axis `i` of the result is axis `axes[i]`, which names every axis once.
    pub fn permuted(&self, axes: &[usize], budget: &mut Budget) -> Result<Self, String> {
        let valid = axes.len() == self.dims.len() && (0..axes.len()).all(|axis| axes.contains(&axis));
        if !valid {
            return Err(format!("{axes:?} does not name every axis of {:?} once", self.dims));
        }
        budget.charge(self.len())?;
        let from = strides(&self.dims);
        let dims: Vec<usize> = axes.iter().map(|&axis| self.dims[axis]).collect();
        let steps: Vec<usize> = axes.iter().map(|&axis| from[axis]).collect();
        let elements = match &self.elements {
            Elements::Float(values) => Elements::Float(gathered(values, &dims, &steps)),
            Elements::Double(values) => Elements::Double(gathered(values, &dims, &steps)),
            Elements::Int(values) => Elements::Int(gathered(values, &dims, &steps)),
        };
        Ok(Self { dims, elements })
    }
}

/// Every element of `dims`, row-major, from where `steps` lead to.
fn gathered<T: Copy>(values: &[T], dims: &[usize], steps: &[usize]) -> Arc<[T]> {
    let mut out = Vec::with_capacity(values.len());
    let (Some((&row, dims)), Some((&step, steps))) = (dims.split_last(), steps.split_last()) else {
        return values.into();
    };
    for_each_place(dims, steps, |place| {
        out.extend(values.get(place..).unwrap_or_default().iter().step_by(step.max(1)).take(row).copied());
    });
    out.into()
}

/// Calls `visit` with `Σ index · step` for every index of `dims`, row-major.
pub fn for_each_place(dims: &[usize], steps: &[usize], mut visit: impl FnMut(usize)) {
    if dims.contains(&0) {
        return;
    }
    let mut index = vec![0usize; dims.len()];
    let mut place = 0usize;
    loop {
        visit(place);
        let mut axis = dims.len();
        loop {
            let Some(outer) = axis.checked_sub(1) else { return };
            axis = outer;
            index[axis] += 1;
            place += steps[axis];
            if index[axis] < dims[axis] {
                break;
            }
            place -= index[axis] * steps[axis];
            index[axis] = 0;
        }
    }
}

/// Reads a constant; `None` for text, which no arithmetic needs. `charge` is asked for what is not in the file.
pub fn decode(proto: TensorProto, budget: &mut Budget) -> Result<Option<Tensor>, ImportError> {
    let dtype = DataType::of(proto.dtype);
    let shape = proto.tensor_shape.clone().unwrap_or_default();
    if shape.unknown_rank || shape.dim.len() > MAX_RANK {
        return Err(ImportError::Unsupported(format!("it has no fixed shape of at most {MAX_RANK} dimensions")));
    }
    let dims: Option<Vec<usize>> = shape.dim.iter().map(|dim| usize::try_from(dim.size).ok()).collect();
    let Some((dims, len)) = dims.and_then(|dims| Some((count(&dims)?, dims))).map(|(len, dims)| (dims, len)) else {
        return Err(ImportError::Damaged("its shape is not one that a tensor can have".into()));
    };
    let Some(elements) = elements(dtype, proto, len, budget)? else { return Ok(None) };
    Ok(Some(Tensor { dims, elements }))
}

fn elements(
    dtype: DataType,
    proto: TensorProto,
    len: usize,
    budget: &mut Budget,
) -> Result<Option<Elements>, ImportError> {
    let content = &proto.tensor_content;
    if !content.is_empty() {
        return from_content(dtype, content, len).map(Some);
    }
    let halves = |convert: fn(u16) -> f32| -> Vec<f32> {
        // The upper half of the number is always nought.
        proto.half_val.iter().map(|&bits| convert((bits & 0xffff) as u16)).collect()
    };
    Ok(Some(match dtype {
        DataType::Float => Elements::Float(filled(proto.float_val, len, budget)?),
        DataType::Double => {
            Elements::Float(filled(proto.double_val.iter().map(|&value| value as f32).collect(), len, budget)?)
        }
        DataType::Half => Elements::Float(filled(halves(|bits| f16::from_bits(bits).to_f32()), len, budget)?),
        DataType::Bfloat16 => Elements::Float(filled(halves(|bits| bf16::from_bits(bits).to_f32()), len, budget)?),
        DataType::Int64 => Elements::Int(filled(proto.int64_val, len, budget)?),
        DataType::Bool => Elements::Int(filled(proto.bool_val.iter().map(|&b| i64::from(b)).collect(), len, budget)?),
        DataType::Int32 | DataType::Int16 | DataType::Int8 | DataType::Uint8 | DataType::Qint8 | DataType::Quint8 => {
            Elements::Int(filled(proto.int_val.iter().map(|&value| i64::from(value)).collect(), len, budget)?)
        }
        DataType::Text => return Ok(None),
        DataType::Other => return Err(ImportError::Unsupported(unread_type(proto.dtype))),
    }))
}

fn unread_type(number: i32) -> String {
    format!("its elements are of the type number {number}, which is not read; floating, whole and logical numbers are")
}

/// TensorFlow writes equal elements at the end once: the last one stands for all that are left.
fn filled<T: Copy + Default>(mut values: Vec<T>, len: usize, budget: &mut Budget) -> Result<Arc<[T]>, ImportError> {
    if values.len() > len {
        return Err(ImportError::Damaged(format!("it has {} values, but its shape holds {len}", values.len())));
    }
    budget.charge(len - values.len()).map_err(ImportError::TooLarge)?;
    let last = values.last().copied().unwrap_or_default();
    values.resize(len, last);
    Ok(values.into())
}

fn from_content(dtype: DataType, content: &[u8], len: usize) -> Result<Elements, ImportError> {
    let wrong = || {
        let bytes = content.len();
        ImportError::Damaged(format!("it has {bytes} bytes of values, but its shape holds {len}"))
    };
    fn items<const N: usize, T>(content: &[u8], len: usize, of: impl Fn([u8; N]) -> T) -> Option<Arc<[T]>> {
        let (items, rest) = content.as_chunks::<N>();
        (rest.is_empty() && items.len() == len).then(|| items.iter().map(|&item| of(item)).collect())
    }
    let float = |values: Option<Arc<[f32]>>| values.map(Elements::Float).ok_or_else(wrong);
    let int = |values: Option<Arc<[i64]>>| values.map(Elements::Int).ok_or_else(wrong);
    match dtype {
        DataType::Float => float(items(content, len, f32::from_le_bytes)),
        DataType::Double => float(items(content, len, |bytes| f64::from_le_bytes(bytes) as f32)),
        DataType::Half => float(items(content, len, |bytes| f16::from_le_bytes(bytes).to_f32())),
        DataType::Bfloat16 => float(items(content, len, |bytes| bf16::from_le_bytes(bytes).to_f32())),
        DataType::Int32 => int(items(content, len, |bytes| i64::from(i32::from_le_bytes(bytes)))),
        DataType::Int64 => int(items(content, len, i64::from_le_bytes)),
        DataType::Int16 => int(items(content, len, |bytes| i64::from(i16::from_le_bytes(bytes)))),
        DataType::Int8 | DataType::Qint8 => int(items(content, len, |bytes| i64::from(i8::from_le_bytes(bytes)))),
        DataType::Uint8 | DataType::Quint8 => int(items(content, len, |[byte]: [u8; 1]| i64::from(byte))),
        DataType::Bool => int(items(content, len, |[byte]: [u8; 1]| i64::from(byte != 0))),
        DataType::Text | DataType::Other => Err(ImportError::Damaged("text has no bytes of values".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::proto::{Dim, TensorShapeProto};
    use super::*;

    fn proto(dtype: i32, dims: &[i64]) -> TensorProto {
        let dim = dims.iter().map(|&size| Dim { size }).collect();
        let tensor_shape = Some(TensorShapeProto { dim, unknown_rank: false });
        TensorProto { dtype, tensor_shape, ..TensorProto::default() }
    }

    fn read(proto: TensorProto) -> Result<Option<Tensor>, ImportError> {
        decode(proto, &mut Budget::for_file(0))
    }

    #[test]
    fn the_last_value_stands_for_all_that_are_left() {
        let values = |proto| read(proto).unwrap().unwrap().to_f32().to_vec();
        assert_eq!(values(TensorProto { float_val: vec![1.5, 2.5], ..proto(1, &[2, 2]) }), [1.5, 2.5, 2.5, 2.5]);
        assert_eq!(values(proto(1, &[2])), [0.0, 0.0]);
        assert_eq!(values(TensorProto { half_val: vec![0x3c00], ..proto(19, &[2]) }), [1.0, 1.0]);
        assert_eq!(values(TensorProto { half_val: vec![0x3f80], ..proto(14, &[1]) }), [1.0]);
        assert_eq!(values(TensorProto { tensor_content: vec![0, 0, 0x80, 0x3f], ..proto(1, &[1]) }), [1.0]);
        assert_eq!(read(TensorProto { int_val: vec![-7], ..proto(3, &[]) }).unwrap(), Some(Tensor::int(-7)));
    }

    #[test]
    fn shapes_that_lie_are_refused() {
        let huge = TensorProto { float_val: vec![1.0], ..proto(1, &[1 << 33]) };
        assert!(matches!(read(huge), Err(ImportError::TooLarge(_))));
        assert!(matches!(read(proto(1, &[i64::MAX, i64::MAX])), Err(ImportError::Damaged(_))));
        assert!(matches!(read(proto(1, &[-1])), Err(ImportError::Damaged(_))));
        assert!(matches!(read(proto(1, &[1; 9])), Err(ImportError::Unsupported(_))));
        let short = TensorProto { tensor_content: vec![0; 7], ..proto(1, &[2]) };
        assert!(matches!(read(short), Err(ImportError::Damaged(_))));
        let long = TensorProto { float_val: vec![1.0; 3], ..proto(1, &[2]) };
        assert!(matches!(read(long), Err(ImportError::Damaged(_))));
    }

    #[test]
    fn axes_are_permuted() {
        let tensor = Tensor { dims: vec![2, 3], elements: Elements::Int((0..6).collect()) };
        let permuted = tensor.permuted(&[1, 0], &mut Budget::for_file(0)).unwrap();
        assert_eq!((permuted.dims.as_slice(), permuted.as_ints().unwrap()), (&[3, 2][..], vec![0, 3, 1, 4, 2, 5]));
    }
}

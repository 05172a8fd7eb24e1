//! Arrays that do not depend on the picture: weights, and what is computed of them and of shapes.

use std::sync::Arc;

use super::super::{ImportError, MAX_FILE_BYTES};
use super::External;
use super::budget::Budget;
use super::proto::{TensorProto, data_type};

/// The values of an array, row-major. Truth values are integers of 0 and 1.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    Float(Arc<[f32]>),
    Int(Arc<[i64]>),
}

/// An array whose number of values is the product of its dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    pub dims: Vec<usize>,
    pub data: Data,
}

/// Axes of one array.
pub const MAX_RANK: usize = 16;

/// The product of dimensions, if a machine can hold as many values.
pub fn product(dims: &[usize]) -> Option<usize> {
    const MAX: usize = 1 << 40;
    dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim).filter(|&product| product <= MAX))
}

/// Row-major strides.
pub fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(dims[axis]);
    }
    strides
}

/// Calls `visit` with Σ index · stride for all indices of `dims` in row-major order.
pub fn for_each_offset(dims: &[usize], strides: &[usize], mut visit: impl FnMut(usize)) {
    let total = product(dims).unwrap_or(0);
    let mut index = vec![0usize; dims.len()];
    let mut offset = 0usize;
    for _ in 0..total {
        visit(offset);
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            offset += strides[axis];
            if index[axis] < dims[axis] {
                break;
            }
            offset -= strides[axis] * dims[axis];
            index[axis] = 0;
        }
    }
}

impl Data {
    pub fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Int(values) => values.len(),
        }
    }

    /// The values at those places, all of which must exist.
    pub fn pick(&self, places: &[usize]) -> Option<Self> {
        Some(match self {
            Self::Float(values) => {
                Self::Float(places.iter().map(|&at| values.get(at).copied()).collect::<Option<Vec<_>>>()?.into())
            }
            Self::Int(values) => {
                Self::Int(places.iter().map(|&at| values.get(at).copied()).collect::<Option<Vec<_>>>()?.into())
            }
        })
    }
}

impl Constant {
    /// `None` if the number of values is not the product of the dimensions, or there are too many of these.
    pub fn new(dims: Vec<usize>, data: Data) -> Option<Self> {
        (dims.len() <= MAX_RANK && product(&dims) == Some(data.len())).then_some(Self { dims, data })
    }

    pub fn float(dims: &[usize], values: Vec<f32>) -> Option<Self> {
        Self::new(dims.to_vec(), Data::Float(values.into()))
    }

    pub fn ints(values: Vec<i64>) -> Self {
        Self { dims: vec![values.len()], data: Data::Int(values.into()) }
    }

    pub fn scalar(value: f32) -> Self {
        Self { dims: Vec::new(), data: Data::Float([value].into()) }
    }

    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// The values as floats; without a copy where they are.
    pub fn floats(&self) -> Arc<[f32]> {
        match &self.data {
            Data::Float(values) => values.clone(),
            Data::Int(values) => values.iter().map(|&value| value as f32).collect(),
        }
    }

    /// The values if they are integers.
    pub fn as_ints(&self) -> Option<&[i64]> {
        match &self.data {
            Data::Int(values) => Some(values),
            Data::Float(_) => None,
        }
    }

    /// The one value of an array of one.
    pub fn single(&self) -> Option<f32> {
        match &self.data {
            Data::Float(values) => <&[f32; 1]>::try_from(&**values).ok().map(|[value]| *value),
            Data::Int(values) => <&[i64; 1]>::try_from(&**values).ok().map(|[value]| *value as f32),
        }
    }

    /// The one integer of an array of one.
    pub fn single_int(&self) -> Option<i64> {
        <&[i64; 1]>::try_from(self.as_ints()?).ok().map(|[value]| *value)
    }

    /// The same values under other dimensions.
    pub fn reshaped(&self, dims: Vec<usize>) -> Option<Self> {
        Self::new(dims, self.data.clone())
    }

    /// Output axis `i` is axis `axes[i]` of this; `axes` must have each axis once.
    pub fn transposed(&self, axes: &[usize]) -> Option<Self> {
        let of = strides(&self.dims);
        let dims: Vec<usize> = axes.iter().map(|&axis| self.dims.get(axis).copied()).collect::<Option<_>>()?;
        let steps: Vec<usize> = axes.iter().map(|&axis| of[axis]).collect();
        self.gathered(dims, &steps)
    }

    /// This, repeated along dimensions of 1 until it has the dimensions `dims`.
    pub fn broadcast(&self, dims: &[usize]) -> Option<Self> {
        let missing = dims.len().checked_sub(self.dims.len())?;
        let of = strides(&self.dims);
        let mut steps = vec![0; dims.len()];
        for (axis, (&from, &stride)) in self.dims.iter().zip(&of).enumerate() {
            let to = dims[missing + axis];
            if from == to {
                steps[missing + axis] = stride;
            } else if from != 1 {
                return None;
            }
        }
        self.gathered(dims.to_vec(), &steps)
    }

    fn gathered(&self, dims: Vec<usize>, steps: &[usize]) -> Option<Self> {
        let mut places = Vec::with_capacity(product(&dims)?);
        for_each_offset(&dims, steps, |offset| places.push(offset));
        Self::new(dims, self.data.pick(&places)?)
    }
}

/// Bytes of one value in `raw_data`.
fn width(kind: i32) -> Option<usize> {
    Some(match kind {
        data_type::BOOL | data_type::UINT8 | data_type::INT8 => 1,
        data_type::UINT16 | data_type::INT16 | data_type::FLOAT16 | data_type::BFLOAT16 => 2,
        data_type::FLOAT | data_type::INT32 | data_type::UINT32 => 4,
        data_type::DOUBLE | data_type::INT64 | data_type::UINT64 => 8,
        _ => return None,
    })
}

/// Bytes of one value in memory.
fn kept_width(kind: i32) -> u64 {
    match kind {
        data_type::FLOAT | data_type::DOUBLE | data_type::FLOAT16 | data_type::BFLOAT16 => 4,
        _ => 8,
    }
}

/// The values of a tensor of the file, wherever it keeps them.
pub fn decode(tensor: &TensorProto, external: &dyn External, budget: &mut Budget) -> Result<Constant, ImportError> {
    let name = tensor.name.as_deref().unwrap_or_default();
    let wrong = |reason: String| ImportError::field(name, reason);
    let kind = tensor.data_type.unwrap_or_default();
    let Some(width) = width(kind) else {
        return Err(wrong(format!("its values are of ONNX's type number {kind}, which is not supported")));
    };
    let dims: Option<Vec<usize>> = tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let Some((dims, count)) = dims.and_then(|dims| product(&dims).map(|count| (dims, count))) else {
        return Err(wrong("its dimensions are negative or hold more values than any machine".into()));
    };
    let bytes = count.checked_mul(width).ok_or_else(|| wrong("it has too many values".into()))?;
    if budget.keep((bytes as u64).max((count as u64).saturating_mul(kept_width(kind)))).is_none() {
        let reason = format!("the net's arrays would take more than {MAX_FILE_BYTES} bytes of memory with it");
        return Err(ImportError::TooLarge(format!("`{}`: {reason}", ImportError::brief(name))));
    }
    let data = if tensor.data_location == Some(1) {
        raw(kind, &read_external(tensor, name, bytes, external, budget)?)
    } else if let Some(raw_data) = tensor.raw_data.as_ref().filter(|data| !data.is_empty()) {
        if raw_data.len() != bytes {
            return Err(wrong(format!("it has {} bytes, but its dimensions need {bytes}", raw_data.len())));
        }
        raw(kind, raw_data)
    } else {
        typed(kind, tensor)
    };
    let got = data.len();
    Constant::new(dims, data).ok_or_else(|| wrong(format!("it has {got} values, but its dimensions need {count}")))
}

fn read_external(
    tensor: &TensorProto,
    name: &str,
    bytes: usize,
    external: &dyn External,
    budget: &mut Budget,
) -> Result<Vec<u8>, ImportError> {
    let wrong = |reason: String| ImportError::field(name, reason);
    let entry = |key: &str| {
        let entry = tensor.external_data.iter().find(|entry| entry.key.as_deref() == Some(key));
        entry.and_then(|entry| entry.value.as_deref())
    };
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
            wrong(format!("the {key} of its values in another file, `{}`, is not a number", ImportError::brief(text)))
        }),
    };
    let location = entry("location").ok_or_else(|| wrong("it lies in another file, whose name is missing".into()))?;
    if !stays_in_folder(location) {
        let shown = ImportError::brief(location);
        return Err(wrong(format!("it lies in `{shown}`, outside of the model's folder; such files are not read")));
    }
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    if length.is_some_and(|length| length != bytes as u64) {
        let length = length.unwrap_or_default();
        return Err(wrong(format!("it has {length} bytes in another file, but its dimensions need {bytes}")));
    }
    let read = external.read(location, offset, Some(bytes as u64))?;
    if read.len() != bytes {
        return Err(ImportError::CutShort(format!(
            "`{}` ends within `{}`",
            ImportError::brief(location),
            ImportError::brief(name)
        )));
    }
    budget.count(location, offset, bytes as u64);
    Ok(read)
}

/// Whether a relative path names a file in the folder that it starts from, or in folders of that.
fn stays_in_folder(location: &str) -> bool {
    let parts = location.split(['/', '\\']);
    !location.is_empty()
        && !location.contains([':', '\0'])
        && parts.clone().all(|part| !part.is_empty() && part != "..")
}

fn raw(kind: i32, bytes: &[u8]) -> Data {
    fn floats<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Data {
        Data::Float(bytes.as_chunks().0.iter().map(|&bytes| value(bytes)).collect())
    }
    fn ints<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> i64) -> Data {
        Data::Int(bytes.as_chunks().0.iter().map(|&bytes| value(bytes)).collect())
    }
    match kind {
        data_type::FLOAT => floats(bytes, f32::from_le_bytes),
        data_type::DOUBLE => floats(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
        data_type::FLOAT16 => floats(bytes, |bytes| half::f16::from_le_bytes(bytes).to_f32()),
        data_type::BFLOAT16 => floats(bytes, |bytes| half::bf16::from_le_bytes(bytes).to_f32()),
        data_type::INT8 => ints(bytes, |bytes| i8::from_le_bytes(bytes).into()),
        data_type::INT16 => ints(bytes, |bytes| i16::from_le_bytes(bytes).into()),
        data_type::UINT16 => ints(bytes, |bytes| u16::from_le_bytes(bytes).into()),
        data_type::INT32 => ints(bytes, |bytes| i32::from_le_bytes(bytes).into()),
        data_type::UINT32 => ints(bytes, |bytes| u32::from_le_bytes(bytes).into()),
        data_type::INT64 => ints(bytes, i64::from_le_bytes),
        data_type::UINT64 => ints(bytes, |bytes| u64::from_le_bytes(bytes).try_into().unwrap_or(i64::MAX)),
        _ => ints(bytes, |bytes| u8::from_le_bytes(bytes).into()),
    }
}

/// The values where the file keeps them as numbers of protobuf.
fn typed(kind: i32, tensor: &TensorProto) -> Data {
    let half = |bits: i32| u16::try_from(bits).unwrap_or_default();
    match kind {
        data_type::FLOAT => Data::Float(tensor.float_data.as_slice().into()),
        data_type::DOUBLE => Data::Float(tensor.double_data.iter().map(|&value| value as f32).collect()),
        data_type::FLOAT16 => {
            Data::Float(tensor.int32_data.iter().map(|&bits| half::f16::from_bits(half(bits)).to_f32()).collect())
        }
        data_type::BFLOAT16 => {
            Data::Float(tensor.int32_data.iter().map(|&bits| half::bf16::from_bits(half(bits)).to_f32()).collect())
        }
        data_type::INT64 => Data::Int(tensor.int64_data.as_slice().into()),
        data_type::UINT32 | data_type::UINT64 => {
            Data::Int(tensor.uint64_data.iter().map(|&value| value.try_into().unwrap_or(i64::MAX)).collect())
        }
        _ => Data::Int(tensor.int32_data.iter().map(|&value| value.into()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::onnx::Nowhere;

    fn tensor(kind: i32, dims: &[i64]) -> TensorProto {
        TensorProto { name: Some("w".into()), dims: dims.to_vec(), data_type: Some(kind), ..TensorProto::default() }
    }

    #[test]
    fn values_are_read_from_bytes_and_from_fields() {
        let raw = |kind, bytes: &[u8]| TensorProto { raw_data: Some(bytes.to_vec()), ..tensor(kind, &[2]) };
        let floats: [(TensorProto, [f32; 2]); 5] = [
            (raw(data_type::FLOAT, &[0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]), [1.0, -2.0]),
            (raw(data_type::FLOAT16, &[0, 0x3c, 0, 0xc0]), [1.0, -2.0]),
            (raw(data_type::BFLOAT16, &[0x80, 0x3f, 0, 0xc0]), [1.0, -2.0]),
            (TensorProto { int32_data: vec![0x3c00, 0xc000], ..tensor(data_type::FLOAT16, &[2]) }, [1.0, -2.0]),
            (TensorProto { double_data: vec![1.0, -2.0], ..tensor(data_type::DOUBLE, &[2]) }, [1.0, -2.0]),
        ];
        for (tensor, expected) in floats {
            assert_eq!(
                decode(&tensor, &Nowhere, &mut Budget::new(0)).unwrap().data,
                Data::Float(expected.into()),
                "{tensor:?}"
            );
        }
        let ints: [(TensorProto, [i64; 2]); 4] = [
            (raw(data_type::INT8, &[1, 0xfe]), [1, -2]),
            (raw(data_type::UINT8, &[1, 0xfe]), [1, 254]),
            (raw(data_type::INT32, &[1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]), [1, -2]),
            (TensorProto { int32_data: vec![1, 254], ..tensor(data_type::UINT8, &[2]) }, [1, 254]),
        ];
        for (tensor, expected) in ints {
            assert_eq!(
                decode(&tensor, &Nowhere, &mut Budget::new(0)).unwrap().data,
                Data::Int(expected.into()),
                "{tensor:?}"
            );
        }
    }

    #[test]
    fn lengths_that_lie_are_errors() {
        let short = TensorProto { raw_data: Some(vec![0; 7]), ..tensor(data_type::FLOAT, &[2]) };
        let many = TensorProto { float_data: vec![0.0; 3], ..tensor(data_type::FLOAT, &[2]) };
        for wrong in [
            short,
            many,
            tensor(data_type::FLOAT, &[-1]),
            tensor(data_type::FLOAT, &[1 << 40, 1 << 40]),
            tensor(data_type::FLOAT, &[1 << 30]),
            tensor(data_type::INT64, &[i64::MAX]),
            tensor(8, &[1]),
        ] {
            assert!(decode(&wrong, &Nowhere, &mut Budget::new(0)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn other_files_stay_in_the_folder() {
        for (location, stays) in [
            ("weights.bin", true),
            ("data/weights.bin", true),
            ("./weights.bin", true),
            ("..", false),
            ("../weights.bin", false),
            ("data/../../weights.bin", false),
            ("data\\..\\weights.bin", false),
            ("/etc/passwd", false),
            ("C:weights.bin", false),
            ("", false),
        ] {
            assert_eq!(stays_in_folder(location), stays, "{location}");
        }
    }

    #[test]
    fn arrays_are_transposed_and_spread() {
        let array = Constant::new(vec![2, 3], Data::Int((0..6).collect())).unwrap();
        assert_eq!(array.transposed(&[1, 0]).unwrap().data, Data::Int([0, 3, 1, 4, 2, 5].into()));
        let column = Constant::new(vec![2, 1], Data::Int([7, 8].into())).unwrap();
        assert_eq!(column.broadcast(&[1, 2, 2]).unwrap().data, Data::Int([7, 7, 8, 8].into()));
        assert_eq!(column.broadcast(&[3, 2]), None);
    }
}

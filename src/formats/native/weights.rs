//! Weights between the types of a file and f32.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::Dtype;

use super::NativeError;
use crate::nn::graph::Param;

/// How weights are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Half the size of `F32`; values up to 65504.
    F16,
    /// Half the size of `F32`; the range of f32 with 8 bits of precision.
    Bf16,
    #[default]
    F32,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
        })
    }
}

/// How many values are converted at a time: a buffer that stays in the first-level cache.
const CHUNK: usize = 2048;

/// Widens (or, from f64, rounds) little-endian values to f32. `bytes` is a whole number of values.
pub(super) fn decode(name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Arc<[f32]>, NativeError> {
    match dtype {
        Dtype::F16 => collect(name, bytes, |chunk: &[[u8; 2]], out| {
            let mut halves = [f16::ZERO; CHUNK];
            let halves = &mut halves[..chunk.len()];
            halves.iter_mut().zip(chunk).for_each(|(half, bytes)| *half = f16::from_le_bytes(*bytes));
            halves.convert_to_f32_slice(out);
        }),
        Dtype::BF16 => collect(name, bytes, |chunk: &[[u8; 2]], out| {
            out.iter_mut().zip(chunk).for_each(|(value, bytes)| *value = bf16::from_le_bytes(*bytes).to_f32());
        }),
        Dtype::F32 => collect(name, bytes, |chunk: &[[u8; 4]], out| {
            out.iter_mut().zip(chunk).for_each(|(value, bytes)| *value = f32::from_le_bytes(*bytes));
        }),
        Dtype::F64 => collect(name, bytes, |chunk: &[[u8; 8]], out| {
            out.iter_mut().zip(chunk).for_each(|(value, bytes)| *value = f64::from_le_bytes(*bytes) as f32);
        }),
        found => Err(NativeError::Type { tensor: name.into(), found }),
    }
}

/// Converts `SIZE`-byte values chunk by chunk, straight into the shared slice, and checks that all are finite.
fn collect<const SIZE: usize>(
    name: &str,
    bytes: &[u8],
    convert: impl Fn(&[[u8; SIZE]], &mut [f32]),
) -> Result<Arc<[f32]>, NativeError> {
    let (values, _) = bytes.as_chunks::<SIZE>();
    let mut shared: Arc<[f32]> = std::iter::repeat_n(0.0, values.len()).collect();
    let out = Arc::get_mut(&mut shared).expect("a new Arc has one owner");
    for (chunk_index, (chunk, out)) in values.chunks(CHUNK).zip(out.chunks_mut(CHUNK)).enumerate() {
        convert(chunk, out);
        check_finite(name, chunk_index * CHUNK, out, Precision::F32)?;
    }
    Ok(shared)
}

fn check_finite(name: &str, first: usize, values: &[f32], precision: Precision) -> Result<(), NativeError> {
    // A sum of zeros unless something is not finite: without branches, for speed.
    if values.iter().map(|value| value * 0.0).sum::<f32>() == 0.0 {
        return Ok(());
    }
    let at = values.iter().position(|value| !value.is_finite()).unwrap_or(0);
    Err(NativeError::NotFinite { tensor: name.into(), index: first + at, value: values[at].into(), precision })
}

/// A parameter in the bytes of a file.
pub(super) struct Encoded<'a> {
    shape: &'a [usize],
    dtype: Dtype,
    bytes: Vec<u8>,
}

/// Narrows a parameter; values that overflow the precision are an error.
pub(super) fn encode<'a>(name: &str, param: &'a Param, precision: Precision) -> Result<Encoded<'a>, NativeError> {
    let (dtype, size) = match precision {
        Precision::F16 => (Dtype::F16, 2),
        Precision::Bf16 => (Dtype::BF16, 2),
        Precision::F32 => (Dtype::F32, 4),
    };
    let mut bytes = Vec::with_capacity(param.data.len() * size);
    for (index, &value) in param.data.iter().enumerate() {
        let narrowed = match precision {
            Precision::F16 => {
                let half = f16::from_f32(value);
                bytes.extend(half.to_le_bytes());
                half.to_f32()
            }
            Precision::Bf16 => {
                let half = bf16::from_f32(value);
                bytes.extend(half.to_le_bytes());
                half.to_f32()
            }
            Precision::F32 => {
                bytes.extend(value.to_le_bytes());
                value
            }
        };
        if !narrowed.is_finite() {
            return Err(NativeError::NotFinite { tensor: name.into(), index, value: value.into(), precision });
        }
    }
    Ok(Encoded { shape: &param.shape, dtype, bytes })
}

impl safetensors::View for &Encoded<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        self.bytes.as_slice().into()
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

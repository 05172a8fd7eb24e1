//! Safetensors files of weights.

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};

use super::state::StateDict;
use super::storage::{ByteOrder, Float, Storages, View};
use crate::formats::ImportError;

/// The floating-point tensors of a safetensors file.
pub fn tensors(bytes: &[u8]) -> Result<StateDict, ImportError> {
    let damaged = |error| ImportError::Damaged(ImportError::brief(&format!("{error}")));
    check_header(bytes)?;
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let mut dict = StateDict { is_sorted: true, ..StateDict::default() };
    // Sorted, so that notes and errors have the same order each time.
    let sorted: BTreeMap<_, _> = file.tensors().into_iter().collect();
    for (name, tensor) in sorted {
        let float = match tensor.dtype() {
            Dtype::F16 => Float::F16,
            Dtype::BF16 => Float::Bf16,
            Dtype::F32 => Float::F32,
            Dtype::F64 => Float::F64,
            Dtype::BOOL
            | Dtype::U8
            | Dtype::I8
            | Dtype::I16
            | Dtype::U16
            | Dtype::I32
            | Dtype::U32
            | Dtype::I64
            | Dtype::U64 => continue,
            other => {
                let name = ImportError::brief(&name);
                dict.notes.push(format!("The tensor `{name}` has numbers of a type that is not read ({other})."));
                continue;
            }
        };
        let shape = tensor.shape().to_vec();
        let mut stride = 1usize;
        let mut strides: Vec<usize> = Vec::with_capacity(shape.len());
        for &dim in shape.iter().rev() {
            strides.push(stride);
            stride = stride.saturating_mul(dim);
        }
        strides.reverse();
        let view = View { key: String::new(), float, offset: 0, shape, strides };
        let storage = [(String::new(), tensor.data().into())].into();
        let param = Storages::new(storage, ByteOrder::Little).tensor(&name, &view)?;
        dict.insert(name, param);
    }
    if dict.params.is_empty() {
        return Err(ImportError::Unsupported("the safetensors file holds no floating-point tensors".into()));
    }
    Ok(dict.without_prefixes())
}

/// Refuses a header longer than the file before anything is made of it.
fn check_header(bytes: &[u8]) -> Result<(), ImportError> {
    let cut_short = || ImportError::CutShort("it ends inside its header".into());
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut_short)?;
    if u64::from_le_bytes(*length) > rest.len() as u64 { Err(cut_short()) } else { Ok(()) }
}

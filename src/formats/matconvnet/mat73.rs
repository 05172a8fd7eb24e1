//! MATLAB 7.3 files, which are HDF5: structs are groups, cells are references.

use super::value::Value;
use crate::formats::ImportError;

/// MATLAB puts its own header before HDF5's.
const USER_BLOCK_BYTES: usize = 512;

pub(super) fn is_hdf5(bytes: &[u8]) -> bool {
    const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
    [0, USER_BLOCK_BYTES].iter().any(|&at| bytes.get(at..).is_some_and(|rest| rest.starts_with(SIGNATURE)))
}

pub(super) fn variables(_bytes: &[u8]) -> Result<Vec<(String, Value<'static>)>, ImportError> {
    Err(ImportError::Unsupported("this is a MATLAB 7.3 file: in MATLAB save it again with -v7".into()))
}

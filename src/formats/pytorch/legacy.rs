//! What `torch.save` wrote before 1.6: five pickles (a magic number, the protocol's version, the machine's sizes, the
//! object, the keys of the storages), and then each storage as its length in numbers and the numbers.

use std::borrow::Cow;
use std::collections::HashMap;

use super::state::{self, StateDict};
use super::storage::{ByteOrder, Float, Storages};
use crate::formats::ImportError;
use crate::formats::pickle::{Pickle, Value};

/// 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;

pub(super) fn tensors(bytes: &[u8]) -> Result<StateDict, ImportError> {
    let mut rest = bytes;
    let mut next = || -> Result<Pickle<'_>, ImportError> {
        let pickle = Pickle::read(rest)?;
        rest = rest.get(pickle.length()..).unwrap_or_default();
        Ok(pickle)
    };
    let magic = next()?;
    if *magic.get(magic.root()) != Value::BigInt(&MAGIC) {
        let reason = "this pickle is not one that torch.save wrote; load it with PyTorch and save its state_dict()";
        return Err(ImportError::Unsupported(reason.into()));
    }
    let protocol = next()?;
    if protocol.integer(protocol.root()) != Some(PROTOCOL) {
        let reason = format!("its version is not {PROTOCOL}, the only one that PyTorch has written");
        return Err(ImportError::Unsupported(reason));
    }
    let machine = next()?;
    let is_little = machine.entry(machine.root(), "little_endian").map(|id| machine.get(id));
    let order = if is_little == Some(&Value::Bool(false)) { ByteOrder::Big } else { ByteOrder::Little };
    let object = next()?;
    let keys = next()?;
    let sizes = element_sizes(&object);
    let mut storages = HashMap::new();
    for &key in keys.items(keys.root()).unwrap_or_default() {
        let Some(key) = keys.text(key) else {
            return Err(ImportError::Damaged("a storage's key is not a string".into()));
        };
        let (content, after) = storage(rest, &key, sizes.get(key.as_ref()).copied())?;
        rest = after;
        storages.insert(key.into_owned(), Cow::Borrowed(content));
    }
    state::collect(&object, Storages::new(storages, order))
}

/// A storage's bytes, and what follows it. Lengths are little-endian on every machine that PyTorch has run on.
fn storage<'a>(rest: &'a [u8], key: &str, size: Option<usize>) -> Result<(&'a [u8], &'a [u8]), ImportError> {
    let field = |reason: &str| ImportError::field(&format!("storage {key}"), reason);
    let cut_short = || ImportError::CutShort(format!("storage `{}` is not whole", ImportError::brief(key)));
    let size = size.ok_or_else(|| field("nothing says of what type its numbers are"))?;
    let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(cut_short)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|length| length.checked_mul(size));
    length.and_then(|length| rest.split_at_checked(length)).ok_or_else(cut_short)
}

/// How many bytes the numbers of each storage have, by the classes in the references to them.
fn element_sizes(pickle: &Pickle<'_>) -> HashMap<String, usize> {
    let size = |id| {
        let &Value::Persistent(reference) = pickle.get(id) else { return None };
        let &[_, class, key, ..] = pickle.items(reference)? else { return None };
        let class = pickle.global(class)?.1;
        let size = match class {
            "ByteStorage" | "CharStorage" | "BoolStorage" | "QInt8Storage" | "QUInt8Storage" => 1,
            "ShortStorage" => 2,
            "IntStorage" | "QInt32Storage" => 4,
            "LongStorage" | "ComplexFloatStorage" => 8,
            "ComplexDoubleStorage" => 16,
            float => Float::parse(float)?.bytes(),
        };
        Some((pickle.text(key)?.into_owned(), size))
    };
    pickle.ids().filter_map(size).collect()
}

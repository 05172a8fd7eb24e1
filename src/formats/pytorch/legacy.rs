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

/// Whether a file begins with the magic number, in whatever protocol.
pub(super) fn has_magic(bytes: &[u8]) -> bool {
    /// With protocol and frame it takes less.
    const PREFIX_BYTES: usize = 64;
    let prefix = bytes.get(..PREFIX_BYTES).unwrap_or(bytes);
    Pickle::read(prefix).is_ok_and(|pickle| *pickle.get(pickle.root()) == Value::BigInt(&MAGIC))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// A checkpoint with the numbers 1 to 4 in a storage `k`, if that is referred to; `object` is a pickle without protocol and STOP.
    fn checkpoint(object: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x80\x02\x8a\x0a".to_vec();
        bytes.extend(MAGIC);
        bytes.extend(b".\x80\x02M\xe9\x03.\x80\x02}q\x00U\x0dlittle_endianq\x01\x88s.");
        bytes.extend(b"\x80\x02");
        bytes.extend(object);
        if !object.windows(7).any(|window| window == b"storage") {
            bytes.extend(b".\x80\x02].");
            return bytes;
        }
        bytes.extend(b".\x80\x02]U\x01ka.");
        bytes.extend(4u64.to_le_bytes());
        bytes.extend([1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    /// The opcodes of a tensor; those of its offset, shape and strides are given.
    fn tensor(class: &str, offset: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
        let mut ops = b"ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\n".to_vec();
        ops.extend(class.as_bytes());
        ops.extend(b"\nU\x01kU\x03cpuK\x04NtQ");
        for part in [offset, shape, strides] {
            ops.extend(part);
        }
        ops.extend(b"\x89NtR");
        ops
    }

    /// A dictionary of one tensor `w`, and what else is given as key and value.
    fn dict(tensor: &[u8], rest: &[u8]) -> Vec<u8> {
        [b"}(U\x01w", tensor, rest, b"u"].concat()
    }

    const SQUARE: (&[u8], &[u8], &[u8]) = (b"K\x00", b"(K\x02K\x02t", b"(K\x01K\x02t");

    #[test]
    fn a_column_major_tensor_and_a_call_beside_it() {
        let square = tensor("FloatStorage", SQUARE.0, SQUARE.1, SQUARE.2);
        let got = tensors(&checkpoint(&dict(&square, b"U\x01xcos\nsystem\n(U\x04exittR"))).unwrap();
        assert_eq!(got.order, ["w"]);
        assert_eq!(
            (got.params["w"].shape.as_slice(), &*got.params["w"].data),
            (&[2, 2][..], &[1.0, 3.0, 2.0, 4.0][..])
        );
    }

    #[test]
    fn what_a_file_may_ask_for_is_bounded_and_told() {
        let huge = b"(\x8a\x06\x00\x00\x00\x00\x00\x01\x8a\x06\x00\x00\x00\x00\x00\x01t";
        let none = b"(K\x00K\x00t";
        let long = b"(J\xff\xff\xff\x7ft";
        let float =
            |offset: &[u8], shape: &[u8], strides: &[u8]| dict(&tensor("FloatStorage", offset, shape, strides), b"");
        let shared: Vec<u8> =
            (0..40).flat_map(|i| [b"}(U\x01ah".as_slice(), &[i], b"U\x01bh", &[i], b"uq", &[i + 1]].concat()).collect();
        let cases: Vec<(&str, Vec<u8>, &str)> = vec![
            ("a call", b"cos\nsystem\n(U\x04exittR".to_vec(), "but is what os.system makes"),
            ("a name", b"cos\nsystem\n".to_vec(), "but is the name os.system"),
            ("a shape", float(b"K\x00", huge, none), "`w`: a shape of [1099511627776, 1099511627776] is more than"),
            ("repeated", float(b"K\x00", long, b"(K\x00t"), "is more than the file holds"),
            ("an offset", float(b"K\x01", SQUARE.1, SQUARE.2), "past the end of its storage of 16 bytes"),
            ("a stride", float(b"K\x00", SQUARE.1, huge), "past the end"),
            ("ranks", float(b"K\x00", SQUARE.1, b"(K\x01t"), "not as many strides"),
            ("a negative", float(b"K\x00", b"(J\xff\xff\xff\xfft", b"(K\x01t"), "not understood"),
            (
                "integers",
                dict(&tensor("IntStorage", SQUARE.0, SQUARE.1, SQUARE.2), b""),
                "no tensors of floating-point",
            ),
            ("a length", dict(&tensor("DoubleStorage", SQUARE.0, SQUARE.1, SQUARE.2), b""), "storage `k` is not whole"),
            ("no type", b"}U\x07storageNs".to_vec(), "`storage k`: nothing says of what type"),
            (
                "a bomb",
                [&dict(&tensor("FloatStorage", SQUARE.0, SQUARE.1, SQUARE.2), b"")[..], b"q\x00", &shared].concat(),
                "so often",
            ),
            ("itself", b"}q\x00U\x01ah\x00s".to_vec(), ""),
        ];
        let failures: Vec<String> = cases
            .into_iter()
            .filter_map(|(name, object, expected)| match tensors(&checkpoint(&object)) {
                Err(error) if error.to_string().contains(expected) => None,
                other => Some(format!("{name}: {:?} should say {expected}", other.map(|dict| dict.order))),
            })
            .collect();
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn other_files_are_told_apart() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let cases: [(&[u8], &str); 4] = [
            (&tar, "tar archive"),
            (b"\x80\x02}.", "not one that torch.save wrote"),
            (b"PK\x03\x04", "zip archive is wrong"),
            (b"hello", "pickle"),
        ];
        for (bytes, expected) in cases {
            let error = super::super::tensors(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} should say {expected}");
        }
    }

    #[test]
    fn dictionaries_without_names_are_walked_no_more_often_than_others() {
        let mut object = b"}q\x10(".to_vec();
        for key in 0..2000u16 {
            object.push(b'M');
            object.extend(key.to_le_bytes());
            object.push(b'N');
        }
        object.extend(b"u0}(");
        for number in 0..500 {
            object.extend(format!("U\x04k{number:03}h\x10").into_bytes());
        }
        object.push(b'u');
        let error = tensors(&checkpoint(&object)).unwrap_err().to_string();
        assert!(error.contains("contain each other so often"), "{error}");
    }
}

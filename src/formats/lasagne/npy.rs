//! NumPy's `.npy` files, versions 1 to 3.

use crate::formats::ImportError;
use crate::formats::pickle::numpy::{FloatType, decode};
use crate::nn::graph::Param;

const MAGIC: &[u8] = b"\x93NUMPY";

pub(super) fn has_magic(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads an array of floating-point numbers.
pub(super) fn read(bytes: &[u8], name: &str) -> Result<Param, ImportError> {
    let field = |reason: &str| ImportError::field(name, reason);
    let (header, data) = parts(bytes).map_err(field)?;
    let entry = |key: &str| entry(header, key).ok_or_else(|| field(DAMAGED));
    let description = entry("descr")?;
    let float = string(description).and_then(FloatType::parse).ok_or_else(|| {
        let shown = ImportError::brief(description.get(..40).unwrap_or(description));
        field(&format!("its values are of a type that is not read ({shown}); floating-point numbers are"))
    })?;
    let is_fortran = entry("fortran_order")?.starts_with("True");
    let shape = tuple(entry("shape")?).ok_or_else(|| field(DAMAGED))?;
    decode(float, data, &shape, is_fortran).map_err(|error| field(&error.to_string()))
}

/// The pickle in an array of objects.
pub(super) fn objects(bytes: &[u8]) -> Option<&[u8]> {
    let (header, data) = parts(bytes).ok()?;
    (string(entry(header, "descr")?)? == "|O").then_some(data)
}

const DAMAGED: &str = "its header is not that of a NumPy array";

/// The header and the data.
fn parts(bytes: &[u8]) -> Result<(&str, &[u8]), &'static str> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(DAMAGED)?;
    let (&[major, _minor], rest) = rest.split_first_chunk::<2>().ok_or(DAMAGED)?;
    let (length, rest) = match major {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or(DAMAGED)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or(DAMAGED)?;
            (usize::try_from(u32::from_le_bytes(*length)).map_err(|_| DAMAGED)?, rest)
        }
        _ => return Err("only versions 1 to 3 of NumPy's format are read"),
    };
    let (header, data) = rest.split_at_checked(length).ok_or(DAMAGED)?;
    Ok((std::str::from_utf8(header).map_err(|_| DAMAGED)?, data))
}

/// What follows a key of a Python dictionary.
fn entry<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let at = header.find(&format!("'{key}'"))?;
    let rest = header.get(at + key.len() + 2..)?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

/// The content of the string that a text begins with.
fn string(text: &str) -> Option<&str> {
    text.strip_prefix('\'')?.split_once('\'').map(|(content, _)| content)
}

/// The numbers of the tuple that a text begins with; Python 2 wrote some with an `L`.
fn tuple(text: &str) -> Option<Vec<usize>> {
    let (inner, _) = text.strip_prefix('(')?.split_once(')')?;
    let numbers = inner.split(',').map(str::trim).filter(|number| !number.is_empty());
    numbers.map(|number| number.trim_end_matches('L').parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((header.len() as u16).to_le_bytes()),
            _ => bytes.extend((header.len() as u32).to_le_bytes()),
        }
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn orders_and_types() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let f4_be: Vec<u8> = values.iter().flat_map(|&value: &f32| value.to_be_bytes()).collect();
        let f8: Vec<u8> = values.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect();
        let f2: Vec<u8> = values.iter().flat_map(|&value| half::f16::from_f32(value).to_le_bytes()).collect();
        let header = |descr: &str, order: &str, shape: &str| {
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}   \n")
        };
        let cases = [
            (file(1, &header("<f8", "False", "(2, 3)"), &f8), vec![2, 3], values.to_vec()),
            (file(2, &header(">f4", "True", "(2L, 3L)"), &f4_be), vec![2, 3], vec![1.0, 3.0, 5.0, 2.0, 4.0, 6.0]),
            (file(3, &header("<f2", "True", "(6,)"), &f2), vec![6], values.to_vec()),
            (file(1, &header(">f4", "True", "(1, 3, 2)"), &f4_be), vec![1, 3, 2], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
        ];
        for (bytes, shape, expected) in cases {
            let got = read(&bytes, "a").unwrap();
            assert_eq!((got.shape, got.data.to_vec()), (shape, expected));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            (b"\x93NUMPX".to_vec(), "header"),
            (file(1, "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", b""), "a type that is not read"),
            (file(1, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }", b""), "a type that is not read"),
            (file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", b"12345678"), "has 8 bytes"),
            (
                file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }", b""),
                "has 0 bytes",
            ),
            (file(1, "{'descr': '<f4', 'shape': (1,), }", b"1234"), "header"),
            (file(4, "", b""), "only versions 1 to 3"),
        ];
        for (bytes, expected) in cases {
            let error = read(&bytes, "arr_0").unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("arr_0"), "{error} should say {expected}");
        }
        let whole = file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", b"1234");
        for length in 0..whole.len() {
            assert!(read(&whole[..length], "a").is_err());
        }
    }
}

//! The wire format of protocol buffers: keys and values, without knowing what they mean.

use super::ImportError;

/// One value of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wire<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    /// A string, a nested message or packed numbers.
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// The fields of a message in their order; ends after the first error.
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn field(&mut self) -> Result<(u64, Wire<'a>), ImportError> {
        let key = varint(&mut self.rest)?;
        let number = key >> 3;
        if number == 0 || number >= 1 << 29 {
            return Err(damaged(format!("{number} is not a field number")));
        }
        let value = match key & 7 {
            0 => Wire::Varint(varint(&mut self.rest)?),
            1 => Wire::Fixed64(fixed(&mut self.rest)?),
            2 => {
                let len = varint(&mut self.rest)?;
                let taken = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
                let Some((value, rest)) = taken else {
                    let left = self.rest.len();
                    return Err(ImportError::CutShort(format!(
                        "a field of {len} bytes is announced where {left} are left"
                    )));
                };
                self.rest = rest;
                Wire::Bytes(value)
            }
            5 => Wire::Fixed32(fixed(&mut self.rest)?),
            other => return Err(damaged(format!("field {number} is of the unknown wire type {other}"))),
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Wire<'a>), ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// The error of a message that is only a part of a file, as one that names the part.
pub fn within(error: ImportError, part: &str) -> ImportError {
    match error {
        ImportError::CutShort(_) => ImportError::CutShort(format!("it ends within {part}")),
        _ => ImportError::Damaged(format!("{part} is not in the form of a protocol buffer")),
    }
}

fn damaged(reason: String) -> ImportError {
    ImportError::Damaged(reason)
}

/// Takes a number of seven bits a byte, the low ones first.
pub fn varint(rest: &mut &[u8]) -> Result<u64, ImportError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let Some((&byte, after)) = rest.split_first() else {
            return Err(ImportError::CutShort("it ends within a number".into()));
        };
        *rest = after;
        // The tenth byte holds the one bit that is left.
        if shift == 63 && byte > 1 {
            return Err(damaged("a number has more than 64 bits".into()));
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(damaged("a number has more than 64 bits".into()))
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ImportError> {
    let Some((value, after)) = rest.split_first_chunk::<N>() else {
        return Err(ImportError::CutShort("it ends within a number".into()));
    };
    *rest = after;
    Ok(*value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order() {
        let bytes = b"\x08\x96\x01\x12\x03abc\x1d\0\0\x80\x3f\x21\0\0\0\0\0\0\xf0\x3f";
        let fields: Vec<_> = Fields::new(bytes).map(Result::unwrap).collect();
        assert_eq!(
            fields,
            [
                (1, Wire::Varint(150)),
                (2, Wire::Bytes(b"abc")),
                (3, Wire::Fixed32(1f32.to_le_bytes())),
                (4, Wire::Fixed64(1f64.to_le_bytes())),
            ]
        );
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let cases: [&[u8]; 8] = [
            b"\x08",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7fab",
            b"\x00\x00",
            b"\x0b",
            b"\x0f",
            b"\x1d\0\0",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        ];
        let largest: Vec<_> = Fields::new(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").collect();
        assert_eq!(largest, [Ok((1, Wire::Varint(u64::MAX)))]);
        for bytes in cases {
            let fields: Vec<_> = Fields::new(bytes).collect();
            assert!(fields.len() == 1 && fields[0].is_err(), "{bytes:?}: {fields:?}");
        }
    }
}

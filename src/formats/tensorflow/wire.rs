//! The wire format of protocol buffers, as far as graphs are walked without copying them.

use crate::formats::ImportError;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Payload<'a> {
    Varint(u64),
    /// Text, a message, or packed numbers.
    Bytes(&'a [u8]),
    Fixed,
}

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    CutShort,
    Damaged,
}

impl WireError {
    pub fn within(self, what: &str) -> ImportError {
        match self {
            Self::CutShort => ImportError::CutShort(format!("it ends within {what}")),
            Self::Damaged => ImportError::Damaged(format!("{what} is not in the form of a protocol buffer")),
        }
    }
}

/// The fields of a message, by number, in the order in which they lie. After an error there are no more.
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        const MAX_BYTES: usize = 10;
        let mut value = 0u64;
        for i in 0..MAX_BYTES {
            let (&byte, rest) = self.rest.split_first().ok_or(WireError::CutShort)?;
            self.rest = rest;
            // The tenth byte holds the one bit that is left.
            if i + 1 == MAX_BYTES && byte > 1 {
                return Err(WireError::Damaged);
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::Damaged)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(WireError::CutShort)?;
        self.rest = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u32, Payload<'a>), WireError> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| WireError::Damaged)?;
        let payload = match key & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => self.take(8).map(|_| Payload::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| WireError::CutShort)?;
                Payload::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Payload::Fixed)?,
            _ => return Err(WireError::Damaged),
        };
        if number == 0 { Err(WireError::Damaged) } else { Ok((number, payload)) }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Payload<'a>), WireError>;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_walked() {
        let message = [0x0a, 2, b'h', b'i', 0x10, 0x96, 0x01, 0x1d, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0, 0, 0, 0];
        let fields: Result<Vec<_>, _> = Fields::of(&message).collect();
        let expected =
            vec![(1, Payload::Bytes(b"hi")), (2, Payload::Varint(150)), (3, Payload::Fixed), (4, Payload::Fixed)];
        assert_eq!(fields, Ok(expected));
    }

    #[test]
    fn what_is_no_message_ends_with_an_error() {
        let cases: [(&[u8], WireError); 6] = [
            (&[0x0a, 3, 1, 2], WireError::CutShort),
            (&[0x80], WireError::CutShort),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], WireError::CutShort),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], WireError::Damaged),
            (&[0x0b, 0], WireError::Damaged),
            (&[0x02, 0], WireError::Damaged),
        ];
        for (message, expected) in cases {
            let fields: Vec<_> = Fields::of(message).collect();
            assert_eq!(fields, [Err(expected)], "{message:?}");
        }
    }
}

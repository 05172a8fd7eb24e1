//! What a MATLAB file holds, as far as nets need it.

use std::borrow::Cow;

use crate::formats::ImportError;

/// How numbers are stored, which need not be the class that MATLAB shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl Stored {
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }
}

/// A full array of real numbers, column-major.
#[derive(Debug)]
pub(super) struct Numbers<'a> {
    dims: Vec<usize>,
    stored: Stored,
    big_endian: bool,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Numbers<'a> {
    /// `None` unless the bytes are as many as the dimensions need.
    pub fn new(dims: Vec<usize>, stored: Stored, big_endian: bool, bytes: Cow<'a, [u8]>) -> Option<Self> {
        let count = dims.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim))?;
        (count.checked_mul(stored.size())? == bytes.len()).then_some(Self { dims, stored, big_endian, bytes })
    }

    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    pub fn len(&self) -> usize {
        self.bytes.len() / self.stored.size()
    }

    fn chunks<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> {
        let big_endian = self.big_endian;
        self.bytes.as_chunks::<N>().0.iter().map(move |bytes| {
            let mut bytes = *bytes;
            if big_endian {
                bytes.reverse();
            }
            bytes
        })
    }

    /// Calls `push` for all numbers, in the order of the file.
    fn for_each(&self, mut push: impl FnMut(f64)) {
        match self.stored {
            Stored::I8 => self.chunks().for_each(|b| push(f64::from(i8::from_le_bytes(b)))),
            Stored::U8 => self.chunks().for_each(|b| push(f64::from(u8::from_le_bytes(b)))),
            Stored::I16 => self.chunks().for_each(|b| push(f64::from(i16::from_le_bytes(b)))),
            Stored::U16 => self.chunks().for_each(|b| push(f64::from(u16::from_le_bytes(b)))),
            Stored::I32 => self.chunks().for_each(|b| push(f64::from(i32::from_le_bytes(b)))),
            Stored::U32 => self.chunks().for_each(|b| push(f64::from(u32::from_le_bytes(b)))),
            Stored::I64 => self.chunks().for_each(|b| push(i64::from_le_bytes(b) as f64)),
            Stored::U64 => self.chunks().for_each(|b| push(u64::from_le_bytes(b) as f64)),
            Stored::F32 => self.chunks().for_each(|b| push(f64::from(f32::from_le_bytes(b)))),
            Stored::F64 => self.chunks().for_each(|b| push(f64::from_le_bytes(b))),
        }
    }

    pub fn to_f64(&self) -> Vec<f64> {
        let mut numbers = Vec::with_capacity(self.len());
        self.for_each(|number| numbers.push(number));
        numbers
    }

    pub fn to_f32(&self) -> Vec<f32> {
        let mut numbers = Vec::with_capacity(self.len());
        self.for_each(|number| numbers.push(number as f32));
        numbers
    }
}

/// A struct array: every element has a value for every field.
#[derive(Debug)]
pub(super) struct Structs<'a> {
    pub fields: Vec<String>,
    /// Element after element, each in the order of the fields.
    pub values: Vec<Value<'a>>,
}

/// One element of a struct array.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'v, 'a> {
    fields: &'v [String],
    values: &'v [Value<'a>],
}

impl<'a> Structs<'a> {
    pub fn records(&self) -> impl Iterator<Item = Record<'_, 'a>> {
        self.values.chunks_exact(self.fields.len().max(1)).map(|values| Record { fields: &self.fields, values })
    }
}

impl<'v, 'a> Record<'v, 'a> {
    /// A struct without fields.
    pub fn empty() -> Self {
        Self { fields: &[], values: &[] }
    }

    pub fn get(&self, field: &str) -> Option<&'v Value<'a>> {
        let at = self.fields.iter().position(|name| name == field)?;
        self.values.get(at)
    }

    /// The field unless it is missing or empty, which MATLAB code treats alike.
    pub fn filled(&self, field: &str) -> Option<&'v Value<'a>> {
        self.get(field).filter(|value| !value.is_empty())
    }

    pub fn text(&self, field: &str) -> Option<&'v str> {
        self.get(field)?.text()
    }
}

#[derive(Debug)]
pub(super) enum Value<'a> {
    Numbers(Numbers<'a>),
    /// The rows of a char array.
    Text(Vec<String>),
    Cells(Vec<Value<'a>>),
    Structs(Structs<'a>),
    /// Of a class that is not read; in words.
    Opaque(String),
}

impl<'a> Value<'a> {
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Numbers(numbers) => numbers.len() == 0,
            Self::Text(rows) => rows.iter().all(String::is_empty),
            Self::Cells(cells) => cells.is_empty(),
            Self::Structs(structs) => structs.values.is_empty(),
            Self::Opaque(_) => false,
        }
    }

    /// A char array of one row.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(rows) if rows.len() == 1 => rows.first().map(String::as_str),
            _ => None,
        }
    }

    pub fn numbers(&self) -> Option<&Numbers<'a>> {
        if let Self::Numbers(numbers) = self { Some(numbers) } else { None }
    }

    pub fn cells(&self) -> Option<&[Value<'a>]> {
        if let Self::Cells(cells) = self { Some(cells) } else { None }
    }

    /// The first element of a struct array.
    pub fn record(&self) -> Option<Record<'_, 'a>> {
        if let Self::Structs(structs) = self { structs.records().next() } else { None }
    }

    /// The elements of a struct array or of a cell array of structs.
    pub fn records(&self) -> Option<Vec<Record<'_, 'a>>> {
        match self {
            Self::Structs(structs) => Some(structs.records().collect()),
            Self::Cells(cells) => cells.iter().map(Self::record).collect(),
            _ => None,
        }
    }

    /// Text, the rows of a char array, or the cells of a cell array of texts.
    pub fn texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::Text(rows) => Some(rows.iter().map(String::as_str).filter(|row| !row.is_empty()).collect()),
            Self::Cells(cells) => {
                cells.iter().map(|cell| if cell.is_empty() { Some("") } else { cell.text() }).collect()
            }
            value if value.is_empty() => Some(Vec::new()),
            _ => None,
        }
    }

    /// What it is, to follow "is".
    pub fn kind(&self) -> &str {
        match self {
            Self::Numbers(_) => "an array of numbers",
            Self::Text(_) => "text",
            Self::Cells(_) => "a cell array",
            Self::Structs(_) => "a struct",
            Self::Opaque(kind) => kind,
        }
    }
}

/// The largest count, size or distance that a net may state.
const MAX_COUNT: f64 = (1 << 20) as f64;

/// A number that must be whole and not negative.
pub(super) fn count_of(field: &str, number: f64) -> Result<usize, ImportError> {
    if number.fract() == 0.0 && (0.0..=MAX_COUNT).contains(&number) {
        return Ok(number as usize);
    }
    Err(ImportError::field(field, format!("{number} is not a whole number from 0 to {MAX_COUNT}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_either_byte_order() {
        let little = Numbers::new(vec![1, 2], Stored::I16, false, Cow::Borrowed(&[1, 0, 0xfe, 0xff])).unwrap();
        assert_eq!((little.to_f64(), little.dims()), (vec![1.0, -2.0], &[1, 2][..]));
        let big = Numbers::new(vec![2], Stored::F32, true, Cow::Borrowed(&[0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0])).unwrap();
        assert_eq!(big.to_f32(), [1.0, -2.0]);
        assert!(Numbers::new(vec![3], Stored::F32, true, Cow::Borrowed(&[0; 8])).is_none());
        assert!(Numbers::new(vec![usize::MAX, 2], Stored::U8, true, Cow::Borrowed(&[])).is_none());
    }

    #[test]
    fn counts_are_whole_and_bounded() {
        assert_eq!(count_of("stride", 3.0), Ok(3));
        for wrong in [-1.0, 0.5, f64::NAN, f64::INFINITY, 1e9] {
            let error = count_of("stride", wrong).unwrap_err().to_string();
            assert!(error.starts_with("`stride`: ") && error.contains("is not a whole number"), "{error}");
        }
    }
}

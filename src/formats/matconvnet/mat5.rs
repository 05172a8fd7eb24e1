//! The container of MATLAB 5 to 7 ("Level 5 MAT-File Format", MathWorks): tagged elements, compressed one by one.
//!
//! Every element is a tag of type and length, and bytes padded to eight; one of four bytes or fewer lies in the tag
//! itself. An array (`miMATRIX`) is an element made of elements: flags, dimensions, name, and then numbers, or the
//! arrays that its cells or fields are.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;

use super::value::{Numbers, Stored, Structs, Value};
use crate::formats::{ImportError, MAX_FILE_BYTES};

const HEADER_BYTES: usize = 128;
/// Arrays within cells within structs, …; nets need about eight.
const MAX_DEPTH: usize = 32;
/// What a file may unpack to, times its own length; nets, mostly noise, hardly shrink.
const MAX_GROWTH: u64 = 100;
/// Small files may hold zeros only.
const ALWAYS_UNPACKED_BYTES: u64 = 64 << 20;

const MI_INT8: u32 = 1;
const MI_UINT8: u32 = 2;
const MI_UINT16: u32 = 4;
const MI_INT32: u32 = 5;
const MI_UINT32: u32 = 6;
const MI_MATRIX: u32 = 14;
const MI_COMPRESSED: u32 = 15;
const MI_UTF8: u32 = 16;

/// The top-level elements of a file, unpacked.
pub(super) struct Container<'a> {
    big_endian: bool,
    elements: Vec<Cow<'a, [u8]>>,
}

impl<'a> Container<'a> {
    pub fn unpack(bytes: &'a [u8]) -> Result<Self, ImportError> {
        let header = bytes.get(..HEADER_BYTES).ok_or_else(|| cut("its header"))?;
        let big_endian = match header.get(HEADER_BYTES - 2..) {
            Some(b"IM") => false,
            Some(b"MI") => true,
            _ => return Err(ImportError::Damaged("its header does not tell the order of bytes".into())),
        };
        let mut reader = Reader { rest: bytes.get(HEADER_BYTES..).unwrap_or_default(), big_endian };
        let mut budget = (bytes.len() as u64).saturating_mul(MAX_GROWTH).clamp(ALWAYS_UNPACKED_BYTES, MAX_FILE_BYTES);
        let mut elements = Vec::new();
        while !reader.rest.is_empty() {
            let element = reader.element("a variable")?;
            match element.kind {
                MI_COMPRESSED => elements.push(Cow::Owned(inflate(element.bytes, &mut budget)?)),
                MI_MATRIX => elements.push(Cow::Borrowed(element.whole)),
                // Anything else at the top is not a variable.
                _ => {}
            }
        }
        Ok(Self { big_endian, elements })
    }

    /// The variables by name, in the order of the file.
    pub fn variables(&self) -> Result<Vec<(String, Value<'_>)>, ImportError> {
        let mut variables = Vec::new();
        for element in &self.elements {
            let mut reader = Reader { rest: element, big_endian: self.big_endian };
            let element = reader.element("a variable")?;
            if element.kind == MI_MATRIX {
                variables.push(array(element.bytes, self.big_endian, MAX_DEPTH)?);
            }
        }
        Ok(variables)
    }
}

fn cut(what: &str) -> ImportError {
    ImportError::CutShort(format!("{what} is incomplete"))
}

fn damaged(name: &str, what: &str) -> ImportError {
    let whose = if name.is_empty() { String::new() } else { format!(" of `{}`", ImportError::brief(name)) };
    ImportError::Damaged(format!("{what}{whose}"))
}

/// Unpacks one element, at most `budget` bytes, of which it takes what it needs.
fn inflate(packed: &[u8], budget: &mut u64) -> Result<Vec<u8>, ImportError> {
    let mut bytes = Vec::new();
    let limit = *budget;
    ZlibDecoder::new(packed)
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| ImportError::Damaged(format!("a compressed variable cannot be unpacked ({error})")))?;
    *budget = limit.checked_sub(bytes.len() as u64).ok_or_else(|| {
        ImportError::TooLarge(format!("the file unpacks to more than {MAX_GROWTH} times its length, or to 4 GiB"))
    })?;
    Ok(bytes)
}

struct Element<'a> {
    kind: u32,
    bytes: &'a [u8],
    /// With its tag and padding.
    whole: &'a [u8],
}

struct Reader<'a> {
    rest: &'a [u8],
    big_endian: bool,
}

impl<'a> Reader<'a> {
    fn u32_at(&self, at: usize) -> Option<u32> {
        let bytes = *self.rest.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn element(&mut self, what: &str) -> Result<Element<'a>, ImportError> {
        let first = self.u32_at(0).ok_or_else(|| cut(what))?;
        let (kind, len, start) = match first >> 16 {
            0 => (first, self.u32_at(4).ok_or_else(|| cut(what))? as usize, 8),
            len => (first & 0xffff, len as usize, 4),
        };
        if start == 4 && len > 4 {
            return Err(ImportError::Damaged(format!("{what} has a tag that makes no sense")));
        }
        let bytes = self.rest.get(start..).and_then(|rest| rest.get(..len)).ok_or_else(|| cut(what))?;
        // Compressed elements follow each other without padding; the last one of an array may lack it.
        let end = match (start, kind) {
            (4, _) => 8,
            (_, MI_COMPRESSED) => start + len,
            _ => (start + len).next_multiple_of(8),
        };
        let (whole, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, &[]));
        self.rest = rest;
        Ok(Element { kind, bytes, whole })
    }

    /// An element of one of the kinds.
    fn expect(&mut self, what: &str, kinds: &[u32]) -> Result<Element<'a>, ImportError> {
        let element = self.element(what)?;
        if kinds.contains(&element.kind) {
            return Ok(element);
        }
        Err(ImportError::Damaged(format!("{what} is of the wrong type {}", element.kind)))
    }

    fn words(&self, bytes: &[u8]) -> Vec<u32> {
        let read =
            |bytes: &[u8; 4]| if self.big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) };
        bytes.as_chunks().0.iter().map(read).collect()
    }
}

fn stored(kind: u32) -> Option<Stored> {
    Some(match kind {
        1 => Stored::I8,
        2 => Stored::U8,
        3 => Stored::I16,
        4 => Stored::U16,
        5 => Stored::I32,
        6 => Stored::U32,
        7 => Stored::F32,
        9 => Stored::F64,
        12 => Stored::I64,
        13 => Stored::U64,
        _ => return None,
    })
}

/// The content of a `miMATRIX` element: its name and value.
fn array(bytes: &[u8], big_endian: bool, depth: usize) -> Result<(String, Value<'_>), ImportError> {
    const CLASS: u32 = 0xff;
    const COMPLEX: u32 = 0x800;
    if bytes.is_empty() {
        let empty = Numbers::new(vec![0, 0], Stored::F64, false, Cow::Borrowed(&[]));
        return Ok((String::new(), empty.map_or_else(|| Value::Opaque("empty".into()), Value::Numbers)));
    }
    let mut reader = Reader { rest: bytes, big_endian };
    let flags = reader.expect("the flags of an array", &[MI_UINT32])?.bytes;
    let &flags = reader.words(flags).first().ok_or_else(|| cut("the flags of an array"))?;
    let class = flags & CLASS;
    // Objects of newer classes have neither dimensions nor a name in their place.
    if class == 17 {
        let name = reader.expect("the name of an object", &[MI_INT8, MI_UTF8]).map(|name| text_of(name.bytes));
        return Ok((name.unwrap_or_default(), Value::Opaque("a MATLAB object".into())));
    }
    let dims = reader.expect("the dimensions of an array", &[MI_INT32, MI_UINT32])?.bytes;
    let dims: Vec<usize> = reader.words(dims).into_iter().map(|dim| dim as usize).collect();
    let name = text_of(reader.expect("the name of an array", &[MI_INT8, MI_UTF8])?.bytes);
    let count = dims.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
    let count = count.ok_or_else(|| damaged(&name, "impossible dimensions"))?;
    let value = match class {
        1 => Value::Cells(arrays(&mut reader, &name, count, depth)?),
        2 => Value::Structs(structs(&mut reader, &name, count, depth)?),
        3 => Value::Opaque("a MATLAB object".into()),
        4 => Value::Text(text_rows(&mut reader, &name, &dims)?),
        5 => Value::Opaque("a sparse array".into()),
        6..=15 if flags & COMPLEX != 0 => Value::Opaque("an array of complex numbers".into()),
        6..=15 => {
            let element = reader.element("an array's numbers")?;
            let stored = stored(element.kind).ok_or_else(|| damaged(&name, "an unknown type of numbers"))?;
            let numbers = Numbers::new(dims, stored, big_endian, Cow::Borrowed(element.bytes));
            Value::Numbers(numbers.ok_or_else(|| damaged(&name, "the numbers are not as many as the dimensions"))?)
        }
        16 => Value::Opaque("a function handle".into()),
        other => return Err(damaged(&name, &format!("the unknown class {other}"))),
    };
    Ok((name, value))
}

/// That many arrays, each an element.
fn arrays<'a>(reader: &mut Reader<'a>, name: &str, count: usize, depth: usize) -> Result<Vec<Value<'a>>, ImportError> {
    const TAG_BYTES: usize = 8;
    let Some(depth) = depth.checked_sub(1) else {
        return Err(ImportError::TooLarge(format!("arrays lie within arrays more than {MAX_DEPTH} deep")));
    };
    if count > reader.rest.len() / TAG_BYTES {
        return Err(cut(&format!("the array `{}`", ImportError::brief(name))));
    }
    let big_endian = reader.big_endian;
    let read = |_| Ok(array(reader.expect("an array within an array", &[MI_MATRIX])?.bytes, big_endian, depth)?.1);
    (0..count).map(read).collect()
}

fn structs<'a>(reader: &mut Reader<'a>, name: &str, count: usize, depth: usize) -> Result<Structs<'a>, ImportError> {
    let width = reader.expect("the length of field names", &[MI_INT32, MI_UINT32])?.bytes;
    let width = reader.words(width).first().map_or(0, |&width| width as usize);
    let names = reader.expect("the field names", &[MI_INT8, MI_UINT8, MI_UTF8])?.bytes;
    if width == 0 || names.is_empty() {
        return Ok(Structs { fields: Vec::new(), values: Vec::new() });
    }
    let fields: Vec<String> = names.chunks_exact(width).map(text_of).collect();
    let total = count.checked_mul(fields.len()).ok_or_else(|| damaged(name, "impossible dimensions"))?;
    let values = arrays(reader, name, total, depth)?;
    Ok(Structs { fields, values })
}

/// Up to the first NUL.
fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// The rows of a char array, which lies column-major.
fn text_rows(reader: &mut Reader<'_>, name: &str, dims: &[usize]) -> Result<Vec<String>, ImportError> {
    let element = reader.element("a text")?;
    let (bytes, big_endian) = (element.bytes, reader.big_endian);
    let unit = |bytes: &[u8; 2]| if big_endian { u16::from_be_bytes(*bytes) } else { u16::from_le_bytes(*bytes) };
    let text: String = match element.kind {
        MI_UINT16 | 17 => {
            let units: Vec<u16> = bytes.as_chunks().0.iter().map(unit).collect();
            String::from_utf16_lossy(&units)
        }
        MI_UTF8 => String::from_utf8_lossy(bytes).into_owned(),
        MI_INT8 | MI_UINT8 => bytes.iter().map(|&byte| char::from(byte)).collect(),
        other => return Err(damaged(name, &format!("text of the unknown type {other}"))),
    };
    Ok(rows_of(text, dims.first().copied().unwrap_or(1)))
}

/// Cuts column-major text into rows, without the blanks that fill them up.
pub(super) fn rows_of(text: String, rows: usize) -> Vec<String> {
    if rows <= 1 || text.is_empty() {
        return vec![text];
    }
    let chars: Vec<char> = text.chars().collect();
    let row = |row: usize| -> String { chars.iter().skip(row).step_by(rows).collect() };
    (0..rows.min(chars.len())).map(|at| row(at).trim_end().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Writes the parts of files in either byte order.
    #[derive(Clone, Copy)]
    struct Writer {
        big_endian: bool,
    }

    impl Writer {
        fn words(self, words: &[u32]) -> Vec<u8> {
            words
                .iter()
                .flat_map(|word| if self.big_endian { word.to_be_bytes() } else { word.to_le_bytes() })
                .collect()
        }

        fn element(self, kind: u32, bytes: &[u8]) -> Vec<u8> {
            let mut element = match bytes.len() {
                1..=4 => self.words(&[kind | (bytes.len() as u32) << 16]),
                len => self.words(&[kind, len as u32]),
            };
            element.extend(bytes);
            element.resize(element.len().next_multiple_of(8), 0);
            element
        }

        fn array(self, class: u32, dims: &[u32], name: &str, content: &[Vec<u8>]) -> Vec<u8> {
            let head = [
                self.element(MI_UINT32, &self.words(&[class, 0])),
                self.element(MI_INT32, &self.words(dims)),
                self.element(MI_INT8, name.as_bytes()),
            ];
            self.element(MI_MATRIX, &[head.concat(), content.concat()].concat())
        }

        fn file(self, elements: &[Vec<u8>]) -> Vec<u8> {
            let mut file = b"MATLAB 5.0 MAT-file".to_vec();
            file.resize(HEADER_BYTES - 4, b' ');
            file.extend(if self.big_endian { b"\x01\0MI" } else { b"\0\x01IM" });
            file.extend(elements.concat());
            file
        }

        /// `x`, a struct of a cell array with a text and numbers.
        fn sample(self) -> Vec<u8> {
            let text = self.array(4, &[2, 3], "", &[self.element(MI_UINT8, b"axbyc ")]);
            let numbers = if self.big_endian { [0, 5, 1, 0] } else { [5, 0, 0, 1] };
            let numbers = self.array(7, &[1, 2], "", &[self.element(MI_UINT16, &numbers)]);
            let cells = self.array(1, &[1, 2], "", &[text, numbers]);
            let fields = [self.element(MI_INT32, &self.words(&[8])), self.element(MI_INT8, b"things\0\0"), cells];
            self.array(2, &[1, 1], "x", &fields)
        }
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn error(file: &[u8]) -> String {
        let read = Container::unpack(file).and_then(|container| container.variables().map(|found| found.len()));
        read.err().map_or_else(|| "nothing wrong".into(), |error| error.to_string())
    }

    const LITTLE: Writer = Writer { big_endian: false };

    #[test]
    fn both_byte_orders_are_read() {
        for writer in [LITTLE, Writer { big_endian: true }] {
            let file = writer.file(&[writer.element(1, b"aside"), writer.sample()]);
            let container = Container::unpack(&file).unwrap();
            let variables = container.variables().unwrap();
            let [(name, value)] = variables.as_slice() else { panic!("{variables:?}") };
            let things = value.record().unwrap().get("things").unwrap().cells().unwrap();
            assert_eq!((name.as_str(), things[0].texts()), ("x", Some(vec!["abc", "xy"])));
            assert_eq!(things[1].numbers().unwrap().to_f32(), [5.0, 256.0]);
        }
    }

    #[test]
    fn what_is_not_read_is_set_aside() {
        for (class, kind) in [(3, "object"), (5, "sparse"), (16, "function"), (6 | 0x800, "complex")] {
            let file = LITTLE.file(&[LITTLE.array(class, &[1, 1], "x", &[])]);
            let container = Container::unpack(&file).unwrap();
            assert!(container.variables().unwrap()[0].1.kind().contains(kind), "{class}");
        }
    }

    #[test]
    fn claims_that_the_file_does_not_keep_are_errors() {
        let many = LITTLE.array(1, &[60_000, 60_000], "x", &[]);
        let long = LITTLE.array(7, &[1 << 30, 4], "x", &[LITTLE.element(7, &[0; 8])]);
        let mut deep = LITTLE.array(7, &[1, 1], "", &[LITTLE.element(7, &[0; 4])]);
        for _ in 0..MAX_DEPTH + 1 {
            deep = LITTLE.array(1, &[1, 1], "", &[deep]);
        }
        let mut bomb = LITTLE.words(&[MI_COMPRESSED, 0]);
        let content = packed(&vec![0; ALWAYS_UNPACKED_BYTES as usize + 1]);
        bomb[4..].copy_from_slice(&(content.len() as u32).to_le_bytes());
        bomb.extend(content);
        let cases = [
            (LITTLE.file(&[many]), "`x` is incomplete"),
            (LITTLE.file(&[long]), "not as many as the dimensions of `x`"),
            (LITTLE.file(&[deep]), "more than 32 deep"),
            (LITTLE.file(&[bomb]), "unpacks to more than"),
            (LITTLE.file(&[LITTLE.array(99, &[1, 1], "x", &[])]), "the unknown class 99 of `x`"),
            (LITTLE.file(&[LITTLE.words(&[MI_MATRIX, u32::MAX])]), "a variable is incomplete"),
            (b"MATLAB 5.0".to_vec(), "its header is incomplete"),
            (vec![b' '; 200], "order of bytes"),
        ];
        let wrong: Vec<String> = cases
            .iter()
            .map(|(file, expected)| (error(file), expected))
            .filter(|(error, expected)| !error.contains(*expected))
            .map(|(error, expected)| format!("{error} should say: {expected}"))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

//! The stack machine.

use std::borrow::Cow;
use std::collections::HashMap;

use super::line;
use super::{Global, Id, MAX_VALUES, Object, Pickle, Value};
use crate::formats::ImportError;

type Result<T> = std::result::Result<T, ImportError>;

/// The newest protocol.
const MAX_PROTOCOL: u8 = 5;

pub(super) fn run(bytes: &[u8]) -> Result<Pickle<'_>> {
    let mut machine =
        Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        let start = machine.at;
        let opcode = machine.take(1)?[0];
        if opcode == b'.' {
            break;
        }
        machine.step(opcode, start)?;
        if machine.values.len() > MAX_VALUES {
            return Err(ImportError::TooLarge(format!(
                "the pickle has more than {MAX_VALUES} values, which is not read"
            )));
        }
    }
    let root = machine.pop()?;
    Ok(Pickle { values: machine.values, root, length: machine.at })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// The heights of the stack at its marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl<'a> Machine<'a> {
    fn damaged(&self, what: &str) -> ImportError {
        ImportError::Damaged(format!("its pickle is wrong just before byte {}: {what}", self.at))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length)).ok_or_else(|| {
            ImportError::CutShort(format!(
                "its pickle wants {length} bytes at byte {} and there are {}",
                self.at,
                rest.len()
            ))
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    /// An unsigned little-endian number of that many bytes, at most eight.
    fn number(&mut self, size: u64) -> Result<u64> {
        Ok(self.take(size)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// The bytes after a length of that many bytes.
    fn counted(&mut self, size: u64) -> Result<&'a [u8]> {
        let length = self.number(size)?;
        self.take(length)
    }

    /// Up to the end of the line, which is passed over.
    fn line(&mut self) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == b'\n');
        let end = end.ok_or_else(|| ImportError::CutShort("its pickle ends within a line".into()))?;
        self.at += end + 1;
        Ok(rest.get(..end).unwrap_or_default())
    }

    fn text_line(&mut self) -> Result<&'a str> {
        let line = self.line()?;
        std::str::from_utf8(line).map_err(|_| self.damaged("a line is not UTF-8"))
    }

    fn memo_key(&mut self) -> Result<u64> {
        let line = self.text_line()?;
        line.trim().parse().map_err(|_| self.damaged("a memo key is not a number"))
    }

    /// Stores a value and pushes it.
    fn push(&mut self, value: Value<'a>) -> Result<()> {
        let id = self.store(value)?;
        self.stack.push(id);
        Ok(())
    }

    fn store(&mut self, value: Value<'a>) -> Result<Id> {
        let id = Id::try_from(self.values.len()).map_err(|_| self.damaged("too many values"))?;
        self.values.push(value);
        Ok(id)
    }

    /// The lowest place that may be popped.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id> {
        if self.stack.len() <= self.floor() {
            return Err(self.damaged("the stack is empty"));
        }
        self.stack.pop().ok_or_else(|| self.damaged("the stack is empty"))
    }

    fn top(&self) -> Result<Id> {
        match self.stack.last() {
            Some(&id) if self.stack.len() > self.floor() => Ok(id),
            _ => Err(self.damaged("the stack is empty")),
        }
    }

    /// What lies above the topmost mark, which goes.
    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| self.damaged("there is no mark"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.damaged("a key has no value"));
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    /// One opcode, which began at `start`.
    fn step(&mut self, opcode: u8, start: usize) -> Result<()> {
        match opcode {
            0x80 => {
                let protocol = self.number(1)?;
                if protocol > u64::from(MAX_PROTOCOL) {
                    let reason = format!("its pickle has protocol {protocol}; up to {MAX_PROTOCOL} are read");
                    return Err(ImportError::Unsupported(reason));
                }
            }
            0x95 => {
                let length = self.number(8)?;
                let left = (self.bytes.len() - self.at.min(self.bytes.len())) as u64;
                if length > left {
                    let reason = format!("its pickle announces {length} bytes and there are {left}");
                    return Err(ImportError::CutShort(reason));
                }
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => drop(self.pop_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.memorize(opcode)?,
            b'a' | b'e' | b's' | b'u' | b'b' | 0x90 => self.change(opcode)?,
            b'R' | b'i' | b'o' | 0x81 | 0x92 | b'c' | 0x93 | b'P' | b'Q' => self.refer(opcode)?,
            0x82..=0x84 => {
                return Err(ImportError::Unsupported(
                    "its pickle uses the extension registry of the program that wrote it, which is not read".into(),
                ));
            }
            0x97 | 0x98 => {
                return Err(ImportError::Unsupported(
                    "its pickle keeps data in buffers outside the file, which cannot be read".into(),
                ));
            }
            b')' | b't' | 0x85..=0x87 | b']' | b'l' | b'}' | b'd' | 0x8f | 0x91 => self.collect(opcode)?,
            _ => {
                let value = self.scalar(opcode, start)?;
                self.push(value)?;
            }
        }
        Ok(())
    }

    /// Puts the topmost value into the memo, or pushes one from there.
    fn memorize(&mut self, opcode: u8) -> Result<()> {
        let key = match opcode {
            b'p' | b'g' => self.memo_key()?,
            b'q' | b'h' => self.number(1)?,
            b'r' | b'j' => self.number(4)?,
            _ => self.memo.len() as u64,
        };
        if matches!(opcode, b'g' | b'h' | b'j') {
            let id = self.memo.get(&key).copied();
            self.stack.push(id.ok_or_else(|| self.damaged(&format!("the memo has no {key}")))?);
        } else {
            let top = self.top()?;
            self.memo.insert(key, top);
        }
        Ok(())
    }

    /// Numbers, strings and bytes.
    fn scalar(&mut self, opcode: u8, start: usize) -> Result<Value<'a>> {
        let wrong = |machine: &Self| machine.damaged("a number or a string is not what it should be");
        Ok(match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'I' => line::integer(self.text_line()?).ok_or_else(|| wrong(self))?,
            b'L' => line::long(self.text_line()?).ok_or_else(|| wrong(self))?,
            b'F' => line::float(self.text_line()?).ok_or_else(|| wrong(self))?,
            b'J' => line::integer_from_bytes(self.take(4)?),
            b'K' => Value::Int(i64::try_from(self.number(1)?).map_err(|_| wrong(self))?),
            b'M' => Value::Int(i64::try_from(self.number(2)?).map_err(|_| wrong(self))?),
            0x8a => line::integer_from_bytes(self.counted(1)?),
            0x8b => line::integer_from_bytes(self.counted(4)?),
            b'G' => {
                let bytes = self.take(8)?;
                Value::Float(f64::from_be_bytes(bytes.try_into().map_err(|_| wrong(self))?))
            }
            b'S' => Value::Bytes(line::quoted(self.line()?).ok_or_else(|| wrong(self))?),
            b'U' | b'C' => Value::Bytes(Cow::Borrowed(self.counted(1)?)),
            b'T' | b'B' => Value::Bytes(Cow::Borrowed(self.counted(4)?)),
            0x8e | 0x96 => Value::Bytes(Cow::Borrowed(self.counted(8)?)),
            b'V' => Value::Text(line::raw_unicode(self.line()?).ok_or_else(|| wrong(self))?),
            b'X' => Value::Text(utf8(self.counted(4)?)),
            0x8c => Value::Text(utf8(self.counted(1)?)),
            0x8d => Value::Text(utf8(self.counted(8)?)),
            _ => {
                let reason = format!("its pickle has an unknown opcode, {opcode:#04x}, at byte {start}");
                return Err(ImportError::Damaged(reason));
            }
        })
    }

    /// New tuples, lists, dictionaries and sets.
    fn collect(&mut self, opcode: u8) -> Result<()> {
        let value = match opcode {
            b')' => Value::Tuple(Vec::new()),
            b']' => Value::List(Vec::new()),
            b'}' => Value::Dict(Vec::new()),
            0x8f => Value::Set(Vec::new()),
            b't' => Value::Tuple(self.pop_mark()?),
            b'l' => Value::List(self.pop_mark()?),
            0x91 => Value::Set(self.pop_mark()?),
            b'd' => {
                let items = self.pop_mark()?;
                Value::Dict(self.pairs(&items)?)
            }
            _ => {
                let mut items = Vec::new();
                for _ in 0x85..=opcode {
                    items.push(self.pop()?);
                }
                items.reverse();
                Value::Tuple(items)
            }
        };
        self.push(value)
    }

    /// Names, calls and references.
    fn refer(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            b'c' => {
                let global = self.global_line()?;
                self.push(Value::Global(global))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |machine: &Self, id: Id| match machine.values.get(id as usize) {
                    Some(Value::Text(text)) => Ok(text.clone()),
                    _ => Err(machine.damaged("a name is not a string")),
                };
                let (module, name) = (text(self, module)?, text(self, name)?);
                self.push(Value::Global(Global { module, name }))
            }
            b'P' => {
                let line = self.text_line()?;
                let id = self.store(Value::Text(Cow::Borrowed(line)))?;
                self.push(Value::Persistent(id))
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id))
            }
            b'i' => {
                let global = self.global_line()?;
                let arguments = self.pop_mark()?;
                let callable = self.store(Value::Global(global))?;
                self.call(callable, arguments)
            }
            b'o' => {
                let mut items = self.pop_mark()?;
                if items.is_empty() {
                    return Err(self.damaged("an object has no class"));
                }
                let callable = items.remove(0);
                self.call(callable, items)
            }
            _ => {
                if opcode == 0x92 {
                    self.pop()?; // Keyword arguments, which no class of interest takes.
                }
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.push(object(callable, arguments))
            }
        }
    }

    fn global_line(&mut self) -> Result<Global<'a>> {
        let (module, name) = (self.text_line()?, self.text_line()?);
        Ok(Global { module: Cow::Borrowed(module), name: Cow::Borrowed(name) })
    }

    fn call(&mut self, callable: Id, arguments: Vec<Id>) -> Result<()> {
        let arguments = self.store(Value::Tuple(arguments))?;
        self.push(object(callable, arguments))
    }

    /// What changes a value that is on the stack: items added to it, or its state set.
    fn change(&mut self, opcode: u8) -> Result<()> {
        let added = match opcode {
            b'a' | b'b' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_mark()?,
        };
        let pairs = if matches!(opcode, b's' | b'u') { self.pairs(&added)? } else { Vec::new() };
        let top = self.top()?;
        match (opcode, self.values.get_mut(top as usize)) {
            (b'a' | b'e', Some(Value::List(items))) => items.extend(added),
            (0x90, Some(Value::Set(items))) => items.extend(added),
            (b's' | b'u', Some(Value::Dict(entries))) => entries.extend(pairs),
            (b's' | b'u', Some(Value::Object(object))) => object.entries.extend(pairs),
            (b'a' | b'e' | 0x90, Some(Value::Object(object))) => object.elements.extend(added),
            (b'b', Some(Value::Object(object))) => object.state = added.first().copied(),
            _ => return Err(self.damaged("items or a state are given to a value that takes none")),
        }
        Ok(())
    }
}

fn object<'a>(callable: Id, arguments: Id) -> Value<'a> {
    Value::Object(Box::new(Object { callable, arguments, state: None, entries: Vec::new(), elements: Vec::new() }))
}

/// Python may write halves of surrogate pairs, which are not UTF-8; they become replacement characters.
fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

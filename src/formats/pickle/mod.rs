//! Python pickles, protocols 0 to 5, as trees of values. Nothing is ever run.
//!
//! A pickle is a program for a stack machine that may name any function of any module and have it called. This machine
//! has the stack and the memo, but no functions: a call becomes an [`Object`] with the name and the arguments, for a
//! reader to interpret the few that it knows. Opcodes as in CPython's `pickletools`.
//!
//! Values lie in one vector and refer to each other by number, so that values that share or contain each other take no
//! more memory than the opcodes that made them. Whoever walks them must bound the walk: [`Pickle::walk_limit`].

use std::borrow::Cow;

use super::ImportError;

mod line;
mod machine;
pub mod numpy;

/// Pickles of more values are not read: checkpoints of the largest nets have a hundredth of this.
pub const MAX_VALUES: usize = 1 << 24;

/// The number of a value in its [`Pickle`].
pub type Id = u32;

/// A value as pickled.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer outside the range of `i64`: its two's complement, little-endian.
    BigInt(&'a [u8]),
    Float(f64),
    Text(Cow<'a, str>),
    /// Also the strings of Python 2, whose encoding is not known.
    Bytes(Cow<'a, [u8]>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// In the order of insertion.
    Dict(Vec<(Id, Id)>),
    /// Also a frozen set.
    Set(Vec<Id>),
    /// What the program that wrote the file keeps elsewhere; PyTorch's are tuples that name a storage.
    Persistent(Id),
    /// A class or function by name.
    Global(Global<'a>),
    Object(Box<Object>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global<'a> {
    pub module: Cow<'a, str>,
    pub name: Cow<'a, str>,
}

/// What a call would give, and what would be done to it then.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// What would be called.
    pub callable: Id,
    /// The tuple that it would be called with.
    pub arguments: Id,
    /// What `__setstate__` would be called with.
    pub state: Option<Id>,
    /// What would be assigned to its items, as to a dictionary's.
    pub entries: Vec<(Id, Id)>,
    /// What would be appended to it, as to a list.
    pub elements: Vec<Id>,
}

/// All values of one pickle.
#[derive(Debug)]
pub struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Id,
    length: usize,
}

impl<'a> Pickle<'a> {
    /// Reads one pickle from the start of `bytes`, up to its STOP.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ImportError> {
        machine::run(bytes)
    }

    /// The value that unpickling gives.
    pub fn root(&self) -> Id {
        self.root
    }

    /// How many bytes the pickle takes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// After how many visits a walk over the values must have ended: more means that few values are shared very often.
    pub fn walk_limit(&self) -> usize {
        (1 << 16) + 4 * self.values.len()
    }

    /// All values, in the order in which they were made.
    pub fn ids(&self) -> impl Iterator<Item = Id> {
        (0..).take(self.values.len())
    }

    pub fn get(&self, id: Id) -> &Value<'a> {
        self.values.get(id as usize).unwrap_or(&Value::None)
    }

    /// The module and name of a class or function.
    pub fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self.get(id) {
            Value::Global(Global { module, name }) => Some((module, name)),
            _ => None,
        }
    }

    pub fn integer(&self, id: Id) -> Option<i64> {
        match *self.get(id) {
            Value::Int(value) => Some(value),
            Value::Bool(value) => Some(value.into()),
            _ => None,
        }
    }

    /// A text, or a Python 2 string: as UTF-8 if it is that, else as Latin-1.
    pub fn text(&self, id: Id) -> Option<Cow<'_, str>> {
        match self.get(id) {
            Value::Text(text) => Some(Cow::Borrowed(text)),
            Value::Bytes(bytes) => Some(match std::str::from_utf8(bytes) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
            }),
            _ => None,
        }
    }

    /// Bytes, also where Python 3 wrote them in a protocol that has none, as `_codecs.encode(text, 'latin1')`.
    pub fn bytes(&self, id: Id) -> Option<Cow<'_, [u8]>> {
        match self.get(id) {
            Value::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
            Value::Object(object) => match (self.global(object.callable)?, self.items(object.arguments)?) {
                (("_codecs", "encode"), &[text, ..]) => self.latin1(text),
                (("__builtin__" | "builtins", "bytes" | "bytearray"), []) => Some(Cow::Borrowed(&[])),
                (("__builtin__" | "builtins", "bytearray"), &[text, ..]) => {
                    if let Value::Bytes(bytes) = self.get(text) {
                        Some(Cow::Borrowed(bytes))
                    } else {
                        self.latin1(text)
                    }
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn latin1(&self, id: Id) -> Option<Cow<'_, [u8]>> {
        let Value::Text(text) = self.get(id) else { return None };
        text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>().map(Cow::Owned)
    }

    /// The items of a tuple or a list.
    pub fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) | Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a dictionary, also of an `OrderedDict` and its like.
    pub fn entries(&self, id: Id) -> Option<Cow<'_, [(Id, Id)]>> {
        match self.get(id) {
            Value::Dict(entries) => Some(Cow::Borrowed(entries)),
            Value::Object(object) => match self.global(object.callable)? {
                ("collections", "OrderedDict" | "defaultdict") if !object.entries.is_empty() => {
                    Some(Cow::Borrowed(&object.entries))
                }
                ("collections", "OrderedDict") => self.ordered_pairs(object.arguments).map(Cow::Owned),
                ("collections", "defaultdict") => Some(Cow::Borrowed(&[])),
                _ => None,
            },
            _ => None,
        }
    }

    /// The argument of Python 2's `OrderedDict([[key, value], …])`.
    fn ordered_pairs(&self, arguments: Id) -> Option<Vec<(Id, Id)>> {
        let &[list] = self.items(arguments)? else { return Some(Vec::new()) };
        let pair = |&id: &Id| match *self.items(id)? {
            [key, value] => Some((key, value)),
            _ => None,
        };
        self.items(list)?.iter().map(pair).collect()
    }

    /// The value of a key of a dictionary.
    pub fn entry(&self, id: Id, key: &str) -> Option<Id> {
        let entries = self.entries(id)?;
        entries.iter().find(|&&(name, _)| self.text(name).as_deref() == Some(key)).map(|&(_, value)| value)
    }

    /// What a value is, in words that follow "is".
    pub fn describe(&self, id: Id) -> String {
        let of = |id| match self.global(id) {
            Some((module, name)) => format!("what {}.{} makes", ImportError::brief(module), ImportError::brief(name)),
            None => "what an unknown function makes".to_string(),
        };
        match self.get(id) {
            Value::None => "None".into(),
            Value::Bool(_) | Value::Int(_) | Value::BigInt(_) | Value::Float(_) => "a number".into(),
            Value::Text(_) | Value::Bytes(_) => "a string".into(),
            Value::Tuple(_) => "a tuple".into(),
            Value::List(_) => "a list".into(),
            Value::Dict(_) => "a dictionary".into(),
            Value::Set(_) => "a set".into(),
            Value::Persistent(_) => "a reference out of the pickle".into(),
            Value::Global(Global { module, name }) => {
                format!("the name {}.{}", ImportError::brief(module), ImportError::brief(name))
            }
            Value::Object(object) => of(object.callable),
        }
    }
}

#[cfg(test)]
mod tests;

//! A message of Caffe, whether it was text or binary: named fields in their order.

use std::str::FromStr;

use super::schema::Field;

/// A number, word or string as the text format spells it, a nested message, or the bytes of a binary `BlobProto`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Scalar(String),
    Message(Message<'a>),
    Blob(&'a [u8]),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message<'a> {
    pub fields: Vec<(&'a str, Value<'a>)>,
    /// The first field number of a binary message that has no name here.
    pub unknown: Option<u64>,
}

impl<'a> Message<'a> {
    pub fn push(&mut self, name: &'a str, value: Value<'a>) {
        self.fields.push((name, value));
    }

    pub fn all<'m>(&'m self, name: &str) -> impl Iterator<Item = &'m Value<'a>> {
        self.fields.iter().filter(move |(field, _)| *field == name).map(|(_, value)| value)
    }

    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// The nested message of that name; of several, the last.
    pub fn message(&self, name: &str) -> Option<&Message<'a>> {
        self.messages(name).last()
    }

    pub fn messages<'m>(&'m self, name: &str) -> impl Iterator<Item = &'m Message<'a>> {
        self.all(name).filter_map(|value| match value {
            Value::Message(message) => Some(message),
            _ => None,
        })
    }

    pub fn scalars<'m>(&'m self, name: &str) -> impl Iterator<Item = &'m str> {
        self.all(name).filter_map(|value| match value {
            Value::Scalar(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A string or a word.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.scalars(name).last()
    }

    pub fn word<'m>(&'m self, name: &str, default: &'m str) -> &'m str {
        self.text(name).unwrap_or(default)
    }

    pub fn strings(&self, name: &str) -> Vec<String> {
        self.scalars(name).map(str::to_string).collect()
    }

    pub fn integers<T: TryFrom<i128>>(&self, name: &str) -> Result<Vec<T>, String> {
        self.scalars(name).map(|text| integer(name, text)).collect()
    }

    pub fn integer<T: TryFrom<i128>>(&self, name: &str) -> Result<Option<T>, String> {
        self.text(name).map(|text| integer(name, text)).transpose()
    }

    pub fn floats(&self, name: &str) -> Result<Vec<f32>, String> {
        self.scalars(name).map(|text| float(name, text)).collect()
    }

    pub fn float(&self, name: &str) -> Result<Option<f32>, String> {
        self.text(name).map(|text| float(name, text)).transpose()
    }

    pub fn float_or(&self, name: &str, default: f32) -> Result<f32, String> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    pub fn flag(&self, name: &str, default: bool) -> Result<bool, String> {
        match self.text(name) {
            None => Ok(default),
            Some("true" | "True" | "t" | "1") => Ok(true),
            Some("false" | "False" | "f" | "0") => Ok(false),
            Some(other) => Err(format!("`{name}` is `{}`, neither true nor false", brief(other))),
        }
    }

    /// An error for the first field that the schema does not have: it might change what the layer computes.
    pub fn expect_known(&self, of: &str, schema: &[Field]) -> Result<(), String> {
        if let Some(number) = self.unknown {
            return Err(format!("field number {number} of its {of} is unknown, and might change what it computes"));
        }
        match self.fields.iter().find(|(name, _)| schema.iter().all(|field| field.name != *name)) {
            Some((name, _)) => {
                Err(format!("the field `{}` of its {of} is unknown, and might change what it computes", brief(name)))
            }
            None => Ok(()),
        }
    }
}

fn brief(text: &str) -> String {
    crate::formats::ImportError::brief(text)
}

/// Decimal, hexadecimal (`0x`) or octal (a leading 0), as the text format allows.
fn integer<T: TryFrom<i128>>(name: &str, text: &str) -> Result<T, String> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let number = if let Some(digits) = digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        i128::from_str_radix(digits, 16).ok()
    } else if digits.len() > 1 && digits.starts_with('0') {
        i128::from_str_radix(digits, 8).ok()
    } else {
        i128::from_str(digits).ok()
    };
    let number = number.filter(|_| !digits.starts_with(['-', '+'])).and_then(|number| number.checked_mul(sign));
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("`{name}` is `{}`, not a whole number in the range that it may have", brief(text)))
}

fn float(name: &str, text: &str) -> Result<f32, String> {
    let digits = text.strip_suffix(['f', 'F']).filter(|digits| !digits.ends_with(['n', 'N'])).unwrap_or(text);
    match digits.parse::<f32>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("`{name}` is `{}`, not a finite number", brief(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_text_format_spells_them() {
        let cases = [("5", Some(5)), ("-3", Some(-3)), ("0x1F", Some(31)), ("010", Some(8)), ("0", Some(0))];
        for (text, expected) in cases.into_iter().chain([("--3", None), ("1.5", None), ("", None), ("0xg", None)]) {
            assert_eq!(integer::<i64>("n", text).ok(), expected, "{text}");
        }
        assert!(integer::<usize>("n", "-1").is_err());
        let cases = [("1e-4", Some(1e-4)), ("0.5f", Some(0.5)), (".75", Some(0.75)), ("-2", Some(-2.0))];
        for (text, expected) in cases.into_iter().chain([("nan", None), ("inf", None), ("f", None), ("1e99", None)]) {
            assert_eq!(float("x", text).ok(), expected, "{text}");
        }
    }
}

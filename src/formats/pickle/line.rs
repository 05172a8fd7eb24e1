//! The text arguments of protocol 0: numbers and strings on lines of their own.

use std::borrow::Cow;

use super::Value;

/// A decimal integer as INT has it: also `00` and `01` for the truth values.
pub(super) fn integer(line: &str) -> Option<Value<'static>> {
    match line {
        "00" => Some(Value::Bool(false)),
        "01" => Some(Value::Bool(true)),
        _ => line.trim().parse().ok().map(Value::Int),
    }
}

/// A decimal integer as LONG has it, with an `L` at its end.
pub(super) fn long(line: &str) -> Option<Value<'static>> {
    line.strip_suffix('L').unwrap_or(line).trim().parse().ok().map(Value::Int)
}

/// Python's `repr` of a number: also `inf`, `-inf` and `nan`.
pub(super) fn float(line: &str) -> Option<Value<'static>> {
    line.trim().parse().ok().map(Value::Float)
}

/// A two's complement, little-endian.
pub(super) fn integer_from_bytes(bytes: &[u8]) -> Value<'_> {
    let Some(&last) = bytes.last() else { return Value::Int(0) };
    let filler = if last >= 0x80 { 0xff } else { 0 };
    let mut wide = [filler; 8];
    match wide.get_mut(..bytes.len()) {
        Some(low) => {
            low.copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(wide))
        }
        None => Value::BigInt(bytes),
    }
}

/// A quoted Python 2 string with the escapes of Python's `repr`.
pub(super) fn quoted(line: &[u8]) -> Option<Cow<'_, [u8]>> {
    let line = line.trim_ascii();
    let inner = match line {
        [first @ (b'\'' | b'"'), inner @ .., last] if first == last => inner,
        _ => return None,
    };
    if !inner.contains(&b'\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next()? {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'x' => {
                let digits = [hex(bytes.next()?)?, hex(bytes.next()?)?];
                out.push(digits[0] << 4 | digits[1]);
            }
            escaped @ (b'\\' | b'\'' | b'"') => out.push(escaped),
            // Python's repr writes no others.
            _ => return None,
        }
    }
    Some(Cow::Owned(out))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// `raw-unicode-escape`: Latin-1 in which `\uXXXX` and `\UXXXXXXXX` stand for other characters.
pub(super) fn raw_unicode(line: &[u8]) -> Option<Cow<'_, str>> {
    if !line.contains(&b'\\') && line.is_ascii() {
        return std::str::from_utf8(line).ok().map(Cow::Borrowed);
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let [byte, after @ ..] = rest {
        let digits = match after.first() {
            Some(b'u') if *byte == b'\\' => 4,
            Some(b'U') if *byte == b'\\' => 8,
            _ => 0,
        };
        if digits == 0 {
            out.push(char::from(*byte));
            rest = after;
            continue;
        }
        let code = std::str::from_utf8(after.get(1..=digits)?).ok()?;
        let code = u32::from_str_radix(code, 16).ok()?;
        // Half of a surrogate pair, which Python 2 could write, is no character.
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = after.get(digits + 1..)?;
    }
    Some(Cow::Owned(out))
}

//! The text format of protocol buffers, as `.prototxt` files use it.

use super::message::{Message, Value};
use crate::formats::ImportError;

/// Deeper nesting is refused; Caffe's own messages nest five deep.
const MAX_DEPTH: usize = 32;
/// More fields are refused; a net of a thousand layers has twenty thousand.
const MAX_FIELDS: usize = 1 << 20;

/// Reads a whole message.
pub fn parse(text: &str) -> Result<Message<'_>, ImportError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser { rest: text, line: 1, fields: 0 };
    parser.message(None, 0)
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    fields: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, reason: impl std::fmt::Display) -> ImportError {
        ImportError::Damaged(format!("line {} of the prototxt: {reason}", self.line))
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        self.line += taken.bytes().filter(|&byte| byte == b'\n').count();
        self.rest = rest;
        taken
    }

    fn skip_blanks(&mut self) {
        loop {
            let blanks = self.rest.len() - self.rest.trim_start().len();
            self.take(blanks);
            if !self.rest.starts_with('#') {
                return;
            }
            self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
    }

    /// The next character that is neither blank nor part of a comment.
    fn peek(&mut self) -> Option<char> {
        self.skip_blanks();
        self.rest.chars().next()
    }

    /// Takes one of these characters if it comes next.
    fn accept(&mut self, expected: &[char]) -> Option<char> {
        let next = self.peek().filter(|next| expected.contains(next))?;
        self.take(next.len_utf8());
        Some(next)
    }

    /// Fields up to `end`, which is taken too, or to the end of the text.
    fn message(&mut self, end: Option<char>, depth: usize) -> Result<Message<'a>, ImportError> {
        if depth > MAX_DEPTH {
            return Err(self.error(format_args!("messages are nested more than {MAX_DEPTH} deep")));
        }
        let mut message = Message::default();
        loop {
            match (self.peek(), end) {
                (None, None) => return Ok(message),
                (None, Some(end)) => {
                    return Err(ImportError::CutShort(format!("the prototxt ends where a `{end}` is missing")));
                }
                (Some(next), Some(end)) if next == end => {
                    self.take(next.len_utf8());
                    return Ok(message);
                }
                _ => self.field(&mut message, depth)?,
            }
        }
    }

    fn field(&mut self, message: &mut Message<'a>, depth: usize) -> Result<(), ImportError> {
        let name = self.name()?;
        let colon = self.accept(&[':']).is_some();
        if colon && self.accept(&['[']).is_some() {
            if self.accept(&[']']).is_none() {
                loop {
                    self.value(name, message, true, depth)?;
                    match self.accept(&[',', ']']) {
                        Some(',') => {}
                        Some(_) => break,
                        None => return Err(self.error("a list needs a `,` or a `]` after each value")),
                    }
                }
            }
        } else {
            self.value(name, message, colon, depth)?;
        }
        self.accept(&[',', ';']);
        Ok(())
    }

    fn name(&mut self) -> Result<&'a str, ImportError> {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = self.word(is_of_name);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            let found = self.rest.chars().next().unwrap_or(' ');
            let found = ImportError::brief(&found.to_string());
            return Err(self.error(format_args!("the name of a field should stand where there is `{name}{found}`")));
        }
        Ok(name)
    }

    fn word(&mut self, is_of_word: impl Fn(char) -> bool) -> &'a str {
        self.skip_blanks();
        let len = self.rest.find(|c| !is_of_word(c)).unwrap_or(self.rest.len());
        self.take(len)
    }

    fn value(
        &mut self,
        name: &'a str,
        message: &mut Message<'a>,
        after_colon: bool,
        depth: usize,
    ) -> Result<(), ImportError> {
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(ImportError::TooLarge(format!("the prototxt has more than {MAX_FIELDS} fields")));
        }
        let value = match self.accept(&['{', '<']) {
            Some(open) => Value::Message(self.message(Some(if open == '{' { '}' } else { '>' }), depth + 1)?),
            None if after_colon => Value::Scalar(self.scalar(name)?),
            None => return Err(self.error(format_args!("`{}` needs a `:` or a `{{`", ImportError::brief(name)))),
        };
        message.push(name, value);
        Ok(())
    }

    fn scalar(&mut self, name: &str) -> Result<String, ImportError> {
        if !matches!(self.peek(), Some('"' | '\'')) {
            let minus = if self.accept(&['-']).is_some() { "-" } else { "" };
            let word = self.word(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c));
            if word.is_empty() {
                return Err(self.error(format_args!("`{}` has no value", ImportError::brief(name))));
            }
            return Ok(format!("{minus}{word}"));
        }
        // Strings that follow each other are one string.
        let mut bytes = Vec::new();
        while let Some(quote) = self.accept(&['"', '\'']) {
            self.string(quote, &mut bytes)?;
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn string(&mut self, quote: char, bytes: &mut Vec<u8>) -> Result<(), ImportError> {
        loop {
            let plain = self.rest.find([quote, '\\', '\n']);
            let Some(stop) = plain.filter(|&stop| !self.rest[stop..].starts_with('\n')) else {
                return Err(self.error("a string is not closed"));
            };
            bytes.extend(self.take(stop).bytes());
            if self.take(1) != "\\" {
                return Ok(());
            }
            self.escape(bytes)?;
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), ImportError> {
        let Some(kind) = self.rest.chars().next() else { return Err(self.error("a string is not closed")) };
        if kind.is_digit(8) {
            return self.numeric(8, 3, bytes);
        }
        self.take(kind.len_utf8());
        let byte = match kind {
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'v' => 11,
            '\\' | '\'' | '"' | '?' => kind as u8,
            'x' | 'X' => return self.numeric(16, 2, bytes),
            _ => {
                let kind = ImportError::brief(&kind.to_string());
                return Err(self.error(format_args!("`\\{kind}` is not an escape")));
            }
        };
        bytes.push(byte);
        Ok(())
    }

    fn numeric(&mut self, radix: u32, most: usize, bytes: &mut Vec<u8>) -> Result<(), ImportError> {
        let digits = self.rest.chars().take(most).take_while(|c| c.is_digit(radix)).count();
        let number = u32::from_str_radix(self.take(digits), radix).ok().and_then(|number| u8::try_from(number).ok());
        bytes.push(number.ok_or_else(|| self.error("an escape is not the number of a byte"))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_format_is_read() {
        let text = r#"
            # a comment
            name: 'it''s' "\x41\101\n\"" , layer { type: "ReLU" bottom : "a" }
            layer: < pad: 0x1F pad: -3; k: 1e-4 >
            input_dim: [ 1, 3,
              227 ] empty: [] pool: MAX rate:.5 # the end"#;
        let message = parse(text).unwrap();
        assert_eq!(message.text("name"), Some("itsAA\n\""));
        let layers: Vec<_> = message.messages("layer").collect();
        assert_eq!((layers[0].text("type"), layers[0].text("bottom")), (Some("ReLU"), Some("a")));
        assert_eq!(layers[1].integers::<i64>("pad"), Ok(vec![31, -3]));
        assert_eq!(layers[1].float("k"), Ok(Some(1e-4)));
        assert_eq!(message.integers::<usize>("input_dim"), Ok(vec![1, 3, 227]));
        assert_eq!((message.text("pool"), message.float("rate")), (Some("MAX"), Ok(Some(0.5))));
        assert!(!message.has("empty"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let cases = [
            ("a: 1\nb", "`b` needs a `:`"),
            ("a:\n\n}", "line 3 of the prototxt: `a` has no value"),
            ("a { b: 1", "a `}` is missing"),
            ("a: \"b\nc\"", "line 1 of the prototxt: a string is not closed"),
            ("a: \"b", "a string is not closed"),
            ("a: \"b\\", "a string is not closed"),
            ("a: \"\\777\"", "not the number of a byte"),
            ("a: \"\\q\"", "`\\q` is not an escape"),
            ("a: [1 2]", "a list needs"),
            ("1a: 2", "the name of a field"),
            ("\u{e9}: 2", "the name of a field"),
            ("a { b: 1 >", "the name of a field"),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        let deep = "a{".repeat(100_000);
        assert!(parse(&deep).unwrap_err().to_string().contains("more than 32 deep"));
    }
}

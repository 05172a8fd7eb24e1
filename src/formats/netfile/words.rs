//! The words after a layer's op: what it takes first, options with a value, and flags.

use super::parse::{Statement, wrong};
use crate::formats::ImportError;
use crate::nn::ops::window::Padding;

/// What an op takes.
pub(super) struct Syntax {
    pub op: &'static str,
    /// The most words that come without an option's name.
    pub most_plain: usize,
    /// Options, each followed by its value.
    pub options: &'static [&'static str],
    pub flags: &'static [&'static str],
}

/// The words of one statement.
pub(super) struct Words<'s> {
    statement: &'s Statement,
    plain: Vec<&'s str>,
    options: Vec<(&'s str, &'s str)>,
    flags: Vec<&'s str>,
}

/// The largest number of channels, pixels, … that a file may state.
const MOST: usize = 1 << 20;

impl<'s> Words<'s> {
    pub fn new(statement: &'s Statement, syntax: &Syntax) -> Result<Self, ImportError> {
        let mut sorted = Self { statement, plain: Vec::new(), options: Vec::new(), flags: Vec::new() };
        let mut words = statement.words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            if syntax.flags.contains(&word) {
                sorted.flags.push(word);
            } else if syntax.options.contains(&word) {
                if sorted.options.iter().any(|(option, _)| *option == word) {
                    return Err(sorted.wrong(format!("`{word}` is stated twice")));
                }
                let value = words.next().ok_or_else(|| sorted.wrong(format!("`{word}` is followed by no value")))?;
                sorted.options.push((word, value));
            } else if sorted.plain.len() < syntax.most_plain {
                sorted.plain.push(word);
            } else {
                let known: Vec<&str> = syntax.options.iter().chain(syntax.flags).copied().collect();
                let known = if known.is_empty() {
                    "it takes no options".into()
                } else {
                    format!("its options are {}", known.join(", "))
                };
                return Err(sorted.wrong(format!(
                    "`{}` means nothing to `{}`; {known}",
                    ImportError::brief(word),
                    syntax.op
                )));
            }
        }
        Ok(sorted)
    }

    pub fn wrong(&self, reason: impl std::fmt::Display) -> ImportError {
        wrong(self.statement.line, reason)
    }

    pub fn plain(&self) -> &[&'s str] {
        &self.plain
    }

    pub fn flag(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    pub fn option(&self, name: &str) -> Option<&'s str> {
        self.options.iter().find(|(option, _)| *option == name).map(|&(_, value)| value)
    }

    fn count(&self, what: &str, word: &str) -> Result<usize, ImportError> {
        match word.parse::<usize>() {
            Ok(count) if (1..=MOST).contains(&count) => Ok(count),
            _ => {
                Err(self
                    .wrong(format!("{what} is a whole number from 1 to {MOST}, not `{}`", ImportError::brief(word))))
            }
        }
    }

    /// The word at a place, a whole number above nought.
    pub fn count_at(&self, place: usize, what: &str) -> Result<usize, ImportError> {
        let word = self.plain.get(place).ok_or_else(|| self.wrong(format!("{what} is missing")))?;
        self.count(what, word)
    }

    pub fn count_option(&self, name: &str, default: usize) -> Result<usize, ImportError> {
        self.option(name).map_or(Ok(default), |word| self.count(&format!("`{name}`"), word))
    }

    /// `3x5`, height first, or `3` for both.
    fn size(&self, what: &str, word: &str) -> Result<[usize; 2], ImportError> {
        match word.split_once(['x', '×']) {
            None => Ok([self.count(what, word)?; 2]),
            Some((height, width)) => Ok([self.count(what, height)?, self.count(what, width)?]),
        }
    }

    pub fn size_at(&self, place: usize, what: &str) -> Result<[usize; 2], ImportError> {
        let word = self.plain.get(place).ok_or_else(|| self.wrong(format!("{what} is missing")))?;
        self.size(what, word)
    }

    pub fn size_option(&self, name: &str, default: [usize; 2]) -> Result<[usize; 2], ImportError> {
        self.option(name).map_or(Ok(default), |word| self.size(&format!("`{name}`"), word))
    }

    /// `pad 1`, `pad 1x2` (above and below, left and right) or `pad same`.
    pub fn padding(&self) -> Result<Padding, ImportError> {
        let Some(word) = self.option("pad") else { return Ok(Padding::NONE) };
        let (vertical, horizontal) = match word.split_once(['x', '×']) {
            _ if word == "same" => return Ok(Padding::SameUpper),
            None => (word, word),
            Some(pair) => pair,
        };
        let pixels = |word: &str| match word.parse::<usize>() {
            Ok(pixels) if pixels <= MOST => Ok(pixels),
            _ => Err(self.wrong(format!("`pad` is a number of pixels or `same`, not `{}`", ImportError::brief(word)))),
        };
        let ([top, bottom], [left, right]) = ([pixels(vertical)?; 2], [pixels(horizontal)?; 2]);
        Ok(Padding::Explicit { top, left, bottom, right })
    }

    /// A number such as `0.5`, `-1e-3` or `1/256`.
    pub fn number(&self, what: &str, word: &str) -> Result<f32, ImportError> {
        let value = match word.split_once('/') {
            None => word.parse::<f64>().ok(),
            Some((above, below)) => {
                above.parse::<f64>().ok().zip(below.parse::<f64>().ok()).map(|(above, below)| above / below)
            }
        };
        match value.map(|value| value as f32) {
            Some(value) if value.is_finite() => Ok(value),
            _ => {
                Err(self.wrong(format!("{what} is a number such as 0.5 or 1/256, not `{}`", ImportError::brief(word))))
            }
        }
    }

    pub fn number_at(&self, place: usize, what: &str, default: f32) -> Result<f32, ImportError> {
        self.plain.get(place).map_or(Ok(default), |word| self.number(what, word))
    }

    pub fn number_option(&self, name: &str, default: f32) -> Result<f32, ImportError> {
        self.option(name).map_or(Ok(default), |word| self.number(&format!("`{name}`"), word))
    }
}

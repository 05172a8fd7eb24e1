//! The text of a net file as a list of statements, with its repetitions written out.

use crate::formats::ImportError;

/// What stands between two separators, without its name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub line: usize,
    /// The place in the file, which repetitions share.
    pub place: usize,
    /// How often this statement has come before, by repetition.
    pub repetition: usize,
    pub name: Option<String>,
    pub op: String,
    pub words: Vec<String>,
}

/// More than any net has.
const MOST_STATEMENTS: usize = 10_000;
const MOST_WORDS: usize = 1_000_000;
const MAX_DEPTH: usize = 8;
const MOST_NAME_BYTES: usize = 200;

pub(super) fn wrong(line: usize, reason: impl std::fmt::Display) -> ImportError {
    ImportError::Unsupported(format!("line {line}: {reason}"))
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Open,
    Close,
    /// The end of a line, or a slash between blanks.
    Separator,
}

/// Words between blanks; quotation marks hold blanks together; `#` starts a comment.
fn tokens_of(line: &str, number: usize) -> Result<Vec<Token>, ImportError> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '#' {
            break;
        }
        if let Some(quoted) = rest.strip_prefix('"') {
            let Some((word, after)) = quoted.split_once('"') else {
                return Err(wrong(number, "a quotation mark is not closed"));
            };
            tokens.push(Token::Word(word.into()));
            rest = after.trim_start();
            continue;
        }
        let end = rest.find(|c: char| c.is_whitespace() || c == '#').unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        tokens.push(match word {
            "{" => Token::Open,
            "}" => Token::Close,
            "/" => Token::Separator,
            _ => Token::Word(word.into()),
        });
        rest = after.trim_start();
    }
    tokens.push(Token::Separator);
    Ok(tokens)
}

enum Item {
    Statement(Statement),
    Repeat { line: usize, times: usize, items: Vec<Item> },
}

struct Parser {
    /// With the numbers of their lines.
    tokens: std::iter::Peekable<std::vec::IntoIter<(usize, Token)>>,
    places: usize,
}

impl Parser {
    /// Up to the brace that closes the block opened in line `opened`, or to the end of the file.
    fn items(&mut self, opened: Option<usize>, depth: usize) -> Result<Vec<Item>, ImportError> {
        let mut items = Vec::new();
        loop {
            let Some((line, token)) = self.tokens.next() else {
                return match opened {
                    Some(line) => Err(wrong(line, "the block that starts here is not closed by }")),
                    None => Ok(items),
                };
            };
            match token {
                Token::Separator => {}
                Token::Close if opened.is_some() => return Ok(items),
                Token::Close => return Err(wrong(line, "there is no { for this }")),
                Token::Open => return Err(wrong(line, "only `repeat` is followed by {")),
                Token::Word(word) => {
                    let mut words = vec![word];
                    while let Some((_, Token::Word(word))) =
                        self.tokens.next_if(|(_, token)| matches!(token, Token::Word(_)))
                    {
                        words.push(word);
                    }
                    items.push(self.item(line, words, depth)?);
                }
            }
        }
    }

    fn item(&mut self, line: usize, words: Vec<String>, depth: usize) -> Result<Item, ImportError> {
        let mut words = words.into_iter();
        let first = words.next().unwrap_or_default();
        if first == "repeat" {
            let times =
                words.next().and_then(|word| word.parse::<usize>().ok()).filter(|&times| times <= MOST_STATEMENTS);
            let (Some(times), None) = (times, words.next()) else {
                return Err(wrong(line, "`repeat` takes a number and a block: repeat 3 { conv 64 3x3 pad 1 / relu }"));
            };
            if self.tokens.next_if(|(_, token)| *token == Token::Open).is_none() {
                return Err(wrong(line, "`repeat` and its number are followed by { in the same line"));
            }
            let Some(depth) = depth.checked_sub(1) else {
                return Err(wrong(line, format!("repetitions lie within each other more than {MAX_DEPTH} deep")));
            };
            return Ok(Item::Repeat { line, times, items: self.items(Some(line), depth)? });
        }
        self.places = self.places.saturating_add(1);
        let (name, op) = match first.strip_suffix(':') {
            None => (None, first),
            Some(name) => (Some(checked_name(line, name)?), words.next().unwrap_or_default()),
        };
        if op.is_empty() {
            return Err(wrong(line, "a name is followed by no layer"));
        }
        Ok(Item::Statement(Statement { line, place: self.places, repetition: 0, name, op, words: words.collect() }))
    }
}

fn checked_name(line: usize, name: &str) -> Result<String, ImportError> {
    if name.is_empty() || name.len() > MOST_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(wrong(line, format!("a name has 1 to {MOST_NAME_BYTES} bytes that can be shown")));
    }
    Ok(name.into())
}

/// All statements in their order.
pub(super) fn statements(text: &str) -> Result<Vec<Statement>, ImportError> {
    let mut tokens = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        tokens.extend(tokens_of(line, number)?.into_iter().map(|token| (number, token)));
    }
    let mut parser = Parser { tokens: tokens.into_iter().peekable(), places: 0 };
    let items = parser.items(None, MAX_DEPTH)?;
    let mut counts = vec![0; parser.places.saturating_add(1)];
    let mut whole = Whole { statements: Vec::new(), words_left: MOST_WORDS };
    write_out(&items, &mut counts, &mut whole)?;
    Ok(whole.statements)
}

struct Whole {
    statements: Vec<Statement>,
    words_left: usize,
}

fn write_out(items: &[Item], counts: &mut [usize], whole: &mut Whole) -> Result<(), ImportError> {
    for item in items {
        match item {
            Item::Statement(statement) => {
                let words_left = whole.words_left.checked_sub(statement.words.len());
                whole.words_left = words_left.ok_or_else(|| wrong(statement.line, "the net is too long"))?;
                if whole.statements.len() >= MOST_STATEMENTS {
                    return Err(wrong(statement.line, format!("the net has more than {MOST_STATEMENTS} layers")));
                }
                let mut statement = statement.clone();
                if let Some(count) = counts.get_mut(statement.place) {
                    statement.repetition = *count;
                    *count = count.saturating_add(1);
                }
                whole.statements.push(statement);
            }
            // Nothing repeated many times would take as long as something.
            Item::Repeat { line, items, .. } if items.is_empty() => {
                return Err(wrong(*line, "there is nothing to repeat"));
            }
            Item::Repeat { line, times, items } => {
                for _ in 0..*times {
                    let before = whole.statements.len();
                    write_out(items, counts, whole)?;
                    if whole.statements.len() == before {
                        return Err(wrong(*line, "there is nothing to repeat"));
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(text: &str) -> Result<Vec<String>, String> {
        let shown = |statement: Statement| {
            let name = statement.name.map_or_else(String::new, |name| format!("{name}="));
            format!("{}:{name}{} {}", statement.line, statement.op, statement.words.join(","))
        };
        Ok(statements(text).map_err(|error| error.to_string())?.into_iter().map(shown).collect())
    }

    #[test]
    fn statements_are_cut_and_repetitions_written_out() {
        let text = "a: conv 3 # comment\n\nrepeat 2 { relu / repeat 2 {\n pool \"x y\"\n} }\nscale 1/256";
        let expected = [
            "1:a=conv 3",
            "3:relu ",
            "4:pool x y",
            "4:pool x y",
            "3:relu ",
            "4:pool x y",
            "4:pool x y",
            "6:scale 1/256",
        ];
        assert_eq!(ops(text).unwrap(), expected);
        let repetitions: Vec<usize> = statements(text).unwrap().iter().map(|statement| statement.repetition).collect();
        assert_eq!(repetitions, [0, 0, 0, 1, 1, 2, 3, 0]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let deep = "repeat 2 { ".repeat(9);
        let cases = [
            ("relu\n}", "line 2: there is no {"),
            ("relu\nrepeat 2 {\nrelu", "line 2: the block that starts here is not closed"),
            ("repeat {", "line 1: `repeat` takes a number"),
            ("repeat 2\n{", "line 1: `repeat` and its number are followed by {"),
            ("conv {", "line 1: only `repeat`"),
            ("a:", "line 1: a name is followed by no layer"),
            ("relu\nlabels \"a b", "line 2: a quotation mark"),
            ("repeat 3 { }", "line 1: there is nothing to repeat"),
            ("repeat 9999 { repeat 0 { relu } }", "line 1: there is nothing to repeat"),
            ("repeat 10000 { relu / relu }", "line 1: the net has more than 10000 layers"),
            (&deep, "line 1: repetitions lie within each other more than 8 deep"),
        ];
        for (text, expected) in cases {
            let error = ops(text).unwrap_err();
            assert!(error.starts_with(expected), "{error} should say: {expected}");
        }
    }
}

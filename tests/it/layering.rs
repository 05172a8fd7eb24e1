//! The house plan, enforced: which module may name which, where foreign faces are allowed, and how long a file may grow.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Top-level modules by layer. A module may name itself and any module of a lower layer.
const LAYERS: &[(u32, &[&str])] = &[
    (0, &["base"]),
    (1, &["nn"]),
    (2, &["formats", "imageio", "job"]),
    (3, &["optvis", "evolve", "train"]),
    (4, &["tasks"]),
    (5, &["cli", "gui"]),
];

/// Foreign crates, with the only module that may name them.
const CONFINED_CRATES: &[(&str, &str)] = &[
    ("clap", "cli"),
    ("indicatif", "cli"),
    ("anyhow", "cli"),
    ("ctrlc", "cli"),
    ("egui", "gui"),
    ("eframe", "gui"),
    ("egui_extras", "gui"),
    ("rfd", "gui"),
    ("pollster", "gui"),
    ("directories", "tasks"),
    ("ureq", "tasks"),
    ("rustix", "base"),
    ("blas_src", "base"),
    ("openblas_src", "base"),
];

const MAX_LINES_BEFORE_TESTS: usize = 700;

fn layer_of(module: &str) -> Option<u32> {
    LAYERS.iter().find(|(_, modules)| modules.contains(&module)).map(|&(layer, _)| layer)
}

/// A breach of the plan at one line of one file.
#[derive(Debug, PartialEq)]
struct Breach {
    file: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// A word or a sign of Rust source outside comments and literals.
#[derive(Clone, Debug, PartialEq)]
struct Token {
    text: String,
    line: usize,
}

/// Splits source into identifiers, `::` and single signs; comments, strings and characters are left out.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let (mut i, mut line) = (0, 1);
    while i < chars.len() {
        let start = i;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => i = end_of_block_comment(&chars, i),
            '"' => i = end_of_string(&chars, i),
            'r' | 'b' | 'c' if literal_prefix(&chars, i).is_some() => {
                i = literal_prefix(&chars, i).expect("just matched");
            }
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            c if is_word(c) => {
                while is_word(at(i)) {
                    i += 1;
                }
                found.push(Token { text: chars[start..i].iter().collect(), line });
            }
            ':' if at(i + 1) == ':' => {
                i += 2;
                found.push(Token { text: "::".into(), line });
            }
            c => {
                i += 1;
                if !c.is_whitespace() {
                    found.push(Token { text: c.into(), line });
                }
            }
        }
        line += chars[start..i.min(chars.len())].iter().filter(|&&c| c == '\n').count();
    }
    found
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let (mut i, mut depth) = (start + 2, 1);
    while i < chars.len() && depth > 0 {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (i, depth) = (i + 2, depth + 1),
            ('*', Some('/')) => (i, depth) = (i + 2, depth - 1),
            _ => i += 1,
        }
    }
    i
}

fn end_of_string(chars: &[char], quote: usize) -> usize {
    let mut i = quote + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// The end of a literal such as `r#"…"#`, `b"…"` or `br"…"` that starts at `start`, if one does.
fn literal_prefix(chars: &[char], start: usize) -> Option<usize> {
    let mut i = start;
    while i < start + 2 && matches!(chars.get(i), Some('r' | 'b' | 'c')) {
        i += 1;
    }
    let raw = chars[start..i].contains(&'r');
    let hashes = chars[i..].iter().take_while(|&&c| c == '#').count();
    if chars.get(i + hashes) != Some(&'"') || (hashes > 0 && !raw) {
        return None;
    }
    if !raw {
        return Some(end_of_string(chars, i));
    }
    let body = i + hashes + 1;
    let closes =
        |at: usize| chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
    (body..chars.len()).find(|&at| closes(at)).map(|at| at + 1 + hashes)
}

/// The module path of a source file relative to `src`: `cli/args.rs` is `[cli, args]`, `cli/mod.rs` is `[cli]`.
fn module_path(relative: &Path) -> Vec<String> {
    let mut path: Vec<String> =
        relative.with_extension("").components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if matches!(path.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        path.pop();
    }
    path
}

/// Every top-level name that a path in the source reaches through `crate::`, `oneiric::` or a chain of `super::`, and
/// every foreign crate that starts a path or an attribute's path.
struct Reach {
    line: usize,
    name: String,
    within_crate: bool,
}

fn reaches(module: &[String], tokens: &[Token]) -> Vec<Reach> {
    let text = |i: usize| tokens.get(i).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    let mut inline: Vec<Option<String>> = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        match text(i) {
            "{" => {
                let named = i >= 2 && text(i - 2) == "mod";
                inline.push(named.then(|| text(i - 1).to_string()));
            }
            "}" => {
                inline.pop();
            }
            start @ ("crate" | "oneiric" | "super" | "self") if text(i + 1) == "::" && !follows_path(tokens, i) => {
                let mut at: Vec<&str> = module.iter().map(String::as_str).collect();
                at.extend(inline.iter().flatten().map(String::as_str));
                if matches!(start, "crate" | "oneiric") {
                    at.clear();
                } else if start == "super" {
                    at.pop();
                }
                i += 2;
                while matches!(text(i), "super" | "self") && text(i + 1) == "::" {
                    if text(i) == "super" {
                        at.pop();
                    }
                    i += 2;
                }
                if at.is_empty() {
                    found.extend(heads(tokens, i).map(|(line, name)| Reach { line, name, within_crate: true }));
                }
                continue;
            }
            name if text(i + 1) == "::" && !follows_path(tokens, i) || follows_use(tokens, i) => {
                found.push(Reach { line: tokens[i].line, name: name.to_string(), within_crate: false });
            }
            _ => {}
        }
        i += 1;
    }
    found
}

fn is_name(token: &Token) -> bool {
    token.text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn follows_path(tokens: &[Token], i: usize) -> bool {
    i >= 2 && tokens[i - 1].text == "::" && is_name(&tokens[i - 2])
}

/// Whether the name stands right behind `use` or `extern crate`.
fn follows_use(tokens: &[Token], i: usize) -> bool {
    let before = |back: usize| i.checked_sub(back).map_or("", |at| tokens[at].text.as_str());
    before(1) == "use" || (before(1) == "crate" && before(2) == "extern")
}

/// The first names of a path's rest: one name, or one each of `{a::b, c}`.
fn heads(tokens: &[Token], start: usize) -> impl Iterator<Item = (usize, String)> {
    let mut names = Vec::new();
    if tokens.get(start).is_some_and(|token| token.text == "{") {
        let mut depth = 0;
        let mut at_head = false;
        for token in &tokens[start..] {
            match token.text.as_str() {
                "{" => {
                    depth += 1;
                    at_head = depth == 1;
                    continue;
                }
                "}" => depth -= 1,
                "," if depth == 1 => {
                    at_head = true;
                    continue;
                }
                _ if at_head && is_name(token) => names.push((token.line, token.text.clone())),
                _ => {}
            }
            at_head = false;
            if depth == 0 {
                break;
            }
        }
    } else if let Some(token) = tokens.get(start).filter(|token| is_name(token)) {
        names.push((token.line, token.text.clone()));
    }
    names.into_iter()
}

/// All breaches of the plan in one file. `relative` is its path below `src`.
fn breaches(relative: &Path, source: &str) -> Vec<Breach> {
    let breach = |line, what| Breach { file: relative.to_path_buf(), line, what };
    let mut found = Vec::new();
    let lines_before_tests = lines_before_tests(source);
    if lines_before_tests > MAX_LINES_BEFORE_TESTS {
        let what = format!("{lines_before_tests} lines before the tests; split it ({MAX_LINES_BEFORE_TESTS} at most)");
        found.push(breach(lines_before_tests, what));
    }
    let module = module_path(relative);
    let Some(own) = module.first().cloned() else {
        return found; // lib.rs and main.rs put the modules together.
    };
    let Some(own_layer) = layer_of(&own) else {
        found.push(breach(1, format!("`{own}` is not in the table of layers: say where it belongs")));
        return found;
    };
    for Reach { line, name, within_crate } in reaches(&module, &tokens(source)) {
        if within_crate {
            let allowed = name == own || layer_of(&name).is_none_or(|layer| layer < own_layer);
            if !allowed {
                found.push(breach(line, format!("`{own}` (layer {own_layer}) names `{name}`, which is not below it")));
            }
        } else if let Some((_, only)) =
            CONFINED_CRATES.iter().find(|(confined, only)| *confined == name && *only != own)
        {
            found.push(breach(line, format!("`{own}` names the crate `{name}`, which only `{only}` may")));
        }
    }
    found
}

fn lines_before_tests(source: &str) -> usize {
    let lines: Vec<&str> = source.lines().collect();
    let starts_tests =
        |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
    lines.windows(2).position(starts_tests).unwrap_or(lines.len())
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).expect("src can be read").map(|entry| entry.expect("src can be listed").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn every_module_keeps_to_its_layer() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 20, "only {} files found below {}", files.len(), src.display());
    let mut found = Vec::new();
    for file in &files {
        let source = fs::read_to_string(file).expect("source is UTF-8");
        let relative = file.strip_prefix(&src).expect("the file lies below src");
        found.extend(breaches(relative, &source).iter().map(|breach| format!("src/{breach}")));
    }
    assert!(found.is_empty(), "{} breaches of the plan:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_planted_breach_is_caught() {
    let planted: &[(&str, &str, usize)] = &[
        ("nn/graph.rs", "use crate::tasks::dream::DreamSpec;", 1),
        ("nn/graph.rs", "\nfn f() {\n    crate::cli::main();\n}", 3),
        ("nn/graph.rs", "use super::super::optvis;", 1),
        ("nn/mod.rs", "use super::formats;", 1),
        ("base/mod.rs", "use crate::{\n    base::rng,\n    nn::{graph, ops},\n};", 3),
        ("formats/native.rs", "mod inner {\n    use super::super::super::imageio::load;\n}", 2),
        ("optvis/ascent.rs", "use crate::train::trainer;", 1),
        ("gui/host.rs", "use crate::cli::args;", 1),
        ("cli/args.rs", "use crate::gui::host;", 1),
        ("tasks/dream/mod.rs", "#[derive(clap::Parser)]\nstruct Args;", 1),
        ("nn/graph.rs", "use anyhow::Context as _;", 1),
        ("cli/args.rs", "let ui: &mut egui::Ui;", 1),
        ("nn/exec/frozen.rs", "extern crate blas_src;", 1),
        ("shiny/mod.rs", "", 1),
    ];
    for &(file, source, line) in planted {
        let found = breaches(Path::new(file), source);
        assert_eq!(found.iter().map(|breach| breach.line).collect::<Vec<_>>(), [line], "{file}: {source}\n{found:?}");
    }
    let long = "// line\n".repeat(MAX_LINES_BEFORE_TESTS + 1);
    assert_eq!(breaches(Path::new("nn/long.rs"), &long).len(), 1);
}

#[test]
fn what_the_plan_allows_is_not_called_a_breach() {
    let allowed: &[(&str, &str)] = &[
        ("nn/graph.rs", "use crate::base::tensor::Shape;\nuse super::ops::{Input, Op};"),
        ("nn/ops/pool.rs", "mod tests {\n    use super::super::super::graph;\n    use super::*;\n}"),
        ("nn/graph.rs", "// crate::cli is above\n/* crate::tasks::x */ const S: &str = \"crate::cli::x\";"),
        ("nn/graph.rs", "const S: &str = r#\"a \" crate::cli::x\"#; const C: char = '\"'; fn f<'a>() {}"),
        ("tasks/dream/mod.rs", "use crate::optvis::ascent;\nuse crate::{imageio, job::Job};"),
        ("cli/args.rs", "use clap::Parser;\nuse crate::tasks::dream;"),
        ("nn/graph.rs", "macro_rules! m { () => { $crate::base::rng::rng() } }"),
        ("main.rs", "fn main() { oneiric::cli::main() }"),
    ];
    for &(file, source) in allowed {
        let found = breaches(Path::new(file), source);
        assert!(found.is_empty(), "{file}: {source}\n{found:?}");
    }
    let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "// line\n".repeat(500), "// line\n".repeat(500));
    assert!(breaches(Path::new("nn/tested.rs"), &tested).is_empty());
}

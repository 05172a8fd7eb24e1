//! Names of classes: files of labels, and the lists of the sets that most nets are trained on.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{FormatError, ImportError};

/// Longer files of labels are not read.
const MAX_LABEL_FILE_BYTES: u64 = 16 << 20;

const IMAGENET: &str = include_str!("../../assets/labels/imagenet.txt");
const CIFAR10: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The 1000 classes of the ImageNet challenge in the order of their WordNet identifiers, as all frameworks have them.
pub(super) fn imagenet() -> Vec<String> {
    IMAGENET.lines().map(str::to_string).collect()
}

/// As [`imagenet`], after the class of background that TensorFlow's nets put first.
pub(super) fn imagenet_with_background() -> Vec<String> {
    std::iter::once("background".to_string()).chain(imagenet()).collect()
}

pub(super) fn cifar10() -> Vec<String> {
    CIFAR10.map(str::to_string).to_vec()
}

pub(super) fn digits() -> Vec<String> {
    (0..10).map(|digit| digit.to_string()).collect()
}

/// Reads class names, one a line: plain names, `n01440764 tench, Tinca tinca` as ImageNet's lists have them, or
/// `17 jay` and `17: jay`, where the numbers count the lines.
pub(super) fn read(path: &Path) -> Result<Vec<String>, FormatError> {
    let wrong = |reason: String| FormatError::Labels { path: path.into(), reason };
    let read_error = |source| FormatError::Read { path: path.into(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(read_error)?;
    file.take(MAX_LABEL_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(read_error)?;
    if bytes.len() as u64 > MAX_LABEL_FILE_BYTES {
        return Err(wrong(format!("files of labels of more than {MAX_LABEL_FILE_BYTES} bytes are not read")));
    }
    let text = decoded(&bytes);
    let labels = parse(&text);
    if labels.is_empty() {
        Err(wrong("there are no class names in it: one a line is expected".into()))
    } else {
        Ok(labels)
    }
}

/// A text in UTF-8, or in UTF-16 where it begins with its mark; what is neither is replaced.
fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.as_chunks().0.iter().map(|&bytes| unit(bytes));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes),
    }
}

/// The names in a text; lines at the end that are empty do not count.
pub(super) fn parse(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').trim_end().lines().map(str::trim).collect();
    if lines == [""] {
        return Vec::new();
    }
    let numbered = |first: usize| {
        let rest = |(i, line): (usize, &&'_ str)| number_of(line).is_some_and(|(number, _)| number == i + first);
        lines.len() > 1 && lines.iter().enumerate().all(rest)
    };
    let is_numbered = numbered(0) || numbered(1);
    let name = |line: &&str| {
        let line = if is_numbered { number_of(line).map_or(*line, |(_, rest)| rest) } else { line };
        ImportError::brief(without_wordnet_id(line))
    };
    lines.iter().map(name).collect()
}

/// `17: jay` is 17 and jay.
fn number_of(line: &str) -> Option<(usize, &str)> {
    let (number, rest) = line.split_once([' ', '\t', ',', ':'])?;
    let rest = rest.trim_start_matches([' ', '\t', ':', ',']).trim_matches(['\'', '"']);
    if rest.is_empty() { None } else { Some((number.trim().parse().ok()?, rest)) }
}

/// `tench, Tinca tinca` of `n01440764 tench, Tinca tinca`.
pub(super) fn without_wordnet_id(line: &str) -> &str {
    match line.split_once([' ', '\t', ',']) {
        Some((id, name)) if id.len() == 9 && id.starts_with('n') && id[1..].bytes().all(|b| b.is_ascii_digit()) => {
            name.trim()
        }
        _ => line,
    }
}

/// Files beside a net that may hold its class names, the likeliest first.
pub(super) fn candidates(names: &[PathBuf]) -> Vec<&PathBuf> {
    const WORDS: [&str; 5] = ["synset", "label", "class", "words", "categor"];
    let is_likely = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        (name.ends_with(".txt") || name.ends_with(".labels")) && WORDS.iter().any(|word| name.contains(word))
    };
    names.iter().filter(is_likely).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_usual_lists_give_names() {
        let cases: [(&str, &[&str]); 7] = [
            ("cat\ndog\n", &["cat", "dog"]),
            ("\u{feff}n01440764 tench, Tinca tinca\r\nn01443537 goldfish\r\n\r\n", &["tench, Tinca tinca", "goldfish"]),
            ("0 zero\n1 one\n", &["zero", "one"]),
            ("1: 'cat'\n2: 'dog'\n", &["cat", "dog"]),
            // The digits' own names, and names that begin with numbers which do not count the lines.
            ("0\n1\n2\n", &["0", "1", "2"]),
            ("7 up\n9 lives\n", &["7 up", "9 lives"]),
            (" \n", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn labels_may_be_in_other_encodings() {
        let utf16 = |mark: [u8; 2], bytes: fn(u16) -> [u8; 2]| {
            mark.into_iter().chain("née\ndog\n".encode_utf16().flat_map(bytes)).collect::<Vec<u8>>()
        };
        for bytes in [utf16([0xff, 0xfe], u16::to_le_bytes), utf16([0xfe, 0xff], u16::to_be_bytes)] {
            assert_eq!(parse(&decoded(&bytes)), ["née", "dog"]);
        }
        assert_eq!(parse(&decoded(b"n\xe9e\ndog\n")), ["n\u{fffd}e", "dog"]);
    }

    #[test]
    fn lists_have_the_lengths_of_their_sets() {
        assert_eq!((imagenet().len(), imagenet_with_background().len()), (1000, 1001));
        assert_eq!((imagenet()[0].as_str(), imagenet_with_background()[1].as_str()), ("tench", "tench"));
        assert_eq!((cifar10().len(), digits().len()), (10, 10));
    }

    #[test]
    fn only_likely_files_are_looked_into() {
        let names: Vec<PathBuf> =
            ["readme.txt", "Synset_Words.txt", "labels.json", "my.labels"].map(Into::into).to_vec();
        assert_eq!(candidates(&names), [&names[1], &names[3]]);
    }
}

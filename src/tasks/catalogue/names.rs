//! Names of nets that are folders too, and names of files in them.

/// Longer names are refused: they must fit into a column and into a file system.
pub const MAX_CHARS: usize = 48;

/// What Windows takes for a device, whatever stands behind a dot.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];

/// Why a text cannot be the name of a net.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot be the name of a net: {reason}", shown(.name))]
pub struct NameError {
    name: String,
    reason: &'static str,
}

/// The name in small letters, if a net may be called so: letters, digits, `-`, `_` and `.`, a letter or digit first, and
/// no name that some system takes for a device.
///
/// # Errors
/// For every other name; `..` and whatever else leads out of a folder among them.
pub fn checked(name: &str) -> Result<String, NameError> {
    let refused = |reason| Err(NameError { name: name.to_string(), reason });
    if name.is_empty() {
        return refused("it is empty");
    }
    if name.chars().count() > MAX_CHARS {
        return refused("it is longer than 48 characters");
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.chars().all(is_allowed) {
        return refused("use letters, digits, `-`, `_` and `.`");
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || name.ends_with('.') {
        return refused("it must begin with a letter or a digit, and not end in a dot");
    }
    if is_device(name) {
        return refused("some systems take it for a device");
    }
    Ok(name.to_ascii_lowercase())
}

/// A name made of a file's: `My Net (2).caffemodel` gives `my-net-2`. `None` where nothing is left of it.
pub fn from_file(stem: &str) -> Option<String> {
    let mut name = String::new();
    for c in stem.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '.') {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    let kept: String = name.trim_start_matches(['-', '_', '.']).chars().take(MAX_CHARS).collect();
    checked(kept.trim_end_matches(['-', '_', '.'])).ok()
}

/// Whether a text is the name of a file in a folder, and leads nowhere else on any system.
pub fn is_plain_file(name: &str) -> bool {
    const DISLIKED: &str = "/\\<>:\"|?*";
    let is_bad = |c: char| c.is_control() || DISLIKED.contains(c);
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && !name.ends_with(['.', ' '])
        && !name.contains(is_bad)
}

/// Whether a text is such a name, or leads by such names through folders below: `data/weights.bin`.
pub fn is_file_below(path: &str) -> bool {
    const MOST_FOLDERS: usize = 8;
    path.len() <= 200 && path.split('/').count() <= MOST_FOLDERS + 1 && path.split('/').all(is_plain_file)
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let numbered = NUMBERED_DEVICES.iter().any(|device| {
        stem.strip_prefix(device).is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_digit()))
    });
    numbered || DEVICES.contains(&stem.as_str())
}

/// The start of a name, printable.
fn shown(name: &str) -> String {
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut text: String = name.chars().take(MAX_CHARS).map(printable).collect();
    if name.chars().nth(MAX_CHARS).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_are_put_into_small_letters() {
        for (name, expected) in [("vgg16", "vgg16"), ("Squeezenet_1.1", "squeezenet_1.1"), ("a", "a"), ("9-b", "9-b")] {
            assert_eq!(checked(name).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn hostile_names_are_refused_in_one_printable_sentence() {
        let long = "x".repeat(49);
        let hostile = [
            "", ".", "..", "../x", "a/b", "a\\b", ".hidden", "-x", "x.", "nul", "CON.net", "com1", "a b", "a\0", "ä",
            "a:b", "a+b", &long,
        ];
        for name in hostile {
            let error = checked(name).expect_err(name).to_string();
            assert!(error.contains("cannot be the name") && !error.contains(char::is_control), "{error}");
            assert!(error.chars().count() < 200, "{error}");
        }
    }

    #[test]
    fn files_lend_their_names() {
        let cases = [
            ("My Net (2)", Some("my-net-2")),
            ("../../x", Some("x")),
            ("bvlc_googlenet", Some("bvlc_googlenet")),
            ("夢", None),
            ("", None),
            ("nul", None),
        ];
        for (stem, expected) in cases {
            assert_eq!(from_file(stem).as_deref(), expected, "{stem}");
        }
        assert_eq!(from_file(&"y".repeat(300)).map(|name| name.len()), Some(MAX_CHARS));
    }

    #[test]
    fn files_lead_nowhere_else() {
        for good in ["a.caffemodel", "VGG (1).pth", "夢.onnx"] {
            assert!(is_plain_file(good), "{good}");
        }
        for bad in ["", ".", "..", "../a", "a/b", "a\\b", "c:a", ".a", "a.", "a\n"] {
            assert!(!is_plain_file(bad), "{bad}");
            assert!(bad == "a/b" || !is_file_below(bad), "{bad}");
        }
        for bad in
            ["/a", "a/", "a//b", "a/../b", "a/./b", "a/b/../../../c", &"a/".repeat(9), &format!("{}b", "a/".repeat(9))]
        {
            assert!(!is_file_below(bad), "{bad}");
        }
        assert!(is_file_below("a") && is_file_below("a/b/c.bin"));
    }
}

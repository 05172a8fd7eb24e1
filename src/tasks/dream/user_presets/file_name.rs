//! Names as a user types them, in the names of files.
//!
//! What no file system minds stays readable; every other character is percent-encoded as UTF-8 (`a/b` is `a%2Fb`). A
//! name has one encoding, so that a file has one name.

/// What some file system does not take, and the sign of the encoding itself.
const DISLIKED: &str = "%/\\<>:\"|?*";

/// What Windows takes for a device, whatever stands behind a dot.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];

/// The file name of `name`, without an extension.
pub fn encode(name: &str) -> String {
    let last = name.char_indices().last().map_or(0, |(at, _)| at);
    let mut encoded = String::with_capacity(name.len());
    for (at, character) in name.char_indices() {
        let at_start = at == 0 && (matches!(character, '.' | ' ') || is_device(name));
        let at_end = at == last && matches!(character, '.' | ' ');
        if at_start || at_end || character.is_control() || DISLIKED.contains(character) {
            let mut bytes = [0; 4];
            encoded.extend(character.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")));
        } else {
            encoded.push(character);
        }
    }
    encoded
}

/// The name that [`encode`] makes this file name of; `None` when there is none.
pub fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let [high, low, behind @ ..] = rest else { return None };
        bytes.push(u8::try_from(16 * digit(*high)? + digit(*low)?).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok().filter(|name| encode(name) == encoded)
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let number = NUMBERED_DEVICES.iter().find_map(|device| stem.strip_prefix(device));
    // Windows takes raised digits for digits here.
    let is_digit = |rest: &&str| "0123456789¹²³".contains(*rest) && rest.chars().count() == 1;
    DEVICES.contains(&stem.as_str()) || number.filter(is_digit).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_file_system_minds_stay_readable() {
        for name in ["Rochen", "Sea & sky (2)", "мой сон", "夢", "a.b", "com", "com10", "console", "🌊", "ça va"]
        {
            assert_eq!(encode(name), name);
        }
    }

    #[test]
    fn every_name_comes_back_from_a_file_name_that_can_be() {
        let names = [
            "../../etc/passwd",
            "..",
            ".",
            ".hidden",
            " x ",
            "ends in a dot.",
            "C:\\x",
            "a\0b\nc\u{7f}\u{85}",
            "100%",
            "%2F",
            "<>:\"|?*",
            "NUL",
            "con.toml",
            "Com1 .x",
            "lpt²",
        ];
        for name in names {
            let encoded = encode(name);
            assert_eq!(decode(&encoded).as_deref(), Some(name), "{encoded}");
            let bad = |c: char| c.is_control() || "/\\<>:\"|?*".contains(c);
            assert!(!encoded.contains(bad) && !encoded.starts_with(['.', ' ']), "{encoded}");
            assert!(!encoded.ends_with(['.', ' ']) && !is_device(&encoded), "{encoded}");
        }
        assert_eq!((encode("NUL"), encode("a/b")), ("%4EUL".into(), "a%2Fb".into()));
    }

    #[test]
    fn what_encode_does_not_write_is_not_read() {
        for file_name in ["%", "%2", "%zz", "%41", "%2f", ".x", "x.", "nul", "a/b", "%FF", "%C3", "%+1"] {
            assert_eq!(decode(file_name), None, "{file_name}");
        }
    }
}

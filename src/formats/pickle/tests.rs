use super::*;

/// A pickle written with the opcodes' letters, and what it should give, as `show` shows it.
fn show(pickle: &Pickle<'_>, id: Id, depth: usize) -> String {
    if depth == 0 {
        return "…".into();
    }
    let list = |ids: &[Id]| ids.iter().map(|&id| show(pickle, id, depth - 1)).collect::<Vec<_>>().join(", ");
    let dict = |entries: &[(Id, Id)]| {
        let shown =
            entries.iter().map(|&(k, v)| format!("{}: {}", show(pickle, k, depth - 1), show(pickle, v, depth - 1)));
        shown.collect::<Vec<_>>().join(", ")
    };
    match pickle.get(id) {
        Value::None => "None".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::BigInt(bytes) => format!("big{}", bytes.len()),
        Value::Float(value) => format!("{value:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::Bytes(bytes) => format!("b{:?}", bytes.escape_ascii().to_string()),
        Value::Tuple(items) => format!("({})", list(items)),
        Value::List(items) => format!("[{}]", list(items)),
        Value::Set(items) => format!("set({})", list(items)),
        Value::Dict(entries) => format!("{{{}}}", dict(entries)),
        Value::Persistent(id) => format!("@{}", show(pickle, *id, depth - 1)),
        Value::Global(global) => format!("{}.{}", global.module, global.name),
        Value::Object(object) => {
            let called =
                format!("{}{}", show(pickle, object.callable, depth - 1), show(pickle, object.arguments, depth - 1));
            let state = object.state.map_or(String::new(), |state| format!("|{}", show(pickle, state, depth - 1)));
            let entries =
                if object.entries.is_empty() { String::new() } else { format!("{{{}}}", dict(&object.entries)) };
            format!("{called}{state}{entries}")
        }
    }
}

fn read(bytes: &[u8]) -> Result<String, String> {
    let pickle = Pickle::read(bytes).map_err(|error| error.to_string())?;
    assert_eq!(pickle.length(), bytes.len());
    Ok(show(&pickle, pickle.root(), 8))
}

#[test]
fn values_of_all_protocols() {
    // As CPython 2.7 and 3.11 write them.
    let cases: [(&[u8], &str); 20] = [
        (b"(dp0\nS'a'\np1\nI1\nsS'b'\np2\nL12L\nsS'c'\np3\nF1.5\ns.", r#"{b"a": 1, b"b": 12, b"c": 1.5}"#),
        (b"(lp0\nI01\naNaI-7\naVx\\u00e9\\\\\np1\na.", "[true, None, -7, \"xé\\\\\\\\\"]"),
        (b"S'a\\n\\x01\\\\\\''\np0\n.", r#"b"a\\n\\x01\\\\\\'""#),
        (b"\x80\x02}q\x00(U\x01aq\x01K\x01U\x01bq\x02M\x00\x01u.", r#"{b"a": 1, b"b": 256}"#),
        (b"\x80\x02]q\x00(J\xff\xff\xff\xffG?\xf8\x00\x00\x00\x00\x00\x00\x88\x89e.", "[-1, 1.5, true, false]"),
        (b"\x80\x02(K\x01K\x02K\x03K\x04t.", "(1, 2, 3, 4)"),
        (b"\x80\x02K\x01K\x02\x86.", "(1, 2)"),
        (b"\x80\x02K\x01\x85.", "(1)"),
        (b"\x80\x02\x8a\x05\x00\x00\x00\x00\x01.", "4294967296"),
        (b"\x80\x02\x8a\x00.", "0"),
        (b"\x80\x02\x8a\x01\x80.", "-128"),
        (b"\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.", "big9"),
        (b"\x80\x04\x95\x09\x00\x00\x00\x00\x00\x00\x00\x8f\x94(K\x01\x8c\x01x\x90.", "set(1, \"x\")"),
        (b"\x80\x04(K\x01\x91.", "set(1)"),
        (b"\x80\x05\x96\x02\x00\x00\x00\x00\x00\x00\x00ab.", r#"b"ab""#),
        (b"\x80\x03B\x02\x00\x00\x00abC\x01c\x86.", r#"(b"ab", b"c")"#),
        (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x02ls\x85R.", r#"os.system("ls")"#),
        (b"(iposix\nsystem\np0\n.", "posix.system()"),
        (
            b"\x80\x02ccollections\nOrderedDict\n)Rq\x00X\x01\x00\x00\x00aK\x05sK\x01b.",
            r#"collections.OrderedDict()|1{"a": 5}"#,
        ),
        (b"\x80\x02(X\x01\x00\x00\x00sK\x03tQ.", r#"@("s", 3)"#),
    ];
    let failures: Vec<_> = cases
        .iter()
        .filter_map(|(bytes, expected)| {
            let got = read(bytes);
            (got.as_deref() != Ok(expected)).then(|| format!("{}: {got:?} instead of {expected}", bytes.escape_ascii()))
        })
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn hostile_pickles_are_errors_or_inert() {
    let cases: [(&[u8], &str); 14] = [
        (b"", "cut short"),
        (b".", "the stack is empty"),
        (b"\x80\x06N.", "protocol 6"),
        (b"\x80\x02\x8b\xff\xff\xff\xff1", "4294967295 bytes"),
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.", "wants 9223372036854775807 bytes"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc.", "wants 18446744073709551615 bytes"),
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN.", "announces"),
        (b"\x80\x02h\x07.", "the memo has no 7"),
        (b"\x80\x02K\x01K\x02s.", "the stack is empty"),
        (b"\x80\x02(K\x01K\x02(s.", "the stack is empty"),
        (b"\x80\x02K\x01K\x02a.", "takes none"),
        (b"\x80\x02}(K\x01u.", "a key has no value"),
        (b"\x80\x02\xff.", "unknown opcode, 0xff, at byte 2"),
        (b"\x80\x02\x82\x01.", "extension registry"),
    ];
    let failures: Vec<_> = cases
        .iter()
        .filter_map(|(bytes, expected)| match read(bytes) {
            Err(error) if error.contains(expected) => None,
            other => Some(format!("{}: {other:?} should say {expected}", bytes.escape_ascii())),
        })
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn sharing_and_nesting_take_no_more_than_the_file() {
    // Each list holds the one before it ten times: 10¹⁰⁰⁰ elements if written out.
    let mut bomb = b"\x80\x04]\x94".to_vec();
    for index in 0..1000u32 {
        bomb.extend(b"](");
        for _ in 0..10 {
            bomb.push(b'j');
            bomb.extend(index.to_le_bytes());
        }
        bomb.extend(b"e\x94");
    }
    bomb.push(b'.');
    let pickle = Pickle::read(&bomb).unwrap();
    assert_eq!(pickle.items(pickle.root()).unwrap().len(), 10);
    assert!(pickle.values.len() == 1001);

    // A million tuples in each other, and a list in itself; dropping them must not exhaust the stack either.
    let mut deep = b")".to_vec();
    deep.extend([0x85; 1_000_000]);
    deep.push(b'.');
    assert_eq!(Pickle::read(&deep).unwrap().values.len(), 1_000_001);
    assert_eq!(read(b"]q\x00h\x00a.").unwrap(), "[[[[[[[[…]]]]]]]]");
}

#[test]
fn every_cut_and_every_flip_ends() {
    let whole = b"\x80\x02ccollections\nOrderedDict\n)Rq\x00(X\x01\x00\x00\x00aU\x03bcdX\x01\x00\x00\x00b(K\x01\x8a\x01\x80tQu}b.";
    for length in 0..whole.len() {
        assert!(Pickle::read(&whole[..length]).is_err(), "{length}");
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 1 << bit;
            let _ = Pickle::read(&bytes);
        }
    }
}

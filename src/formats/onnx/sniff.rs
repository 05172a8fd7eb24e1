//! Whether bytes are a model of ONNX: protobuf has no signature, so the fields are looked at.

use crate::formats::wire::varint;

/// Whether bytes, or the first of them, have the outer fields of a `ModelProto`; Caffe's nets, TensorFlow's graphs and
/// saved models, and Core ML's models do not.
pub fn looks_like(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let mut version_seen = false;
    while let Ok((number, wire)) = varint(&mut rest).map(|key| (key >> 3, key & 7)) {
        match (number, wire) {
            // ir_version, model_version.
            (1 | 5, 0) => {
                if varint(&mut rest).is_err() {
                    return false;
                }
                version_seen |= number == 1;
            }
            // producer_name, producer_version, domain, doc_string: texts, where other formats have messages.
            (2..=4 | 6, 2) => {
                let Some(text) = varint(&mut rest).ok().and_then(|len| rest.split_off(..usize::try_from(len).ok()?))
                else {
                    return false;
                };
                if std::str::from_utf8(text).is_err() || text.iter().any(|&byte| byte < b'\t') {
                    return false;
                }
            }
            // graph, opset_import.
            (7 | 8, 2) => return version_seen || starts_as_a_graph(rest),
            // metadata_props, training_info, functions, configuration.
            (14 | 20 | 25 | 26, 2) if version_seen => {
                if varint(&mut rest).ok().and_then(|len| rest.split_off(..usize::try_from(len).ok()?)).is_none() {
                    return false;
                }
            }
            _ => return false,
        }
    }
    false
}

/// Whether a length is followed by a field that a graph or an operator set may have first.
fn starts_as_a_graph(mut rest: &[u8]) -> bool {
    varint(&mut rest).is_ok() && rest.first().is_some_and(|key| [0x0a, 0x10, 0x12].contains(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_told_from_other_protobufs() {
        let cases: [(&[u8], bool); 10] = [
            (b"\x08\x03\x12\x07pytorch\x3a\x05\x0a\x03", true),
            (b"\x08\x03\x12\x04CNTK\x1a\x05\x32.5.1\x22\x07ai.cntk\x28\x01\x3a\xd6\xcd\x01\x0a", true),
            (b"\x08\x08\x42\x02\x10\x0d\x3a\x02\x12\x00", true),
            // A Caffe net: its name, then its layers.
            (b"\x0a\x05LeNet\x1a\x04data\xa2\x06\x10", false),
            // A TensorFlow graph: its nodes.
            (b"\x0a\x13\x0a\x05input\x12\x0bPlaceholder", false),
            // A saved model of TensorFlow: its version, then a message.
            (b"\x08\x01\x12\x90\x01\x0a\x05\x08\x01\x12\x01\x3a", false),
            // A Core ML model.
            (b"\x08\x01\x12\x07\x0a\x05input\xa2\x1f\x01", false),
            (b"\x08\x03", false),
            (b"", false),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", false),
        ];
        let wrong: Vec<_> = cases.iter().filter(|(bytes, expected)| looks_like(bytes) != *expected).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

//! Telling files of Caffe from others that are protocol buffers or text as well.

use super::blob::MeanImage;
use super::text;
use crate::formats::wire::{Fields, Wire};

/// Whether bytes are a `.caffemodel`: all of their top-level fields are those of a `NetParameter` with layers.
///
/// Not so are ONNX nets (their field 1 is a number), TensorFlow graphs (their field 1 is a message, repeated) and
/// solver states.
pub fn looks_like_caffemodel(bytes: &[u8]) -> bool {
    let (mut names, mut layers) = (0, 0);
    for field in Fields::new(bytes) {
        let fits = match field {
            Ok((1, Wire::Bytes(name))) => {
                names += 1;
                names == 1 && is_name(name)
            }
            Ok((number @ (2 | 100), Wire::Bytes(layer))) => {
                layers += 1;
                layers > 1 || is_layer(layer, number == 2)
            }
            Ok((3, Wire::Bytes(input))) => is_name(input),
            Ok((4 | 5 | 7, Wire::Varint(_)) | (4 | 6 | 8, Wire::Bytes(_))) => true,
            // Fields of branches.
            Ok((9..=99 | 101.., _)) => true,
            _ => false,
        };
        if !fits {
            return false;
        }
    }
    layers > 0
}

fn is_name(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|name| !name.chars().any(char::is_control))
}

/// Whether bytes are a layer: it has a name or a blob, and its first fields are of their types.
fn is_layer(bytes: &[u8], is_old: bool) -> bool {
    let mut is_named = false;
    for field in Fields::new(bytes) {
        let fits = match (is_old, field) {
            // The oldest spelling nests a layer whose name and type are its fields 1 and 2.
            (true, Ok((1, Wire::Bytes(inner)))) => {
                is_named = true;
                Fields::new(inner).all(|field| match field {
                    Ok((1 | 2, Wire::Bytes(name))) => is_name(name),
                    Ok((1 | 2, _)) | Err(_) => false,
                    Ok(_) => true,
                })
            }
            (true, Ok((2..=4, Wire::Bytes(name)))) | (false, Ok((1..=4, Wire::Bytes(name)))) => {
                is_named = true;
                is_name(name)
            }
            (true, Ok((5, Wire::Varint(_)))) => true,
            (true, Ok((1..=5, _))) | (false, Ok((1..=4, _))) | (_, Err(_)) => false,
            _ => true,
        };
        if !fits {
            return false;
        }
    }
    is_named
}

/// Whether bytes are a `.solverstate`, which has no net in it.
pub fn looks_like_solverstate(bytes: &[u8]) -> bool {
    let (mut iterations, mut histories) = (0, 0);
    for field in Fields::new(bytes) {
        let fits = match field {
            Ok((1, Wire::Varint(_))) => {
                iterations += 1;
                iterations == 1
            }
            Ok((2, Wire::Bytes(name))) => is_name(name),
            Ok((3, Wire::Bytes(history))) => {
                histories += 1;
                histories > 1 || Fields::new(history).all(|field| matches!(field, Ok((1..=9, _))))
            }
            Ok((4, Wire::Varint(_))) => true,
            _ => false,
        };
        if !fits {
            return false;
        }
    }
    iterations == 1 && histories > 0
}

/// Whether a text is a net's description.
pub fn looks_like_prototxt(text: &str) -> bool {
    text::parse(text).is_ok_and(|message| {
        let mut layers = message.messages("layer").chain(message.messages("layers")).peekable();
        layers.peek().is_some() && layers.all(|layer| layer.has("type") || layer.has("layer"))
    })
}

/// Whether bytes are a mean image (`.binaryproto`).
pub fn looks_like_mean(bytes: &[u8]) -> bool {
    MeanImage::fits(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_protocol_buffers_are_no_nets_of_caffe() {
        let v2 = b"\x0a\x03net\xa2\x06\x0a\x0a\x02r1\x12\x04TanH";
        let v1 = b"\x0a\x03net\x12\x08\x22\x04relu\x28\x12";
        let v0 = b"\x12\x0e\x0a\x0c\x0a\x04relu\x12\x04relu";
        assert!(looks_like_caffemodel(v2) && looks_like_caffemodel(v1) && looks_like_caffemodel(v0));
        assert!(!looks_like_caffemodel(&v2[..v2.len() - 1]), "a layer that is cut short");
        let others: [&[u8]; 6] = [
            b"",
            b"\x0a\x03net",
            // ONNX: ir_version, producer.
            b"\x08\x03\x12\x07pytorch\x3a\x02\x0a\x00",
            // TensorFlow: nodes with a name and an op, versions.
            b"\x0a\x0f\x0a\x05input\x12\x06inputs\x0a\x08\x0a\x01a\x12\x03Add\x22\x02\x08\x01",
            // A solver state.
            b"\x08\x88\x27\x12\x03net\x1a\x04\x08\x01\x10\x01",
            b"hello world",
        ];
        for bytes in others {
            assert!(!looks_like_caffemodel(bytes), "{bytes:?}");
        }
        assert!(looks_like_solverstate(others[4]) && !looks_like_solverstate(v1) && !looks_like_solverstate(others[2]));
    }

    #[test]
    fn descriptions_of_nets_are_told_from_other_texts() {
        assert!(looks_like_prototxt("name: 'x' layer { name: 'r' type: 'ReLU' }"));
        assert!(looks_like_prototxt("layers { layer { name: 'r' type: 'relu' } }"));
        for text in
            ["", "net: 'train.prototxt' base_lr: 0.1", "{\"layer\": {}}", "node { name: 'a' op: 'Add' }", "layer"]
        {
            assert!(!looks_like_prototxt(text), "{text}");
        }
    }
}

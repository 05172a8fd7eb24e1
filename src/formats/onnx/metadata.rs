//! What a model says about itself beside its graph: class names, pictures, origin.

use super::super::Imported;
use super::proto::ModelProto;
use crate::nn::graph::ChannelOrder;

/// Keys under which class names are found.
const LABEL_KEYS: [&str; 6] = ["labels", "names", "classes", "class_names", "class_labels", "id2label"];
pub const LABELS: &str = LABEL_KEYS[0];
/// Keys of ONNX's own metadata about pictures.
pub const PIXEL_FORMAT: &str = "Image.BitmapPixelFormat";
const PIXEL_RANGE: &str = "Image.NominalPixelRange";
/// Keys of our own: numbers in JSON, in the net's channel order, for pixel values of 0–255.
pub const MEAN: &str = "oneiric.mean";
pub const SCALE: &str = "oneiric.scale";
pub const SOURCE: &str = "oneiric.source";
pub const LICENCE: &str = "license";

fn entry<'m>(model: &'m ModelProto, key: &str) -> Option<&'m str> {
    model.metadata_props.iter().find(|entry| entry.key.as_deref() == Some(key))?.value.as_deref()
}

/// Where the model comes from, in words.
pub fn source(model: &ModelProto) -> String {
    if let Some(source) = entry(model, SOURCE) {
        return source.to_string();
    }
    let producer = [&model.producer_name, &model.producer_version];
    let producer: Vec<&str> =
        producer.into_iter().flatten().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
    if producer.is_empty() { String::new() } else { format!("an ONNX file written by {}", producer.join(" ")) }
}

/// Reads what the metadata say into a net that is otherwise whole.
pub fn read(model: &ModelProto, imported: &mut Imported) {
    let shape_of =
        |node: Option<usize>| node.and_then(|node| imported.net.shape(node)).map(|shape| shape.dims().to_vec());
    let classes = shape_of(imported.net.nodes().len().checked_sub(1)).and_then(|dims| dims.get(1).copied());
    let channels = shape_of(Some(0)).and_then(|dims| dims.get(1).copied()).unwrap_or(0);
    for labels in LABEL_KEYS.iter().filter_map(|key| entry(model, key)).filter_map(labels) {
        if Some(labels.len()) == classes && imported.labels.is_empty() {
            imported.labels = labels;
        }
    }
    let found = &mut imported.preprocess;
    found.order = match entry(model, PIXEL_FORMAT) {
        Some("Rgb8") if channels == 3 => Some(ChannelOrder::Rgb),
        Some("Bgr8") if channels == 3 => Some(ChannelOrder::Bgr),
        _ if channels == 1 => Some(ChannelOrder::Gray),
        _ => None,
    };
    let range = match entry(model, PIXEL_RANGE) {
        Some("NominalRange_0_255") => Some([0.0, 1.0]),
        Some("Normalized_0_1") => Some([0.0, 1.0 / 255.0]),
        Some("Normalized_1_1") => Some([127.5, 1.0 / 127.5]),
        _ => None,
    };
    if let Some([mean, scale]) = range {
        (found.mean, found.scale) = (Some(vec![mean]), Some(vec![scale]));
    }
    let numbers = |key: &str| -> Option<Vec<f32>> {
        let numbers: Vec<f32> = serde_json::from_str(entry(model, key)?).ok()?;
        (numbers.len() == channels && numbers.iter().all(|number| number.is_finite())).then_some(numbers)
    };
    if let (Some(mean), Some(scale)) = (numbers(MEAN), numbers(SCALE)) {
        (found.mean, found.scale) = (Some(mean), Some(scale));
    }
    imported.provenance.licence = entry(model, LICENCE).unwrap_or_default().to_string();
}

/// Class names of a list or of a dictionary from numbers, in JSON or as Python prints it, or one a line.
fn labels(text: &str) -> Option<Vec<String>> {
    if let Ok(labels) = serde_json::from_str::<Vec<String>>(text) {
        return Some(labels);
    }
    let numbered = match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
        Ok(map) => map.into_iter().map(|(key, value)| Some((key.parse().ok()?, value.as_str()?.to_string()))).collect(),
        Err(_) if text.trim_start().starts_with('{') => python_dictionary(text),
        Err(_) if text.contains('\n') => return Some(text.lines().map(|line| line.trim().to_string()).collect()),
        Err(_) => return None,
    };
    let mut numbered: Vec<(usize, String)> = numbered?;
    numbered.sort();
    let in_order = numbered.iter().enumerate().all(|(place, (number, _))| place == *number);
    in_order.then(|| numbered.into_iter().map(|(_, label)| label).collect())
}

/// `{0: 'tench', 1: "lady's slipper"}`, as exporters of Python write it.
fn python_dictionary(text: &str) -> Option<Vec<(usize, String)>> {
    let mut rest = text.trim().strip_prefix('{')?;
    let mut entries = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',', '\n']);
        if rest == "}" || rest.is_empty() {
            return Some(entries);
        }
        let (number, after) = rest.split_once(':')?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (label, after) = quoted(after.strip_prefix(quote)?, quote)?;
        entries.push((number.trim().parse().ok()?, label));
        rest = after;
    }
}

/// The text up to an unescaped quote, and what follows it.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut label = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => label.push(chars.next()?.1),
            c if c == quote => return Some((label, &text[at + c.len_utf8()..])),
            c => label.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_are_found_in_several_notations() {
        for text in [
            r#"["cat", "lady's slipper"]"#,
            r#"{"0": "cat", "1": "lady's slipper"}"#,
            r#"{0: 'cat', 1: "lady's slipper"}"#,
            r"{1: 'lady\'s slipper', 0: 'cat'}",
            "cat\nlady's slipper\n",
        ] {
            assert_eq!(labels(text).as_deref(), Some(&["cat".to_string(), "lady's slipper".into()][..]), "{text}");
        }
        for text in ["", "cat", "{0: 'cat", "{0 'cat'}", "{3: 'cat'}", r#"{"a": "cat"}"#, "[1, 2]"] {
            assert_eq!(labels(text), None, "{text}");
        }
    }
}

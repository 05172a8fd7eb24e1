//! From what an importer found to a whole net: what its files do not say is said by the user, known of published nets,
//! or assumed, and every assumption is told.

use super::known::{self, Known};
use super::{FoundPreprocess, ImportError, Imported, LoadOptions};
use crate::base::tensor::Shape;
use crate::nn::graph::{ChannelOrder, Graph, GraphBuilder, GraphError, Preprocess};
use crate::nn::ops::Op;

/// The framework that wrote a file: what nets of unknown training are taken to expect depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framework {
    Caffe,
    MatConvNet,
    Onnx,
    PyTorch,
    TensorFlow,
    Lasagne,
    ConvNetJs,
    /// Oneiric's own description of an untrained net.
    NetFile,
}

/// Longer names of layers are refused.
const MAX_NAME_BYTES: usize = 1000;

/// A whole net, and what was assumed of it.
pub(super) fn finish(
    imported: Imported,
    framework: Framework,
    options: &LoadOptions,
    given_labels: Vec<String>,
    fallback_name: &str,
) -> Result<(Graph, Vec<String>), ImportError> {
    let Imported { name, net, preprocess, labels, provenance, mut notes } = imported;
    check_names(&net)?;
    let Some(Op::Input(input)) = net.nodes().first().map(|node| &node.op) else {
        return Err(GraphError::NoSingleInput.into());
    };
    let (channels, size) = (input.channels, input.size);
    let classes = class_count(&net);
    let known = known::of(framework, &name, &net, channels, size, classes);
    let preprocess = settle(channels, preprocess, options, &known, &mut notes)?;
    let labels = settle_labels(classes, given_labels, labels, &known, &mut notes)?;
    note_weights_that_are_not_finite(&net, &mut notes);
    let name = if name.trim().is_empty() { fallback_name } else { &name };
    let graph = net.finish(&ImportError::brief(name), preprocess, labels)?;
    Ok((graph.with_provenance(provenance), notes.into_iter().map(as_message).collect()))
}

/// A whole sentence as the program's messages are: without its capital and its full stop.
fn as_message(sentence: String) -> String {
    let sentence = sentence.trim_end().trim_end_matches('.');
    let mut chars = sentence.chars();
    match (chars.next(), chars.clone().next()) {
        // Names such as VGG and CIFAR keep theirs.
        (Some(first), Some(second)) if first.is_uppercase() && (second.is_lowercase() || second == ' ') => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => sentence.to_string(),
    }
}

fn check_names(net: &GraphBuilder) -> Result<(), ImportError> {
    let wrong = |name: &&str| name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control);
    match net.nodes().iter().map(|node| node.name.as_str()).find(wrong) {
        Some(name) => Err(ImportError::layer(
            name,
            format!("names of layers must be printable and of 1 to {MAX_NAME_BYTES} bytes"),
        )),
        None => Ok(()),
    }
}

/// The length of the output's vector, where the net ends in one.
pub(super) fn class_count(net: &GraphBuilder) -> Option<usize> {
    let last = net.nodes().len().checked_sub(1)?;
    match net.shape(last).map(Shape::dims)? {
        [_, classes] | [_, classes, 1, 1] => Some(*classes),
        // A fully convolutional net has a score a place.
        [_, channels, _, _] => Some(*channels),
        _ => None,
    }
}

/// A net that needs nothing, but of which the user may say otherwise.
pub(super) fn overridden(graph: Graph, options: &LoadOptions, given_labels: Vec<String>) -> Result<Graph, ImportError> {
    if options.is_silent() && given_labels.is_empty() {
        return Ok(graph);
    }
    let provenance = graph.provenance().clone();
    let found = FoundPreprocess {
        order: Some(graph.preprocess().order),
        mean: Some(graph.preprocess().mean.clone()),
        scale: Some(graph.preprocess().scale.clone()),
    };
    let known = Known::nothing();
    let net = GraphBuilder::from_graph(&graph);
    let mut notes = Vec::new();
    let preprocess = settle(graph.input().channels, found, options, &known, &mut notes)?;
    let labels = settle_labels(class_count(&net), given_labels, graph.labels().to_vec(), &known, &mut notes)?;
    Ok(net.finish(graph.name(), preprocess, labels)?.with_provenance(provenance))
}

/// User before file before knowledge; the last is told.
fn settle(
    channels: usize,
    found: FoundPreprocess,
    options: &LoadOptions,
    known: &Known,
    notes: &mut Vec<String>,
) -> Result<Preprocess, ImportError> {
    let order = match channels {
        1 => ChannelOrder::Gray,
        3 => options.order.or(found.order).unwrap_or(known.order),
        other => {
            return Err(ImportError::Unsupported(format!(
                "the net takes inputs of {other} channels; pictures have 1 or 3"
            )));
        }
    };
    let mut assumed = Vec::new();
    if channels == 3 && options.order.or(found.order).is_none() {
        let words = if order == ChannelOrder::Bgr { "blue, green, red" } else { "red, green, blue" };
        assumed.push(format!("channels in the order {words}"));
    }
    let settle_one = |what: &'static str, given: &Option<Vec<f32>>, found: Option<Vec<f32>>, known: &[f32]| {
        let is_known = given.is_none() && found.is_none();
        let values = given.clone().or(found).unwrap_or_else(|| known.to_vec());
        let values = match values.as_slice() {
            &[one] => vec![one; channels],
            _ => values,
        };
        if values.len() != channels {
            let reason = format!("{} values are given for {what}, but the net takes {channels} channels", values.len());
            return Err(ImportError::Needs(reason));
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(ImportError::Needs(format!("the {what} holds {value}, which is no number to work with")));
        }
        Ok((values, is_known))
    };
    let (mean, mean_is_known) = settle_one("mean", &options.mean, found.mean, &known.mean_in(order))?;
    let (scale, scale_is_known) = settle_one("scale", &options.scale, found.scale, &known.scale_in(order))?;
    if mean_is_known {
        assumed.push(format!("a mean of {}", numbers(&mean)));
    }
    if scale_is_known {
        assumed.push(format!("a scale of {}", numbers(&scale)));
    }
    if !assumed.is_empty() {
        notes.push(format!(
            "the files do not say how pictures are fed to the net; {}: {} (change it with --mean, --scale, --bgr or --rgb)",
            known.reason,
            assumed.join(", ")
        ));
    }
    Ok(Preprocess { order, mean, scale })
}

/// `104` for three alike, else `104, 117, 123`.
fn numbers(values: &[f32]) -> String {
    let text = |value: &f32| {
        let inverse = 1.0 / f64::from(*value);
        if value.abs() < 0.1 && *value != 0.0 && (inverse - inverse.round()).abs() < 1e-3 {
            format!("1/{}", inverse.round())
        } else {
            let rounded = format!("{value:.4}");
            rounded.trim_end_matches('0').trim_end_matches('.').to_string()
        }
    };
    match values {
        [first, rest @ ..] if rest.iter().all(|value| value == first) => text(first),
        _ => values.iter().map(text).collect::<Vec<_>>().join(", "),
    }
}

fn settle_labels(
    classes: Option<usize>,
    given: Vec<String>,
    found: Vec<String>,
    known: &Known,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, ImportError> {
    if !given.is_empty() {
        return match classes {
            Some(classes) if classes != given.len() => Err(ImportError::Needs(format!(
                "the file of labels names {} classes, but the net has {classes}",
                given.len()
            ))),
            _ => Ok(given),
        };
    }
    if !found.is_empty() && classes.is_none_or(|classes| classes == found.len()) {
        return Ok(found);
    }
    if !found.is_empty() {
        notes
            .push(format!("the {} class names in the file do not fit the net's output and were left out", found.len()));
    }
    if let Some((set, names)) = &known.labels {
        notes.push(format!("the files name no classes; those of {set} were assumed (change it with --labels FILE)"));
        return Ok(names.clone());
    }
    Ok(Vec::new())
}

/// Such a net runs, and gives nothing.
fn note_weights_that_are_not_finite(net: &GraphBuilder, notes: &mut Vec<String>) {
    let bad: Vec<&str> = net
        .params()
        .filter(|(_, param)| param.data.iter().any(|value| !value.is_finite()))
        .map(|(name, _)| name)
        .collect();
    if let [first, rest @ ..] = bad.as_slice() {
        let first = ImportError::brief(first);
        let and_more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        notes.push(format!(
            "the weights `{first}`{and_more} are not all finite numbers; pictures made with what depends on them are blank"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::reshape::Reshape;
    use crate::nn::ops::scale::Scale;

    /// Pictures of `channels` × 2 × 2 through one scale.
    fn imported(channels: usize) -> Imported {
        let mut net = GraphBuilder::new("data", channels, [2, 2]);
        net.param("scale", &[channels], vec![1.0; channels]);
        let scaled = net.add("scaled", Op::Scale(Scale {}), &[GraphBuilder::INPUT], &["scale"]);
        net.add("flat", Op::Reshape(Reshape::flatten()), &[scaled], &[]);
        Imported::new("", net)
    }

    fn finished(imported: Imported, options: &LoadOptions) -> (Graph, Vec<String>) {
        finish(imported, Framework::Caffe, options, Vec::new(), "fallback").unwrap()
    }

    #[test]
    fn the_user_comes_before_the_file_and_the_file_before_custom() {
        let (graph, notes) = finished(imported(3), &LoadOptions::default());
        assert_eq!(graph.preprocess().order, ChannelOrder::Bgr);
        assert_eq!(graph.preprocess().mean, [104.0, 117.0, 123.0]);
        assert!(notes[0].contains("blue, green, red") && notes[0].contains("104, 117, 123"), "{notes:?}");
        assert_eq!(graph.name(), "fallback");

        let mut found = imported(3);
        found.preprocess = FoundPreprocess {
            order: Some(ChannelOrder::Rgb),
            mean: Some(vec![7.0]),
            scale: Some(vec![0.5, 0.25, 1.0]),
        };
        let options = LoadOptions { scale: Some(vec![2.0]), ..LoadOptions::default() };
        let (graph, notes) = finished(found, &options);
        let expected = Preprocess { order: ChannelOrder::Rgb, mean: vec![7.0; 3], scale: vec![2.0; 3] };
        assert_eq!((graph.preprocess(), notes.len()), (&expected, 0), "{notes:?}");
    }

    #[test]
    fn notes_are_messages() {
        assert_eq!(
            as_message("The mean was averaged. It is one a channel.".into()),
            "the mean was averaged. It is one a channel"
        );
        assert_eq!(as_message("VGG takes BGR".into()), "VGG takes BGR");
        assert_eq!(as_message("A note.".into()), "a note");
        assert_eq!(as_message(String::new()), "");
    }

    #[test]
    fn what_does_not_fit_is_refused_and_weights_that_are_not_finite_are_told() {
        let options = LoadOptions { mean: Some(vec![1.0, 2.0]), ..LoadOptions::default() };
        let refused = finish(imported(3), Framework::Onnx, &options, Vec::new(), "net").unwrap_err().to_string();
        assert_eq!(refused, "2 values are given for mean, but the net takes 3 channels");
        let refused = finish(imported(4), Framework::Onnx, &LoadOptions::default(), Vec::new(), "net");
        assert!(matches!(refused, Err(ImportError::Unsupported(_))));
        let labels = vec!["cat".to_string(); 3];
        let refused = finish(imported(1), Framework::Onnx, &LoadOptions::default(), labels, "net").unwrap_err();
        assert_eq!(refused.to_string(), "the file of labels names 3 classes, but the net has 4");

        let mut bad = imported(1);
        bad.net.param("scale", &[1], vec![f32::NAN]);
        let (_, notes) = finished(bad, &LoadOptions::default());
        assert!(notes.iter().any(|note| note.contains("`scale` are not all finite")), "{notes:?}");
    }
}

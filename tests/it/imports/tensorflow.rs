//! Frozen TensorFlow graphs.

use std::io::{Cursor, Write as _};

use flate2::read::GzDecoder;
use oneiric::base::tensor::Shape;
use oneiric::formats::{FoundPreprocess, ImportError, Imported, LoadOptions, tensorflow};
use oneiric::nn::exec::reference::Reference;
use oneiric::nn::graph::{ChannelOrder, Graph, Preprocess};
use oneiric::nn::ops::Run;

use super::support;

/// All nets of `tests/refs/tensorflow_nets.py`.
const NETS: [&str; 9] =
    ["inception", "mobilenet", "old_norm", "unfused", "mlp", "vector_conv", "same", "planar", "assorted"];

fn bytes_of(name: &str) -> Vec<u8> {
    let path = support::data_path(&format!("tensorflow/{name}.pb"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(bytes: &[u8]) -> Imported {
    tensorflow::read(bytes, &LoadOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn finish(imported: Imported) -> Graph {
    let channels = imported.net.shape(0).map_or(0, |shape| shape.dims()[1]);
    let order = if channels == 1 { ChannelOrder::Gray } else { ChannelOrder::Rgb };
    let preprocess = Preprocess { order, mean: vec![0.0; channels], scale: vec![1.0; channels] };
    imported.net.finish("net", preprocess, imported.labels).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn nets_compute_what_tensorflow_computes() {
    for name in NETS {
        let graph = finish(read(&bytes_of(name)));
        support::check(&graph, &support::data_path(&format!("tensorflow/{name}.safetensors")));
    }
}

#[test]
fn the_main_head_is_the_output() {
    let imported = read(&bytes_of("inception"));
    assert_eq!(imported.notes, ["The net's output is `output2`; left out are `output`."]);
    let graph = finish(imported);
    assert_eq!(graph.node(graph.output()).name, "softmax2");
    assert_eq!(graph.node(graph.logits()).name, "softmax2_pre_activation");
    assert!(graph.find("nn0").is_err() && graph.find("mixed3a_5x5_bottleneck_pre_relu").is_ok());
    assert!(graph.find("mixed3a_5x5_bottleneck_pre_relu/conv").is_err(), "a convolution and its bias are one layer");
}

#[test]
fn what_a_graph_does_to_pixels_is_preprocessing() {
    let imported = read(&bytes_of("old_norm"));
    let expected =
        FoundPreprocess { order: Some(ChannelOrder::Rgb), mean: Some(vec![128.0]), scale: Some(vec![0.0078125]) };
    assert_eq!((imported.preprocess, imported.net.nodes()[0].name.as_str()), (expected, "Mul"));
    assert_eq!(imported.net.shape(0), Some(&Shape::maps(1, 3, 23, 23)));
    let silent = read(&bytes_of("mobilenet"));
    assert_eq!((silent.preprocess, silent.notes.len()), (FoundPreprocess::default(), 0));
}

#[test]
fn vectors_are_pictures() {
    let imported = read(&bytes_of("mlp"));
    assert!(imported.notes.iter().any(|note| note.contains("gray pictures of 8×8 pixels")), "{:?}", imported.notes);
    assert_eq!(imported.net.shape(0), Some(&Shape::maps(1, 1, 8, 8)));
    let imported = read(&bytes_of("vector_conv"));
    assert_eq!(imported.net.shape(0), Some(&Shape::maps(1, 3, 7, 9)));
}

#[test]
fn an_archive_of_a_graph_and_its_classes_is_read() {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, content) in [("graph.pb", bytes_of("mlp")), ("labels.txt", b"a\nb\nc\nd\n".to_vec())] {
        archive.start_file(name, options).unwrap();
        archive.write_all(&content).unwrap();
    }
    let archive = archive.finish().unwrap().into_inner();
    assert_eq!(read(&archive).labels, ["a", "b", "c", "d"]);
    let none = tensorflow::read(b"PK\x03\x04 and no more", &LoadOptions::default());
    assert!(matches!(none, Err(ImportError::Damaged(_))));
}

/// A message field of a length, for graphs that no tool would write.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(content);
    out
}

fn node(name: &str, op: &str, inputs: &[&str], attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut message = [field(1, name.as_bytes()), field(2, op.as_bytes())].concat();
    inputs.iter().for_each(|input| message.extend(field(3, input.as_bytes())));
    for (key, value) in attributes {
        message.extend(field(5, &[field(1, key.as_bytes()), field(2, value)].concat()));
    }
    field(1, &message)
}

/// A placeholder of pictures of unknown size.
fn placeholder() -> Vec<u8> {
    let unknown = field(2, &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    let dims = [unknown.clone(), unknown.clone(), unknown, field(2, &[0x08, 3])].concat();
    node("input", "Placeholder", &[], &[("dtype", vec![0x30, 1]), ("shape", field(7, &dims))])
}

fn constant(name: &str, dims: &[u8], values: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&dim| field(2, &[0x08, dim])).collect();
    let tensor = [vec![0x08, 1], field(2, &dims), field(4, values)].concat();
    node(name, "Const", &[], &[("dtype", vec![0x30, 1]), ("value", field(8, &tensor))])
}

#[test]
fn a_size_that_is_not_stated_is_assumed() {
    let relu = node("relu", "Relu", &["input"], &[]);
    let graph = [placeholder(), relu].concat();
    let imported = read(&graph);
    assert_eq!(imported.net.shape(0), Some(&Shape::maps(1, 3, 224, 224)));
    assert!(imported.notes[0].contains("224×224 pixels are assumed"), "{:?}", imported.notes);
    let options = LoadOptions { size_px: Some([40, 50]), ..LoadOptions::default() };
    let imported = tensorflow::read(&graph, &options).unwrap();
    assert_eq!((imported.net.shape(0), imported.notes.len()), (Some(&Shape::maps(1, 3, 40, 50)), 0));

    // Pooling of 8×8 pixels after a stride of 32 is what 256 or more pixels give; 299 are tried first.
    let list = |numbers: [u8; 4]| field(1, &field(3, &numbers));
    let pool = |name, input, kernel, stride: u8| {
        let attributes = [
            ("ksize", list([1, kernel, kernel, 1])),
            ("strides", list([1, stride, stride, 1])),
            ("padding", field(2, b"VALID")),
        ];
        node(name, "MaxPool", &[input], &attributes)
    };
    let graph = [placeholder(), pool("a", "input", 1, 32), pool("b", "a", 8, 8)].concat();
    assert_eq!(read(&graph).net.shape(0), Some(&Shape::maps(1, 3, 299, 299)));
}

#[test]
fn an_unknown_shape_is_told_by_the_first_weights() {
    let input = node("input", "Placeholder", &[], &[("dtype", vec![0x30, 1])]);
    let list = |numbers: [u8; 4]| field(1, &field(3, &numbers));
    let attributes = [("strides", list([1, 1, 1, 1])), ("padding", field(2, b"SAME"))];
    let conv = node("conv", "Conv2D", &["input", "w"], &attributes);
    let graph = [input.clone(), constant("w", &[1, 1, 2, 4], &[1; 32]), conv].concat();
    assert_eq!(read(&graph).net.shape(0), Some(&Shape::maps(1, 2, 224, 224)));
    let dense = node("dense", "MatMul", &["input", "w"], &[]);
    let graph = [input, constant("w", &[12, 2], &[1; 96]), dense].concat();
    assert_eq!(read(&graph).net.shape(0), Some(&Shape::maps(1, 3, 2, 2)));
}

#[test]
fn dropout_passes_everything() {
    let list =
        [placeholder(), node("random", "RandomUniform", &["input"], &[]), constant("rate", &[], &[0, 0, 0, 0x3f])];
    let keep = [
        node("kept", "GreaterEqual", &["random", "rate"], &[]),
        constant("two", &[], &[0, 0, 0, 0x40]),
        node("doubled", "Mul", &["input", "two"], &[]),
        constant("zero", &[], &[0; 4]),
        node("dropout", "SelectV2", &["kept", "doubled", "zero"], &[]),
    ];
    let imported = read(&[list.concat(), keep.concat()].concat());
    let factors = |name: &str| imported.net.param_named(name).map(|param| param.data.to_vec());
    assert_eq!(factors("doubled/factor"), Some(vec![2.0; 3]));
    assert_eq!(factors("dropout/factor"), Some(vec![0.5; 3]));
}

#[test]
fn what_cannot_be_a_net_is_refused() {
    let relu = |input| node("relu", "Relu", &[input], &[]);
    let cases: [(Vec<u8>, &str); 10] = [
        (Vec::new(), "not a TensorFlow graph"),
        (b"\x1f\x8b\x08".to_vec(), "unpack it"),
        (constant("c", &[1], &[0; 4]), "nothing in the graph is computed from an input"),
        ([placeholder(), relu("nowhere")].concat(), "nothing in the graph is computed from an input"),
        ([placeholder(), node("odd", "Einsum", &["input"], &[])].concat(), "layer `odd`: the operation `Einsum`"),
        ([placeholder(), placeholder()].concat(), "two nodes have this name"),
        (
            [placeholder(), node("w", "VariableV2", &[], &[]), node("a", "Add", &["input", "w"], &[])].concat(),
            "layer `w`: its weights are not in this file",
        ),
        (
            [placeholder(), node("a", "Add", &["input", "b"], &[]), node("b", "Relu", &["a"], &[])].concat(),
            "nothing in the graph is computed from an input",
        ),
        (
            [placeholder(), constant("c", &[3], &[0; 8]), node("a", "Add", &["input", "c"], &[])].concat(),
            "layer `c`: the file is damaged: it has 8 bytes of values, but its shape holds 3",
        ),
        (
            [placeholder(), constant("c", &[5], &[0; 20]), node("a", "Add", &["input", "c"], &[])].concat(),
            "layer `a`: a constant of [5] cannot be spread over [1, 224, 224, 3]",
        ),
    ];
    for (bytes, expected) in cases {
        let error = tensorflow::read(&bytes, &LoadOptions::default()).err().map(|error| error.to_string());
        assert!(error.as_deref().is_some_and(|error| error.contains(expected)), "{error:?} should say: {expected}");
    }
}

#[test]
fn graphs_are_told_from_other_files() {
    for name in NETS {
        let bytes = bytes_of(name);
        assert!(tensorflow::looks_like(&bytes) && tensorflow::looks_like(&bytes[..64]), "{name}");
    }
    let saved = [vec![0x08, 1], field(2, &field(2, &bytes_of("mlp")))].concat();
    assert!(tensorflow::looks_like(&saved));
    assert_eq!(read(&saved).net.nodes().len(), read(&bytes_of("mlp")).net.nodes().len());
    // An ONNX model, a Caffe net, a text, nothing.
    let others: [&[u8]; 5] = [
        b"\x08\x01\x12\x07pytorch\x1a\x031.0",
        b"\x0a\x09GoogLeNet\xa2\x06\x05\x0a\x03abc",
        b"\nname",
        b"",
        b"\x0a\x00",
    ];
    for other in others {
        assert!(!tensorflow::looks_like(other), "{other:?}");
    }
}

/// SplitMix64 (Steele 2014).
struct Mutations(u64);

impl Mutations {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % bound.max(1) as u64) as usize
    }

    /// Flips a bit, sets a byte to an extreme, cuts out, doubles or moves a part.
    fn apply(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let part = at..(at + self.below(40)).min(bytes.len());
        match self.below(6) {
            0 | 1 => bytes[at] ^= 1 << self.below(8),
            2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
            3 => drop(bytes.drain(part)),
            4 => {
                let copy = bytes[part].to_vec();
                let to = self.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => bytes[at] = bytes[at].wrapping_add(1),
        }
    }
}

/// Whatever comes of it, no panic, and never long. A net that is read can be checked whole.
#[test]
fn damaged_graphs_give_errors() {
    let mut mutations = Mutations(1);
    let (mut read, mut refused) = (0, 0);
    let rounds = [("mlp", 8000), ("vector_conv", 6000), ("same", 4000), ("mobilenet", 1000), ("assorted", 1000)];
    for (name, rounds) in rounds {
        let original = bytes_of(name);
        for length in (0..original.len()).step_by(41) {
            let cut = tensorflow::read(&original[..length], &LoadOptions::default());
            refused += usize::from(cut.is_err());
        }
        for _ in 0..rounds {
            let mut bytes = original.clone();
            for _ in 0..=mutations.below(4) {
                mutations.apply(&mut bytes);
            }
            match tensorflow::read(&bytes, &LoadOptions { size_px: Some([16, 16]), ..LoadOptions::default() }) {
                Ok(imported) => {
                    read += 1;
                    let _ = imported.net.finish(
                        "net",
                        Preprocess { order: ChannelOrder::Rgb, mean: vec![0.0; 3], scale: vec![1.0; 3] },
                        Vec::new(),
                    );
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().len() < 2000, "{error}");
                }
            }
        }
    }
    assert!(read > 100 && refused > 1000, "{read} read, {refused} refused");
}

/// The pictures and the digits of the MNIST test set, as many as asked for.
fn mnist(count: usize) -> Option<(Vec<Vec<f64>>, Vec<usize>)> {
    let unpacked = |name: &str| -> Option<Vec<u8>> {
        let file = std::fs::File::open(support::shared_path(&format!("sets/mnist-test/{name}"))?).ok()?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut GzDecoder::new(file), &mut bytes).ok()?;
        Some(bytes)
    };
    let (images, labels) = (unpacked("t10k-images-idx3-ubyte.gz")?, unpacked("t10k-labels-idx1-ubyte.gz")?);
    let scaled = |image: &[u8]| image.iter().map(|&p| f64::from(p) / 255.0).collect();
    let images = images[16..].chunks_exact(28 * 28).take(count).map(scaled).collect();
    Some((images, labels[8..].iter().take(count).map(|&label| usize::from(label)).collect()))
}

#[test]
fn a_real_net_knows_its_digits() {
    const COUNT: usize = 400;
    let Some(path) = support::shared_path("nets/tensorflow/mnist-mlp/fc-layers-frozen.pb") else { return };
    let Some((images, labels)) = mnist(COUNT) else { return };
    let graph = finish(read(&std::fs::read(path).unwrap()));
    assert_eq!(graph.input().size, [28, 28]);
    let mut run = Reference::<f64>::new(&graph);
    let mut right = 0;
    for (image, label) in images.iter().zip(labels) {
        run.forward(&Shape::maps(1, 1, 28, 28), image, &[graph.output()], Run::default()).unwrap();
        let scores = run.blob(graph.output()).unwrap().data;
        let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        right += usize::from(best == Some(label));
    }
    assert!(right * 100 >= COUNT * 93, "{right} of {COUNT} are right");
}

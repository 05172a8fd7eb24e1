//! ONNX nets of several exporters and operator sets.

use std::path::Path;

use oneiric::formats::onnx::{self, External, Folder, Nowhere};
use oneiric::formats::{Imported, LoadOptions};
use oneiric::nn::graph::{ChannelOrder, Graph, Preprocess};

use super::support;

fn read(path: &Path) -> Imported {
    let bytes = std::fs::read(path).unwrap();
    assert!(onnx::looks_like(&bytes) && onnx::looks_like(&bytes[..64]), "{} is not recognized", path.display());
    onnx::read(&bytes, &Folder(path.parent().unwrap()), &LoadOptions::default())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn finish(imported: Imported) -> Graph {
    let input = imported.net.shape(0).unwrap().dims()[1];
    let order = if input == 1 { ChannelOrder::Gray } else { ChannelOrder::Rgb };
    let preprocess = Preprocess { order, mean: vec![0.5; input], scale: vec![2.0; input] };
    imported.net.finish(&imported.name, preprocess, imported.labels).unwrap()
}

fn net(name: &str) -> Imported {
    read(&support::data_path(&format!("onnx/{name}.onnx")))
}

/// The same net at the size of the reference's input.
fn sized(name: &str) -> Graph {
    let mut imported = net(name);
    let tensors = support::tensors(&reference(name));
    let input = &tensors.iter().find(|(name, _)| name == "input").unwrap().1;
    if imported.notes.iter().any(|note| note.contains("size of pictures open")) {
        imported.net.set_input_size([input.shape[2], input.shape[3]]);
    }
    finish(imported)
}

fn reference(name: &str) -> std::path::PathBuf {
    support::data_path(&format!("onnx/{name}.safetensors"))
}

#[test]
fn nets_of_pytorch_are_exact() {
    for name in ["torch_old", "torch_new", "half", "gelu", "gelu_by_erf"] {
        support::check(&sized(name), &reference(name));
    }
    support::check(&sized_external(), &reference("torch_new"));
}

fn sized_external() -> Graph {
    finish(net("external"))
}

#[test]
fn nets_of_keras_are_exact() {
    support::check(&sized("keras"), &reference("keras"));
}

#[test]
fn old_and_new_operator_sets_are_exact() {
    for name in ["opset1", "opset6", "opset8"] {
        support::check(&sized(name), &reference(name));
    }
    let bytes = std::fs::read(support::data_path("onnx/opset18.onnx")).unwrap();
    let options = LoadOptions { size_px: Some([13, 16]), ..LoadOptions::default() };
    support::check(&finish(onnx::read(&bytes, &Nowhere, &options).unwrap()), &reference("opset18"));
}

#[test]
fn a_size_that_the_file_states_is_the_nets() {
    let stated = net("opset8").net.shape(0).unwrap().clone();
    let bytes = std::fs::read(support::data_path("onnx/opset8.onnx")).unwrap();
    let options = LoadOptions { size_px: Some([57, 58]), ..LoadOptions::default() };
    assert_eq!(onnx::read(&bytes, &Nowhere, &options).unwrap().net.shape(0), Some(&stated));
}

/// What onnxruntime computes differs from the numbers by the rounding of 8-bit activations, which is left out here:
/// a few hundredths of the largest value, as the integers of the last layers are steps of a hundredth.
#[test]
fn quantized_nets_are_near_their_integers() {
    const ROUNDING: f64 = 0.03;
    for name in ["qdq", "qoperator", "dynamic"] {
        let graph = sized(name);
        let tensors = support::tensors(&reference(name));
        let find = |prefix: &str| tensors.iter().find(|(name, _)| name.starts_with(prefix)).unwrap();
        let ((_, input), (blob, expected)) = (find("input"), find("blob:"));
        let mut failures = Vec::new();
        let got = support::run_plainly(&graph, input, graph.output()).0;
        support::compare(&format!("{name} {blob}"), &got, expected, ROUNDING, &mut failures);
        assert!(failures.is_empty(), "{failures:?}");
        assert!(net(name).notes.iter().any(|note| note.contains("quantized")));
    }
}

#[test]
fn class_names_and_origin_are_read() {
    let imported = net("torch_new");
    assert_eq!(imported.labels, ["class 0", "class 1", "class 2", "class 3", "class 4", "class 5"]);
    assert!(imported.provenance.source.contains("pytorch"), "{}", imported.provenance.source);
    assert_eq!(imported.notes, Vec::<String>::new());
    assert!(net("torch_old").notes.iter().any(|note| note.contains("224")), "{:?}", net("torch_old").notes);
}

/// Weights beside the model that are cut short, missing, or outside of its folder.
#[test]
fn other_files_are_held_to_what_the_model_says() {
    struct Short;
    impl External for Short {
        fn read(&self, _: &str, _: u64, _: Option<u64>) -> Result<Vec<u8>, oneiric::formats::ImportError> {
            Ok(vec![0; 3])
        }
    }
    let bytes = std::fs::read(support::data_path("onnx/external.onnx")).unwrap();
    let read =
        |external: &dyn External| onnx::read(&bytes, external, &LoadOptions::default()).err().unwrap().to_string();
    assert!(read(&Nowhere).contains("`external.bin`, which is not at hand"), "{}", read(&Nowhere));
    assert!(read(&Short).contains("cut short"), "{}", read(&Short));
    let away: Vec<u8> = String::from_utf8_lossy(&bytes).contains("external.bin").then(|| replaced(&bytes)).unwrap();
    let error = onnx::read(&away, &Short, &LoadOptions::default()).err().unwrap().to_string();
    assert!(error.contains("outside of the model's folder"), "{error}");
}

/// The model with `../ernal.bin` as the file of its weights.
fn replaced(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() {
        if bytes[at..].starts_with(b"external.bin") {
            bytes[at..at + 3].copy_from_slice(b"../");
        }
    }
    bytes
}

#[test]
fn damaged_files_are_errors_and_never_panics() {
    let started = std::time::Instant::now();
    for (name, step) in [("opset8", 7), ("opset18", 11), ("qdq", 23), ("torch_old", 97), ("keras", 97)] {
        let bytes = std::fs::read(support::data_path(&format!("onnx/{name}.onnx"))).unwrap();
        let options = LoadOptions { size_px: Some([20, 18]), ..LoadOptions::default() };
        for end in (0..bytes.len()).step_by(step) {
            assert!(onnx::read(&bytes[..end], &Nowhere, &options).is_err(), "{name} cut at {end}");
        }
        // A flipped bit may leave a net that is whole.
        for at in (0..bytes.len()).step_by(step) {
            for flip in [0x01, 0x80] {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                let _ = onnx::read(&bytes, &Nowhere, &options);
            }
        }
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

/// What is written is read back as a net that computes the same.
#[test]
fn written_nets_come_back() {
    for name in ["torch_old", "torch_new", "keras", "opset1", "opset6", "opset8", "half", "qdq"] {
        let graph = sized(name);
        let bytes = onnx::to_bytes(&graph).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(onnx::looks_like(&bytes));
        let size_px = Some(graph.input().size);
        let imported = onnx::read(&bytes, &Nowhere, &LoadOptions { size_px, ..LoadOptions::default() })
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(imported.labels, graph.labels(), "{name}");
        assert_eq!(imported.preprocess.mean.as_ref(), Some(&graph.preprocess().mean), "{name}");
        assert_eq!(imported.preprocess.scale.as_ref(), Some(&graph.preprocess().scale), "{name}");
        assert_eq!(imported.preprocess.order, Some(graph.preprocess().order), "{name}");
        let again = finish(imported);
        assert_eq!(again.node(again.output()).name, graph.node(graph.output()).name);
        let tensors = support::tensors(&reference(name));
        let input = &tensors.iter().find(|(name, _)| name == "input").unwrap().1;
        let (output, gradient) = support::run_plainly(&graph, input, graph.output());
        let (output_again, gradient_again) = support::run_plainly(&again, input, again.output());
        let mut failures = Vec::new();
        for (what, got, data) in [("output", output_again, output), ("gradient", gradient_again, gradient)] {
            let expected = support::Tensor { shape: vec![data.len()], data };
            support::compare(&format!("{name} {what}"), &got, &expected, 1e-6, &mut failures);
        }
        assert!(failures.is_empty(), "{failures:?}");
    }
}

fn unzipped(path: &Path) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).unwrap();
    flate2::read::GzDecoder::new(file).take(1 << 24).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Real nets that other people trained, on pictures that they were not trained on.
#[test]
fn trained_nets_know_digits() {
    const PICTURES: usize = 300;
    let Some(set) = support::shared_path("sets/mnist-test") else { return };
    let pictures = unzipped(&set.join("t10k-images-idx3-ubyte.gz"));
    let labels = unzipped(&set.join("t10k-labels-idx1-ubyte.gz"));
    let nets: [(&str, [f64; 2]); 2] = [
        ("nets/onnx/zoo-mnist-8/mnist-8.onnx", [0.0, 1.0]),
        ("nets/onnx/mnist-burn/mnist-2023-04.onnx", [0.1307 * 255.0, 1.0 / (0.3081 * 255.0)]),
    ];
    for (name, [mean, scale]) in nets {
        let Some(path) = support::shared_path(name) else { continue };
        let graph = finish(read(&path));
        let mut right = 0;
        for (picture, &label) in pictures[16..].chunks_exact(28 * 28).zip(&labels[8..]).take(PICTURES) {
            let data = picture.iter().map(|&value| (f64::from(value) - mean) * scale).collect();
            let input = support::Tensor { shape: vec![1, 1, 28, 28], data };
            let scores = support::run_plainly(&graph, &input, graph.output()).0;
            let best = (0..10).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
            right += usize::from(best == usize::from(label));
        }
        assert!(right * 100 >= PICTURES * 98, "{name}: {right} of {PICTURES}");
    }
}

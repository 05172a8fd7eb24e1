//! PyTorch checkpoints: tensors to the bit, recognized nets against PyTorch's outputs, real nets by their accuracy.

use std::sync::Arc;

use oneiric::base::tensor::{Shape, nhwc_from_nchw};
use oneiric::formats::{Imported, LoadOptions, pytorch};
use oneiric::nn::exec::FrozenNet;
use oneiric::nn::graph::{ChannelOrder, Graph, Preprocess};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::support::{self, data_path, shared_path};

/// The net, with the preprocessing that it is found with.
pub fn finish(imported: Imported) -> Graph {
    let channels = imported.net.shape(0).unwrap().dims()[1];
    let preprocess = Preprocess {
        order: imported.preprocess.order.unwrap_or(if channels == 1 { ChannelOrder::Gray } else { ChannelOrder::Rgb }),
        mean: imported.preprocess.mean.unwrap_or(vec![0.0; channels]),
        scale: imported.preprocess.scale.unwrap_or(vec![1.0; channels]),
    };
    imported.net.finish(&imported.name, preprocess, imported.labels).unwrap()
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(data_path("pytorch").join(name)).unwrap()
}

/// The share of the first CIFAR-10 pictures of which the net finds the class.
pub fn cifar10_accuracy(graph: Graph) -> Option<f64> {
    const PICTURE_BYTES: usize = 1 + 3 * 32 * 32;
    const PICTURES: usize = 100;
    let file = std::fs::read(shared_path("sets/cifar10-train4000/data_batch_1_first1000.bin")?).unwrap();
    let pictures: Vec<(u8, &[u8])> =
        file.chunks_exact(PICTURE_BYTES).take(PICTURES).map(|picture| (picture[0], &picture[1..])).collect();
    Some(accuracy(graph, [3, 32, 32], &pictures))
}

/// Of pictures in the layout of the net's input, channel by channel.
fn accuracy(graph: Graph, [channels, height, width]: [usize; 3], pictures: &[(u8, &[u8])]) -> f64 {
    let Preprocess { mean, scale, .. } = graph.preprocess().clone();
    let output = graph.output();
    let net = FrozenNet::new(Arc::new(graph), &[output]);
    let dims = [pictures.len(), channels, height, width];
    let values: Vec<f32> = pictures
        .iter()
        .flat_map(|(_, pixels)| pixels.chunks_exact(height * width).zip(mean.iter().zip(&scale)))
        .flat_map(|(plane, (mean, scale))| plane.iter().map(move |&pixel| (f32::from(pixel) - mean) * scale))
        .collect();
    let mut session = net.session(&Shape::new(&dims).unwrap(), false, None).unwrap();
    session.input_mut().copy_from_slice(&nhwc_from_nchw(dims, &values));
    session.forward();
    let scores = session.blob(output);
    let right = pictures
        .iter()
        .zip(scores.data.chunks_exact(scores.data.len() / pictures.len()))
        .filter(|((label, _), scores)| scores.iter().all(|&score| score <= scores[usize::from(*label)]));
    right.count() as f64 / pictures.len() as f64
}

#[test]
fn every_format_of_one_state_dict_gives_its_tensors_to_the_bit() {
    let expected = pytorch::safetensors_tensors(&bytes("tensors.safetensors")).unwrap();
    let exact = [
        "zip.pt",
        "legacy.pt",
        "protocol4.pt",
        "protocol5.pt",
        "legacy_protocol4.pt",
        "deflated.pt",
        "big_endian.pt",
        "double_legacy.pt",
        "data_parallel.pt",
        "own_wrapper.pt",
        "module.pt",
        "script.pt",
        "views.pt",
        "views_legacy.pt",
    ];
    let mut failures = Vec::new();
    for name in exact {
        match pytorch::tensors(&bytes(name)) {
            Ok(mut got) => {
                if let Some(repeated) = got.params.remove("repeated") {
                    assert_eq!((repeated.shape, &*repeated.data), (vec![3, 2], &[2.0; 6][..]));
                }
                if got.params != expected.params || !got.notes.is_empty() {
                    failures.push(format!("{name}: {:?} {:?}", got.order, got.notes));
                }
            }
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(expected.params.len(), 7);

    let order = pytorch::tensors(&bytes("zip.pt")).unwrap().order;
    assert_eq!(order[..3], ["block.conv.weight", "block.bn.weight", "block.bn.bias"]);
    let parameters = pytorch::tensors(&bytes("parameters.pt")).unwrap();
    assert!(parameters.params.len() == 5 && parameters.params["head.1.bias"] == expected.params["head.1.bias"]);
    let layer = pytorch::tensors(&bytes("module_legacy.pt")).unwrap();
    assert_eq!(layer.order, ["weight", "bias"]);
    assert_eq!(layer.params["weight"], expected.params["head.1.weight"]);
}

#[test]
fn half_precision_is_rounded_as_pytorch_rounds() {
    for (checkpoint, safetensors) in [("half.pt", "half.safetensors"), ("bfloat16.pt", "bfloat16.safetensors")] {
        let got = pytorch::tensors(&bytes(checkpoint)).unwrap();
        let expected = pytorch::safetensors_tensors(&bytes(safetensors)).unwrap();
        for (name, param) in &expected.params {
            assert_eq!(got.params[name], *param, "{name} of {checkpoint}");
        }
    }
}

#[test]
fn recognized_nets_compute_what_pytorch_computes() {
    for name in ["cifar_resnet_a", "cifar_resnet_b", "tutorial", "mnist_example", "burn_mnist"] {
        let imported = pytorch::read(&bytes(&format!("{name}.pt")), &LoadOptions::default())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(imported.notes.len(), 1, "{name}");
        support::check(&finish(imported), &data_path("pytorch").join(format!("{name}.safetensors")));
    }
}

#[test]
fn safetensors_of_the_same_tensors_compute_the_same() {
    for name in ["cifar_resnet_b", "tutorial"] {
        let dict = pytorch::tensors(&bytes(&format!("{name}.pt"))).unwrap();
        let data: Vec<(&String, Vec<u8>)> = dict
            .params
            .iter()
            .map(|(name, param)| (name, param.data.iter().flat_map(|value| value.to_le_bytes()).collect()))
            .collect();
        let views = data.iter().map(|(name, data)| {
            let shape = dict.params[*name].shape.clone();
            (name.as_str(), TensorView::new(Dtype::F32, shape, data).unwrap())
        });
        let file = safetensors::serialize(views, None).unwrap();
        let imported =
            pytorch::read_safetensors(&file, &LoadOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        support::check(&finish(imported), &data_path("pytorch").join(format!("{name}.safetensors")));
    }
}

#[test]
fn cut_and_spoilt_checkpoints_are_errors() {
    for name in ["zip.pt", "legacy.pt", "deflated.pt", "views_legacy.pt"] {
        let whole = bytes(name);
        let expected = pytorch::tensors(&whole).unwrap();
        for length in (0..whole.len()).step_by(3) {
            if let Ok(got) = pytorch::tensors(&whole[..length]) {
                panic!("{name} cut at {length} gives {:?}", got.order);
            }
        }
        for at in (0..whole.len()).step_by(2) {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 0x55;
            if let Ok(got) = pytorch::tensors(&spoilt) {
                assert!(got.params.len() <= expected.params.len() + 1, "{name} spoilt at {at}");
            }
        }
    }
}

#[test]
fn real_residual_net_for_cifar() {
    let Some(path) = shared_path("nets/pytorch/cifar10-resnet20/resnet20-12fca82f.th") else { return };
    let imported = pytorch::read(&std::fs::read(path).unwrap(), &LoadOptions::default()).unwrap();
    assert_eq!(imported.name, "resnet20_cifar");
    if let Some(accuracy) = cifar10_accuracy(finish(imported)) {
        assert!(accuracy >= 0.98, "{accuracy}");
    }
}

#[test]
fn real_tutorial_net() {
    let Some(path) = shared_path("nets/pytorch/cifar10-captum/cifar_torchvision.pt") else { return };
    let imported = pytorch::read(&std::fs::read(path).unwrap(), &LoadOptions::default()).unwrap();
    if let Some(accuracy) = cifar10_accuracy(finish(imported)) {
        assert!(accuracy >= 0.55, "{accuracy}");
    }
}

#[test]
fn real_mnist_net_in_safetensors() {
    let Some(path) = shared_path("nets/onnx/mnist-burn/mnist.safetensors") else { return };
    let imported = pytorch::read_safetensors(&std::fs::read(path).unwrap(), &LoadOptions::default()).unwrap();
    assert_eq!(imported.name, "burn_mnist");
    let graph = finish(imported);
    let Some(images) = shared_path("sets/mnist-test/t10k-images-idx3-ubyte.gz") else { return };
    let Some(labels) = shared_path("sets/mnist-test/t10k-labels-idx1-ubyte.gz") else { return };
    let unpack = |path| {
        let mut content = Vec::new();
        let packed = std::fs::read::<std::path::PathBuf>(path).unwrap();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut content).unwrap();
        content
    };
    let (images, labels) = (unpack(images), unpack(labels));
    let pictures: Vec<(u8, &[u8])> =
        labels[8..].iter().copied().zip(images[16..].chunks_exact(28 * 28)).take(500).collect();
    let accuracy = accuracy(graph, [1, 28, 28], &pictures);
    assert!(accuracy >= 0.97, "{accuracy}");
}

/// For tests/refs/state_dict_check.py: state dicts of nets, and what the nets answer to a picture.
#[test]
#[ignore = "writes files for a check that needs PyTorch"]
fn write_state_dicts() {
    use oneiric::formats::architectures::{Architecture, RandomParams};
    let folder = std::path::PathBuf::from(std::env::var_os("STATE_DICT_FOLDER").expect("STATE_DICT_FOLDER is set"));
    let chosen = std::env::var("STATE_DICT_NETS").unwrap_or("squeezenet1_1 resnet18 googlenet".into());
    for name in chosen.split_whitespace() {
        let architecture: Architecture = name.parse().unwrap();
        let graph = architecture.blueprint(10).build(&mut RandomParams::new(3), Vec::new()).unwrap();
        let dict = pytorch::to_state_dict_safetensors(&graph).unwrap();
        std::fs::write(folder.join(format!("{name}.safetensors")), dict).unwrap();
        let size = graph.input().size;
        let dims = [1, 3, size[0], size[1]];
        let picture: Vec<f32> =
            (0..dims.iter().product::<usize>()).map(|i| (i * 7919 % 997) as f32 / 997.0 - 0.5).collect();
        let output = graph.output();
        let net = FrozenNet::new(Arc::new(graph), &[output]);
        let mut session = net.session(&Shape::new(&dims).unwrap(), false, None).unwrap();
        session.input_mut().copy_from_slice(&nhwc_from_nchw(dims, &picture));
        session.forward();
        let as_bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let (input, softmax) = (as_bytes(&picture), as_bytes(session.blob(output).data));
        let view = |shape: &[usize], bytes| {
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), bytes).unwrap()
        };
        let views = [("input", view(&dims, &input)), ("softmax", view(&[1, 10], &softmax))];
        std::fs::write(folder.join(format!("{name}.answers")), safetensors::serialize(views, None).unwrap()).unwrap();
    }
}

/// The state dicts that tests/refs/timm_check.py writes, against the answers of timm's nets.
#[test]
#[ignore = "reads files that timm made"]
fn timm_state_dicts() {
    let folder = std::path::PathBuf::from(std::env::var_os("TIMM_FOLDER").expect("TIMM_FOLDER is set"));
    let mut failures = Vec::new();
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let imported = match pytorch::read_safetensors(&std::fs::read(&path).unwrap(), &LoadOptions::default()) {
            Ok(imported) => imported,
            Err(error) => {
                failures.push(format!("{name}: {error}"));
                continue;
            }
        };
        println!("{name} is {}", imported.name);
        let graph = finish(imported);
        let answers = support::tensors(&path.with_extension("answers"));
        let find = |wanted: &str| &answers.iter().find(|(name, _)| name == wanted).unwrap().1;
        let (got, _) = support::run_plainly(&graph, find("input"), graph.logits());
        support::compare(&name, &got, find("logits"), support::TOLERANCE, &mut failures);
        checked += 1;
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(checked > 0);
}

//! Lasagne's parameter lists: arrays to the bit, a net against PyTorch's arithmetic, a real net by its accuracy.

use oneiric::formats::lasagne::{self, ParamList};
use oneiric::formats::{LoadOptions, pytorch};
use oneiric::nn::graph::ChannelOrder;

use super::pytorch::{cifar10_accuracy, finish};
use super::support::{self, data_path, shared_path};

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(data_path("lasagne").join(name)).unwrap()
}

const FILES: [&str; 9] = [
    "list_objects.npz",
    "list.npz",
    "list_compressed.npz",
    "list_p0.pkl",
    "list_p2.pkl",
    "list_p4.pkl",
    "list_p5.pkl",
    "zoo_python2_p0.pkl",
    "zoo_python2_p2.pkl",
];

#[test]
fn every_format_of_one_list_gives_its_arrays_to_the_bit() {
    let expected = pytorch::safetensors_tensors(&bytes("list.safetensors")).unwrap().params;
    let mut failures = Vec::new();
    for name in FILES {
        match ParamList::read(&bytes(name)) {
            Ok(list) => {
                let agree = (0..).zip(&list.arrays).all(|(i, array)| expected.get(&format!("arr_{i}")) == Some(array));
                if !agree || list.arrays.len() != 12 {
                    failures.push(format!("{name}: {:?}", list.arrays));
                }
            }
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let zoo = ParamList::read(&bytes("zoo_python2_p0.pkl")).unwrap();
    assert_eq!(zoo.labels, ["tench, Tinca tinca", "hen"]);
    assert_eq!((zoo.mean, zoo.notes.len()), (Some(vec![103.939, 116.779, 123.68]), 0));
    let other = ParamList::read(&bytes("zoo_python2_p2.pkl")).unwrap();
    assert_eq!((other.mean, other.notes.len()), (Some(vec![1.0, 2.0, 3.0]), 1));
}

#[test]
fn lists_and_checkpoints_are_told_apart() {
    for name in FILES {
        assert!(lasagne::is_list(&bytes(name)) && !pytorch::is_checkpoint(&bytes(name)), "{name}");
    }
    for name in ["zip.pt", "legacy.pt", "legacy_protocol4.pt", "script.pt", "deflated.pt"] {
        let bytes = std::fs::read(data_path("pytorch").join(name)).unwrap();
        assert!(pytorch::is_checkpoint(&bytes) && !lasagne::is_list(&bytes), "{name}");
    }
    let safetensors = bytes("list.safetensors");
    assert!(!pytorch::is_checkpoint(&safetensors) && !lasagne::is_list(&safetensors));
}

#[test]
fn a_residual_net_computes_what_it_should() {
    for architecture in [None, Some("resnet8_cifar10".to_string())] {
        let options = LoadOptions { architecture, ..LoadOptions::default() };
        let imported = lasagne::read(&bytes("residual.npz"), &options).unwrap();
        assert_eq!(imported.name, "resnet8_cifar10");
        support::check(&finish(imported), &data_path("lasagne/residual.safetensors"));
    }
    let error = lasagne::read(&bytes("list.npz"), &LoadOptions::default()).err().unwrap().to_string();
    assert!(error.contains("12 arrays") && error.contains("--architecture (vgg16, "), "{error}");
}

#[test]
fn cut_and_spoilt_lists_are_errors() {
    for name in ["list_compressed.npz", "list_p2.pkl", "zoo_python2_p0.pkl"] {
        let whole = bytes(name);
        for length in (0..whole.len()).step_by(3) {
            assert!(ParamList::read(&whole[..length]).is_err(), "{name} cut at {length}");
        }
        for at in 0..whole.len() {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 0x11;
            if let Ok(list) = ParamList::read(&spoilt) {
                assert!(list.arrays.len() <= 12, "{name} spoilt at {at}");
            }
        }
    }
}

#[test]
fn real_residual_net_for_cifar() {
    let Some(path) = shared_path("nets/lasagne/cifar10-resnet32/cifar_model_n5.npz") else { return };
    let imported = lasagne::read(&std::fs::read(path).unwrap(), &LoadOptions::default()).unwrap();
    assert_eq!((imported.name.as_str(), imported.preprocess.order), ("resnet32_cifar10", Some(ChannelOrder::Rgb)));
    if let Some(accuracy) = cifar10_accuracy(finish(imported)) {
        assert!(accuracy >= 0.98, "{accuracy}");
    }
}

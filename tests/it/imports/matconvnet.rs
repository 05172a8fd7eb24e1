//! MatConvNet nets against their published formulas, computed by PyTorch (`tests/refs/matconvnet_nets.py`).

use oneiric::formats::matconvnet::read;
use oneiric::formats::{Imported, LoadOptions};
use oneiric::nn::graph::{ChannelOrder, Graph, Preprocess};

use super::support::{check, data_path, shared_path};

fn load(name: &str) -> Imported {
    let bytes = std::fs::read(data_path(&format!("matconvnet/{name}.mat"))).unwrap();
    read(&bytes, &LoadOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn finish(imported: Imported) -> Graph {
    let channels = imported.net.shape(0).unwrap().dims()[1];
    let order = imported.preprocess.order.unwrap();
    let preprocess = Preprocess { order, mean: vec![0.0; channels], scale: vec![1.0; channels] };
    imported.net.finish("net", preprocess, imported.labels).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn nets_compute_what_matconvnet_does() {
    for name in ["old_simple", "checkpoint", "distance", "dag", "branches"] {
        check(&finish(load(name)), &data_path(&format!("matconvnet/{name}.safetensors")));
    }
}

#[test]
fn files_of_matlab_7_3_hold_the_same_nets() {
    check(&finish(load("branches_hdf5")), &data_path("matconvnet/branches.safetensors"));
}

#[test]
fn an_old_net_tells_its_pictures_and_classes() {
    let net = load("old_simple");
    assert_eq!(net.labels, ["tench, Tinca", "goldfish", "shark", "ray"]);
    assert_eq!((net.preprocess.order, net.preprocess.scale), (Some(ChannelOrder::Rgb), Some(vec![1.0])));
    let mean = net.preprocess.mean.unwrap();
    assert!(
        (mean[0] - 120.0).abs() < 2.0 && (mean[1] - 100.0).abs() < 2.0 && (mean[2] - 120.0).abs() < 2.0,
        "{mean:?}"
    );
    assert!(net.notes.iter().any(|note| note.contains("mean picture")), "{:?}", net.notes);
    assert_eq!(net.net.shape(0).unwrap().dims(), [1, 3, 18, 13]);
}

#[test]
fn a_checkpoint_tells_its_size_and_classes_only() {
    let net = load("checkpoint");
    assert_eq!(net.labels, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(
        (net.preprocess.order, net.preprocess.mean, net.preprocess.scale),
        (Some(ChannelOrder::Gray), None, None)
    );
    assert_eq!(net.net.shape(0).unwrap().dims(), [1, 1, 14, 12]);
    assert_eq!(net.notes, Vec::<String>::new());
}

#[test]
fn a_dag_runs_in_order_and_loses_its_heads() {
    let net = load("dag");
    assert_eq!(net.preprocess.mean, Some(vec![123.0, 117.0, 104.0]));
    let names: Vec<&str> = net.net.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!((names[0], *names.last().unwrap()), ("data", "softmax"));
    assert!(!names.contains(&"top1err") && !names.contains(&"objective") && !names.contains(&"distance"), "{names:?}");
    assert_eq!(net.notes, Vec::<String>::new());
}

#[test]
fn a_published_checkpoint_loads() {
    let Some(path) = shared_path("nets/matconvnet/mnist2class-lenet/net-epoch-50.mat") else { return };
    let net = read(&std::fs::read(path).unwrap(), &LoadOptions::default()).unwrap();
    let names: Vec<&str> = net.net.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names[1..3], ["conv1-compRand-gen", "pool1"]);
    assert_eq!(net.net.shape(0).unwrap().dims(), [1, 3, 32, 32]);
    assert!(net.notes.iter().any(|note| note.contains("32×32")), "{:?}", net.notes);
    let graph = finish(net);
    assert_eq!(graph.shapes(&graph.native_input_shape(1)).unwrap().last().unwrap().dims(), [1, 10, 1, 1]);
    check(&graph, &data_path("matconvnet/mnist2class-lenet.safetensors"));
}

/// Nothing but an error may come of a file that was cut or changed, and it must come soon.
#[test]
fn damaged_files_are_refused() {
    for name in ["old_simple", "checkpoint", "dag", "branches_hdf5"] {
        let bytes = std::fs::read(data_path(&format!("matconvnet/{name}.mat"))).unwrap();
        let options = LoadOptions::default();
        // A file that ends after a variable is a whole one with fewer variables.
        let mut ends = vec![128];
        while let Some(tag) = bytes.get(ends[ends.len() - 1]..).and_then(|rest| rest.first_chunk::<8>()) {
            ends.push(ends[ends.len() - 1] + 8 + u32::from_le_bytes(tag[4..].try_into().unwrap()) as usize);
        }
        for len in (0..bytes.len()).step_by(bytes.len() / 150 + 1).filter(|len| !ends.contains(len)) {
            assert!(read(&bytes[..len], &options).is_err(), "{name} cut at {len}");
        }
        for at in (0..bytes.len()).step_by(bytes.len() / 300 + 1) {
            for value in [0, 0xff, bytes[at] ^ 0x10] {
                let mut changed = bytes.clone();
                changed[at] = value;
                if let Ok(net) = read(&changed, &options) {
                    let channels = net.net.shape(0).map_or(0, |shape| shape.dims()[1]);
                    let preprocess =
                        Preprocess { order: ChannelOrder::Rgb, mean: vec![0.0; channels], scale: vec![1.0; channels] };
                    _ = net.net.finish("net", preprocess, Vec::new());
                }
            }
        }
    }
}

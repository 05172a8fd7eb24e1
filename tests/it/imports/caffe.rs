//! Nets of Caffe.

use std::path::Path;

use oneiric::formats::caffe::{self, Sources};
use oneiric::formats::{ImportError, Imported, LoadOptions};
use oneiric::nn::graph::{ChannelOrder, Graph, Preprocess};
use oneiric::nn::ops::Op;

use super::support::{self, Tensor};

fn read_text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read_bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A graph with what the file leaves open filled in for the tests.
fn graph(imported: Imported) -> Graph {
    let Op::Input(input) = &imported.net.nodes()[0].op else { panic!("the first node is no input") };
    let channels = input.channels;
    let order = if channels == 1 { ChannelOrder::Gray } else { ChannelOrder::Bgr };
    let preprocess = Preprocess { order, mean: vec![0.0; channels], scale: vec![1.0; channels] };
    imported.net.finish(&imported.name, preprocess, Vec::new()).unwrap_or_else(|error| panic!("{error}"))
}

/// A net of the folder of real nets.
fn real(folder: &str, prototxt: Option<&str>, caffemodel: &str) -> Option<Imported> {
    let folder = support::shared_path(&format!("nets/caffe/{folder}"))?;
    let text = prototxt.map(|name| read_text(&folder.join(name)));
    let bytes = read_bytes(&folder.join(caffemodel));
    assert!(caffe::looks_like_caffemodel(&bytes));
    assert!(text.as_deref().is_none_or(caffe::looks_like_prototxt));
    let sources = Sources { prototxt: text.as_deref(), caffemodel: Some(&bytes), ..Sources::default() };
    Some(caffe::read(&sources, &LoadOptions::default()).unwrap_or_else(|error| panic!("{error}")))
}

/// An array of NumPy's, of the reference values beside the real nets.
fn npy(name: &str) -> Tensor {
    let bytes = read_bytes(&support::shared_path(&format!("reference/{name}.npy")).expect("the references are there"));
    let len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + len]).unwrap();
    let shape = &header[header.find("'shape': (").unwrap() + 10..];
    let shape = shape[..shape.find(')').unwrap()].split(',').filter_map(|dim| dim.trim().parse().ok()).collect();
    assert!(header.contains("'fortran_order': False"), "{header}");
    let data = &bytes[10 + len..];
    let data = if header.contains("<f8") {
        data.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
    } else {
        assert!(header.contains("<f4"), "{header}");
        data.as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
    };
    Tensor { shape, data }
}

#[test]
fn real_debug() {
    for (folder, prototxt, model) in [
        ("googlenet", Some("bvlc_deploy.prototxt"), "bvlc_googlenet_v1.caffemodel"),
        ("squeezenet-v1.1", Some("deploy.prototxt"), "squeezenet_v1.1_v2.caffemodel"),
        ("lenet-mnist-fooling", Some("lenet_image_memory_data.prototxt"), "lenet_iter_10000.caffemodel"),
        ("lenet-mnist-fooling", None, "lenet_iter_10000.caffemodel"),
        ("lenet-mnist-ethereon", Some("lenet.prototxt"), "lenet_iter_10000.caffemodel"),
        ("lenet-mnist-ethereon", None, "lenet_iter_10000.caffemodel"),
        ("cifar10-quick", Some("cifar10_quick.prototxt"), "cifar10_quick_iter_5000.caffemodel"),
        ("cifar10-quick", Some("cifar10_quick_train_test.prototxt"), "cifar10_quick_iter_5000.caffemodel"),
        ("cifar10-quick", None, "cifar10_quick_iter_5000.caffemodel"),
        ("googlenet", None, "bvlc_googlenet_v1.caffemodel"),
        ("squeezenet-v1.1", None, "squeezenet_v1.1_v2.caffemodel"),
    ] {
        let start = std::time::Instant::now();
        let folder_path = support::shared_path(&format!("nets/caffe/{folder}")).unwrap();
        let text = prototxt.map(|name| read_text(&folder_path.join(name)));
        let bytes = read_bytes(&folder_path.join(model));
        let sources = Sources { prototxt: text.as_deref(), caffemodel: Some(&bytes), ..Sources::default() };
        match caffe::read(&sources, &LoadOptions::default()) {
            Ok(imported) => {
                println!("{folder} {prototxt:?} {} {:?} {:?} in {:?}", imported.name, imported.preprocess, imported.notes, start.elapsed());
                let n = imported.net.nodes().len();
                for (i, node) in imported.net.nodes().iter().enumerate() {
                    if i < 4 || i + 3 > n { println!("   {} {} {:?}", node.name, node.op.kind(), imported.net.shape(i)); }
                }
            }
            Err(error) => println!("{folder} {prototxt:?} ERROR {error}"),
        }
    }
}

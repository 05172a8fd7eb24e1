//! Nets of Caffe.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use oneiric::base::tensor::{Shape, nchw_from_nhwc, nhwc_from_nchw};
use oneiric::formats::caffe::{self, Sources};
use oneiric::formats::{ImportError, Imported, LoadOptions};
use oneiric::nn::exec::FrozenNet;
use oneiric::nn::exec::reference::Reference;
use oneiric::nn::graph::{ChannelOrder, Graph, NodeId, Preprocess};
use oneiric::nn::ops::{Input, Op, Run};

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

/// Holds a real net to a reimplementation in f64: the probabilities of a photo, and gradients of blobs by their nodes.
fn check_real(graph: &Graph, name: &str, [photo, size]: [&str; 2], gradients: &[(&str, &str)]) {
    let input = npy(&format!("input_{photo}_{size}_bgr_nchw"));
    let dims: [usize; 4] = input.shape.as_slice().try_into().unwrap();
    let nodes: Vec<NodeId> = gradients.iter().map(|(_, node)| graph.find(node).unwrap()).collect();
    let targets: Vec<NodeId> = nodes.iter().copied().chain([graph.output()]).collect();
    let mut run = Reference::<f64>::new(graph);
    run.forward(&Shape::new(&dims).unwrap(), &nhwc_from_nchw(dims, &input.data), &targets, Run::default()).unwrap();
    let mut failures = Vec::new();
    let probabilities = run.blob(graph.output()).unwrap().data.to_vec();
    let expected = npy(&format!("probs_{name}_{photo}"));
    support::compare("probabilities", &probabilities, &expected, support::TOLERANCE, &mut failures);
    for ((blob, _), node) in gradients.iter().zip(nodes) {
        let seed = run.blob(node).unwrap().data.to_vec();
        run.backward(&[(node, seed)], |_| false);
        let expected = npy(&format!("grad_{name}_{photo}_{blob}"));
        let gradient = nchw_from_nhwc(dims, run.d_input());
        support::compare(blob, &gradient, &expected, support::TOLERANCE, &mut failures);
    }
    assert!(failures.is_empty(), "{name}: {failures:#?}");
}

#[test]
fn googlenet_computes_what_caffe_does() {
    let Some(imported) = real("googlenet", Some("bvlc_deploy.prototxt"), "bvlc_googlenet_v1.caffemodel") else {
        return;
    };
    assert_eq!((imported.name.as_str(), imported.notes.len()), ("GoogleNet", 0));
    // The references are of blobs after their in-place layers.
    let gradients = [("conv2-3x3", "conv2/relu_3x3"), ("inception_4c-output", "inception_4c/output")];
    check_real(&graph(imported), "bvlc_googlenet", ["pelican", "224"], &gradients);
}

#[test]
fn squeezenet_computes_what_caffe_does() {
    let Some(imported) = real("squeezenet-v1.1", Some("deploy.prototxt"), "squeezenet_v1.1_v2.caffemodel") else {
        return;
    };
    let gradients = [("fire3-concat", "fire3/concat"), ("fire9-concat", "fire9/concat")];
    check_real(&graph(imported), "squeezenet_v1.1", ["pelican", "227"], &gradients);
}

/// How many of the pictures (NHWC pixel values of 0–255, one after the other) get the class that is theirs.
fn hits(imported: Imported, pictures: &[u8], labels: &[u8]) -> usize {
    let found = imported.preprocess.clone();
    let graph = graph(imported);
    let Input { channels, size: [height, width] } = *graph.input();
    let shape = Shape::maps(labels.len(), channels, height, width);
    let value = |values: &Option<Vec<f32>>, channel: usize, default: f32| {
        values.as_deref().map_or(default, |values| values[channel % values.len()])
    };
    let net = FrozenNet::new(Arc::new(graph.clone()), &[graph.output()]);
    let mut session = net.session(&shape, false, None).unwrap();
    for (i, (to, &pixel)) in session.input_mut().iter_mut().zip(pictures).enumerate() {
        let channel = i % channels;
        *to = (f32::from(pixel) - value(&found.mean, channel, 0.0)) * value(&found.scale, channel, 1.0);
    }
    session.forward();
    let scores = session.blob(graph.output()).data;
    let class = |scores: &[f32]| (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
    scores.chunks_exact(10).zip(labels).filter(|(scores, label)| class(scores) == usize::from(**label)).count()
}

fn unzipped(name: &str, skipped: usize, len: usize) -> Option<Vec<u8>> {
    let file = std::fs::File::open(support::shared_path(&format!("sets/mnist-test/{name}"))?).unwrap();
    let mut bytes = vec![0; skipped + len];
    flate2::read::GzDecoder::new(file).read_exact(&mut bytes).unwrap();
    Some(bytes.split_off(skipped))
}

#[test]
fn lenets_know_digits() {
    const DIGITS: usize = 500;
    let pictures = unzipped("t10k-images-idx3-ubyte.gz", 16, DIGITS * 28 * 28);
    let Some((pictures, labels)) = pictures.zip(unzipped("t10k-labels-idx1-ubyte.gz", 8, DIGITS)) else { return };
    let nets = [
        ("lenet-mnist-fooling", Some("lenet_image_memory_data.prototxt")),
        ("lenet-mnist-fooling", None),
        ("lenet-mnist-ethereon", Some("lenet.prototxt")),
        ("lenet-mnist-ethereon", None),
    ];
    for (folder, prototxt) in nets {
        let Some(imported) = real(folder, prototxt, "lenet_iter_10000.caffemodel") else { return };
        let hits = hits(imported, &pictures, &labels);
        assert!(hits * 100 >= DIGITS * 98, "{folder} with {prototxt:?}: {hits} of {DIGITS}");
    }
}

#[test]
fn the_quick_net_knows_its_classes() {
    const PICTURES: usize = 200;
    let Some(path) = support::shared_path("sets/cifar10-train4000/data_batch_1_first1000.bin") else { return };
    let bytes = read_bytes(&path);
    let (mut pictures, mut labels) = (Vec::new(), Vec::new());
    for picture in bytes.chunks_exact(3073).take(PICTURES) {
        labels.push(picture[0]);
        pictures.extend(nhwc_from_nchw([1, 3, 32, 32], &picture[1..]));
    }
    for prototxt in [Some("cifar10_quick.prototxt"), Some("cifar10_quick_train_test.prototxt"), None] {
        let Some(mut imported) = real("cifar10-quick", prototxt, "cifar10_quick_iter_5000.caffemodel") else { return };
        assert_eq!((imported.preprocess.mean.clone(), imported.preprocess.scale.clone()), (None, Some(vec![1.0])));
        imported.preprocess.mean = Some(vec![125.3, 123.0, 113.9]);
        let hits = hits(imported, &pictures, &labels);
        assert!(hits * 100 >= PICTURES * 75, "{prototxt:?}: {hits} of {PICTURES}");
    }
}

#[test]
fn a_mean_image_becomes_a_mean_for_each_channel() {
    let Some(folder) = support::shared_path("nets/caffe/lenet-mnist-fooling") else { return };
    let text = read_text(&folder.join("lenet_image_memory_data.prototxt"));
    let (model, mean) =
        (read_bytes(&folder.join("lenet_iter_10000.caffemodel")), read_bytes(&folder.join("mnist_mean.binaryproto")));
    assert!(caffe::looks_like_mean(&mean) && !caffe::looks_like_mean(&model) && !caffe::looks_like_caffemodel(&mean));
    let sources = Sources { prototxt: Some(&text), caffemodel: Some(&model), mean: Some(&mean), h5: None };
    let imported = caffe::read(&sources, &LoadOptions::default()).unwrap();
    // The mean of all pixels of the MNIST training pictures.
    let found = imported.preprocess.mean.unwrap();
    assert!(matches!(*found, [mean] if (mean - 33.3).abs() < 0.1), "{found:?}");
    assert!(imported.notes.iter().any(|note| note.contains("averaged")), "{:?}", imported.notes);
}

//! Nets of Caffe.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

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
    let sources = Sources { prototxt: Some(&text), caffemodel: Some(&model), mean: Some(&mean), ..Sources::default() };
    let imported = caffe::read(&sources, &LoadOptions::default()).unwrap();
    // The mean of all pixels of the MNIST training pictures.
    let found = imported.preprocess.mean.unwrap();
    assert!(matches!(*found, [mean] if (mean - 33.3).abs() < 0.1), "{found:?}");
    assert!(imported.notes.iter().any(|note| note.contains("averaged")), "{:?}", imported.notes);
}

/// The bytes of a small net that `tests/refs/caffe_nets.py` wrote.
fn small(name: &str) -> Vec<u8> {
    read_bytes(&support::data_path(&format!("caffe/{name}")))
}

fn small_text(name: &str) -> String {
    read_text(&support::data_path(&format!("caffe/{name}")))
}

fn read(prototxt: Option<&str>, caffemodel: Option<&[u8]>) -> Result<Imported, ImportError> {
    let sources = Sources { prototxt, caffemodel, ..Sources::default() };
    caffe::read(&sources, &LoadOptions::default())
}

fn check(imported: Imported, reference: &str) {
    support::check(&graph(imported), &support::data_path(&format!("caffe/{reference}.safetensors")));
}

#[test]
fn small_nets_of_every_spelling_compute_what_caffe_does() {
    for (name, prototxt) in [("alex", "alex"), ("goog", "goog_train_val"), ("res", "res"), ("old", "old")] {
        let (text, bytes) = (small_text(&format!("{prototxt}.prototxt")), small(&format!("{name}.caffemodel")));
        assert!(caffe::looks_like_prototxt(&text) && caffe::looks_like_caffemodel(&bytes), "{name}");
        check(read(Some(&text), Some(&bytes)).unwrap_or_else(|error| panic!("{name}: {error}")), name);
    }
}

#[test]
fn a_caffemodel_has_its_description_in_it() {
    for name in ["alex", "goog"] {
        check(read(None, Some(&small(&format!("{name}.caffemodel")))).unwrap(), name);
    }
    // These two do not tell what feeds them: how many channels, the weights tell; but not how large pictures are.
    for (name, size_px) in [("res", [10, 9]), ("old", [19, 20])] {
        let bytes = small(&format!("{name}.caffemodel"));
        let sources = Sources { caffemodel: Some(&bytes), ..Sources::default() };
        let options = LoadOptions { size_px: Some(size_px), ..LoadOptions::default() };
        check(caffe::read(&sources, &options).unwrap(), name);
    }
}

#[test]
fn a_size_that_the_prototxt_states_is_the_nets() {
    let (text, bytes) = (small_text("alex.prototxt"), small("alex.caffemodel"));
    let sources = Sources { prototxt: Some(&text), caffemodel: Some(&bytes), ..Sources::default() };
    let options = LoadOptions { size_px: Some([64, 64]), ..LoadOptions::default() };
    assert_eq!(caffe::read(&sources, &options).unwrap().net.shape(0).unwrap().dims(), [1, 3, 35, 31]);
}

#[test]
fn weights_of_hdf5_are_those_of_the_caffemodel() {
    let (text, bytes) = (small_text("alex.prototxt"), small("alex.caffemodel.h5"));
    let sources = Sources { prototxt: Some(&text), h5: Some(&bytes), ..Sources::default() };
    check(caffe::read(&sources, &LoadOptions::default()).unwrap(), "alex");
    let alone = Sources { h5: Some(&bytes), ..Sources::default() };
    let Err(error) = caffe::read(&alone, &LoadOptions::default()) else { panic!("weights alone are no net") };
    assert!(matches!(error, ImportError::Needs(_)) && error.to_string().contains("prototxt"), "{error}");
}

#[test]
fn a_net_of_training_tells_how_pictures_are_prepared_and_loses_its_heads() {
    let bytes = small("goog.caffemodel");
    for prototxt in [Some(small_text("goog_train_val.prototxt")), None] {
        let imported = read(prototxt.as_deref(), Some(&bytes)).unwrap();
        assert_eq!(imported.preprocess.mean, Some(vec![104.0, 117.0, 123.0]));
        assert_eq!((imported.preprocess.scale, imported.preprocess.order), (Some(vec![0.5]), None));
        assert_eq!(imported.notes, ["Outputs that serve training only are left out: aux/loss."]);
        let names: Vec<&str> = imported.net.nodes().iter().map(|node| node.name.as_str()).collect();
        assert_eq!((names[0], names[names.len() - 1], names.contains(&"aux/fc")), ("data", "loss", false));
    }
}

#[test]
fn what_cannot_be_read_is_told_and_named() {
    let (text, bytes) = (small_text("alex.prototxt"), small("alex.caffemodel"));
    let cases = [
        ("type: \"LRN\"", "type: \"Strange\"", "layer `norm1`: its type Strange is not supported"),
        ("name: \"conv2\"", "name: \"conv9\"", "layer `conv9`: its weight (blob 0) is missing from the weights"),
        ("num_output: 7", "num_output: 8", "layer `fc3`: its weight (blob 0) should be 120×8, but is 120×7"),
        ("transpose: true", "transpose: false", "layer `fc3`: its weight (blob 0) should be 7×120, but is 120×7"),
        ("local_size: 3", "local_size: 4", "layer `norm1`: its local size 4 is not an odd number"),
        ("pool: AVE", "pool: STOCHASTIC", "layer `pool2`: its pooling method `STOCHASTIC` is not supported"),
        ("dilation: 2", "rotation: 2", "layer `conv2`: the field `rotation` of its convolution_param is unknown"),
        ("bottom: \"norm1\"", "bottom: \"norm7\"", "layer `pool1`: takes the blob `norm7`"),
        ("kernel_w: 2", "", "layer `pool2`: has one of `kernel_h` and `kernel_w` without the other"),
        ("group: 2", "group: 4", "layer `conv2`: its 4 groups do not divide 6 input and 8 output channels"),
        ("dropout_ratio: 0.25", "dropout_ratio: x", "layer `drop3`: `dropout_ratio` is `x`, not a finite number"),
    ];
    let mut wrong = Vec::new();
    for (from, to, expected) in cases {
        assert!(text.contains(from), "{from}");
        match read(Some(&text.replacen(from, to, 1)), Some(&bytes)) {
            Err(error) if error.to_string().contains(expected) => {}
            Err(error) => wrong.push(format!("{error} should say: {expected}")),
            Ok(_) => wrong.push(format!("is read: {expected}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_missing_is_asked_for() {
    let needs = |prototxt: Option<&str>, caffemodel: Option<&[u8]>| match read(prototxt, caffemodel) {
        Err(ImportError::Needs(what)) => what,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it is read"),
    };
    let text = small_text("alex.prototxt");
    assert_eq!(needs(Some(&text), None), "the weights are missing: put Alex.caffemodel beside it or give it too");
    assert!(needs(None, None).contains("description is missing"));
    // A net that takes pictures of any size, without a word about it.
    let text = r#"layer { name: "d" type: "Data" top: "data" transform_param { mean_value: [1, 2, 3] } }
                  layer { name: "r" type: "ReLU" bottom: "data" top: "r" }"#;
    assert!(needs(Some(text), Some(&small("alex.caffemodel"))).contains("--size"));
    let text = r#"input: "data" layer { name: "r" type: "ReLU" bottom: "data" top: "r" }"#;
    assert!(needs(Some(text), Some(&small("alex.caffemodel"))).contains("channels"));
    let Err(error) = read(Some("net: 'train_val.prototxt' base_lr: 0.1"), Some(&small("alex.caffemodel"))) else {
        panic!("a training run is read")
    };
    assert!(error.to_string().ends_with("give `train_val.prototxt` instead"), "{error}");
    // The state of a solver: iterations, the name of a net, and histories.
    let mut state = b"\x08\x88\x27\x12\x03net".to_vec();
    state.extend(b"\x1a\x0e\x08\x01\x10\x01\x18\x01\x20\x01\x2a\x04\0\0\x80\x3f");
    assert!(caffe::looks_like_solverstate(&state) && !caffe::looks_like_caffemodel(&state));
    let Err(error) = read(Some(&small_text("alex.prototxt")), Some(&state)) else { panic!("it is read") };
    assert!(error.to_string().contains("state of a solver"), "{error}");
}

/// Reads bytes that may be anything: whatever comes of it, it must come at once.
fn survives(prototxt: Option<&str>, caffemodel: &[u8]) {
    let sources = Sources { prototxt, caffemodel: Some(caffemodel), ..Sources::default() };
    let options = LoadOptions { size_px: Some([21, 21]), ..LoadOptions::default() };
    if let Ok(imported) = caffe::read(&sources, &options) {
        let preprocess = Preprocess { order: ChannelOrder::Bgr, mean: vec![0.0; 3], scale: vec![1.0; 3] };
        drop(imported.net.finish(&imported.name, preprocess, Vec::new()));
    }
    caffe::looks_like_caffemodel(caffemodel);
    caffe::looks_like_mean(caffemodel);
}

#[test]
fn damaged_files_are_errors() {
    let start = Instant::now();
    for name in ["alex", "goog", "old"] {
        let bytes = small(&format!("{name}.caffemodel"));
        for len in (0..bytes.len()).step_by(7).chain(0..200) {
            survives(None, &bytes[..len]);
        }
        for at in (0..400).chain((400..bytes.len()).step_by(13)) {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                survives(None, &damaged);
            }
        }
    }
    let (text, bytes) = (small_text("res.prototxt"), small("res.caffemodel"));
    for at in (0..text.len()).step_by(3) {
        survives(Some(&text[..at]), &bytes);
        let mut damaged = text.clone().into_bytes();
        damaged[at] = b"{}9-\""[at % 5];
        survives(Some(&String::from_utf8_lossy(&damaged)), &bytes);
    }
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn lengths_that_lie_are_errors_at_once() {
    let start = Instant::now();
    let text = small_text("alex.prototxt");
    let cases = [
        ("num_output: 6", "num_output: 18446744073709551615"),
        ("kernel_w: 3", "kernel_w: 4294967295"),
        ("stride: 2", "stride: 0"),
        ("pad_h: 1", "pad_h: 9223372036854775807"),
        ("dim: 35", "dim: 4000000000"),
        ("group: 2", "group: 0"),
        ("local_size: 3", "local_size: 18446744073709551615"),
        ("num_output: 7", "num_output: 1000000000000"),
    ];
    for (from, to) in cases {
        assert!(text.contains(from), "{from}");
        let text = text.replacen(from, to, 1);
        let imported = read(Some(&text), Some(&small("alex.caffemodel")));
        assert!(imported.is_err(), "{to}");
    }
    // A net of many layers that all take the same blob, and one of many layers of one name.
    let many: String =
        (0..20_000).map(|i| format!("layer{{name:'r{}' type:'ReLU' bottom:'x' top:'x'}}", i % 2)).collect();
    let net = format!("input:'x' input_shape{{dim:1 dim:3 dim:4 dim:4}} {many}");
    read(Some(&net), Some(&small("alex.caffemodel"))).unwrap();
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}

#[test]
fn damaged_hdf5_files_are_errors() {
    let (text, bytes) = (small_text("alex.prototxt"), small("alex.caffemodel.h5"));
    let read = |bytes: &[u8]| {
        let sources = Sources { prototxt: Some(&text), h5: Some(bytes), ..Sources::default() };
        drop(caffe::read(&sources, &LoadOptions::default()));
    };
    for len in (0..bytes.len()).step_by(29) {
        read(&bytes[..len]);
    }
    for at in (0..bytes.len()).step_by(5) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        read(&damaged);
    }
}

#[test]
fn a_mean_image_must_have_as_many_channels() {
    let bytes = small("goog.caffemodel");
    let read = |mean: &[u8]| {
        let sources = Sources { caffemodel: Some(&bytes), mean: Some(mean), ..Sources::default() };
        caffe::read(&sources, &LoadOptions::default())
    };
    // Legacy dimensions, then packed numbers.
    let one = b"\x08\x01\x10\x01\x18\x01\x20\x02\x2a\x08\0\0\x80\x3f\0\0\x40\x40";
    let two = b"\x08\x01\x10\x02\x18\x01\x20\x01\x2a\x08\0\0\x80\x3f\0\0\x40\x40";
    assert_eq!(read(one).unwrap().preprocess.mean, Some(vec![2.0]));
    let Err(error) = read(two) else { panic!("two means are taken for three channels") };
    assert!(error.to_string().contains("2 means for 3 channels"), "{error}");
    let Err(error) = read(b"\x08\x01") else { panic!("nothing is taken for a mean image") };
    assert!(error.to_string().contains("`mean`"), "{error}");
}

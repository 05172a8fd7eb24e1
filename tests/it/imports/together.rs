//! Files that belong together, what is found beside a net, and what the user says of it.

use std::fs;
use std::path::{Path, PathBuf};

use oneiric::formats::{self, FormatError, LoadOptions, Loaded};
use oneiric::nn::graph::ChannelOrder;
use tempfile::TempDir;

use super::support::data_path;

/// A folder with copies of fixtures under new names.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in files {
        fs::copy(data_path(from), folder.path().join(to)).unwrap();
    }
    folder
}

fn load(paths: &[PathBuf]) -> Result<Loaded, FormatError> {
    formats::load_files(paths, &LoadOptions::default())
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect()
}

#[test]
fn one_half_of_a_net_finds_the_other() {
    let files = [
        ("caffe/alex.caffemodel", "snapshot_iter_10.caffemodel"),
        ("caffe/alex.prototxt", "deploy.prototxt"),
        ("caffe/old.prototxt", "another.prototxt"),
    ];
    let folder = folder(&files);
    fs::write(folder.path().join("solver.prototxt"), "net: \"train_val.prototxt\"\n").unwrap();
    let at = |name: &str| folder.path().join(name);
    let whole = load(&[at("snapshot_iter_10.caffemodel")]).unwrap();
    assert_eq!(names(&whole), ["snapshot_iter_10.caffemodel", "deploy.prototxt"]);
    assert!(whole.notes.iter().any(|note| note.starts_with("deploy.prototxt beside it")), "{:?}", whole.notes);
    for paths in [vec![at("deploy.prototxt")], vec![at("deploy.prototxt"), at("snapshot_iter_10.caffemodel")]] {
        let same = load(&paths).unwrap();
        assert_eq!(same.graph.nodes(), whole.graph.nodes());
        assert_eq!(same.graph.params(), whole.graph.params());
    }
    // One that does not fit says why, and names its own file.
    fs::remove_file(at("deploy.prototxt")).unwrap();
    let error = load(&[at("another.prototxt")]).unwrap_err().to_string();
    assert!(error.contains("snapshot_iter_10.caffemodel") || error.contains("another.prototxt"), "{error}");
    fs::remove_file(at("snapshot_iter_10.caffemodel")).unwrap();
    let error = load(&[at("another.prototxt")]).unwrap_err().to_string();
    assert!(error.contains("another.prototxt") && error.contains("weights"), "{error}");
}

#[test]
fn labels_beside_a_net_are_its_own_where_they_fit() {
    let folder = folder(&[("caffe/alex.caffemodel", "net.caffemodel"), ("caffe/alex.prototxt", "net.prototxt")]);
    let net = folder.path().join("net.prototxt");
    let classes = load(std::slice::from_ref(&net)).unwrap();
    let shapes = classes.graph.shapes(&classes.graph.native_input_shape(1)).unwrap();
    let count = shapes.last().unwrap().dims()[1];
    let write = |name: &str, count: usize| {
        let lines: Vec<String> = (0..count).map(|i| format!("n{:08} class {i}", 7 * i)).collect();
        fs::write(folder.path().join(name), lines.join("\n")).unwrap();
    };
    write("other_labels.txt", count + 1);
    write("synset_words.txt", count);
    let found = load(std::slice::from_ref(&net)).unwrap();
    assert_eq!(found.graph.labels()[1], "class 1");
    assert!(found.notes.iter().any(|note| note.starts_with("synset_words.txt beside it")), "{:?}", found.notes);
    let said = LoadOptions { labels: Some(folder.path().join("other_labels.txt")), ..LoadOptions::default() };
    let error = formats::load_files(&[net], &said).unwrap_err().to_string();
    assert!(error.ends_with(&format!("names {} classes, but the net has {count}", count + 1)), "{error}");
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let at = |name: &str| data_path(name);
    let two = load(&[at("caffe/alex.caffemodel"), at("caffe/old.caffemodel")]).unwrap_err().to_string();
    assert!(two.contains("old.caffemodel do not belong to one net: both hold weights"), "{two}");
    let folder = folder(&[]);
    let labels = folder.path().join("labels.txt");
    fs::write(&labels, "cat\ndog\n").unwrap();
    let alone = load(&[labels]).unwrap_err().to_string();
    assert!(alone.contains("labels.txt is a text file, not a net"), "{alone}");
    assert!(matches!(load(&[]), Err(FormatError::NoFiles)));
    let missing = load(&[Path::new("no/such.onnx").into()]).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read no/such.onnx: "), "{missing}");
}

#[test]
fn the_user_has_the_last_word_on_any_net() {
    let said = LoadOptions {
        order: Some(ChannelOrder::Rgb),
        mean: Some(vec![1.0, 2.0, 3.0]),
        scale: Some(vec![0.5]),
        ..LoadOptions::default()
    };
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/efficientnet-lite0.safetensors");
    for path in [data_path("caffe/alex.prototxt"), shipped] {
        if !path.exists() {
            continue;
        }
        let loaded = formats::load_files(std::slice::from_ref(&path), &said).unwrap();
        let preprocess = loaded.graph.preprocess();
        assert_eq!(preprocess.order, ChannelOrder::Rgb, "{}", path.display());
        assert_eq!((preprocess.mean.as_slice(), preprocess.scale.as_slice()), (&[1.0, 2.0, 3.0][..], &[0.5; 3][..]));
        assert!(!loaded.notes.iter().any(|note| note.contains("do not say how")), "{:?}", loaded.notes);
    }
}

/// The net of PyTorch's tutorial, under names of its own and under others.
#[test]
fn a_net_file_says_of_which_net_weights_are() {
    let weights = data_path("pytorch/tutorial.pt");
    let folder = folder(&[]);
    let net_file = |first: &str| {
        let path = folder.path().join(format!("{first}.net"));
        let text = format!(
            "input 3x32x32\n{first}: conv 2 5x5 / relu / pool1: maxpool 2\nconv2: conv 4 5x5 / relu / maxpool 2\n\
             fc1: fc 7 / relu / fc2: fc 6 / relu\nfc3: fc 10\n"
        );
        fs::write(&path, text).unwrap();
        path
    };
    let reference = data_path("pytorch/tutorial.safetensors");
    for first in ["conv1", "first"] {
        let path = net_file(first);
        let both = load(&[weights.clone(), path.clone()]).unwrap();
        super::support::check(&both.graph, &reference);
        assert_eq!(both.notes.iter().any(|note| note.contains("in the file's order")), first != "conv1");
        let architecture = Some(path.to_string_lossy().into_owned());
        let named = LoadOptions { architecture, ..LoadOptions::default() };
        let named = formats::load_files(std::slice::from_ref(&weights), &named).unwrap();
        assert_eq!((named.graph.params(), names(&named)[0]), (both.graph.params(), "tutorial.pt"));
    }
    let other = folder.path().join("other.net");
    fs::write(&other, "input 3x32x32\nconv1: conv 2 5x5 / relu / fc1: fc 7\n").unwrap();
    let error = load(&[weights, other]).unwrap_err().to_string();
    assert!(error.contains("`fc1.weight` is [7, 100] and should be [7, 1568]"), "{error}");
}

/// A mean image of 2×2 pixels in one BlobProto: its shape, and packed values.
fn mean_image(channels: u8) -> Vec<u8> {
    let values: Vec<u8> = (0..channels).flat_map(|c| [f32::from(c) + 1.0; 4]).flat_map(f32::to_le_bytes).collect();
    let mut bytes = vec![0x08, 1, 0x10, channels, 0x18, 2, 0x20, 2, 0x2a, values.len() as u8];
    bytes.extend(values);
    bytes
}

#[test]
fn a_mean_beside_a_net_serves_where_it_fits_and_none_is_stated() {
    let folder = folder(&[
        ("caffe/alex.caffemodel", "alex.caffemodel"),
        ("caffe/alex.prototxt", "alex.prototxt"),
        ("caffe/goog.caffemodel", "goog.caffemodel"),
        ("caffe/goog_train_val.prototxt", "goog.prototxt"),
    ]);
    let at = |name: &str| folder.path().join(name);
    let mean = |name: &str| {
        let loaded = load(&[at(name)]).unwrap();
        let is_listed = names(&loaded).contains(&"any.binaryproto");
        assert_eq!(is_listed, loaded.notes.iter().any(|note| note.starts_with("any.binaryproto beside it")), "{name}");
        is_listed.then(|| loaded.graph.preprocess().mean.clone())
    };
    fs::write(at("any.binaryproto"), mean_image(3)).unwrap();
    assert_eq!(mean("alex.prototxt"), Some(vec![1.0, 2.0, 3.0]));
    assert_eq!(mean("goog.prototxt"), None);
    fs::write(at("any.binaryproto"), mean_image(1)).unwrap();
    assert_eq!(mean("alex.prototxt"), None);
    // One that is given is the net's, whatever the net says.
    let given = load(&[at("goog.prototxt"), at("any.binaryproto")]).unwrap();
    assert_eq!(given.graph.preprocess().mean, [1.0; 3]);
}

#[test]
fn what_is_wrong_in_a_prototxt_is_told_by_its_line() {
    let folder = folder(&[("caffe/alex.caffemodel", "alex.caffemodel")]);
    let at = |name: &str| folder.path().join(name);
    let text = fs::read_to_string(data_path("caffe/alex.prototxt")).unwrap();
    let loaded = |name: &str, text: &[u8]| {
        fs::write(at(name), text).unwrap();
        load(&[at(name), at("alex.caffemodel")]).map_err(|error| error.to_string())
    };
    assert!(loaded("latin.prototxt", &[b"# na\xefve\n", text.as_bytes()].concat()).is_ok());
    let broken = loaded("broken.prototxt", b"name: \"a\"\nlayer {\n  name: \n}\n").unwrap_err();
    assert!(broken.contains("line"), "{broken}");
    let solver = loaded("solver.prototxt", b"net: \"train_val.prototxt\"\nbase_lr: 0.01\n").unwrap_err();
    assert!(solver.contains("give `train_val.prototxt` instead"), "{solver}");
}

#[test]
fn what_a_net_has_no_use_for_is_refused() {
    let folder = folder(&[]);
    let (mean, net_file) = (folder.path().join("mean.binaryproto"), folder.path().join("my.net"));
    fs::write(&mean, mean_image(3)).unwrap();
    fs::write(&net_file, "input 3x8x8\nfc 2\n").unwrap();
    let at = |name: &str| data_path(name);
    let cases = [
        (vec![at("onnx/opset8.onnx"), at("caffe/alex.prototxt")], "an ONNX net takes nothing from a Caffe net's desc"),
        (vec![at("onnx/opset8.onnx"), mean.clone()], "an ONNX net takes nothing from a Caffe mean"),
        (vec![at("caffe/alex.caffemodel"), net_file.clone()], "a Caffe net takes nothing from a net file"),
        (vec![net_file.clone(), mean], "a net file takes nothing from a Caffe mean"),
        (vec![at("pytorch/zip.pt"), at("caffe/alex.prototxt")], "takes nothing from a Caffe net's description"),
    ];
    for (paths, expected) in cases {
        let error = load(&paths).unwrap_err().to_string();
        assert!(error.contains("do not belong to one net") && error.contains(expected), "{error}");
    }
    let own = folder.path().join("own.safetensors");
    let graph = load(std::slice::from_ref(&net_file)).unwrap().graph;
    fs::write(&own, formats::native::to_bytes(&graph, formats::Precision::F32).unwrap()).unwrap();
    assert!(load(std::slice::from_ref(&own)).is_ok());
    let error = load(&[own, net_file]).unwrap_err().to_string();
    assert!(error.contains("takes nothing from a net file"), "{error}");
}

#[test]
fn files_of_labels_may_be_in_any_encoding() {
    let folder = folder(&[]);
    let (labels, net_file) = (folder.path().join("labels.txt"), folder.path().join("my.net"));
    fs::write(&net_file, "input 3x8x8\nfc 2\n").unwrap();
    let said = LoadOptions { labels: Some(labels.clone()), ..LoadOptions::default() };
    let load = |bytes: &[u8]| {
        fs::write(&labels, bytes).unwrap();
        formats::load_files(std::slice::from_ref(&net_file), &said)
    };
    let latin = load(b"caf\xe9\ndog\n").unwrap();
    assert_eq!((latin.graph.labels()[1].as_str(), names(&latin)[1]), ("dog", "labels.txt"));
    assert_eq!(load(b"\xff\xfec\0a\0t\0\n\0d\0o\0g\0").unwrap().graph.labels(), ["cat", "dog"]);
    let empty = load(b"").unwrap_err().to_string();
    assert!(empty.ends_with("there are no class names in it: one a line is expected"), "{empty}");
    let folder_error = LoadOptions { labels: Some(folder.path().into()), ..LoadOptions::default() };
    let error = formats::load_files(std::slice::from_ref(&net_file), &folder_error).unwrap_err().to_string();
    assert!(error.ends_with("is a folder, not a file"), "{error}");
}

//! The native format: round trips, and files that lie.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use oneiric::base::rng::{Rng, Stream, rng};
use oneiric::formats::{self, FormatError, NativeError, Precision, native};
use oneiric::nn::graph::{ChannelOrder, Graph, GraphBuilder, GraphError, Preprocess, Provenance};
use oneiric::nn::ops::Op;
use oneiric::nn::ops::activation::Activation;
use oneiric::nn::ops::conv::Conv2d;
use oneiric::nn::ops::pool::{GlobalPool, GlobalPoolKind};
use oneiric::nn::ops::softmax::Softmax;
use oneiric::nn::ops::window::{Padding, Window};
use oneiric::tasks::catalogue::{self, CatalogueError};
use rand::Rng as _;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};

/// A small net: a convolution, ReLU6, global pooling, softmax.
fn small_net() -> Graph {
    let mut net = GraphBuilder::new("input", 3, [8, 8]);
    let window = Window { padding: Padding::SameUpper, ..Window::square(3, 2) };
    net.param("conv/weight", &[4, 3, 3, 3], (0..108).map(|i| (i as f32 - 54.0) / 64.0).collect::<Vec<_>>());
    net.param("conv/bias", &[4], vec![0.1, -0.2, 0.3, 1e-6]);
    let params = ["conv/weight", "conv/bias"];
    let conv = net.add("conv", Op::Conv2d(Conv2d { window, groups: 1 }), &[GraphBuilder::INPUT], &params);
    let relu = net.add("relu", Op::Activation(Activation::Clip { low: 0.0, high: 6.0 }), &[conv], &[]);
    let pool = net.add("pool", Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average }), &[relu], &[]);
    net.add("probabilities", Op::Softmax(Softmax {}), &[pool], &[]);
    let labels = ["cat", "dog", "bird", "naïve fish"].map(String::from).to_vec();
    let provenance = Provenance { source: "a test".into(), licence: "CC0".into() };
    net.finish("small", preprocess(), labels).unwrap().with_provenance(provenance)
}

fn preprocess() -> Preprocess {
    Preprocess { order: ChannelOrder::Rgb, mean: vec![127.0; 3], scale: vec![1.0 / 128.0; 3] }
}

fn small_file() -> Vec<u8> {
    native::to_bytes(&small_net(), Precision::F16).unwrap()
}

/// The parts of a file, to put it together wrongly.
struct Parts {
    document: Value,
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
}

impl Parts {
    fn of(bytes: &[u8]) -> Self {
        let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
        let document = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["oneiric"]).unwrap();
        let tensors = SafeTensors::deserialize(bytes).unwrap();
        let parts = tensors.iter().map(|(name, tensor)| {
            (name.to_string(), (tensor.dtype(), tensor.shape().to_vec(), tensor.data().to_vec()))
        });
        Self { document, tensors: parts.collect() }
    }

    fn small() -> Self {
        Self::of(&small_file())
    }

    fn bytes(&self) -> Vec<u8> {
        let views = self
            .tensors
            .iter()
            .map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
        let metadata = HashMap::from([("oneiric".to_string(), self.document.to_string())]);
        safetensors::serialize(views, Some(metadata)).unwrap()
    }

    fn node(&mut self, index: usize) -> &mut serde_json::Map<String, Value> {
        self.document["nodes"][index].as_object_mut().unwrap()
    }

    fn error(&self) -> String {
        match native::read(&self.bytes()) {
            Ok(_) => "no error".into(),
            Err(error) => error.to_string(),
        }
    }
}

/// A safetensors file from its raw parts.
fn raw_file(header_length: u64, header: &str, data: &[u8]) -> Vec<u8> {
    [&header_length.to_le_bytes(), header.as_bytes(), data].concat()
}

fn assert_same(a: &Graph, b: &Graph) {
    assert_eq!(a.name(), b.name());
    assert_eq!(a.nodes(), b.nodes());
    assert_eq!(a.params(), b.params());
    assert_eq!(a.preprocess(), b.preprocess());
    assert_eq!(a.labels(), b.labels());
    assert_eq!(a.provenance(), b.provenance());
}

#[test]
fn a_net_comes_back_as_it_was_written() {
    let (folder, net) = (tempfile::tempdir().unwrap(), small_net());
    let path = folder.path().join("small.safetensors");
    native::write(&net, &path, Precision::F32).unwrap();
    assert_same(&formats::load(&path).unwrap(), &net);
    // Again, over the file that is there, and with nothing left beside it.
    native::write(&net, &path, Precision::F16).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), small_file());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn precisions_round_weights_and_leave_vectors_alone() {
    let net = small_net();
    let cases: [(Precision, f32); 3] =
        [(Precision::F32, 0.0), (Precision::F16, 1.0 / 2048.0), (Precision::Bf16, 1.0 / 256.0)];
    for (precision, relative) in cases {
        let read = native::read(&native::to_bytes(&net, precision).unwrap()).unwrap();
        assert_eq!(read.params()["conv/bias"], net.params()["conv/bias"], "{precision}");
        for (got, want) in read.params()["conv/weight"].data.iter().zip(net.params()["conv/weight"].data.iter()) {
            assert!((got - want).abs() <= relative * want.abs(), "{precision}: {got} {want}");
        }
    }
}

#[test]
fn all_four_types_of_weights_are_read() {
    let weights: Vec<f32> = (0..108).map(|i| (i as f32 - 54.0) / 8.0).collect();
    let encode = |dtype| -> Vec<u8> {
        let each = |value: &f32| -> Vec<u8> {
            match dtype {
                Dtype::F16 => half::f16::from_f32(*value).to_le_bytes().to_vec(),
                Dtype::BF16 => half::bf16::from_f32(*value).to_le_bytes().to_vec(),
                Dtype::F32 => value.to_le_bytes().to_vec(),
                _ => f64::from(*value).to_le_bytes().to_vec(),
            }
        };
        weights.iter().flat_map(each).collect()
    };
    for dtype in [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64] {
        let mut parts = Parts::small();
        parts.tensors.insert("conv/weight".into(), (dtype, vec![4, 3, 3, 3], encode(dtype)));
        let read = native::read(&parts.bytes()).unwrap();
        assert_eq!(&*read.params()["conv/weight"].data, weights.as_slice(), "{dtype}");
    }
}

#[test]
fn weights_that_are_not_finite_are_refused_both_ways() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut parts = Parts::small();
        let (_, _, bias) = parts.tensors.get_mut("conv/bias").unwrap();
        bias[8..12].copy_from_slice(&bad.to_le_bytes());
        let error = parts.error();
        assert!(error.contains("`conv/bias`") && error.contains("value 2"), "{error}");
    }
    // Finite as f64, but not as f32.
    let mut parts = Parts::small();
    parts.tensors.insert("conv/bias".into(), (Dtype::F64, vec![4], [1e300f64; 4].map(f64::to_le_bytes).concat()));
    assert!(parts.error().contains("not finite"), "{}", parts.error());
    // Finite as f32, but not as f16.
    let mut net = GraphBuilder::new("input", 3, [8, 8]);
    net.param("weight", &[1, 3, 1, 1], vec![1.0, 7e4, 1.0]);
    let conv = Conv2d { window: Window::square(1, 1), groups: 1 };
    net.add("conv", Op::Conv2d(conv), &[GraphBuilder::INPUT], &["weight"]);
    let net = net.finish("large", preprocess(), Vec::new()).unwrap();
    assert!(native::to_bytes(&net, Precision::Bf16).is_ok());
    let error = native::to_bytes(&net, Precision::F16).unwrap_err().to_string();
    assert!(error.contains("`weight`") && error.contains("70000") && error.contains("f16"), "{error}");
}

#[test]
fn an_attribute_that_json_cannot_hold_is_in_no_net() {
    let mut net = GraphBuilder::new("input", 3, [8, 8]);
    let clip = Activation::Clip { low: 0.0, high: f32::INFINITY };
    net.add("clip", Op::Activation(clip), &[GraphBuilder::INPUT], &[]);
    let error = net.finish("endless", preprocess(), Vec::new()).unwrap_err().to_string();
    assert!(error.contains("`clip`") && error.contains("finite"), "{error}");
}

/// Every file that lies gets an error that names what is wrong.
#[test]
fn wrong_documents_are_named() {
    type Spoil = fn(&mut Parts);
    let cases: [(&str, Spoil, &[&str]); 22] = [
        ("unknown op", |p| _ = p.node(2).insert("op".into(), json!("teleport")), &["node 2", "`relu`", "teleport"]),
        ("no op", |p| _ = p.node(2).remove("op"), &["node 2", "`relu`", "op"]),
        ("no name", |p| _ = p.node(2).remove("name"), &["node 2", "name"]),
        ("misspelt attribute", |p| _ = p.node(1).insert("strides".into(), json!(2)), &["`conv`", "`strides`"]),
        ("attribute of another type", |p| _ = p.node(1).insert("groups".into(), json!(-1)), &["node 1", "`conv`"]),
        ("huge number", |p| _ = p.node(2).insert("high".into(), json!(1e39)), &["`relu`", "`high`", "too large"]),
        ("cycle", |p| _ = p.node(1).insert("inputs".into(), json!([3])), &["`conv`", "3"]),
        ("input of itself", |p| _ = p.node(1).insert("inputs".into(), json!([1])), &["`conv`", "1"]),
        ("input far away", |p| _ = p.node(1).insert("inputs".into(), json!([4_000_000_000u64])), &["`conv`"]),
        ("no input", |p| _ = p.node(1).insert("inputs".into(), json!([])), &["`conv`"]),
        ("duplicate name", |p| _ = p.node(2).insert("name".into(), json!("conv")), &["two nodes", "`conv`"]),
        ("control character", |p| _ = p.node(2).insert("name".into(), json!("a\u{1b}[2J")), &["node name", "control"]),
        ("missing parameter", |p| _ = p.tensors.remove("conv/bias"), &["`conv`", "`conv/bias`"]),
        ("shape of a parameter", |p| p.tensors.get_mut("conv/bias").unwrap().1 = vec![2, 2], &["`conv`", "bias"]),
        ("integer weights", |p| p.tensors.get_mut("conv/bias").unwrap().0 = Dtype::I32, &["`conv/bias`", "I32"]),
        ("zero groups", |p| _ = p.node(1).insert("groups".into(), json!(0)), &["`conv`"]),
        ("endless input", |p| _ = p.node(0).insert("size".into(), json!([1u64 << 40, 1u64 << 40])), &["`input`"]),
        ("two means", |p| p.document["preprocess"]["mean"] = json!([1.0, 2.0]), &["means"]),
        ("preprocess field", |p| p.document["preprocess"]["std"] = json!([1.0]), &["`preprocess`", "`std`"]),
        ("newer version", |p| p.document["version"] = json!(2), &["version 2", "version 1"]),
        ("unknown field", |p| p.document["optimizer"] = json!({}), &["optimizer"]),
        ("no nodes", |p| p.document["nodes"] = json!([]), &["input"]),
    ];
    let mut failures = Vec::new();
    for (what, spoil, words) in cases {
        let mut parts = Parts::small();
        spoil(&mut parts);
        let error = parts.error();
        if let Some(word) = words.iter().find(|word| !error.contains(**word)) {
            failures.push(format!("{what}: `{word}` is not in: {error}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(Parts::small().error(), "no error");
}

#[test]
fn defaults_may_be_left_out_or_written_out() {
    let mut parts = Parts::small();
    parts.node(1).insert("dilation".into(), json!([1, 1]));
    parts.node(2).insert("params".into(), json!([]));
    for field in ["labels", "licence", "source"] {
        parts.document.as_object_mut().unwrap().remove(field);
    }
    let net = native::read(&parts.bytes()).unwrap();
    assert_eq!(net.nodes(), small_net().nodes());
    assert!(net.labels().is_empty() && net.provenance() == &Provenance::default());
}

#[test]
fn lengths_that_lie_are_found_before_anything_is_allocated() {
    let tensor = |shape: &str, end: u64| {
        let header = format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#);
        raw_file(header.len() as u64, &header, &[0; 16])
    };
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("nothing", Vec::new(), "cut short"),
        ("seven bytes", vec![0; 7], "cut short"),
        ("header of gigabytes", raw_file(8 << 30, "{}", &[]), "8589934592"),
        ("the largest header", raw_file(u64::MAX, "{}", &[]), "18446744073709551615"),
        ("header past the end", raw_file(100, "{}", &[]), "cut short"),
        ("empty header", raw_file(0, "", &[]), "header"),
        ("no JSON", raw_file(2, "{]", &[]), "header"),
        ("no net", raw_file(2, "{}", &[]), "no net"),
        ("no UTF-8", [&2u64.to_le_bytes()[..], b"\xff\xfe"].concat(), "UTF-8"),
        ("overflowing shape", tensor("[4294967296,4294967296,4294967296]", 16), "overflow"),
        ("offsets past the end", tensor("[1024]", 4096), "damaged"),
        ("shape unlike its bytes", tensor("[3]", 16), "damaged"),
    ];
    let mut failures = Vec::new();
    for (what, bytes, word) in cases {
        match native::read(&bytes) {
            Ok(_) => failures.push(format!("{what}: no error")),
            Err(error) if !error.to_string().contains(word) => failures.push(format!("{what}: {error}")),
            Err(_) => {}
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let deep = format!(r#"{{"__metadata__":{}"#, "[".repeat(1 << 20));
    assert!(native::read(&raw_file(deep.len() as u64, &deep, &[])).is_err());
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let bytes = small_file();
    let read: Vec<usize> = (0..bytes.len()).filter(|&end| native::read(&bytes[..end]).is_ok()).collect();
    assert!(read.is_empty(), "read although cut at {read:?}");
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(matches!(native::read(&longer), Err(NativeError::Container(_))));
}

/// A few bytes changed, removed, doubled or swapped.
fn mutated(bytes: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.next_u32() % 4 {
        let at = random.next_u64() as usize % bytes.len();
        // Most of the file is description, but lengths are where harm is done.
        let at = if random.next_u32().is_multiple_of(8) { at % 8 } else { at };
        match random.next_u32() % 6 {
            0 => bytes[at] ^= 1 << (random.next_u32() % 8),
            1 => bytes[at] = random.next_u32() as u8,
            2 => bytes[at] = b"{}[]\",:0123456789-.eE\\ntf"[random.next_u32() as usize % 25],
            3 => _ = bytes.remove(at),
            4 => bytes.insert(at, bytes[at]),
            _ => {
                let other = random.next_u64() as usize % bytes.len();
                bytes.swap(at, other);
            }
        }
    }
    bytes
}

/// Whatever the bytes, the answer is an error of one short line, or a net that can be written and read again.
#[test]
fn mutated_files_are_read_or_refused() {
    let original = small_file();
    let (mut refused, mut accepted) = (0, 0);
    for seed in 0..20_000 {
        let bytes = mutated(&original, &mut rng(seed, Stream::Test, 0));
        match native::read(&bytes) {
            Ok(net) => {
                accepted += 1;
                let again = native::to_bytes(&net, Precision::F32).map(|bytes| native::read(&bytes).unwrap());
                assert_same(&again.unwrap(), &net);
            }
            Err(error) => {
                refused += 1;
                let text = error.to_string();
                assert!(text.chars().count() <= 500 && !text.contains(char::is_control), "seed {seed}: {text:?}");
            }
        }
    }
    // Both happen: otherwise the mutations are too strong or too weak to test anything.
    assert!(refused > 5_000 && accepted > 500, "{refused} refused, {accepted} accepted");
}

fn load_error(path: &Path) -> String {
    formats::load(path).expect_err("no net").to_string()
}

#[test]
fn files_that_are_no_nets_are_named_for_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, &[u8], &str); 4] = [
        ("empty.safetensors", b"", "empty"),
        ("picture.safetensors", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a picture"),
        ("net.pt", b"PK\x03\x04\x14\0\0\0", "a zip archive"),
        ("notes.txt", b"dear diary", "a text"),
    ];
    for (name, bytes, what) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = load_error(&path);
        assert!(error.contains(name) && error.contains(what) && error.contains(".safetensors"), "{error}");
    }
    let error = load_error(folder.path());
    assert!(error.contains("a folder"), "{error}");
    assert!(matches!(formats::load(&folder.path().join("missing")), Err(FormatError::Read { .. })));
    // The file of a damaged net is named as well.
    let path = folder.path().join("cut.safetensors");
    std::fs::write(&path, &small_file()[..300]).unwrap();
    let error = load_error(&path);
    assert!(error.contains("cut.safetensors") && error.contains("cut short"), "{error}");
}

#[cfg(unix)]
#[test]
fn devices_are_not_read() {
    assert!(load_error(Path::new("/dev/zero")).contains("a device"));
}

#[test]
fn a_file_that_cannot_be_written_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no such folder").join("net.safetensors");
    let error = native::write(&small_net(), &path, Precision::F32).unwrap_err().to_string();
    assert!(error.contains("cannot write") && error.contains("no such folder"), "{error}");
    // A folder in the way is not replaced, and the temporary file goes.
    let path = folder.path().join("a folder");
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(native::write(&small_net(), &path, Precision::F32), Err(FormatError::Write { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn a_written_file_may_be_read_by_others() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (plain, net) = (folder.path().join("plain"), folder.path().join("net.safetensors"));
    std::fs::write(&plain, "as any file").unwrap();
    native::write(&small_net(), &net, Precision::F32).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&net), mode(&plain));
    // One that is there keeps its permissions.
    std::fs::set_permissions(&net, PermissionsExt::from_mode(0o600)).unwrap();
    native::write(&small_net(), &net, Precision::F32).unwrap();
    assert_eq!(mode(&net) & 0o777, 0o600);
}

#[test]
fn the_net_that_ships_is_what_it_says() {
    let net = catalogue::open(catalogue::DEFAULT).unwrap();
    assert_eq!(net.name(), catalogue::DEFAULT);
    assert_eq!((net.labels().len(), net.labels()[282].as_str()), (1000, "tiger cat"));
    assert!(net.provenance().licence.contains("Apache-2.0"));
    let shapes = net.shapes(&net.native_input_shape(1)).unwrap();
    let shape = |name: &str| shapes[net.find(name).unwrap()].to_string();
    let channels = [16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320];
    let sizes = [112, 56, 56, 28, 28, 14, 14, 14, 14, 14, 14, 7, 7, 7, 7, 7];
    for (block, (channels, size)) in channels.into_iter().zip(sizes).enumerate() {
        assert_eq!(shape(&format!("block{block}")), format!("1×{channels}×{size}×{size}"));
    }
    assert_eq!(shape("head"), "1×1280×7×7");
    assert_eq!((net.logits(), net.output()), (net.find("logits").unwrap(), net.find("probabilities").unwrap()));
    assert_same(&catalogue::open("LITE0").unwrap(), &net);
    // Written by the program in the precision of the file, its tensors are the file's.
    let bytes = native::to_bytes(&net, Precision::F16).unwrap();
    let file =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/efficientnet-lite0.safetensors")).unwrap();
    let (written, shipped) = (Parts::of(&bytes), Parts::of(&file));
    assert!(written.tensors == shipped.tensors);
    assert_same(&native::read(&bytes).unwrap(), &net);
}

#[test]
fn an_unknown_net_lists_the_known_ones_and_a_path_is_opened() {
    let Err(error) = catalogue::open("resnet5000") else { panic!("no such net") };
    assert!(matches!(error, CatalogueError::Unknown { .. }));
    assert!(error.to_string().contains("resnet5000") && error.to_string().contains(catalogue::DEFAULT), "{error}");
    let Err(error) = catalogue::open("nets/missing.safetensors") else { panic!("no such file") };
    assert!(matches!(error, CatalogueError::File(FormatError::Read { .. })), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine");
    native::write(&small_net(), &path, Precision::F32).unwrap();
    assert_same(&catalogue::open(path.to_str().unwrap()).unwrap(), &small_net());
}

#[test]
fn a_description_of_many_dimensions_is_refused() {
    let mut parts = Parts::small();
    parts.tensors.insert("extra".into(), (Dtype::F32, vec![1; 1000], vec![0; 4]));
    let error = native::read(&parts.bytes()).unwrap_err();
    assert!(matches!(error, NativeError::Graph(GraphError::ParamLength { .. })), "{error}");
    assert!(error.to_string().len() < 500, "{} bytes of error", error.to_string().len());
}

//! `oneiric inspect`: drawings, profiles, comparisons and dumps.

use std::path::{Path, PathBuf};

use oneiric::base::tensor::Shape;
use oneiric::formats::native::{self, Precision};
use oneiric::nn::exec::reference::Reference;
use oneiric::nn::graph::{ChannelOrder, Graph, GraphBuilder, Preprocess};
use oneiric::nn::ops::activation::Activation;
use oneiric::nn::ops::conv::Conv2d;
use oneiric::nn::ops::linear::Linear;
use oneiric::nn::ops::pool::MaxPool;
use oneiric::nn::ops::reshape::Reshape;
use oneiric::nn::ops::softmax::Softmax;
use oneiric::nn::ops::window::{Padding, Window};
use oneiric::nn::ops::{Op, Run};
use serde_json::{Value, json};

use super::support::{Folder, Ran, asset, read};

const HEIGHT: usize = 6;
const WIDTH: usize = 8;

/// Numbers without a pattern, from −1 to 1.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
}

/// A small net with names that no file can have. `bias` is the first class's.
fn tiny(bias: f32) -> Graph {
    let mut net = GraphBuilder::new("data", 3, [HEIGHT, WIDTH]);
    net.param("conv.weight", &[4, 3, 3, 3], numbers(4 * 27, 1));
    net.param("conv.bias", &[4], numbers(4, 2));
    let conv = Op::Conv2d(Conv2d { window: Window::square(3, 1).padded(Padding::all(1)), groups: 1 });
    let conv = net.add("block/conv", conv, &[0], &["conv.weight", "conv.bias"]);
    let relu = net.add("block/relu", Op::Activation(Activation::Relu), &[conv], &[]);
    let pool = net.add("pool", Op::MaxPool(MaxPool { window: Window::square(2, 2) }), &[relu], &[]);
    let flat = net.add("flat", Op::Reshape(Reshape::flatten()), &[pool], &[]);
    net.param("fc.weight", &[5, 48], numbers(5 * 48, 3).iter().map(|w| w / 300.0).collect::<Vec<_>>());
    net.param("fc.bias", &[5], vec![bias, 0.1, 0.2, 0.3, 0.4]);
    let fc = net.add("fc", Op::Linear(Linear {}), &[flat], &["fc.weight", "fc.bias"]);
    net.add("prob", Op::Softmax(Softmax {}), &[fc], &[]);
    let preprocess =
        Preprocess { order: ChannelOrder::Bgr, mean: vec![100.0, 110.0, 120.0], scale: vec![0.5, 1.0, 2.0] };
    let labels = ["ant", "bee", "cat", "dog", "elk"].map(String::from).to_vec();
    net.finish("tiny", preprocess, labels).expect("the net is sound")
}

fn save(folder: &Folder, name: &str, bias: f32) -> PathBuf {
    let path = folder.path(name);
    native::write(&tiny(bias), &path, Precision::F32).expect("the net can be written");
    path
}

/// The shape and the values of a file of NumPy's.
fn npy(bytes: &[u8]) -> (Vec<usize>, Vec<f32>) {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).expect("the header is text");
    assert!(header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (") && header.ends_with('\n'));
    let dims = header.split(['(', ')']).nth(1).expect("there is a shape");
    let shape: Vec<usize> = dims.split(',').filter_map(|dim| dim.trim().parse().ok()).collect();
    let values: Vec<f32> = bytes[end..].as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)).collect();
    assert_eq!(values.len(), shape.iter().product::<usize>(), "{header}");
    (shape, values)
}

fn npy_at(path: impl AsRef<Path>) -> (Vec<usize>, Vec<f32>) {
    npy(&read(path))
}

/// From the order of files to that of the engine, in double precision.
fn nhwc(nchw: &[f32], channels: usize) -> Vec<f64> {
    let pixels = nchw.len() / channels;
    (0..nchw.len()).map(|i| f64::from(nchw[i % channels * pixels + i / channels])).collect()
}

#[track_caller]
fn assert_close(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(1e-12f64, |most, value| most.max(value.abs()));
    let off = got.iter().zip(want).map(|(&got, want)| (f64::from(got) - want).abs()).fold(0.0, f64::max);
    assert!(off <= tolerance * largest, "{what}: off by {off} of {largest}");
}

#[test]
fn values_and_derivatives_are_dumped() {
    let folder = Folder::new();
    save(&folder, "tiny.safetensors", 0.5);
    let photo = folder.photo("photo.png", WIDTH as u32, HEIGHT as u32);
    let common = ["inspect", "tiny.safetensors", "--photo", "photo.png", "--dump"];
    let ran = folder.run(common.iter().chain(&["all", "--out", "all/", "--class", "cat", "--json"]));
    let lines = ran.assert_done().objects();
    let files: Vec<&Value> = lines.iter().filter_map(|line| line.get("file")).collect();
    assert_eq!(files.len(), 7, "{lines:?}");
    assert_eq!(
        lines[1],
        json!({"layer": "block/conv", "shape": [1, 4, 6, 8], "file": "all/block-conv.npy", "gradient_file": "all/block-conv.grad.npy"})
    );
    assert_eq!((&lines[6]["layer"], &lines[6]["gradient_file"]), (&"prob".into(), &Value::Null), "past the score");

    // The input is what the documentation says it is: (p − mean) · scale, blue first.
    let (shape, input) = npy_at(folder.path("all/data.npy"));
    assert_eq!(shape, [1, 3, HEIGHT, WIDTH]);
    let picture = super::support::pixels(photo);
    let (mean, scale) = ([100.0, 110.0, 120.0], [0.5, 1.0, 2.0]);
    for (i, &value) in input.iter().enumerate() {
        let (channel, pixel) = (i / (HEIGHT * WIDTH), i % (HEIGHT * WIDTH));
        let colour = picture.get_pixel((pixel % WIDTH) as u32, (pixel / WIDTH) as u32).0[2 - channel];
        assert_eq!(value, (f32::from(colour) - mean[channel]) * scale[channel], "channel {channel}, pixel {pixel}");
    }

    // Everything else is what the plain executor says in double precision.
    let graph = tiny(0.5);
    let mut net = Reference::<f64>::new(&graph);
    let at = Shape::maps(1, 3, HEIGHT, WIDTH);
    net.forward(&at, &nhwc(&input, 3), &[graph.output()], Run::default()).expect("the net runs");
    net.backward(&[(graph.logits(), vec![0.0, 0.0, 1.0, 0.0, 0.0])], |_| false);
    for (name, layer, channels) in
        [("block-conv", "block/conv", 4), ("block-relu", "block/relu", 4), ("pool", "pool", 4), ("fc", "fc", 5)]
    {
        let id = graph.find(layer).expect("there");
        let (shape, values) = npy_at(folder.path(&format!("all/{name}.npy")));
        let (_, gradient) = npy_at(folder.path(&format!("all/{name}.grad.npy")));
        let blob = net.blob(id).expect("it ran");
        assert_eq!(shape, blob.shape.dims(), "{layer}");
        let narrow = |values: &[f32]| nhwc(values, channels).iter().map(|&value| value as f32).collect::<Vec<_>>();
        assert_close(layer, &narrow(&values), blob.data, 1e-5);
        assert_close(&format!("d {layer}"), &narrow(&gradient), net.d_blob(id).expect("it came"), 1e-5);
    }
    let (_, prob) = npy_at(folder.path("all/prob.npy"));
    assert!((prob.iter().sum::<f32>() - 1.0).abs() < 1e-5 && !folder.path("all/prob.grad.npy").exists());
    let value = lines[7]["value"].as_f64().expect("the score");
    let (_, scores) = npy_at(folder.path("all/fc.npy"));
    assert_eq!((value as f32, &lines[7]["objective"]), (scores[2], &"the score of class cat".into()));
}

#[test]
fn the_derivative_of_a_layer_is_that_of_central_differences() {
    let folder = Folder::new();
    save(&folder, "tiny.safetensors", 0.5);
    folder.photo("photo.png", 31, 17);
    let args = ["inspect", "tiny.safetensors", "--photo", "photo.png", "--dump", "input", "--out", "x.npy"];
    folder.run(args.iter().chain(&["--layer", "block/conv"])).assert_done();
    assert_eq!(folder.names(), ["photo.png", "tiny.safetensors", "x.grad.npy", "x.npy"]);
    let (_, input) = npy_at(folder.path("x.npy"));
    let (_, gradient) = npy_at(folder.path("x.grad.npy"));
    let graph = tiny(0.5);
    let layer = graph.find("block/conv").expect("there");
    let objective = |input: &[f64]| {
        let mut net = Reference::<f64>::new(&graph);
        net.forward(&Shape::maps(1, 3, HEIGHT, WIDTH), input, &[layer], Run::default()).expect("the net runs");
        net.blob(layer).expect("it ran").data.iter().map(|x| 0.5 * x * x).sum::<f64>()
    };
    let input = nhwc(&input, 3);
    let slope = |i: usize| {
        let at = |step: f64| {
            let mut moved = input.clone();
            moved[i] += step;
            objective(&moved)
        };
        (at(1e-3) - at(-1e-3)) / 2e-3
    };
    let want: Vec<f64> = (0..input.len()).map(slope).collect();
    let got: Vec<f32> = nhwc(&gradient, 3).iter().map(|&value| value as f32).collect();
    assert_close("the picture's derivative", &got, &want, 1e-5);
    // The same values go to stdout, and nothing else does.
    let mut command = super::support::oneiric();
    let output = command.current_dir(folder.path(".")).args(&args[..6]).args(["--out", "-"]).output().expect("it runs");
    assert!(output.status.success() && output.stdout == read(folder.path("x.npy")), "{:?}", output.status);
}

#[test]
fn two_nets_are_compared() {
    let folder = Folder::new();
    save(&folder, "a.safetensors", 0.5);
    save(&folder, "same.safetensors", 0.5);
    save(&folder, "other.safetensors", 1.5);
    folder.photo("photo.png", 20, 20);
    let check = |other: &str, more: &[&str]| {
        let args = ["inspect", "a.safetensors", "--photo", "photo.png", "--check", other];
        folder.run(args.iter().chain(more))
    };
    let ran = check("same.safetensors", &["--json"]);
    let [line] = ran.assert_done().objects().try_into().expect("one object");
    assert_eq!((&line["same"], &line["absolute"], &line["tolerance"]), (&true.into(), &0.0.into(), &1e-4.into()));
    assert_eq!(line["answers"][0], line["answers"][1]);
    assert!(
        ["ant", "bee", "cat", "dog", "elk"].map(Value::from).contains(&line["answers"][0]["top"]["label"]),
        "{line}"
    );

    let ran = check("other.safetensors", &["--layers", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""), "{ran:?}");
    let lines = ran.objects();
    let layers: Vec<(&str, bool)> = lines[..5]
        .iter()
        .map(|line| (line["layer"].as_str().unwrap_or(""), line["same"].as_bool().unwrap_or(false)))
        .collect();
    assert_eq!(layers, [("block/conv", true), ("block/relu", true), ("pool", true), ("flat", true), ("fc", false)]);
    let off = lines[5]["absolute"].as_f64().expect("a number");
    assert!((off - 1.0).abs() < 1e-3, "{lines:?}");

    let text = check("other.safetensors", &["--layers"]);
    assert!(text.code == Some(1) && text.stdout.contains("the first layer that differs is fc"), "{text:?}");
    check("other.safetensors", &["--tolerance", "1e9"]).assert_done();
    let refused = check("efficientnet-lite0", &[]);
    assert!(refused.code == Some(2) && refused.stderr.contains("cannot be compared"), "{refused:?}");
}

#[test]
fn a_net_is_drawn() {
    let folder = Folder::new();
    let ran = folder.run(["inspect", "--svg", "net.svg", "--dot", "deep/net.dot", "--json"]);
    let lines = ran.assert_done().objects();
    assert_eq!(lines.iter().map(|line| &line["format"]).collect::<Vec<_>>(), ["dot", "svg"]);
    let svg = String::from_utf8(read(folder.path("net.svg"))).expect("UTF-8");
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.ends_with("</svg>\n"));
    assert!(svg.contains(">Depthwise 3×3 · 32×112×112</text>"), "{svg}");
    let dot = folder.run(["inspect", "--dot", "-"]);
    assert!(dot.assert_done().stdout.starts_with("digraph \"efficientnet-lite0\" {"), "{dot:?}");
    assert_eq!(dot.stdout.into_bytes(), read(folder.path("deep/net.dot")));
}

#[test]
fn a_net_is_profiled() {
    let folder = Folder::new();
    let photo = asset("chelsea.png");
    let run = |more: &[&str]| -> Ran {
        let photo = photo.to_string_lossy();
        let args = ["inspect", "--profile", &photo, "--size", "64x48", "--rounds", "1", "--layer", "block2"];
        folder.run(args.iter().chain(more))
    };
    let lines = run(&["--json"]).assert_done().objects();
    let (sums, rows) = lines.split_last().expect("there are rows");
    assert_eq!(rows[0]["layers"], json!(["stem/conv", "stem/bn", "stem"]));
    assert_eq!(rows[0]["fused"], json!(["Conv2d 3×3 /2", "BatchNorm", "Clip"]));
    let sum = |key: &str| rows.iter().filter_map(|row| row[key].as_f64()).sum::<f64>();
    assert!((sum("share") - 1.0).abs() < 0.01 && sum("forward_ms") > 0.0 && sum("backward_ms") > 0.0, "{rows:?}");
    assert_eq!((&sums["totals"]["rounds"], &sums["totals"]["layer"]), (&1.into(), &"block2".into()));
    assert_eq!(sums["families"][0]["family"], "convolution");
    run(&["--out", "profile.txt"]).assert_done();
    let text = String::from_utf8(read(folder.path("profile.txt"))).expect("UTF-8");
    assert!(text.contains("Conv2d 3×3 /2 + BatchNorm + Clip") && text.contains("an estimate"), "{text}");
}

#[test]
fn what_cannot_be_is_refused_and_no_file_is_touched() {
    let folder = Folder::new();
    save(&folder, "tiny.safetensors", 0.5);
    folder.photo("photo.png", 20, 20);
    folder.write("plain", b"precious");
    let before = folder.names();
    let net = read(folder.path("tiny.safetensors"));
    let cases: &[(&[&str], &str)] = &[
        (&["--rounds", "3"], "--rounds says nothing without --profile"),
        (&["--svg", "a.svg", "--profile", "photo.png"], "--svg and --profile are different things"),
        (&["--dump", "fc"], "add --photo PHOTO"),
        (&["--dump", "fcc", "--photo", "photo.png"], "`fcc`"),
        (&["--dump", "fc", "--photo", "missing.png"], "missing.png"),
        (&["--dump", "fc", "--photo", "photo.png", "--class", "cow"], "cow"),
        (&["--dump", "fc,pool", "--photo", "photo.png", "--out", "x.npy"], "several layers need a folder"),
        (&["--dump", "fc", "--photo", "photo.png", "--out", "plain"], "plain is a file"),
        (&["--dump", "fc", "--photo", "photo.png", "--size", "9x9"], "`fc`"),
        (&["--dump", "block/conv", "--photo", "photo.png", "--size", "20000x20000", "--max-memory", "1G"], "of memory"),
        (&["--profile", "photo.png", "--rounds", "999999"], "999999 rounds"),
        (&["--profile", "photo.png", "--out", "photo.png"], "--out"),
        (&["--svg", "tiny.safetensors"], "choose another name for --svg"),
        (&["--svg", "plain", "--labels", "plain"], "choose another name for --svg"),
        (&["--check", "no-such-net", "--photo", "photo.png"], "no-such-net"),
        (&["--check", "lite0", "--photo", "photo.png", "--tolerance", "-1"], "--tolerance"),
    ];
    let mut failures = Vec::new();
    for &(options, says) in cases {
        let ran = folder.run(["inspect", "tiny.safetensors"].iter().chain(options));
        let one_sentence = ran.stderr.starts_with("oneiric: ") && ran.stderr.lines().count() == 1;
        if ran.code != Some(2) || !one_sentence || !ran.stderr.contains(says) || !ran.stdout.is_empty() {
            failures.push(format!("{options:?} should say {says:?}: {ran:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!((folder.names(), read(folder.path("plain"))), (before, b"precious".to_vec()));
    assert_eq!(read(folder.path("tiny.safetensors")), net);
}

//! Nets of other formats through the binary: opened, dreamt with, converted, refused.

use super::support::{Folder, asset};
use crate::imports::support::data_path;

fn net(name: &str) -> String {
    data_path(name).to_string_lossy().into_owned()
}

#[test]
fn a_net_is_the_same_after_every_conversion() {
    let folder = Folder::new();
    let photo = asset("chelsea.png").to_string_lossy().into_owned();
    let caffe = net("caffe/alex.caffemodel");
    folder.run(["nets", "convert", &caffe, "own.safetensors", "--quiet"]).assert_done();
    let onnx = folder.run(["nets", "convert", "own.safetensors", "net.onnx", "--json"]);
    let written = &onnx.assert_done().objects()[0];
    assert_eq!((written["file"].as_str(), written["format"].as_str()), (Some("net.onnx"), Some("onnx")));
    for other in ["own.safetensors", "net.onnx"] {
        let same = folder.run(["inspect", &caffe, "--check", other, "--photo", &photo, "--json", "--quiet"]);
        let last = same.assert_done().objects().pop().expect("a comparison");
        assert_eq!(last["same"], true, "{other}: {last}");
    }
    folder.run(["nets", "convert", &caffe, "weights.safetensors", "--to", "state-dict", "-q"]).assert_done();
    assert_eq!(folder.names(), ["net.onnx", "own.safetensors", "weights.safetensors"]);
}

#[test]
fn what_is_said_of_a_net_is_in_the_recipe_and_what_is_not_is_told() {
    let folder = Folder::new();
    let photo = folder.photo("photo.png", 40, 32).to_string_lossy().into_owned();
    let caffe = net("caffe/goog.caffemodel");
    let quick = ["--octaves", "1", "--steps", "2", "--seed", "3"];
    let said = ["dream", &photo, "--net", &caffe, "--mean", "1,2,3", "--scale", "1/2", "--rgb", "--out", "said.png"];
    let dream = folder.run(said.into_iter().chain(quick));
    assert!(!dream.assert_done().stderr.contains("do not say how"), "{}", dream.stderr);
    folder.run(["dream", "--recipe", "said.png", "--out", "again.png", "--quiet"]).assert_done();
    assert_eq!(super::support::read(folder.path("said.png")), super::support::read(folder.path("again.png")));
    let unsaid = folder.run(["dream", &photo, "--net", &caffe, "--out", "unsaid.png"].into_iter().chain(quick));
    assert!(unsaid.assert_done().stderr.contains("blue, green, red"), "{}", unsaid.stderr);
    assert_ne!(super::support::pixels(folder.path("said.png")), super::support::pixels(folder.path("unsaid.png")));
}

#[test]
fn what_is_no_net_ends_in_one_sentence() {
    let folder = Folder::new();
    folder.write("cut.onnx", &std::fs::read(data_path("onnx/opset8.onnx")).unwrap()[..200]);
    folder.write("labels.txt", b"cat\ndog\n");
    folder.write("deploy.prototxt", b"name: 'x' layer { name: 'c' type: 'Convolution' bottom: 'data' top: 'c' }");
    folder.write("photo.onnx", &std::fs::read(asset("chelsea.png")).unwrap());
    let cases = [
        ("cut.onnx", "cut.onnx: "),
        ("labels.txt", "labels.txt is a text file"),
        ("deploy.prototxt", "deploy.prototxt: "),
        ("photo.onnx", "photo.onnx is a picture"),
        ("missing.pth", "cannot read missing.pth"),
        ("googlenet", "oneiric nets get googlenet"),
    ];
    for (name, expected) in cases {
        let ran = folder.run(["inspect", name]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{name}: {ran:?}");
        assert!(ran.stderr.contains(expected) && ran.stderr.lines().count() == 1, "{name}: {}", ran.stderr);
    }
    let refused = folder.run(["nets", "convert", "deploy.prototxt", "out.xyz"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("--to FORMAT"), "{}", refused.stderr);
    let refused = folder.run(["classify", "photo.onnx", "--mean", "a,b"]);
    assert_eq!(refused.code, Some(2));
}

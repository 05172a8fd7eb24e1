#![no_main]

mod common;

use common::build;
use libfuzzer_sys::fuzz_target;
use oneiric::formats::LoadOptions;
use oneiric::formats::caffe::{self, Sources};

const NET: &str = r#"input: "data" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 4 layer { name: "r" type: "ReLU" bottom: "data" top: "r" }"#;

/// Weights that hold nothing but the net's name.
const WEIGHTS: &[u8] = b"\x0a\x01x";

fuzz_target!(|data: &[u8]| {
    let sources = Sources { prototxt: Some(NET), caffemodel: Some(WEIGHTS), mean: Some(data), ..Sources::default() };
    build(caffe::read(&sources, &LoadOptions::default()));
});

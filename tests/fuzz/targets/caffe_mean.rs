#![no_main]

mod common;

use common::build;
use libfuzzer_sys::fuzz_target;
use oneiric::formats::LoadOptions;
use oneiric::formats::caffe::{self, Sources};

const NET: &str = r#"input: "data" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 4 layer { name: "r" type: "ReLU" bottom: "data" top: "r" }"#;

fuzz_target!(|data: &[u8]| {
    build(caffe::read(
        &Sources { prototxt: Some(NET), mean: Some(data), ..Sources::default() },
        &LoadOptions::default(),
    ));
});

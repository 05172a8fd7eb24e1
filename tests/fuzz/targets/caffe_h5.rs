#![no_main]

mod common;

use common::build;
use libfuzzer_sys::fuzz_target;
use oneiric::formats::LoadOptions;
use oneiric::formats::caffe::{self, Sources};

const NET: &str = r#"input: "data" input_dim: 1 input_dim: 1 input_dim: 4 input_dim: 4
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }"#;

fuzz_target!(|data: &[u8]| {
    build(caffe::read(&Sources { prototxt: Some(NET), h5: Some(data), ..Sources::default() }, &LoadOptions::default()));
});

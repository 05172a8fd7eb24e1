#![no_main]

mod common;

use common::build;
use libfuzzer_sys::fuzz_target;
use oneiric::formats::LoadOptions;
use oneiric::formats::caffe::{self, Sources};

fuzz_target!(|data: &str| {
    build(caffe::read(&Sources { prototxt: Some(data), ..Sources::default() }, &LoadOptions::default()));
});

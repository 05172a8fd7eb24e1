#![no_main]

mod common;

use common::build;
use libfuzzer_sys::fuzz_target;
use oneiric::formats::LoadOptions;
use oneiric::formats::onnx::{self, Nowhere};

fuzz_target!(|data: &[u8]| {
    build(onnx::read(data, &Nowhere, &LoadOptions::default()));
});

#![no_main]

mod common;

use common::build;
use libfuzzer_sys::fuzz_target;
use oneiric::formats::LoadOptions;
use oneiric::formats::matconvnet;

fuzz_target!(|data: &[u8]| {
    build(matconvnet::read(data, &LoadOptions::default()));
});

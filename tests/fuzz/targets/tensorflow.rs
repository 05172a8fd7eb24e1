#![no_main]

mod common;

use common::build;
use libfuzzer_sys::fuzz_target;
use oneiric::formats::LoadOptions;
use oneiric::formats::tensorflow;

fuzz_target!(|data: &[u8]| {
    build(tensorflow::read(data, &LoadOptions::default()));
});

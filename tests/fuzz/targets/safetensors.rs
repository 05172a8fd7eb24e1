#![no_main]

mod common;

use common::build;
use libfuzzer_sys::fuzz_target;
use oneiric::formats::LoadOptions;
use oneiric::formats::pytorch;

fuzz_target!(|data: &[u8]| {
    build(pytorch::read_safetensors(data, &LoadOptions::default()));
});

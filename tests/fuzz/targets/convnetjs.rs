#![no_main]

mod common;

use common::build;
use libfuzzer_sys::fuzz_target;
use oneiric::formats::LoadOptions;
use oneiric::formats::convnetjs;

fuzz_target!(|data: &str| {
    build(convnetjs::read(data, &LoadOptions::default()));
});

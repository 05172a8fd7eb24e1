#![no_main]

mod common;

use common::build;
use libfuzzer_sys::fuzz_target;
use oneiric::formats::{LoadOptions, lasagne};

fuzz_target!(|data: &[u8]| {
    build(lasagne::read(data, &LoadOptions::default()));
});

#![no_main]

mod common;

use common::build;
use libfuzzer_sys::fuzz_target;
use oneiric::formats::netfile;

fuzz_target!(|data: &str| {
    build(netfile::read(data));
});

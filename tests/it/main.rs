//! Integration tests, one binary.

mod architectures;
mod cli;
mod dream;
mod engine;
mod formats;
mod golden;
mod golden_dream;
mod imports;
mod layering;
mod training;

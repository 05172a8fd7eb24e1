//! Integration tests, one binary.

mod cli;
mod dream;
mod formats;
mod golden;
mod layering;

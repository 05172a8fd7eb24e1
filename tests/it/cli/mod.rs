//! The program as its users meet it: the real binary, its exit codes, its streams and its files.

mod bad_input;
mod commands;
mod foreign;
mod inspect;
#[cfg(unix)]
mod interrupt;
mod nets;
mod smoke;
mod support;

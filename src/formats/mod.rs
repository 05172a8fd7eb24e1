//! Nets from files: bytes to [`crate::nn::graph::Graph`].

pub mod architectures;
pub mod native;

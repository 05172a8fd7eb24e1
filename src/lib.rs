//! Oneiric: dream with convolutional networks, and look into them.

pub mod base;
pub mod cli;
pub mod formats;
pub mod imageio;
pub mod job;
pub mod nn;
pub mod optvis;
pub mod tasks;

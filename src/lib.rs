//! Oneiric: dream with convolutional networks, and look into them.
//!
//! The library behind the `oneiric` program. A net from a file becomes a [`nn::graph::Graph`]; a plan
//! ([`nn::exec::FrozenNet`]) runs it forward to the layers that matter and sends gradients back to the picture;
//! [`optvis`] climbs those gradients; [`tasks`] turns plain specs into jobs; [`cli`] and [`gui`] are their two faces.
//!
//! # Layers
//!
//! A module may use only the rows below its own; the `layering` test holds it to that.
//!
//! | row | modules | what they own |
//! |---|---|---|
//! | 5 | [`cli`], [`gui`] | arguments, progress, exit codes; the window. Neither face uses the other |
//! | 4 | [`tasks`] | one serde spec and one job a feature; where nets are found |
//! | 3 | [`optvis`] | gradient ascent on inputs, taken apart |
//! | 2 | [`formats`], [`imageio`], [`job`] | nets from files; pictures; the run loop |
//! | 1 | [`nn`] | operations, the graph of a net, the plans that run it |
//! | 0 | [`base`] | tensors, BLAS, SIMD, threads, random streams, whole files |
//!
//! # Conventions
//!
//! * Shapes are written in the frameworks' order (batch × channels × height × width); memory is channels-last
//!   (NHWC), because then a 1×1 convolution is a matrix product and every window vectorizes along channels.
//! * Padding, rounding, pool divisors, normalization constants and channel order are attributes in the graph. Ops
//!   never ask which framework a net came from.
//! * Objectives are maximized, penalties subtracted. Max pooling sends its gradient to one winner, the first in scan
//!   order. The gradient of ReLU at nought is nought.
//! * The same seed gives the same bytes for any number of threads: work is cut by sizes of the problem, and sums are
//!   added up in a fixed order.
//! * Pictures are sRGB-encoded RGB from 0 to 255 everywhere but between `optvis::preprocess` and its adjoint.

pub mod base;
pub mod cli;
pub mod formats;
pub mod gui;
pub mod imageio;
pub mod job;
pub mod nn;
pub mod optvis;
pub mod tasks;

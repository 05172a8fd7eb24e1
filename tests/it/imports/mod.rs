//! Nets of foreign formats: whole files against the outputs and input gradients of the framework that made them.

mod caffe;
mod convnetjs;
mod lasagne;
mod matconvnet;
mod onnx;
mod onnx_export;
mod pytorch;
pub mod support;
mod tensorflow;
mod together;

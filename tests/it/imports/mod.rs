//! Nets of foreign formats: whole files against the outputs and input gradients of the framework that made them.

mod onnx;
mod onnx_export;
mod support;

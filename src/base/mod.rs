//! The ground floor: tensors, BLAS, threads, random streams. Knows nothing of nets or pictures.

pub mod blas;
pub mod parallel;
pub mod rng;
pub mod simd;
pub mod tensor;
pub mod text;

//! The plain executor.

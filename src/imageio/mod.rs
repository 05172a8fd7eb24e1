//! Pictures: files to tensors and back.

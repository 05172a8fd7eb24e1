//! Deep dreams.

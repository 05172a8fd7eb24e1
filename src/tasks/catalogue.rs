//! Where nets are found.

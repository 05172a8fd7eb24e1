//! Gradient ascent on inputs, taken apart.

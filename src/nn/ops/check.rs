//! Test support: gradient checks by central differences in `f64`, and comparisons that a NaN fails.

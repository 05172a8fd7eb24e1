//! Graphs of well-known architectures, given a source of parameters.

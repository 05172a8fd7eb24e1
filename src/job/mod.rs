//! The run loop: steps, progress, pause, cancel.

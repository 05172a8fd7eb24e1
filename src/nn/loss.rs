//! Losses. See [`super::ops`] for the conventions.

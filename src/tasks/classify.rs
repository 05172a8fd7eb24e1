//! Top classes of photos.

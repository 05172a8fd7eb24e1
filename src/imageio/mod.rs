//! Pictures: files to tensors and back. Knows nothing of nets.
//!
//! # Conventions
//! - A [`Picture`] is interleaved RGB in `f32`, row-major from the top left, sRGB-encoded, 0 to 255: the number that an
//!   8-bit file holds is the number in memory, a 16-bit one is divided by 257. That is the space in which the nets of
//!   the field were trained. Linear light is used only where a name says so ([`color`]).
//! - Alpha is not premultiplied, 0 (clear) to 255 (opaque). Gray pictures become RGB.
//! - Sizes that are passed as an array are `[height, width]`, as the rows of a tensor lie; fields are named.
//! - Files are known by content, never by name; what is written is chosen by name ([`OutputFormat::of_path`]).
//! - Pictures are upright: the EXIF orientation is obeyed on reading and not written.
//! - Colours are sRGB: an embedded ICC profile of another space is converted (with a note), see [`load`].
//! - Every decoder runs under [`Limits`], checked against the header before pixels are allocated. A file that ends
//!   early is refused, never filled up with gray.
//! - Writing is atomic: the old file or the whole new one, never half of it ([`save`]).
//! - A picture carries the text that repeats it, its recipe ([`read_recipe`]).

pub mod animation;
pub mod color;
pub mod resize;

mod atomic;
mod decode;
mod encode;
mod error;
mod format;
mod icc;
mod jpeg_segments;
mod picture;
mod recipe;
#[cfg(test)]
mod tests;

pub use animation::{AnimationFormat, AnimationOptions, FrameSpool, Saved, save_animation};
pub use atomic::check_writable;
pub use color::keep_colors;
pub use decode::{Limits, Loaded, Probe, load, load_bytes, probe};
pub use encode::{SaveOptions, save};
pub use error::ImageError;
pub use format::{Bits, OutputFormat, PictureFormat};
pub use picture::Picture;
pub use recipe::{MAX_RECIPE_BYTES, read_recipe};
pub use resize::{Filter, resize, resize_strips, zoom_linear, zoom_linear_strips};

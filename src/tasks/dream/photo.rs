//! What a dream starts from.

use std::path::{Path, PathBuf};

use rand::RngExt;

use super::error::DreamError;
use super::memory;
use super::spec::SizePx;
use crate::base::rng::{Stream, rng};
use crate::imageio::{self, Limits, Picture};

/// A photo and where it came from.
#[derive(Clone, Debug)]
pub struct Photo {
    pub path: PathBuf,
    pub picture: Picture,
    /// What the user should know about how it was read, each a sentence without its full stop.
    pub notes: Vec<String>,
}

impl Photo {
    /// Reads a photo in no more memory than `max_memory` bytes, or than the machine has left.
    ///
    /// # Errors
    /// When the file is missing, no whole picture, or too large.
    pub fn load(path: &Path, max_memory: Option<u64>) -> Result<Self, DreamError> {
        let mut limits = Limits::default();
        if let Some(bytes) = max_memory.into_iter().chain(memory::available_bytes()).min() {
            // Memory is the only limit: the machine may have more than the default allows, or less.
            limits = Limits { max_pixels: u64::MAX, max_alloc_bytes: bytes };
        }
        let loaded = imageio::load(path, &limits)?;
        Ok(Self { path: path.to_path_buf(), picture: loaded.picture, notes: loaded.notes })
    }
}

/// The gray that noise is about, and how far it reaches from there: faint, so that the dream forms freely.
const NOISE_MEAN: f32 = 127.5;
const NOISE_REACH: f32 = 12.0;

/// Uniform noise around gray.
pub fn noise(size: SizePx, seed: u64) -> Picture {
    let mut rng = rng(seed, Stream::Noise, 0);
    let value = |_| NOISE_MEAN + NOISE_REACH * rng.random_range(-1.0..1.0f32);
    Picture::from_rgb(size.width, size.height, (0..size.width * size.height * 3).map(value).collect())
}

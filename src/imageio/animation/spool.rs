//! Frames on disk, from when they are made until the animation is written.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{AnimationOptions, Canvas, Saved, save_frames};
use crate::imageio::atomic::scratch_beside;
use crate::imageio::error::ImageError;
use crate::imageio::picture::Picture;

/// Frames of an animation that is still being made, in 8 bits, in a file without a name beside the animation's: 3 bytes a
/// pixel and frame, 4 with alpha. It is gone when it is dropped, or when the program ends in any way.
#[derive(Debug)]
pub struct FrameSpool {
    path: PathBuf,
    options: AnimationOptions,
    file: File,
    /// Once there is a frame.
    canvas: Option<Canvas>,
    frames: usize,
}

impl FrameSpool {
    /// An empty spool for the animation at `path`.
    ///
    /// # Errors
    /// When `path` cannot be written.
    pub fn new(path: &Path, options: AnimationOptions) -> Result<Self, ImageError> {
        let file = scratch_beside(path)?;
        Ok(Self { path: path.to_path_buf(), options, file, canvas: None, frames: 0 })
    }

    /// Where the animation will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of frames.
    pub fn len(&self) -> usize {
        self.frames
    }

    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// The recipe is often known only with the last frame.
    pub fn set_recipe(&mut self, recipe: Option<String>) {
        self.options.recipe = recipe;
    }

    /// Appends a frame.
    ///
    /// # Errors
    /// When its size is not the first one's or more than the format can hold, when the disk is full.
    pub fn push(&mut self, frame: &Picture) -> Result<(), ImageError> {
        let canvas = match self.canvas {
            Some(canvas) => canvas,
            None => Canvas::of(&self.path, frame, self.options.format)?,
        };
        canvas.check(&self.path, self.frames, frame)?;
        self.canvas = Some(canvas);
        let bytes = canvas.bytes(frame);
        let start = self.frames as u64 * bytes.len() as u64;
        let written = self.file.seek(SeekFrom::Start(start)).and_then(|_| self.file.write_all(&bytes));
        written.map_err(|error| ImageError::writing(&self.path, error))?;
        self.frames += 1;
        Ok(())
    }

    /// Writes the animation, as [`super::save_animation`] does. The spool keeps its frames.
    ///
    /// # Errors
    /// As [`super::save_animation`]; when there are no frames.
    pub fn save(&mut self, progress: &mut dyn FnMut(usize, usize) -> bool) -> Result<Saved, ImageError> {
        let Self { path, options, file, canvas, frames } = self;
        let mut next = |i: usize| match *canvas {
            Some(canvas) => frame_at(file, canvas, i).map_err(|error| ImageError::writing(path, error)),
            None => Ok(Picture::from_rgb(0, 0, Vec::new())),
        };
        save_frames(path, *frames, &mut next, options, progress)
    }
}

fn frame_at(file: &mut File, canvas: Canvas, i: usize) -> std::io::Result<Picture> {
    let [width, height] = canvas.size_px();
    let channels = if canvas.has_alpha { 4 } else { 3 };
    let mut bytes = vec![0; width * height * channels];
    file.seek(SeekFrom::Start(i as u64 * bytes.len() as u64))?;
    file.read_exact(&mut bytes)?;
    if !canvas.has_alpha {
        return Ok(Picture::from_rgb8(width, height, &bytes));
    }
    let pixels = bytes.as_chunks::<4>().0;
    let rgb = pixels.iter().flat_map(|&[r, g, b, _]| [r, g, b].map(f32::from)).collect();
    let alpha = pixels.iter().map(|&[.., alpha]| f32::from(alpha)).collect();
    Ok(Picture::from_rgb(width, height, rgb).with_alpha(Some(alpha)))
}

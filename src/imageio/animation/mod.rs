//! Pictures to an animation: GIF, APNG or animated WebP.
//!
//! | format | colours | alpha | size of a 640×427 dream |
//! |---|---|---|---|
//! | GIF | 256 a frame, dithered | none: laid on white | about 0.2 MB a frame |
//! | WebP | all | kept | about 0.5 MB a frame |
//! | APNG | all | kept | about 0.6 MB a frame |
//!
//! WebP and APNG are lossless, frame by frame, and therefore large: a dream changes everywhere at every step, so that
//! there is nothing to gain from what two frames share. All loop forever.

mod apng;
mod gif;
mod palette;
mod spool;
#[cfg(test)]
mod tests;
mod webp;

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter};
use std::ops::RangeInclusive;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use self::spool::FrameSpool;
use super::atomic::Draft;
use super::encode::samples;
use super::error::ImageError;
use super::picture::{Picture, byte_of};
use super::recipe::MAX_RECIPE_BYTES;

/// The most frames that an animation is written with, the way back included.
pub const MAX_FRAMES: usize = 10_000;

/// How long a frame may last, in ms. Viewers take less than 20 ms for a mistake and show such a frame for 100 ms.
pub const FRAME_MS: RangeInclusive<u32> = 20..=60_000;

/// A format for animations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnimationFormat {
    /// 256 colours a frame, no alpha; shown everywhere.
    Gif,
    /// An animated PNG: lossless, with alpha. Viewers that do not know it show the first frame.
    Apng,
    /// Lossless, with alpha.
    WebP,
}

impl AnimationFormat {
    pub const ALL: [Self; 3] = [Self::Gif, Self::Apng, Self::WebP];

    /// The format that a file name asks for by its extension, whatever its case: gif, png, apng or webp.
    ///
    /// # Errors
    /// [`ImageError::NoAnimationFormat`] for any other name.
    pub fn of_path(path: &Path) -> Result<Self, ImageError> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match extension.as_str() {
            "gif" => Ok(Self::Gif),
            "png" | "apng" => Ok(Self::Apng),
            "webp" => Ok(Self::WebP),
            _ => Err(ImageError::NoAnimationFormat { path: path.to_path_buf() }),
        }
    }

    /// The usual end of a file's name. An APNG is a PNG, and called so it opens everywhere.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Gif => "gif",
            Self::Apng => "png",
            Self::WebP => "webp",
        }
    }

    /// The most pixels in a row or a column that the format can hold.
    pub fn max_side_px(self) -> usize {
        match self {
            Self::Gif => (1 << 16) - 1,
            Self::Apng => (1 << 31) - 1,
            // 16384 by its specification, which not every decoder reads.
            Self::WebP => (1 << 14) - 1,
        }
    }
}

impl fmt::Display for AnimationFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gif => "GIF",
            Self::Apng => "APNG",
            Self::WebP => "WebP",
        })
    }
}

/// How an animation is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnimationOptions {
    pub format: AnimationFormat,
    /// How long each frame but the last is shown, in ms, within [`FRAME_MS`]. GIF counts in 10 ms, to the nearest.
    pub frame_ms: u32,
    /// How long the last frame is shown: the result of the dream.
    pub last_frame_ms: u32,
    /// Whether the frames follow backwards too, so that the loop has no jump. Of `n` frames, `2n - 2` are written: the
    /// first and the last are not repeated.
    pub back_and_forth: bool,
    /// The text that repeats the dream, at most [`MAX_RECIPE_BYTES`] long.
    pub recipe: Option<String>,
}

impl AnimationOptions {
    /// 80 ms a frame, 1.5 s for the last, forwards only, no recipe.
    pub fn new(format: AnimationFormat) -> Self {
        Self { format, frame_ms: 80, last_frame_ms: 1500, back_and_forth: false, recipe: None }
    }
}

/// How the writing of an animation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Saved {
    Whole,
    /// On request. What was at the path is untouched.
    Stopped,
}

/// Writes an animation atomically, one frame after the other: on any error or stop what was at `path` is untouched and
/// nothing else is left there. Missing folders are made. The same frames and options give the same bytes.
///
/// `next` gives frame `i` of `count`; with [`AnimationOptions::back_and_forth`] it is asked for the frames between the
/// first and the last once more, in descending order. Only one frame is held at a time. Before each frame, `progress` is
/// told how many are done and how many there will be; it returns false to stop. It is told once more when all are done.
///
/// All frames have the size of the first. The first one also decides whether there is alpha in APNG and WebP: if it has
/// none, a later frame that has is laid on white. GIF has none at all.
///
/// # Errors
/// When the frames are none, more than [`MAX_FRAMES`], of different sizes or larger than the format can hold; when a time
/// lies outside [`FRAME_MS`]; when the recipe is too long; when `path` cannot be written; when the disk is full.
pub fn save_animation(
    path: &Path,
    count: usize,
    next: &mut dyn FnMut(usize) -> Picture,
    options: &AnimationOptions,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Saved, ImageError> {
    save_frames(path, count, &mut |i| Ok(next(i)), options, progress)
}

/// [`save_animation`] of frames that may fail to come.
fn save_frames(
    path: &Path,
    count: usize,
    next: &mut dyn FnMut(usize) -> Result<Picture, ImageError>,
    options: &AnimationOptions,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Saved, ImageError> {
    check_options(path, count, options)?;
    let draft = Draft::new(path)?;
    let saved = write_frames(draft.file(), path, count, next, options, progress)?;
    if saved == Saved::Whole {
        draft.commit()?;
        let total = frames_written(count, options.back_and_forth);
        progress(total, total);
    }
    Ok(saved)
}

fn write_frames(
    file: &File,
    path: &Path,
    count: usize,
    next: &mut dyn FnMut(usize) -> Result<Picture, ImageError>,
    options: &AnimationOptions,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Saved, ImageError> {
    let (format, total) = (options.format, frames_written(count, options.back_and_forth));
    let explain = |failure| match failure {
        EncodeFailure::Io(error) => ImageError::writing(path, error),
        EncodeFailure::Other(reason) => ImageError::EncodeAnimation { path: path.to_path_buf(), format, reason },
    };
    let mut open: Option<(Box<dyn FrameWriter + '_>, Canvas)> = None;
    for done in 0..total {
        if !progress(done, total) {
            return Ok(Saved::Stopped);
        }
        // On the way back the index falls again.
        let i = if done < count { done } else { total - done };
        let frame = next(i)?;
        let (writer, canvas) = match &mut open {
            Some(open) => open,
            None => {
                let canvas = Canvas::of(path, &frame, format)?;
                let writer = writer_of(BufWriter::new(file), canvas, total, options).map_err(explain)?;
                open.insert((writer, canvas))
            }
        };
        canvas.check(path, i, &frame)?;
        let ms = if i + 1 == count { options.last_frame_ms } else { options.frame_ms };
        writer.frame(&frame, ms).map_err(explain)?;
    }
    if let Some((writer, _)) = open {
        writer.finish().map_err(explain)?;
    }
    Ok(Saved::Whole)
}

/// How many frames `count` become.
fn frames_written(count: usize, back_and_forth: bool) -> usize {
    if back_and_forth && count > 2 { count.saturating_mul(2) - 2 } else { count }
}

fn check_options(path: &Path, count: usize, options: &AnimationOptions) -> Result<(), ImageError> {
    let path = || path.to_path_buf();
    let frames = frames_written(count, options.back_and_forth);
    if frames == 0 || frames > MAX_FRAMES {
        return Err(ImageError::FrameCount { path: path(), frames, max_frames: MAX_FRAMES });
    }
    for ms in [options.frame_ms, options.last_frame_ms] {
        if !FRAME_MS.contains(&ms) {
            return Err(ImageError::FrameTime { path: path(), ms, allowed: FRAME_MS });
        }
    }
    match options.recipe.as_ref().map(String::len) {
        Some(bytes) if bytes > MAX_RECIPE_BYTES => {
            Err(ImageError::RecipeTooLong { path: path(), bytes, max_bytes: MAX_RECIPE_BYTES })
        }
        _ => Ok(()),
    }
}

/// What all frames share.
#[derive(Clone, Copy, Debug)]
struct Canvas {
    width: u32,
    height: u32,
    has_alpha: bool,
}

impl Canvas {
    /// That of the first frame.
    fn of(path: &Path, frame: &Picture, format: AnimationFormat) -> Result<Self, ImageError> {
        let (path, width_px, height_px) = (path.to_path_buf(), frame.width, frame.height);
        if frame.is_empty() {
            return Err(ImageError::NoPixels { path, width_px, height_px });
        }
        let max_side_px = format.max_side_px();
        match (u32::try_from(width_px), u32::try_from(height_px)) {
            (Ok(width), Ok(height)) if width_px.max(height_px) <= max_side_px => {
                Ok(Self { width, height, has_alpha: frame.alpha.is_some() })
            }
            _ => Err(ImageError::FrameTooLarge { path, format, width_px, height_px, max_side_px }),
        }
    }

    fn size_px(self) -> [usize; 2] {
        [self.width as usize, self.height as usize]
    }

    fn check(self, path: &Path, i: usize, frame: &Picture) -> Result<(), ImageError> {
        let (size_px, expected_px) = ([frame.width, frame.height], self.size_px());
        if size_px == expected_px {
            return Ok(());
        }
        Err(ImageError::FrameSize { path: path.to_path_buf(), frame: i + 1, size_px, expected_px })
    }

    /// A frame's interleaved bytes: RGBA where there is alpha, RGB where there is none.
    fn bytes(self, frame: &Picture) -> Vec<u8> {
        match (self.has_alpha, &frame.alpha) {
            (true, Some(_)) | (false, None) => samples(frame, byte_of),
            (true, None) => samples(&frame.clone().with_alpha(Some(vec![255.0; frame.len()])), byte_of),
            (false, Some(_)) => frame.flattened_onto([255.0; 3]).to_u8(),
        }
    }
}

/// What goes wrong while a frame is encoded, before it is known which file it was for.
enum EncodeFailure {
    Io(io::Error),
    Other(String),
}

impl From<io::Error> for EncodeFailure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A file of one format that takes frame after frame.
trait FrameWriter {
    /// Appends a frame that has the canvas's size and is shown for `ms`.
    fn frame(&mut self, frame: &Picture, ms: u32) -> Result<(), EncodeFailure>;

    /// Writes what follows the last frame, and flushes.
    fn finish(self: Box<Self>) -> Result<(), EncodeFailure>;
}

fn writer_of<'a>(
    file: BufWriter<&'a File>,
    canvas: Canvas,
    frames: usize,
    options: &AnimationOptions,
) -> Result<Box<dyn FrameWriter + 'a>, EncodeFailure> {
    let recipe = options.recipe.as_deref();
    Ok(match options.format {
        AnimationFormat::Gif => Box::new(gif::Writer::new(file, canvas, recipe)?),
        AnimationFormat::Apng => Box::new(apng::Writer::new(file, canvas, frames, recipe)?),
        AnimationFormat::WebP => Box::new(webp::Writer::new(file, canvas, recipe)?),
    })
}

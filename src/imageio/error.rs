//! What can go wrong between a picture and its file.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::animation::AnimationFormat;
use super::format::{OutputFormat, PictureFormat};

/// A failure to read or write a picture: one sentence that names the file and says what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    #[error("there is no file {path}: check the name")]
    Missing { path: PathBuf },
    #[error("{path} is a folder, not a picture: name a file inside it")]
    IsFolder { path: PathBuf },
    #[error("{path} is not a regular file: save the picture to disk first")]
    NotAFile { path: PathBuf },
    #[error("{path} is empty (0 bytes): copy or download it again")]
    Empty { path: PathBuf },
    #[error("no permission to read {path}: change its permissions or copy it")]
    NoReadPermission { path: PathBuf },
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is {what}, not a picture in a known format: use PNG, JPEG, WebP, TIFF, BMP or GIF")]
    NotAPicture { path: PathBuf, what: &'static str },
    #[error("{path} uses a kind of {format} that is not supported ({reason}): save it as PNG")]
    Unsupported { path: PathBuf, format: PictureFormat, reason: String },
    #[error("{path} ends before its {format} picture does: copy or download it again")]
    Truncated { path: PathBuf, format: PictureFormat },
    #[error("{path} is damaged and cannot be decoded as {format} ({reason}): copy or download it again")]
    Damaged { path: PathBuf, format: PictureFormat, reason: String },
    #[error("{path} has no pixels ({width_px}×{height_px}): choose another picture")]
    NoPixels { path: PathBuf, width_px: usize, height_px: usize },
    #[error(
        "{path} is too large: {width_px}×{height_px} is {} pixels and at most {max_pixels} are allowed; make it smaller",
        *width_px as u128 * *height_px as u128
    )]
    TooLarge { path: PathBuf, width_px: usize, height_px: usize, max_pixels: u64 },
    #[error(
        "{path} would take {} MiB of memory to read and at most {} MiB are allowed; make it smaller{}",
        needed_bytes.div_ceil(1 << 20), max_alloc_bytes >> 20, would_fit(.fitting_px)
    )]
    TooMuchMemory {
        path: PathBuf,
        needed_bytes: u64,
        max_alloc_bytes: u64,
        /// `[width, height]` that could be read, where the picture's own size is known.
        fitting_px: Option<[usize; 2]>,
    },
    #[error("the recipe inside {path} cannot be read ({reason})")]
    BadRecipe { path: PathBuf, reason: String },

    #[error("{path} does not say which format to write: end its name in .png, .jpg, .webp or .tif")]
    NoOutputFormat { path: PathBuf },
    #[error("cannot write the format that {path} asks for: end its name in .png, .jpg, .webp or .tif")]
    UnknownOutputFormat { path: PathBuf },
    #[error("{format} has no 16-bit pictures and cannot be used for {path}: write PNG or TIFF, or 8 bits")]
    NoSixteenBit { path: PathBuf, format: OutputFormat },
    #[error(
        "{width_px}×{height_px} is more than {format} can hold (at most {max_side_px} a side): write {path} as PNG"
    )]
    TooLargeForFormat { path: PathBuf, format: OutputFormat, width_px: usize, height_px: usize, max_side_px: usize },
    #[error("the recipe for {path} is {bytes} bytes long and at most {max_bytes} fit: make it shorter")]
    RecipeTooLong { path: PathBuf, bytes: usize, max_bytes: usize },
    #[error("cannot write the picture to {path}: a folder of that name is there, name a file inside it")]
    OutputIsFolder { path: PathBuf },
    #[error("cannot write {path}: what is there is not a regular file, choose another name")]
    OutputNotAFile { path: PathBuf },
    #[error("cannot write {path}: the file there is read-only, choose another name")]
    OutputReadOnly { path: PathBuf },
    #[error("cannot write {path}: {blocking} is a file, not a folder; choose another folder")]
    ParentNotAFolder { path: PathBuf, blocking: PathBuf },
    #[error("no permission to write {path}: choose another folder or change its permissions")]
    NoWritePermission { path: PathBuf },
    #[error("cannot write {path}: the disk is full; free some space or choose another one")]
    DiskFull { path: PathBuf },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot encode {path} as {format}: {reason}")]
    Encode { path: PathBuf, format: OutputFormat, reason: String },

    #[error("{path} does not say which animation to write: end its name in .gif, .webp, .png or .apng")]
    NoAnimationFormat { path: PathBuf },
    #[error("an animation {path} needs between 1 and {max_frames} frames, not {frames}: choose another number")]
    FrameCount { path: PathBuf, frames: usize, max_frames: usize },
    #[error(
        "a frame of {path} cannot last {ms} ms: choose between {} and {} ms",
        .allowed.start(), .allowed.end()
    )]
    FrameTime { path: PathBuf, ms: u32, allowed: std::ops::RangeInclusive<u32> },
    #[error(
        "frame {frame} of {path} is {}×{}, not {}×{} as the first one: make all frames of one size",
        .size_px[0], .size_px[1], .expected_px[0], .expected_px[1]
    )]
    FrameSize {
        path: PathBuf,
        /// From 1.
        frame: usize,
        /// `[width, height]`.
        size_px: [usize; 2],
        /// `[width, height]` of the first frame.
        expected_px: [usize; 2],
    },
    #[error(
        "{width_px}×{height_px} is more than an animated {format} can hold (at most {max_side_px} a side): make the \
         frames of {path} smaller"
    )]
    FrameTooLarge { path: PathBuf, format: AnimationFormat, width_px: usize, height_px: usize, max_side_px: usize },
    #[error("cannot encode the animation {path} as {format}: {reason}")]
    EncodeAnimation { path: PathBuf, format: AnimationFormat, reason: String },
}

impl ImageError {
    /// Whether the machine is at fault, and not the file or what was asked for.
    pub fn is_of_machine(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::Write { .. })
    }

    /// Says what an error of opening or reading `path` means.
    pub(super) fn reading(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing { path },
            io::ErrorKind::IsADirectory => Self::IsFolder { path },
            io::ErrorKind::PermissionDenied => Self::NoReadPermission { path },
            _ => Self::Read { path, source },
        }
    }

    /// Says what an error of writing `path` means.
    pub(super) fn writing(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::NoWritePermission { path },
            _ => Self::Write { path, source },
        }
    }
}

/// What a decoder says, before it is known which file it read.
#[derive(Debug)]
pub(super) enum Fault {
    Truncated,
    Damaged(String),
    Unsupported(String),
    NoPixels,
    OverLimit,
    Io(io::Error),
}

impl Fault {
    pub(super) fn damaged(reason: impl ToString) -> Self {
        Self::Damaged(reason.to_string())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            // Decoders report broken data by these kinds too.
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => Self::damaged(error),
            _ => Self::Io(error),
        }
    }
}

fn would_fit(fitting_px: &Option<[usize; 2]>) -> String {
    fitting_px.map_or(String::new(), |[width, height]| format!(": {width}×{height} would fit"))
}

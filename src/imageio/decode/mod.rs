//! Files to pictures.
//!
//! PNG, JPEG and WebP are decoded with their own crates rather than through `image`: its JPEG decoder is fixed to
//! lenient decoding, which fills what a cut file lacks with gray; its WebP decoder has no memory limit; and its PNG
//! decoder does not read what follows the pixels, so that it cannot tell a cut file either.

mod bmp;
mod gif;
mod jpeg;
mod png;
mod raster;
mod tiff;
mod webp;

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;

use image::metadata::Orientation;

use self::raster::Raster;
use super::error::{Fault, ImageError};
use super::format::{Bits, PictureFormat, SNIFF_BYTES, sniff};
use super::icc::Model;
use super::picture::Picture;

/// What reading a picture may cost at most. Both are checked before pixels are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Width times height.
    pub max_pixels: u64,
    /// Everything that [`Probe::bytes_to_load`] counts.
    pub max_alloc_bytes: u64,
}

impl Default for Limits {
    /// 100 megapixels and 4 GiB: any camera's picture, on any machine that dreams. A caller that knows its machine
    /// knows better.
    fn default() -> Self {
        Self { max_pixels: 100_000_000, max_alloc_bytes: 4 << 30 }
    }
}

/// What the header of a picture file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// After the EXIF orientation.
    pub width_px: usize,
    /// After the EXIF orientation.
    pub height_px: usize,
    pub format: PictureFormat,
    pub bits: Bits,
    pub has_alpha: bool,
    /// About the most memory that [`load`] holds at once: the file, what the decoder makes of it, and the
    /// [`Picture`] itself.
    pub bytes_to_load: u64,
}

impl Probe {
    pub fn pixels(&self) -> u64 {
        (self.width_px as u64).saturating_mul(self.height_px as u64)
    }
}

/// A picture that has been read.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub picture: Picture,
    /// What the user should know about how it was read, each a sentence without its full stop.
    pub notes: Vec<String>,
    /// The text that repeats the picture, when it carries one (see [`super::read_recipe`]).
    pub recipe: Option<String>,
    pub source_format: PictureFormat,
    /// Of the file; the picture in memory keeps them all.
    pub bits: Bits,
}

/// The header of one format's file, before the orientation is obeyed.
struct Header {
    width: usize,
    height: usize,
    orientation: Orientation,
    model: Model,
    has_alpha: bool,
    bits: Bits,
    /// What the decoder itself holds beside its result.
    working_bytes_per_px: u64,
}

/// Reads the header of a picture file and no pixels, so that the caller can compute the memory that it takes.
///
/// # Errors
/// When the file is missing, a folder, empty, not readable, not a picture, or its header is damaged.
pub fn probe(path: &Path) -> Result<Probe, ImageError> {
    let (file, file_bytes) = open(path)?;
    let (reader, format) = sniffed(path, BufReader::new(file))?;
    let header = header(format, reader).map_err(|fault| explain(path, format, fault, None))?;
    checked(path, format, &header, file_bytes)
}

/// Reads a picture file: by content, upright, in sRGB, whole.
///
/// Of an animation or a file of several pages the first is read, and a note says so. An embedded ICC profile (RGB, gray
/// or CMYK) is applied, and colours that sRGB does not hold are cut; sRGB profiles change nothing, to the bit. CMYK
/// without a profile is multiplied out, inks as Adobe stores them (inverted), as all viewers do. PNG's gAMA and cHRM
/// chunks are not applied.
///
/// # Errors
/// As [`probe`]; moreover when the picture is larger than the limits, truncated or damaged.
pub fn load(path: &Path, limits: &Limits) -> Result<Loaded, ImageError> {
    let (file, file_bytes) = open(path)?;
    let (mut reader, format) = sniffed(path, BufReader::new(file))?;
    let fail = |fault, probe: Option<&Probe>| explain(path, format, fault, probe.map(|probe| (probe, limits)));
    if file_bytes > limits.max_alloc_bytes {
        let (path, max_alloc_bytes) = (path.to_path_buf(), limits.max_alloc_bytes);
        return Err(ImageError::TooMuchMemory { path, needed_bytes: file_bytes, max_alloc_bytes, fitting_px: None });
    }
    let header = header(format, &mut reader).map_err(|fault| fail(fault, None))?;
    let probe = checked(path, format, &header, file_bytes)?;
    check_limits(path, &probe, limits)?;

    let read = |error| ImageError::reading(path, error);
    reader.rewind().map_err(read)?;
    let mut bytes = Vec::new();
    // The file may have grown since it was measured.
    reader.take(file_bytes).read_to_end(&mut bytes).map_err(read)?;
    let mut raster = decode(format, &bytes, limits).map_err(|fault| fail(fault, Some(&probe)))?;
    drop(bytes);
    // A file that was replaced between the two readings.
    if (raster.width, raster.height) != (header.width, header.height) {
        return Err(fail(Fault::damaged("its size is not what its header says"), None));
    }
    let (recipe, bits) = (raster.recipe.take(), raster.bits);
    let (picture, notes) = raster.into_picture();
    Ok(Loaded { picture, notes, recipe, source_format: format, bits })
}

/// Reads a picture from memory as [`load`] does from a file, such as one that is part of the program or on the
/// clipboard. `name` stands for the file in errors.
///
/// # Errors
/// When the bytes are no picture, or one that is larger than the limits, truncated or damaged.
pub fn load_bytes(name: &Path, bytes: &[u8], limits: &Limits) -> Result<Loaded, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty { path: name.to_path_buf() });
    }
    let head = &bytes[..bytes.len().min(SNIFF_BYTES)];
    let format = sniff(head).map_err(|what| ImageError::NotAPicture { path: name.to_path_buf(), what })?;
    let header = header(format, Cursor::new(bytes)).map_err(|fault| explain(name, format, fault, None))?;
    let probe = checked(name, format, &header, bytes.len() as u64)?;
    check_limits(name, &probe, limits)?;
    let decoded = decode(format, bytes, limits);
    let mut raster = decoded.map_err(|fault| explain(name, format, fault, Some((&probe, limits))))?;
    let (recipe, bits) = (raster.recipe.take(), raster.bits);
    let (picture, notes) = raster.into_picture();
    Ok(Loaded { picture, notes, recipe, source_format: format, bits })
}

/// Opens a regular file that is not empty, and measures it.
pub(super) fn open(path: &Path) -> Result<(File, u64), ImageError> {
    let read = |error| ImageError::reading(path, error);
    // Before opening: to open a pipe waits for its other end.
    let metadata = std::fs::metadata(path).map_err(read)?;
    let path_buf = || path.to_path_buf();
    if metadata.is_dir() {
        return Err(ImageError::IsFolder { path: path_buf() });
    }
    if !metadata.is_file() {
        return Err(ImageError::NotAFile { path: path_buf() });
    }
    if metadata.len() == 0 {
        return Err(ImageError::Empty { path: path_buf() });
    }
    Ok((File::open(path).map_err(read)?, metadata.len()))
}

/// Tells the format, and gives the reader back at its start.
pub(super) fn sniffed(
    path: &Path,
    mut reader: BufReader<File>,
) -> Result<(BufReader<File>, PictureFormat), ImageError> {
    let read = |error| ImageError::reading(path, error);
    let mut head = Vec::with_capacity(SNIFF_BYTES);
    reader.by_ref().take(SNIFF_BYTES as u64).read_to_end(&mut head).map_err(read)?;
    let format = sniff(&head).map_err(|what| ImageError::NotAPicture { path: path.to_path_buf(), what })?;
    reader.rewind().map_err(read)?;
    Ok((reader, format))
}

fn header(format: PictureFormat, reader: impl BufRead + Seek) -> Result<Header, Fault> {
    match format {
        PictureFormat::Png => png::header(reader),
        PictureFormat::Jpeg => jpeg::header(reader),
        PictureFormat::WebP => webp::header(reader),
        PictureFormat::Tiff => tiff::header(reader),
        PictureFormat::Bmp => bmp::header(reader),
        PictureFormat::Gif => gif::header(reader),
    }
}

fn decode(format: PictureFormat, bytes: &[u8], limits: &Limits) -> Result<Raster, Fault> {
    match format {
        PictureFormat::Png => png::decode(bytes, limits),
        PictureFormat::Jpeg => jpeg::decode(bytes),
        PictureFormat::WebP => webp::decode(bytes, limits),
        PictureFormat::Tiff => tiff::decode(bytes, limits),
        PictureFormat::Bmp => bmp::decode(bytes, limits),
        PictureFormat::Gif => gif::decode(bytes, limits),
    }
}

/// The probe that a header gives, unless there are no pixels.
fn checked(path: &Path, format: PictureFormat, header: &Header, file_bytes: u64) -> Result<Probe, ImageError> {
    let (mut width_px, mut height_px) = (header.width, header.height);
    if raster::swaps_sides(header.orientation) {
        (width_px, height_px) = (height_px, width_px);
    }
    if width_px == 0 || height_px == 0 {
        return Err(ImageError::NoPixels { path: path.to_path_buf(), width_px, height_px });
    }
    let alpha = u64::from(header.has_alpha);
    let sample_bytes = if header.bits == Bits::Sixteen { 2 } else { 1 };
    let decoded_bytes_per_px = (header.model.channels() as u64 + alpha) * sample_bytes;
    let picture_bytes_per_px = (3 + alpha) * size_of::<f32>() as u64;
    let bytes_per_px = header.working_bytes_per_px + decoded_bytes_per_px + picture_bytes_per_px;
    let pixels = (width_px as u64).saturating_mul(height_px as u64);
    let bytes_to_load = pixels.saturating_mul(bytes_per_px).saturating_add(file_bytes);
    Ok(Probe { width_px, height_px, format, bits: header.bits, has_alpha: header.has_alpha, bytes_to_load })
}

fn check_limits(path: &Path, probe: &Probe, limits: &Limits) -> Result<(), ImageError> {
    let &Probe { width_px, height_px, bytes_to_load: needed_bytes, .. } = probe;
    let &Limits { max_pixels, max_alloc_bytes } = limits;
    let path = path.to_path_buf();
    if probe.pixels() > max_pixels {
        return Err(ImageError::TooLarge { path, width_px, height_px, max_pixels });
    }
    if needed_bytes > max_alloc_bytes || usize::try_from(needed_bytes).is_err() {
        let fitting_px = fitting_px(probe, max_alloc_bytes);
        return Err(ImageError::TooMuchMemory { path, needed_bytes, max_alloc_bytes, fitting_px });
    }
    Ok(())
}

/// `[width, height]` of a smaller picture of its kind that could be read.
fn fitting_px(probe: &Probe, max_alloc_bytes: u64) -> Option<[usize; 2]> {
    let factor = (max_alloc_bytes as f64 / probe.bytes_to_load as f64).sqrt();
    let size = [probe.width_px, probe.height_px].map(|px| (px as f64 * factor) as usize);
    size.iter().all(|&px| px > 0).then_some(size)
}

/// Names the file in what a decoder says.
fn explain(path: &Path, format: PictureFormat, fault: Fault, under: Option<(&Probe, &Limits)>) -> ImageError {
    let path_buf = path.to_path_buf();
    match (fault, under) {
        (Fault::Truncated, _) => ImageError::Truncated { path: path_buf, format },
        (Fault::Damaged(reason), _) => ImageError::Damaged { path: path_buf, format, reason },
        (Fault::Unsupported(reason), _) => ImageError::Unsupported { path: path_buf, format, reason },
        (Fault::NoPixels, _) => ImageError::NoPixels { path: path_buf, width_px: 0, height_px: 0 },
        // Within the limits by its header, beyond them by what the decoder found.
        (Fault::OverLimit, Some((probe, limits))) => ImageError::TooMuchMemory {
            path: path_buf,
            needed_bytes: probe.bytes_to_load.max(limits.max_alloc_bytes.saturating_add(1)),
            max_alloc_bytes: limits.max_alloc_bytes,
            fitting_px: None,
        },
        (Fault::OverLimit, None) => {
            ImageError::Damaged { path: path_buf, format, reason: "its header is too long".to_owned() }
        }
        (Fault::Io(source), _) => ImageError::reading(path, source),
    }
}

/// A zeroed buffer for what a header promises; the system hands out its pages as the decoder reaches them.
fn buffer(bytes: u64, limits: &Limits) -> Result<Vec<u8>, Fault> {
    if bytes > limits.max_alloc_bytes {
        return Err(Fault::OverLimit);
    }
    Ok(vec![0; usize::try_from(bytes).map_err(|_| Fault::OverLimit)?])
}

/// Reads the rest of `bytes` with one of `image`'s decoders.
fn cursor(bytes: &[u8]) -> Cursor<&[u8]> {
    Cursor::new(bytes)
}

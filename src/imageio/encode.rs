//! Pictures to files.

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use tiff::encoder::colortype::{ColorType, RGB8, RGB16, RGBA8, RGBA16};
use tiff::encoder::compression::DeflateLevel;
use tiff::encoder::{Compression, Predictor, TiffEncoder, TiffValue};
use tiff::tags::{ExtraSamples, Tag, Type};

use super::error::ImageError;
use super::format::{Bits, OutputFormat};
use super::picture::{Picture, byte_of, word_of};
use super::{atomic, jpeg_segments, recipe};

/// How a picture is written.
#[derive(Clone, Debug, PartialEq)]
pub struct SaveOptions {
    pub format: OutputFormat,
    /// 16 bits go into PNG and TIFF only.
    pub bits: Bits,
    /// 1 (small) to 100 (best); 0 counts as 1, more than 100 as 100. Chroma is never subsampled.
    pub jpeg_quality: u8,
    /// The text that repeats the picture, at most [`super::MAX_RECIPE_BYTES`] long.
    pub recipe: Option<String>,
}

impl SaveOptions {
    /// 8 bits, JPEG quality 95, no recipe.
    pub fn new(format: OutputFormat) -> Self {
        Self { format, bits: Bits::Eight, jpeg_quality: 95, recipe: None }
    }
}

/// Writes a picture atomically: on any error what was at `path` is untouched and nothing else is left there. Missing
/// folders are made. Values are rounded to the nearest step without dithering and cut to 0 to 255; the same picture and
/// options give the same bytes. JPEG has no alpha: clear pixels become white.
///
/// # Errors
/// When the options ask for what the format cannot hold, when `path` cannot be written, when the disk is full.
pub fn save(path: &Path, picture: &Picture, options: &SaveOptions) -> Result<(), ImageError> {
    check_fits(path, picture, options)?;
    let recipe = options.recipe.as_deref();
    let encoded = match options.format {
        OutputFormat::Png => png(picture, options.bits, recipe),
        OutputFormat::Jpeg => jpeg(picture, options.jpeg_quality, recipe),
        OutputFormat::WebP => webp(picture, recipe),
        OutputFormat::Tiff => tiff(picture, options.bits, recipe),
    };
    let encoded = encoded.map_err(|reason| ImageError::Encode {
        path: path.to_path_buf(),
        format: options.format,
        reason: reason.to_string(),
    })?;
    atomic::write(path, &encoded)
}

fn check_fits(path: &Path, picture: &Picture, options: &SaveOptions) -> Result<(), ImageError> {
    let path = path.to_path_buf();
    let (width_px, height_px, format) = (picture.width, picture.height, options.format);
    if picture.is_empty() {
        return Err(ImageError::NoPixels { path, width_px, height_px });
    }
    if options.bits == Bits::Sixteen && !format.has_sixteen_bits() {
        return Err(ImageError::NoSixteenBit { path, format });
    }
    let max_side_px = format.max_side_px();
    if width_px.max(height_px) > max_side_px {
        return Err(ImageError::TooLargeForFormat { path, format, width_px, height_px, max_side_px });
    }
    let max_bytes = recipe::MAX_RECIPE_BYTES;
    match options.recipe.as_ref().map(String::len) {
        Some(bytes) if bytes > max_bytes => Err(ImageError::RecipeTooLong { path, bytes, max_bytes }),
        _ => Ok(()),
    }
}

type Encoded = Result<Vec<u8>, Box<dyn std::error::Error>>;

/// Interleaved samples, RGBA where there is alpha and RGB where there is none.
pub(super) fn samples<T>(picture: &Picture, sample_of: fn(f32) -> T) -> Vec<T> {
    match &picture.alpha {
        None => picture.rgb.iter().map(|&value| sample_of(value)).collect(),
        Some(alpha) => {
            let pixels = picture.rgb.as_chunks::<3>().0.iter().zip(alpha);
            pixels.flat_map(|(&[r, g, b], &a)| [r, g, b, a].map(sample_of)).collect()
        }
    }
}

/// The sides, which `check_fits` has found to be within the format's.
fn sides(picture: &Picture) -> Result<(u32, u32), std::num::TryFromIntError> {
    Ok((u32::try_from(picture.width)?, u32::try_from(picture.height)?))
}

fn png(picture: &Picture, bits: Bits, recipe: Option<&str>) -> Encoded {
    let mut bytes = Vec::new();
    let (width, height) = sides(picture)?;
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(if picture.alpha.is_some() { png::ColorType::Rgba } else { png::ColorType::Rgb });
    encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
    encoder.set_compression(png_compression([width, height]));
    if let Some(recipe) = recipe {
        encoder.add_itxt_chunk(recipe::PNG_KEYWORD.to_owned(), recipe.to_owned())?;
    }
    let data = match bits {
        Bits::Eight => samples(picture, byte_of),
        Bits::Sixteen => {
            encoder.set_depth(png::BitDepth::Sixteen);
            samples(picture, |value| word_of(value).to_be_bytes()).into_flattened()
        }
    };
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&data)?;
    writer.finish()?;
    Ok(bytes)
}

/// Small files for pictures of usual sizes; posters would wait for that longer than for a step of their dream.
fn png_compression([width, height]: [u32; 2]) -> png::Compression {
    const LARGE_PIXELS: u64 = 1 << 22;
    if u64::from(width) * u64::from(height) < LARGE_PIXELS {
        png::Compression::Balanced
    } else {
        png::Compression::Fast
    }
}

fn jpeg(picture: &Picture, quality: u8, recipe: Option<&str>) -> Encoded {
    let mut bytes = Vec::new();
    let (width, height) = sides(picture)?;
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    let mut beside_exif = None;
    if let Some(recipe) = recipe {
        match recipe::jpeg_exif_block(recipe)? {
            Some(block) => encoder.set_exif_metadata(block)?,
            None => beside_exif = Some(recipe),
        }
    }
    let opaque = match picture.alpha {
        Some(_) => picture.flattened_onto([255.0; 3]).to_u8(),
        None => picture.to_u8(),
    };
    encoder.write_image(&opaque, width, height, ExtendedColorType::Rgb8)?;
    if let Some(recipe) = beside_exif {
        let mut segments = Vec::new();
        recipe::push_jpeg_segments(&mut segments, recipe);
        let after_jfif = jpeg_segments::first_segments_end(&bytes);
        bytes.splice(after_jfif..after_jfif, segments);
    }
    Ok(bytes)
}

fn webp(picture: &Picture, recipe: Option<&str>) -> Encoded {
    let mut bytes = Vec::new();
    let (width, height) = sides(picture)?;
    let mut encoder = image_webp::WebPEncoder::new(&mut bytes);
    if let Some(recipe) = recipe {
        encoder.set_exif_metadata(recipe::exif_block(recipe)?);
    }
    let color = if picture.alpha.is_some() { image_webp::ColorType::Rgba8 } else { image_webp::ColorType::Rgb8 };
    encoder.encode(&samples(picture, byte_of), width, height, color)?;
    Ok(bytes)
}

fn tiff(picture: &Picture, bits: Bits, recipe: Option<&str>) -> Encoded {
    match (bits, picture.alpha.is_some()) {
        (Bits::Eight, false) => tiff_of::<RGB8>(picture, byte_of, recipe),
        (Bits::Eight, true) => tiff_of::<RGBA8>(picture, byte_of, recipe),
        (Bits::Sixteen, false) => tiff_of::<RGB16>(picture, word_of, recipe),
        (Bits::Sixteen, true) => tiff_of::<RGBA16>(picture, word_of, recipe),
    }
}

fn tiff_of<C: ColorType>(picture: &Picture, sample_of: fn(f32) -> C::Inner, recipe: Option<&str>) -> Encoded
where
    [C::Inner]: TiffValue,
{
    let mut bytes = Cursor::new(Vec::new());
    let (width, height) = sides(picture)?;
    let mut encoder = TiffEncoder::new(&mut bytes)?
        .with_compression(Compression::Deflate(DeflateLevel::Balanced))
        .with_predictor(Predictor::Horizontal);
    let mut exif = None;
    if let Some(recipe) = recipe {
        let mut directory = encoder.extra_directory()?;
        let comment = recipe::user_comment(recipe, u16::to_ne_bytes);
        let entry = directory.write_entry_bytes(Type::UNDEFINED, &comment)?;
        directory.extend_from(&[(recipe::USER_COMMENT, entry)].into_iter().collect());
        exif = Some(directory.finish_with_offsets()?.offset);
    }
    let mut image = encoder.new_image::<C>(width, height)?;
    if let Some(offset) = exif {
        image.encoder().write_tag(Tag::ExifDirectory, offset)?;
    }
    if picture.alpha.is_some() {
        image.encoder().write_tag(Tag::ExtraSamples, ExtraSamples::UnassociatedAlpha.to_u16())?;
    }
    image.write_data(&samples(picture, sample_of))?;
    Ok(bytes.into_inner())
}

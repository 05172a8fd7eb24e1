//! PNG, with the `png` crate.

use std::io::{BufRead, Seek};

use image::metadata::Orientation;
use png::{BitDepth, ColorType, Decoder, Info, Reader, Transformations};

use super::raster::{Raster, Samples, words};
use super::{Header, Limits, buffer, cursor};
use crate::imageio::error::Fault;
use crate::imageio::format::Bits;
use crate::imageio::icc::Model;
use crate::imageio::recipe::{of_png, png_fault};

pub(super) fn header(reader: impl BufRead + Seek) -> Result<Header, Fault> {
    // Nothing is allocated by what the header claims, only as bytes of the file are read.
    let mut decoder = opened(reader, usize::MAX)?;
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    header_of(&decoder.read_info().map_err(png_fault)?)
}

fn opened<R: BufRead + Seek>(mut reader: R, max_bytes: usize) -> Result<Decoder<R>, Fault> {
    // The crate refuses a side of 0 too, but says only that a number is not valid.
    let mut start = [0; 24];
    reader.read_exact(&mut start)?;
    reader.rewind()?;
    let [.., w3, w2, w1, w0, h3, h2, h1, h0] = start;
    if [w3, w2, w1, w0] == [0; 4] || [h3, h2, h1, h0] == [0; 4] {
        return Err(Fault::NoPixels);
    }
    let mut decoder = Decoder::new_with_limits(reader, png::Limits { bytes: max_bytes });
    // Palettes become RGB, clear colours become alpha, 1 to 4 bits become 8; 16 bits stay.
    decoder.set_transformations(Transformations::EXPAND);
    Ok(decoder)
}

fn header_of<R: BufRead + Seek>(reader: &Reader<R>) -> Result<Header, Fault> {
    let info = reader.info();
    let (color, depth) = reader.output_color_type();
    let (model, has_alpha) = match color {
        ColorType::Grayscale => (Model::Gray, false),
        ColorType::GrayscaleAlpha => (Model::Gray, true),
        ColorType::Rgb => (Model::Rgb, false),
        ColorType::Rgba => (Model::Rgb, true),
        ColorType::Indexed => return Err(Fault::Unsupported("a palette that cannot be expanded".to_owned())),
    };
    Ok(Header {
        width: info.width as usize,
        height: info.height as usize,
        orientation: orientation_of(info),
        model,
        has_alpha,
        bits: if depth == BitDepth::Sixteen { Bits::Sixteen } else { Bits::Eight },
        // The samples once more while their bytes are put in order.
        working_bytes_per_px: if depth == BitDepth::Sixteen { 8 } else { 0 },
    })
}

fn orientation_of(info: &Info<'_>) -> Orientation {
    let exif = info.exif_metadata.as_deref();
    exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Raster, Fault> {
    let max_bytes = usize::try_from(limits.max_alloc_bytes).unwrap_or(usize::MAX);
    let mut reader = opened(cursor(bytes), max_bytes)?.read_info().map_err(png_fault)?;
    let header = header_of(&reader)?;
    let size = reader.output_buffer_size().ok_or(Fault::OverLimit)?;
    let mut data = buffer(size as u64, limits)?;
    reader.next_frame(&mut data).map_err(png_fault)?;
    // What follows the pixels: text, the orientation, and the end that a cut file lacks.
    reader.finish().map_err(png_fault)?;
    let info = reader.info();
    let samples = match header.bits {
        Bits::Eight => Samples::Eight(data),
        Bits::Sixteen => Samples::Sixteen(words(&data, u16::from_be_bytes)),
    };
    let mut raster = Raster::new(&header, samples);
    raster.orientation = orientation_of(info);
    // The sRGB chunk overrides a profile.
    raster.icc = info.icc_profile.as_ref().filter(|_| info.srgb.is_none()).map(|profile| profile.to_vec());
    if info.animation_control().is_some_and(|animation| animation.num_frames > 1) {
        raster.notes.push("it is an animation: its first frame was read".to_owned());
    }
    raster.set_recipe(of_png(info));
    Ok(raster)
}

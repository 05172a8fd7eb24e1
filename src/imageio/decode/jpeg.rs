//! JPEG, with the `zune-jpeg` crate in strict mode.

use std::io::{BufRead, Seek};

use image::metadata::Orientation;
use zune_core::bytestream::ZByteReaderTrait;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::raster::{Raster, Samples};
use super::{Header, cursor};
use crate::imageio::error::Fault;
use crate::imageio::format::Bits;
use crate::imageio::icc::Model;
use crate::imageio::{jpeg_segments, recipe};

/// Coefficients of four components in 16 bits, which a progressive file needs all at once, and their upsampling.
const WORKING_BYTES_PER_PX: u64 = 10;

pub(super) fn header(reader: impl BufRead + Seek) -> Result<Header, Fault> {
    header_of(&opened(reader)?)
}

fn opened<T: ZByteReaderTrait>(reader: T) -> Result<JpegDecoder<T>, Fault> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(reader, options);
    decoder.decode_headers().map_err(fault)?;
    Ok(decoder)
}

fn header_of<T: ZByteReaderTrait>(decoder: &JpegDecoder<T>) -> Result<Header, Fault> {
    let missing = || Fault::damaged("it has no frame header");
    let (width, height) = decoder.dimensions().ok_or_else(missing)?;
    let model = match decoder.input_colorspace().ok_or_else(missing)? {
        ColorSpace::Luma => Model::Gray,
        ColorSpace::YCbCr | ColorSpace::RGB => Model::Rgb,
        ColorSpace::CMYK | ColorSpace::YCCK => Model::Cmyk,
        other => return Err(Fault::Unsupported(format!("colour space {other:?}"))),
    };
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    Ok(Header {
        width,
        height,
        orientation: orientation.unwrap_or(Orientation::NoTransforms),
        model,
        has_alpha: false,
        bits: Bits::Eight,
        working_bytes_per_px: WORKING_BYTES_PER_PX,
    })
}

pub(super) fn decode(bytes: &[u8]) -> Result<Raster, Fault> {
    // Even in strict mode the crate lets the very end be cut.
    if !jpeg_segments::has_end(bytes) {
        return Err(Fault::Truncated);
    }
    let mut decoder = opened(cursor(bytes))?;
    let header = header_of(&decoder)?;
    let stored = decoder.input_colorspace();
    let wanted = match (header.model, stored) {
        (Model::Gray, _) => ColorSpace::Luma,
        (Model::Rgb, _) => ColorSpace::RGB,
        // As stored: the crate's own conversion knows no ICC profile.
        (Model::Cmyk, Some(ColorSpace::YCCK)) => ColorSpace::YCCK,
        (Model::Cmyk, _) => ColorSpace::CMYK,
    };
    decoder.set_options(decoder.options().jpeg_set_out_colorspace(wanted));
    let mut data = decoder.decode().map_err(fault)?;
    if wanted == ColorSpace::YCCK {
        data.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| *pixel = cmyk_from_ycck(*pixel));
    }
    let mut raster = Raster::new(&header, Samples::Eight(data));
    raster.icc = decoder.icc_profile();
    raster.set_recipe(recipe::of_jpeg(&mut &*bytes));
    Ok(raster)
}

/// Inks as Adobe stores them (255 is none) from the YCbCr of their complements (Adobe TN 5116; ITU T.871 for the
/// matrix). Black is stored as it is.
fn cmyk_from_ycck([luma, cb, cr, key]: [u8; 4]) -> [u8; 4] {
    let (luma, cb, cr) = (f32::from(luma), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    let [r, g, b] = [luma + 1.402 * cr, luma - 0.344_136 * cb - 0.714_136 * cr, luma + 1.772 * cb];
    let [c, m, y] = [r, g, b].map(|value| (255.0 - value).round() as u8);
    [c, m, y, key]
}

fn fault(error: DecodeErrors) -> Fault {
    match error {
        DecodeErrors::ZeroError => Fault::NoPixels,
        DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(_) => Fault::Truncated,
        DecodeErrors::Unsupported(kind) => Fault::Unsupported(format!("{kind:?}")),
        error => Fault::damaged(error),
    }
}

//! WebP, with the `image-webp` crate.

use std::io::{BufRead, Seek};

use image::metadata::Orientation;
use image_webp::WebPDecoder;

use super::raster::{Raster, Samples};
use super::{Header, Limits, buffer, cursor};
use crate::imageio::error::Fault;
use crate::imageio::format::Bits;
use crate::imageio::icc::Model;
use crate::imageio::recipe::{EXIF_MAGIC, of_exif_block, webp_fault};

/// The profile and the EXIF block, each.
const MAX_METADATA_BYTES: usize = 64 << 20;

pub(super) fn header(reader: impl BufRead + Seek) -> Result<Header, Fault> {
    header_of(&mut opened(reader)?)
}

fn opened<R: BufRead + Seek>(reader: R) -> Result<WebPDecoder<R>, Fault> {
    let mut decoder = WebPDecoder::new(reader).map_err(webp_fault)?;
    decoder.set_memory_limit(MAX_METADATA_BYTES);
    Ok(decoder)
}

fn header_of<R: BufRead + Seek>(decoder: &mut WebPDecoder<R>) -> Result<Header, Fault> {
    let (width, height) = decoder.dimensions();
    let exif = decoder.exif_metadata().ok().flatten();
    let orientation =
        exif.and_then(|block| Orientation::from_exif_chunk(block.strip_prefix(EXIF_MAGIC).unwrap_or(&block)));
    Ok(Header {
        width: width as usize,
        height: height as usize,
        orientation: orientation.unwrap_or(Orientation::NoTransforms),
        model: Model::Rgb,
        has_alpha: decoder.has_alpha(),
        bits: Bits::Eight,
        // A canvas and a frame of RGBA.
        working_bytes_per_px: 8,
    })
}

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Raster, Fault> {
    check_whole(bytes)?;
    let mut decoder = opened(cursor(bytes))?;
    let header = header_of(&mut decoder)?;
    let size = decoder.output_buffer_size().ok_or(Fault::OverLimit)?;
    let mut data = buffer(size as u64, limits)?;
    decoder.read_image(&mut data).map_err(webp_fault)?;
    let mut raster = Raster::new(&header, Samples::Eight(data));
    raster.icc = decoder.icc_profile().ok().flatten();
    if decoder.is_animated() && decoder.num_frames() > 1 {
        raster.notes.push("it is an animation: its first frame was read".to_owned());
    }
    if let Ok(Some(block)) = decoder.exif_metadata() {
        raster.set_recipe(of_exif_block(&block));
    }
    Ok(raster)
}

/// The RIFF header says how long the file is; the decoder does not mind when the data end earlier.
fn check_whole(bytes: &[u8]) -> Result<(), Fault> {
    const CHUNK_HEADER_BYTES: u64 = 8;
    match bytes {
        [_, _, _, _, a, b, c, d, ..] => {
            let end = CHUNK_HEADER_BYTES + u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
            if (bytes.len() as u64) < end { Err(Fault::Truncated) } else { Ok(()) }
        }
        _ => Err(Fault::Truncated),
    }
}

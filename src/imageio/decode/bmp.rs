//! BMP, with `image`'s decoder.

use std::io::{BufRead, Seek};

use image::codecs::bmp::BmpDecoder;

use super::raster::{Raster, decoder_fault, header_of, raster_of};
use super::{Header, Limits, cursor};
use crate::imageio::error::Fault;

pub(super) fn header(reader: impl BufRead + Seek) -> Result<Header, Fault> {
    header_of(&mut BmpDecoder::new(reader).map_err(decoder_fault)?)
}

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Raster, Fault> {
    let mut raster = raster_of(BmpDecoder::new(cursor(bytes)).map_err(decoder_fault)?, limits)?;
    raster.drop_opaque_alpha();
    Ok(raster)
}

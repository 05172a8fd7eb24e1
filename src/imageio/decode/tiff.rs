//! TIFF, with `image`'s decoder.

use std::io::{BufRead, Seek};

use image::codecs::tiff::TiffDecoder;
use tiff::decoder::Decoder;
use tiff::tags::{ExtraSamples, Tag};

use super::raster::{Alpha, Raster, decoder_fault, header_of, raster_of};
use super::{Header, Limits, cursor};
use crate::imageio::error::Fault;
use crate::imageio::recipe::of_tiff;

pub(super) fn header(reader: impl BufRead + Seek) -> Result<Header, Fault> {
    header_of(&mut TiffDecoder::new(reader).map_err(decoder_fault)?)
}

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Raster, Fault> {
    let orientation = header(cursor(bytes))?.orientation;
    let mut raster = raster_of(TiffDecoder::new(cursor(bytes)).map_err(decoder_fault)?, limits)?;
    raster.orientation = orientation;
    if let Ok(mut directory) = Decoder::new(cursor(bytes)) {
        let extra: Option<Vec<u16>> = directory.find_tag_unsigned_vec(Tag::ExtraSamples).ok().flatten();
        if raster.alpha == Alpha::Plain && extra == Some(vec![ExtraSamples::AssociatedAlpha.to_u16()]) {
            raster.alpha = Alpha::Premultiplied;
        }
        if directory.more_images() {
            raster.notes.push("it has several pages: the first was read".to_owned());
        }
    }
    raster.set_recipe(of_tiff(cursor(bytes)));
    Ok(raster)
}

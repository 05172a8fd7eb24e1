//! GIF, with `image`'s decoder, after a walk through its blocks.

use std::io::{BufRead, Seek};

use image::codecs::gif::GifDecoder;

use super::raster::{Raster, decoder_fault, header_of, raster_of};
use super::{Header, Limits, cursor};
use crate::imageio::error::Fault;
use crate::imageio::recipe::of_gif;

pub(super) fn header(reader: impl BufRead + Seek) -> Result<Header, Fault> {
    header_of(&mut GifDecoder::new(reader).map_err(decoder_fault)?)
}

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Raster, Fault> {
    let frames = frames(bytes).ok_or(Fault::Truncated)??;
    let mut raster = raster_of(GifDecoder::new(cursor(bytes)).map_err(decoder_fault)?, limits)?;
    raster.drop_opaque_alpha();
    raster.set_recipe(of_gif(&mut cursor(bytes)));
    if frames > 1 {
        raster.notes.push("it is an animation: its first frame was read".to_owned());
    }
    Ok(raster)
}

/// Counts the frames up to the trailer (GIF89a, appendix B); `None` when there is no trailer, as in a cut file. The
/// decoder reads only the first frame and would not miss the rest.
fn frames(bytes: &[u8]) -> Option<Result<usize, Fault>> {
    const SCREEN_BYTES: usize = 13;
    const FRAME_BYTES: usize = 9;
    const LZW_MINIMUM_BYTES: usize = 1;
    // The packed fields say whether a colour table follows and how long it is.
    let table_bytes = |packed: u8| if packed & 0x80 != 0 { 3 << ((packed & 7) + 1) } else { 0 };
    let mut at = SCREEN_BYTES + table_bytes(*bytes.get(10)?);
    let mut frames = 0;
    loop {
        let block = *bytes.get(at)?;
        at += 1;
        match block {
            b';' => return Some(Ok(frames)),
            b'!' => at += 1,
            b',' => {
                frames += 1;
                let packed = *bytes.get(at + FRAME_BYTES - 1)?;
                at += FRAME_BYTES + table_bytes(packed) + LZW_MINIMUM_BYTES;
            }
            other => return Some(Err(Fault::damaged(format!("a block of unknown type {other:#04x}")))),
        }
        // Sub-blocks, each after its length, up to an empty one.
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
    }
}

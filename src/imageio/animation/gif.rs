//! GIF89a: the `gif` crate writes its blocks; every frame has its own palette.

use std::fs::File;
use std::io::{BufWriter, Write};

use gif::{DisposalMethod, Encoder, EncodingError, Extension, Frame, Repeat};

use super::palette::Indexed;
use super::{Canvas, EncodeFailure, FrameWriter};
use crate::imageio::picture::Picture;
use crate::imageio::recipe::gif_comment;

/// GIF counts time in hundredths of a second.
const MS_A_TICK: u32 = 10;

pub(super) struct Writer<'a> {
    gif: Encoder<BufWriter<&'a File>>,
    width: u16,
    height: u16,
}

impl<'a> Writer<'a> {
    pub(super) fn new(file: BufWriter<&'a File>, canvas: Canvas, recipe: Option<&str>) -> Result<Self, EncodeFailure> {
        let side = |px: u32| u16::try_from(px).map_err(|error| EncodeFailure::Other(error.to_string()));
        let (width, height) = (side(canvas.width)?, side(canvas.height)?);
        let mut gif = Encoder::new(file, width, height, &[])?;
        gif.set_repeat(Repeat::Infinite)?;
        if let Some(recipe) = recipe {
            gif.write_raw_extension(Extension::Comment.into(), &[&gif_comment(recipe)])?;
        }
        Ok(Self { gif, width, height })
    }
}

impl FrameWriter for Writer<'_> {
    fn frame(&mut self, frame: &Picture, ms: u32) -> Result<(), EncodeFailure> {
        let ticks = (ms + MS_A_TICK / 2) / MS_A_TICK;
        let rgb = frame.flattened_onto([255.0; 3]).to_u8();
        let Indexed { palette, indices } = Indexed::of(rgb.as_chunks::<3>().0, frame.width);
        self.gif.write_frame(&Frame {
            delay: u16::try_from(ticks).unwrap_or(u16::MAX),
            dispose: DisposalMethod::Keep,
            width: self.width,
            height: self.height,
            palette: Some(palette.into_flattened()),
            buffer: indices.into(),
            ..Frame::default()
        })?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), EncodeFailure> {
        Ok(self.gif.into_inner()?.flush()?)
    }
}

impl From<EncodingError> for EncodeFailure {
    fn from(error: EncodingError) -> Self {
        match error {
            EncodingError::Io(error) => Self::Io(error),
            error => Self::Other(error.to_string()),
        }
    }
}

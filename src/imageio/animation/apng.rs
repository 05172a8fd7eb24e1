//! APNG (PNG Third Edition, 4.9): the `png` crate writes its chunks.

use std::fs::File;
use std::io::BufWriter;

use super::{Canvas, EncodeFailure, FrameWriter};
use crate::imageio::picture::Picture;
use crate::imageio::recipe::PNG_KEYWORD;

const MS_A_SECOND: u16 = 1000;

pub(super) struct Writer<'a> {
    png: png::Writer<BufWriter<&'a File>>,
    canvas: Canvas,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        file: BufWriter<&'a File>,
        canvas: Canvas,
        frames: usize,
        recipe: Option<&str>,
    ) -> Result<Self, EncodeFailure> {
        let frames = u32::try_from(frames).map_err(|error| EncodeFailure::Other(error.to_string()))?;
        let mut encoder = png::Encoder::new(file, canvas.width, canvas.height);
        encoder.set_color(if canvas.has_alpha { png::ColorType::Rgba } else { png::ColorType::Rgb });
        encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
        encoder.validate_sequence(true);
        // 0 plays are without end.
        encoder.set_animated(frames, 0)?;
        encoder.set_blend_op(png::BlendOp::Source)?;
        if let Some(recipe) = recipe {
            encoder.add_itxt_chunk(PNG_KEYWORD.to_owned(), recipe.to_owned())?;
        }
        Ok(Self { png: encoder.write_header()?, canvas })
    }
}

impl FrameWriter for Writer<'_> {
    fn frame(&mut self, frame: &Picture, ms: u32) -> Result<(), EncodeFailure> {
        let ms = u16::try_from(ms).map_err(|error| EncodeFailure::Other(error.to_string()))?;
        self.png.set_frame_delay(ms, MS_A_SECOND)?;
        Ok(self.png.write_image_data(&self.canvas.bytes(frame))?)
    }

    fn finish(self: Box<Self>) -> Result<(), EncodeFailure> {
        Ok(self.png.finish()?)
    }
}

impl From<png::EncodingError> for EncodeFailure {
    fn from(error: png::EncodingError) -> Self {
        match error {
            png::EncodingError::IoError(error) => Self::Io(error),
            error => Self::Other(error.to_string()),
        }
    }
}

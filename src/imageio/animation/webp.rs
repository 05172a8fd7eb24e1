//! Animated WebP (RFC 9649, 2.7): `image-webp` encodes the frames, the container around them is written here.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};

use image_webp::{ColorType, WebPEncoder};

use super::{Canvas, EncodeFailure, FrameWriter};
use crate::imageio::picture::Picture;
use crate::imageio::recipe::exif_block;

/// `RIFF`, the bytes that follow, `WEBP`.
const FILE_HEADER_BYTES: usize = 12;
/// A chunk's name and length.
const CHUNK_HEADER_BYTES: u64 = 8;
/// Of an ANMF chunk, before the frame's own chunk.
const FRAME_HEADER_BYTES: u64 = 16;

const HAS_ANIMATION: u8 = 1 << 1;
const HAS_EXIF: u8 = 1 << 3;
const HAS_ALPHA: u8 = 1 << 4;
/// A frame replaces what is below it, clear pixels too.
const DO_NOT_BLEND: u8 = 1 << 1;

pub(super) struct Writer<'a> {
    file: BufWriter<&'a File>,
    canvas: Canvas,
    exif: Option<Vec<u8>>,
    /// Written so far.
    bytes: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn new(file: BufWriter<&'a File>, canvas: Canvas, recipe: Option<&str>) -> Result<Self, EncodeFailure> {
        let exif = recipe.map(exif_block).transpose().map_err(|error| EncodeFailure::Other(error.to_string()))?;
        let mut writer = Self { file, canvas, exif, bytes: 0 };
        // The length is known at the end.
        writer.put(b"RIFF\0\0\0\0WEBP")?;
        let mut flags = HAS_ANIMATION;
        flags |= if writer.exif.is_some() { HAS_EXIF } else { 0 };
        flags |= if canvas.has_alpha { HAS_ALPHA } else { 0 };
        let [width, height] = [canvas.width, canvas.height].map(|side| three_bytes(side - 1));
        writer.chunk(b"VP8X", &[&[flags, 0, 0, 0], width.as_slice(), &height].concat())?;
        // A clear ground; 0 loops are without end.
        writer.chunk(b"ANIM", &[0; 6])?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeFailure> {
        self.bytes += bytes.len() as u64;
        // Every length in the file has 32 bits.
        if self.bytes > u64::from(u32::MAX) {
            let reason = "it would be longer than the 4 GiB that the format holds; choose fewer or smaller frames";
            return Err(EncodeFailure::Other(reason.to_owned()));
        }
        Ok(self.file.write_all(bytes)?)
    }

    /// Writes a chunk, padded to an even length.
    fn chunk(&mut self, name: &[u8; 4], data: &[u8]) -> Result<(), EncodeFailure> {
        self.chunk_header(name, data.len() as u64)?;
        self.put(data)?;
        if data.len() % 2 == 1 { self.put(&[0]) } else { Ok(()) }
    }

    fn chunk_header(&mut self, name: &[u8; 4], bytes: u64) -> Result<(), EncodeFailure> {
        // What does not fit 32 bits is refused by `put`, as soon as it comes.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.put(name)?;
        self.put(&bytes.to_le_bytes())
    }
}

impl FrameWriter for Writer<'_> {
    fn frame(&mut self, frame: &Picture, ms: u32) -> Result<(), EncodeFailure> {
        let Canvas { width, height, has_alpha } = self.canvas;
        let color = if has_alpha { ColorType::Rgba8 } else { ColorType::Rgb8 };
        let mut file = Vec::new();
        WebPEncoder::new(&mut file)
            .encode(&self.canvas.bytes(frame), width, height, color)
            .map_err(|error| EncodeFailure::Other(error.to_string()))?;
        // Without metadata a file is its header and one chunk, padded already.
        let still = file.get(FILE_HEADER_BYTES..).unwrap_or_default();
        self.chunk_header(b"ANMF", FRAME_HEADER_BYTES + still.len() as u64)?;
        let at_the_corner = [0; 6];
        self.put(&at_the_corner)?;
        for number in [width - 1, height - 1, ms] {
            self.put(&three_bytes(number))?;
        }
        self.put(&[DO_NOT_BLEND])?;
        self.put(still)
    }

    fn finish(mut self: Box<Self>) -> Result<(), EncodeFailure> {
        if let Some(exif) = self.exif.take() {
            self.chunk(b"EXIF", &exif)?;
        }
        let length = u32::try_from(self.bytes - CHUNK_HEADER_BYTES).unwrap_or(u32::MAX);
        self.file.seek(SeekFrom::Start(4))?;
        self.file.write_all(&length.to_le_bytes())?;
        Ok(self.file.flush()?)
    }
}

/// The low 24 bits, least first. Sides and times are less than that.
fn three_bytes(number: u32) -> [u8; 3] {
    let [a, b, c, _] = number.to_le_bytes();
    [a, b, c]
}

//! Formats by content (for reading) and by name (for writing).

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::ImageError;

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PictureFormat {
    Png,
    Jpeg,
    WebP,
    Tiff,
    Bmp,
    Gif,
}

impl fmt::Display for PictureFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Tiff => "TIFF",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
        })
    }
}

/// How many bytes of a file [`sniff`] wants to see.
pub(super) const SNIFF_BYTES: usize = 512;

/// The format that the first bytes of a file show, or what the file is instead.
pub(super) fn sniff(head: &[u8]) -> Result<PictureFormat, &'static str> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if at(0, b"\x89PNG\r\n\x1a\n") {
        return Ok(PictureFormat::Png);
    }
    if at(0, b"\xff\xd8\xff") {
        return Ok(PictureFormat::Jpeg);
    }
    if at(0, b"RIFF") && at(8, b"WEBP") {
        return Ok(PictureFormat::WebP);
    }
    if at(0, b"II*\0") || at(0, b"MM\0*") || at(0, b"II+\0") || at(0, b"MM\0+") {
        return Ok(PictureFormat::Tiff);
    }
    if at(0, b"GIF87a") || at(0, b"GIF89a") {
        return Ok(PictureFormat::Gif);
    }
    // "BM" may begin a text; the size of the information header that follows may not.
    if at(0, b"BM")
        && head.get(14..18).is_some_and(|size| matches!(size, [12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
    {
        return Ok(PictureFormat::Bmp);
    }
    Err(other_kind(head))
}

/// Names a file that is not read, as well as its first bytes allow.
fn other_kind(head: &[u8]) -> &'static str {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if at(4, b"ftypavif") || at(4, b"ftypavis") {
        return "an AVIF picture";
    }
    if at(4, b"ftyphei") || at(4, b"ftyphev") || at(4, b"ftypmif1") {
        return "a HEIC picture";
    }
    if at(4, b"ftyp") {
        return "a video";
    }
    if at(0, b"\xff\x0a") || at(0, b"\0\0\0\x0cJXL ") {
        return "a JPEG XL picture";
    }
    if at(0, b"\0\0\0\x0cjP  ") || at(0, b"\xff\x4f\xff\x51") {
        return "a JPEG 2000 picture";
    }
    if at(0, b"8BPS") {
        return "a Photoshop document";
    }
    if at(0, b"%PDF") {
        return "a PDF document";
    }
    if at(0, b"\x76\x2f\x31\x01") {
        return "an OpenEXR picture";
    }
    if at(0, b"\0\0\x01\0") {
        return "an icon";
    }
    if at(0, b"PK\x03\x04") {
        return "a ZIP archive";
    }
    // The last character may be cut by the end of the excerpt.
    let text = match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok(),
        Err(_) => None,
    };
    match text {
        Some(text) if text.contains("<svg") => "an SVG drawing",
        Some(text) if !text.contains(|c: char| c.is_control() && !c.is_whitespace()) => "a text",
        _ => "something else",
    }
}

/// Bits a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bits {
    #[default]
    Eight,
    Sixteen,
}

/// A format that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// Lossless, 8 or 16 bits, with alpha.
    Png,
    /// Lossy, 8 bits, without alpha: transparent pixels are laid on white.
    Jpeg,
    /// Lossless, 8 bits, with alpha.
    WebP,
    /// Lossless, 8 or 16 bits, with alpha.
    Tiff,
}

impl OutputFormat {
    /// The format that a file name asks for by its extension, whatever its case.
    ///
    /// # Errors
    /// [`ImageError::NoOutputFormat`] without an extension, [`ImageError::UnknownOutputFormat`] for any other than
    /// png, jpg, jpeg, webp, tif and tiff.
    pub fn of_path(path: &Path) -> Result<Self, ImageError> {
        let Some(extension) = path.extension() else {
            return Err(ImageError::NoOutputFormat { path: path.to_path_buf() });
        };
        match extension.to_string_lossy().to_ascii_lowercase().as_str() {
            "png" => Ok(Self::Png),
            "jpg" | "jpeg" => Ok(Self::Jpeg),
            "webp" => Ok(Self::WebP),
            "tif" | "tiff" => Ok(Self::Tiff),
            _ => Err(ImageError::UnknownOutputFormat { path: path.to_path_buf() }),
        }
    }

    /// Whether 16 bits a channel can be written.
    pub fn has_sixteen_bits(self) -> bool {
        matches!(self, Self::Png | Self::Tiff)
    }

    /// The most pixels in a row or a column that the format can hold.
    pub fn max_side_px(self) -> usize {
        match self {
            Self::Png => (1 << 31) - 1,
            Self::Jpeg => (1 << 16) - 1,
            Self::WebP => (1 << 14) - 1,
            Self::Tiff => u32::MAX as usize,
        }
    }
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Tiff => "TIFF",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_tells_the_format() {
        let cases: [(&[u8], Result<PictureFormat, &str>); 12] = [
            (b"\x89PNG\r\n\x1a\nrest", Ok(PictureFormat::Png)),
            (b"\xff\xd8\xff\xe0", Ok(PictureFormat::Jpeg)),
            (b"RIFF\x10\0\0\0WEBPVP8L", Ok(PictureFormat::WebP)),
            (b"RIFF\x10\0\0\0WAVEfmt ", Err("something else")),
            (b"MM\0*\0\0\0\x08", Ok(PictureFormat::Tiff)),
            (b"GIF89a", Ok(PictureFormat::Gif)),
            (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", Ok(PictureFormat::Bmp)),
            (b"BMW is a maker of cars", Err("a text")),
            ("für Wälder".as_bytes(), Err("a text")),
            ("cut in ü".as_bytes().split_last().unwrap().1, Err("a text")),
            (b"<?xml version='1.0'?><svg/>", Err("an SVG drawing")),
            (b"\0\0\0\x1cftypheic", Err("a HEIC picture")),
        ];
        let wrong: Vec<_> = cases.iter().filter(|(head, expected)| sniff(head) != *expected).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn names_ask_for_formats() {
        let format = |name: &str| OutputFormat::of_path(Path::new(name));
        assert_eq!(format("a/b.PNG").ok(), Some(OutputFormat::Png));
        assert_eq!(format("b.c.jpeg").ok(), Some(OutputFormat::Jpeg));
        assert_eq!(format("b.webp").ok(), Some(OutputFormat::WebP));
        assert_eq!(format("b.tif").ok(), Some(OutputFormat::Tiff));
        assert!(matches!(format("b"), Err(ImageError::NoOutputFormat { .. })));
        assert!(matches!(format(".png"), Err(ImageError::NoOutputFormat { .. })));
        assert!(matches!(format("b.gif"), Err(ImageError::UnknownOutputFormat { .. })));
    }
}

//! The text inside a picture that repeats it.
//!
//! | format | where |
//! |---|---|
//! | PNG, APNG | an iTXt chunk (UTF-8) of keyword `oneiric.recipe`; a tEXt or zTXt chunk that another tool made of it is read |
//! | JPEG, WebP | the EXIF UserComment, after a first line `oneiric.recipe` that tells it from other programs' comments |
//! | TIFF | the same UserComment, in the file's EXIF directory |
//! | GIF | a comment extension before the first frame, after the same first line, in UTF-8 |
//! | JPEG, too long for EXIF's 64 KiB | APP4 segments `oneiric.recipe\0`, number from 1, count, UTF-8 |

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;

use exif::experimental::Writer;
use exif::{Error as ExifError, Field, In, Reader, Tag, Value};
use tiff::tags::Tag as TiffTag;

use super::decode::{open, sniffed};
use super::error::{Fault, ImageError};
use super::format::PictureFormat;
use super::jpeg_segments::{APP1, APP4, MAX_PAYLOAD_BYTES, for_each_header_segment, push_segment};

/// The longest recipe that is written or read.
pub const MAX_RECIPE_BYTES: usize = 1 << 20;

pub(super) const PNG_KEYWORD: &str = "oneiric.recipe";
const FIRST_LINE: &str = "oneiric.recipe\n";
const SEGMENT_MAGIC: &[u8] = b"oneiric.recipe\0";
pub(super) const EXIF_MAGIC: &[u8] = b"Exif\0\0";
/// UserComment begins with eight bytes that name its encoding (EXIF 2.3, 4.6.5).
const CHARSET_BYTES: usize = 8;
const ASCII: &[u8; CHARSET_BYTES] = b"ASCII\0\0\0";
const UNICODE: &[u8; CHARSET_BYTES] = b"UNICODE\0";
pub(super) const USER_COMMENT: TiffTag = TiffTag::Unknown(0x9286);
/// A recipe in UTF-16 with its encoding and first line.
const MAX_USER_COMMENT_BYTES: usize = CHARSET_BYTES + 2 * (FIRST_LINE.len() + MAX_RECIPE_BYTES);
/// What the decoders may use to reach the recipe.
const MAX_ALLOC_BYTES: usize = 64 << 20;

/// The recipe that a picture file carries; `None` when it carries none.
///
/// Only what holds the recipe is read, not the pixels, except in a PNG whose chunks another tool has reordered.
///
/// # Errors
/// As for [`super::load`] when the file is not a picture; [`ImageError::BadRecipe`] when there is a recipe that is
/// longer than [`MAX_RECIPE_BYTES`] or not text.
pub fn read_recipe(path: &Path) -> Result<Option<String>, ImageError> {
    let (file, _) = open(path)?;
    let (mut reader, format) = sniffed(path, BufReader::new(file))?;
    let found = match format {
        PictureFormat::Png => of_png_file(&mut reader),
        PictureFormat::Jpeg => of_jpeg(&mut reader),
        PictureFormat::WebP => of_webp(reader),
        PictureFormat::Tiff => of_tiff(reader),
        PictureFormat::Gif => of_gif(&mut reader),
        PictureFormat::Bmp => Ok(None),
    };
    found.map_err(|fault| match fault {
        Fault::Damaged(reason) | Fault::Unsupported(reason) => {
            ImageError::BadRecipe { path: path.to_path_buf(), reason }
        }
        Fault::OverLimit => ImageError::BadRecipe { path: path.to_path_buf(), reason: too_long() },
        Fault::Truncated | Fault::NoPixels => ImageError::Truncated { path: path.to_path_buf(), format },
        Fault::Io(source) => ImageError::reading(path, source),
    })
}

fn too_long() -> String {
    format!("it is longer than {MAX_RECIPE_BYTES} bytes")
}

fn bounded(text: String) -> Result<String, Fault> {
    if text.len() <= MAX_RECIPE_BYTES { Ok(text) } else { Err(Fault::damaged(too_long())) }
}

// PNG

fn of_png_file(reader: &mut BufReader<File>) -> Result<Option<String>, Fault> {
    let decoder = png::Decoder::new_with_limits(reader, png::Limits { bytes: MAX_ALLOC_BYTES });
    let mut reader = decoder.read_info().map_err(png_fault)?;
    if let Some(recipe) = of_png(reader.info())? {
        return Ok(Some(recipe));
    }
    reader.finish().map_err(png_fault)?;
    of_png(reader.info())
}

/// Says what an error of the PNG decoder means.
pub(super) fn png_fault(error: png::DecodingError) -> Fault {
    match error {
        png::DecodingError::IoError(error) => Fault::from(error),
        png::DecodingError::LimitsExceeded => Fault::OverLimit,
        error => Fault::damaged(error),
    }
}

/// The recipe among the text chunks that have been read.
pub(super) fn of_png(info: &png::Info<'_>) -> Result<Option<String>, Fault> {
    let decompressed =
        |result: Result<String, png::DecodingError>| result.map_err(png_fault).and_then(bounded).map(Some);
    if let Some(chunk) = info.utf8_text.iter().find(|chunk| chunk.keyword == PNG_KEYWORD) {
        let mut chunk = chunk.clone();
        return decompressed(chunk.decompress_text_with_limit(MAX_RECIPE_BYTES).and_then(|()| chunk.get_text()));
    }
    if let Some(chunk) = info.uncompressed_latin1_text.iter().find(|chunk| chunk.keyword == PNG_KEYWORD) {
        return bounded(chunk.text.clone()).map(Some);
    }
    if let Some(chunk) = info.compressed_latin1_text.iter().find(|chunk| chunk.keyword == PNG_KEYWORD) {
        let mut chunk = chunk.clone();
        return decompressed(chunk.decompress_text_with_limit(MAX_RECIPE_BYTES).and_then(|()| chunk.get_text()));
    }
    Ok(None)
}

// EXIF

/// The UserComment that holds a recipe: its encoding, then the text in ASCII where it is, or else in UTF-16 of the
/// byte order given.
pub(super) fn user_comment(recipe: &str, unit_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let text = [FIRST_LINE, recipe].concat();
    if text.is_ascii() {
        [ASCII, text.as_bytes()].concat()
    } else {
        UNICODE.iter().copied().chain(text.encode_utf16().flat_map(unit_bytes)).collect()
    }
}

/// An EXIF block (without `Exif\0\0`) that holds a recipe.
pub(super) fn exif_block(recipe: &str) -> Result<Vec<u8>, ExifError> {
    let field = Field {
        tag: Tag::UserComment,
        ifd_num: In::PRIMARY,
        value: Value::Undefined(user_comment(recipe, u16::to_be_bytes), 0),
    };
    let mut writer = Writer::new();
    writer.push_field(&field);
    let mut block = Cursor::new(Vec::new());
    writer.write(&mut block, false)?;
    Ok(block.into_inner())
}

/// The recipe in an EXIF block, with or without `Exif\0\0` before it. A block that is not EXIF holds none.
pub(super) fn of_exif_block(block: &[u8]) -> Result<Option<String>, Fault> {
    let block = block.strip_prefix(EXIF_MAGIC).unwrap_or(block);
    // One bad field does not hide the others.
    let exif = match Reader::new().continue_on_error(true).read_raw(block.to_vec()) {
        Ok(exif) => exif,
        Err(ExifError::PartialResult(partial)) => partial.into_inner().0,
        Err(_) => return Ok(None),
    };
    match exif.get_field(Tag::UserComment, In::PRIMARY).map(|field| &field.value) {
        Some(Value::Undefined(bytes, _)) => of_user_comment(bytes),
        _ => Ok(None),
    }
}

/// The recipe in a UserComment; `None` for a comment of another program.
fn of_user_comment(comment: &[u8]) -> Result<Option<String>, Fault> {
    let Some((charset, text)) = comment.split_at_checked(CHARSET_BYTES) else {
        return Ok(None);
    };
    let text = if charset == UNICODE {
        match utf16_text(text) {
            Some(text) => text?,
            None => return Ok(None),
        }
    } else if text.starts_with(FIRST_LINE.as_bytes()) {
        String::from_utf8(text.to_vec()).map_err(|_| Fault::damaged("it is not UTF-8 text"))?
    } else {
        return Ok(None);
    };
    let recipe = text.strip_prefix(FIRST_LINE).unwrap_or_default();
    // Some tools end the comment in zeros.
    bounded(recipe.trim_end_matches('\0').to_owned()).map(Some)
}

/// Text in the UTF-16 byte order that its first line shows: EXIF does not fix it, and tools differ.
fn utf16_text(bytes: &[u8]) -> Option<Result<String, Fault>> {
    let orders: [fn([u8; 2]) -> u16; 2] = [u16::from_be_bytes, u16::from_le_bytes];
    let pairs = bytes.as_chunks::<2>().0;
    let unit_of = orders.into_iter().find(|&unit_of| {
        let first: Vec<u16> = pairs.iter().take(FIRST_LINE.len()).map(|&pair| unit_of(pair)).collect();
        first.into_iter().eq(FIRST_LINE.encode_utf16())
    })?;
    let text = char::decode_utf16(pairs.iter().map(|&pair| unit_of(pair))).collect::<Result<String, _>>();
    Some(text.map_err(|_| Fault::damaged("it is not UTF-16 text")))
}

// JPEG

/// The EXIF block of a recipe that fits one JPEG segment, `None` when it does not: then [`push_jpeg_segments`].
pub(super) fn jpeg_exif_block(recipe: &str) -> Result<Option<Vec<u8>>, ExifError> {
    let block = exif_block(recipe)?;
    Ok((block.len() + EXIF_MAGIC.len() <= MAX_PAYLOAD_BYTES).then_some(block))
}

/// Appends the segments of a recipe of any length up to [`MAX_RECIPE_BYTES`].
pub(super) fn push_jpeg_segments(jpeg: &mut Vec<u8>, recipe: &str) {
    let parts = recipe.as_bytes().chunks(MAX_PAYLOAD_BYTES - SEGMENT_MAGIC.len() - 2);
    let count = u8::try_from(parts.len()).expect("MAX_RECIPE_BYTES fit 255 segments");
    for (number, part) in (1..=count).zip(parts) {
        push_segment(jpeg, APP4, &[SEGMENT_MAGIC, &[number, count], part].concat());
    }
}

/// The recipe of a JPEG file.
pub(super) fn of_jpeg(reader: &mut impl Read) -> Result<Option<String>, Fault> {
    let mut exif = None;
    let mut parts = Vec::new();
    let walked = for_each_header_segment(reader, |marker, payload| {
        if marker == APP1 && exif.is_none() && payload.starts_with(EXIF_MAGIC) {
            exif = Some(payload.to_vec());
        } else if let Some(part) = payload.strip_prefix(SEGMENT_MAGIC)
            && marker == APP4
            && parts.len() < usize::from(u8::MAX)
        {
            parts.push(part.to_vec());
        }
    });
    if parts.is_empty() {
        let found = exif.map_or(Ok(None), |block| of_exif_block(&block))?;
        return if found.is_some() { Ok(found) } else { Ok(walked.map(|()| None)?) };
    }
    let mut recipe = Vec::new();
    for (part, number) in parts.iter().zip(1u8..) {
        match part.as_slice() {
            [shown, count, text @ ..] if *shown == number && usize::from(*count) == parts.len() => recipe.extend(text),
            _ => return Err(Fault::damaged("a part of it is missing")),
        }
    }
    String::from_utf8(recipe).map_err(|_| Fault::damaged("it is not UTF-8 text")).and_then(bounded).map(Some)
}

// WebP and TIFF

fn of_webp(reader: impl BufRead + Seek) -> Result<Option<String>, Fault> {
    let mut decoder = image_webp::WebPDecoder::new(reader).map_err(webp_fault)?;
    decoder.set_memory_limit(MAX_ALLOC_BYTES);
    match decoder.exif_metadata().map_err(webp_fault)? {
        Some(block) => of_exif_block(&block),
        None => Ok(None),
    }
}

/// Says what an error of the WebP decoder means.
pub(super) fn webp_fault(error: image_webp::DecodingError) -> Fault {
    match error {
        image_webp::DecodingError::IoError(error) => Fault::from(error),
        image_webp::DecodingError::MemoryLimitExceeded => Fault::OverLimit,
        error => Fault::damaged(error),
    }
}

/// The recipe of a TIFF file. A file whose directories cannot be read has none.
pub(super) fn of_tiff(reader: impl BufRead + Seek) -> Result<Option<String>, Fault> {
    let Ok(mut decoder) = tiff::decoder::Decoder::new(reader) else {
        return Ok(None);
    };
    let pointer = decoder.find_tag(TiffTag::ExifDirectory).ok().flatten().and_then(|tag| tag.into_ifd_pointer().ok());
    let Some(directory) = pointer.and_then(|pointer| decoder.read_directory(pointer).ok()) else {
        return Ok(None);
    };
    let Some(bytes) = directory.get(USER_COMMENT).map(|entry| entry.count()) else {
        return Ok(None);
    };
    let Some(bytes) = usize::try_from(bytes).ok().filter(|&bytes| bytes <= MAX_USER_COMMENT_BYTES) else {
        return Err(Fault::damaged(too_long()));
    };
    let mut comment = vec![0; bytes];
    match decoder.read_directory_tags(&directory).find_tag_bytes(USER_COMMENT, &mut comment, 0) {
        Ok(Some(_)) => of_user_comment(&comment),
        _ => Ok(None),
    }
}

// GIF

/// The comment that holds a recipe.
pub(super) fn gif_comment(recipe: &str) -> Vec<u8> {
    [FIRST_LINE, recipe].concat().into_bytes()
}

/// The recipe among the comments before a GIF's first frame. A file that ends before has none.
pub(super) fn of_gif(reader: &mut impl Read) -> Result<Option<String>, Fault> {
    const SCREEN_BYTES: usize = 13;
    const EXTENSION: u8 = b'!';
    const COMMENT: u8 = 0xfe;
    let mut screen = [0; SCREEN_BYTES];
    if !filled(reader, &mut screen)? {
        return Ok(None);
    }
    let packed = screen[10];
    let mut palette = [0; 3 << 8];
    let palette_bytes = if packed & 0x80 != 0 { 3 << ((packed & 7) + 1) } else { 0 };
    if !filled(reader, &mut palette[..palette_bytes])? {
        return Ok(None);
    }
    loop {
        let mut start = [0; 2];
        if !filled(reader, &mut start)? || start[0] != EXTENSION {
            return Ok(None);
        }
        let Some(text) = sub_blocks(reader, start[1] == COMMENT)? else { return Ok(None) };
        if let Some(recipe) = text.strip_prefix(FIRST_LINE.as_bytes()) {
            let recipe = String::from_utf8(recipe.to_vec()).map_err(|_| Fault::damaged("it is not UTF-8 text"))?;
            return bounded(recipe).map(Some);
        }
    }
}

/// Reads sub-blocks, each after its length, up to an empty one; the longest recipe's, when they are `kept`. `None` when
/// the file ends before.
fn sub_blocks(reader: &mut impl Read, kept: bool) -> Result<Option<Vec<u8>>, Fault> {
    let mut data = Vec::new();
    loop {
        let mut length = [0];
        let mut block = [0; u8::MAX as usize];
        if !filled(reader, &mut length)? || !filled(reader, &mut block[..usize::from(length[0])])? {
            return Ok(None);
        }
        if length == [0] {
            return Ok(Some(data));
        }
        // One block more than allowed is enough to see that it is too long.
        if kept && data.len() <= FIRST_LINE.len() + MAX_RECIPE_BYTES {
            data.extend_from_slice(&block[..usize::from(length[0])]);
        }
    }
}

/// Whether the buffer could be filled before the file's end.
fn filled(reader: &mut impl Read, buffer: &mut [u8]) -> Result<bool, Fault> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(Fault::Io(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_of_other_programs_are_no_recipes() {
        let cases: [&[u8]; 6] = [
            b"",
            b"ASCII\0\0",
            b"ASCII\0\0\0Taken with love",
            b"UNICODE\0\0T\0a\0k",
            b"\0\0\0\0\0\0\0\0        ",
            b"UNICODE\0oneiric.recipe\n",
        ];
        let wrong: Vec<_> = cases.iter().filter(|case| !matches!(of_user_comment(case), Ok(None))).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn a_comment_in_either_byte_order_and_padded_is_read() {
        let recipe = "größe = 3 # 🌀\n";
        for unit_bytes in [u16::to_be_bytes, u16::to_le_bytes] {
            let mut comment = user_comment(recipe, unit_bytes);
            assert!(comment.starts_with(UNICODE));
            comment.extend([0, 0]);
            assert_eq!(of_user_comment(&comment).ok().flatten().as_deref(), Some(recipe));
        }
        let comment = user_comment("a = 1", u16::to_be_bytes);
        assert_eq!(comment, b"ASCII\0\0\0oneiric.recipe\na = 1");
    }

    #[test]
    fn broken_text_is_an_error() {
        let lone_surrogate = [user_comment("ü", u16::to_be_bytes), vec![0xd8, 0]].concat();
        assert!(matches!(of_user_comment(&lone_surrogate), Err(Fault::Damaged(_))));
        let bad_utf8 = [user_comment("a", u16::to_be_bytes), vec![0xff]].concat();
        assert!(matches!(of_user_comment(&bad_utf8), Err(Fault::Damaged(_))));
        let long = user_comment(&"x".repeat(MAX_RECIPE_BYTES + 1), u16::to_be_bytes);
        assert!(matches!(of_user_comment(&long), Err(Fault::Damaged(_))));
    }

    #[test]
    fn a_missing_part_is_an_error() {
        let recipe = "é".repeat(100_000);
        let mut jpeg = vec![0xff, 0xd8];
        push_jpeg_segments(&mut jpeg, &recipe);
        jpeg.extend([0xff, 0xda]);
        assert_eq!(of_jpeg(&mut jpeg.as_slice()).ok().flatten().as_deref(), Some(recipe.as_str()));
        let second = MAX_PAYLOAD_BYTES + 4;
        let without_first = [&jpeg[..2], &jpeg[2 + second..]].concat();
        assert!(matches!(of_jpeg(&mut without_first.as_slice()), Err(Fault::Damaged(_))));
    }
}

//! The segments of a JPEG file (ITU T.81, annex B): to find what is kept beside the picture, and its end.

use std::io::{self, Read};

pub(super) const APP1: u8 = 0xe1;
pub(super) const APP4: u8 = 0xe4;
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
/// The length field of a segment counts itself.
pub(super) const MAX_PAYLOAD_BYTES: usize = u16::MAX as usize - 2;

/// Markers that stand alone: TEM and RST0 to RST7.
fn is_bare(marker: u8) -> bool {
    matches!(marker, 0x01 | 0xd0..=0xd7)
}

/// Shows `visit` the marker and the payload of every segment before the picture's first scan.
pub(super) fn for_each_header_segment(reader: &mut impl Read, mut visit: impl FnMut(u8, &[u8])) -> io::Result<()> {
    let mut payload = Vec::new();
    loop {
        let marker = next_marker(reader)?;
        if marker == SOI || is_bare(marker) {
            continue;
        }
        if marker == SOS || marker == EOI {
            return Ok(());
        }
        let mut length = [0; 2];
        reader.read_exact(&mut length)?;
        payload.resize(usize::from(u16::from_be_bytes(length)).saturating_sub(2), 0);
        reader.read_exact(&mut payload)?;
        visit(marker, &payload);
    }
}

fn next_marker(reader: &mut impl Read) -> io::Result<u8> {
    let mut byte = [0];
    let mut after_ff = false;
    loop {
        reader.read_exact(&mut byte)?;
        match byte[0] {
            0xff => after_ff = true,
            marker if after_ff && marker != 0 => return Ok(marker),
            _ => after_ff = false,
        }
    }
}

/// Whether the picture that begins at the start of `jpeg` has its end-of-image marker.
///
/// Decoders fill up a picture whose data end early; this is how a cut file is known. Segments are stepped over by their
/// lengths, so that the markers of a thumbnail inside one do not count.
pub(super) fn has_end(jpeg: &[u8]) -> bool {
    let mut rest = jpeg;
    loop {
        let Ok(marker) = next_marker(&mut rest) else {
            return false;
        };
        if marker == EOI {
            return true;
        }
        if marker == SOI || is_bare(marker) {
            continue;
        }
        // After a start of scan come its entropy-coded data, in which 0xff is followed by 0 or is a restart marker:
        // `next_marker` and `is_bare` pass over them.
        let length = match rest {
            &[high, low, ..] => usize::from(u16::from_be_bytes([high, low])),
            _ => return false,
        };
        rest = rest.get(length.max(2)..).unwrap_or_default();
    }
}

/// Appends one segment.
///
/// # Panics
/// When `payload` is longer than [`MAX_PAYLOAD_BYTES`].
pub(super) fn push_segment(jpeg: &mut Vec<u8>, marker: u8, payload: &[u8]) {
    let length = u16::try_from(payload.len() + 2).expect("a JPEG segment holds at most MAX_PAYLOAD_BYTES");
    jpeg.extend([0xff, marker]);
    jpeg.extend(length.to_be_bytes());
    jpeg.extend(payload);
}

/// Where the APP0 and APP1 segments that open `jpeg` end: other segments go there, for JFIF and EXIF must come first.
pub(super) fn first_segments_end(jpeg: &[u8]) -> usize {
    let mut end = 2.min(jpeg.len());
    while let Some(&[0xff, 0xe0 | APP1, high, low]) = jpeg.get(end..).and_then(|rest| rest.first_chunk()) {
        end = (end + 2 + usize::from(u16::from_be_bytes([high, low]))).min(jpeg.len());
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut jpeg = vec![0xff, SOI];
        push_segment(&mut jpeg, APP1, b"a thumbnail \xff\xd8 \xff\xd9 inside");
        jpeg.push(0xff); // A fill byte.
        push_segment(&mut jpeg, 0xfe, b"");
        push_segment(&mut jpeg, SOS, &[1, 1, 0, 0, 63, 0]);
        jpeg.extend(b"data \xff\0 and \xff\xd3 more");
        jpeg.extend([0xff, 0xff, EOI]);
        jpeg
    }

    #[test]
    fn header_segments_are_shown_in_order() {
        let mut seen = Vec::new();
        for_each_header_segment(&mut file().as_slice(), |marker, payload| seen.push((marker, payload.len())))
            .expect("the file is whole");
        assert_eq!(seen, [(APP1, 24), (0xfe, 0)]);
    }

    #[test]
    fn only_the_whole_file_has_its_end() {
        let jpeg = file();
        assert!(has_end(&jpeg));
        assert!(has_end(&[jpeg.as_slice(), b"trailing"].concat()));
        let wrong: Vec<_> = (0..jpeg.len()).filter(|&cut| has_end(&jpeg[..cut])).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

//! What the decoders yield, and how it becomes a picture.

use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError as DecoderError, Limits as DecoderLimits};

use super::{Header, Limits, buffer};
use crate::base::parallel;
use crate::imageio::error::Fault;
use crate::imageio::format::Bits;
use crate::imageio::icc::{Model, ToSrgb};
use crate::imageio::picture::Picture;

/// A decoded picture as it lies in its file.
pub(super) struct Raster {
    pub width: usize,
    pub height: usize,
    pub model: Model,
    pub alpha: Alpha,
    /// Interleaved, alpha last.
    pub samples: Samples,
    pub bits: Bits,
    pub orientation: Orientation,
    pub icc: Option<Vec<u8>>,
    pub notes: Vec<String>,
    pub recipe: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alpha {
    None,
    Plain,
    /// The colours are multiplied by it.
    Premultiplied,
}

pub(super) enum Samples {
    Eight(Vec<u8>),
    Sixteen(Vec<u16>),
}

impl Raster {
    pub(super) fn new(header: &Header, samples: Samples) -> Self {
        let &Header { width, height, orientation, model, has_alpha, bits, .. } = header;
        let alpha = if has_alpha { Alpha::Plain } else { Alpha::None };
        Self { width, height, model, alpha, samples, bits, orientation, icc: None, notes: Vec::new(), recipe: None }
    }

    /// Keeps a recipe, or the note that it could not be read: that is no reason not to open a picture.
    pub(super) fn set_recipe(&mut self, found: Result<Option<String>, Fault>) {
        match found {
            Ok(recipe) => self.recipe = recipe,
            Err(Fault::Damaged(reason)) => self.notes.push(format!("the recipe inside cannot be read ({reason})")),
            Err(_) => self.notes.push("the recipe inside cannot be read".to_owned()),
        }
    }

    /// Forgets an alpha that is opaque everywhere, for formats whose decoders always give one.
    pub(super) fn drop_opaque_alpha(&mut self) {
        let channels = self.model.channels();
        let Samples::Eight(samples) = &self.samples else { return };
        if self.alpha != Alpha::None && samples.chunks_exact(channels + 1).all(|pixel| pixel[channels] == u8::MAX) {
            let colours = samples.chunks_exact(channels + 1).flat_map(|pixel| &pixel[..channels]).copied().collect();
            self.samples = Samples::Eight(colours);
            self.alpha = Alpha::None;
        }
    }

    /// The upright picture in sRGB, and the notes.
    pub(super) fn into_picture(mut self) -> (Picture, Vec<String>) {
        let mut notes = std::mem::take(&mut self.notes);
        let to_srgb = ToSrgb::new(self.model, self.icc.as_deref(), &mut notes);
        let picture = match &self.samples {
            Samples::Eight(samples) => self.upright(samples, &to_srgb, f32::from),
            Samples::Sixteen(samples) => self.upright(samples, &to_srgb, |sample| f32::from(sample) / 257.0),
        };
        (picture, notes)
    }

    fn upright<T: Copy + Sync>(&self, samples: &[T], to_srgb: &ToSrgb, value: impl Fn(T) -> f32 + Sync) -> Picture {
        let (width, height) =
            if swaps_sides(self.orientation) { (self.height, self.width) } else { (self.width, self.height) };
        let source = Walk::new(self.orientation, self.width, self.height);
        let colours = self.model.channels();
        let stride = colours + usize::from(self.alpha != Alpha::None);
        let pixel = |x, y| &samples[stride * source.index(x, y)..][..stride];
        let alpha = (self.alpha != Alpha::None).then(|| {
            let mut alpha = vec![0.0; width * height];
            parallel::for_each_chunk_mut(&mut alpha, width, |y, row| {
                row.iter_mut().enumerate().for_each(|(x, alpha)| *alpha = value(pixel(x, y)[colours]));
            });
            alpha
        });
        let mut rgb = vec![0.0; 3 * width * height];
        parallel::for_each_chunk_mut(&mut rgb, 3 * width, |y, row| {
            let mut from = Vec::with_capacity(colours * width);
            for x in 0..width {
                let pixel = pixel(x, y);
                let cover = if self.alpha == Alpha::Premultiplied { value(pixel[colours]) / 255.0 } else { 1.0 };
                let plain = |sample: T| if cover > 0.0 { (value(sample) / cover).min(255.0) } else { 0.0 };
                from.extend(pixel[..colours].iter().map(|&sample| plain(sample)));
            }
            to_srgb.convert(&from, row);
        });
        Picture::from_rgb(width, height, rgb).with_alpha(alpha)
    }
}

/// Whether rows become columns.
pub(super) fn swaps_sides(orientation: Orientation) -> bool {
    use Orientation as O;
    matches!(orientation, O::Rotate90 | O::Rotate270 | O::Rotate90FlipH | O::Rotate270FlipH)
}

/// The way through a stored picture that visits it upright: the index of the pixel at (x, y) of the upright one.
struct Walk {
    start: usize,
    step_x: isize,
    step_y: isize,
}

impl Walk {
    fn new(orientation: Orientation, width: usize, height: usize) -> Self {
        use Orientation as O;
        let (row, right, down) = (width, width - 1, (height - 1) * width);
        let row = row as isize;
        let (start, step_x, step_y) = match orientation {
            O::NoTransforms => (0, 1, row),
            O::FlipHorizontal => (right, -1, row),
            O::Rotate180 => (down + right, -1, -row),
            O::FlipVertical => (down, 1, -row),
            O::Rotate90FlipH => (0, row, 1),
            O::Rotate90 => (down, -row, 1),
            O::Rotate270FlipH => (down + right, -row, -1),
            O::Rotate270 => (right, row, -1),
        };
        Self { start, step_x, step_y }
    }

    fn index(&self, x: usize, y: usize) -> usize {
        self.start.wrapping_add_signed(self.step_x * x as isize + self.step_y * y as isize)
    }
}

/// The header that one of `image`'s decoders has read.
pub(super) fn header_of(decoder: &mut impl ImageDecoder) -> Result<Header, Fault> {
    let (width, height) = decoder.dimensions();
    let (model, has_alpha, bits) = match decoder.color_type() {
        ColorType::L8 => (Model::Gray, false, Bits::Eight),
        ColorType::La8 => (Model::Gray, true, Bits::Eight),
        ColorType::Rgb8 => (Model::Rgb, false, Bits::Eight),
        ColorType::Rgba8 => (Model::Rgb, true, Bits::Eight),
        ColorType::L16 => (Model::Gray, false, Bits::Sixteen),
        ColorType::La16 => (Model::Gray, true, Bits::Sixteen),
        ColorType::Rgb16 => (Model::Rgb, false, Bits::Sixteen),
        ColorType::Rgba16 => (Model::Rgb, true, Bits::Sixteen),
        other => return Err(Fault::Unsupported(format!("samples of type {other:?}"))),
    };
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    // At most four samples of two bytes in a buffer of the decoder's own.
    Ok(Header {
        width: width as usize,
        height: height as usize,
        orientation,
        model,
        has_alpha,
        bits,
        working_bytes_per_px: 8,
    })
}

/// Reads the pixels with one of `image`'s decoders.
pub(super) fn raster_of(mut decoder: impl ImageDecoder, limits: &Limits) -> Result<Raster, Fault> {
    let header = header_of(&mut decoder)?;
    let mut decoder_limits = DecoderLimits::no_limits();
    decoder_limits.max_alloc = Some(limits.max_alloc_bytes);
    decoder.set_limits(decoder_limits).map_err(decoder_fault)?;
    let icc = decoder.icc_profile().ok().flatten();
    let mut bytes = buffer(decoder.total_bytes(), limits)?;
    decoder.read_image(&mut bytes).map_err(decoder_fault)?;
    let samples = match header.bits {
        Bits::Eight => Samples::Eight(bytes),
        Bits::Sixteen => Samples::Sixteen(words(&bytes, u16::from_ne_bytes)),
    };
    Ok(Raster { icc, ..Raster::new(&header, samples) })
}

pub(super) fn words(bytes: &[u8], word_of: fn([u8; 2]) -> u16) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|&pair| word_of(pair)).collect()
}

/// Says what an error of one of `image`'s decoders means.
pub(super) fn decoder_fault(error: DecoderError) -> Fault {
    match error {
        DecoderError::IoError(error) => Fault::from(error),
        DecoderError::Limits(_) => Fault::OverLimit,
        DecoderError::Unsupported(error) => Fault::Unsupported(error.to_string()),
        error => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(source) = cause {
                let io = source.downcast_ref::<std::io::Error>();
                if io.is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof) {
                    return Fault::Truncated;
                }
                cause = source.source();
            }
            Fault::damaged(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Orientation as EXIF 2.3 defines it: where the stored row 0 and column 0 are in the upright picture.
    #[test]
    fn every_orientation_puts_the_first_row_and_column_in_their_place() {
        let (width, height) = (3, 2); // stored: 0 1 2 / 3 4 5
        let upright: [(u8, &[usize]); 8] = [
            (1, &[0, 1, 2, 3, 4, 5]),
            (2, &[2, 1, 0, 5, 4, 3]),
            (3, &[5, 4, 3, 2, 1, 0]),
            (4, &[3, 4, 5, 0, 1, 2]),
            (5, &[0, 3, 1, 4, 2, 5]),
            (6, &[3, 0, 4, 1, 5, 2]),
            (7, &[5, 2, 4, 1, 3, 0]),
            (8, &[2, 5, 1, 4, 0, 3]),
        ];
        let mut wrong = Vec::new();
        for (code, expected) in upright {
            let orientation = Orientation::from_exif(code).expect("a code of EXIF");
            let walk = Walk::new(orientation, width, height);
            let (w, h) = if swaps_sides(orientation) { (height, width) } else { (width, height) };
            let got: Vec<_> = (0..h).flat_map(|y| (0..w).map(move |x| (x, y))).map(|(x, y)| walk.index(x, y)).collect();
            if got != expected {
                wrong.push((code, got));
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn premultiplied_colours_are_divided_by_their_alpha() {
        let header = Header {
            width: 3,
            height: 1,
            orientation: Orientation::NoTransforms,
            model: Model::Gray,
            has_alpha: true,
            bits: Bits::Eight,
            working_bytes_per_px: 0,
        };
        let mut raster = Raster::new(&header, Samples::Eight(vec![100, 255, 51, 51, 9, 0]));
        raster.alpha = Alpha::Premultiplied;
        let (picture, _) = raster.into_picture();
        assert_eq!(picture.to_u8(), [100, 100, 100, 255, 255, 255, 0, 0, 0]);
        assert_eq!(picture.alpha, Some(vec![255.0, 51.0, 0.0]));
    }
}

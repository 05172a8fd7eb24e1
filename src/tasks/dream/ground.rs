//! The photo that a dream is painted on, in as little memory as can be.

use std::sync::Arc;

use crate::imageio::{Filter, Picture};

/// A photo at the full size of a dream.
#[derive(Clone)]
pub(in crate::tasks) struct Ground {
    /// Of `kept_size`, from which the full size is made when it is asked for.
    values: Arc<Values>,
    kept_size: [usize; 2],
    size: [usize; 2],
    alpha: Option<Arc<Vec<f32>>>,
    /// Of the photo as it was read.
    photo_pixels: usize,
    /// Whether its values are bytes.
    of_bytes: bool,
}

/// Interleaved RGB from 0 to 255.
enum Values {
    /// As files of 8 bits have them.
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

impl Ground {
    /// `picture` at `size` (`[height, width]`).
    ///
    /// A smaller picture is kept as it is. (One with transparency is resized at once: its colours and its alpha are
    /// resized together.)
    pub fn new(picture: Picture, size: [usize; 2]) -> Self {
        let (photo_pixels, of_bytes) = (picture.len(), picture.rgb.iter().all(is_byte));
        let is_kept = picture.size() == size || keeps(photo_pixels, picture.alpha.is_some(), size);
        let mut picture = if is_kept { picture } else { picture.into_resized(size, Filter::Lanczos3) };
        let (kept_size, alpha) = (picture.size(), picture.alpha.take().map(Arc::new));
        let values = match of_bytes && is_kept {
            true => Values::Bytes(picture.rgb.iter().map(|&value| value as u8).collect()),
            false => Values::Floats(picture.rgb),
        };
        Self { values: Arc::new(values), kept_size, size, alpha, photo_pixels, of_bytes }
    }

    /// Height × width × RGB at the full size.
    pub fn rgb(&self) -> Vec<f32> {
        let [height, width] = self.kept_size;
        let picture = Picture::from_rgb(width, height, self.values.to_floats());
        picture.into_resized(self.size, Filter::Lanczos3).rgb
    }

    /// Height × width at the full size.
    pub fn into_alpha(self) -> Option<Vec<f32>> {
        self.alpha.map(Arc::unwrap_or_clone)
    }

    /// Bytes of memory that reading the photo took: the decoder's bytes, and the picture.
    pub fn loading_bytes(&self) -> usize {
        self.photo_pixels * 3 * (size_of::<u8>() + size_of::<f32>())
    }

    /// Bytes of memory that the photo takes in a dream of `size`.
    pub fn bytes_at(&self, size: [usize; 2]) -> usize {
        let (pixels, has_alpha) = (size[0] * size[1], self.alpha.is_some());
        let is_own = size == self.kept_size && pixels == self.photo_pixels;
        let is_kept = is_own || keeps(self.photo_pixels, has_alpha, size);
        let value_bytes = if self.of_bytes && is_kept { size_of::<u8>() } else { size_of::<f32>() };
        let alpha_bytes = if has_alpha { pixels * size_of::<f32>() } else { 0 };
        pixels.min(if is_kept { self.photo_pixels } else { usize::MAX }) * 3 * value_bytes + alpha_bytes
    }
}

/// Whether a photo is kept at its own size for a dream of `size`.
fn keeps(photo_pixels: usize, has_alpha: bool, size: [usize; 2]) -> bool {
    photo_pixels < size[0] * size[1] && !has_alpha
}

fn is_byte(value: &f32) -> bool {
    f32::from(*value as u8).to_bits() == value.to_bits()
}

impl Values {
    fn to_floats(&self) -> Vec<f32> {
        match self {
            Self::Bytes(bytes) => bytes.iter().map(|&byte| f32::from(byte)).collect(),
            Self::Floats(floats) => floats.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize, shift: f32) -> Picture {
        Picture::from_rgb(width, height, (0..width * height * 3).map(|i| (i * 7 % 250) as f32 + shift).collect())
    }

    #[test]
    fn the_photo_comes_back_to_the_bit_at_its_own_and_at_other_sizes() {
        for shift in [0.0, 0.25] {
            for size in [[6, 9], [12, 18], [4, 6]] {
                let picture = picture(9, 6, shift);
                let expected = picture.resized(size, Filter::Lanczos3);
                let ground = Ground::new(picture.clone(), size);
                assert!(ground.rgb() == expected.rgb, "{shift} {size:?}");
                let alpha: Vec<f32> = (0..54).map(|i| i as f32 * 4.0).collect();
                let picture = picture.with_alpha(Some(alpha));
                let expected = picture.resized(size, Filter::Lanczos3);
                let ground = Ground::new(picture, size);
                assert!(ground.rgb() == expected.rgb && ground.into_alpha() == expected.alpha, "{shift} {size:?}");
            }
        }
    }

    #[test]
    fn bytes_and_small_photos_are_kept_as_such() {
        let bytes = |shift, size| Ground::new(picture(9, 6, shift), size).bytes_at(size);
        assert_eq!(bytes(0.0, [6, 9]), 9 * 6 * 3);
        assert_eq!(bytes(0.0, [60, 90]), 9 * 6 * 3);
        assert_eq!(bytes(0.5, [6, 9]), 9 * 6 * 3 * 4);
        assert_eq!(bytes(0.0, [2, 3]), 2 * 3 * 3 * 4);
    }
}

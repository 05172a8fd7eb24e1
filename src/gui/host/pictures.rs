//! Pictures for the screen. All of it runs on the host's threads.

use std::sync::Arc;

use egui::{Color32, ColorImage};

use super::Image;
use crate::imageio::{Filter, Picture};

/// Textures are no larger than this on any machine that opens a window.
pub const LARGEST_SIDE_PX: usize = 4096;
/// Thumbnails of photos, kept steps and presets.
const THUMBNAIL_PX: usize = 128;

/// A picture as the screen takes it, smaller where it is too large for a texture.
pub fn image_of(picture: &Picture) -> Image {
    let longest = picture.width.max(picture.height);
    if longest > LARGEST_SIDE_PX {
        return image_of(&shrunk(picture, LARGEST_SIDE_PX));
    }
    let rgb = picture.to_u8();
    let size = [picture.width, picture.height];
    let image = match &picture.alpha {
        None => ColorImage::from_rgb(size, &rgb),
        Some(alpha) => {
            let pixels = rgb.as_chunks::<3>().0.iter().zip(alpha);
            let rgba: Vec<u8> = pixels.flat_map(|(&[r, g, b], &a)| [r, g, b, a.round() as u8]).collect();
            ColorImage::from_rgba_unmultiplied(size, &rgba)
        }
    };
    Arc::new(image)
}

/// A picture from the screen.
pub fn picture_from(image: &ColorImage) -> Picture {
    let [width, height] = image.size;
    let rgba: Vec<[u8; 4]> = image.pixels.iter().map(Color32::to_srgba_unmultiplied).collect();
    let rgb = rgba.iter().flat_map(|&[r, g, b, _]| [r, g, b].map(f32::from)).collect();
    let is_opaque = rgba.iter().all(|&[.., a]| a == u8::MAX);
    let alpha = (!is_opaque).then(|| rgba.iter().map(|&[.., a]| f32::from(a)).collect());
    Picture::from_rgb(width, height, rgb).with_alpha(alpha)
}

fn shrunk(picture: &Picture, longest_px: usize) -> Picture {
    let longest = picture.width.max(picture.height).max(1);
    let side = |px: usize| (px * longest_px / longest).max(1);
    picture.resized([side(picture.height), side(picture.width)], Filter::Bilinear)
}

/// A picture that is small enough for a strip or a list.
pub fn thumbnail_of(picture: &Picture) -> Image {
    if picture.width.max(picture.height) <= THUMBNAIL_PX { image_of(picture) } else { image_of(&thumbnail(picture)) }
}

/// As [`thumbnail_of`], for files.
pub fn thumbnail(picture: &Picture) -> Picture {
    // Every few pixels are enough before the filter, and a strip makes many of these.
    let skip = picture.width.max(picture.height) / (4 * THUMBNAIL_PX);
    if skip < 2 {
        return shrunk(&opaque(picture), THUMBNAIL_PX);
    }
    let (width, height) = (picture.width / skip, picture.height / skip);
    if width == 0 || height == 0 {
        return shrunk(&opaque(picture), THUMBNAIL_PX);
    }
    let row =
        |y: usize| (0..width).flat_map(move |x| (0..3).map(move |c| 3 * (y * skip * picture.width + x * skip) + c));
    let rgb = (0..height).flat_map(row).map(|i| picture.rgb[i]).collect();
    shrunk(&Picture::from_rgb(width, height, rgb), THUMBNAIL_PX)
}

fn opaque(picture: &Picture) -> Picture {
    if picture.alpha.is_some() { picture.flattened_onto([0.0; 3]) } else { picture.clone() }
}

/// Gray maps coloured so that differences can be seen: dark blue over red to light yellow.
pub fn heat(gray: u8) -> [u8; 3] {
    /// Points of a perceptually even ramp, after matplotlib's "magma" (van der Walt and Smith 2015).
    const RAMP: [[f32; 3]; 6] = [
        [0.0, 0.0, 4.0],
        [59.0, 15.0, 112.0],
        [140.0, 41.0, 129.0],
        [222.0, 73.0, 104.0],
        [254.0, 159.0, 109.0],
        [252.0, 253.0, 191.0],
    ];
    let place = f32::from(gray) / 255.0 * (RAMP.len() - 1) as f32;
    let low = (place as usize).min(RAMP.len() - 2);
    let share = place - low as f32;
    std::array::from_fn(|c| (RAMP[low][c] * (1.0 - share) + RAMP[low + 1][c] * share).round() as u8)
}

/// A gray map as a heat picture, smaller where it is too large for a texture.
pub fn heat_image(width: usize, height: usize, gray: &[u8]) -> Image {
    let factor = width.max(height).div_ceil(LARGEST_SIDE_PX);
    let ([height, width], gray) = pooled::<1>(gray, [height, width], factor);
    let rgb: Vec<u8> = gray.into_iter().flat_map(heat).collect();
    Arc::new(ColorImage::from_rgb([width, height], &rgb))
}

/// Means of squares of `factor` pixels a side, cut off at the right and at the bottom: their `[height, width]`, and `N`
/// bytes a pixel, row by row.
pub fn pooled<const N: usize>(bytes: &[u8], [height, width]: [usize; 2], factor: usize) -> ([usize; 2], Vec<u8>) {
    let to = [height, width].map(|side| side.div_ceil(factor.max(1)));
    if factor <= 1 {
        return (to, bytes.to_vec());
    }
    let mean = |y: usize, x: usize| {
        let (mut sums, mut count) = ([0u64; N], 0);
        for row in y * factor..((y + 1) * factor).min(height) {
            for column in x * factor..((x + 1) * factor).min(width) {
                let at = N * (row * width + column);
                for (sum, &byte) in sums.iter_mut().zip(bytes.get(at..at + N).unwrap_or_default()) {
                    *sum += u64::from(byte);
                }
                count += 1;
            }
        }
        sums.map(|sum| ((sum + count / 2) / count.max(1)) as u8)
    };
    let [rows, columns] = to;
    (to, (0..rows).flat_map(|y| (0..columns).flat_map(move |x| mean(y, x))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_back_from_the_screen_as_they_were() {
        let picture = Picture::from_rgb8(2, 1, &[1, 2, 3, 250, 251, 252]);
        assert_eq!(picture_from(&image_of(&picture)), picture);
        let clear = picture.with_alpha(Some(vec![255.0, 0.0]));
        assert_eq!(picture_from(&image_of(&clear)).alpha, clear.alpha);
    }

    #[test]
    fn large_pictures_fit_a_texture_and_thumbnails_are_small() {
        let wide = Picture::filled(5000, 10, [9.0; 3]);
        assert_eq!(image_of(&wide).size, [4096, 8]);
        for (width, height) in [(5000, 10), (10, 5000), (1, 1), (128, 100), (129, 1), (4000, 1)] {
            let [w, h] = thumbnail_of(&Picture::filled(width, height, [9.0; 3])).size;
            assert!((1..=128).contains(&w) && (1..=128).contains(&h), "{width}×{height} becomes {w}×{h}");
        }
    }

    #[test]
    fn large_maps_fit_a_texture() {
        let image = heat_image(9000, 2, &[255; 18_000]);
        assert_eq!((image.size, image.pixels[0]), ([3000, 1], Color32::from_rgb(252, 253, 191)));
        assert_eq!(heat_image(3, 2, &[0, 0, 0, 0, 0, 255]).size, [3, 2]);
        assert_eq!(pooled::<1>(&[0, 10, 20, 40, 50, 70], [2, 3], 2), ([1, 2], vec![25, 45]));
        assert_eq!(pooled::<2>(&[1, 2, 3, 4], [1, 2], 2), ([1, 1], vec![2, 3]));
    }

    #[test]
    fn heat_rises_from_dark_to_light() {
        let light = |gray: u8| heat(gray).map(u32::from).iter().sum::<u32>();
        assert!((1..=255).all(|gray| light(gray) + 2 >= light(gray - 1)));
        assert!(light(0) < 20 && light(255) > 650);
    }
}

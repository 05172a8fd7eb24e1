//! Colour spaces: sRGB and linear light, luma, and the colours of one picture on the forms of another.

use super::picture::Picture;
use crate::base::parallel;

/// Linear light, 0 to 1, of an sRGB-encoded value from 0 to 255 (IEC 61966-2-1). Odd: negative values are mirrored.
pub fn linear_from_srgb(value: f32) -> f32 {
    let encoded = value.abs() / 255.0;
    let linear = if encoded <= 0.04045 { encoded / 12.92 } else { ((encoded + 0.055) / 1.055).powf(2.4) };
    linear.copysign(value)
}

/// The sRGB-encoded value, 0 to 255, of linear light from 0 to 1: the inverse of [`linear_from_srgb`].
pub fn srgb_from_linear(linear: f32) -> f32 {
    let light = linear.abs();
    let encoded = if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
    (255.0 * encoded).copysign(linear)
}

/// Rec. 709 luma of encoded values (not of linear light).
pub fn luma([red, green, blue]: &[f32; 3]) -> f32 {
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// A colour in Oklab (Ottosson 2020): lightness 0 to 1, and two axes of colour (green–red, blue–yellow) about 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Oklab {
    pub lightness: f32,
    pub a: f32,
    pub b: f32,
}

impl Oklab {
    /// The colour of sRGB-encoded values, 0 to 255.
    pub fn from_srgb(rgb: [f32; 3]) -> Self {
        let [r, g, b] = rgb.map(linear_from_srgb);
        let l = (0.412_221_46 * r + 0.536_332_55 * g + 0.051_445_995 * b).cbrt();
        let m = (0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b).cbrt();
        let s = (0.088_302_46 * r + 0.281_718_85 * g + 0.629_978_7 * b).cbrt();
        Self {
            lightness: 0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
            a: 1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
            b: 0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
        }
    }

    /// Linear light, outside 0 to 1 for a colour that no screen shows.
    fn to_linear(self) -> [f32; 3] {
        let Self { lightness, a, b } = self;
        let l = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
        let m = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
        let s = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
        [
            4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_94 * s,
            -1.268_438 * l + 2.609_757_4 * m - 0.341_319_38 * s,
            -0.004_196_086_3 * l - 0.703_418_6 * m + 1.707_614_7 * s,
        ]
    }

    /// sRGB-encoded values, 0 to 255. A colour outside the gamut keeps its lightness and hue and loses saturation.
    pub fn to_srgb(self) -> [f32; 3] {
        /// 1/4096 of a colour's saturation: below half a step of 8 bits.
        const HALVINGS: u32 = 12;
        /// What rounding alone may put outside, in linear light; cut off below.
        const SLACK: f32 = 1e-4;
        let inside = |linear: &[f32; 3]| linear.iter().all(|value| (-SLACK..=1.0 + SLACK).contains(value));
        let mut linear = self.to_linear();
        if !inside(&linear) {
            let (mut kept, mut lost) = (0.0, 1.0);
            for _ in 0..HALVINGS {
                let middle = 0.5 * (kept + lost);
                let paler = Self { a: self.a * middle, b: self.b * middle, ..self };
                if inside(&paler.to_linear()) {
                    kept = middle;
                } else {
                    lost = middle;
                }
            }
            linear = Self { a: self.a * kept, b: self.b * kept, ..self }.to_linear();
        }
        linear.map(|value| srgb_from_linear(value.clamp(0.0, 1.0)).clamp(0.0, 255.0))
    }
}

/// The forms of `dreamt` in the colours of `original`: lightness from the one, hue and saturation from the other.
///
/// This is done in Oklab, because YCbCr shifts hues and burns: there, full chroma on a luma that cannot carry it is cut
/// at 0 and 255 channel by channel. Where the dream darkens a pixel, its chroma shrinks in proportion, as under a shadow
/// (the saturation stays); where it brightens one, the chroma stays and only what the gamut cannot hold is lost. Alpha
/// is that of `dreamt`.
///
/// # Panics
/// When the pictures differ in size.
#[must_use]
pub fn keep_colors(mut dreamt: Picture, original: &[f32]) -> Picture {
    assert_eq!(dreamt.rgb.len(), original.len(), "colours are kept pixel by pixel");
    const PIXELS_A_CHUNK: usize = 1 << 12;
    parallel::for_each_chunk_mut(&mut dreamt.rgb, 3 * PIXELS_A_CHUNK, |i, chunk| {
        let colours = &original[3 * PIXELS_A_CHUNK * i..][..chunk.len()];
        for (pixel, colour) in chunk.as_chunks_mut::<3>().0.iter_mut().zip(colours.as_chunks::<3>().0) {
            *pixel = recolored(*pixel, *colour);
        }
    });
    dreamt
}

fn recolored(form: [f32; 3], colour: [f32; 3]) -> [f32; 3] {
    let lightness = Oklab::from_srgb(form).lightness.clamp(0.0, 1.0);
    let colour = Oklab::from_srgb(colour);
    let shade = if colour.lightness > lightness { lightness / colour.lightness } else { 1.0 };
    Oklab { lightness, a: colour.a * shade, b: colour.b * shade }.to_srgb()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f32, want: f32, tolerance: f32) -> bool {
        (got - want).abs() <= tolerance
    }

    #[test]
    fn srgb_and_linear_light_are_inverse() {
        for (encoded, linear) in
            [(0.0, 0.0), (10.0, 0.003_035_27), (128.0, 0.215_860_5), (255.0, 1.0), (-128.0, -0.215_860_5)]
        {
            assert!(close(linear_from_srgb(encoded), linear, 1e-6), "{encoded}: {}", linear_from_srgb(encoded));
        }
        assert!((0..=255u8).all(|v| close(srgb_from_linear(linear_from_srgb(f32::from(v))), f32::from(v), 1e-3)));
    }

    #[test]
    fn a_dream_that_changed_nothing_keeps_every_colour() {
        let rgb: Vec<u8> = (0..3 * 4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let picture = Picture::from_rgb8(64, 64, &rgb);
        let kept = keep_colors(picture.clone(), &picture.rgb);
        let worst = kept.rgb.iter().zip(&picture.rgb).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 0.1, "{worst}");
    }

    #[test]
    fn forms_are_the_dreams_and_colours_the_photos() {
        let levels = [0.0, 40.0, 127.0, 200.0, 255.0];
        let cube: Vec<[f32; 3]> =
            levels.iter().flat_map(|&r| levels.iter().flat_map(move |&g| levels.map(|b| [r, g, b]))).collect();
        let mut wrong = Vec::new();
        for &form in &cube {
            for &colour in &cube {
                let got = recolored(form, colour);
                let (got_lab, form_lab, colour_lab) =
                    (Oklab::from_srgb(got), Oklab::from_srgb(form), Oklab::from_srgb(colour));
                let chroma = |lab: Oklab| lab.a.hypot(lab.b);
                // The cross product of the two chroma vectors vanishes when the hue is the same.
                let turned = (got_lab.a * colour_lab.b - got_lab.b * colour_lab.a).abs();
                let fine = got.iter().all(|value| (0.0..=255.0).contains(value))
                    && close(got_lab.lightness, form_lab.lightness, 4e-3)
                    && turned <= 2e-3 * chroma(colour_lab) + 1e-5
                    && chroma(got_lab) <= chroma(colour_lab) + 2e-3;
                if !fine {
                    wrong.push((form, colour, got));
                }
            }
        }
        assert!(wrong.is_empty(), "{} of {}: {:?}", wrong.len(), cube.len() * cube.len(), &wrong[..wrong.len().min(5)]);
    }

    #[test]
    fn a_gray_photo_makes_a_gray_dream() {
        let dreamt = Picture::from_rgb8(2, 1, &[255, 0, 0, 0, 90, 200]).with_alpha(Some(vec![7.0, 8.0]));
        let kept = keep_colors(dreamt.clone(), &[128.0; 6]);
        for pixel in kept.rgb.as_chunks::<3>().0 {
            assert!(close(pixel[0], pixel[1], 0.1) && close(pixel[1], pixel[2], 0.1), "{pixel:?}");
        }
        assert_eq!(kept.alpha, dreamt.alpha);
    }
}

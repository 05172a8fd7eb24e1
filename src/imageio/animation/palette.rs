//! A picture in 256 colours of its own.
//!
//! The palette is NeuQuant's (Dekker 1994). On dreams it came out ahead of Wu's quantizer and of k-means in Oklab by
//! 2 dB and more: a dream has small spots of extreme colours, which those two give up. What the palette lacks is spread by
//! error diffusion (Floyd & Steinberg 1976), which on these busy pictures shows less than the grid of ordered dithering
//! and changes no more from frame to frame.

use std::collections::HashMap;

use color_quant::NeuQuant;

const MAX_COLORS: usize = 256;

/// NeuQuant learns from at most so many pixels, spread over the picture: more take time and gain less than 0.3 dB.
const MAX_LEARNT_PX: usize = 1 << 18;

/// How much of a pixel's error its neighbours take over. All of it is truest to the colours from afar and noisy from
/// near; at three quarters neither bands nor noise are seen.
const DIFFUSED: f32 = 0.75;

/// A picture of indices into a palette.
pub(super) struct Indexed {
    /// At most 256 colours, at least one.
    pub palette: Vec<[u8; 3]>,
    /// One a pixel.
    pub indices: Vec<u8>,
}

impl Indexed {
    /// The picture in at most 256 colours: in its own, where these are enough, or else in the nearest that can be found.
    pub(super) fn of(pixels: &[[u8; 3]], width: usize) -> Self {
        exact(pixels).unwrap_or_else(|| dithered(pixels, width))
    }
}

/// The picture in its own colours; `None` when there are too many.
fn exact(pixels: &[[u8; 3]]) -> Option<Indexed> {
    let mut palette = Vec::new();
    let mut index_of = HashMap::new();
    let mut indices = Vec::with_capacity(pixels.len());
    for &pixel in pixels {
        let index = match index_of.get(&pixel) {
            Some(&index) => index,
            None => {
                // The 257th colour has no index.
                let index = u8::try_from(palette.len()).ok()?;
                palette.push(pixel);
                index_of.insert(pixel, index);
                index
            }
        };
        indices.push(index);
    }
    Some(Indexed { palette, indices })
}

fn dithered(pixels: &[[u8; 3]], width: usize) -> Indexed {
    let stride = pixels.len().div_ceil(MAX_LEARNT_PX);
    let learnt: Vec<u8> = pixels.iter().step_by(stride).flat_map(|&[r, g, b]| [r, g, b, u8::MAX]).collect();
    let quantizer = NeuQuant::new(1, MAX_COLORS, &learnt);
    let palette = quantizer.color_map_rgb().as_chunks::<3>().0.to_vec();
    let mut indices = vec![0; pixels.len()];
    // The errors that a row and the next one take over, with a column to spare on either side.
    let mut row_errors = vec![[0.0; 3]; width + 2];
    let mut next_errors = row_errors.clone();
    let rows = pixels.chunks_exact(width).zip(indices.chunks_exact_mut(width));
    for (y, (pixels, indices)) in rows.enumerate() {
        next_errors.fill([0.0; 3]);
        for step in 0..width {
            // There and back like an ox at the plough, so that no diagonal patterns grow.
            let (x, ahead) = if y % 2 == 0 { (step, 1) } else { (width - 1 - step, -1) };
            let wanted: [f32; 3] = std::array::from_fn(|c| f32::from(pixels[x][c]) + row_errors[x + 1][c]);
            let [r, g, b] = wanted.map(|value| value.round() as u8);
            let index = quantizer.index_of(&[r, g, b, u8::MAX]);
            indices[x] = index as u8;
            let before = (x + 1).wrapping_add_signed(-ahead);
            let after = (x + 1).wrapping_add_signed(ahead);
            for c in 0..3 {
                let error = DIFFUSED * (wanted[c].clamp(0.0, 255.0) - f32::from(palette[index][c]));
                row_errors[after][c] += error * 7.0 / 16.0;
                next_errors[before][c] += error * 3.0 / 16.0;
                next_errors[x + 1][c] += error * 5.0 / 16.0;
                next_errors[after][c] += error / 16.0;
            }
        }
        std::mem::swap(&mut row_errors, &mut next_errors);
    }
    Indexed { palette, indices }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_colours_are_kept_to_the_bit() {
        for colors in [1, 2, 255, 256] {
            let pixels: Vec<[u8; 3]> = (0..600u32).map(|i| [(i % colors) as u8, 7, 255]).collect();
            let Indexed { palette, indices } = Indexed::of(&pixels, 30);
            assert_eq!(palette.len(), colors as usize);
            assert!(indices.iter().zip(&pixels).all(|(&index, pixel)| palette[usize::from(index)] == *pixel));
        }
    }

    #[test]
    fn the_257th_colour_makes_a_new_palette() {
        let pixels: Vec<[u8; 3]> = (0..257u32).map(|i| [(i % 256) as u8, (i / 256) as u8, 9]).collect();
        for width in [1, 257] {
            let Indexed { palette, indices } = Indexed::of(&pixels, width);
            assert_eq!((palette.len(), indices.len()), (256, 257));
        }
    }

    #[test]
    fn a_ramp_keeps_its_mean_colour_everywhere() {
        // 64×64 with a colour of its own in every pixel: no palette holds them.
        let side = 64;
        let pixels: Vec<[u8; 3]> =
            (0..side * side).map(|i| [(i % side * 4) as u8, (i / side * 4) as u8, (i * 37 % 64 + 96) as u8]).collect();
        let Indexed { palette, indices } = Indexed::of(&pixels, side);
        let mean = |color: &dyn Fn(usize) -> [u8; 3], x0: usize, y0: usize| -> [f32; 3] {
            let mut sums = [0.0; 3];
            for i in (0..256).map(|k| (y0 + k / 16) * side + x0 + k % 16) {
                (0..3).for_each(|c| sums[c] += f32::from(color(i)[c]) / 256.0);
            }
            sums
        };
        let mut wrong = Vec::new();
        for (x0, y0) in (0..16).map(|i| (i % 4 * 16, i / 4 * 16)) {
            let want = mean(&|i| pixels[i], x0, y0);
            let got = mean(&|i| palette[usize::from(indices[i])], x0, y0);
            if (0..3).any(|c| (want[c] - got[c]).abs() > 4.0) {
                wrong.push((x0, y0, want, got));
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

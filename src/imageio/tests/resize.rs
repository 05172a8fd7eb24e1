use rand::RngExt as _;

use super::*;
use crate::base::rng::{Stream, rng};

fn noise(len: usize) -> Vec<f32> {
    let mut random = rng(11, Stream::Test, len as u64);
    (0..len).map(|_| random.random_range(-100.0..300.0)).collect()
}

/// The kernels and their widening as books have them, in f64.
fn naive(pixels: &[f32], [h, w]: [usize; 2], [to_h, to_w]: [usize; 2], filter: Filter) -> Vec<f32> {
    let kernel = |x: f64| {
        let x = x.abs();
        let sinc = |x: f64| {
            let angle = std::f64::consts::PI * x;
            if x == 0.0 { 1.0 } else { angle.sin() / angle }
        };
        match filter {
            Filter::Lanczos3 if x < 3.0 => sinc(x) * sinc(x / 3.0),
            Filter::CatmullRom if x < 1.0 => 1.5 * x.powi(3) - 2.5 * x * x + 1.0,
            Filter::CatmullRom if x < 2.0 => -0.5 * x.powi(3) + 2.5 * x * x - 4.0 * x + 2.0,
            Filter::Bilinear if x < 1.0 => 1.0 - x,
            _ => 0.0,
        }
    };
    let weights = |from: usize, to: usize| -> Vec<Vec<f64>> {
        let scale = from as f64 / to as f64;
        let widening = scale.max(1.0);
        let row = |i: usize| -> Vec<f64> {
            let center = (i as f64 + 0.5) * scale;
            let row: Vec<f64> = (0..from).map(|j| kernel((j as f64 + 0.5 - center) / widening)).collect();
            let sum: f64 = row.iter().sum();
            row.into_iter().map(|weight| weight / sum).collect()
        };
        (0..to).map(row).collect()
    };
    let (rows, columns) = (weights(h, to_h), weights(w, to_w));
    let mut resized = Vec::new();
    for row in &rows {
        for column in &columns {
            let weighted = (0..h)
                .flat_map(|y| (0..w).map(move |x| (y, x)))
                .map(|(y, x)| row[y] * column[x] * f64::from(pixels[y * w + x]));
            resized.push(weighted.sum::<f64>() as f32);
        }
    }
    resized
}

#[test]
fn every_channel_agrees_with_the_naive_resize() {
    let sizes =
        [([9, 11], [4, 5]), ([4, 5], [9, 13]), ([8, 8], [3, 12]), ([1, 7], [5, 2]), ([6, 6], [1, 1]), ([2, 2], [2, 3])];
    let mut wrong = Vec::new();
    for (from, to) in sizes {
        for filter in [Filter::Lanczos3, Filter::CatmullRom, Filter::Bilinear] {
            for channels in 1..=4 {
                let pixels = noise(from[0] * from[1] * channels);
                let got = resize(&pixels, channels, from, to, filter);
                for channel in 0..channels {
                    let plane = |values: &[f32]| -> Vec<f32> {
                        values.iter().skip(channel).step_by(channels).copied().collect()
                    };
                    let want = naive(&plane(&pixels), from, to, filter);
                    let got = plane(&got);
                    let agrees = got.iter().zip(&want).all(|(got, want)| (got - want).abs() <= 1e-3);
                    if !agrees || got.len() != want.len() {
                        wrong.push(format!("{filter:?} {from:?} -> {to:?}, channel {channel} of {channels}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_same_size_is_the_same_picture() {
    let pixels = noise(5 * 4 * 3);
    assert_eq!(resize(&pixels, 3, [5, 4], [5, 4], Filter::Lanczos3), pixels);
    assert_eq!(zoom_linear(&pixels, 3, [5, 4], [5, 4]), pixels);
}

#[test]
fn zoom_keeps_the_corners() {
    let pixels = noise(7 * 8);
    // At 8 to 26 rounding carries the last position past the last column: scipy has a 0 there.
    let zoomed = zoom_linear(&pixels, 1, [7, 8], [188, 26]);
    let corners =
        |values: &[f32], [h, w]: [usize; 2]| [values[0], values[w - 1], values[(h - 1) * w], values[h * w - 1]];
    for (got, want) in corners(&zoomed, [188, 26]).into_iter().zip(corners(&pixels, [7, 8])) {
        assert!((got - want).abs() <= 1e-4, "{got} {want}");
    }
}

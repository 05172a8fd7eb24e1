//! What is written is read again.

use super::*;
use crate::imageio::{Bits, ImageError, OutputFormat, SaveOptions, save};

/// Values between the steps of 8 bits, on those of 16.
fn fine_picture(with_alpha: bool) -> Picture {
    let value = |i: usize| ((i * 40_503) % 65_536) as f32 / 257.0;
    let rgb = (0..3 * WIDTH * HEIGHT).map(value).collect();
    let alpha = with_alpha.then(|| (0..WIDTH * HEIGHT).map(|i| value(i + 7)).collect());
    Picture::from_rgb(WIDTH, HEIGHT, rgb).with_alpha(alpha)
}

#[test]
fn lossless_formats_keep_every_bit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut wrong = Vec::new();
    for (format, name) in [(OutputFormat::Png, "a.png"), (OutputFormat::WebP, "a.webp"), (OutputFormat::Tiff, "a.tiff")]
    {
        let path = folder.path().join(name);
        for bits in [Bits::Eight, Bits::Sixteen] {
            for with_alpha in [false, true] {
                let picture = if bits == Bits::Eight { formula_picture(with_alpha) } else { fine_picture(with_alpha) };
                let options = SaveOptions { bits, ..SaveOptions::new(format) };
                if bits == Bits::Sixteen && format == OutputFormat::WebP {
                    let refused = save(&path, &picture, &options);
                    assert!(matches!(refused, Err(ImageError::NoSixteenBit { .. })), "{refused:?}");
                    continue;
                }
                save(&path, &picture, &options).unwrap_or_else(|error| panic!("{error}"));
                let loaded = read(&path);
                if loaded.picture != picture || loaded.bits != bits || !loaded.notes.is_empty() {
                    wrong.push(format!("{format} {bits:?} alpha {with_alpha}: {:?}", loaded.notes));
                }
                let first = fs::read(&path).expect("there");
                save(&path, &picture, &options).expect("writable");
                assert!(first == fs::read(&path).expect("there"), "{format}: the same bytes every time");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_poster_that_is_packed_in_haste_keeps_every_bit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (width, height) = (2100, 2000);
    let rgb = (0..width * height * 3).map(|i| ((i * i) % 251) as f32).collect();
    let picture = Picture::from_rgb(width, height, rgb);
    let path = folder.path().join("a.png");
    save(&path, &picture, &SaveOptions::new(OutputFormat::Png)).expect("writable");
    assert!(read(&path).picture.rgb == picture.rgb);
}

#[test]
fn values_are_rounded_to_nearest_and_cut() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let picture = Picture::from_rgb(2, 1, vec![-7.0, 0.4, 0.6, 254.49, 254.51, 400.0]);
    for (format, name) in [(OutputFormat::Png, "a.png"), (OutputFormat::WebP, "a.webp"), (OutputFormat::Tiff, "a.tif")]
    {
        let path = folder.path().join(name);
        save(&path, &picture, &SaveOptions::new(format)).expect("writable");
        assert_eq!(read(&path).picture.rgb, [0.0, 0.0, 1.0, 254.0, 255.0, 255.0], "{format}");
    }
}

#[test]
fn jpeg_keeps_what_its_quality_says_and_lays_alpha_on_white() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.jpg");
    let wave = |i: usize| 128.0 + 90.0 * (i as f32 / 40.0).sin();
    let picture = Picture::from_rgb(64, 48, (0..64 * 48).flat_map(|i| [wave(i), wave(i + 50), wave(i + 90)]).collect());
    let mut last = (0.0, usize::MAX);
    for jpeg_quality in [100, 95, 30] {
        save(&path, &picture, &SaveOptions { jpeg_quality, ..SaveOptions::new(OutputFormat::Jpeg) }).expect("writable");
        let loaded = read(&path);
        let worst = worst_difference(&loaded.picture.rgb, &picture.rgb);
        let bytes = fs::read(&path).expect("there").len();
        assert!(worst > last.0 && bytes < last.1, "quality {jpeg_quality}: off by {worst} in {bytes} bytes");
        assert!(worst < if jpeg_quality == 100 { 4.0 } else { 60.0 }, "quality {jpeg_quality}: off by {worst}");
        last = (worst, bytes);
    }

    let clear = Picture::filled(16, 16, [200.0, 0.0, 0.0]).with_alpha(Some(vec![0.0; 256]));
    save(&path, &clear, &SaveOptions::new(OutputFormat::Jpeg)).expect("writable");
    let white = read(&path).picture;
    assert!(white.alpha.is_none() && white.rgb.iter().all(|&value| value > 253.0));
}

#[test]
fn one_pixel_is_a_picture() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (format, name) in [
        (OutputFormat::Png, "a.png"),
        (OutputFormat::Jpeg, "a.jpg"),
        (OutputFormat::WebP, "a.webp"),
        (OutputFormat::Tiff, "a.tif"),
    ] {
        let path = folder.path().join(name);
        save(&path, &Picture::filled(1, 1, [128.0; 3]), &SaveOptions::new(format)).expect("writable");
        let picture = read(&path).picture;
        assert_eq!(picture.size(), [1, 1], "{format}");
        assert!(worst_difference(&picture.rgb, &[128.0; 3]) <= 1.0, "{format}: {:?}", picture.rgb);
    }
}

#[test]
fn what_a_format_cannot_hold_is_refused_before_writing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let refusal = |picture: &Picture, format| {
        let refused = save(&folder.path().join("a.out"), picture, &SaveOptions::new(format));
        refused.expect_err("it does not fit")
    };
    let empty = Picture::from_rgb(0, 4, Vec::new());
    assert!(matches!(refusal(&empty, OutputFormat::Png), ImageError::NoPixels { .. }));
    let wide = Picture::filled(16_384, 1, [0.0; 3]);
    assert!(matches!(refusal(&wide, OutputFormat::WebP), ImageError::TooLargeForFormat { max_side_px: 16_383, .. }));
    let wide = Picture::filled(65_536, 1, [0.0; 3]);
    assert!(matches!(refusal(&wide, OutputFormat::Jpeg), ImageError::TooLargeForFormat { max_side_px: 65_535, .. }));
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0);
}

#[test]
fn a_failed_save_leaves_the_old_picture() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.webp");
    save(&path, &formula_picture(false), &SaveOptions::new(OutputFormat::WebP)).expect("writable");
    let before = fs::read(&path).expect("there");
    let too_fine = SaveOptions { bits: Bits::Sixteen, ..SaveOptions::new(OutputFormat::WebP) };
    save(&path, &formula_picture(true), &too_fine).expect_err("WebP has 8 bits");
    assert_eq!(before, fs::read(&path).expect("there"));
    let below = path.join("b.webp");
    let refused = save(&below, &formula_picture(true), &SaveOptions::new(OutputFormat::WebP));
    assert!(matches!(refused, Err(ImageError::ParentNotAFolder { .. })), "{refused:?}");
    assert_eq!(before, fs::read(&path).expect("there"));
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1);
}

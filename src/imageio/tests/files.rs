//! Reading files that other programs have written.

use super::*;
use crate::imageio::{Bits, ImageError, PictureFormat, load_bytes, probe};

#[test]
fn lossless_files_are_read_to_the_bit() {
    let rgba = formula();
    let gray = |of: fn(&[u8; 4]) -> f32| -> Vec<f32> { rgba.iter().flat_map(|pixel| [of(pixel); 3]).collect() };
    let column = |x: usize| [x * 12, 255 - x * 12, x].map(|value| value as f32);
    let columns: Vec<f32> = (0..HEIGHT).flat_map(|_| (0..WIDTH).flat_map(column)).collect();
    let column_alpha =
        |of: fn(usize) -> f32| -> Option<Vec<f32>> { Some((0..HEIGHT).flat_map(|_| (0..WIDTH).map(of)).collect()) };
    let (opaque, clear) = (formula_picture(false), formula_picture(true));
    let word = |pixel: &[u8; 4]| (f32::from(pixel[0]) * 256.0 + f32::from(pixel[1])) / 257.0;
    let cases = [
        ("rgb.bmp", opaque.rgb.clone(), None, Bits::Eight),
        ("rgb-lzw.tif", opaque.rgb.clone(), None, Bits::Eight),
        ("rgba.tif", opaque.rgb.clone(), clear.alpha.clone(), Bits::Eight),
        ("rgba.webp", opaque.rgb.clone(), clear.alpha.clone(), Bits::Eight),
        ("rgba.png", opaque.rgb.clone(), clear.alpha.clone(), Bits::Eight),
        ("rgba-interlaced.png", opaque.rgb.clone(), clear.alpha.clone(), Bits::Eight),
        ("gray.png", gray(|pixel| f32::from(pixel[0])), None, Bits::Eight),
        ("gray16.png", gray(word), None, Bits::Sixteen),
        ("gray16.tif", gray(word), None, Bits::Sixteen),
        ("palette.bmp", columns.clone(), None, Bits::Eight),
        ("palette.gif", columns.clone(), None, Bits::Eight),
        (
            "palette.png",
            columns.clone(),
            column_alpha(|x| match x {
                3 => 0.0,
                4 => 128.0,
                _ => 255.0,
            }),
            Bits::Eight,
        ),
    ];
    let mut wrong = Vec::new();
    for (name, rgb, alpha, bits) in cases {
        let loaded = read(&fixture(name));
        let expected = Picture::from_rgb(WIDTH, HEIGHT, rgb).with_alpha(alpha);
        if loaded.picture != expected || loaded.bits != bits || !loaded.notes.is_empty() || loaded.recipe.is_some() {
            wrong.push(format!("{name}: {:?} {:?} {:?}", loaded.bits, loaded.notes, loaded.picture));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn one_bit_is_black_and_white() {
    let picture = read(&fixture("bilevel.png")).picture;
    assert!(picture.rgb.iter().all(|&value| value == 0.0 || value == 255.0));
    assert!(picture.rgb.contains(&0.0) && picture.rgb.contains(&255.0));
}

#[test]
fn a_clear_palette_entry_of_a_gif_is_clear() {
    let picture = read(&fixture("palette-clear.gif")).picture;
    let alpha = picture.alpha.expect("alpha");
    let wrong = (0..alpha.len()).filter(|i| alpha[*i] != if i % WIDTH == 3 { 0.0 } else { 255.0 }).count();
    assert_eq!(wrong, 0);
}

#[test]
fn lossy_files_agree_with_libjpeg_and_libwebp() {
    // Decoders differ in the last bits of transforms, and in how they enlarge subsampled chroma.
    let tolerance = |name: &str| if name.contains("420") || name.contains("webp") { 6.0 } else { 2.0 };
    let mut wrong = Vec::new();
    for (name, pixels) in expected().lossy {
        let Loaded { picture, notes, .. } = read(&fixture(&name));
        let channels = if picture.alpha.is_some() { 4 } else { 3 };
        let pixels: Vec<f32> = pixels.into_iter().map(f32::from).collect();
        let rgb: Vec<f32> = pixels.chunks_exact(channels).flat_map(|pixel| &pixel[..3]).copied().collect();
        let alpha: Vec<f32> = pixels.chunks_exact(channels).filter_map(|pixel| pixel.get(3)).copied().collect();
        let worst = worst_difference(&picture.rgb, &rgb);
        let worst_alpha = worst_difference(picture.alpha.as_deref().unwrap_or_default(), &alpha);
        if worst > tolerance(&name) || worst_alpha > 0.0 || !notes.is_empty() {
            wrong.push(format!("{name}: off by {worst}, alpha by {worst_alpha}, {notes:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_first_frame_or_page_is_read_and_said_so() {
    for name in ["animated.gif", "animated.webp", "animated.png", "pages.tif"] {
        let loaded = read(&fixture(name));
        assert_eq!(loaded.notes.len(), 1, "{name}: {:?}", loaded.notes);
        assert!(loaded.notes[0].contains("first"), "{name}: {:?}", loaded.notes);
        assert_eq!(loaded.picture, Picture::filled(WIDTH, HEIGHT, [10.0, 200.0, 30.0]), "{name}");
    }
}

#[test]
fn a_probe_says_what_loading_finds() {
    for path in fixtures() {
        let probe = probe(&path).unwrap_or_else(|error| panic!("{error}"));
        let loaded = read(&path);
        let name = path.display();
        assert_eq!([probe.height_px, probe.width_px], loaded.picture.size(), "{name}");
        assert_eq!((probe.format, probe.bits), (loaded.source_format, loaded.bits), "{name}");
        // A GIF may turn out to be opaque.
        assert!(probe.has_alpha == loaded.picture.alpha.is_some() || probe.format == PictureFormat::Gif, "{name}");
        assert!(probe.bytes_to_load > probe.pixels() * 12, "{name}");
    }
}

#[test]
fn the_content_counts_and_not_the_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("holiday.png");
    fs::copy(fixture("gray.jpg"), &path).expect("writable");
    assert_eq!(read(&path).source_format, PictureFormat::Jpeg);
}

fn png_with_profile<const N: usize>(profile: Vec<u8>, pixels: &[[u8; N]]) -> Vec<u8> {
    let mut info = png::Info::with_size(pixels.len() as u32, 1);
    info.color_type = if N == 3 { png::ColorType::Rgb } else { png::ColorType::Grayscale };
    info.bit_depth = png::BitDepth::Eight;
    info.icc_profile = Some(profile.into());
    let mut bytes = Vec::new();
    let mut writer = png::Encoder::with_info(&mut bytes, info).expect("valid").write_header().expect("in memory");
    writer.write_image_data(pixels.as_flattened()).expect("in memory");
    writer.finish().expect("in memory");
    bytes
}

#[test]
fn an_icc_profile_is_converted_to_srgb() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.png");
    let pairs = expected().display_p3;
    let pixels: Vec<_> = pairs.iter().map(|pair| pair.p3).collect();
    let written = |profile: Vec<u8>| {
        fs::write(&path, png_with_profile(profile, &pixels)).expect("writable");
        read(&path)
    };

    let profile = moxcms::ColorProfile::new_display_p3().encode().expect("a profile of the crate's own");
    let loaded = written(profile);
    let want: Vec<f32> = pairs.iter().flat_map(|pair| pair.srgb).collect();
    // ICC profiles hold matrices and curves in 16 bits; near 0 the curve is steep.
    let worst = worst_difference(&loaded.picture.rgb, &want);
    assert!(worst < 0.7, "off by {worst}: {:?}, not {want:?}", loaded.picture.rgb);
    assert!(loaded.notes.len() == 1 && loaded.notes[0].contains("converted"), "{:?}", loaded.notes);

    // sRGB by profile changes nothing at all.
    let profile = moxcms::ColorProfile::new_srgb().encode().expect("a profile of the crate's own");
    let loaded = written(profile);
    assert_eq!(loaded.picture.to_u8(), pixels.as_flattened());
    assert!(loaded.picture.rgb.iter().all(|value| value.fract() == 0.0) && loaded.notes.is_empty());

    // A broken one, and one for gray pictures, are left alone and said so.
    let gray = moxcms::ColorProfile::new_gray_with_gamma(2.2).encode().expect("a profile of the crate's own");
    for profile in [b"not a profile".to_vec(), gray.clone()] {
        let loaded = written(profile);
        assert_eq!(loaded.picture.to_u8(), pixels.as_flattened());
        assert!(loaded.notes.len() == 1 && loaded.notes[0].contains("was not used"), "{:?}", loaded.notes);
    }
}

#[test]
fn a_gray_icc_profile_is_converted_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.png");
    let linear = moxcms::ColorProfile::new_gray_with_gamma(1.0).encode().expect("a profile of the crate's own");
    fs::write(&path, png_with_profile(linear, &[[0], [64], [128], [255]])).expect("writable");
    let want = [0.0, 64.0, 128.0, 255.0].map(|light| [crate::imageio::color::srgb_from_linear(light / 255.0); 3]);
    let loaded = read(&path);
    let worst = worst_difference(&loaded.picture.rgb, want.as_flattened());
    assert!(worst < 0.7, "off by {worst}: {:?}", loaded.picture.rgb);
    assert_eq!(loaded.notes.len(), 1, "{:?}", loaded.notes);
}

#[test]
fn what_follows_the_end_of_a_picture_is_no_matter() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a");
    for name in ["rgba.png", "rgb-444.jpg", "rgb-progressive.jpg", "rgba.webp", "palette.gif", "rgb.bmp", "rgba.tif"] {
        let whole = fs::read(fixture(name)).expect("committed");
        fs::write(&path, [whole.as_slice(), b"\xff\xd8 and more"].concat()).expect("writable");
        assert!(read(&path).picture == read(&fixture(name)).picture, "{name}");
    }
}

#[test]
fn photos_of_cameras_are_read() {
    let Some(folder) = outside_data("photos") else { return };
    for (name, size) in [
        ("kodak/kodim23.png", [512, 768]),
        ("google-deepdream/sky1024px.jpg", [575, 1024]),
        ("exif-orientation/Landscape_6.jpg", [1200, 1800]),
    ] {
        let loaded = read(&folder.join(name));
        assert_eq!(loaded.picture.size(), size, "{name}");
        let mean = loaded.picture.luma().iter().sum::<f32>() / loaded.picture.len() as f32;
        assert!((40.0..215.0).contains(&mean), "{name}: {mean}");
    }
}

#[test]
fn pictures_in_memory_are_read_as_files_are() {
    let limits = Limits::default();
    for name in ["rgba.png", "rgb-420.jpg", "rgba.webp", "rgba.tif", "rgb.bmp", "animated.gif"] {
        let path = fixture(name);
        let bytes = std::fs::read(&path).expect("a fixture");
        let (memory, file) = (load_bytes(&path, &bytes, &limits).expect(name), read(&path));
        assert_eq!((&memory.picture, &memory.notes), (&file.picture, &file.notes), "{name}");
        assert_eq!((memory.source_format, memory.bits), (file.source_format, file.bits), "{name}");
        assert!(load_bytes(&path, &bytes[..bytes.len() / 2], &limits).is_err(), "half of {name}");
        let refused = load_bytes(&path, &bytes, &Limits { max_pixels: 3, ..limits });
        assert!(matches!(refused, Err(ImageError::TooLarge { .. })), "{name}: {refused:?}");
    }
    for bytes in [&b""[..], b"x", b"a text"] {
        assert!(
            load_bytes(Path::new("a name"), bytes, &limits).expect_err("no picture").to_string().contains("a name")
        );
    }
}

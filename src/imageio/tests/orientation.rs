//! EXIF orientation, in every format that carries it.

use std::io::Cursor;

use exif::experimental::Writer;
use exif::{Field, In, Tag, Value};

use super::*;
use crate::imageio::jpeg_segments::{APP1, push_segment};
use crate::imageio::recipe::EXIF_MAGIC;
use crate::imageio::{OutputFormat, SaveOptions, probe, save};

/// An EXIF block that says how the picture is turned.
fn exif(orientation: u16) -> Vec<u8> {
    let field = Field { tag: Tag::Orientation, ifd_num: In::PRIMARY, value: Value::Short(vec![orientation]) };
    let mut block = Cursor::new(Vec::new());
    let mut writer = Writer::new();
    writer.push_field(&field);
    writer.write(&mut block, orientation.is_multiple_of(2)).expect("in memory");
    block.into_inner()
}

/// Where a stored pixel is upright, after EXIF 2.3, 4.6.4: `stored row 0 is at …, stored column 0 is at …`.
fn upright_position(orientation: u16, [x, y]: [usize; 2], [width, height]: [usize; 2]) -> [usize; 2] {
    let (from_right, from_bottom) = (width - 1 - x, height - 1 - y);
    match orientation {
        1 => [x, y],                    // top, left
        2 => [from_right, y],           // top, right
        3 => [from_right, from_bottom], // bottom, right
        4 => [x, from_bottom],          // bottom, left
        5 => [y, x],                    // left, top
        6 => [from_bottom, x],          // right, top
        7 => [from_bottom, from_right], // right, bottom
        _ => [y, from_right],           // left, bottom
    }
}

fn upright(stored: &Picture, orientation: u16) -> Picture {
    let (width, height) = (stored.width, stored.height);
    let (upright_width, upright_height) = if orientation < 5 { (width, height) } else { (height, width) };
    let mut picture = Picture::filled(upright_width, upright_height, [0.0; 3]);
    let mut alpha = vec![0.0; width * height];
    for y in 0..height {
        for x in 0..width {
            let [to_x, to_y] = upright_position(orientation, [x, y], [width, height]);
            let (from, to) = (y * width + x, to_y * upright_width + to_x);
            picture.rgb[3 * to..3 * to + 3].copy_from_slice(&stored.rgb[3 * from..3 * from + 3]);
            alpha[to] = stored.alpha.as_ref().map_or(0.0, |alpha| alpha[from]);
        }
    }
    picture.with_alpha(stored.alpha.is_some().then_some(alpha))
}

fn check(path: &Path, file: &[u8], stored: &Picture, orientation: u16) {
    fs::write(path, file).expect("writable");
    let probe = probe(path).unwrap_or_else(|error| panic!("{error}"));
    let got = read(path).picture;
    let name = path.display();
    assert_eq!([probe.height_px, probe.width_px], got.size(), "{name} {orientation}");
    assert!(got == upright(stored, orientation), "{name} {orientation}");
}

#[test]
fn all_eight_are_obeyed_in_every_format() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [jpeg, png, webp, tif] = ["a.jpg", "a.png", "a.webp", "a.tif"].map(|name| folder.path().join(name));
    let picture = formula_picture(true);
    for (path, format) in [(&jpeg, OutputFormat::Jpeg), (&tif, OutputFormat::Tiff)] {
        save(path, &picture, &SaveOptions::new(format)).expect("writable");
    }
    let stored_jpeg = read(&jpeg).picture;
    let [plain_jpeg, plain_tif] = [&jpeg, &tif].map(|path| fs::read(path).expect("there"));
    let rgba = formula();
    for orientation in 1..=8 {
        let mut app1 = Vec::new();
        push_segment(&mut app1, APP1, &[EXIF_MAGIC, &exif(orientation)].concat());
        let file = [&plain_jpeg[..2], &app1, &plain_jpeg[2..]].concat();
        check(&jpeg, &file, &stored_jpeg, orientation);

        let mut info = png::Info::with_size(WIDTH as u32, HEIGHT as u32);
        (info.color_type, info.bit_depth) = (png::ColorType::Rgba, png::BitDepth::Eight);
        info.exif_metadata = Some(exif(orientation).into());
        let mut file = Vec::new();
        let mut writer = png::Encoder::with_info(&mut file, info).expect("valid").write_header().expect("in memory");
        writer.write_image_data(rgba.as_flattened()).expect("in memory");
        writer.finish().expect("in memory");
        check(&png, &file, &picture, orientation);

        for prefix in [&b""[..], EXIF_MAGIC] {
            let mut file = Vec::new();
            let mut encoder = image_webp::WebPEncoder::new(&mut file);
            encoder.set_exif_metadata([prefix, &exif(orientation)].concat());
            let (width, height) = (WIDTH as u32, HEIGHT as u32);
            encoder.encode(rgba.as_flattened(), width, height, image_webp::ColorType::Rgba8).expect("in memory");
            check(&webp, &file, &picture, orientation);
        }

        check(&tif, &turned_tiff(&plain_tif, orientation), &picture, orientation);
    }
    // What is not an orientation turns nothing.
    for orientation in [0, 9, 300] {
        let mut app1 = Vec::new();
        push_segment(&mut app1, APP1, &[EXIF_MAGIC, &exif(orientation)].concat());
        check(&jpeg, &[&plain_jpeg[..2], &app1, &plain_jpeg[2..]].concat(), &stored_jpeg, 1);
    }
}

/// The TIFF with its ResolutionUnit entry (296), which is of the same type, made into an orientation (274). The entries
/// are no longer in order; the decoder does not mind.
fn turned_tiff(plain: &[u8], orientation: u16) -> Vec<u8> {
    let mut file = plain.to_vec();
    let entry = [296u16.to_ne_bytes(), 3u16.to_ne_bytes(), 1u16.to_ne_bytes()].concat();
    let mut places = (0..file.len() - 12).filter(|&at| file[at..].starts_with(&entry[..4]));
    let at = places.next().expect("the encoder writes a resolution unit");
    file[at..at + 2].copy_from_slice(&274u16.to_ne_bytes());
    file[at + 8..at + 10].copy_from_slice(&orientation.to_ne_bytes());
    file
}

/// Photos of one scene, stored in different ways: upright they are alike.
#[test]
fn photos_of_one_scene_are_alike_upright() {
    let Some(folder) = outside_data("photos/exif-orientation") else { return };
    let small = |name: &str| {
        let picture = read(&folder.join(name)).picture;
        picture.resized([30 * picture.height / picture.width.min(picture.height), 30], crate::imageio::Filter::Bilinear)
    };
    for (first, others) in [
        ("Landscape_1.jpg", &["Landscape_3.jpg", "Landscape_5.jpg", "Landscape_6.jpg", "Landscape_8.jpg"][..]),
        ("Portrait_1.jpg", &["Portrait_6.jpg"]),
    ] {
        let first_picture = small(first);
        for other in others {
            let other_picture = small(other);
            assert_eq!(first_picture.size(), other_picture.size(), "{first} {other}");
            let differences =
                first_picture.luma().iter().zip(other_picture.luma()).map(|(a, b)| (a - b).abs()).sum::<f32>();
            let mean = differences / first_picture.len() as f32;
            // Each file shows its own number in large digits.
            assert!(mean < 12.0, "{first} and {other} differ by {mean} on average");
        }
    }
}

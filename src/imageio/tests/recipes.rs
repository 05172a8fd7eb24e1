//! The recipe goes into every format and comes back.

use super::*;
use crate::imageio::{ImageError, MAX_RECIPE_BYTES, OutputFormat, SaveOptions, read_recipe, save};

const FORMATS: [(OutputFormat, &str); 4] = [
    (OutputFormat::Png, "a.png"),
    (OutputFormat::Jpeg, "a.jpg"),
    (OutputFormat::WebP, "a.webp"),
    (OutputFormat::Tiff, "a.tif"),
];

#[test]
fn recipes_come_back_from_every_format() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let recipes = [
        "[dream]\nlayer = \"mixed4c\"\nsteps = 20\n".to_owned(),
        "{\"title\": \"Träume, 夢, 🌀 — “quoted”\", \"tab\": \"\\t\"}\r\n".to_owned(),
        String::new(),
        "x".to_owned(),
        "steps = 20 # ascii\n".repeat(5_500),
        "größe = 3 # 夢🌀\n".repeat(5_000),
        "y".repeat(65_480),
        "z".repeat(MAX_RECIPE_BYTES),
        "夢".repeat(MAX_RECIPE_BYTES / 3),
    ];
    let picture = formula_picture(true);
    let mut wrong = Vec::new();
    for (format, name) in FORMATS {
        let path = folder.path().join(name);
        for recipe in &recipes {
            let options = SaveOptions { recipe: Some(recipe.clone()), ..SaveOptions::new(format) };
            save(&path, &picture, &options).unwrap_or_else(|error| panic!("{error}"));
            let loaded = read(&path);
            let alone = read_recipe(&path).unwrap_or_else(|error| panic!("{error}"));
            if alone.as_ref() != Some(recipe) || loaded.recipe != alone || !loaded.notes.is_empty() {
                let found = alone.map(|text| text.len());
                wrong.push(format!("{format} of {} bytes: {found:?} {:?}", recipe.len(), loaded.notes));
            }
            if format != OutputFormat::Jpeg && loaded.picture != picture {
                wrong.push(format!("{format} of {} bytes: other pixels", recipe.len()));
            }
        }
        save(&path, &picture, &SaveOptions::new(format)).expect("writable");
        if read_recipe(&path).expect("readable").is_some() || read(&path).recipe.is_some() {
            wrong.push(format!("{format}: a recipe out of nothing"));
        }
        let too_long = SaveOptions { recipe: Some("x".repeat(MAX_RECIPE_BYTES + 1)), ..SaveOptions::new(format) };
        let refused = save(&path, &picture, &too_long);
        assert!(matches!(refused, Err(ImageError::RecipeTooLong { .. })), "{format}: {refused:?}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_of_other_programs_carry_no_recipe() {
    for path in fixtures() {
        let found = read_recipe(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found, None, "{}", path.display());
    }
}

/// A PNG with chunks inserted before its pixels or before its end.
pub(super) fn png_with(chunks: &[(&[u8; 4], Vec<u8>)], at_the_end: bool) -> Vec<u8> {
    let plain = fs::read(fixture("gray.png")).expect("committed");
    let place = if at_the_end { plain.len() - 12 } else { 8 + 25 };
    let mut inserted = Vec::new();
    for (kind, data) in chunks {
        inserted.extend(u32::try_from(data.len()).expect("short").to_be_bytes());
        let body = [kind.as_slice(), data].concat();
        inserted.extend(&body);
        inserted.extend(crc32(&body).to_be_bytes());
    }
    [&plain[..place], &inserted, &plain[place..]].concat()
}

/// CRC-32 as in the PNG specification, annex D.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

#[test]
fn text_chunks_of_any_kind_and_place_are_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.png");
    let plain_itxt = b"oneiric.recipe\0\0\0\0\0a = \"\xc3\xbc\"".to_vec();
    let latin = b"oneiric.recipe\0a = \"\xfc\"".to_vec();
    for (chunk, at_the_end) in [(b"iTXt", false), (b"iTXt", true), (b"tEXt", false), (b"tEXt", true)] {
        let data = if chunk == b"iTXt" { plain_itxt.clone() } else { latin.clone() };
        let other = (b"tEXt", b"Comment\0other".to_vec());
        fs::write(&path, png_with(&[other, (chunk, data)], at_the_end)).expect("writable");
        assert_eq!(read_recipe(&path).expect("readable").as_deref(), Some("a = \"ü\""));
        assert_eq!(read(&path).recipe.as_deref(), Some("a = \"ü\""));
    }
}

#[test]
fn hostile_recipes_are_refused_and_the_picture_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.png");
    let mut bomb = Vec::new();
    let mut writer = png::Encoder::new(&mut bomb, 1, 1).write_header().expect("in memory");
    // Half a mebibyte that would be a hundred.
    let mut chunk = png::text_metadata::ITXtChunk::new("oneiric.recipe", "x".repeat(100 << 20));
    chunk.compressed = true;
    chunk.compress_text().expect("in memory");
    writer.write_text_chunk(&chunk).expect("in memory");
    writer.write_image_data(&[7]).expect("in memory");
    writer.finish().expect("in memory");
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());

    let long = [b"oneiric.recipe\0\0\0\0\0".as_slice(), &vec![b'x'; MAX_RECIPE_BYTES + 1]].concat();
    let cases = [
        ("compressed", bomb),
        ("long", png_with(&[(b"iTXt", long)], false)),
        ("broken zlib", png_with(&[(b"iTXt", b"oneiric.recipe\0\x01\0\0\0not zlib".to_vec())], false)),
    ];
    for (name, file) in cases {
        fs::write(&path, file).expect("writable");
        let refused = read_recipe(&path);
        assert!(matches!(refused, Err(ImageError::BadRecipe { .. })), "{name}: {refused:?}");
        let loaded = read(&path);
        assert!(loaded.recipe.is_none() && loaded.notes.len() == 1, "{name}: {:?}", loaded.notes);
        assert!(loaded.notes[0].contains("recipe"), "{name}: {:?}", loaded.notes);
    }
}

#[test]
fn a_tiff_that_claims_a_comment_of_gigabytes_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.tif");
    let options = SaveOptions { recipe: Some("a = 1".to_owned()), ..SaveOptions::new(OutputFormat::Tiff) };
    save(&path, &formula_picture(false), &options).expect("writable");
    let mut file = fs::read(&path).expect("there");
    let entry = [0x9286u16.to_ne_bytes(), 7u16.to_ne_bytes()].concat();
    let at = (0..file.len() - 8).find(|&at| file[at..].starts_with(&entry)).expect("the comment's entry");
    file[at + 4..at + 8].copy_from_slice(&u32::MAX.to_ne_bytes());
    fs::write(&path, file).expect("writable");
    let refused = read_recipe(&path);
    assert!(matches!(refused, Err(ImageError::BadRecipe { .. })), "{refused:?}");
    assert_eq!(read(&path).notes.len(), 1);
}

//! Files that are not pictures, are cut, lie, or are broken at random.

use rand::RngExt as _;

use super::*;
use crate::base::rng::{Stream, rng};
use crate::imageio::{ImageError, OutputFormat, SaveOptions, probe, read_recipe, save};

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn load(&self, file: &[u8], limits: &Limits) -> Result<Loaded, ImageError> {
        let path = self.0.path().join("file");
        fs::write(&path, file).expect("writable");
        load(&path, limits)
    }
}

#[test]
fn what_is_not_a_picture_is_named() {
    let scratch = Scratch::new();
    let folder = scratch.0.path();
    let limits = Limits::default();
    let missing = folder.join("no.png");
    assert!(matches!(load(&missing, &limits), Err(ImageError::Missing { .. })));
    assert!(matches!(probe(&missing), Err(ImageError::Missing { .. })));
    assert!(matches!(read_recipe(&missing), Err(ImageError::Missing { .. })));
    assert!(matches!(load(folder, &limits), Err(ImageError::IsFolder { .. })));
    assert!(matches!(scratch.load(b"", &limits), Err(ImageError::Empty { .. })));
    assert!(matches!(load(&folder.join("file/x.png"), &limits), Err(ImageError::Missing { .. })));
    #[cfg(unix)]
    assert!(matches!(load(Path::new("/dev/zero"), &limits), Err(ImageError::NotAFile { .. })));
    let Err(error) = scratch.load("Dear diary, today…".as_bytes(), &limits) else { panic!("a text is no picture") };
    let message = error.to_string();
    assert!(message.contains("is a text") && message.contains(&*folder.to_string_lossy()), "{message}");
}

#[test]
fn a_cut_file_is_never_taken_for_whole() {
    let scratch = Scratch::new();
    let mut wrong = Vec::new();
    for path in fixtures() {
        let whole = fs::read(&path).expect("committed");
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // The last bytes of a BMP or TIFF may be padding or a directory's end.
        let strict = !name.ends_with(".bmp") && !name.ends_with(".tif");
        // Every length in the headers and before the end, every ninth between.
        let lengths = (1..whole.len()).filter(|length| *length < 100 || whole.len() - length < 50 || length % 9 == 0);
        for length in lengths {
            match scratch.load(&whole[..length], &Limits::default()) {
                Ok(loaded) if strict => wrong.push(format!("{name} cut to {length}: read, {:?}", loaded.notes)),
                Ok(loaded) if loaded.picture != read(&path).picture => {
                    wrong.push(format!("{name} cut to {length}: other pixels"));
                }
                Err(ImageError::Truncated { .. } | ImageError::NotAPicture { .. }) | Ok(_) => {}
                Err(error) if strict && length > whole.len() / 2 => {
                    wrong.push(format!("{name} cut to {length} of {}: {error}", whole.len()));
                }
                Err(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
}

#[test]
fn a_photo_cut_in_half_is_refused() {
    let Some(folder) = outside_data("photos") else { return };
    let scratch = Scratch::new();
    for name in ["google-deepdream/sky1024px.jpg", "google-deepdream/flowers.jpg", "kodak/kodim23.png"] {
        let whole = fs::read(folder.join(name)).expect("readable");
        for share in [0.1, 0.5, 0.9, 0.999] {
            let cut = (whole.len() as f64 * share) as usize;
            let refused = scratch.load(&whole[..cut], &Limits::default());
            assert!(matches!(refused, Err(ImageError::Truncated { .. })), "{name} at {share}: {:?}", refused.err());
        }
        // Bytes missing in the middle: the end is there.
        let holed = [&whole[..whole.len() / 2], &whole[whole.len() / 2 + 999..]].concat();
        let refused = scratch.load(&holed, &Limits::default());
        assert!(refused.is_err() || !name.ends_with("png"), "{name} with a hole");
    }
}

/// The starts of files that claim to be large, in under a kilobyte.
fn claims(width: u32, height: u32) -> Vec<(&'static str, Vec<u8>)> {
    let [w, h] = [width, height].map(u32::to_be_bytes);
    let small = |name: &str| fs::read(fixture(name)).expect("committed");
    let mut png = small("gray.png");
    png[16..24].copy_from_slice(&[w, h].concat());
    let crc = super::recipes::crc32(&png[12..29]).to_be_bytes();
    png[29..33].copy_from_slice(&crc);

    let mut bmp = small("rgb.bmp");
    bmp[18..26].copy_from_slice(&[width.to_le_bytes(), height.to_le_bytes()].concat());

    let mut gif = small("palette.gif");
    let mut jpeg = small("rgb-progressive.jpg");
    if let (Ok(width), Ok(height)) = (u16::try_from(width), u16::try_from(height)) {
        gif[6..10].copy_from_slice(&[width.to_le_bytes(), height.to_le_bytes()].concat());
        let sof = jpeg.windows(2).position(|pair| pair == [0xff, 0xc2]).expect("a progressive frame");
        jpeg[sof + 5..sof + 9].copy_from_slice(&[height.to_be_bytes(), width.to_be_bytes()].concat());
    } else {
        (gif, jpeg) = (Vec::new(), Vec::new());
    }

    let mut tif = small("gray16.tif");
    for (tag, value) in [(256u16, width), (257, height), (278, height)] {
        let entry = tag.to_le_bytes();
        let at = (8..tif.len() - 12).find(|&at| tif[at..at + 2] == entry && tif[at + 4..at + 8] == [1, 0, 0, 0]);
        let at = at.expect("the entries of the sides and of the rows in a strip");
        tif[at + 2..at + 4].copy_from_slice(&4u16.to_le_bytes());
        tif[at + 8..at + 12].copy_from_slice(&value.to_le_bytes());
    }
    vec![("PNG", png), ("BMP", bmp), ("GIF", gif), ("JPEG", jpeg), ("TIFF", tif)]
}

#[test]
fn a_header_that_claims_too_much_is_refused_by_its_size() {
    let scratch = Scratch::new();
    for (width, height) in [(20_000, 20_000), (65_000, 65_000)] {
        for (format, file) in claims(width, height) {
            let refused = scratch.load(&file, &Limits::default());
            let Err(ImageError::TooLarge { width_px, height_px, max_pixels, .. }) = refused else {
                panic!("{format}: {:?}", refused.map(|loaded| loaded.picture.size()))
            };
            assert_eq!((width_px, height_px, max_pixels), (width as usize, height as usize, 100_000_000), "{format}");
            // With any number of pixels allowed, the memory is what is refused.
            let limits = Limits { max_pixels: u64::MAX, max_alloc_bytes: 1 << 30 };
            let refused = scratch.load(&file, &limits).map(|loaded| loaded.picture.size());
            let Err(ImageError::TooMuchMemory { fitting_px: Some([fits_width, fits_height]), needed_bytes, .. }) =
                refused
            else {
                panic!("{format}: {refused:?}")
            };
            let share = (fits_width * fits_height) as f64 / (f64::from(width) * f64::from(height));
            assert!(share > 0.0 && share * needed_bytes as f64 <= (1u64 << 30) as f64, "{format}: {share}");
        }
    }
    for (format, file) in claims(1 << 30, 1 << 30).into_iter().filter(|(_, file)| !file.is_empty()) {
        let refused = scratch.load(&file, &Limits::default()).map(|loaded| loaded.picture.size());
        assert!(refused.is_err(), "{format}");
        assert!(format != "PNG" || matches!(refused, Err(ImageError::TooLarge { .. })), "{format}: {refused:?}");
    }
}

#[test]
fn a_picture_without_pixels_is_refused() {
    let scratch = Scratch::new();
    for (width, height) in [(0, 0), (0, 5), (5, 0)] {
        for (format, file) in claims(width, height) {
            let refused = scratch.load(&file, &Limits::default()).map(|loaded| loaded.picture.size());
            assert!(refused.is_err(), "{format} {width}×{height}");
            let named = matches!(refused, Err(ImageError::NoPixels { .. }));
            assert!(named || matches!(format, "BMP" | "TIFF"), "{format} {width}×{height}: {refused:?}");
        }
    }
}

/// Counts at the edge of their types, where a decoder that adds one overflows.
#[test]
fn an_animation_that_claims_four_billion_frames_does_not_panic() {
    let frames = [u32::MAX.to_be_bytes(), 0u32.to_be_bytes()].concat();
    let file = super::recipes::png_with(&[(b"acTL", frames)], false);
    let loaded = Scratch::new().load(&file, &Limits::default()).expect("a still picture");
    assert!(loaded.notes.is_empty(), "{:?}", loaded.notes);
}

#[test]
fn limits_hold_to_the_pixel() {
    let path = fixture("rgba.png");
    let needed = probe(&path).expect("a picture").bytes_to_load;
    let pixels = (WIDTH * HEIGHT) as u64;
    for (max_pixels, max_alloc_bytes, fits) in
        [(pixels, needed, true), (pixels - 1, needed, false), (pixels, needed - 1, false), (pixels, 100, false)]
    {
        assert_eq!(
            load(&path, &Limits { max_pixels, max_alloc_bytes }).is_ok(),
            fits,
            "{max_pixels} {max_alloc_bytes}"
        );
    }
}

/// No byte string makes a decoder panic or take more than it may.
#[test]
fn random_damage_is_survived() {
    const MUTATIONS_A_FILE: u64 = 60;
    let scratch = Scratch::new();
    let limits = Limits { max_pixels: 1 << 22, max_alloc_bytes: 1 << 28 };
    let mut files: Vec<_> = fixtures().iter().map(|path| fs::read(path).expect("committed")).collect();
    for (format, name) in [
        (OutputFormat::Png, "r.png"),
        (OutputFormat::Jpeg, "r.jpg"),
        (OutputFormat::WebP, "r.webp"),
        (OutputFormat::Tiff, "r.tif"),
    ] {
        let path = scratch.0.path().join(name);
        let options = SaveOptions { recipe: Some("träume = 1".to_owned()), ..SaveOptions::new(format) };
        save(&path, &formula_picture(true), &options).expect("writable");
        files.push(fs::read(&path).expect("there"));
    }
    let mut outcomes = [0usize; 2];
    for (number, whole) in files.iter().enumerate() {
        for mutation in 0..MUTATIONS_A_FILE {
            let mut random = rng(number as u64, Stream::Test, mutation);
            let mut file = whole.clone();
            // Half of the damage goes to the headers, where the lengths are.
            for _ in 0..random.random_range(1..=6) {
                let reach = if random.random() { file.len().min(128) } else { file.len() };
                let at = random.random_range(0..reach);
                match random.random_range(0..5) {
                    0 => file[at] = random.random(),
                    1 => file[at] ^= 1 << random.random_range(0..8),
                    2 => file[at] = 0xff,
                    3 => file[at] = 0,
                    _ => {
                        let end = (at + random.random_range(1..=8)).min(file.len());
                        file.drain(at..end);
                        file.push(random.random());
                    }
                }
            }
            let path = scratch.0.path().join("file");
            fs::write(&path, &file).expect("writable");
            let loaded = load(&path, &limits);
            let _ = (probe(&path), read_recipe(&path));
            if let Ok(loaded) = &loaded {
                assert_eq!(loaded.picture.rgb.len(), 3 * loaded.picture.len());
                assert!(loaded.picture.rgb.iter().all(|value| (0.0..=255.0).contains(value)));
            }
            outcomes[usize::from(loaded.is_ok())] += 1;
        }
    }
    // Both happen, so that the damage is neither harmless nor total.
    assert!(outcomes.iter().all(|&count| count > 100), "{outcomes:?}");
}

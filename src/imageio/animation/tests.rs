//! Animations are written, and read again with the decoders of their crates.

use std::fs;
use std::io::{BufReader, Cursor};
use std::path::PathBuf;

use super::*;
use crate::imageio::{Limits, load, read_recipe};

const WIDTH: usize = 37;
const HEIGHT: usize = 23;
const RECIPE: &str = "[dream]\nlayer = \"block9\" # größer, 夢\n";

/// A frame that differs from every other, on the steps of 8 bits.
fn frame(i: usize, with_alpha: bool) -> Picture {
    let value = |k: usize| ((k * 7 + i * 31 + k * k * i) % 256) as f32;
    let alpha = with_alpha.then(|| (0..WIDTH * HEIGHT).map(|k| value(k + 5)).collect());
    Picture::from_rgb(WIDTH, HEIGHT, (0..3 * WIDTH * HEIGHT).map(value).collect()).with_alpha(alpha)
}

fn asset(name: &str) -> Picture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name);
    load(&path, &Limits::default()).unwrap_or_else(|error| panic!("{error}")).picture
}

/// What a decoder finds: RGBA bytes of every frame as it is shown, and how long.
#[derive(Debug, PartialEq)]
struct Shown {
    size_px: [usize; 2],
    frames: Vec<Vec<u8>>,
    ms: Vec<u32>,
    endless: bool,
}

fn rgba(bytes: &[u8], channels: usize) -> Vec<u8> {
    if channels == 4 {
        return bytes.to_vec();
    }
    bytes.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, 255]).collect()
}

fn shown(path: &Path, format: AnimationFormat) -> Shown {
    let file = fs::read(path).expect("it was written");
    match format {
        AnimationFormat::Gif => shown_gif(&file),
        AnimationFormat::Apng => shown_apng(file),
        AnimationFormat::WebP => shown_webp(file),
    }
}

fn shown_gif(file: &[u8]) -> Shown {
    let mut options = ::gif::DecodeOptions::new();
    options.set_color_output(::gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(file).expect("a GIF");
    let size_px = [decoder.width(), decoder.height()].map(usize::from);
    let (mut frames, mut ms) = (Vec::new(), Vec::new());
    while let Some(frame) = decoder.read_next_frame().expect("a frame") {
        assert_eq!([frame.width, frame.height].map(usize::from), size_px);
        assert_eq!((frame.left, frame.top, frame.transparent), (0, 0, None));
        frames.push(frame.buffer.to_vec());
        ms.push(u32::from(frame.delay) * 10);
    }
    Shown { size_px, frames, ms, endless: decoder.repeat() == ::gif::Repeat::Infinite }
}

fn shown_apng(file: Vec<u8>) -> Shown {
    let mut reader = png::Decoder::new(Cursor::new(file)).read_info().expect("a PNG");
    let info = reader.info();
    let control = *info.animation_control().expect("an animation");
    assert_eq!(info.srgb, Some(png::SrgbRenderingIntent::Perceptual));
    let size_px = [info.width as usize, info.height as usize];
    let channels = info.color_type.samples();
    let (mut frames, mut ms) = (Vec::new(), Vec::new());
    let mut buffer = vec![0; reader.output_buffer_size().expect("small")];
    for _ in 0..control.num_frames {
        reader.next_frame(&mut buffer).expect("a frame");
        let shown = reader.info().frame_control().expect("a frame of the animation");
        assert_eq!((shown.x_offset, shown.y_offset, shown.blend_op), (0, 0, png::BlendOp::Source));
        assert_eq!([shown.width as usize, shown.height as usize], size_px);
        ms.push(u32::from(shown.delay_num) * 1000 / u32::from(shown.delay_den));
        frames.push(rgba(&buffer, channels));
    }
    reader.finish().expect("a whole file");
    Shown { size_px, frames, ms, endless: control.num_plays == 0 }
}

fn shown_webp(file: Vec<u8>) -> Shown {
    let riff_bytes = u32::from_le_bytes(*file[4..].first_chunk().expect("a header"));
    assert_eq!(riff_bytes as usize + 8, file.len());
    let mut decoder = image_webp::WebPDecoder::new(BufReader::new(Cursor::new(file))).expect("a WebP");
    assert!(decoder.is_animated());
    let (width, height) = decoder.dimensions();
    let mut buffer = vec![0; decoder.output_buffer_size().expect("small")];
    let (mut frames, mut ms) = (Vec::new(), Vec::new());
    for _ in 0..decoder.num_frames() {
        ms.push(decoder.read_frame(&mut buffer).expect("a frame"));
        frames.push(rgba(&buffer, if decoder.has_alpha() { 4 } else { 3 }));
    }
    let endless = decoder.loop_count() == image_webp::LoopCount::Forever;
    Shown { size_px: [width as usize, height as usize], frames, ms, endless }
}

struct Place {
    folder: tempfile::TempDir,
    path: PathBuf,
}

fn place(name: &str) -> Place {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    Place { folder, path }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect()
}

fn save_all(path: &Path, frames: &[Picture], options: &AnimationOptions) -> Result<Saved, ImageError> {
    save_animation(path, frames.len(), &mut |i| frames[i].clone(), options, &mut |_, _| true)
}

fn rgba_of(picture: &Picture) -> Vec<u8> {
    let channels = if picture.alpha.is_some() { 4 } else { 3 };
    rgba(&samples(picture, byte_of), channels)
}

#[test]
fn names_ask_for_formats() {
    let format = |name: &str| AnimationFormat::of_path(Path::new(name)).ok();
    assert_eq!(format("a/b.GIF"), Some(AnimationFormat::Gif));
    assert_eq!((format("b.png"), format("b.x.apng")), (Some(AnimationFormat::Apng), Some(AnimationFormat::Apng)));
    assert_eq!(format("b.webp"), Some(AnimationFormat::WebP));
    for name in ["b", ".gif", "b.mp4", "b.jpg", ""] {
        let refused = AnimationFormat::of_path(Path::new(name));
        assert!(matches!(refused, Err(ImageError::NoAnimationFormat { .. })), "{name}: {refused:?}");
    }
    for kind in AnimationFormat::ALL {
        assert_eq!(format(&format!("a.{}", kind.extension())), Some(kind));
    }
}

#[test]
fn lossless_formats_keep_every_bit_of_every_frame() {
    let mut wrong = Vec::new();
    for format in [AnimationFormat::Apng, AnimationFormat::WebP] {
        for with_alpha in [false, true] {
            let place = place("a");
            let frames: Vec<Picture> = (0..4).map(|i| frame(i, with_alpha)).collect();
            let recipe = Some(RECIPE.to_owned());
            let options = AnimationOptions { frame_ms: 45, recipe, ..AnimationOptions::new(format) };
            assert_eq!(save_all(&place.path, &frames, &options).expect("writable"), Saved::Whole);
            let want = Shown {
                size_px: [WIDTH, HEIGHT],
                frames: frames.iter().map(rgba_of).collect(),
                ms: vec![45, 45, 45, 1500],
                endless: true,
            };
            if shown(&place.path, format) != want {
                wrong.push(format!("{format}, alpha {with_alpha}"));
            }
            let first = fs::read(&place.path).expect("there");
            assert_eq!(save_all(&place.path, &frames, &options).expect("writable"), Saved::Whole);
            assert!(first == fs::read(&place.path).expect("there"), "{format}: the same bytes every time");
            assert_eq!(names(place.folder.path()), ["a"]);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_first_frame_decides_whether_there_is_alpha() {
    for format in [AnimationFormat::Apng, AnimationFormat::WebP] {
        let place = place("a");
        let half = Picture::filled(4, 2, [200.0, 100.0, 0.0]).with_alpha(Some(vec![51.0; 8]));
        let solid = Picture::filled(4, 2, [1.0, 2.0, 3.0]);
        for (frames, want) in [
            ([solid.clone(), half.clone()], [[1, 2, 3, 255], [244, 224, 204, 255]]),
            ([half, solid], [[200, 100, 0, 51], [1, 2, 3, 255]]),
        ] {
            assert_eq!(save_all(&place.path, &frames, &AnimationOptions::new(format)).expect("writable"), Saved::Whole);
            let found = shown(&place.path, format);
            let pixels: Vec<&[u8]> = found.frames.iter().map(|frame| &frame[..4]).collect();
            assert_eq!(pixels, want, "{format}");
        }
    }
}

#[test]
fn a_gif_keeps_few_colours_to_the_bit_and_lays_alpha_on_white() {
    let place = place("a.gif");
    let clear = Picture::filled(3, 2, [200.0, 0.0, 0.0]).with_alpha(Some(vec![0.0; 6]));
    let frames = [Picture::filled(3, 2, [10.0, 20.0, 30.0]), clear];
    let options = AnimationOptions { frame_ms: 84, last_frame_ms: 20, ..AnimationOptions::new(AnimationFormat::Gif) };
    assert_eq!(save_all(&place.path, &frames, &options).expect("writable"), Saved::Whole);
    let want = Shown {
        size_px: [3, 2],
        frames: vec![[10, 20, 30, 255].repeat(6), [255; 24].to_vec()],
        ms: vec![80, 20],
        endless: true,
    };
    assert_eq!(shown(&place.path, AnimationFormat::Gif), want);
}

/// Of two pictures' RGBA bytes, in dB.
fn psnr(got: &[u8], want: &[u8]) -> f64 {
    assert_eq!(got.len(), want.len());
    let pairs = got.iter().zip(want);
    let squares: f64 = pairs.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    let values = 0.75 * got.len() as f64;
    10.0 * (255.0 * 255.0 * values / squares).log10()
}

/// Means of 8×8 pixels: what is seen from afar, where dithering does its work.
fn from_afar(rgba: &[u8], [width, height]: [usize; 2]) -> Vec<u8> {
    let mut means = Vec::new();
    for (y0, x0) in (0..height / 8).flat_map(|y| (0..width / 8).map(move |x| (y * 8, x * 8))) {
        for c in 0..4 {
            let sum: u32 = (0..64).map(|k| u32::from(rgba[4 * ((y0 + k / 8) * width + x0 + k % 8) + c])).sum();
            means.push(((sum + 32) / 64) as u8);
        }
    }
    means
}

#[test]
fn a_gif_of_a_dream_looks_like_it() {
    let place = place("a.gif");
    let frames = [asset("china.jpg"), asset("dream.jpg")];
    let options = AnimationOptions::new(AnimationFormat::Gif);
    assert_eq!(save_all(&place.path, &frames, &options).expect("writable"), Saved::Whole);
    let found = shown(&place.path, AnimationFormat::Gif);
    assert_eq!(found.ms, [80, 1500]);
    for (i, (least_db, least_from_afar_db)) in [(34.0, 46.0), (29.5, 40.0)].into_iter().enumerate() {
        let want = rgba_of(&frames[i]);
        let near = psnr(&found.frames[i], &want);
        let far = psnr(&from_afar(&found.frames[i], found.size_px), &from_afar(&want, found.size_px));
        assert!(near >= least_db && far >= least_from_afar_db, "frame {i}: {near} dB, from afar {far} dB");
    }
}

#[test]
fn frames_come_back_without_repeating_the_ends() {
    let grays = |path: &Path, format| -> Vec<u8> { shown(path, format).frames.iter().map(|frame| frame[0]).collect() };
    for format in AnimationFormat::ALL {
        for (count, want) in [(1, vec![0]), (2, vec![0, 1]), (3, vec![0, 1, 2, 1]), (4, vec![0, 1, 2, 3, 2, 1])] {
            let place = place("a");
            let frames: Vec<Picture> = (0..count).map(|i| Picture::filled(5, 4, [i as f32; 3])).collect();
            let options = AnimationOptions { back_and_forth: true, ..AnimationOptions::new(format) };
            assert_eq!(save_all(&place.path, &frames, &options).expect("writable"), Saved::Whole);
            assert_eq!(grays(&place.path, format), want, "{format}");
            let ms: Vec<u32> = want.iter().map(|&i| if usize::from(i) + 1 == count { 1500 } else { 80 }).collect();
            assert_eq!(shown(&place.path, format).ms, ms, "{format}");
        }
    }
}

#[test]
fn the_recipe_and_the_first_frame_are_read_back() {
    let long = "größe = 3 # 夢🌀\n".repeat(5_000);
    for format in AnimationFormat::ALL {
        for recipe in [RECIPE, "", "x", &long, &"y".repeat(MAX_RECIPE_BYTES)] {
            let place = place("a");
            let frames = [Picture::filled(6, 5, [9.0, 8.0, 7.0]), Picture::filled(6, 5, [0.0; 3])];
            let options = AnimationOptions { recipe: Some(recipe.to_owned()), ..AnimationOptions::new(format) };
            assert_eq!(save_all(&place.path, &frames, &options).expect("writable"), Saved::Whole);
            let bytes = recipe.len();
            assert_eq!(read_recipe(&place.path).expect("readable").as_deref(), Some(recipe), "{format}, {bytes} bytes");
            let loaded = load(&place.path, &Limits::default()).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(loaded.picture, frames[0], "{format}");
            assert!(loaded.recipe.as_deref() == Some(recipe), "{format}, {bytes} bytes");
            assert!(loaded.notes.len() == 1 && loaded.notes[0].contains("first"), "{format}: {:?}", loaded.notes);
        }
    }
}

#[test]
fn one_frame_is_held_at_a_time_and_progress_told() {
    let place = place("a.png");
    let events = std::cell::RefCell::new(Vec::new());
    let saved = save_animation(
        &place.path,
        3,
        &mut |i| {
            events.borrow_mut().push(format!("frame {i}"));
            frame(i, false)
        },
        &AnimationOptions { back_and_forth: true, ..AnimationOptions::new(AnimationFormat::Apng) },
        &mut |done, count| {
            events.borrow_mut().push(format!("{done} of {count}"));
            true
        },
    );
    assert_eq!(saved.expect("writable"), Saved::Whole);
    let want = ["0 of 4", "frame 0", "1 of 4", "frame 1", "2 of 4", "frame 2", "3 of 4", "frame 1", "4 of 4"];
    assert_eq!(events.into_inner(), want);
}

#[test]
fn a_stop_leaves_nothing_and_keeps_the_old_file() {
    for format in AnimationFormat::ALL {
        for stop_at in 0..3 {
            let place = place("a");
            let save = || {
                let mut progress = |done, _| done < stop_at;
                let options = AnimationOptions::new(format);
                save_animation(&place.path, 3, &mut |i| frame(i, false), &options, &mut progress)
            };
            assert_eq!(save().expect("stopped"), Saved::Stopped);
            assert!(names(place.folder.path()).is_empty(), "{format} at {stop_at}");
            fs::write(&place.path, "old").expect("writable");
            assert_eq!(save().expect("stopped"), Saved::Stopped);
            assert_eq!(names(place.folder.path()), ["a"]);
            assert_eq!(fs::read(&place.path).expect("there"), b"old");
        }
    }
}

#[test]
fn what_cannot_be_written_is_refused_and_the_old_file_kept() {
    let place = place("a");
    fs::write(&place.path, "old").expect("writable");
    let small = |count: usize| vec![Picture::filled(2, 2, [0.0; 3]); count];
    let plain = AnimationOptions::new;
    let mut wrong = Vec::new();
    let mut refuse = |what: &str, frames: &[Picture], options: &AnimationOptions, is: fn(&ImageError) -> bool| {
        let saved = save_all(&place.path, frames, options);
        if !saved.as_ref().is_err_and(is) {
            wrong.push(format!("{what} as {}: {saved:?}", options.format));
        }
    };
    for format in AnimationFormat::ALL {
        refuse("no frames", &[], &plain(format), |e| matches!(e, ImageError::FrameCount { frames: 0, .. }));
        let many = small(MAX_FRAMES / 2 + 2);
        let there_and_back = AnimationOptions { back_and_forth: true, ..plain(format) };
        refuse("many frames", &many, &there_and_back, |e| matches!(e, ImageError::FrameCount { frames: 10_002, .. }));
        for (frame_ms, last_frame_ms) in [(19, 100), (100, 0), (60_001, 100), (100, u32::MAX)] {
            let options = AnimationOptions { frame_ms, last_frame_ms, ..plain(format) };
            refuse("times", &small(2), &options, |e| matches!(e, ImageError::FrameTime { .. }));
        }
        let turned = [Picture::filled(2, 3, [0.0; 3]), Picture::filled(3, 2, [0.0; 3])];
        refuse("sizes", &turned, &plain(format), |e| matches!(e, ImageError::FrameSize { frame: 2, .. }));
        let nothing = [Picture::from_rgb(0, 4, Vec::new())];
        refuse("no pixels", &nothing, &plain(format), |e| matches!(e, ImageError::NoPixels { .. }));
        let recipe = Some("x".repeat(MAX_RECIPE_BYTES + 1));
        let options = AnimationOptions { recipe, ..plain(format) };
        refuse("recipe", &small(1), &options, |e| matches!(e, ImageError::RecipeTooLong { .. }));
    }
    let wide = |width| [Picture::filled(width, 1, [0.0; 3])];
    let too_wide = |e: &ImageError| matches!(e, ImageError::FrameTooLarge { .. });
    refuse("wide", &wide(65_536), &plain(AnimationFormat::Gif), too_wide);
    refuse("wide", &wide(16_384), &plain(AnimationFormat::WebP), too_wide);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(fs::read(&place.path).expect("there"), b"old");
    assert_eq!(names(place.folder.path()), ["a"]);
    let below = place.path.join("b.gif");
    let refused = save_all(&below, &small(1), &plain(AnimationFormat::Gif));
    assert!(matches!(refused, Err(ImageError::ParentNotAFolder { .. })), "{refused:?}");
    let refused = save_all(place.folder.path(), &small(1), &plain(AnimationFormat::Gif));
    assert!(matches!(refused, Err(ImageError::OutputIsFolder { .. })), "{refused:?}");
}

#[test]
fn the_widest_frames_are_written() {
    let place = place("a");
    for (format, side) in [(AnimationFormat::Gif, 65_535), (AnimationFormat::WebP, 16_383)] {
        for (width, height) in [(side, 1), (1, side)] {
            let frames = [Picture::filled(width, height, [40.0; 3]), Picture::filled(width, height, [50.0; 3])];
            assert_eq!(save_all(&place.path, &frames, &AnimationOptions::new(format)).expect("writable"), Saved::Whole);
            let found = shown(&place.path, format);
            assert_eq!((found.size_px, found.frames.len()), ([width, height], 2));
            assert!(found.frames[1].as_chunks::<4>().0.iter().all(|&pixel| pixel == [50, 50, 50, 255]));
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_to_be_full() {
    let full = File::options().write(true).open("/dev/full").expect("every Linux has it");
    let path = Path::new("a");
    for format in AnimationFormat::ALL {
        let frame = frame(0, false);
        let options = AnimationOptions::new(format);
        let failed = write_frames(&full, path, 50, &mut |_| Ok(frame.clone()), &options, &mut |_, _| true);
        assert!(matches!(failed, Err(ImageError::DiskFull { .. })), "{format}: {failed:?}");
    }
}

#[test]
fn a_spool_gives_its_frames_back() {
    for with_alpha in [false, true] {
        let place = place("new/a.png");
        let options = AnimationOptions { back_and_forth: true, ..AnimationOptions::new(AnimationFormat::Apng) };
        let mut spool = FrameSpool::new(&place.path, options).expect("writable");
        let empty = spool.save(&mut |_, _| true);
        assert!(matches!(empty, Err(ImageError::FrameCount { frames: 0, .. })), "{empty:?}");
        let frames: Vec<Picture> = (0..3).map(|i| frame(i, with_alpha)).collect();
        for frame in &frames {
            spool.push(frame).expect("writable");
        }
        let refused = spool.push(&Picture::filled(HEIGHT, WIDTH, [0.0; 3]));
        assert!(matches!(refused, Err(ImageError::FrameSize { frame: 4, .. })), "{refused:?}");
        assert_eq!(spool.len(), 3);
        spool.set_recipe(Some(RECIPE.to_owned()));
        assert_eq!(spool.save(&mut |_, _| true).expect("writable"), Saved::Whole);
        let want: Vec<Vec<u8>> = [0, 1, 2, 1].iter().map(|&i: &usize| rgba_of(&frames[i])).collect();
        assert_eq!(shown(&place.path, AnimationFormat::Apng).frames, want);
        assert_eq!(read_recipe(&place.path).expect("readable").as_deref(), Some(RECIPE));
        drop(spool);
        assert_eq!(names(&place.folder.path().join("new")), ["a.png"]);
    }
}

#[test]
fn a_spool_is_refused_where_nothing_can_be_written() {
    let place = place("a.gif");
    fs::write(&place.path, "old").expect("writable");
    let options = AnimationOptions::new(AnimationFormat::Gif);
    for path in [place.folder.path().to_path_buf(), place.path.join("b.gif")] {
        let refused = FrameSpool::new(&path, options.clone()).err();
        let refused = refused.unwrap_or_else(|| panic!("{} is refused", path.display()));
        assert!(
            matches!(refused, ImageError::OutputIsFolder { .. } | ImageError::ParentNotAFolder { .. }),
            "{refused}"
        );
    }
}

#[test]
fn hostile_comments_of_gifs_are_no_recipes() {
    let screen = b"GIF89a\x01\0\x01\0\0\0\0".as_slice();
    let place = place("a.gif");
    let long = [b"\x06oneiri\x09c.recipe\n".as_slice(), &[[255; 256].as_slice(); 5000].concat()].concat();
    for (tail, is_bad) in [
        (b"!".as_slice(), false),
        (b"!\xfe".as_slice(), false),
        (b"!\xfe\x05abc".as_slice(), false),
        (b"!\xfe\x05hello\0;".as_slice(), false),
        (b"!\xff\x0foneiric.recipe\n\0;".as_slice(), false),
        (b"!\xfe\x11oneiric.recipe\n\xff\xff\0;".as_slice(), true),
        (&[b"!\xfe".as_slice(), &long, b"\0;"].concat(), true),
    ] {
        fs::write(&place.path, [screen, tail].concat()).expect("writable");
        let found = read_recipe(&place.path);
        let fine = if is_bad { matches!(found, Err(ImageError::BadRecipe { .. })) } else { matches!(found, Ok(None)) };
        assert!(fine, "{:?}: {found:?}", &tail[..tail.len().min(20)]);
    }
}

//! Wrong arguments and wrong files: one clear sentence on stderr, exit code 2, and no file touched.

use std::io::Cursor;

use super::support::{Folder, Ran, oneiric, read};

/// Asserts the manner of a refusal; returns what is wrong with it.
fn manners(what: &str, ran: &Ran, says: &[&str]) -> Option<String> {
    let told = says.iter().all(|word| ran.stderr.contains(word));
    let one_sentence = ran.stderr.starts_with("oneiric: ") && ran.stderr.lines().count() == 1;
    let fine = ran.code == Some(2) && ran.stdout.is_empty() && one_sentence && told;
    (!fine).then(|| format!("{what}: {ran:?} should exit with 2 and say {says:?} in one line"))
}

#[track_caller]
fn assert_none(failures: Vec<String>) {
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn encoded(picture: &image::DynamicImage, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("can encode");
    bytes.into_inner()
}

/// The header of a PNG of any size, and no pixels.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 2, 0, 0, 0]);
    let crc = crc32fast::hash(&chunk);
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend(chunk);
    bytes.extend(crc.to_be_bytes());
    bytes
}

#[test]
fn bad_photos_are_refused_and_nothing_is_overwritten() {
    let folder = Folder::new();
    let picture = image::DynamicImage::ImageRgb8(image::RgbImage::from_fn(64, 48, |x, y| {
        image::Rgb([(x * 4) as u8, (y * 5) as u8, (x ^ y) as u8])
    }));
    let jpeg = encoded(&picture, image::ImageFormat::Jpeg);
    let png = read(folder.photo("whole.png", 64, 48));
    folder.write("empty.png", b"");
    folder.write("cut.jpg", &jpeg[..jpeg.len() / 2]);
    folder.write("cut.png", &png[..png.len() / 2]);
    folder.write("text.png", b"This is no picture, whatever its name says.");
    folder.write("nothing.png", &png_header(0, 0));
    folder.write("huge.png", &png_header(200_000, 200_000));
    std::fs::create_dir(folder.path("folder")).expect("can make a folder");
    folder.photo("dot.png", 1, 1);
    folder.write("old.png", b"precious");
    let cases: &[(&str, &[&str])] = &[
        ("missing.png", &["missing.png", "no file"]),
        ("folder", &["folder", "no picture"]),
        ("empty.png", &["empty.png", "empty"]),
        ("cut.jpg", &["cut.jpg"]),
        ("cut.png", &["cut.png"]),
        ("text.png", &["text.png", "a text"]),
        ("nothing.png", &["nothing.png"]),
        ("huge.png", &["huge.png"]),
        ("dot.png", &["1×1", "too small"]),
        ("", &["nothing to dream of"]),
    ];
    let before = folder.names();
    let mut failures = Vec::new();
    for &(photo, says) in cases {
        let photo = Some(photo).filter(|photo| !photo.is_empty());
        let ran = folder.dream(photo.into_iter().chain(["--out", "old.png"]));
        failures.extend(manners(photo.unwrap_or("no photo"), &ran, says));
        if read(folder.path("old.png")) != b"precious" {
            failures.push(format!("{photo:?}: the old file was overwritten"));
        }
    }
    for photo in ["missing.png", "folder", "empty.png", "cut.jpg", "text.png", "nothing.png", "huge.png"] {
        failures.extend(manners(&format!("classify {photo}"), &folder.run(["classify", photo]), &[photo]));
    }
    if folder.names() != before {
        failures.push(format!("files came or went: {before:?} became {:?}", folder.names()));
    }
    assert_none(failures);
}

#[test]
fn a_picture_that_needs_too_much_memory_is_refused_with_the_size_that_fits() {
    let folder = Folder::new();
    folder.photo("photo.png", 64, 48);
    let ran = folder.dream(["photo.png", "--size", "20000", "--max-memory", "1G"]);
    assert_none(manners("20000 pixels", &ran, &["20000×15000", "would fit"]).into_iter().collect());
    assert_eq!(folder.names(), ["photo.png"]);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let folder = Folder::new();
    folder.photo("photo.png", 64, 48);
    let cases: &[(&[&str], &[&str])] = &[
        (&["--layer", "blok9"], &["blok9", "block9"]),
        (&["--layer", "block9=nan"], &["NaN"]),
        (&["--layer", "block9=0"], &["weight"]),
        (&["--layer", "block2", "--channels", "100000"], &["100000"]),
        (&["--layer", "block2", "--channels", "9999"], &["9999", "block2"]),
        (&["--layer", "block2", "--neuron", "9999"], &["9999", "block2"]),
        (&["--neuron", "1@2,0.5"], &["neuron"]),
        (&["--class", "macaww"], &["macaww", "macaw"]),
        (&["--class", "1000"], &["1000", "999"]),
        (&["--class", "88", "--layer", "block2"], &["--layer"]),
        (&["--class-score", "logit"], &["--class"]),
        (&["--octaves", "0"], &["--octaves", "at least 1"]),
        (&["--octaves", "-1"], &["--octaves"]),
        (&["--octave-scale", "1"], &["--octave-scale"]),
        (&["--octave-scale", "nan"], &["--octave-scale"]),
        (&["--steps", "-3"], &["--steps"]),
        (&["--steps", "99999999999999999999"], &["--steps"]),
        (&["--step-size", "nan"], &["--step-size"]),
        (&["--step-size", "-1.5"], &["--step-size"]),
        (&["--step-size", "inf"], &["--step-size"]),
        (&["--jitter", "-1"], &["--jitter"]),
        (&["--laplacian", "1000"], &["laplacian"]),
        (&["--l2", "-0.5"], &["--l2"]),
        (&["--tv", "NaN"], &["--tv"]),
        (&["--size", "0"], &["--size"]),
        (&["--preset", "nightmare"], &["nightmare", "vivid"]),
        (&["--objective", "max"], &["max", "mean"]),
        (&["--bits", "12"], &["12"]),
        (&["--bits", "16", "--out", "x.jpg"], &["16", "x.jpg"]),
        (&["--quality", "0", "--out", "x.jpg"], &["--quality"]),
        (&["--quality", "80", "--out", "x.png"], &["--quality"]),
        (&["--threads", "0"], &["--threads"]),
        (&["--max-memory", "lots"], &["--max-memory"]),
        (&["--net", "no-such-net"], &["no-such-net", "efficientnet-lite0"]),
        (&["--net", "no-such-net.safetensors"], &["no-such-net.safetensors"]),
        (&["--net", "photo.png"], &["photo.png"]),
        (&["--recipe", "photo.png"], &["photo.png", "recipe"]),
        (&["--from-noise", "64x48"], &["noise"]),
        (&["--from-noise", "0x48"], &["--from-noise"]),
        (&["--no-such-option"], &["--no-such-option"]),
    ];
    let mut failures = Vec::new();
    for &(options, says) in cases {
        let ran = folder.run(["dream", "photo.png", "--quiet"].iter().chain(options));
        failures.extend(manners(&options.join(" "), &ran, says));
    }
    for args in
        [&["inspect", "no-such-net"][..], &["inspect", "--size", "0x3"], &["classify"], &["bench", "--nets", "vgg99"]]
    {
        let ran = folder.run(args);
        if ran.code != Some(2) || !ran.stderr.starts_with("oneiric: ") || !ran.stdout.is_empty() {
            failures.push(format!("{args:?}: {ran:?}"));
        }
    }
    if folder.names() != ["photo.png"] {
        failures.push(format!("files were left: {:?}", folder.names()));
    }
    assert_none(failures);
}

#[test]
fn outputs_that_cannot_be_written_are_refused_before_the_work() {
    let folder = Folder::new();
    folder.photo("photo.png", 64, 48);
    folder.photo("photo2.png", 64, 48);
    folder.write("file", b"precious");
    std::fs::create_dir(folder.path("folder.png")).expect("can make a folder");
    let cases: &[(&[&str], &[&str])] = &[
        (&["photo.png", "--out", "file/x.png"], &["file"]),
        (&["photo.png", "--out", "dream.xyz"], &["dream.xyz", ".png"]),
        (&["photo.png", "--out", "dream"], &["dream", ".png"]),
        (&["photo.png", "--out", "photo.png"], &["photo.png", "itself"]),
        (&["photo.png", "photo2.png", "--out", "file"], &["file", "folder"]),
    ];
    let before = folder.names();
    let mut failures = Vec::new();
    for &(args, says) in cases {
        failures.extend(manners(&args.join(" "), &folder.dream(args), says));
    }
    if folder.names() != before || read(folder.path("file")) != b"precious" {
        failures.push(format!("files came or went: {before:?} became {:?}", folder.names()));
    }
    assert_none(failures);
}

/// A limit on the size of files stands in for a full disk: writing fails on the way.
#[cfg(unix)]
#[test]
fn a_write_that_fails_on_the_way_leaves_the_old_file_alone() {
    let folder = Folder::new();
    folder.photo("photo.png", 96, 96);
    folder.write("old.png", b"precious");
    let mut command = std::process::Command::new("sh");
    // 512-byte blocks: 4 KiB, and a picture of that size has more. The signal is ignored so that the write fails.
    command.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"]).arg(oneiric().get_program());
    command.current_dir(folder.path(".")).args(["dream", "photo.png", "--out", "old.png", "--quiet"]);
    let ran = Ran::of(command.args(super::support::QUICK));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.lines().count() == 1 && ran.stderr.contains("old.png"), "{ran:?}");
    assert_eq!(
        (read(folder.path("old.png")), folder.names()),
        (b"precious".to_vec(), vec!["old.png".into(), "photo.png".into()])
    );
}

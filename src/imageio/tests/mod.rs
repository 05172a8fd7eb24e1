//! Files of every format and every kind of damage. What other libraries read in the fixtures is made by
//! `tests/refs/imageio.py`.

mod files;
mod hostile;
mod orientation;
mod recipes;
mod round_trips;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Limits, Loaded, Picture, load};

const WIDTH: usize = 21;
const HEIGHT: usize = 14;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures").join(name)
}

/// Every committed picture file, in order of name.
fn fixtures() -> Vec<PathBuf> {
    let entries = fs::read_dir(fixture("")).expect("the fixtures are committed");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension != "json"));
    paths.sort();
    assert!(paths.len() > 20, "{paths:?}");
    paths
}

/// Files outside the repository, for tests that run only where they are.
fn outside_data(relative: &str) -> Option<PathBuf> {
    let root = std::env::var_os("ONEIRIC_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there (set ONEIRIC_TEST_DATA)", path.display());
    None
}

fn read(path: &Path) -> Loaded {
    load(path, &Limits::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// The picture in every lossless fixture, as `formula()` of the script makes it: RGBA.
fn formula() -> Vec<[u8; 4]> {
    let pixel = |x: usize, y: usize| [x * 12, y * 18, (x * y * 7) % 256, 255 - x * 10].map(|value| value as u8);
    (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| pixel(x, y))).collect()
}

/// The formula as a [`Picture`].
fn formula_picture(with_alpha: bool) -> Picture {
    let rgba = formula();
    let rgb = rgba.iter().flat_map(|pixel| [pixel[0], pixel[1], pixel[2]].map(f32::from)).collect();
    let alpha = with_alpha.then(|| rgba.iter().map(|pixel| f32::from(pixel[3])).collect());
    Picture::from_rgb(WIDTH, HEIGHT, rgb).with_alpha(alpha)
}

/// `expected.json`: what other libraries say.
#[derive(Deserialize)]
struct Expected {
    lossy: std::collections::BTreeMap<String, Vec<u8>>,
    zooms: Vec<Zoom>,
    resizes: Vec<Resize>,
    oklab: Vec<OklabPair>,
    display_p3: Vec<P3Pair>,
}

#[derive(Deserialize)]
struct Zoom {
    from_size: [usize; 2],
    to_size: [usize; 2],
    channels: usize,
    pixels: Vec<f32>,
    zoomed: Vec<f32>,
}

#[derive(Deserialize)]
struct Resize {
    filter: String,
    from_size: [usize; 2],
    to_size: [usize; 2],
    pixels: Vec<f32>,
    resized: Vec<f32>,
}

#[derive(Deserialize)]
struct OklabPair {
    rgb: [f32; 3],
    lab: [f32; 3],
}

#[derive(Deserialize)]
struct P3Pair {
    p3: [u8; 3],
    srgb: [f32; 3],
}

fn expected() -> Expected {
    let text = fs::read_to_string(fixture("expected.json")).expect("the fixtures are committed");
    serde_json::from_str(&text).expect("made by the script")
}

/// The largest difference; NaN counts as infinite.
fn worst_difference(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let difference = |(got, want): (&f32, &f32)| if (got - want).is_nan() { f32::INFINITY } else { (got - want).abs() };
    got.iter().zip(want).map(difference).fold(0.0, f32::max)
}

#[test]
fn linear_zoom_agrees_with_scipy() {
    let mut wrong = Vec::new();
    for case in expected().zooms {
        let got = super::zoom_linear(&case.pixels, case.channels, case.from_size, case.to_size);
        let worst = worst_difference(&got, &case.zoomed);
        if worst > 1e-5 {
            wrong.push(format!("{:?} -> {:?} × {}: off by {worst}", case.from_size, case.to_size, case.channels));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn resizing_agrees_with_pillow() {
    let mut wrong = Vec::new();
    for case in expected().resizes {
        let filter = match case.filter.as_str() {
            "lanczos3" => super::Filter::Lanczos3,
            "catmull_rom" => super::Filter::CatmullRom,
            _ => super::Filter::Bilinear,
        };
        let got = super::resize(&case.pixels, 1, case.from_size, case.to_size, filter);
        let worst = worst_difference(&got, &case.resized);
        if worst > 1e-3 {
            wrong.push(format!("{filter:?} {:?} -> {:?}: off by {worst}", case.from_size, case.to_size));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn oklab_agrees_with_its_author() {
    for OklabPair { rgb, lab } in expected().oklab {
        let got = super::color::Oklab::from_srgb(rgb);
        let worst = worst_difference(&[got.lightness, got.a, got.b], &lab);
        assert!(worst < 1e-4, "{rgb:?}: {got:?}, not {lab:?}");
        let back = got.to_srgb();
        assert!(worst_difference(&back, &rgb) < 0.1, "{rgb:?}: {back:?}");
    }
}

//! The first thing that a newcomer does, at a small size: dream a sample photo, with the settings of the program.

use super::support::{Folder, asset, pixels, read};

/// By how much the objective must rise over the steps of the last octave, at least.
const OBJECTIVE_RISES_BY: f64 = 1.5;

#[test]
fn the_first_dream_changes_the_picture_and_can_be_repeated() {
    let folder = Folder::new();
    let photo = asset("china.jpg");
    let args = ["--size", "160", "--octaves", "2", "--steps", "20", "--out", "dream.png", "--json"];
    let ran = folder.run(["dream".as_ref(), photo.as_os_str()].into_iter().chain(args.map(AsRef::as_ref)));
    let [line] = ran.assert_done().objects().try_into().expect("one object");

    let dreamt = pixels(folder.path("dream.png"));
    assert_eq!((dreamt.width(), &line["width"]), (160, &160.into()));
    let plain = image::open(&photo).expect("the sample photo is there").to_rgb8();
    let plain = image::imageops::resize(&plain, 160, dreamt.height(), image::imageops::FilterType::Lanczos3);
    let differences = dreamt.as_raw().iter().zip(plain.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b)));
    let mean_difference = differences.sum::<f64>() / dreamt.as_raw().len() as f64;
    assert!(mean_difference > 4.0, "the picture hardly changed: {mean_difference} of 255 on average");

    let objective = |key: &str| line[key].as_f64().unwrap_or_else(|| panic!("{key} is no number: {line}"));
    let rise = objective("objective_end") / objective("objective_start");
    assert!(rise >= OBJECTIVE_RISES_BY, "the objective rose only by a factor of {rise}: {line}");

    folder.run(["dream", "--recipe", "dream.png", "--out", "again.png", "--quiet"]).assert_done();
    assert!(read(folder.path("again.png")) == read(folder.path("dream.png")), "the recipe does not repeat the dream");
}

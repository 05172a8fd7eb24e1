//! What every command does when all is well.

use std::io::Read as _;
use std::process::Stdio;

use super::support::{Folder, QUICK, Ran, asset, oneiric, pixels, read};

#[test]
fn help_and_version_go_to_stdout() {
    let folder = Folder::new();
    for args in [&["--help"][..], &["gui", "--help"], &["dream", "--help"], &["inspect", "-h"], &["--version"]] {
        let ran = folder.run(args);
        ran.assert_done();
        assert!(ran.stderr.is_empty() && ran.stdout.len() > 10, "{args:?}: {ran:?}");
    }
    assert_eq!(folder.run(["--version"]).stdout.trim(), concat!("oneiric ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_verbose_version_tells_what_is_in_use() {
    let folder = Folder::new();
    let ran = folder.run(["--version", "--verbose"]);
    let text = &ran.assert_done().stdout;
    for (line, start) in text.lines().zip(["oneiric ", "instruction set: ", "threads: ", "BLAS: ", "build: "]) {
        assert!(line.starts_with(start), "{text}");
    }
    let ran = Ran::of(oneiric().env("ONEIRIC_SIMD", "portable").args(["--version", "--verbose"]));
    assert!(ran.assert_done().stdout.contains("instruction set: portable"), "{ran:?}");
}

#[test]
fn an_instruction_set_that_is_not_there_is_told() {
    let ran = Ran::of(oneiric().env("ONEIRIC_SIMD", "sse9").args(["nets", "list"]));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
    assert!(ran.stderr.contains("ONEIRIC_SIMD is `sse9`") && ran.stderr.lines().count() == 1, "{ran:?}");
}

#[test]
fn a_dream_is_saved_under_a_fresh_name_and_told_on_stdout() {
    let folder = Folder::new();
    folder.photo("photo.png", 48, 32);
    for expected in ["photo-dream.png", "photo-dream-2.png"] {
        let ran = folder.dream(["photo.png"]);
        assert!(ran.assert_done().stdout.contains(&format!("photo.png -> {expected} (48×32, 2 steps in ")), "{ran:?}");
        assert_ne!(pixels(folder.path(expected)), pixels(folder.path("photo.png")), "nothing was dreamt");
    }
    assert_eq!(folder.names(), ["photo-dream-2.png", "photo-dream.png", "photo.png"]);
}

#[test]
fn a_dream_as_json_is_one_object() {
    let folder = Folder::new();
    folder.photo("photo.png", 48, 32);
    // Without jitter the objective rises from step to step.
    let steady = ["--octaves", "1", "--steps", "8", "--jitter", "0"];
    let told = ["dream", "photo.png", "--json", "--quiet", "--out", "made.jpg", "--seed", "7"];
    let ran = folder.run(told.into_iter().chain(steady));
    assert!(ran.assert_done().stderr.is_empty(), "quiet: {ran:?}");
    let [line] = ran.objects().try_into().expect("one object");
    assert_eq!(
        (&line["file"], &line["out"], &line["width"], &line["height"], &line["steps"], &line["seed"]),
        (&"photo.png".into(), &"made.jpg".into(), &48.into(), &32.into(), &8.into(), &7.into()),
        "{line}"
    );
    let number = |key: &str| line[key].as_f64().unwrap_or_else(|| panic!("{key} is no number: {line}"));
    assert!(number("seconds") >= 0.0);
    assert!(number("objective_end") > number("objective_start"), "{line}");
    assert_eq!(pixels(folder.path("made.jpg")).dimensions(), (48, 32));
}

#[test]
fn progress_goes_to_stderr_line_by_line() {
    let folder = Folder::new();
    folder.photo("photo.png", 64, 64);
    let ran = folder.run(["dream", "photo.png", "--octaves", "2", "--steps", "2", "--layer", "block2"]);
    let lines: Vec<&str> = ran.assert_done().stderr.lines().collect();
    assert!(lines.last().is_some_and(|line| line.starts_with("octave 2/2: 2 of 2 steps")), "{ran:?}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let folder = Folder::new();
    folder.photo("photo.png", 96, 64);
    for threads in ["1", "2"] {
        let out = format!("env{threads}.png");
        let mut command = oneiric();
        command.current_dir(folder.path(".")).env("RAYON_NUM_THREADS", threads);
        Ran::of(command.args(["dream", "photo.png", "--out", &out]).args(QUICK)).assert_done();
        let out = format!("option{threads}.png");
        folder.dream(["photo.png", "--out", &out, "--threads", threads]).assert_done();
    }
    let first = read(folder.path("env1.png"));
    for other in ["env2.png", "option1.png", "option2.png"] {
        assert!(read(folder.path(other)) == first, "{other} differs from env1.png");
    }
    folder.dream(["photo.png", "--out", "seed.png", "--seed", "1"]).assert_done();
    assert_ne!(pixels(folder.path("seed.png")), pixels(folder.path("env1.png")), "the seed changes nothing");
}

#[test]
fn a_recipe_repeats_a_dream_to_the_byte() {
    let folder = Folder::new();
    folder.photo("photo.png", 64, 48);
    for (i, name) in ["a.png", "a.jpg", "a.webp", "a.tif"].into_iter().enumerate() {
        let seed = i.to_string();
        folder.dream(["photo.png", "--out", name, "--seed", &seed, "--l2", "0.1", "--channels", "1,3-5"]).assert_done();
        let again = name.replace('a', "b");
        folder.run(["dream", "--recipe", name, "--out", &again]).assert_done();
        assert!(read(folder.path(&again)) == read(folder.path(name)), "{name} is not repeated by its recipe");
    }
    folder.run(["dream", "--recipe", "a.png", "--out", "c.png", "--steps", "3"]).assert_done();
    assert_ne!(pixels(folder.path("c.png")), pixels(folder.path("a.png")), "an option on top changes nothing");
}

#[test]
fn a_recipe_with_changes_repeats_them_unless_options_make_it_another_dream() {
    let folder = Folder::new();
    folder.photo("photo.png", 64, 48);
    folder.dream(["photo.png", "--out", "plain.png"]).assert_done();
    let plain = "program = 'by hand'\n[source]\nfile = 'photo.png'\ncrc32 = ''\n\
        [dream]\noctaves = 1\nsteps = 2\nlayers = [{ name = 'block2' }]\n";
    let steered = format!("{plain}[[changes]]\nafter = 1\ndream = {{ layers = [{{ name = 'block1' }}], steps = 3 }}\n");
    folder.write("steered.toml", steered.as_bytes());
    folder.run(["dream", "--recipe", "steered.toml", "--out", "a.png"]).assert_done();
    assert_ne!(pixels(folder.path("a.png")), pixels(folder.path("plain.png")), "the change changes nothing");
    let again = folder.run(["dream", "--recipe", "a.png", "--out", "b.png", "--json"]);
    let [line] = again.assert_done().objects().try_into().expect("one object");
    assert_eq!(line["steps"], 3);
    assert!(read(folder.path("b.png")) == read(folder.path("a.png")), "the change is not repeated");

    let other = folder.run(["dream", "--recipe", "a.png", "--out", "c.png", "--seed", "1"]);
    assert!(other.assert_done().stderr.contains("is left out"), "{other:?}");
    assert_ne!(pixels(folder.path("c.png")), pixels(folder.path("a.png")), "the change is still made");
}

#[test]
fn noise_and_classes_are_dreamt() {
    let folder = Folder::new();
    let args = ["dream", "--from-noise", "64x48", "--class", "88", "--octaves", "1", "--steps", "1", "--json"];
    let ran = folder.run(args);
    let [line] = ran.assert_done().objects().try_into().expect("one object");
    assert_eq!((&line["file"], &line["out"]), (&serde_json::Value::Null, &"noise-dream.png".into()));
    assert_eq!(pixels(folder.path("noise-dream.png")).dimensions(), (64, 48));
    folder.run(["dream", "--recipe", "noise-dream.png", "--out", "again.png"]).assert_done();
    assert!(read(folder.path("again.png")) == read(folder.path("noise-dream.png")), "noise is not repeated");
}

#[test]
fn a_folder_is_dreamt_into_a_folder_and_a_bad_photo_stops_no_other() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("in")).expect("can make a folder");
    folder.photo("in/a.png", 40, 32);
    folder.write("in/b.png", b"no picture at all");
    folder.photo("in/c.jpg", 32, 40);
    let ran = folder.dream(["in", "--out", "made", "--json", "--quiet"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.lines().count() == 1 && ran.stderr.contains("b.png"), "{ran:?}");
    let outs: Vec<String> = ran.objects().iter().map(|line| line["out"].to_string()).collect();
    assert_eq!(outs, ["\"made/a-dream.png\"", "\"made/c-dream.png\""]);
    assert_eq!(pixels(folder.path("made/c-dream.png")).dimensions(), (32, 40));
}

#[test]
fn pictures_on_the_way_are_saved() {
    let folder = Folder::new();
    folder.photo("photo.png", 40, 32);
    let args = ["dream", "photo.png", "--out", "d.png", "--octaves", "1", "--steps", "3", "--save-every", "1"];
    folder.run(args.iter().chain(&["--layer", "block2"])).assert_done();
    assert_eq!(folder.names(), ["d-step0001.png", "d-step0002.png", "d.png", "photo.png"]);
    // A picture on the way repeats itself, not the whole dream.
    folder.run(["dream", "--recipe", "d-step0002.png", "--out", "again.png"]).assert_done();
    assert!(read(folder.path("again.png")) == read(folder.path("d-step0002.png")), "the step is not repeated");
    assert_ne!(pixels(folder.path("d-step0001.png")), pixels(folder.path("d.png")));
}

#[test]
fn presets_can_be_listed() {
    let folder = Folder::new();
    let ran = folder.run(["dream", "--list-presets", "--json"]);
    let names: Vec<String> = ran.assert_done().objects().iter().map(|line| line["preset"].to_string()).collect();
    assert_eq!(names, ["\"vivid\"", "\"google-2015\""]);
    assert!(folder.run(["dream", "--list-presets"]).assert_done().stdout.contains("octave_scale = 1.4"));
}

#[test]
fn photos_are_classified() {
    let folder = Folder::new();
    let cat = asset("chelsea.png");
    let bad = folder.write("bad.jpg", b"");
    let ran = folder.run(["classify".as_ref(), cat.as_os_str(), bad.as_os_str(), cat.as_os_str(), "--json".as_ref()]);
    assert_eq!(ran.code, Some(2), "one photo is bad: {ran:?}");
    assert!(ran.stderr.lines().count() == 1 && ran.stderr.contains("bad.jpg"), "{ran:?}");
    let lines = ran.objects();
    assert_eq!((lines.len(), &lines[0]), (2, &lines[1]));
    let top = lines[0]["top"].as_array().expect("a list of classes");
    assert_eq!((&lines[0]["file"], top.len()), (&cat.to_string_lossy().as_ref().into(), 5));
    assert!(["tabby", "tiger cat", "Egyptian cat"].contains(&top[0]["label"].as_str().unwrap_or("")), "{}", lines[0]);
    let probabilities: Vec<f64> = top.iter().filter_map(|class| class["probability"].as_f64()).collect();
    assert!(probabilities.len() == 5 && probabilities.is_sorted_by(|a, b| a >= b), "{probabilities:?}");
    assert!(probabilities.iter().sum::<f64>() <= 1.0 + 1e-9 && probabilities[0] > 0.1, "{probabilities:?}");

    let ran = folder.run(["classify".as_ref(), cat.as_os_str(), "--top".as_ref(), "2".as_ref()]);
    let lines: Vec<&str> = ran.assert_done().stdout.lines().collect();
    assert!(lines.len() == 3 && lines[1].contains(" %  █"), "{ran:?}");
}

#[test]
fn the_layers_of_a_net_are_shown() {
    let folder = Folder::new();
    let ran = folder.run(["inspect", "--json"]);
    let lines = ran.assert_done().objects();
    let (totals, layers) = lines.split_last().expect("there are layers");
    let sum = |key: &str| layers.iter().map(|layer| layer[key].as_u64().unwrap_or(0)).sum::<u64>();
    assert_eq!(totals["totals"]["params"], sum("params"));
    assert_eq!(totals["totals"]["macs"], sum("macs"));
    // EfficientNet-Lite0's model card: 4.7 million parameters, 407 million multiply-adds at 224 pixels. The card counts
    // multiply-adds of everything; the convolutions and the classifier alone are a little less.
    assert!((4_500_000..4_800_000).contains(&sum("params")), "{}", sum("params"));
    assert!((370_000_000..410_000_000).contains(&sum("macs")), "{}", sum("macs"));
    let last = &layers[layers.len() - 1];
    assert_eq!((&last["output"], &last["receptive_field"]), (&serde_json::json!([1000]), &serde_json::Value::Null));
    let first = layers.iter().find(|layer| layer["kind"] == "Conv2d").expect("there is a convolution");
    assert_eq!(first["output"], serde_json::json!([32, 112, 112]));
    assert_eq!(first["receptive_field"], serde_json::json!([3.0, 3.0]));

    assert_eq!((&first["inputs"], &first["bytes"]), (&serde_json::json!(["input"]), &(4 * 32 * 112 * 112).into()));
    assert_eq!(totals["totals"]["native_input"], serde_json::json!([3, 224, 224]));
    assert_eq!(totals["totals"]["preprocess"]["order"], "rgb");
    assert!(totals["totals"]["licence"].as_str().is_some_and(|licence| licence.contains("Apache")), "{totals}");
    let memory = totals["dream_memory"].as_array().expect("a list");
    assert_eq!((memory.len(), &memory[0]["role"], &memory[1]["layer"]), (2, &"default".into(), &"logits".into()));
    assert!(memory.iter().all(|of| of["session_bytes"].as_u64() > Some(1_000_000)), "{totals}");

    let table = folder.run(["inspect", "efficientnet-lite0", "--size", "448x224"]);
    for told in ["32×112×224", "made for 224×224 pixels: red, green, blue", "working memory", "licence: Apache-2.0"]
    {
        assert!(table.assert_done().stdout.contains(told), "{told}: {table:?}");
    }
    folder.run(["inspect", "--json", "--out", "layers.json"]).assert_done();
    assert_eq!(read(folder.path("layers.json")), ran.stdout.into_bytes());
}

#[test]
fn a_reader_that_goes_ends_the_program_quietly() {
    for args in [&["inspect"][..], &["inspect", "--json"], &["dream", "--list-presets"], &["dream", "--help"]] {
        let mut child = oneiric()
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("UTF-8");
        let status = child.wait().expect("it ends");
        assert!(status.code() == Some(0) && stderr.is_empty(), "{args:?}: {status} {stderr}");
    }
}

/// The frames of an animation, and whether it loops.
fn gif_frames(path: impl AsRef<std::path::Path>) -> Vec<image::RgbImage> {
    use image::AnimationDecoder as _;
    let decoder = image::codecs::gif::GifDecoder::new(std::io::Cursor::new(read(path))).expect("a GIF");
    let frames = decoder.into_frames().collect_frames().expect("whole frames");
    frames.into_iter().map(|frame| image::DynamicImage::from(frame.into_buffer()).to_rgb8()).collect()
}

/// How far two pictures are apart on average, in steps of 8 bits.
fn mean_difference(a: &image::RgbImage, b: &image::RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a.iter().zip(b.iter()).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
    sum as f64 / a.len() as f64
}

#[test]
fn the_steps_are_saved_as_an_animation() {
    let folder = Folder::new();
    folder.photo("photo.png", 40, 32);
    let ways = ["--save-every", "2", "--animation", "steps.gif", "--json"];
    let args = ["dream", "photo.png", "--out", "d.png", "--octaves", "1", "--steps", "3", "--layer", "block2"];
    let ran = folder.run(args.iter().chain(&ways));
    assert_eq!(ran.assert_done().objects()[0]["animation"], "steps.gif");
    // Each step is a frame, but only what was asked for is saved as a picture.
    assert_eq!(folder.names(), ["d-step0002.png", "d.png", "photo.png", "steps.gif"]);
    let frames = gif_frames(folder.path("steps.gif"));
    assert_eq!(frames.len(), 4);
    for (i, name) in [(0, "photo.png"), (2, "d-step0002.png"), (3, "d.png")] {
        let off = mean_difference(&frames[i], &pixels(folder.path(name)));
        assert!(off < 6.0, "frame {i} is not {name}: off by {off}");
    }
    // The animation and the picture carry the same recipe, and it makes the picture again.
    folder.run(["dream", "--recipe", "steps.gif", "--out", "again.png"]).assert_done();
    assert!(read(folder.path("again.png")) == read(folder.path("d.png")), "another dream");
}

#[test]
fn animations_that_cannot_be_are_refused_before_the_work() {
    let folder = Folder::new();
    folder.photo("photo.png", 40, 32);
    folder.photo("other.png", 40, 32);
    for (args, problem) in [
        (vec!["photo.png", "--animation", "a.mp4"], ".gif, .webp, .png or .apng"),
        (vec!["photo.png", "other.png", "--animation", "a.gif"], "several photos"),
        (vec!["photo.png", "--animation", "photo.png"], "the photo itself"),
        (vec!["photo.png", "--out", "a.webp", "--animation", "./a.webp"], "where the picture goes"),
        (vec!["photo.png", "--animation", "photo.png/a.gif"], "is a file, not a folder"),
    ] {
        let ran = folder.dream(&args);
        assert!(ran.code == Some(2) && ran.stderr.contains(problem), "{args:?}: {ran:?}");
        assert_eq!(folder.names(), ["other.png", "photo.png"], "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_screen_the_window_says_what_to_do_instead() {
    let folder = Folder::new();
    for words in [&[][..], &["gui"], &["gui", "photo.png"]] {
        let mut command = oneiric();
        command.args(words).env("ONEIRIC_HOME", folder.path("home"));
        for screen in ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"] {
            command.env_remove(screen);
        }
        let ran = Ran::of(&mut command);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
        assert!(ran.stderr.starts_with("oneiric: cannot open a window"), "{ran:?}");
        assert!(ran.stderr.contains("oneiric --help") && ran.stderr.lines().count() == 1, "{ran:?}");
        assert!(!ran.stderr.contains(".rs"), "{ran:?}");
    }
}

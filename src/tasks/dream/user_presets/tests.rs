use super::super::spec::{ClassGoal, LayerWeight, Neuron, SizePx};
use super::*;
use crate::optvis::transform::Jitter;

struct Shelf {
    folder: tempfile::TempDir,
    shelf: PresetShelf,
}

impl Shelf {
    fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let shelf = PresetShelf::open(&Home::at(folder.path()));
        Self { folder, shelf }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join("config").join("presets").join(file)
    }

    fn put(&self, file: &str, bytes: impl AsRef<[u8]>) {
        atomic::write(&self.path(file), bytes.as_ref()).expect("writable");
    }

    fn files(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("")) else { return Vec::new() };
        let mut files: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
        files.sort();
        files
    }

    fn names(&self) -> Vec<String> {
        let (presets, complaints) = self.shelf.list();
        assert_eq!(complaints, Vec::<String>::new());
        presets.into_iter().map(|preset| preset.name).collect()
    }
}

fn strokes() -> DreamSpec {
    let layers = vec![LayerWeight { name: "block4".into(), weight: 0.5 }];
    DreamSpec { layers, steps: 7, seed: 9, keep_colors: true, ..DreamSpec::preset(Preset::Google2015) }
}

fn gray(width: usize, height: usize) -> Picture {
    Picture::filled(width, height, [90.0; 3])
}

#[test]
fn what_is_saved_comes_back_without_what_belongs_to_one_picture() {
    let shelf = Shelf::empty();
    assert_eq!(shelf.shelf.list(), (Vec::new(), Vec::new()), "there is no folder yet");
    let noise = Some(SizePx { width: 9, height: 9 });
    let spec = DreamSpec { size: Some(77), from_noise: noise, save_every: 3, max_memory: Some(1), ..strokes() };
    assert_eq!(shelf.shelf.save("  My strokes ", &spec, Some(&gray(400, 300))).expect("kept"), "My strokes");
    let (presets, complaints) = shelf.shelf.list();
    assert_eq!(complaints, Vec::<String>::new());
    let [preset] = &presets[..] else { panic!("{presets:?}") };
    assert_eq!((preset.name.as_str(), &preset.spec), ("My strokes", &strokes()));
    assert_eq!(preset.picture.as_ref().map(Picture::size), Some([96, 128]));
    assert_eq!(shelf.files(), ["My strokes.png", "My strokes.toml"]);
    let text = fs::read_to_string(shelf.path("My strokes.toml")).expect("there");
    for (setting, is_written) in [("preset", true), ("layers", true), ("octaves", false), ("size", false)] {
        assert_eq!(
            text.contains(&format!("{setting} =")) || text.contains(&format!("[{setting}")),
            is_written,
            "{text}"
        );
    }
    // Applied, they leave the size and the start alone.
    assert_eq!(spec.with_look(&preset.spec), spec);
}

#[test]
fn every_kind_of_setting_comes_back() {
    let shelf = Shelf::empty();
    let vivid = DreamSpec::preset(Preset::Vivid);
    let specs = [
        vivid.clone(),
        DreamSpec { class: Some(ClassGoal { class: "coral reef".into(), score: Default::default() }), ..vivid.clone() },
        DreamSpec { neuron: Some(Neuron { channel: 3, x: 0.1, y: 0.9 }), octave_scale: 1.7, ..strokes() },
        DreamSpec { channels: vec![1, 2, 30], jitter: Jitter::Random(0), l2: 0.25, tv: 1e-3, ..vivid },
    ];
    for (number, spec) in specs.iter().enumerate() {
        shelf.shelf.save(&format!("{number}"), spec, None).expect("kept");
    }
    let (presets, complaints) = shelf.shelf.list();
    assert_eq!(complaints, Vec::<String>::new());
    assert_eq!(presets.into_iter().map(|preset| preset.spec).collect::<Vec<_>>(), specs);
}

#[test]
fn hostile_names_stay_in_the_folder() {
    let shelf = Shelf::empty();
    let names = ["../../x", "..", "a/b\\c", "NUL", "dot.", "🌊 夢", "a\nb", "%2E%2E", "C:", "~", "x.toml"];
    for name in names {
        shelf.shelf.save(name, &strokes(), Some(&gray(4, 4))).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let mut expected = names.map(String::from);
    expected.sort();
    let mut found = shelf.names();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(shelf.files().len(), 2 * names.len());
    let top: Vec<_> = fs::read_dir(shelf.folder.path()).expect("readable").collect();
    assert_eq!(top.len(), 1, "{top:?}");
    for name in names {
        shelf.shelf.delete(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert_eq!(shelf.files(), Vec::<String>::new());
}

#[test]
fn names_that_cannot_be_are_refused() {
    let shelf = Shelf::empty();
    let (long, wide) = ("x".repeat(MAX_NAME_CHARS + 1), "🌊".repeat(MAX_NAME_CHARS));
    for (name, told) in [("", "needs a name"), (" \t", "needs a name"), (&long, "64"), (&wide, "shorter")] {
        let error = shelf.shelf.save(name, &strokes(), None).expect_err(name).to_string();
        assert!(error.contains(told), "{name}: {error}");
    }
    for name in ["vivid", "Vivid", " google-2015 "] {
        let refused = shelf.shelf.save(name, &strokes(), None);
        assert!(matches!(refused, Err(PresetError::Bundled { .. })), "{name}: {refused:?}");
    }
    shelf.shelf.save(&"夢".repeat(MAX_NAME_CHARS), &strokes(), None).expect("64 characters are allowed");
    let nonsense = DreamSpec { octaves: 0, ..strokes() };
    assert!(matches!(shelf.shelf.save("x", &nonsense, None), Err(PresetError::Settings(_))));
    assert_eq!(shelf.files().len(), 1);
}

#[test]
fn names_that_differ_in_capitals_do_not_meet() {
    let shelf = Shelf::empty();
    shelf.shelf.save("Waves", &strokes(), Some(&gray(4, 4))).expect("kept");
    shelf.shelf.save("Straße", &strokes(), None).expect("kept");
    for (name, other) in [("waves", "Waves"), ("STRASSE", "Straße")] {
        assert_eq!(shelf.shelf.find(name).expect("readable").as_deref(), Some(other));
        let refused = shelf.shelf.save(name, &strokes(), None);
        assert!(matches!(&refused, Err(PresetError::Taken { taken, .. }) if taken == other), "{refused:?}");
        assert!(matches!(shelf.shelf.delete(name), Err(PresetError::Unknown { .. })));
        assert!(matches!(shelf.shelf.rename(name, "x"), Err(PresetError::Unknown { .. })));
    }
    // The very same name replaces, with its picture.
    shelf.shelf.save("Waves", &DreamSpec { steps: 1, ..strokes() }, None).expect("kept");
    assert_eq!(shelf.files(), ["Straße.toml", "Waves.toml"]);
    let (presets, _) = shelf.shelf.list();
    assert_eq!((presets[1].spec.steps, &presets[1].picture), (1, &None));
}

#[test]
fn presets_are_renamed_with_their_pictures() {
    let shelf = Shelf::empty();
    shelf.shelf.save("a", &strokes(), Some(&gray(4, 4))).expect("kept");
    shelf.shelf.save("b", &strokes(), None).expect("kept");
    shelf.put("c.png", "left over from a preset that is gone");
    assert!(matches!(shelf.shelf.rename("a", "B"), Err(PresetError::Taken { .. })));
    assert!(matches!(shelf.shelf.rename("a", "vivid"), Err(PresetError::Bundled { .. })));
    assert!(matches!(shelf.shelf.rename("gone", "x"), Err(PresetError::Unknown { .. })));
    assert_eq!(shelf.shelf.rename("b", "c").expect("renamed"), "c");
    assert_eq!(shelf.files(), ["a.png", "a.toml", "c.toml"], "the picture was another preset's");
    assert_eq!(shelf.shelf.rename("a", " A ").expect("capitals may change"), "A");
    assert_eq!(shelf.shelf.rename("A", "A").expect("nothing to do"), "A");
    assert_eq!(shelf.names(), ["A", "c"]);
    let (presets, _) = shelf.shelf.list();
    assert_eq!(presets[0].picture, Some(gray(4, 4)));
}

#[test]
fn a_file_that_cannot_be_read_costs_only_itself() {
    let shelf = Shelf::empty();
    shelf.shelf.save("good", &strokes(), None).expect("kept");
    // Others' files are not looked at.
    for file in ["notes.txt", ".hidden.toml", "._good.toml", "good.toml~", ".oneiric-x.part", "lonely.png"] {
        shelf.put(file, "x");
    }
    assert_eq!(shelf.names(), ["good"]);
    shelf.put("not toml.toml", "= what");
    shelf.put("not text.toml", [0xff, 0xfe]);
    shelf.put("not a setting.toml", "stepps = 3");
    shelf.put("not sensible.toml", "octaves = 0");
    shelf.put("vivid.toml", "steps = 3");
    shelf.put("%41.toml", "steps = 3");
    shelf.put("long.toml", "#".repeat(MAX_SETTINGS_BYTES as usize + 1));
    shelf.put(&format!("{}.toml", "x".repeat(MAX_NAME_CHARS + 1)), "");
    shelf.put("folder.toml/x", "");
    shelf.put("no picture.toml", "steps = 3");
    shelf.put("no picture.png", "PNG?");
    let (presets, complaints) = shelf.shelf.list();
    let names: Vec<_> = presets.iter().map(|preset| preset.name.as_str()).collect();
    assert_eq!(names, ["good", "no picture"]);
    assert_eq!(presets[1].spec, DreamSpec { steps: 3, ..DreamSpec::default() });
    let told =
        ["not toml", "not text", "stepps", "octaves", "vivid", "%41", "long.toml", "xxxx", "folder", "no picture"];
    assert_eq!(complaints.len(), told.len(), "{complaints:#?}");
    for word in told {
        assert!(complaints.iter().any(|complaint| complaint.contains(word)), "{word}: {complaints:#?}");
    }
}

#[test]
fn a_picture_that_someone_else_put_there_is_made_small() {
    let shelf = Shelf::empty();
    shelf.shelf.save("tall", &strokes(), Some(&gray(1, 1000))).expect("kept");
    let (presets, _) = shelf.shelf.list();
    assert_eq!(presets[0].picture.as_ref().map(Picture::size), Some([128, 1]));
    imageio::save(&shelf.path("tall.png"), &gray(300, 300), &SaveOptions::new(OutputFormat::Png)).expect("written");
    let (presets, _) = shelf.shelf.list();
    assert_eq!(presets[0].picture.as_ref().map(Picture::size), Some([128, 128]));
}

//! Ctrl-C: the step in work is finished, what is there is saved, and the exit code says so.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::support::{Folder, Ran, oneiric, pixels, read};

/// Nothing here takes this long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

fn signal(child: &Child, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status();
    assert!(status.expect("sh is there").success(), "the program has ended too early");
}

fn wait_for(path: &Path) {
    let started = Instant::now();
    while !path.exists() {
        assert!(started.elapsed() < PATIENCE, "{} never came", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts a dream without end, and returns once it has begun to dream.
fn endless_dream(folder: &Folder, photos: &[&str]) -> Child {
    let steps = ["--octaves", "1", "--steps", "1000000", "--layer", "block2", "--save-every", "2"];
    let mut command = oneiric();
    command.current_dir(folder.path(".")).arg("dream").args(photos).args(["--out", "made/", "--json"]).args(steps);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary can be started");
    wait_for(&folder.path("made/photo-dream-step0002.png"));
    child
}

fn end_of(child: Child) -> Ran {
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what the program says is UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn an_interrupted_dream_is_saved_and_can_be_repeated() {
    for name in ["INT", "TERM"] {
        let folder = Folder::new();
        folder.photo("photo.png", 40, 32);
        let child = endless_dream(&folder, &["photo.png"]);
        signal(&child, name);
        let ran = end_of(child);
        assert_eq!(ran.code, Some(130), "{ran:?}");
        assert!(ran.stderr.contains("finishing this step"), "{ran:?}");
        let [estimate, line] = ran.objects().try_into().expect("what a long dream will take, and what it is");
        assert!(estimate["estimated_seconds"].as_f64() > Some(1.0), "{estimate}");
        assert_eq!(line["stopped"], true, "{line}");
        let steps = line["steps"].as_u64().expect("a number of steps");
        assert!((2..1_000_000).contains(&steps), "{line}");
        assert_eq!(pixels(folder.path("made/photo-dream.png")).dimensions(), (40, 32));

        folder.run(["dream", "--recipe", "made/photo-dream.png", "--out", "again.png"]).assert_done();
        assert!(read(folder.path("again.png")) == read(folder.path("made/photo-dream.png")), "after {steps} steps");
    }
}

#[test]
fn an_interrupt_ends_the_whole_batch() {
    let folder = Folder::new();
    folder.photo("photo.png", 40, 32);
    folder.photo("second.png", 40, 32);
    let child = endless_dream(&folder, &["photo.png", "second.png"]);
    signal(&child, "INT");
    let ran = end_of(child);
    let dreamt = ran.objects().iter().filter(|object| object.get("out").is_some()).count();
    assert_eq!((ran.code, dreamt), (Some(130), 1), "{ran:?}");
    assert!(!folder.path("made/second-dream.png").exists());
}

#[test]
fn a_killed_dream_leaves_no_half_picture() {
    let folder = Folder::new();
    folder.photo("photo.png", 40, 32);
    let mut child = endless_dream(&folder, &["photo.png"]);
    child.kill().expect("it runs");
    end_of(child);
    assert!(!folder.path("made/photo-dream.png").exists(), "the dream was not done");
    for entry in std::fs::read_dir(folder.path("made")).expect("the folder is there") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "png") {
            assert_eq!(pixels(&path).dimensions(), (40, 32), "{}", path.display());
        }
    }
}

#[test]
fn an_interrupted_dream_has_its_animation() {
    let folder = Folder::new();
    folder.photo("photo.png", 40, 32);
    let child = endless_dream(&folder, &["photo.png", "--animation", "a.png"]);
    signal(&child, "INT");
    let ran = end_of(child);
    assert_eq!(ran.code, Some(130), "{ran:?}");
    let reader = png::Decoder::new(std::io::Cursor::new(read(folder.path("a.png")))).read_info().expect("a PNG");
    let frames = reader.info().animation_control().expect("an animation").num_frames;
    assert!(frames >= 2, "the photo and what was dreamt: {frames}");
    let names: Vec<String> = folder.names().into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(names.is_empty(), "{names:?}");
}

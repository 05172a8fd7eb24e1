//! Running the binary, and small pictures to run it on.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Options of a dream that is over in a moment.
pub const QUICK: [&str; 6] = ["--octaves", "1", "--steps", "2", "--layer", "block2"];

/// The binary under test: `ONEIRIC_BIN`, or the one that was built with the tests.
pub fn oneiric() -> Command {
    let binary = std::env::var_os("ONEIRIC_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_oneiric").into());
    let mut command = Command::new(binary);
    command.stdin(Stdio::null());
    command
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the binary can be started");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what the program says is UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The objects on stdout, which must have nothing else.
    pub fn objects(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    #[track_caller]
    pub fn assert_done(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

/// A folder for one test, with what is in it.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder for the test"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("can write into the test's folder");
        path
    }

    /// A photo, more or less: soft colours, an edge, a disc.
    pub fn photo(&self, name: &str, width: u32, height: u32) -> PathBuf {
        let path = self.path(name);
        image::RgbImage::from_fn(width, height, |x, y| {
            let (fx, fy) = (x as f32 / width as f32, y as f32 / height as f32);
            let disc = (fx - 0.6).powi(2) + (fy - 0.4).powi(2) < 0.06;
            let shade = if disc { 230.0 } else { 60.0 + 100.0 * fy };
            let stripe = if x / 8 % 2 == 0 { 12.0 } else { -12.0 };
            image::Rgb([shade, 40.0 + 150.0 * fx, 200.0 - shade / 2.0].map(|value| (value + stripe) as u8))
        })
        .save(&path)
        .expect("can write a picture");
        path
    }

    /// The names in the folder, hidden ones too, in order.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("can list the test's folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Runs the binary here.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(oneiric().current_dir(self.0.path()).args(args))
    }

    /// Runs a quick dream here.
    pub fn dream<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(oneiric().current_dir(self.0.path()).arg("dream").args(QUICK).args(args))
    }
}

pub fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let path = path.as_ref();
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pixels of a picture, 8 bits a channel.
pub fn pixels(path: impl AsRef<Path>) -> image::RgbImage {
    let path = path.as_ref();
    image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).to_rgb8()
}

/// A file among the project's sample photos.
pub fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)
}

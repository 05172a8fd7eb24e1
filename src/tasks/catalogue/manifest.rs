//! What is known of an installed net: `net.toml` in its folder.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::names;
use crate::formats::LoadOptions;
use crate::nn::graph::ChannelOrder;

/// The name of the file in the net's folder.
pub const FILE: &str = "net.toml";

/// The version that is written and read.
const VERSION: u32 = 1;
/// Longer manifests are not read.
const MAX_BYTES: u64 = 1 << 20;

/// An installed net, as its folder describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    pub name: String,
    /// What it is, in one line; may be empty.
    #[serde(default)]
    pub summary: String,
    /// Where it comes from, in words or as an address; may be empty.
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub licence: String,
    /// How many classes it tells apart; nought where it does not classify.
    #[serde(default)]
    pub classes: usize,
    /// The files to open, of those below; others are found beside them.
    pub open: Vec<String>,
    #[serde(default)]
    pub options: Options,
    pub files: Vec<Entry>,
}

/// A file in the net's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, or its way through folders below that of the net, with `/` between names.
    pub file: String,
    pub bytes: u64,
    pub sha256: String,
    /// The address that it was fetched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// [`LoadOptions`] whose files lie in the net's folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<ChannelOrder>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<Vec<f32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_px: Option<[usize; 2]>,
    /// A file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// A name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// A file, in place of a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture_file: Option<String>,
}

impl Manifest {
    pub fn new(name: &str, open: Vec<String>, files: Vec<Entry>, options: Options) -> Self {
        let (summary, source, licence) = (String::new(), String::new(), String::new());
        Self { version: VERSION, name: name.into(), summary, source, licence, classes: 0, open, options, files }
    }

    /// Reads and checks the manifest in a net's folder.
    ///
    /// # Errors
    /// A phrase that follows the name of the file, when it is missing, too long, of another version, or names files
    /// that do not lie in the folder.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let file = File::open(folder.join(FILE)).map_err(|error| format!("cannot be read: {error}"))?;
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| format!("cannot be read: {error}"))?;
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let one_line = |error: toml::de::Error| format!("cannot be understood: {}", error.message());
        let Version { version } = toml::from_str(&text).map_err(one_line)?;
        if version != VERSION {
            return Err(format!("has version {version}; this program reads version {VERSION}"));
        }
        let manifest: Self = toml::from_str(&text).map_err(one_line)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if names::checked(&self.name).as_ref() != Ok(&self.name) {
            return Err("gives the net a name that no net can have".into());
        }
        if let Some(bad) = self.files.iter().find(|entry| !names::is_file_below(&entry.file)) {
            return Err(format!("names the file {:?}, which cannot be in this folder", bad.file));
        }
        let options = &self.options;
        let named = self.open.iter().chain(&options.labels).chain(&options.architecture_file);
        match named.into_iter().find(|name| !self.files.iter().any(|entry| entry.file == **name)) {
            Some(missing) => Err(format!("uses the file {missing:?}, which it does not list")),
            None if self.open.is_empty() => Err("names no file to open".into()),
            None => Ok(()),
        }
    }

    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// How much room the net takes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, entry| sum.saturating_add(entry.bytes))
    }
}

impl Options {
    /// What a loader is told of a net in this folder.
    pub fn in_folder(&self, folder: &Path) -> LoadOptions {
        let in_folder = |name: &String| folder.join(name);
        let architecture_file =
            self.architecture_file.as_ref().map(|name| in_folder(name).to_string_lossy().into_owned());
        LoadOptions {
            order: self.order,
            mean: self.mean.clone(),
            scale: self.scale.clone(),
            size_px: self.size_px,
            labels: self.labels.as_ref().map(in_folder),
            architecture: architecture_file.or_else(|| self.architecture.clone()),
            // One of the files.
            weights: None,
        }
    }

    /// What a user says of a net; `stored` gives the name that a file gets in the net's folder.
    pub fn of(options: &LoadOptions, stored: impl Fn(&Path) -> Option<String>) -> Self {
        let architecture_file = options.architecture.as_ref().and_then(|name| stored(Path::new(name)));
        let architecture = options.architecture.clone().filter(|_| architecture_file.is_none());
        Self {
            order: options.order,
            mean: options.mean.clone(),
            scale: options.scale.clone(),
            size_px: options.size_px,
            labels: options.labels.as_deref().and_then(stored),
            architecture,
            architecture_file,
        }
    }
}

/// `over`, and `under` where `over` says nothing.
pub fn merged(over: &LoadOptions, under: LoadOptions) -> LoadOptions {
    let or = |over: &Option<PathBuf>, under| over.clone().or(under);
    LoadOptions {
        order: over.order.or(under.order),
        mean: over.mean.clone().or(under.mean),
        scale: over.scale.clone().or(under.scale),
        size_px: over.size_px.or(under.size_px),
        labels: or(&over.labels, under.labels),
        architecture: over.architecture.clone().or(under.architecture),
        weights: or(&over.weights, under.weights),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let entry = |file: &str| Entry { file: file.into(), bytes: 3, sha256: "ab".into(), from: None };
        let options = Options {
            order: Some(ChannelOrder::Bgr),
            mean: Some(vec![103.939, 116.779, 123.68]),
            labels: Some("labels.txt".into()),
            ..Options::default()
        };
        Manifest::new("vgg16", vec!["a.caffemodel".into()], vec![entry("a.caffemodel"), entry("labels.txt")], options)
    }

    fn read_back(text: &str) -> Result<Manifest, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join(FILE), text).expect("writable");
        Manifest::read(folder.path())
    }

    #[test]
    fn what_is_written_is_read() {
        let manifest = manifest();
        assert_eq!(read_back(&manifest.to_toml().expect("text")), Ok(manifest.clone()));
        assert_eq!(manifest.bytes(), 6);
        let options = manifest.options.in_folder(Path::new("/nets/vgg16"));
        assert_eq!(options.labels, Some(Path::new("/nets/vgg16").join("labels.txt")));
        assert_eq!((options.order, options.mean.map(|mean| mean[2])), (Some(ChannelOrder::Bgr), Some(123.68)));
    }

    #[test]
    fn hostile_manifests_are_refused_in_one_line() {
        let good = manifest().to_toml().expect("text");
        for (from, to, word) in [
            ("version = 1", "version = 2", "version 2"),
            ("version = 1", "", "understood"),
            ("\"vgg16\"", "\"../vgg16\"", "no net can have"),
            ("file = \"a.caffemodel\"", "file = \"../a.caffemodel\"", "cannot be in this folder"),
            ("open = [\"a.caffemodel\"]", "open = [\"b\"]", "does not list"),
            ("open = [\"a.caffemodel\"]", "open = []", "names no file"),
            ("labels = \"labels.txt\"", "labels = \"/etc/passwd\"", "does not list"),
            ("licence", "license", "understood"),
        ] {
            assert!(good.contains(from), "{good}");
            let error = read_back(&good.replace(from, to)).expect_err(to);
            assert!(error.contains(word) && !error.contains('\n'), "{to}: {error}");
        }
        assert!(read_back("").is_err() && read_back("\u{0}").is_err());
    }

    #[test]
    fn the_user_goes_before_the_manifest() {
        let under = LoadOptions { mean: Some(vec![1.0]), size_px: Some([1, 2]), ..LoadOptions::default() };
        let over = LoadOptions { mean: Some(vec![2.0]), ..LoadOptions::default() };
        let merged = merged(&over, under);
        assert_eq!((merged.mean, merged.size_px), (Some(vec![2.0]), Some([1, 2])));
    }
}

//! The nets that their makers publish and that can be fetched: where their files are, and what is known of them.
//!
//! Addresses, sizes and sums are those of the makers' own pages (Caffe's model zoo, torchvision, TensorFlow's examples, the
//! Places project) and of projects that check them (OpenCV, MXNet, lucid). Where none is known there is none here: such a
//! file's own sum is recorded when it arrives.

use crate::formats::LoadOptions;
use crate::nn::graph::ChannelOrder;

mod table;

use table::PUBLISHED;

/// A net that can be fetched.
#[derive(Debug)]
pub struct Published {
    pub name: &'static str,
    /// Other names that find it.
    pub aliases: &'static [&'static str],
    /// What it is, in one line.
    pub summary: &'static str,
    pub task: Task,
    /// Who described it, and when.
    pub paper: &'static str,
    pub licence: &'static str,
    /// The share of pictures of the task's validation set whose likeliest class is right, in per cent: one middle crop, as
    /// its makers give it, and for VGG as MXNet's makers measured it.
    pub top_1: Option<f32>,
    pub dreams: Dreams,
    /// Where more can be read about it.
    pub page: &'static str,
    pub files: &'static [Remote],
    /// The file that is opened. What else belongs to it lies beside it, under the same stem.
    pub weights: &'static str,
    pub preprocess: Preset,
    /// The architecture of weights that come without a net.
    pub architecture: Option<&'static str>,
    pub labels: Labels,
}

/// What a net tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The 1000 classes of the ImageNet challenge.
    ImageNet,
    Places205,
    Places365,
}

/// How well a net dreams, by common experience: nets of the Inception family dream best, residual nets poorly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dreams {
    Poorly,
    Well,
    Best,
}

/// One file to fetch. No two files of the catalogue have one name.
#[derive(Debug)]
pub struct Remote {
    /// Its name in the folder of its net, and on a mirror.
    pub file: &'static str,
    /// Where it is, its makers' own address first.
    pub urls: &'static [&'static str],
    pub size: Size,
    pub sum: Option<Sum>,
    /// Of an archive, the files that are taken out of it; the archive is not kept.
    pub members: &'static [Member],
}

/// A file in a zip or tar.gz archive, in whatever folder there.
#[derive(Debug)]
pub struct Member {
    /// Its name in the archive.
    pub inside: &'static str,
    /// Its name in the folder of its net.
    pub file: &'static str,
    pub sum: Option<Sum>,
    /// Whether the net is of no use without it.
    pub needed: bool,
}

/// How many bytes a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Exact(u64),
    /// Its makers round.
    About(u64),
    Unknown,
}

/// The sum that a file must have, in hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    Sha1(&'static str),
    Sha256(&'static str),
    /// The first digits, as torchvision's file names bear them.
    Sha256Start(&'static str),
}

/// How a picture becomes the input: `(p − mean[c]) · scale[c]`, in the net's own channel order.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    pub order: ChannelOrder,
    pub mean: &'static [f32],
    pub scale: &'static [f32],
    /// `[height, width]` in pixels, where no file of the net says it.
    pub size_px: Option<[usize; 2]>,
}

/// Where the names of the classes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// The loader knows them.
    Known,
    /// A file of names, one a line.
    Lines(&'static str),
    /// A file of the Places project: `/a/airport_terminal 2` a line.
    Places(&'static str),
}

impl Published {
    /// All of them, the best known first.
    pub fn all() -> &'static [Self] {
        &PUBLISHED
    }

    /// The one of that name or alias, in letters of either case.
    pub fn find(name: &str) -> Option<&'static Self> {
        PUBLISHED.iter().find(|net| net.aliases.iter().chain([&net.name]).any(|known| known.eq_ignore_ascii_case(name)))
    }

    /// How much there is to fetch; `None` where nobody says of one file.
    pub fn bytes(&self) -> Option<u64> {
        self.files.iter().map(|file| file.size.bytes()).sum()
    }

    /// The sum of one of its files, also of one in an archive.
    pub fn sum_of(&self, file: &str) -> Option<Sum> {
        let members = self.files.iter().flat_map(|remote| remote.members).map(|member| (member.file, member.sum));
        let mut all = self.files.iter().map(|remote| (remote.file, remote.sum)).chain(members);
        all.find(|(name, _)| *name == file).and_then(|(_, sum)| sum)
    }

    /// What its files do not say.
    pub fn options(&self) -> LoadOptions {
        let preset = self.preprocess;
        LoadOptions {
            order: Some(preset.order),
            mean: Some(preset.mean.to_vec()),
            scale: Some(preset.scale.to_vec()),
            size_px: preset.size_px,
            labels: None,
            architecture: self.architecture.map(str::to_string),
            weights: None,
        }
    }
}

impl Task {
    /// As a table says it: `1000 classes`, `205 scenes`.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::ImageNet => "1000 classes",
            Self::Places205 => "205 scenes",
            Self::Places365 => "365 scenes",
        }
    }
}

impl Dreams {
    /// One to three stars.
    pub fn stars(self) -> &'static str {
        match self {
            Self::Poorly => "★",
            Self::Well => "★★",
            Self::Best => "★★★",
        }
    }
}

impl Size {
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Exact(bytes) | Self::About(bytes) => Some(bytes),
            Self::Unknown => None,
        }
    }

    /// More than this is not taken.
    pub fn bound(self) -> u64 {
        match self {
            Self::Exact(bytes) => bytes,
            // A rounded size may be off by some per cent; of a small file by a good deal more.
            Self::About(bytes) => bytes + bytes / 8 + (1 << 20),
            Self::Unknown => crate::formats::MAX_FILE_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::catalogue::names;

    #[test]
    fn names_are_sound_and_lead_to_one_net() {
        let mut seen = std::collections::BTreeSet::new();
        for net in Published::all() {
            assert_eq!(names::checked(net.name).as_deref(), Ok(net.name));
            for name in net.aliases.iter().chain([&net.name]) {
                assert!(seen.insert(name.to_ascii_lowercase()), "{name} is there twice");
                assert_eq!(Published::find(&name.to_ascii_uppercase()).map(|found| found.name), Some(net.name));
            }
        }
        assert!(Published::find("resnet5000").is_none());
    }

    #[test]
    fn files_have_sound_names_addresses_and_sums() {
        let mut seen = std::collections::BTreeSet::new();
        for net in Published::all() {
            let members = net.files.iter().flat_map(|file| file.members);
            let there: Vec<&str> =
                net.files.iter().map(|file| file.file).chain(members.map(|member| member.file)).collect();
            assert!(there.contains(&net.weights), "{}", net.name);
            let stem = net.weights.rsplit_once('.').expect("it has an ending").0;
            let nets = there.iter().filter(|file| file.ends_with(".prototxt"));
            assert!(nets.clone().all(|file| *file == format!("{stem}.prototxt")), "{}", net.name);
            assert_eq!(
                nets.count(),
                usize::from(net.weights.ends_with(".caffemodel") && net.name != "nin"),
                "{}",
                net.name
            );
            if let Labels::Lines(file) | Labels::Places(file) = net.labels {
                assert!(there.contains(&file), "{}", net.name);
            }
            for file in net.files {
                assert!(seen.insert(file.file.to_ascii_lowercase()), "{} is there twice", file.file);
                assert!(names::is_plain_file(file.file), "{}", file.file);
                assert!(!file.urls.is_empty() && file.urls.iter().all(|url| url.starts_with("http")), "{}", file.file);
                assert!(file.size.bound() <= crate::formats::MAX_FILE_BYTES, "{}", file.file);
                for sum in file.sum.into_iter().chain(file.members.iter().filter_map(|member| member.sum)) {
                    let (digits, expected) = match sum {
                        Sum::Sha1(digits) => (digits, 40),
                        Sum::Sha256(digits) => (digits, 64),
                        Sum::Sha256Start(digits) => (digits, 8),
                    };
                    assert_eq!(digits.len(), expected, "{}", file.file);
                    assert!(digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')), "{}", file.file);
                    if matches!(sum, Sum::Sha256Start(_)) {
                        assert!(file.file.contains(&format!("-{digits}.")), "{}", file.file);
                    }
                }
            }
        }
    }

    #[test]
    fn presets_have_a_value_a_channel_or_one_for_all() {
        for net in Published::all() {
            let options = net.options();
            for values in [options.mean, options.scale].into_iter().flatten() {
                assert!(matches!(values.len(), 1 | 3), "{}", net.name);
                assert!(values.iter().all(|value| value.is_finite() && *value > 0.0), "{}", net.name);
            }
            assert!(net.top_1.is_none_or(|top_1| (0.0..100.0).contains(&top_1)), "{}", net.name);
        }
    }
}

//! Looks: ready-made settings for the net that ships, each with a picture of what they do to a photo.
//!
//! They were chosen by looking at dreams of every layer. `assets/README.md` tells how the pictures were made; each
//! carries its recipe, and a test compares it with the settings here.

use std::path::Path;

use super::spec::{ClassGoal, ClassScore, DreamSpec, LayerWeight, Preset};
use crate::imageio::{self, ImageError, Limits, Picture};

/// Settings with a name, a line about them, and a picture.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub name: &'static str,
    /// What it does to a picture, in one line.
    pub summary: &'static str,
    /// A JPEG: the same part of the same photo for every look. See [`Look::thumbnail`].
    pub picture: &'static [u8],
    base: Preset,
    /// What differs from the base.
    over: fn(DreamSpec) -> DreamSpec,
}

macro_rules! picture {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/looks/", $name, ".jpg"))
    };
}

impl Look {
    /// The sides of every thumbnail in pixels.
    pub const WIDTH_PX: usize = 160;
    pub const HEIGHT_PX: usize = 120;

    /// In the order in which they are offered: the presets and what is near them, then from early layers to late ones.
    pub const ALL: &[Self] = &[
        Self {
            name: "vivid",
            summary: "Eyes and animals, strong and clean",
            picture: picture!("vivid"),
            base: Preset::Vivid,
            over: std::convert::identity,
        },
        Self {
            name: "google-2015",
            summary: "The published algorithm of 2015, to the letter: fine and busy",
            picture: picture!("google-2015"),
            base: Preset::Google2015,
            over: std::convert::identity,
        },
        Self {
            name: "soft",
            summary: "A hint of animals, the photo still itself",
            picture: picture!("soft"),
            base: Preset::Vivid,
            over: |vivid| DreamSpec { octaves: 5, steps: 8, step_size: 0.8, ..vivid },
        },
        Self {
            name: "own-colours",
            summary: "Eyes and animals in the photo's own colours",
            picture: picture!("own-colours"),
            base: Preset::Vivid,
            over: |vivid| DreamSpec { keep_colors: true, ..vivid },
        },
        Self {
            name: "strokes",
            summary: "Bold hatching, as if cut in wood",
            picture: picture!("strokes"),
            base: Preset::Vivid,
            over: |vivid| DreamSpec { layers: layer("block4"), steps: 14, ..vivid },
        },
        Self {
            name: "ripples",
            summary: "Wide flowing bands around everything",
            picture: picture!("ripples"),
            base: Preset::Vivid,
            over: |vivid| DreamSpec { layers: layer("block7"), octaves: 6, steps: 16, ..vivid },
        },
        Self {
            name: "beads",
            summary: "Beads, scales and round eyes",
            picture: picture!("beads"),
            base: Preset::Vivid,
            over: |vivid| DreamSpec { layers: layer("block8"), ..vivid },
        },
        Self {
            name: "garden",
            summary: "Blossoms, leaves and little temples",
            picture: picture!("garden"),
            base: Preset::Vivid,
            over: |vivid| DreamSpec { layers: layer("block12"), ..vivid },
        },
        Self {
            name: "carnival",
            summary: "Fur, balloons and parasols",
            picture: picture!("carnival"),
            base: Preset::Vivid,
            over: |vivid| DreamSpec { layers: layer("block14"), ..vivid },
        },
        Self {
            name: "reef",
            summary: "One class of the net: the photo becomes a coral reef",
            picture: picture!("reef"),
            base: Preset::Vivid,
            over: |vivid| DreamSpec { class: class("coral reef"), octaves: 5, steps: 30, tv: 0.2, ..vivid },
        },
    ];

    /// The look of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|look| look.name == name)
    }

    /// The settings, without size and start ([`DreamSpec::look`]); [`DreamSpec::with_look`] puts them on others.
    pub fn spec(&self) -> DreamSpec {
        (self.over)(DreamSpec::preset(self.base))
    }

    /// The picture, decoded: [`Look::WIDTH_PX`] × [`Look::HEIGHT_PX`].
    ///
    /// # Errors
    /// None on a program that passes its tests.
    pub fn thumbnail(&self) -> Result<Picture, ImageError> {
        let loaded = imageio::load_bytes(Path::new(self.name), self.picture, &Limits::default())?;
        Ok(loaded.picture)
    }
}

fn layer(name: &str) -> Vec<LayerWeight> {
    vec![LayerWeight { name: name.into(), weight: 1.0 }]
}

fn class(name: &str) -> Option<ClassGoal> {
    Some(ClassGoal { class: name.into(), score: ClassScore::Logit })
}

#[cfg(test)]
mod tests {
    use super::super::{Dreamer, Recipe};
    use super::*;
    use crate::tasks::catalogue;

    #[test]
    fn every_picture_was_made_by_its_look() {
        let net = catalogue::open(catalogue::DEFAULT).expect("the net that ships");
        let mut wrong = Vec::new();
        for look in Look::ALL {
            // With the layers of the preset, where the look names none.
            let dreamer =
                Dreamer::new(look.spec(), net.clone()).unwrap_or_else(|error| panic!("{}: {error}", look.name));
            let loaded = imageio::load_bytes(Path::new(look.name), look.picture, &Limits::default()).expect(look.name);
            let recipe = Recipe::from_text(&loaded.recipe.expect(look.name)).expect(look.name);
            if recipe.dream.look() != *dreamer.spec() || look.spec().look() != look.spec() {
                wrong.push(format!("{}: {:#?}\nis not\n{:#?}", look.name, recipe.dream, look.spec()));
            }
            assert_eq!(look.thumbnail().expect(look.name).size(), [Look::HEIGHT_PX, Look::WIDTH_PX], "{}", look.name);
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn looks_are_told_apart() {
        for (number, look) in Look::ALL.iter().enumerate() {
            for other in &Look::ALL[..number] {
                assert_ne!(look.name.to_lowercase(), other.name.to_lowercase());
                assert!(look.spec() != other.spec() && look.picture != other.picture, "{} {}", look.name, other.name);
            }
            assert!((10..=72).contains(&look.summary.chars().count()), "{}", look.summary);
            assert!(!look.summary.ends_with('.'), "{}", look.summary);
        }
        let bytes: usize = Look::ALL.iter().map(|look| look.picture.len()).sum();
        assert!(bytes < 150_000, "the pictures take {bytes} bytes");
    }

    #[test]
    fn every_preset_is_a_look() {
        for preset in Preset::ALL {
            assert_eq!(Look::find(preset.name()).map(Look::spec), Some(DreamSpec::preset(preset)));
        }
    }
}

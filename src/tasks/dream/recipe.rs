//! The recipe: what repeats a dream, as text inside the picture.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::change::{Change, LASTING};
use super::error::DreamError;
use super::spec::{DreamSpec, Preset};
use crate::imageio::{self, Picture};

/// Recipes and specs that are read from text files may not be longer.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The photo of a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourcePhoto {
    /// Its path as it was given.
    pub file: String,
    /// CRC-32 of its size and pixels, in hexadecimal: the same whatever file format or metadata it has.
    pub crc32: String,
}

impl SourcePhoto {
    pub fn new(path: &Path, picture: &Picture) -> Self {
        Self { file: path.to_string_lossy().into_owned(), crc32: checksum(picture) }
    }

    /// Whether `picture` is the one that the recipe was made from.
    pub fn is(&self, picture: &Picture) -> bool {
        self.crc32 == checksum(picture)
    }
}

fn checksum(picture: &Picture) -> String {
    let mut hasher = crc32fast::Hasher::new();
    for side in picture.size() {
        hasher.update(&(side as u64).to_le_bytes());
    }
    // Every value as little-endian bytes, so that all machines agree.
    let mut bytes = Vec::with_capacity(4 << 12);
    for values in [Some(&picture.rgb), picture.alpha.as_ref()].into_iter().flatten() {
        for values in values.chunks(1 << 12) {
            bytes.clear();
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            hasher.update(&bytes);
        }
    }
    format!("{:08x}", hasher.finalize())
}

/// Everything that repeats a dream: on the same machine and version of the program, to the byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The program that made the picture: `oneiric 0.1.0`.
    pub program: String,
    /// Steps done, when the dream was stopped before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_after: Option<usize>,
    /// None for a dream from noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourcePhoto>,
    pub dream: DreamSpec,
    /// What changed on the way, in the order of the steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

impl Recipe {
    /// This program, as recipes name it.
    pub const PROGRAM: &str = concat!("oneiric ", env!("CARGO_PKG_VERSION"));

    /// Of a dream that has not begun.
    pub(super) fn new(source: Option<SourcePhoto>, dream: &DreamSpec) -> Self {
        let dream = dream.recorded();
        Self { program: Self::PROGRAM.into(), stopped_after: None, source, dream, changes: Vec::new() }
    }

    /// The settings in force at the end.
    pub fn spec(&self) -> &DreamSpec {
        self.changes.last().map_or(&self.dream, |change| &change.dream)
    }

    /// As TOML. A change says only what differs from its preset, so that hundreds of them fit into a picture.
    pub fn to_text(&self) -> String {
        let mut text = text_of(&Self { changes: Vec::new(), ..self.clone() });
        for change in &self.changes {
            let (after, dream) = (change.after, toml::Value::Table(differences(&change.dream)));
            let change = toml::Table::from_iter([
                ("after".into(), toml::Value::Integer(i64::try_from(after).unwrap_or(i64::MAX))),
                ("dream".into(), dream),
            ]);
            text.push('\n');
            text += &text_of(&toml::Table::from_iter([("changes".into(), vec![change].into())]));
        }
        text
    }

    /// # Errors
    /// When the text is no recipe.
    pub fn from_text(text: &str) -> Result<Self, DreamError> {
        let mut table: toml::Table = text.parse().map_err(bad_recipe)?;
        let dream = match table.remove("dream") {
            Some(toml::Value::Table(dream)) => dream,
            _ => return Err(bad_recipe("it has no [dream]")),
        };
        let dream = over_preset(dream)?;
        if let Some(toml::Value::Array(changes)) = table.get_mut("changes") {
            changes.iter_mut().try_for_each(|change| complete_change(change, &dream))?;
        }
        table.insert("dream".into(), toml::Value::Table(dream));
        table.try_into().map_err(bad_recipe)
    }

    /// The recipe that a picture carries, or that a text file holds (`.toml`).
    ///
    /// # Errors
    /// When the file cannot be read, or there is no recipe in it that can be understood.
    pub fn from_file(path: &Path) -> Result<Self, DreamError> {
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
            return Self::from_text(&read_text(path)?);
        }
        Self::from_picture(path)
    }

    /// The recipe that a picture carries.
    ///
    /// # Errors
    /// When it is no picture, or carries no recipe that can be understood.
    pub fn from_picture(path: &Path) -> Result<Self, DreamError> {
        let text = imageio::read_recipe(path)?.ok_or_else(|| DreamError::NoRecipe { path: path.into() })?;
        Self::from_text(&text)
    }

    /// Where the photo is: at the path in the recipe, else under its name beside `recipe_path`. `None` for a dream
    /// from noise.
    ///
    /// # Errors
    /// When there is no file at either place.
    pub fn find_source(&self, recipe_path: &Path) -> Result<Option<PathBuf>, DreamError> {
        let Some(source) = &self.source else { return Ok(None) };
        let given = PathBuf::from(&source.file);
        let beside = given.file_name().map(|name| recipe_path.with_file_name(name));
        let found = [Some(given), beside].into_iter().flatten().find(|path| path.is_file() && path != recipe_path);
        found.map(Some).ok_or_else(|| DreamError::MissingSource { file: source.file.clone() })
    }
}

fn read_text(path: &Path) -> Result<String, DreamError> {
    use std::io::Read as _;
    let bad = |error: io::Error| DreamError::BadRecipe { reason: format!("{}: {error}", path.display()) };
    let mut text = String::new();
    std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text)).map_err(bad)?;
    Ok(text)
}

fn text_of(value: &impl Serialize) -> String {
    toml::to_string(value).unwrap_or_else(|error| unreachable!("a recipe is plain data: {error}"))
}

/// The settings of a change that are neither its preset's nor those of the whole dream.
fn differences(spec: &DreamSpec) -> toml::Table {
    // By way of the text, which has the shortest decimals that are the same number in 32 bits.
    let table = |spec: &DreamSpec| text_of(spec).parse::<toml::Table>().unwrap_or_default();
    let preset = table(&DreamSpec::preset(spec.preset));
    let mut differing = table(spec);
    differing.retain(|setting, value| {
        setting == "preset" || preset.get(setting) != Some(value) && !LASTING.contains(&setting)
    });
    differing
}

/// Fills in what a change does not say: what lasts is the whole `dream`'s, as is the preset, and the rest is the preset's.
fn complete_change(change: &mut toml::Value, dream: &toml::Table) -> Result<(), DreamError> {
    let Some(toml::Value::Table(settings)) = change.get_mut("dream") else {
        return Err(bad_recipe("a change has no settings (dream)"));
    };
    for setting in LASTING.into_iter().chain(["preset"]) {
        if let (None, Some(value)) = (settings.get(setting), dream.get(setting)) {
            settings.insert(setting.into(), value.clone());
        }
    }
    *settings = over_preset(std::mem::take(settings))?;
    Ok(())
}

fn bad_recipe(reason: impl ToString) -> DreamError {
    DreamError::BadRecipe { reason: reason.to_string().trim().to_string() }
}

/// Settings over those of the preset that they name, or of the default one.
fn over_preset(settings: toml::Table) -> Result<toml::Table, DreamError> {
    let preset = match settings.get("preset") {
        Some(preset) => preset.clone().try_into::<Preset>().map_err(bad_recipe)?,
        None => Preset::default(),
    };
    let mut all = toml::Table::try_from(DreamSpec::preset(preset)).map_err(bad_recipe)?;
    all.extend(settings);
    Ok(all)
}

impl DreamSpec {
    /// Reads settings; those that are not there are the preset's.
    ///
    /// # Errors
    /// When the text is not TOML, or has a setting that there is not.
    pub fn from_toml(text: &str) -> Result<Self, DreamError> {
        let settings: toml::Table = text.parse().map_err(bad_recipe)?;
        over_preset(settings)?.try_into().map_err(bad_recipe)
    }

    /// The preset and what differs from it, as [`DreamSpec::from_toml`] reads it.
    pub fn to_toml(&self) -> String {
        let table = |spec: &Self| {
            toml::Table::try_from(spec).unwrap_or_else(|error| unreachable!("settings are plain data: {error}"))
        };
        let (mut settings, base) = (table(self), table(&Self::preset(self.preset)));
        settings.retain(|name, value| name == "preset" || base.get(name) != Some(value));
        settings.to_string()
    }
}

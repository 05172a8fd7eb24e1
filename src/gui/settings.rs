//! What the user set once and keeps: looks of the window, folders, recent files.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How many recent files are remembered.
const MOST_RECENT: usize = 12;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    #[default]
    Dark,
    Light,
    /// As the system is set.
    System,
}

impl Theme {
    pub const ALL: [Self; 3] = [Self::Dark, Self::Light, Self::System];

    pub fn name(self) -> &'static str {
        match self {
            Self::Dark => "Dark",
            Self::Light => "Light",
            Self::System => "As the system",
        }
    }
}

/// Kept as TOML; what a file lacks or misspells has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub theme: Theme,
    /// How much larger than usual everything is drawn.
    pub scale: f32,
    /// Where dreams are saved; none is beside the photo.
    pub output_folder: Option<PathBuf>,
    /// Photos that were opened, the latest first.
    pub recent_photos: Vec<PathBuf>,
    /// Nets that were opened, by name or path, the latest first.
    pub recent_nets: Vec<String>,
    /// Whether a dropped photo begins to dream by itself.
    pub dream_on_drop: bool,
    /// How long a frame of an exported animation stays, in milliseconds.
    pub animation_frame_ms: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: Theme::default(),
            scale: 1.0,
            output_folder: None,
            recent_photos: Vec::new(),
            recent_nets: Vec::new(),
            dream_on_drop: true,
            animation_frame_ms: 80,
        }
    }
}

impl Settings {
    /// The shortest and the longest that a step of an animation stays.
    pub const FRAME_MS: [u32; 2] = [20, 2000];
    pub const SCALES: [f32; 6] = [0.75, 1.0, 1.25, 1.5, 1.75, 2.0];

    /// Reads settings. Text that is none gives the defaults.
    pub fn from_toml(text: &str) -> Self {
        let mut settings: Self = toml::from_str(text).unwrap_or_default();
        let [least, .., most] = Self::SCALES;
        settings.scale = if settings.scale.is_finite() { settings.scale.clamp(least, most) } else { 1.0 };
        let [shortest, longest] = Self::FRAME_MS;
        settings.animation_frame_ms = settings.animation_frame_ms.clamp(shortest, longest);
        settings.recent_photos.truncate(MOST_RECENT);
        settings.recent_nets.truncate(MOST_RECENT);
        settings
    }

    /// Empty where the settings cannot be written as text.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// Text holds Unicode only: photos whose path is something else are not remembered.
    pub fn remember_photo(&mut self, path: &Path) {
        if path.to_str().is_some() {
            remember(&mut self.recent_photos, path.to_path_buf());
        }
    }

    pub fn remember_net(&mut self, key: &str) {
        remember(&mut self.recent_nets, key.to_string());
    }

    /// The next larger (or smaller) of [`Settings::SCALES`].
    pub fn step_scale(&mut self, larger: bool) {
        let mut scales = Self::SCALES.into_iter();
        let next = if larger {
            scales.find(|&scale| scale > self.scale + 0.01)
        } else {
            scales.rev().find(|&scale| scale < self.scale - 0.01)
        };
        self.scale = next.unwrap_or(self.scale);
    }
}

fn remember<T: PartialEq>(list: &mut Vec<T>, item: T) {
    list.retain(|known| *known != item);
    list.insert(0, item);
    list.truncate(MOST_RECENT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_their_file_and_bad_files_are_harmless() {
        let mut settings = Settings { theme: Theme::Light, scale: 1.5, ..Settings::default() };
        settings.remember_photo(Path::new("/a/b.png"));
        assert_eq!(Settings::from_toml(&settings.to_toml()), settings);
        for text in ["", "theme = 7", "scale = nan", "\0", "scale = 1e9"] {
            let read = Settings::from_toml(text);
            assert!((0.75..=2.0).contains(&read.scale), "{text:?} gives {}", read.scale);
        }
    }

    #[test]
    fn recent_files_are_few_and_the_latest_comes_first() {
        let mut settings = Settings::default();
        for i in 0..20 {
            settings.remember_photo(Path::new(&format!("{i}.png")));
        }
        settings.remember_photo(Path::new("15.png"));
        assert_eq!(settings.recent_photos.len(), MOST_RECENT);
        assert_eq!(settings.recent_photos[..2], [PathBuf::from("15.png"), PathBuf::from("19.png")]);
    }

    #[test]
    fn the_scale_goes_up_and_down_between_its_ends() {
        let mut settings = Settings::default();
        settings.step_scale(true);
        assert_eq!(settings.scale, 1.25);
        (0..9).for_each(|_| settings.step_scale(true));
        assert_eq!(settings.scale, 2.0);
        (0..9).for_each(|_| settings.step_scale(false));
        assert_eq!(settings.scale, 0.75);
    }
}

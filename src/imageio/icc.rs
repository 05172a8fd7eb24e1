//! Embedded colour profiles: everything becomes sRGB.

use std::sync::Arc;

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformExecutor, TransformOptions};

/// The largest profile that is looked at. CMYK profiles of presses are about 2 MiB.
const MAX_PROFILE_BYTES: usize = 16 << 20;

/// What the values of a pixel mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    Gray,
    Rgb,
    /// Four inks as JPEG stores them: 255 is no ink.
    Cmyk,
}

impl Model {
    pub(super) fn channels(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
            Self::Cmyk => 4,
        }
    }
}

/// How rows of decoded values become sRGB.
pub(super) struct ToSrgb {
    model: Model,
    transform: Option<Arc<dyn TransformExecutor<f32> + Send + Sync>>,
}

impl ToSrgb {
    /// Reads the profile, if there is one, and says in `notes` what becomes of it.
    pub(super) fn new(model: Model, profile: Option<&[u8]>, notes: &mut Vec<String>) -> Self {
        let plain = Self { model, transform: None };
        let Some(profile) = profile else {
            return plain;
        };
        match Self::with_profile(model, profile) {
            Ok(converts) if converts.is_identity() => plain,
            Ok(converts) => {
                notes.push("the colours were converted from the embedded ICC profile to sRGB".to_owned());
                converts
            }
            Err(reason) => {
                notes.push(format!("the embedded ICC profile was not used ({reason}): colours may be off"));
                plain
            }
        }
    }

    fn with_profile(model: Model, profile: &[u8]) -> Result<Self, String> {
        if profile.len() > MAX_PROFILE_BYTES {
            return Err(format!("it has {} bytes", profile.len()));
        }
        let profile = ColorProfile::new_from_slice(profile).map_err(|error| error.to_string())?;
        let (space, layout) = match model {
            Model::Gray => (DataColorSpace::Gray, Layout::Gray),
            Model::Rgb => (DataColorSpace::Rgb, Layout::Rgb),
            Model::Cmyk => (DataColorSpace::Cmyk, Layout::Rgba),
        };
        if profile.color_space != space {
            return Err(format!("it is for {:?} and the picture is {model:?}", profile.color_space));
        }
        let transform = profile
            .create_transform_f32(layout, &ColorProfile::new_srgb(), Layout::Rgb, TransformOptions::default())
            .map_err(|error| error.to_string())?;
        let converts = Self { model, transform: Some(transform) };
        // A profile may parse and yet fail, or yield NaN.
        let mut probe = [0.0; 3 * 2];
        let ends: Vec<f32> = [0.0, 255.0].iter().flat_map(|&end| vec![end; model.channels()]).collect();
        converts.try_convert(&ends, &mut probe)?;
        Ok(converts)
    }

    /// Whether the profile is sRGB under some name: no colour moves by a whole step of 8 bits.
    fn is_identity(&self) -> bool {
        const LEVELS: [f32; 6] = [0.0, 32.0, 96.0, 160.0, 224.0, 255.0];
        if self.model == Model::Cmyk {
            return false;
        }
        let colours: Vec<f32> = if self.model == Model::Gray {
            LEVELS.to_vec()
        } else {
            LEVELS.iter().flat_map(|&r| LEVELS.iter().flat_map(move |&g| LEVELS.map(|b| [r, g, b]))).flatten().collect()
        };
        let mut plain = vec![0.0; colours.len() / self.model.channels() * 3];
        let mut converted = plain.clone();
        Self { model: self.model, transform: None }.convert(&colours, &mut plain);
        self.convert(&colours, &mut converted);
        plain.iter().zip(&converted).all(|(plain, converted)| (plain - converted).abs() < 1.0)
    }

    /// Converts a run of pixels from the file's values, 0 to 255, to RGB, 0 to 255.
    pub(super) fn convert(&self, from: &[f32], rgb: &mut [f32]) {
        if self.try_convert(from, rgb).is_ok() {
            return;
        }
        // Tried on the ends of the range when it was made; a row differs only in its length.
        Self { model: self.model, transform: None }.convert_plainly(from, rgb);
    }

    fn try_convert(&self, from: &[f32], rgb: &mut [f32]) -> Result<(), String> {
        let Some(transform) = &self.transform else {
            self.convert_plainly(from, rgb);
            return Ok(());
        };
        let inks = self.model == Model::Cmyk;
        let unit: Vec<f32> = from.iter().map(|value| if inks { 1.0 - value / 255.0 } else { value / 255.0 }).collect();
        transform.transform(&unit, rgb).map_err(|error| error.to_string())?;
        if rgb.iter().any(|value| value.is_nan()) {
            return Err("it yields no numbers".to_owned());
        }
        rgb.iter_mut().for_each(|value| *value = (255.0 * *value).clamp(0.0, 255.0));
        Ok(())
    }

    fn convert_plainly(&self, from: &[f32], rgb: &mut [f32]) {
        let pixels = rgb.as_chunks_mut::<3>().0.iter_mut();
        match self.model {
            Model::Gray => pixels.zip(from).for_each(|(pixel, &gray)| *pixel = [gray; 3]),
            Model::Rgb => rgb.copy_from_slice(from),
            // Light that passes the coloured ink, then the black one.
            Model::Cmyk => pixels.zip(from.as_chunks::<4>().0).for_each(|(pixel, &[cyan, magenta, yellow, key])| {
                *pixel = [cyan, magenta, yellow].map(|ink| ink * key / 255.0);
            }),
        }
    }
}

//! The photo at the sizes of the octaves, and what is dreamt laid over it.

use super::spec::OctaveFilter;
use crate::imageio::{Filter, Picture, keep_colors, resize, zoom_linear};
use crate::optvis::param::{PIXEL_RANGE, Pixels};

/// What a dream is painted on. Octaves are counted from the full size here, which is 0.
pub(super) struct Canvas {
    /// `[height, width]` of every octave.
    octaves: Vec<[usize; 2]>,
    /// The photo at the sizes of the octaves that are not yet done; the last is that in work.
    bases: Vec<Vec<f32>>,
    alpha: Option<Vec<f32>>,
    filter: OctaveFilter,
}

impl Canvas {
    /// `picture` has the size of the first of `octaves`.
    pub fn new(picture: Picture, octaves: Vec<[usize; 2]>, filter: OctaveFilter) -> Self {
        let mut bases = vec![picture.rgb];
        for sizes in octaves.windows(2) {
            let smaller = match filter {
                OctaveFilter::Zoom => zoom_linear(bases.last().unwrap_or(&bases[0]), 3, sizes[0], sizes[1]),
                OctaveFilter::Smooth => resize(&bases[0], 3, octaves[0], sizes[1], Filter::CatmullRom),
            };
            bases.push(smaller);
        }
        Self { octaves, bases, alpha: picture.alpha, filter }
    }

    /// `[height, width]` of every octave.
    pub fn octaves(&self) -> &[[usize; 2]] {
        &self.octaves
    }

    /// The octave in work.
    pub fn octave(&self) -> usize {
        self.bases.len() - 1
    }

    /// `[height, width]` of the octave in work.
    pub fn size(&self) -> [usize; 2] {
        self.octaves[self.octave()]
    }

    /// The photo at the size of the octave in work.
    pub fn base(&self) -> &[f32] {
        &self.bases[self.octave()]
    }

    /// Leaves out the octaves before `octave`.
    pub fn go_to(&mut self, octave: usize) {
        self.bases.truncate(octave + 1);
    }

    /// Goes on to the next larger octave: what was dreamt is brought to its size and laid over it.
    pub fn enlarge(&mut self, pixels: &Pixels) -> Pixels {
        let to = self.octave().saturating_sub(1);
        let enlarged = self.enlarged(pixels, to);
        self.go_to(to);
        Pixels::new(self.size(), enlarged)
    }

    /// The octave `to`, and on it what `pixels` have over the photo at their own size.
    fn enlarged(&self, pixels: &Pixels, to: usize) -> Vec<f32> {
        let (from, to, base) = (pixels.size(), self.octaves[to], &self.bases[to]);
        let detail: Vec<f32> = pixels.rgb().iter().zip(self.base()).map(|(pixel, base)| pixel - base).collect();
        let mut sum = match self.filter {
            OctaveFilter::Zoom => zoom_linear(&detail, 3, from, to),
            OctaveFilter::Smooth => resize(&detail, 3, from, to, Filter::CatmullRom),
        };
        sum.iter_mut().zip(base).for_each(|(sum, base)| *sum += base);
        sum
    }

    /// The dream at full size, with the photo's alpha and, if `keeps_colors`, its colours.
    pub fn full(&self, pixels: &Pixels, keeps_colors: bool) -> Picture {
        let rgb = if self.octave() == 0 { pixels.rgb().to_vec() } else { self.enlarged(pixels, 0) };
        picture(self.octaves[0], rgb, keeps_colors.then_some(self.bases[0].as_slice())).with_alpha(self.alpha.clone())
    }

    /// The dream at the size of the octave in work, without alpha.
    pub fn preview(&self, pixels: &Pixels, keeps_colors: bool) -> Picture {
        picture(pixels.size(), pixels.rgb().to_vec(), keeps_colors.then_some(self.base()))
    }
}

/// In the range that files can hold, in the colours of `base` where that is given.
fn picture([height, width]: [usize; 2], mut rgb: Vec<f32>, base: Option<&[f32]>) -> Picture {
    let [low, high] = PIXEL_RANGE;
    rgb.iter_mut().for_each(|value| *value = value.clamp(low, high));
    let picture = Picture::from_rgb(width, height, rgb);
    match base {
        Some(base) => keep_colors(&picture, &Picture::from_rgb(width, height, base.to_vec())),
        None => picture,
    }
}

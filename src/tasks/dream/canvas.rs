//! The photo at the sizes of the octaves, and what is dreamt laid over it.

use std::borrow::Cow;

use super::ground::Ground;
use super::spec::OctaveFilter;
use crate::imageio::{Filter, Picture, keep_colors, resize, resize_strips, zoom_linear, zoom_linear_strips};
use crate::optvis::param::{PIXEL_RANGE, Pixels};

/// The photo at the size of an octave is kept while that is in work when it takes no more bytes than this, and made anew
/// where it is needed when it takes more.
const KEPT_BASE_BYTES: usize = 64 << 20;

/// Previews are for screens: sides longer than this are thinned out.
const LARGEST_PREVIEW_PX: usize = 4096;

/// What a dream is painted on. Octaves are counted from the full size here, which is 0.
pub(super) struct Canvas {
    ground: Ground,
    /// `[height, width]` of every octave.
    octaves: Vec<[usize; 2]>,
    /// The octave in work.
    octave: usize,
    /// The photo at its size, where that is kept.
    base: Option<Vec<f32>>,
    filter: OctaveFilter,
}

impl Canvas {
    /// `ground` has the size of the first of `octaves`; the last is in work.
    pub fn new(ground: Ground, octaves: Vec<[usize; 2]>, filter: OctaveFilter) -> Self {
        let octave = octaves.len() - 1;
        Self { ground, octaves, octave, base: None, filter }
    }

    /// The photo.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// `[height, width]` of every octave.
    pub fn octaves(&self) -> &[[usize; 2]] {
        &self.octaves
    }

    /// The octave in work.
    pub fn octave(&self) -> usize {
        self.octave
    }

    /// `[height, width]` of the octave in work.
    pub fn size(&self) -> [usize; 2] {
        self.octaves[self.octave]
    }

    /// The photo at the size of the octave in work.
    pub fn start(&mut self) -> Pixels {
        let base = self.at_size_of(self.octave, self.ground.rgb());
        self.keep(&base);
        Pixels::new(self.size(), base)
    }

    /// Leaves out the octaves before `octave`.
    pub fn go_to(&mut self, octave: usize) {
        (self.octave, self.base) = (octave, None);
    }

    /// Goes on to the next larger octave: what was dreamt is brought to its size and laid over it.
    pub fn enlarge(&mut self, pixels: Pixels) -> Pixels {
        let to = self.octave.saturating_sub(1);
        let detail = self.detail(pixels);
        self.go_to(to);
        let base = self.at_size_of(to, self.ground.rgb());
        self.keep(&base);
        Pixels::new(self.size(), self.laid_over(base, &detail, to + 1, to))
    }

    /// What `pixels`, of the octave in work, have over the photo.
    fn detail(&mut self, pixels: Pixels) -> Vec<f32> {
        let base = self.base.take().unwrap_or_else(|| self.at_size_of(self.octave, self.ground.rgb()));
        let mut detail = pixels.into_rgb();
        detail.iter_mut().zip(&base).for_each(|(pixel, base)| *pixel -= base);
        detail
    }

    /// `base` of the octave `to`, and on it a detail of the octave `from`.
    fn laid_over(&self, mut base: Vec<f32>, detail: &[f32], from: usize, to: usize) -> Vec<f32> {
        let (from, to) = (self.octaves[from], self.octaves[to]);
        let mut rest = base.as_mut_slice();
        let add = |rows: Vec<f32>| {
            let (under, below) = std::mem::take(&mut rest).split_at_mut(rows.len());
            under.iter_mut().zip(&rows).for_each(|(base, detail)| *base += detail);
            rest = below;
        };
        match self.filter {
            OctaveFilter::Zoom => zoom_linear_strips(detail, 3, from, to, add),
            OctaveFilter::Smooth => resize_strips(detail, 3, from, to, Filter::CatmullRom, add),
        }
        base
    }

    /// The photo at the size of an octave, made of that at full size.
    fn at_size_of(&self, octave: usize, full: Vec<f32>) -> Vec<f32> {
        match self.filter {
            _ if octave == 0 => full,
            OctaveFilter::Smooth => resize(&full, 3, self.octaves[0], self.octaves[octave], Filter::CatmullRom),
            OctaveFilter::Zoom => self.octaves[..=octave]
                .windows(2)
                .fold(full, |larger, sizes| zoom_linear(&larger, 3, sizes[0], sizes[1])),
        }
    }

    fn keep(&mut self, base: &[f32]) {
        self.base = (size_of_val(base) <= KEPT_BASE_BYTES).then(|| base.to_vec());
    }

    /// The dream at full size, with the photo's alpha and, if `keeps_colors`, its colours.
    pub fn full(mut self, pixels: Pixels, keeps_colors: bool) -> Picture {
        let octave = self.octave;
        let rgb = if octave == 0 {
            pixels.into_rgb()
        } else {
            let detail = self.detail(pixels);
            self.laid_over(self.ground.rgb(), &detail, octave, 0)
        };
        let base = keeps_colors.then(|| self.ground.rgb());
        picture(self.octaves[0], rgb, base.as_deref()).with_alpha(self.ground.into_alpha())
    }

    /// As [`Canvas::full`], of a dream that goes on.
    pub fn full_so_far(&self, pixels: &Pixels, keeps_colors: bool) -> Picture {
        let Self { ground, octaves, octave, filter, .. } = self;
        let copy =
            Self { ground: ground.clone(), octaves: octaves.clone(), octave: *octave, base: None, filter: *filter };
        copy.full(pixels.clone(), keeps_colors)
    }

    /// The dream at the size of the octave in work, without alpha; of a large one every second pixel, or fewer.
    pub fn preview(&self, pixels: &Pixels, keeps_colors: bool) -> Picture {
        let base = keeps_colors.then(|| match &self.base {
            Some(base) => Cow::Borrowed(base.as_slice()),
            None => Cow::Owned(self.at_size_of(self.octave, self.ground.rgb())),
        });
        let [height, width] = pixels.size();
        let step = height.max(width).div_ceil(LARGEST_PREVIEW_PX);
        let thin = |rgb: &[f32]| match step {
            1 => rgb.to_vec(),
            _ => {
                let rows = rgb.chunks_exact(width * 3).step_by(step);
                rows.flat_map(|row| row.as_chunks::<3>().0.iter().step_by(step).flatten()).copied().collect()
            }
        };
        let size = [height, width].map(|side| side.div_ceil(step));
        picture(size, thin(pixels.rgb()), base.as_deref().map(thin).as_deref())
    }
}

/// In the range that files can hold, in the colours of `base` where that is given.
fn picture([height, width]: [usize; 2], mut rgb: Vec<f32>, base: Option<&[f32]>) -> Picture {
    let [low, high] = PIXEL_RANGE;
    rgb.iter_mut().for_each(|value| *value = value.clamp(low, high));
    let picture = Picture::from_rgb(width, height, rgb);
    match base {
        Some(base) => keep_colors(picture, base),
        None => picture,
    }
}

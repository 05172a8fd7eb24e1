//! A dream as a job: octave by octave, one step of ascent at a time.

use super::error::DreamError;
use super::recipe::Recipe;
use super::spec::{DreamSpec, OctaveFilter};
use crate::imageio::{Filter, Picture, keep_colors, resize, zoom_linear};
use crate::job::{Flow, Job, Outbox, Position};
use crate::nn::exec::{FrozenNet, Session};
use crate::optvis::ascent::{Ascent, Rule};
use crate::optvis::objective::Objective;
use crate::optvis::param::{PIXEL_RANGE, Pixels};
use crate::tasks::TaskError;

use super::memory::input_shape;

/// A dreamt picture.
#[derive(Clone, Debug)]
pub struct Dream {
    /// At full size, with the photo's alpha.
    pub picture: Picture,
    /// What repeats it; goes into the file as [`Recipe::to_text`].
    pub recipe: Recipe,
    /// Steps of all octaves that are done.
    pub steps_done: usize,
    /// The objective at the first and at the last step of the last octave in work.
    pub objective: Option<[f64; 2]>,
}

/// What a dream begins with.
pub(super) struct Start {
    /// `[height, width]` of every octave, the full one first.
    pub octaves: Vec<[usize; 2]>,
    /// The photo at those sizes.
    pub bases: Vec<Vec<f32>>,
    pub alpha: Option<Vec<f32>>,
    pub warnings: Vec<String>,
    pub recipe: Recipe,
}

/// A dream in work. Made by [`super::Dreamer::dream`].
pub struct DreamJob {
    spec: DreamSpec,
    net: FrozenNet,
    ascent: Ascent,
    session: Option<Session>,
    octaves: Vec<[usize; 2]>,
    /// Of the octaves that are not yet done, the full one first; the last is that in work.
    bases: Vec<Vec<f32>>,
    alpha: Option<Vec<f32>>,
    pixels: Pixels,
    /// Steps done in the octave in work.
    step: usize,
    done: usize,
    objective: Option<[f64; 2]>,
    warnings: Vec<String>,
    recipe: Recipe,
}

impl DreamJob {
    pub(super) fn new(spec: DreamSpec, rule: Rule, objective: Objective, net: FrozenNet, start: Start) -> Self {
        let Start { octaves, bases, alpha, warnings, recipe } = start;
        let smallest = octaves[octaves.len() - 1];
        let pixels = Pixels::new(smallest, bases[bases.len() - 1].clone());
        let ascent = Ascent::new(rule, objective, net.graph().preprocess().clone(), smallest);
        Self {
            spec,
            net,
            ascent,
            session: None,
            octaves,
            bases,
            alpha,
            pixels,
            step: 0,
            done: 0,
            objective: None,
            warnings,
            recipe,
        }
    }

    /// `[height, width]` of the result.
    pub fn size_px(&self) -> [usize; 2] {
        self.octaves[0]
    }

    /// The octave in work, counted from the full one.
    fn octave(&self) -> usize {
        self.bases.len() - 1
    }

    fn total(&self) -> usize {
        self.octaves.len() * self.spec.steps
    }

    /// Goes on to the next larger octave: what was dreamt is brought to its size and laid over it.
    fn enlarge(&mut self) {
        let from = self.pixels.size();
        let to = self.octaves[self.octave() - 1];
        let old_base = self.bases.pop().unwrap_or_default();
        let base = &self.bases[self.bases.len() - 1];
        self.pixels =
            Pixels::new(to, with_detail(self.spec.octave_filter, (&self.pixels, &old_base), from, (base, to)));
        self.ascent.set_size(to);
        self.step = 0;
        self.objective = None;
    }

    /// The picture at full size as it is now.
    fn full(&self) -> Picture {
        let full = self.octaves[0];
        let base = &self.bases[0];
        let mut rgb = if self.octave() == 0 {
            self.pixels.rgb().to_vec()
        } else {
            let own_base = &self.bases[self.octave()];
            with_detail(self.spec.octave_filter, (&self.pixels, own_base), self.pixels.size(), (base, full))
        };
        clip(&mut rgb);
        let [height, width] = full;
        let mut picture = Picture::from_rgb(width, height, rgb);
        if self.spec.keep_colors {
            picture = keep_colors(&picture, &Picture::from_rgb(width, height, base.clone()));
        }
        picture.with_alpha(self.alpha.clone())
    }

    fn dream(&self) -> Dream {
        let stopped_after = (self.done < self.total()).then_some(self.done);
        let recipe = Recipe { stopped_after, ..self.recipe.clone() };
        Dream { picture: self.full(), recipe, steps_done: self.done, objective: self.objective }
    }

    fn ascend(&mut self) -> Result<(), DreamError> {
        if self.step == self.spec.steps {
            self.enlarge();
        }
        if self.step == 0 {
            let input = input_shape(&self.net, self.pixels.size())?;
            self.session = Some(self.net.session(&input, true, self.session.take())?);
        }
        let Some(session) = &mut self.session else { return Ok(()) };
        let roll = self.spec.jitter.at(self.spec.seed, self.done);
        let value = self.ascent.step(&mut self.pixels, session, roll)?;
        self.objective = Some([self.objective.map_or(value, |[first, _]| first), value]);
        self.step += 1;
        self.done += 1;
        Ok(())
    }
}

/// `base` at the size `to`, and on it what `pixels` have over their own base at the size `from`.
fn with_detail(
    filter: OctaveFilter,
    (pixels, own_base): (&Pixels, &[f32]),
    from: [usize; 2],
    (base, to): (&[f32], [usize; 2]),
) -> Vec<f32> {
    let detail: Vec<f32> = pixels.rgb().iter().zip(own_base).map(|(pixel, base)| pixel - base).collect();
    let mut sum = match filter {
        OctaveFilter::Zoom => zoom_linear(&detail, 3, from, to),
        OctaveFilter::Smooth => resize(&detail, 3, from, to, Filter::CatmullRom),
    };
    sum.iter_mut().zip(base).for_each(|(sum, base)| *sum += base);
    sum
}

fn clip(rgb: &mut [f32]) {
    let [low, high] = PIXEL_RANGE;
    rgb.iter_mut().for_each(|value| *value = value.clamp(low, high));
}

impl Job for DreamJob {
    type Output = Dream;
    /// At the size of the octave in work, without alpha.
    type Preview = Picture;
    type Error = TaskError;

    fn step(&mut self, outbox: &mut Outbox<'_, Dream>) -> Result<Flow, TaskError> {
        for warning in self.warnings.drain(..) {
            outbox.warn(warning);
        }
        self.ascend()?;
        if self.done == self.total() {
            return Ok(Flow::Done);
        }
        if self.spec.save_every > 0 && self.done.is_multiple_of(self.spec.save_every) {
            outbox.intermediate(self.dream());
        }
        Ok(Flow::Continue)
    }

    fn position(&self) -> Position {
        let pixels = |[height, width]: &[usize; 2]| height * width;
        let all: usize = self.octaves.iter().map(pixels).sum();
        let finished: usize = self.octaves[self.octave() + 1..].iter().map(pixels).sum();
        let in_work = pixels(&self.octaves[self.octave()]) * self.step;
        Position {
            stage_name: "octave",
            stage: self.octaves.len() - self.octave(),
            stages: self.octaves.len(),
            step: self.step,
            steps: self.spec.steps,
            done: self.done,
            total: self.total(),
            work_done: (finished * self.spec.steps + in_work) as f64 / (all * self.spec.steps) as f64,
            objective: self.objective.map(|[_, last]| last),
        }
    }

    fn preview(&mut self) -> Option<Picture> {
        let mut rgb = self.pixels.rgb().to_vec();
        clip(&mut rgb);
        let [height, width] = self.pixels.size();
        let picture = Picture::from_rgb(width, height, rgb);
        if !self.spec.keep_colors {
            return Some(picture);
        }
        let base = self.bases[self.octave()].clone();
        Some(keep_colors(&picture, &Picture::from_rgb(width, height, base)))
    }

    fn finish(self) -> Result<Dream, TaskError> {
        Ok(self.dream())
    }
}

//! A dream as a job: octave by octave, one step of ascent at a time.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use super::canvas::Canvas;
use super::change::Change;
use super::checkpoint::Checkpoint;
use super::error::DreamError;
use super::estimate::{self, Estimate, Work};
use super::frame::{Frame, State};
use super::ready::Ready;
use super::recipe::Recipe;
use super::reel::Reel;
use super::spec::DreamSpec;
use super::steering::Steering;
use crate::imageio::Picture;
use crate::job::{Flow, Job, Outbox, Position};
use crate::optvis::ascent::{Ascent, Pieces};
use crate::optvis::param::Pixels;
use crate::tasks::TaskError;

/// A dreamt picture.
#[derive(Clone, Debug)]
pub struct Dream {
    /// At full size, with the photo's alpha.
    pub picture: Picture,
    /// What repeats it; goes into the file as [`Recipe::to_text`].
    pub recipe: Recipe,
    /// Steps of all octaves that are done.
    pub steps_done: usize,
    /// The objective at the first and at the last step of the last octave in work, since its last change of settings.
    pub objective: Option<[f64; 2]>,
}

/// A dream in work. Made by [`super::Dreamer::dream`] and [`super::Dreamer::resume`].
pub struct DreamJob {
    ready: Ready,
    ascent: Ascent,
    pieces: Option<Pieces>,
    /// Whether they fit the octave in work and the layers.
    pieces_fit: bool,
    canvas: Canvas,
    pixels: Pixels,
    /// Steps done in the octave in work, as [`DreamSpec::steps`] counts them.
    step: usize,
    /// Steps done in each octave up to that in work, the smallest first.
    steps_by_octave: Vec<usize>,
    /// Steps done in all octaves.
    done: usize,
    objective: Option<[f64; 2]>,
    warnings: Vec<String>,
    /// With the changes that were made so far. Frames share it.
    recipe: Arc<Recipe>,
    /// Changes of a recipe that is repeated, still to be made.
    scheduled: VecDeque<Change>,
    steering: Steering,
    reel: Option<Arc<Reel>>,
    checkpoint: Option<Checkpoint>,
}

impl DreamJob {
    pub(super) fn new(ready: Ready, mut canvas: Canvas, recipe: Recipe, warnings: Vec<String>) -> Self {
        let pixels = canvas.start();
        let mut steps_by_octave = Vec::with_capacity(canvas.octaves().len());
        steps_by_octave.push(0);
        Self {
            ascent: ascent(&ready, canvas.size()),
            ready,
            pieces: None,
            pieces_fit: false,
            canvas,
            pixels,
            step: 0,
            steps_by_octave,
            done: 0,
            objective: None,
            warnings,
            recipe: Arc::new(recipe),
            scheduled: VecDeque::new(),
            steering: Steering::default(),
            reel: None,
            checkpoint: None,
        }
    }

    /// With the changes of a recipe to be made on the way.
    pub(super) fn with_changes(mut self, changes: Vec<Change>) -> Self {
        self.scheduled = changes.into();
        self.follow_schedule();
        self
    }

    /// In the state of `frame`, whose octave is in work; from there on with this job's settings.
    pub(super) fn at(mut self, frame: &Frame) -> Self {
        self.pixels = frame.pixels();
        self.step = frame.state.step;
        self.steps_by_octave.clear();
        self.steps_by_octave.extend_from_slice(&frame.state.steps_by_octave);
        self.done = frame.done;
        self.objective = frame.objectives();
        if frame.is_last() || self.ready.spec.recorded() != *frame.spec() {
            self.note_change(frame.is_last());
        }
        self
    }

    /// Hands the dream new settings while it runs.
    ///
    /// What changes nothing in the result, and every setting but those that need a new start
    /// ([`DreamSpec::can_become`]), can be changed. Every change is in the recipe of the result. Fewer steps than are done
    /// in the octave in work end it. New settings that come while the last step of all is made go on from it, with
    /// another [`DreamSpec::steps`] steps at full size.
    pub fn steering(&self) -> Steering {
        self.steering.clone()
    }

    /// Keeps every step's state in `reel` from now on; of pictures that alone exceed its budget, only the last.
    pub fn keep_steps(&mut self, reel: Arc<Reel>) {
        self.reel = Some(reel);
    }

    /// Writes the latest frame to `path` at every [`Job::checkpoint`], as [`Frame::to_bytes`] has it. The one before
    /// stays beside it as `PATH.old`. A file that cannot be written is told about in a warning.
    pub fn checkpoint_to(&mut self, path: PathBuf) {
        self.checkpoint = Some(Checkpoint::new(path));
    }

    /// The state now, as a frame.
    pub fn frame(&self) -> Arc<Frame> {
        let octaves = self.canvas.octaves().len();
        Arc::new(Frame {
            done: self.done,
            octave: octaves - self.canvas.octave(),
            octaves,
            size_px: self.pixels.size(),
            objective: self.objective.map(|[_, last]| last),
            state: State {
                rgb: self.pixels.rgb().to_vec(),
                step: self.step,
                steps_by_octave: self.steps_by_octave.clone(),
                first_objective: self.objective.map(|[first, _]| first),
                recipe: self.recipe.clone(),
            },
        })
    }

    /// What the dream will take, measured on a piece of it; none for a dream of some seconds, where nothing is measured.
    ///
    /// # Errors
    /// As for the first step.
    pub fn estimate(&mut self) -> Result<Option<Estimate>, TaskError> {
        Ok(self.estimated()?)
    }

    fn estimated(&mut self) -> Result<Option<Estimate>, DreamError> {
        let (octave, steps) = (self.canvas.octave(), self.ready.spec.steps);
        let left = |place| if place == octave { steps.saturating_sub(self.step) } else { steps };
        let octaves = self.canvas.octaves()[..=octave].iter().enumerate();
        let work: Vec<Work> = octaves.map(|(place, &size)| Work { size, steps: left(place) }).collect();
        if !estimate::is_long(&self.ready, &work)? {
            return Ok(None);
        }
        let (seconds, pieces) = estimate::seconds(&self.ready, &work)?;
        (self.pieces, self.pieces_fit) = (pieces, false);
        let size_px = self.size_px();
        let tiles = self.ready.tiling(size_px)?.count();
        let memory_bytes = self.ready.memory_bytes(size_px, self.canvas.ground())?;
        Ok(Some(Estimate { seconds, memory_bytes, size_px, tiles }))
    }

    /// `[height, width]` of the result.
    pub fn size_px(&self) -> [usize; 2] {
        self.canvas.octaves()[0]
    }

    /// The settings in force, with the layers that are in use.
    pub fn spec(&self) -> &DreamSpec {
        &self.ready.spec
    }

    fn is_complete(&self) -> bool {
        self.canvas.octave() == 0 && self.step >= self.ready.spec.steps
    }

    /// What repeats the dream up to here.
    fn recipe_so_far(&self) -> Recipe {
        let stopped_after = (!self.is_complete()).then_some(self.done);
        Recipe { stopped_after, ..(*self.recipe).clone() }
    }

    fn dream_so_far(&self) -> Dream {
        let picture = self.canvas.full_so_far(&self.pixels, self.ready.spec.keep_colors);
        Dream { picture, recipe: self.recipe_so_far(), steps_done: self.done, objective: self.objective }
    }

    /// Takes new settings, or says in a warning why not.
    fn follow_steering(&mut self) {
        if let Some(spec) = self.steering.take() {
            self.change(spec, false).unwrap_or_else(|error| self.refuse(error));
        }
    }

    /// Makes the changes of a recipe that are due.
    fn follow_schedule(&mut self) {
        while let Some(change) = self.scheduled.pop_front_if(|change| change.after <= self.done) {
            let DreamSpec { save_every, max_memory, .. } = self.ready.spec;
            let spec = DreamSpec { save_every, max_memory, ..change.dream };
            self.change(spec, true).unwrap_or_else(|error| self.refuse(error));
        }
    }

    fn refuse(&mut self, error: DreamError) {
        self.warnings.push(DreamError::change(self.done, error).to_string());
    }

    /// Puts `spec` in force. The same settings over again are a change only where a recipe has it so: at the end of the
    /// dream they make it go on, and elsewhere the recipe stays as it is.
    fn change(&mut self, mut spec: DreamSpec, of_recipe: bool) -> Result<(), DreamError> {
        spec.tile = spec.tile.or(self.ready.spec.tile);
        let mut ready = self.ready.changed(spec)?;
        let was_complete = self.is_complete();
        if ready.spec.recorded() == self.ready.spec.recorded() && !of_recipe {
            self.ready = ready;
            return Ok(());
        }
        let is_over = self.canvas.octave() > 0 && self.step >= ready.spec.steps;
        let to_come = &self.canvas.octaves()[..self.canvas.octave() + usize::from(!is_over)];
        ready.spec.tile = ready.check_rest(&self.ready, to_come, self.canvas.size())?;
        let old = std::mem::replace(&mut self.ready, ready);
        // The old memory goes before the new comes.
        self.ascent.set_size([0, 0]);
        self.ascent = ascent(&self.ready, self.canvas.size());
        let is_cut_alike = old.spec.tile == self.ready.spec.tile;
        self.pieces_fit &= is_cut_alike && old.net.targets() == self.ready.net.targets();
        self.note_change(was_complete);
        Ok(())
    }

    /// Records that the settings of `self.ready` have taken the place of others.
    fn note_change(&mut self, was_complete: bool) {
        let change = Change { after: self.done, dream: self.ready.spec.recorded() };
        let changes = &mut Arc::make_mut(&mut self.recipe).changes;
        // Only the last of several changes at one step matters; but one that ended the dream is what others go on from.
        if !was_complete && changes.last().is_some_and(|last| last.after == self.done) {
            changes.pop();
        }
        changes.push(change);
        if was_complete {
            self.step = 0;
        }
        // Values before and after cannot be compared.
        self.objective = None;
    }

    /// Works on the next step: all of it, or one more piece of its gradient. Returns whether the step is made.
    fn ascend(&mut self) -> Result<bool, DreamError> {
        if self.step >= self.ready.spec.steps {
            self.go_to_next_octave();
        }
        if !self.pieces_fit {
            self.pieces = Some(self.ready.pieces(self.pixels.size(), self.pieces.take())?);
            self.pieces_fit = true;
        }
        let Some(pieces) = &mut self.pieces else { return Ok(false) };
        let roll = self.ready.spec.jitter.at(self.ready.spec.seed, self.done);
        let Some(value) = self.ascent.advance(&mut self.pixels, pieces, roll)? else { return Ok(false) };
        self.objective = Some([self.objective.map_or(value, |[first, _]| first), value]);
        self.step += 1;
        self.done += 1;
        if let Some(steps) = self.steps_by_octave.last_mut() {
            *steps += 1;
        }
        Ok(true)
    }

    fn go_to_next_octave(&mut self) {
        // Both sizes at once would be the most memory that a dream takes.
        self.ascent.set_size([0, 0]);
        let smaller = std::mem::replace(&mut self.pixels, Pixels::new([0, 0], Vec::new()));
        self.pixels = self.canvas.enlarge(smaller);
        self.ascent.set_size(self.pixels.size());
        self.pieces_fit = false;
        self.step = 0;
        self.steps_by_octave.push(0);
        self.objective = None;
    }

    /// Whether a step is in work, of which some pieces are done.
    fn is_within_step(&self) -> bool {
        self.ascent.pieces_done() > 0
    }

    fn keep(&self) {
        let bytes = size_of_val(self.pixels.rgb());
        if let Some(reel) = &self.reel
            && (self.is_complete() || bytes <= reel.budget_bytes())
        {
            reel.push(self.frame());
        }
    }

    /// One step, and what follows from it.
    fn go_on(&mut self, outbox: &mut Outbox<'_, Dream>) -> Result<(), DreamError> {
        if !self.ascend()? {
            return Ok(());
        }
        self.keep();
        let save_every = self.ready.spec.save_every;
        if save_every > 0 && self.done.is_multiple_of(save_every) && !self.is_complete() {
            outbox.intermediate(self.dream_so_far());
        }
        self.follow_schedule();
        if self.is_complete() {
            self.follow_steering();
        }
        Ok(())
    }

    fn tell(&mut self, outbox: &mut Outbox<'_, Dream>) {
        self.warnings.drain(..).for_each(|warning| outbox.warn(warning));
    }
}

fn ascent(ready: &Ready, size: [usize; 2]) -> Ascent {
    Ascent::new(ready.rule(), ready.goal.objective.clone(), ready.net.graph().preprocess().clone(), size)
}

impl Job for DreamJob {
    type Output = Dream;
    /// At the size of the octave in work, without alpha.
    type Preview = Picture;
    type Error = TaskError;

    fn step(&mut self, outbox: &mut Outbox<'_, Dream>) -> Result<Flow, TaskError> {
        if !self.is_within_step() {
            self.follow_steering();
            self.tell(outbox);
        }
        if self.is_complete() {
            // The new settings ended the dream: the frame of the last step is now its last.
            self.keep();
        } else {
            self.go_on(outbox)?;
            self.tell(outbox);
        }
        if !self.is_complete() {
            return Ok(Flow::Continue);
        }
        if let Some(change) = self.scheduled.front() {
            outbox.warn(format!("the dream ended before step {}, after which its recipe changes it", change.after));
        }
        Ok(Flow::Done)
    }

    fn position(&self) -> Position {
        let octaves = self.canvas.octaves();
        let octave = self.canvas.octave();
        let steps = self.ready.spec.steps;
        let left = steps.saturating_sub(self.step);
        // Steps cost what they have pixels. Sums of whole numbers: exact.
        let pixels = |[height, width]: &[usize; 2]| (height * width) as f64;
        let cost = |sizes: &[[usize; 2]]| sizes.iter().map(pixels).sum::<f64>() * steps as f64;
        let spent = octaves.iter().rev().zip(&self.steps_by_octave).map(|(size, &steps)| pixels(size) * steps as f64);
        let in_work = self.pieces.as_ref().map_or(0.0, |pieces| {
            self.ascent.pieces_done() as f64 / pieces.tiling.count() as f64 * pixels(&octaves[octave])
        });
        let spent = spent.sum::<f64>() + in_work;
        let ahead = cost(&octaves[..octave]) + pixels(&octaves[octave]) * left as f64 - in_work;
        Position {
            stage_name: "octave",
            stage: octaves.len() - octave,
            stages: octaves.len(),
            step: self.step,
            steps: steps.max(self.step),
            done: self.done,
            total: self.done + left + octave * steps,
            work_done: spent / (spent + ahead),
            objective: self.objective.map(|[_, last]| last),
        }
    }

    fn preview(&mut self) -> Option<Picture> {
        Some(self.canvas.preview(&self.pixels, self.ready.spec.keep_colors))
    }

    fn checkpoint(&mut self) -> Result<(), TaskError> {
        if self.checkpoint.is_none() {
            return Ok(());
        }
        let bytes = self.frame().to_bytes()?;
        let failure = self.checkpoint.as_mut().and_then(|checkpoint| checkpoint.write(&bytes));
        self.warnings.extend(failure);
        Ok(())
    }

    fn finish(self) -> Result<Dream, TaskError> {
        let recipe = self.recipe_so_far();
        let Self { ready, canvas, pixels, done, objective, ascent, pieces, .. } = self;
        // The memory of steps goes before that of the result comes.
        drop((ascent, pieces));
        let picture = canvas.full(pixels, ready.spec.keep_colors);
        Ok(Dream { picture, recipe, steps_done: done, objective })
    }
}

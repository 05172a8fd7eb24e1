//! `--animation`: a dream's steps become frames.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::failure::Failure;
use crate::imageio::{AnimationFormat, AnimationOptions, FrameSpool, Picture, Saved, check_writable};
use crate::tasks::destination::is_same_file;
use crate::tasks::dream::{Dream, DreamSpec};

/// Enough for a dream to grow smoothly; more only make the file larger.
const MAX_STEPS_SHOWN: usize = 60;

/// What `--animation` asks for.
pub struct AnimationPlan {
    path: PathBuf,
    format: AnimationFormat,
    /// Steps from one frame to the next.
    every: usize,
}

impl AnimationPlan {
    pub fn new(path: &Path, spec: &DreamSpec, many: bool) -> Result<Self, Failure> {
        if many {
            let problem = "--animation names one file, but there are several photos: dream of one at a time";
            return Err(Failure::Input(anyhow!(problem)));
        }
        let format = AnimationFormat::of_path(path).map_err(Failure::input)?;
        check_writable(path)?;
        let steps = spec.octaves.saturating_mul(spec.steps);
        Ok(Self { path: path.to_path_buf(), format, every: steps.div_ceil(MAX_STEPS_SHOWN).max(1) })
    }

    /// After how many steps each a dream must be delivered, for the frames and for what is saved after every so many
    /// steps (0: nothing).
    pub fn deliver_every(&self, save_every: usize) -> usize {
        let (mut a, mut b) = (self.every, save_every);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    }

    pub fn has_alpha(&self) -> bool {
        self.format != AnimationFormat::Gif
    }

    /// No frames yet. Refuses to write over the photo or the picture.
    pub fn begin(&self, photo: Option<&Path>, out: &Path) -> Result<Animation, Failure> {
        let path = &self.path;
        let same_as_out = matches!((std::path::absolute(path), std::path::absolute(out)), (Ok(a), Ok(b)) if a == b);
        let taken = if photo.is_some_and(|photo| is_same_file(photo, path)) {
            Some("the photo itself")
        } else {
            (same_as_out || is_same_file(path, out)).then_some("where the picture goes")
        };
        if let Some(what) = taken {
            return Err(Failure::Input(anyhow!("{} is {what}: choose another name for --animation", path.display())));
        }
        let spool = FrameSpool::new(path, AnimationOptions::new(self.format))?;
        Ok(Animation { spool, every: self.every, last_step: 0 })
    }
}

/// Frames of a dream that goes on. They wait on disk.
pub struct Animation {
    spool: FrameSpool,
    every: usize,
    last_step: usize,
}

impl Animation {
    pub fn path(&self) -> &Path {
        self.spool.path()
    }

    /// The number of frames.
    pub fn len(&self) -> usize {
        self.spool.len()
    }

    /// Appends the photo, at the `size` ([height, width]) that it is dreamt at.
    pub fn start_with(&mut self, photo: &Picture, size: [usize; 2]) -> Result<(), Failure> {
        Ok(self.spool.push(&photo.resized(size, crate::imageio::Filter::Lanczos3))?)
    }

    /// Appends a dream on the way, when it is time for a frame.
    pub fn add(&mut self, dream: &Dream) -> Result<(), Failure> {
        if dream.steps_done.is_multiple_of(self.every) { self.append(dream) } else { Ok(()) }
    }

    /// Appends the result.
    pub fn end_with(&mut self, dream: &Dream) -> Result<(), Failure> {
        self.spool.set_recipe(Some(dream.recipe.to_text()));
        if dream.steps_done == self.last_step { Ok(()) } else { self.append(dream) }
    }

    fn append(&mut self, dream: &Dream) -> Result<(), Failure> {
        self.last_step = dream.steps_done;
        Ok(self.spool.push(&dream.picture)?)
    }

    /// Writes the file, while it is not `interrupted`.
    pub fn save(&mut self, interrupted: impl Fn() -> bool) -> Result<Saved, Failure> {
        Ok(self.spool.save(&mut |_, _| !interrupted())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_pictures_on_the_way_do_not_hinder_each_other() {
        let plan = |every| AnimationPlan { path: PathBuf::from("a.gif"), format: AnimationFormat::Gif, every };
        for (every, save_every, want) in [(1, 0, 1), (4, 0, 4), (4, 6, 2), (3, 9, 3), (10, 5, 5), (2, 47, 1)] {
            assert_eq!(plan(every).deliver_every(save_every), want, "{every} and {save_every}");
        }
    }

    #[test]
    fn about_sixty_steps_are_shown() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let every = |octaves, steps| {
            let spec = DreamSpec { octaves, steps, ..DreamSpec::preset(crate::tasks::dream::Preset::default()) };
            AnimationPlan::new(&folder.path().join("a.gif"), &spec, false).expect("writable").every
        };
        assert_eq!([every(1, 2), every(3, 20), every(4, 20), every(4, 1000)], [1, 1, 2, 67]);
        assert_eq!(every(usize::MAX, 2), usize::MAX.div_ceil(MAX_STEPS_SHOWN));
    }
}

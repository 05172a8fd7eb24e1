//! `oneiric dream`: photos, folders, noise or a recipe in; dreams out.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::anyhow;
use serde::Serialize;

use super::animation::{Animation, AnimationPlan};
use super::args::{DreamArgs, SaveArgs};
use super::destination::{Destination, expand_folders, with_step};
use super::failure::{Exit, Failure};
use super::follow::{StopAfter, follow};
use super::interrupt::Interrupts;
use super::net;
use super::output::Report;
use super::progress::Reporter;
use crate::base::text::duration;
use crate::imageio::{self, ImageError, OutputFormat, SaveOptions, Saved};
use crate::job::How;
use crate::tasks::dream::{Dream, DreamJob, DreamSpec, Dreamer, Photo, Preset, Recipe};

/// What a run is to do, with everything on the command line taken into account.
struct Plan {
    spec: DreamSpec,
    /// What the dreams start from.
    starts: Vec<Start>,
    destination: Destination,
    animation: Option<AnimationPlan>,
    /// A recipe that is repeated as it is, with its changes on the way.
    repeats: Option<Recipe>,
    /// Whether the recipe's changes are dropped: under other options, or on another photo, it is a new dream, which has
    /// the same settings from its start to its end.
    leaves_out_changes: bool,
}

/// What one dream starts from.
enum Start {
    Photo(PathBuf),
    Noise,
}

impl Start {
    fn photo(&self) -> Option<&Path> {
        match self {
            Self::Photo(path) => Some(path),
            Self::Noise => None,
        }
    }
}

/// One dream's line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    /// The photo; null for noise.
    file: Option<String>,
    out: &'a str,
    width: usize,
    height: usize,
    /// Steps done in all octaves.
    steps: usize,
    /// Whether Ctrl-C came before the end.
    stopped: bool,
    seconds: f64,
    /// At the first and the last step of the last octave.
    objective_start: Option<f64>,
    objective_end: Option<f64>,
    seed: u64,
    /// The file of `--animation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    animation: Option<String>,
}

/// What a long dream will take: a line of JSON before it starts.
#[derive(Serialize)]
struct EstimateLine {
    /// The photo; null for noise.
    file: Option<String>,
    width: usize,
    height: usize,
    /// At full size; 1 for the whole picture at once.
    tiles: usize,
    estimated_seconds: f64,
    /// Of the process, at its peak.
    estimated_memory_bytes: u64,
}

pub fn run(args: &DreamArgs) -> Result<Exit, Failure> {
    if args.list_presets {
        return list_presets(args.common.json);
    }
    let plan = Plan::new(args)?;
    let interrupts = Interrupts::watch()?;
    let graph = net::open(&plan.spec.net, &plan.spec.net_options, args.common.quiet)?;
    let changes = plan.repeats.as_ref().map(|recipe| recipe.changes.clone()).unwrap_or_default();
    let reporter = Reporter::new(args.common.quiet);
    if plan.leaves_out_changes {
        reporter.note("this is another dream than the recipe's: what the recipe changes on the way is left out");
    }
    let mut session = DreamSession {
        dreamer: Dreamer::new(plan.spec.clone(), graph)?.with_changes(changes)?,
        plan: &plan,
        save: &args.save,
        reporter,
        report: Report::to_stdout(args.common.json),
        interrupts,
    };
    let mut exit = Exit::Done;
    for (i, start) in plan.starts.iter().enumerate() {
        if session.interrupts.requested() {
            return Ok(Exit::Interrupted);
        }
        if let (Some(photo), true) = (start.photo(), plan.starts.len() > 1) {
            session.reporter.heading(&format!("{} of {}: {}", i + 1, plan.starts.len(), photo.display()));
        }
        match session.dream(start) {
            Ok(How::Completed) => {}
            Ok(How::Cancelled) => return Ok(Exit::Interrupted),
            Err(Failure::NobodyReads) => return Err(Failure::NobodyReads),
            // One bad photo does not stop the others.
            Err(failure) => exit = exit.or_worse(failure.report()),
        }
    }
    Ok(exit)
}

impl Plan {
    fn new(args: &DreamArgs) -> Result<Self, Failure> {
        let recipe = args.recipe.as_deref().map(Recipe::from_file).transpose().map_err(Failure::input)?;
        let base = match &recipe {
            Some(recipe) => recipe.dream.clone(),
            None => DreamSpec::preset(args.preset.unwrap_or_default()),
        };
        let mut spec = args.override_spec(base.clone());
        let starts = starts(args, recipe.as_ref(), &spec)?;
        let many = starts.len() > 1 || args.photos.iter().any(|path| path.is_dir());
        let destination = Destination::new(args.save.out.as_deref(), many)?;
        let as_it_is = args.photos.is_empty() && DreamSpec { save_every: 0, max_memory: None, ..spec.clone() } == base;
        let leaves_out_changes = !as_it_is && recipe.as_ref().is_some_and(|recipe| !recipe.changes.is_empty());
        let plan_of = |path: &PathBuf| AnimationPlan::new(path, &spec, many);
        let animation = args.save.animation.as_ref().map(plan_of).transpose()?;
        if let Some(animation) = &animation {
            spec.save_every = animation.deliver_every(spec.save_every);
        }
        let repeats = recipe.filter(|_| as_it_is);
        Ok(Self { spec, starts, destination, animation, repeats, leaves_out_changes })
    }
}

fn starts(args: &DreamArgs, recipe: Option<&Recipe>, spec: &DreamSpec) -> Result<Vec<Start>, Failure> {
    if !args.photos.is_empty() {
        return Ok(expand_folders(&args.photos)?.into_iter().map(Start::Photo).collect());
    }
    if spec.from_noise.is_some() {
        return Ok(vec![Start::Noise]);
    }
    if let (Some(recipe), Some(path)) = (recipe, &args.recipe)
        && let Some(photo) = recipe.find_source(path).map_err(Failure::input)?
    {
        return Ok(vec![Start::Photo(photo)]);
    }
    Err(Failure::Input(anyhow!("there is nothing to dream of: name a photo or a folder, or start with --from-noise")))
}

/// One run of the command: a net that is ready, and where everything goes.
struct DreamSession<'a> {
    dreamer: Dreamer,
    plan: &'a Plan,
    save: &'a SaveArgs,
    reporter: Reporter,
    report: Report,
    interrupts: Interrupts,
}

impl DreamSession<'_> {
    /// Dreams once and saves it.
    fn dream(&mut self, start: &Start) -> Result<How, Failure> {
        let started = Instant::now();
        let out = self.plan.destination.file_for(start.photo())?;
        let saver = Saver::new(&out, self.save)?;
        let plan = self.plan;
        let begin = |animation: &AnimationPlan| animation.begin(start.photo(), &out);
        let mut animation = plan.animation.as_ref().map(begin).transpose()?;
        let photo = start.photo().map(|path| self.load(path)).transpose()?;
        if photo.as_ref().is_some_and(|photo| photo.picture.alpha.is_some()) {
            self.note_lost_alpha(saver.options.format);
        }
        let first_frame = photo.as_ref().filter(|_| animation.is_some()).map(|photo| photo.picture.clone());
        let mut job = self.dreamer.dream(photo)?;
        saver.check_size(job.size_px())?;
        if let (Some(animation), Some(first_frame)) = (&mut animation, first_frame) {
            animation.start_with(&first_frame, job.size_px())?;
        }
        self.tell_estimate(start, &mut job)?;
        let stop_after = plan.repeats.as_ref().and_then(|recipe| recipe.stopped_after);
        let job = StopAfter { job, steps: stop_after.unwrap_or(usize::MAX) };
        let save_every = self.save.save_every;
        let keep = |dream: Dream| {
            if let Some(animation) = &mut animation {
                animation.add(&dream)?;
            }
            let is_asked_for = save_every.is_some_and(|every| dream.steps_done.is_multiple_of(every));
            if is_asked_for { saver.save(&with_step(&out, dream.steps_done), &dream) } else { Ok(()) }
        };
        let ended = follow(job, &mut self.reporter, &self.interrupts, keep)?;
        if ended.output.steps_done == 0 {
            self.reporter.note("stopped before the first step: there is nothing to save");
            return Ok(ended.how);
        }
        saver.save(&out, &ended.output)?;
        self.tell(start, &out, &ended.output, ended.how, started)?;
        match animation {
            Some(animation) => self.animate(animation, &ended.output, ended.how),
            None => Ok(ended.how),
        }
    }

    /// Says of a long dream what it will take.
    fn tell_estimate(&mut self, start: &Start, job: &mut DreamJob) -> Result<(), Failure> {
        let Some(estimate) = job.estimate()? else { return Ok(()) };
        self.reporter.heading(&estimate.to_string());
        let [height, width] = estimate.size_px;
        self.report.object(&EstimateLine {
            file: start.photo().map(|photo| photo.to_string_lossy().into_owned()),
            width,
            height,
            tiles: estimate.tiles,
            estimated_seconds: estimate.seconds.round(),
            estimated_memory_bytes: estimate.memory_bytes,
        })
    }

    /// Writes the animation of what was dreamt. Ctrl-C before its end leaves it out.
    fn animate(&mut self, mut animation: Animation, dream: &Dream, how: How) -> Result<How, Failure> {
        let (started, path) = (Instant::now(), animation.path().display().to_string());
        animation.end_with(dream)?;
        self.reporter.heading(&format!("writing {path}: {} frames", animation.len()));
        // The Ctrl-C that ended the dream does not end this too.
        let interrupts = &self.interrupts;
        let saved = animation.save(|| how == How::Completed && interrupts.requested())?;
        if saved == Saved::Stopped {
            self.reporter.note(&format!("stopped: {path} was not written"));
            return Ok(How::Cancelled);
        }
        let seconds = duration(started.elapsed().as_secs_f64());
        self.report.line(format!("animation -> {path} ({} frames in {seconds})", animation.len()))?;
        Ok(how)
    }

    /// Says which of the files to come show a photo without its transparency.
    fn note_lost_alpha(&self, format: OutputFormat) {
        if format == OutputFormat::Jpeg {
            self.reporter.note("JPEG has no transparency: what is transparent becomes white");
        }
        if self.plan.animation.as_ref().is_some_and(|animation| !animation.has_alpha()) {
            self.reporter.note("a GIF of a dream has no transparency: what is transparent becomes white");
        }
    }

    fn load(&self, path: &Path) -> Result<Photo, Failure> {
        let photo = Photo::load(path, self.plan.spec.max_memory).map_err(Failure::input)?;
        let source = self.plan.repeats.as_ref().and_then(|recipe| recipe.source.as_ref());
        if source.is_some_and(|source| !source.is(&photo.picture)) {
            let file = path.display();
            self.reporter
                .note(&format!("{file} is not the picture that the recipe was made with: the dream will differ"));
        }
        Ok(photo)
    }

    fn tell(&mut self, start: &Start, out: &Path, dream: &Dream, how: How, since: Instant) -> Result<(), Failure> {
        let seconds = since.elapsed().as_secs_f64();
        let picture = &dream.picture;
        let stopped = how == How::Cancelled;
        let file = start.photo().map(|photo| photo.to_string_lossy().into_owned());
        let out = out.to_string_lossy();
        let text = format!(
            "{}{} -> {out} ({}×{}, {} steps in {})",
            if stopped { "stopped: " } else { "" },
            file.as_deref().unwrap_or("noise"),
            picture.width,
            picture.height,
            dream.steps_done,
            duration(seconds),
        );
        self.report.line(text)?;
        self.report.object(&Line {
            file,
            out: &out,
            width: picture.width,
            height: picture.height,
            steps: dream.steps_done,
            stopped,
            seconds: (seconds * 1000.0).round() / 1000.0,
            objective_start: dream.objective.map(|[start, _]| start),
            objective_end: dream.objective.map(|[_, end]| end),
            seed: self.plan.spec.seed,
            animation: self.save.animation.as_ref().map(|path| path.to_string_lossy().into_owned()),
        })
    }
}

/// Writes dreams in the format that the output's name asks for.
struct Saver {
    path: PathBuf,
    options: SaveOptions,
}

impl Saver {
    /// Finds what would keep a picture from being written there, before any work is done.
    fn new(out: &Path, save: &SaveArgs) -> Result<Self, Failure> {
        let format = OutputFormat::of_path(out).map_err(Failure::input)?;
        let mut options = SaveOptions::new(format);
        options.bits = save.bits.unwrap_or(options.bits);
        options.jpeg_quality = save.quality.unwrap_or(options.jpeg_quality);
        if options.bits == imageio::Bits::Sixteen && !format.has_sixteen_bits() {
            return Err(Failure::input(ImageError::NoSixteenBit { path: out.to_path_buf(), format }));
        }
        if save.quality.is_some() && format != OutputFormat::Jpeg {
            let problem = "--quality is for JPEG only: end the name of --out in .jpg, or leave it out";
            return Err(Failure::Input(anyhow!(problem)));
        }
        imageio::check_writable(out)?;
        Ok(Self { path: out.to_path_buf(), options })
    }

    fn check_size(&self, [height_px, width_px]: [usize; 2]) -> Result<(), Failure> {
        let format = self.options.format;
        let max_side_px = format.max_side_px();
        if height_px.max(width_px) <= max_side_px {
            return Ok(());
        }
        let path = self.path.clone();
        Err(Failure::input(ImageError::TooLargeForFormat { path, format, width_px, height_px, max_side_px }))
    }

    fn save(&self, path: &Path, dream: &Dream) -> Result<(), Failure> {
        let options = SaveOptions { recipe: Some(dream.recipe.to_text()), ..self.options.clone() };
        Ok(imageio::save(path, &dream.picture, &options)?)
    }
}

fn list_presets(json: bool) -> Result<Exit, Failure> {
    #[derive(Serialize)]
    struct PresetLine<'a> {
        preset: &'a str,
        settings: &'a DreamSpec,
    }
    let mut report = Report::to_stdout(json);
    for preset in Preset::ALL {
        let settings = DreamSpec::preset(preset);
        report.object(&PresetLine { preset: preset.name(), settings: &settings })?;
        let text = toml::to_string(&settings).map_err(Failure::running)?;
        report.line(format_args!("{}\n", preset.name()))?;
        for line in text.lines().filter(|line| !line.starts_with("preset =")) {
            report.line(format_args!("  {line}"))?;
        }
        report.line("")?;
    }
    Ok(Exit::Done)
}

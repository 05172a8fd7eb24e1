//! The settings of a dream.

use egui::{DragValue, RichText, ScrollArea, Ui};

use super::{Pen, class, layers, presets};
use crate::gui::command::Command;
use crate::gui::widgets::{Change, Label, Numbers, choice, number, row, section, tick};
use crate::optvis::ascent::Normalization;
use crate::optvis::objective::Measure;
use crate::optvis::transform::Jitter;
use crate::tasks::dream::{DreamSpec, OctaveFilter, SizePx};

const OCTAVES: Label =
    Label::new("Octaves", "How many sizes are dreamt at, from small to full: more octaves make larger motifs");
const OCTAVE_SCALE: Label = Label::new("Octave scale", "How much larger each octave is than the one before");
const STEPS: Label = Label::new("Steps", "Steps in each octave: more go deeper into the dream");
const STEP_SIZE: Label =
    Label::new("Step size", "How far a step changes the picture: large steps are wild, small ones gentle");
const JITTER: Label = Label::new(
    "Jitter",
    "How far the picture is shifted at random before each step, in pixels: hides the net's grid of squares",
);
const LAPLACIAN: Label = Label::new(
    "Laplacian",
    "Frequency bands that are evened out: coarse and fine motifs grow alike; 0 leaves the gradient as it is",
);
const L2: Label = Label::new("L2", "Pulls towards gray: what the dream does not need fades");
const TV: Label = Label::new("Smoothing", "Total variation: flattens grain and noise");
const SEED: Label = Label::new("Seed", "Another number makes another dream of the same kind");
const SIZE: Label = Label::new("Size", "The longer side of the dream in pixels: patterns are larger in small pictures");
const START: Label = Label::new("Start from", "What the first step changes");
const OBJECTIVE: Label = Label::new("Objective", "What of the layer is made to rise");
const NORMALIZE: Label =
    Label::new("Normalize", "By what each gradient is divided before the step; counts while Laplacian is 0");
const FILTER: Label = Label::new("Between", "How pictures are resized between octaves");
const COLORS: Label = Label::new("Keep the photo's colours", "Only forms and brightness are dreamt");
const CLIP: Label = Label::new("Cut to valid colours", "Each step is cut to the range of pixel values");

pub fn dream_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        presets::presets_ui(ui, pen);
        section(ui, "What is dreamt");
        class::class_ui(ui, pen);
        layers::layers_ui(ui, pen);
        section(ui, "How");
        let mut spec = pen.state.spec.clone();
        let mut edits = Edits::default();
        how_ui(ui, &mut spec, &mut edits);
        egui::CollapsingHeader::new("More").id_salt("more settings").show(ui, |ui| more_ui(ui, &mut spec, &mut edits));
        section(ui, "The picture");
        picture_ui(ui, &mut spec, &mut edits);
        ui.add_space(8.0);
        if let Some(control) = edits.control {
            pen.push(Command::Edit(Box::new(spec), control));
        }
        if edits.is_settled {
            pen.push(Command::Settle);
        }
        waiting_ui(ui, pen);
    });
}

/// Which control was moved in this frame.
#[derive(Default)]
pub struct Edits {
    control: Option<&'static str>,
    is_settled: bool,
}

impl Edits {
    fn note(&mut self, label: Label, change: Change) {
        if change.is_changed {
            self.control = Some(label.name);
        }
        self.is_settled |= change.is_settled;
    }
}

fn how_ui(ui: &mut Ui, spec: &mut DreamSpec, edits: &mut Edits) {
    let preset = DreamSpec::preset(spec.preset);
    let whole = Numbers::default();
    edits.note(OCTAVES, number(ui, OCTAVES, &mut spec.octaves, preset.octaves, 1..=10, whole));
    let steps = Numbers { is_logarithmic: true, ..whole };
    edits.note(STEPS, number(ui, STEPS, &mut spec.steps, preset.steps, 1..=200, steps));
    let sizes = Numbers { is_logarithmic: true, decimals: 2, suffix: "" };
    edits.note(STEP_SIZE, number(ui, STEP_SIZE, &mut spec.step_size, preset.step_size, 0.1..=12.0, sizes));
    edits.note(LAPLACIAN, number(ui, LAPLACIAN, &mut spec.laplacian, preset.laplacian, 0..=8, whole));
}

fn more_ui(ui: &mut Ui, spec: &mut DreamSpec, edits: &mut Edits) {
    let preset = DreamSpec::preset(spec.preset);
    let fine = Numbers { decimals: 2, ..Numbers::default() };
    edits.note(OCTAVE_SCALE, number(ui, OCTAVE_SCALE, &mut spec.octave_scale, preset.octave_scale, 1.1..=2.5, fine));
    jitter_ui(ui, spec, edits);
    edits.note(L2, number(ui, L2, &mut spec.l2, preset.l2, 0.0..=2.0, fine));
    edits.note(TV, number(ui, TV, &mut spec.tv, preset.tv, 0.0..=2.0, fine));
    let measures = [
        (Measure::L2, "L2", "More of whatever responds already"),
        (Measure::Mean, "Mean", "All responses alike"),
        (Measure::Sum, "Sum", "All responses alike, larger pictures more"),
    ];
    if spec.class.is_none() {
        edits.note(OBJECTIVE, choice(ui, OBJECTIVE, &mut spec.objective, preset.objective, &measures));
    }
    let norms = [
        (Normalization::MeanAbs, "Mean", "By the mean of its absolute values, as published"),
        (Normalization::Std, "Std", "By its standard deviation"),
        (Normalization::None, "None", "Not at all"),
    ];
    edits.note(NORMALIZE, choice(ui, NORMALIZE, &mut spec.normalization, preset.normalization, &norms));
    let filters = [
        (OctaveFilter::Smooth, "Smooth", "Filtered: no ringing, no steps"),
        (OctaveFilter::Zoom, "Linear", "As published in 2015"),
    ];
    edits.note(FILTER, choice(ui, FILTER, &mut spec.octave_filter, preset.octave_filter, &filters));
    edits.note(CLIP, tick(ui, CLIP, &mut spec.clip, preset.clip));
}

fn jitter_ui(ui: &mut Ui, spec: &mut DreamSpec, edits: &mut Edits) {
    let default = match DreamSpec::preset(spec.preset).jitter {
        Jitter::Random(most) => most,
        Jitter::Offsets(_) => 0,
    };
    match &mut spec.jitter {
        Jitter::Random(most) => {
            let numbers = Numbers { suffix: " px", ..Numbers::default() };
            edits.note(JITTER, number(ui, JITTER, most, default, 0..=128, numbers));
        }
        Jitter::Offsets(offsets) => {
            let count = offsets.len();
            let (_, reset) = row(ui, JITTER, false, |ui| ui.label(format!("a list of {count} shifts")));
            if reset {
                spec.jitter = Jitter::Random(default);
                edits.note(JITTER, Change { is_changed: true, is_settled: true });
            }
        }
    }
}

fn picture_ui(ui: &mut Ui, spec: &mut DreamSpec, edits: &mut Edits) {
    let mut is_noise = spec.from_noise.is_some();
    let starts = [(false, "Photo", "The photo that is open"), (true, "Noise", "Faint noise: the dream forms freely")];
    let change = choice(ui, START, &mut is_noise, false, &starts);
    if change.is_changed {
        spec.from_noise = is_noise.then_some(SizePx { width: 512, height: 512 });
    }
    edits.note(START, change);
    match &mut spec.from_noise {
        Some(size) => edits.note(SIZE, noise_size_ui(ui, size)),
        None => edits.note(SIZE, size_ui(ui, &mut spec.size)),
    }
    edits.note(SEED, seed_ui(ui, &mut spec.seed));
    edits.note(COLORS, tick(ui, COLORS, &mut spec.keep_colors, DreamSpec::preset(spec.preset).keep_colors));
}

fn size_ui(ui: &mut Ui, size: &mut Option<usize>) -> Change {
    let mut px = size.unwrap_or(DreamSpec::DEFAULT_LONGEST_SIDE_PX);
    let numbers = Numbers { is_logarithmic: true, suffix: " px", ..Numbers::default() };
    let is_own = size.is_none();
    let hint = "The longer side of the dream in pixels; until it is moved, the photo's own up to 1024";
    let label = Label { hint, ..SIZE };
    let (change, reset) = row(ui, label, is_own, |ui| {
        ui.spacing_mut().slider_width = (ui.available_width() - 92.0).clamp(40.0, 220.0);
        let slider = egui::Slider::new(&mut px, 128..=4096).logarithmic(numbers.is_logarithmic).suffix(numbers.suffix);
        let response = ui.add(slider.clamping(egui::SliderClamping::Edits));
        let is_settled = response.drag_stopped() || response.lost_focus();
        Change { is_changed: response.changed(), is_settled }
    });
    if reset {
        *size = None;
        return Change { is_changed: true, is_settled: true };
    }
    if change.is_changed {
        *size = Some(px);
    }
    change
}

fn noise_size_ui(ui: &mut Ui, size: &mut SizePx) -> Change {
    let (change, reset) = row(ui, SIZE, *size == SizePx { width: 512, height: 512 }, |ui| {
        let side = |side| DragValue::new(side).range(64..=4096).clamp_existing_to_range(false).suffix(" px");
        let width = ui.add(side(&mut size.width)).accessible_name("Width");
        ui.label("×");
        let height = ui.add(side(&mut size.height)).accessible_name("Height");
        let is_settled = [&width, &height].iter().any(|response| response.drag_stopped() || response.lost_focus());
        Change { is_changed: width.changed() || height.changed(), is_settled }
    });
    if reset {
        *size = SizePx { width: 512, height: 512 };
        return Change { is_changed: true, is_settled: true };
    }
    change
}

fn seed_ui(ui: &mut Ui, seed: &mut u64) -> Change {
    /// TOML holds no larger number.
    const LARGEST: u64 = i64::MAX as u64;
    let (change, reset) = row(ui, SEED, *seed == 0, |ui| {
        let response = ui.add(DragValue::new(seed).range(0..=LARGEST).clamp_existing_to_range(false).speed(0.1));
        let mut change =
            Change { is_changed: response.changed(), is_settled: response.drag_stopped() || response.lost_focus() };
        if ui.button("Another").on_hover_text("The next seed").clicked() {
            *seed = if *seed < LARGEST { *seed + 1 } else { 0 };
            change = Change { is_changed: true, is_settled: true };
        }
        change
    });
    if reset {
        *seed = 0;
        return Change { is_changed: true, is_settled: true };
    }
    change
}

/// Says that the dream that runs goes on with its old settings.
fn waiting_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    let Some(setting) = pen.state.waits_for_start else { return };
    ui.separator();
    ui.label(RichText::new(format!("This dream goes on as it was: {setting} counts from the next start on.")).small());
    if ui.button("Start over now").clicked() {
        pen.push(Command::StartOver);
    }
}

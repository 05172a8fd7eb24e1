//! Starting, steering and going back in dreams.

use std::sync::Arc;

use crate::gui::host::{Deliver, DreamOrder, JobHost, JobId, Request, Start, Step};
use crate::gui::state::{AppState, Mode, Phase, Scrub, Take, Tone};
use crate::tasks::dream::{Channels, ClassGoal, DreamSpec, Frame, LayerWeight};

/// Takes beyond this many keep their last step only.
const TAKES_WITH_STEPS: usize = 4;
/// Takes beyond this many are let go, the oldest saved ones first.
const MOST_TAKES: usize = 24;

pub fn toggle(state: &mut AppState, host: &mut dyn JobHost) {
    let phase = state.take().map(|take| (take.job, take.phase.clone()));
    match phase {
        Some((job, Phase::Starting | Phase::Running)) => pause(state, job, host),
        Some((job, Phase::Paused)) if state.scrub.is_none() => {
            super::batch::hold(state, host);
            host.submit(Request::Resume(job));
            set_phase(state, job, Phase::Running);
        }
        Some(_) if state.shown_step().is_some() => go_on(state, host),
        _ => start_over(state, host),
    }
}

/// Holds a dream; meanwhile the queue may go on.
fn pause(state: &mut AppState, job: JobId, host: &mut dyn JobHost) {
    host.submit(Request::Pause(job));
    set_phase(state, job, Phase::Paused);
    super::batch::start_next(state, host);
}

fn set_phase(state: &mut AppState, job: JobId, phase: Phase) {
    if let Some(take) = state.take_of(job) {
        take.phase = phase;
    }
}

pub fn start_over(state: &mut AppState, host: &mut dyn JobHost) {
    let start = match (&state.photo, state.spec.from_noise) {
        (_, Some(_)) => Start::Noise,
        (Some(photo), None) => Start::Photo(photo.clone()),
        (None, None) => {
            state.say(Tone::Info, "there is no photo yet: drop one, or choose noise to start from");
            return;
        }
    };
    begin(state, start, None, Vec::new(), host);
}

pub fn go_on(state: &mut AppState, host: &mut dyn JobHost) {
    let Some((take, index)) = state.take().zip(state.shown_step()) else {
        return start_over(state, host);
    };
    let earlier = take.steps[..=index].to_vec();
    let from = earlier.last().map(|step| step.frame.clone());
    if let Some(from) = &from
        && let Err(setting) = from.spec().can_become(&state.spec)
    {
        let text = format!("{setting} cannot change in the middle of a dream: start over, or set it back");
        return state.say(Tone::Warning, text);
    }
    let start = take.start.clone();
    begin(state, start, from, earlier, host);
}

/// Begins a take and makes it the one on the canvas.
fn begin(state: &mut AppState, start: Start, from: Option<Arc<Frame>>, earlier: Vec<Step>, host: &mut dyn JobHost) {
    let Some(net) = state.net.clone().filter(|net| net.is_of(&state.spec)) else {
        // The net of the settings is on its way, or has to be sent for.
        state.dream_when_open = true;
        if state.opening_net.as_ref() != Some(&state.spec.net) {
            super::files::open_net_of_spec(state, host);
        }
        return;
    };
    end_live_take(state, host);
    let job = JobId(state.fresh_id());
    // Noise has no photo's name or size to fall back to.
    let picture = state.scrub.as_ref().and_then(|scrub| scrub.picture.clone());
    let shown = picture.or_else(|| from.as_ref().and_then(|_| state.take()?.picture.clone()));
    let size_px = from.as_ref().and_then(|_| state.take()?.size_px);
    let mut spec = state.spec.clone();
    if !matches!(start, Start::Noise) {
        spec.from_noise = None;
    }
    spec.save_every = 0;
    let order = DreamOrder {
        job,
        graph: net.graph.clone(),
        spec: spec.clone(),
        start: start.clone(),
        from,
        earlier: earlier.clone(),
        deliver: Deliver::Canvas,
    };
    super::batch::hold(state, host);
    state.takes.push(Take {
        job,
        start,
        net,
        spec,
        phase: Phase::Starting,
        size_px,
        progress: None,
        picture: shown,
        steps: earlier,
        saved: None,
    });
    state.current = Some(state.takes.len() - 1);
    state.scrub = None;
    state.restored = None;
    state.waits_for_start = None;
    state.mode = Mode::Dream;
    state.dream_when_open = false;
    host.submit(Request::Dream(Box::new(order)));
    let_go_of_old_takes(state);
}

/// Ends what runs on the canvas; what it came to stays in the strip.
pub fn end_live_take(state: &mut AppState, host: &mut dyn JobHost) {
    let alive: Vec<JobId> = state.takes.iter().filter(|take| take.phase.is_alive()).map(|take| take.job).collect();
    for job in alive {
        host.submit(Request::Cancel(job));
        set_phase(state, job, Phase::Ended);
    }
}

fn let_go_of_old_takes(state: &mut AppState) {
    let current = state.take().map(|take| take.job);
    let count = state.takes.len();
    for take in state.takes.iter_mut().take(count.saturating_sub(TAKES_WITH_STEPS)) {
        if Some(take.job) != current && take.steps.len() > 1 {
            take.steps.drain(..take.steps.len() - 1);
        }
    }
    while state.takes.len() > MOST_TAKES {
        let is_spare = |take: &Take| Some(take.job) != current && !take.phase.is_alive();
        // What is in no file is never let go of.
        let saved = state.takes.iter().position(|take| is_spare(take) && !take.is_unsaved());
        let Some(oldest) = saved else { break };
        state.takes.remove(oldest);
    }
    state.current = current.and_then(|job| state.takes.iter().position(|take| take.job == job));
}

pub fn stop(state: &mut AppState, host: &mut dyn JobHost) {
    if let Some(job) = state.live_take().map(|take| take.job) {
        host.submit(Request::Cancel(job));
    }
}

pub fn show_step(state: &mut AppState, index: usize, host: &mut dyn JobHost) {
    let Some(take) = state.take() else { return };
    let last = take.steps.len().saturating_sub(1);
    let index = index.min(last);
    let is_live = matches!(take.phase, Phase::Starting | Phase::Running);
    if index == last && !is_live {
        state.scrub = None;
        return;
    }
    let Some(exposure) = take.exposure(index) else { return };
    if is_live {
        // Who goes back wants to look: what runs waits.
        toggle(state, host);
    }
    let picture = state.scrub.take().and_then(|scrub| scrub.picture);
    state.scrub = Some(Scrub { index, picture });
    host.submit(Request::ShowStep(exposure));
}

pub fn step_by(state: &mut AppState, by: isize, host: &mut dyn JobHost) {
    if let Some(index) = state.shown_step() {
        show_step(state, index.saturating_add_signed(by), host);
    }
}

pub fn show_take(state: &mut AppState, job: JobId, host: &mut dyn JobHost) {
    let Some(index) = state.takes.iter().position(|take| take.job == job) else { return };
    if state.current == Some(index) {
        return;
    }
    if let Some(live) = state.live_take()
        && live.phase != Phase::Paused
    {
        let live = live.job;
        pause(state, live, host);
    }
    state.current = Some(index);
    state.scrub = None;
    state.restored = None;
    let take = &state.takes[index];
    let (spec, net) = (take.spec.clone(), take.net.clone());
    if let Some(photo) = take.photo().cloned() {
        state.photo = Some(photo);
    }
    let is_other_net = state.net.as_ref().is_none_or(|own| own.key != net.key);
    if is_other_net {
        state.net = Some(net);
    }
    super::look::forget(state, is_other_net);
    edit(state, spec, "a take", host);
    state.history.settle();
}

pub fn close_take(state: &mut AppState, job: JobId, host: &mut dyn JobHost) {
    let Some(index) = state.takes.iter().position(|take| take.job == job) else { return };
    if state.takes[index].phase.is_alive() {
        host.submit(Request::Cancel(job));
    }
    let current = state.take().map(|take| take.job).filter(|&current| current != job);
    state.takes.remove(index);
    state.current = current.and_then(|job| state.takes.iter().position(|take| take.job == job));
    if state.current.is_none() {
        state.scrub = None;
    }
}

/// Takes new settings; a dream that runs takes them at its next step, where it can.
pub fn edit(state: &mut AppState, spec: DreamSpec, control: &'static str, host: &mut dyn JobHost) {
    if spec == state.spec {
        return;
    }
    state.history.note(&state.spec, control);
    set_spec(state, spec, host);
}

fn set_spec(state: &mut AppState, spec: DreamSpec, host: &mut dyn JobHost) {
    state.spec = spec;
    state.form.channels = Channels(state.spec.channels.clone()).to_string();
    state.waits_for_start = None;
    state.refresh();
    let is_coming = state.opening_net.as_ref() == Some(&state.spec.net);
    if state.net.as_ref().is_some_and(|net| !net.is_of(&state.spec)) && !is_coming {
        super::files::open_net_of_spec(state, host);
    }
    let Some(take) = state.live_take() else { return };
    let mut steered = state.spec.clone();
    if !matches!(take.start, Start::Noise) {
        steered.from_noise = None;
    }
    let (job, own) = (take.job, take.spec.clone());
    if let Err(setting) = own.can_become(&steered) {
        state.waits_for_start = Some(setting);
        if own.net != steered.net || own.net_options != steered.net_options {
            return;
        }
        // The rest need not wait for what has to.
        let (octaves, octave_scale, octave_filter) = (own.octaves, own.octave_scale, own.octave_filter);
        let (size, from_noise) = (own.size, own.from_noise);
        steered = DreamSpec { octaves, octave_scale, octave_filter, size, from_noise, ..steered };
    }
    if let Some(take) = state.take_mut() {
        take.spec = steered.clone();
    }
    host.submit(Request::Steer(job, Box::new(steered)));
}

pub fn apply_preset(state: &mut AppState, preset: DreamSpec, host: &mut dyn JobHost) {
    let mut spec = state.spec.with_look(&preset);
    let has_goal = !preset.layers.is_empty() || preset.class.is_some();
    if !has_goal {
        // It suits any net.
        spec.net.clone_from(&state.spec.net);
        spec.net_options.clone_from(&state.spec.net_options);
    }
    state.history.settle();
    edit(state, spec, "preset", host);
    state.history.settle();
    if state.waits_for_start.is_some() {
        // Who puts a look on a dream that runs wants to see it now.
        start_over(state, host);
    }
}

pub fn undo(state: &mut AppState, backwards: bool, host: &mut dyn JobHost) {
    let now = state.spec.clone();
    let found = if backwards { state.history.undo(&now) } else { state.history.redo(&now) };
    if let Some(spec) = found {
        set_spec(state, spec, host);
    }
}

pub fn dream_channel(state: &mut AppState, layer: String, channel: usize, host: &mut dyn JobHost) {
    let layers = vec![LayerWeight { name: layer, weight: 1.0 }];
    let spec = DreamSpec { layers, channels: vec![channel], neuron: None, class: None, ..state.spec.clone() };
    change_goal(state, spec, "channel", host);
}

pub fn dream_layer(state: &mut AppState, layer: String, host: &mut dyn JobHost) {
    let layers = vec![LayerWeight { name: layer, weight: 1.0 }];
    let spec = DreamSpec { layers, channels: Vec::new(), neuron: None, class: None, ..state.spec.clone() };
    change_goal(state, spec, "layer", host);
}

pub fn dream_class(state: &mut AppState, class: usize, host: &mut dyn JobHost) {
    let score = state.spec.class.as_ref().map(|goal| goal.score).unwrap_or_default();
    // By name where it has one, so that a recipe can be read; by number where another name contains it.
    let label = state.net.as_ref().and_then(|net| net.graph.labels().get(class).cloned());
    let is_unique = |label: &String| {
        let labels = state.net.as_ref().map(|net| net.graph.labels()).unwrap_or_default();
        labels.iter().filter(|other| other.eq_ignore_ascii_case(label)).count() == 1
    };
    let class = label.filter(is_unique).unwrap_or_else(|| class.to_string());
    let spec = DreamSpec {
        class: Some(ClassGoal { class, score }),
        layers: Vec::new(),
        channels: Vec::new(),
        neuron: None,
        ..state.spec.clone()
    };
    change_goal(state, spec, "class", host);
}

fn change_goal(state: &mut AppState, spec: DreamSpec, control: &'static str, host: &mut dyn JobHost) {
    state.history.settle();
    edit(state, spec, control, host);
    state.history.settle();
}

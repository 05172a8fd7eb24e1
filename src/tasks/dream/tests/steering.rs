//! Dreams that are steered, gone back to, gone on from, and repeated.

use super::*;
use crate::job::Flow;
use crate::optvis::ascent::Normalization;

/// A job stepped by hand.
struct Stepped {
    job: DreamJob,
    link: job::Link<Dream, Picture>,
    events: std::sync::mpsc::Receiver<Event<Dream>>,
}

impl Stepped {
    fn new(job: DreamJob) -> Self {
        let (link, _control, events) = job::link();
        Self { job, link, events }
    }

    /// Steps until so many steps are done in all octaves, or to the end.
    fn to(mut self, done: usize) -> Self {
        while self.job.position().done < done && self.step() == Flow::Continue {}
        self
    }

    fn step(&mut self) -> Flow {
        let before = self.job.position();
        let flow = self.job.step(&mut self.link.outbox()).expect("a step");
        let after = self.job.position();
        assert!(after.done <= after.total && after.step <= after.steps, "{after:?}");
        assert!((0.0..=1.0).contains(&after.work_done), "{after:?}");
        assert!(after.done >= before.done && after.stage >= before.stage, "{before:?} {after:?}");
        assert_eq!(flow == Flow::Done, after.done == after.total, "{after:?}");
        assert_eq!(flow == Flow::Done, after.work_done == 1.0, "{after:?}");
        flow
    }

    fn set(self, spec: DreamSpec) -> Self {
        self.job.steering().set(spec);
        self
    }

    fn warnings(&self) -> Vec<String> {
        let sentence = |event| match event {
            Event::Warning(sentence) => Some(sentence),
            Event::Intermediate(_) => None,
        };
        self.events.try_iter().filter_map(sentence).collect()
    }

    fn finish(self) -> Dream {
        assert_eq!(self.warnings(), [""; 0]);
        self.job.finish().expect("a dream")
    }
}

fn started(spec: DreamSpec) -> Stepped {
    Stepped::new(dreamer(spec).dream(Some(photo(60, 44))).expect("a job"))
}

fn resumed(spec: DreamSpec, frame: &Frame) -> Stepped {
    Stepped::new(dreamer(spec).resume(Some(photo(60, 44)), frame).expect("a job"))
}

/// What the text of a recipe makes, as the command line does it.
fn replayed(recipe: &Recipe) -> Dream {
    let read = Recipe::from_text(&recipe.to_text()).expect("its own text");
    assert_eq!(&read, recipe);
    let dreamer = dreamer(read.dream).with_changes(read.changes).expect("they were made before");
    let job = dreamer.dream(Some(photo(60, 44))).expect("a job");
    Stepped::new(job).to(recipe.stopped_after.unwrap_or(usize::MAX)).finish()
}

#[track_caller]
fn assert_same(again: &Dream, dream: &Dream) {
    assert_eq!(again.steps_done, dream.steps_done);
    assert_eq!(again.recipe, dream.recipe);
    assert_eq!(again.objective, dream.objective);
    let bits = |dream: &Dream| dream.picture.rgb.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert!(bits(again) == bits(dream), "the pictures differ");
}

#[track_caller]
fn assert_repeats(dream: &Dream) {
    assert_same(&replayed(&dream.recipe), dream);
}

fn bold() -> DreamSpec {
    DreamSpec { step_size: 4.3, ..small_spec() }
}

fn early() -> DreamSpec {
    DreamSpec { layers: vec!["first/relu=0.7".parse().expect("a layer")], ..small_spec() }
}

fn changes_of(dream: &Dream) -> Vec<usize> {
    dream.recipe.changes.iter().map(|change| change.after).collect()
}

#[test]
fn a_steered_dream_is_repeated_by_its_recipe_to_the_byte() {
    let dream = started(small_spec()).to(2).set(bold()).to(5).set(early()).to(7).finish();
    assert_eq!((changes_of(&dream), dream.recipe.stopped_after), (vec![2, 5], Some(7)));
    assert_repeats(&dream);
    let unsteered = started(small_spec()).to(7).finish();
    assert_ne!(dream.picture, unsteered.picture, "the changes change something");
    let one_change = started(small_spec()).to(2).set(bold()).to(7).finish();
    assert_ne!(dream.picture, one_change.picture, "each of them does");

    let whole = started(small_spec()).to(2).set(bold()).to(6).set(early()).to(usize::MAX).finish();
    assert_eq!((whole.recipe.stopped_after, whole.steps_done), (None, 8));
    assert_repeats(&whole);
}

#[test]
fn every_live_setting_can_change_and_is_repeated() {
    let class = Some(ClassGoal { class: "macaw".into(), score: ClassScore::Logit });
    let specs = [
        DreamSpec { steps: 6, ..small_spec() },
        DreamSpec { jitter: Jitter::Offsets(vec![Roll { right: 1, down: -2 }]), ..small_spec() },
        DreamSpec { laplacian: 0, normalization: Normalization::Std, ..small_spec() },
        DreamSpec { laplacian: 2, ..small_spec() },
        DreamSpec { l2: 0.3, tv: 0.2, ..small_spec() },
        DreamSpec { clip: false, step_size: 30.0, ..small_spec() },
        DreamSpec { channels: vec![1, 4], objective: crate::optvis::objective::Measure::Mean, ..small_spec() },
        DreamSpec { neuron: "3@0.2,0.9".parse().ok(), ..small_spec() },
        DreamSpec { class, ..small_spec() },
        DreamSpec { seed: 77, ..small_spec() },
        DreamSpec { keep_colors: true, ..small_spec() },
    ];
    let plain = started(small_spec()).to(6).finish();
    for spec in specs {
        let dream = started(small_spec()).to(3).set(spec.clone()).to(6).finish();
        assert_eq!(changes_of(&dream), [3], "{spec:?}");
        assert!(dream.picture != plain.picture || dream.recipe.dream.steps != spec.steps, "{spec:?}");
        assert_repeats(&dream);
    }
}

#[test]
fn the_same_settings_are_no_change() {
    let watched = DreamSpec { save_every: 3, max_memory: Some(1 << 40), ..small_spec() };
    let mut stepped = started(small_spec()).to(1).set(small_spec()).to(2).set(watched);
    while stepped.step() == Flow::Continue {}
    let pictures = stepped.events.try_iter().filter(|event| matches!(event, Event::Intermediate(_))).count();
    assert_eq!(pictures, 2, "watching can change, too");
    assert_same(&stepped.finish(), &started(small_spec()).to(usize::MAX).finish());
}

#[test]
fn of_two_changes_at_one_step_the_later_counts() {
    let stepped = started(small_spec()).to(3).set(early()).set(bold());
    let frame = stepped.to(4).set(early()).to(5).job.frame();
    let (steering, job) = (early(), resumed(bold(), &frame));
    assert_eq!(job.job.frame().recipe().changes.iter().map(|change| change.after).collect::<Vec<_>>(), [3, 4, 5]);
    let dream = job.set(steering).to(6).finish();
    assert_eq!(changes_of(&dream), [3, 4, 5]);
    assert_eq!(dream.recipe.changes[0].dream.step_size, 4.3);
    assert_eq!(dream.recipe.changes[2].dream.layers, early().layers);
    assert_repeats(&dream);
}

#[test]
fn what_cannot_change_is_refused_in_one_sentence_and_the_dream_goes_on() {
    let layer = |text: &str| DreamSpec { layers: vec![text.parse().expect("a layer")], ..small_spec() };
    let class = Some(ClassGoal { class: "2".into(), score: ClassScore::Logit });
    let noise = Some(SizePx { width: 60, height: 44 });
    let cases = [
        ("step_size is NaN", DreamSpec { step_size: f32::NAN, ..small_spec() }),
        ("there is no layer `fist`", layer("fist")),
        ("octaves stays", DreamSpec { octaves: 3, ..small_spec() }),
        ("octave_scale stays", DreamSpec { octave_scale: 1.5, ..small_spec() }),
        ("octave_filter stays", DreamSpec { octave_filter: OctaveFilter::Zoom, ..small_spec() }),
        ("size stays", DreamSpec { size: Some(60), ..small_spec() }),
        ("from_noise stays", DreamSpec { from_noise: noise, ..small_spec() }),
        ("net stays", DreamSpec { net: "other".into(), ..small_spec() }),
        ("MiB of memory", DreamSpec { max_memory: Some(1), ..bold() }),
    ];
    let plain = started(small_spec()).to(usize::MAX).finish();
    for (expected, spec) in cases {
        let stepped = started(small_spec()).to(3).set(spec).to(usize::MAX);
        let warnings = stepped.warnings();
        assert!(matches!(&warnings[..], [one] if one.contains(expected)), "{expected}: {warnings:?}");
        assert!(warnings[0].starts_with("the settings cannot change after step 3: "), "{warnings:?}");
        assert_same(&stepped.finish(), &plain);
    }
    // A layer of a net of fixed size, and a class that wants another one.
    let early = layer("first");
    let job = Dreamer::new(early.clone(), small_net(true)).expect("a good spec").dream(Some(photo(60, 44)));
    let wants_another_size = DreamSpec { layers: Vec::new(), class, ..early };
    let stepped = Stepped::new(job.expect("a job")).to(2).set(wants_another_size).to(3);
    let warnings = stepped.warnings();
    assert!(matches!(&warnings[..], [one] if one.contains("works only on pictures of 24×24")), "{warnings:?}");
    assert_eq!(changes_of(&stepped.finish()), [0; 0]);
}

#[test]
fn can_become_names_the_first_setting_that_lasts() {
    let spec = small_spec();
    assert_eq!(spec.can_become(&DreamSpec { class: None, steps: 1, seed: 5, keep_colors: true, ..early() }), Ok(()));
    assert_eq!(spec.can_become(&DreamSpec { preset: Preset::Google2015, ..spec.clone() }), Ok(()));
    assert_eq!(spec.can_become(&DreamSpec { octaves: 9, ..spec.clone() }), Err("octaves"));
    assert_eq!(spec.can_become(&DreamSpec { net: "x".into(), size: Some(9), ..spec.clone() }), Err("size"));
    assert_eq!(spec.can_become(&DreamSpec { net: "x".into(), steps: 9, ..spec.clone() }), Err("net"));
}

#[test]
fn fewer_steps_than_are_done_end_the_octave() {
    let short = DreamSpec { steps: 2, ..small_spec() };
    let mut stepped = started(small_spec()).to(3).set(short.clone());
    stepped.step();
    let position = stepped.job.position();
    assert_eq!((position.stage, position.step, position.done, position.total), (2, 1, 4, 5));
    let dream = stepped.to(usize::MAX).finish();
    assert_eq!((dream.steps_done, dream.recipe.stopped_after), (5, None));
    assert_repeats(&dream);

    let mut last = started(small_spec()).to(7).set(short);
    assert_eq!(last.step(), Flow::Done);
    let dream = last.finish();
    assert_eq!((dream.steps_done, changes_of(&dream), dream.recipe.stopped_after), (7, vec![7], None));
    assert_repeats(&dream);
}

#[test]
fn more_steps_lengthen_the_octaves_to_come() {
    let long = DreamSpec { steps: 6, ..small_spec() };
    let dream = started(small_spec()).to(2).set(long).to(usize::MAX).finish();
    assert_eq!(dream.steps_done, 12);
    assert_repeats(&dream);
}

#[test]
fn a_frame_goes_on_exactly_as_the_dream_did() {
    let whole = started(small_spec()).to(usize::MAX).finish();
    // Before the first step, within octaves, and at the boundary between them.
    for done in [0, 1, 3, 4, 5, 7] {
        let frame = started(small_spec()).to(done).job.frame();
        assert_eq!((frame.done, frame.octaves, frame.is_last()), (done, 2, false));
        let frame = Frame::from_bytes(&frame.to_bytes().expect("finite")).expect("its own bytes");
        let again = resumed(small_spec(), &frame).to(usize::MAX).finish();
        assert_eq!(changes_of(&again), [0; 0]);
        assert_same(&again, &whole);
    }
    // Also after a change, with a layer that the dream did not start with.
    let frame = started(small_spec()).to(2).set(early()).to(3).job.frame();
    let on = started(small_spec()).to(2).set(early()).to(usize::MAX).finish();
    assert_same(&resumed(frame.spec().clone(), &frame).to(usize::MAX).finish(), &on);
}

#[test]
fn a_kept_step_branches_off() {
    let reel = Arc::new(Reel::new(usize::MAX));
    let long = DreamSpec { steps: 8, ..small_spec() };
    let mut stepped = started(long);
    stepped.job.keep_steps(reel.clone());
    let stepped = stepped.to(12);
    let frames = reel.frames();
    assert_eq!(frames.iter().map(|frame| frame.done).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    assert_eq!(frames[11].rgb(), stepped.job.frame().rgb());
    assert_eq!((frames[6].octave, frames[7].octave, frames[8].octave), (1, 1, 2));
    for (spec, at) in [(DreamSpec { steps: 8, ..early() }, 7), (DreamSpec { steps: 8, ..bold() }, 8)] {
        let frame = &frames[at - 1];
        assert_eq!(frame.done, at);
        let branch = resumed(spec.clone(), frame).to(11).finish();
        assert_eq!((changes_of(&branch), branch.recipe.stopped_after), (vec![at], Some(11)));
        assert_repeats(&branch);
        let whole = resumed(spec.clone(), frame).to(usize::MAX).finish();
        assert_eq!((whole.steps_done, whole.recipe.stopped_after), (16, None));
        assert_repeats(&whole);
        // Stopped before it made a step.
        let at_once = resumed(DreamSpec { keep_colors: true, ..spec }, frame).finish();
        assert_eq!((at_once.steps_done, changes_of(&at_once)), (at, vec![at]));
        assert_repeats(&at_once);
    }
}

#[test]
fn the_last_frame_goes_deeper() {
    let end = started(small_spec()).to(usize::MAX);
    let frame = end.job.frame();
    assert!(frame.is_last());
    for (spec, steps) in [(small_spec(), 4), (bold(), 4), (DreamSpec { steps: 2, ..early() }, 2)] {
        let deeper = resumed(spec, &frame);
        let position = deeper.job.position();
        assert_eq!((position.step, position.done, position.total), (0, 8, 8 + steps));
        let deeper = deeper.to(usize::MAX);
        let last = deeper.job.frame();
        let deeper = deeper.finish();
        assert_eq!((deeper.steps_done, changes_of(&deeper), deeper.recipe.stopped_after), (8 + steps, vec![8], None));
        assert_repeats(&deeper);
        let stopped = resumed(small_spec(), &last).to(9 + steps).finish();
        assert_eq!((changes_of(&stopped), stopped.recipe.stopped_after), (vec![8, 8 + steps], Some(9 + steps)));
        assert_repeats(&stopped);
    }
}

#[test]
fn settings_that_come_at_the_end_go_on_from_it() {
    let mut stepped = started(small_spec()).to(8).set(small_spec());
    let again = stepped.job.step(&mut stepped.link.outbox()).expect("nothing to do");
    assert_eq!((again, stepped.job.position().done), (Flow::Done, 8), "the same settings are no change");
    let mut stepped = stepped.set(bold());
    assert_eq!(stepped.job.step(&mut stepped.link.outbox()).expect("a step"), Flow::Continue);
    let dream = stepped.to(usize::MAX).finish();
    assert_eq!((dream.steps_done, changes_of(&dream)), (12, vec![8]));
    assert_repeats(&dream);
}

#[test]
fn a_dream_that_was_cut_short_can_go_deeper() {
    let reel = Arc::new(Reel::new(usize::MAX));
    let mut stepped = started(small_spec()).to(5);
    stepped.job.keep_steps(reel.clone());
    let stepped = stepped.to(7).set(DreamSpec { steps: 2, ..small_spec() }).to(usize::MAX);
    let frame = reel.frames().pop().expect("frames");
    assert!(frame.is_last() && frame.done == 7, "{frame:?}");
    assert_eq!(*frame, *stepped.job.frame());
    let deeper = resumed(bold(), &frame).to(usize::MAX).finish();
    assert_eq!((deeper.steps_done, changes_of(&deeper)), (11, vec![7, 7]));
    assert_repeats(&deeper);
}

#[test]
fn a_frame_is_developed_as_if_the_dream_had_been_stopped_there() {
    let colours = DreamSpec { keep_colors: true, ..bold() };
    for done in [2, 4, 6, 8] {
        let stepped = started(small_spec()).to(1).set(colours.clone()).to(done);
        let frame = stepped.job.frame();
        let developed = dreamer(small_spec()).develop(Some(photo(60, 44)), &frame).expect("a dream");
        assert_same(&developed, &stepped.finish());
        assert_repeats(&developed);
    }
}

#[test]
fn frames_of_something_else_are_refused() {
    let frame = started(small_spec()).to(2).job.frame();
    let refusal = |spec: DreamSpec, photo| sentence(dreamer(spec).resume(photo, &frame).err().expect("another dream"));
    let mut other = photo(60, 44);
    other.picture.rgb[5] += 1.0;
    assert!(refusal(small_spec(), Some(other)).contains("is not the photo"));
    assert!(refusal(small_spec(), Some(photo(80, 44))).contains("is not the photo"));
    assert!(refusal(small_spec(), None).contains("neither"));
    let octaves = DreamSpec { octaves: 3, ..small_spec() };
    assert!(refusal(octaves, Some(photo(60, 44))).starts_with("octaves stays"));
    let noise = DreamSpec { from_noise: Some(SizePx { width: 60, height: 44 }), ..small_spec() };
    assert!(refusal(noise, None).starts_with("from_noise stays"));
    let nobody = Arc::into_inner(started(small_spec()).to(2).job.frame()).map(|mut frame| {
        frame.size_px = [20, 20];
        frame.state.rgb.truncate(20 * 20 * 3);
        frame
    });
    let refused = dreamer(small_spec()).develop(Some(photo(60, 44)), &nobody.expect("not shared"));
    assert!(sentence(refused.expect_err("another size")).contains("no step of the size"));
}

#[test]
fn noise_is_gone_on_from_under_another_seed() {
    let spec = DreamSpec { from_noise: Some(SizePx { width: 50, height: 40 }), seed: 3, ..small_spec() };
    let frame = Stepped::new(dreamer(spec.clone()).dream(None).expect("a job")).to(2).job.frame();
    let reseeded = dreamer(DreamSpec { seed: 4, ..spec }).resume(None, &frame).expect("a job");
    let dream = Stepped::new(reseeded).to(usize::MAX).finish();
    assert_eq!((changes_of(&dream), dream.recipe.dream.seed), (vec![2], 3));
    let again = dreamer(dream.recipe.dream.clone()).with_changes(dream.recipe.changes.clone()).expect("good changes");
    assert_same(&Stepped::new(again.dream(None).expect("a job")).to(usize::MAX).finish(), &dream);
}

#[test]
fn changes_that_make_no_sense_are_refused_before_the_dream() {
    let change = |after, dream| Change { after, dream };
    let refusal = |changes| sentence(dreamer(small_spec()).with_changes(changes).err().expect("bad changes"));
    assert!(refusal(vec![change(3, bold()), change(2, early())]).contains("order"));
    let error = refusal(vec![change(3, DreamSpec { steps: 0, ..bold() })]);
    assert!(error.starts_with("the settings cannot change after step 3: steps is 0"), "{error}");
    assert!(refusal(vec![change(3, DreamSpec { octaves: 3, ..bold() })]).contains("octaves stays"));
    let late = dreamer(small_spec()).with_changes(vec![change(99, bold())]).expect("it may be");
    let stepped = Stepped::new(late.dream(Some(photo(60, 44))).expect("a job")).to(usize::MAX);
    let warnings = stepped.warnings();
    assert!(matches!(&warnings[..], [one] if one.contains("before step 99")), "{warnings:?}");
}

#[test]
fn a_change_in_a_recipe_says_only_what_differs() {
    let dream = started(small_spec()).to(2).set(bold()).to(3).finish();
    let text = dream.recipe.to_text();
    let (_, change) = text.split_once("[[changes]]").expect("a change");
    assert!(change.contains("step_size = 4.3\n") && change.contains("after = 2\n"), "{change}");
    assert!(!change.contains("octave") && !change.contains("seed") && !change.contains("net"), "{change}");
    let by_hand = "program = 'x'\n[dream]\npreset = 'google-2015'\nnet = 'n.safetensors'\noctaves = 2\nsize = 64\n\
        [[changes]]\nafter = 3\ndream = { step_size = 2.5 }\n[[changes]]\nafter = 9\n[changes.dream]\npreset = 'vivid'\n";
    let recipe = Recipe::from_text(by_hand).expect("a recipe");
    let lasting =
        DreamSpec { net: "n.safetensors".into(), octaves: 2, size: Some(64), ..DreamSpec::preset(Preset::Google2015) };
    let vivid = DreamSpec { octave_filter: OctaveFilter::Zoom, ..DreamSpec::preset(Preset::Vivid) };
    let vivid = DreamSpec { net: lasting.net.clone(), octaves: 2, size: Some(64), ..vivid };
    let changes = [(3, DreamSpec { step_size: 2.5, ..lasting.clone() }), (9, vivid)];
    assert_eq!(recipe.changes, changes.map(|(after, dream)| Change { after, dream }));
    assert_eq!(Recipe::from_text(&recipe.to_text()).expect("its own text"), recipe);
    for bad in
        ["changes = 3", "[[changes]]\nafter = 1", "[[changes]]\nafter = -1\ndream = {}", "[[changes]]\ndream = {}"]
    {
        let text = format!("program = 'x'\n{bad}\n[dream]\n");
        assert!(matches!(Recipe::from_text(&text), Err(DreamError::BadRecipe { .. })), "{bad}");
    }
}

#[test]
fn a_checkpoint_is_a_frame_to_go_on_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("dream.frame");
    let mut stepped = started(small_spec()).to(2);
    stepped.job.checkpoint().expect("nothing to do");
    stepped.job.checkpoint_to(path.clone());
    stepped.job.checkpoint().expect("it can be written");
    let mut stepped = stepped.to(5);
    stepped.job.checkpoint().expect("it can be written");
    let read = |name: &str| Frame::from_bytes(&std::fs::read(folder.path().join(name)).expect("a file"));
    assert_eq!(read("dream.frame.old").expect("a frame").done, 2);
    let frame = read("dream.frame").expect("a frame");
    assert_same(&resumed(small_spec(), &frame).to(usize::MAX).finish(), &stepped.to(usize::MAX).finish());

    let mut nowhere = started(small_spec());
    nowhere.job.checkpoint_to(path.join("below a file"));
    nowhere.job.checkpoint().expect("the dream goes on");
    nowhere.job.checkpoint().expect("the dream goes on");
    let nowhere = nowhere.to(2);
    assert_eq!(nowhere.warnings().len(), 1);
}

#[test]
fn a_dream_is_steered_from_another_thread() {
    let job = dreamer(DreamSpec { steps: 40, ..small_spec() }).dream(Some(photo(60, 44))).expect("a job");
    let steering = job.steering();
    let handle = job::spawn(job).expect("a thread");
    steering.set(DreamSpec { steps: 3, ..bold() });
    let dream = handle.join().expect("a dream").output;
    assert_eq!(dream.recipe.changes.len(), 1);
    assert_repeats(&dream);
}

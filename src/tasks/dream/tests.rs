//! Dreams of a net small enough to dream within a test.

use std::path::Path;
use std::sync::Arc;

use rand::RngExt;

use super::*;
use crate::base::rng::{Stream, rng};
use crate::imageio::{self, OutputFormat, Picture, SaveOptions};
use crate::job::{self, Ended, Event, How, Job};
use crate::nn::graph::{ChannelOrder, Graph, GraphBuilder, NodeId, Preprocess};
use crate::nn::ops::Op;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::pool::{GlobalPool, GlobalPoolKind};
use crate::nn::ops::reshape::{Dim, Reshape};
use crate::nn::ops::softmax::Softmax;
use crate::nn::ops::window::{Padding, Rounding, Window};
use crate::optvis::transform::{Jitter, Roll};
use crate::tasks::TaskError;

mod steering;
mod tiles;

const LABELS: [&str; 4] = ["red fox", "grey fox", "macaw", "castle"];

fn conv(
    net: &mut GraphBuilder,
    name: &str,
    input: NodeId,
    [ins, outs]: [usize; 2],
    kernel: usize,
    stride: usize,
) -> NodeId {
    // The layer called `valid` has no padding, so that there are pictures too small for it.
    let padding = Padding::all(if name == "valid" { 0 } else { kernel / 2 });
    let window =
        Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], padding, rounding: Rounding::Floor };
    let mut rng = rng(3, Stream::Weights, input as u64);
    let reach = (3.0 / (ins * kernel * kernel) as f32).sqrt();
    let weights: Vec<f32> = (0..outs * ins * kernel * kernel).map(|_| rng.random_range(-reach..reach)).collect();
    net.param(name, &[outs, ins, kernel, kernel], weights);
    net.add(name, Op::Conv2d(Conv2d { window, groups: 1 }), &[input], &[name])
}

/// Two convolutions, one without padding, and a classifier behind a global pool; or, if `is_fixed`, one that only
/// takes 24×24 pictures.
fn small_net(is_fixed: bool) -> Arc<Graph> {
    let mut net = GraphBuilder::new("picture", 3, [24, 24]);
    let relu = Op::Activation(Activation::Relu);
    let first = conv(&mut net, "first", GraphBuilder::INPUT, [3, 6], 3, 2);
    let first = net.add("first/relu", relu.clone(), &[first], &[]);
    let deep = conv(&mut net, "valid", first, [6, 8], 5, 1);
    let deep = net.add("deep", relu, &[deep], &[]);
    let logits = if is_fixed {
        let flat =
            net.add("flat", Op::Reshape(Reshape { dims: [8 * 8 * 8, 1, 1].map(Dim::Of).to_vec() }), &[deep], &[]);
        conv(&mut net, "logits", flat, [8 * 8 * 8, 4], 1, 1)
    } else {
        let pool = net.add("pool", Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average }), &[deep], &[]);
        conv(&mut net, "logits", pool, [8, 4], 1, 1)
    };
    net.add("probabilities", Op::Softmax(Softmax {}), &[logits], &[]);
    let preprocess = Preprocess { order: ChannelOrder::Rgb, mean: vec![127.0; 3], scale: vec![1.0 / 128.0; 3] };
    Arc::new(net.finish("small", preprocess, LABELS.map(String::from).to_vec()).expect("a net"))
}

fn picture(width: usize, height: usize) -> Picture {
    let value = |i: usize| 128.0 + 90.0 * (i as f32 * 0.37).sin() * (i as f32 * 0.011).cos();
    Picture::from_rgb(width, height, (0..width * height * 3).map(value).collect())
}

fn photo(width: usize, height: usize) -> Photo {
    Photo { path: "somewhere/photo.png".into(), picture: picture(width, height), notes: Vec::new() }
}

fn small_spec() -> DreamSpec {
    DreamSpec { octaves: 2, steps: 4, jitter: Jitter::Random(3), ..DreamSpec::default() }
}

fn dreamer(spec: DreamSpec) -> Dreamer {
    Dreamer::new(spec, small_net(false)).expect("a good spec")
}

type Run = (Ended<Dream>, Vec<Event<Dream>>);

fn run(job: DreamJob) -> Run {
    let (link, _control, events) = job::link();
    let ended = job::drive(job, &link).expect("a dream");
    drop(link);
    (ended, events.iter().collect())
}

fn dreamt(spec: DreamSpec) -> Dream {
    run(dreamer(spec).dream(Some(photo(60, 44))).expect("a job")).0.output
}

#[track_caller]
fn refused(spec: DreamSpec) -> String {
    match Dreamer::new(spec, small_net(false)) {
        Ok(_) => panic!("the spec is accepted"),
        Err(error) => sentence(error),
    }
}

#[track_caller]
fn sentence(error: TaskError) -> String {
    assert_eq!(error.exit_code(), 2, "{error}");
    error.to_string()
}

#[test]
fn a_dream_raises_its_objective_and_keeps_its_size() {
    for preset in Preset::ALL {
        let spec = DreamSpec { octaves: 2, steps: 8, jitter: Jitter::Random(0), ..DreamSpec::preset(preset) };
        let dream = dreamt(spec);
        assert_eq!(dream.picture.size(), [44, 60]);
        assert_eq!(dream.steps_done, 16);
        let [first, last] = dream.objective.expect("steps were made");
        assert!(last > 1.5 * first, "{preset}: {first} to {last}");
        assert!(dream.picture.rgb.iter().all(|value| (0.0..=255.0).contains(value)));
        assert_ne!(dream.picture, picture(60, 44));
    }
}

#[test]
fn every_goal_is_ascended() {
    let calm =
        || DreamSpec { octaves: 1, steps: 12, jitter: Jitter::Random(0), ..DreamSpec::preset(Preset::Google2015) };
    let layers = |text: &[&str]| text.iter().map(|text| text.parse().expect("a layer")).collect();
    let class = |score| Some(ClassGoal { class: "macaw".into(), score });
    let goals = [
        ("two layers", DreamSpec { layers: layers(&["deep", "first/relu=0.5"]), ..calm() }),
        ("a negative layer", DreamSpec { layers: layers(&["deep=-1"]), ..calm() }),
        ("channels", DreamSpec { channels: vec![1, 5], objective: crate::optvis::objective::Measure::Mean, ..calm() }),
        ("a neuron", DreamSpec { layers: layers(&["first"]), neuron: "2@0.3,0.9".parse().ok(), ..calm() }),
        ("a logit", DreamSpec { class: class(ClassScore::Logit), ..calm() }),
        ("a posterior", DreamSpec { class: class(ClassScore::Posterior), ..calm() }),
        ("a penalized class", DreamSpec { class: class(ClassScore::Logit), l2: 0.1, tv: 0.1, ..calm() }),
    ];
    for (goal, spec) in goals {
        let [first, last] = dreamt(spec).objective.expect("steps were made");
        assert!(last > first + 0.05 * first.abs(), "{goal}: {first} to {last}");
    }
}

#[test]
fn penalties_do_what_they_say() {
    let calm = |l2, tv| DreamSpec { l2, tv, octaves: 1, steps: 12, ..DreamSpec::preset(Preset::Google2015) };
    let contrast = |dream: &Dream| -> f32 { dream.picture.rgb.iter().map(|value| (value - 127.0).powi(2)).sum() };
    let roughness =
        |dream: &Dream| -> f32 { dream.picture.rgb.windows(4).map(|values| (values[3] - values[0]).abs()).sum() };
    let (free, gray, smooth) = (dreamt(calm(0.0, 0.0)), dreamt(calm(3.0, 0.0)), dreamt(calm(0.0, 1.0)));
    assert!(contrast(&gray) < 0.8 * contrast(&free), "{} {}", contrast(&gray), contrast(&free));
    assert!(roughness(&smooth) < 0.8 * roughness(&free), "{} {}", roughness(&smooth), roughness(&free));
}

#[test]
fn a_seed_decides_the_bytes_whatever_the_threads() {
    crate::optvis::testing::same_on_any_pool(|| dreamt(small_spec()).picture.rgb);
    let other = DreamSpec { seed: 1, ..small_spec() };
    assert_ne!(dreamt(other).picture, dreamt(small_spec()).picture);
}

#[test]
fn noise_is_dreamt_without_a_photo() {
    let spec = DreamSpec { from_noise: Some(SizePx { width: 50, height: 40 }), ..small_spec() };
    let (ended, _) = run(dreamer(spec.clone()).dream(None).expect("a job"));
    assert_eq!(ended.output.picture.size(), [40, 50]);
    assert_eq!(ended.output.recipe.source, None);
    let again = run(dreamer(spec.clone()).dream(None).expect("a job")).0.output;
    assert_eq!(again.picture, ended.output.picture);
    assert!(sentence(dreamer(spec).dream(Some(photo(60, 44))).err().expect("both")).contains("not from both"));
    assert!(sentence(dreamer(small_spec()).dream(None).err().expect("none")).contains("neither"));
}

#[test]
fn progress_counts_octaves_and_steps_and_weighs_them() {
    let mut job = dreamer(small_spec()).dream(Some(photo(60, 44))).expect("a job");
    let at_start = job.position();
    assert_eq!((at_start.stage, at_start.stages, at_start.done, at_start.total), (1, 2, 0, 8));
    assert_eq!((at_start.work_done, at_start.objective), (0.0, None));
    let (link, control, _events) = job::link::<Dream, Picture>();
    for _ in 0..5 {
        step(&mut job, &link);
    }
    let later = job.position();
    assert_eq!((later.stage, later.step, later.done), (2, 1, 5));
    let (small, full) = (43.0 * 31.0, 60.0 * 44.0);
    assert!((later.work_done - (small * 4.0 + full) / ((small + full) * 4.0)).abs() < 1e-12);
    assert!(later.objective.is_some());
    assert_eq!(job.preview().map(|preview| preview.size()), Some([44, 60]));
    control.cancel();
    let ended = job::drive(job, &link).expect("what is there");
    assert_eq!(ended.how, How::Cancelled);
}

/// One step outside the drive loop.
fn step(job: &mut DreamJob, link: &job::Link<Dream, Picture>) {
    job.step(&mut link.outbox()).expect("a step");
}

#[test]
fn a_cancelled_dream_has_full_size_and_says_how_far_it_came() {
    let mut job = dreamer(small_spec()).dream(Some(photo(60, 44))).expect("a job");
    let (link, control, _events) = job::link::<Dream, Picture>();
    step(&mut job, &link);
    step(&mut job, &link);
    control.cancel();
    let dream = job::drive(job, &link).expect("what is there").output;
    assert_eq!(dream.picture.size(), [44, 60]);
    assert_eq!((dream.steps_done, dream.recipe.stopped_after), (2, Some(2)));
    let changed = dream.picture.rgb.iter().zip(&picture(60, 44).rgb).filter(|(a, b)| (*a - *b).abs() > 0.5).count();
    assert!(changed > 60 * 44, "the small octave's dream is on the full picture: {changed} values changed");
}

#[test]
fn pictures_on_the_way_come_at_full_size() {
    let spec = DreamSpec { save_every: 3, ..small_spec() };
    let (ended, events) = run(dreamer(spec).dream(Some(photo(60, 44))).expect("a job"));
    let steps: Vec<usize> = events
        .iter()
        .filter_map(|event| match event {
            Event::Intermediate(dream) if dream.picture.size() == [44, 60] => Some(dream.steps_done),
            _ => None,
        })
        .collect();
    assert_eq!(steps, [3, 6]);
    assert_eq!(ended.output.picture, dreamt(small_spec()).picture, "watching changes nothing");
}

#[test]
fn alpha_and_colours_are_kept() {
    let alpha: Vec<f32> = (0..60 * 44).map(|i| (i % 256) as f32).collect();
    let mut photo = photo(60, 44);
    photo.picture = photo.picture.with_alpha(Some(alpha.clone()));
    let spec = DreamSpec { keep_colors: true, ..small_spec() };
    let (ended, _) = run(dreamer(spec).dream(Some(photo.clone())).expect("a job"));
    assert_eq!(ended.output.picture.alpha.as_ref(), Some(&alpha));
    let plain = run(dreamer(small_spec()).dream(Some(photo)).expect("a job")).0.output;
    let expected = imageio::keep_colors(plain.picture, &picture(60, 44).rgb);
    assert_eq!(ended.output.picture.rgb, expected.rgb);
}

#[test]
fn sizes_are_set_by_the_longest_side() {
    let sized = |size, width, height| {
        let spec = DreamSpec { size, ..small_spec() };
        dreamer(spec).dream(Some(photo(width, height))).expect("a job").size_px()
    };
    assert_eq!(sized(None, 60, 44), [44, 60]);
    assert_eq!(sized(Some(90), 60, 44), [66, 90]);
    assert_eq!(sized(None, 2048, 100), [50, 1024]);
    assert_eq!(sized(Some(2048), 2048, 100), [100, 2048]);
}

#[test]
fn small_pictures_have_fewer_octaves_or_none() {
    let spec = DreamSpec { octaves: 4, ..small_spec() };
    let (ended, events) = run(dreamer(spec.clone()).dream(Some(photo(40, 30))).expect("a job"));
    assert_eq!(ended.output.steps_done, 2 * 4);
    let [Event::Warning(warning)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(warning, "2 of 4 octaves are dreamt: layer deep does not work on 21×15 pixels or fewer");
    let error = dreamer(spec.clone()).dream(Some(photo(15, 10))).err().expect("too small");
    let expected = "15×10 is too small for layer deep, which needs 24×16: set the size to 24 or more";
    assert_eq!(sentence(error), expected);
    let error = dreamer(spec).dream(Some(photo(1, 1))).err().expect("too small");
    assert!(sentence(error).starts_with("1×1 is too small"));
}

#[test]
fn a_net_of_fixed_size_says_so() {
    let spec = DreamSpec { class: Some(ClassGoal { class: "2".into(), score: ClassScore::Logit }), ..small_spec() };
    let dreamer = Dreamer::new(spec, small_net(true)).expect("a good spec");
    let error = sentence(dreamer.dream(Some(photo(60, 44))).err().expect("another size"));
    assert!(
        error.starts_with("class macaw of the net `small` works only on pictures of 24×24, not on 60×44"),
        "{error}"
    );
    let (ended, events) = run(dreamer.dream(Some(photo(24, 24))).expect("a job"));
    assert_eq!((ended.output.steps_done, events.len()), (4, 1), "one octave, and a warning");
}

#[test]
fn too_large_a_dream_is_refused_with_the_size_that_fits() {
    // Of the program itself, and 3 MiB more.
    let spec = DreamSpec { max_memory: Some(27 << 20), ..small_spec() };
    let error = sentence(dreamer(spec.clone()).dream(Some(photo(900, 600))).err().expect("too large"));
    let size_px = error.strip_suffix(" would fit").and_then(|text| text.rsplit(' ').next()?.parse::<usize>().ok());
    let size_px = size_px.unwrap_or_else(|| panic!("{error}"));
    assert!((100..900).contains(&size_px), "{error}");
    let sized = |size| dreamer(DreamSpec { size: Some(size), ..spec.clone() }).dream(Some(photo(900, 600)));
    assert!(sized(size_px).is_ok());
    assert!(sized(size_px + 1).is_err());
    let noise = SizePx { width: 1 << 20, height: 1 << 20 };
    let error = dreamer(DreamSpec { from_noise: Some(noise), ..small_spec() }).dream(None).err().expect("too large");
    assert!(sentence(error).contains("too large for any machine"));
}

#[test]
fn names_that_are_not_there_are_told_with_the_nearest() {
    let layer = |text: &str| DreamSpec { layers: vec![text.parse().expect("a layer")], ..small_spec() };
    let error = refused(layer("fist"));
    assert!(error.contains("there is no layer `fist`") && error.contains("first"), "{error}");
    assert!(refused(layer("picture")).contains("the picture itself"));
    let class = |class: &str| DreamSpec {
        class: Some(ClassGoal { class: class.into(), score: ClassScore::Logit }),
        ..small_spec()
    };
    assert_eq!(
        refused(class("fox")),
        "2 classes have `fox` in their names, such as red fox, grey fox: be more precise, or give a number"
    );
    assert!(refused(class("makaw")).starts_with("no class of the net has `makaw` in its name; the nearest are macaw"));
    assert_eq!(refused(class("4")), "the net `small` has 4 classes, 0 to 3, but class 4 is asked for");
    for good in ["0", "GREY fox", "castl", " macaw "] {
        assert!(Dreamer::new(class(good), small_net(false)).is_ok(), "{good}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let neuron = |x, y, channel| Some(Neuron { channel, x, y });
    let offsets = |rolls: &[[i32; 2]]| Jitter::Offsets(rolls.iter().map(|&roll| Roll::from(roll)).collect());
    let class = Some(ClassGoal { class: "0".into(), score: ClassScore::Logit });
    let weighted = |weight| vec![LayerWeight { name: "deep".into(), weight }];
    let cases = [
        ("octaves is 0", DreamSpec { octaves: 0, ..small_spec() }),
        ("octaves is 99", DreamSpec { octaves: 99, ..small_spec() }),
        ("octave_scale is 1", DreamSpec { octave_scale: 1.0, ..small_spec() }),
        ("octave_scale is NaN", DreamSpec { octave_scale: f64::NAN, ..small_spec() }),
        ("steps is 0", DreamSpec { steps: 0, ..small_spec() }),
        ("step_size is NaN", DreamSpec { step_size: f32::NAN, ..small_spec() }),
        ("step_size is -1", DreamSpec { step_size: -1.0, ..small_spec() }),
        ("step_size is inf", DreamSpec { step_size: f32::INFINITY, ..small_spec() }),
        ("jitter is 65537", DreamSpec { jitter: Jitter::Random(65537), ..small_spec() }),
        ("jitter is an empty list", DreamSpec { jitter: offsets(&[]), ..small_spec() }),
        ("jitter is 2147483648", DreamSpec { jitter: offsets(&[[0, i32::MIN]]), ..small_spec() }),
        ("laplacian is 17", DreamSpec { laplacian: 17, ..small_spec() }),
        ("l2 is -0.1", DreamSpec { l2: -0.1, ..small_spec() }),
        ("tv is NaN", DreamSpec { tv: f32::NAN, ..small_spec() }),
        ("seed is 9223372036854775808", DreamSpec { seed: 1 << 63, ..small_spec() }),
        ("size is 0", DreamSpec { size: Some(0), ..small_spec() }),
        ("from_noise is 0×9", DreamSpec { from_noise: Some(SizePx { width: 0, height: 9 }), ..small_spec() }),
        ("a layer's weight is 0", DreamSpec { layers: weighted(0.0), ..small_spec() }),
        ("a layer's weight is NaN", DreamSpec { layers: weighted(f32::NAN), ..small_spec() }),
        ("the neuron's x is 1.5", DreamSpec { neuron: neuron(1.5, 0.0, 0), ..small_spec() }),
        ("the neuron's y is NaN", DreamSpec { neuron: neuron(0.0, f32::NAN, 0), ..small_spec() }),
        (
            "layer `deep` has 8 channels, 0 to 7, but channel 8",
            DreamSpec { neuron: neuron(0.5, 0.5, 8), ..small_spec() },
        ),
        ("layer `deep` has 8 channels, 0 to 7, but channel 9", DreamSpec { channels: vec![9, 1], ..small_spec() }),
        ("channels and a neuron", DreamSpec { neuron: neuron(0.5, 0.5, 1), channels: vec![1], ..small_spec() }),
        ("a class and layers", DreamSpec { class: class.clone(), layers: weighted(1.0), ..small_spec() }),
        ("a class and channels", DreamSpec { class, channels: vec![1], ..small_spec() }),
    ];
    for (expected, spec) in cases {
        let error = refused(spec);
        assert!(error.starts_with(expected), "{expected}: {error}");
    }
}

#[test]
fn a_net_without_a_preset_dreams_at_its_last_large_layer() {
    assert_eq!(dreamer(small_spec()).spec().layers, ["deep".parse().expect("a layer")]);
}

#[test]
fn a_dream_that_overflows_is_an_error_of_the_run() {
    let spec = DreamSpec { layers: vec!["deep=1e6".parse().expect("a layer")], ..small_spec() };
    let net = {
        let mut net = GraphBuilder::new("picture", 3, [24, 24]);
        net.param("deep", &[1, 3, 1, 1], vec![1e38; 3]);
        let window = Window::square(1, 1);
        net.add("deep", Op::Conv2d(Conv2d { window, groups: 1 }), &[GraphBuilder::INPUT], &["deep"]);
        let preprocess = Preprocess { order: ChannelOrder::Rgb, mean: vec![0.0; 3], scale: vec![1.0; 3] };
        Arc::new(net.finish("huge", preprocess, Vec::new()).expect("a net"))
    };
    let job = Dreamer::new(spec, net).expect("a good spec").dream(Some(photo(30, 30))).expect("a job");
    let (link, _control, _events) = job::link();
    match job::drive(job, &link) {
        Err(job::JobError::Failed(error)) => {
            assert_eq!(error.exit_code(), 1);
            assert!(error.to_string().contains("overflowed"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_job_can_be_sent_to_a_thread() {
    let handle = job::spawn(dreamer(small_spec()).dream(Some(photo(60, 44))).expect("a job")).expect("a thread");
    assert_eq!(handle.join().expect("a dream").output.picture, dreamt(small_spec()).picture);
}

#[test]
fn the_recipe_in_a_picture_repeats_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let photo_path = folder.path().join("photo.png");
    let out = folder.path().join("dream.png");
    let save = |path: &Path, picture: &Picture, recipe: Option<String>| {
        let options = SaveOptions { recipe, ..SaveOptions::new(OutputFormat::Png) };
        imageio::save(path, picture, &options).expect("can be written");
    };
    save(&photo_path, &picture(60, 44), None);
    let load = |path: &Path| Photo::load(path, None).expect("a photo");
    let spec = DreamSpec { save_every: 2, max_memory: Some(1 << 30), ..small_spec() };
    let (ended, _) = run(dreamer(spec).dream(Some(load(&photo_path))).expect("a job"));
    save(&out, &ended.output.picture, Some(ended.output.recipe.to_text()));

    let recipe = Recipe::from_file(&out).expect("a recipe");
    assert_eq!(recipe, ended.output.recipe);
    assert_eq!((recipe.program.as_str(), recipe.stopped_after), (Recipe::PROGRAM, None));
    let source = recipe.find_source(&out).expect("the photo is there").expect("it was a photo");
    let again = load(&source);
    assert!(recipe.source.as_ref().expect("a source").is(&again.picture));
    assert!(!recipe.source.as_ref().expect("a source").is(&picture(44, 60)));
    let (repeated, _) = run(dreamer(recipe.dream.clone()).dream(Some(again)).expect("a job"));
    assert_eq!(repeated.output.picture, ended.output.picture);
    assert_eq!(repeated.output.recipe, recipe);

    std::fs::remove_file(&source).expect("can be removed");
    assert!(matches!(recipe.find_source(&out), Err(DreamError::MissingSource { .. })));
    assert!(matches!(Recipe::from_file(&photo_path), Err(DreamError::Picture(_))), "the photo is gone");
    save(&photo_path, &picture(60, 44), None);
    assert!(matches!(Recipe::from_file(&photo_path), Err(DreamError::NoRecipe { .. })));
}

#[test]
fn a_moved_photo_is_found_beside_the_recipe() {
    let folder = tempfile::tempdir().expect("a folder");
    let recipe_path = folder.path().join("dream.png");
    std::fs::write(folder.path().join("photo.png"), "").expect("can write");
    let recipe = dreamer(small_spec()).dream(Some(photo(60, 44))).map(|job| run(job).0.output.recipe).expect("a dream");
    assert_eq!(recipe.find_source(&recipe_path).ok().flatten(), Some(folder.path().join("photo.png")));
}

#[test]
fn a_recipe_needs_only_what_differs_from_the_preset() {
    let text =
        "program = 'oneiric 9.9'\n[dream]\npreset = 'google-2015'\njitter = [[1, 2]]\n[dream.neuron]\nchannel = 3\n";
    let recipe = Recipe::from_text(text).expect("a recipe");
    let expected = DreamSpec {
        jitter: Jitter::Offsets(vec![Roll { right: 1, down: 2 }]),
        neuron: Some(Neuron { channel: 3, x: 0.5, y: 0.5 }),
        ..DreamSpec::preset(Preset::Google2015)
    };
    assert_eq!(recipe.dream, expected);
    assert_eq!(Recipe::from_text(&recipe.to_text()).expect("a recipe"), recipe);
    assert_eq!(DreamSpec::from_toml("").expect("a spec"), DreamSpec::default());
    let bad =
        ["", "dream = 1", "program = 'x'\n[dream]\nstep = 1", "[dream]\npreset = 'x'", "[dream]\nsteps = -1", "\0"];
    for text in bad {
        assert!(matches!(Recipe::from_text(text), Err(DreamError::BadRecipe { .. })), "{text}");
    }
    assert!(matches!(DreamSpec::from_toml("layer = 'a'"), Err(DreamError::BadRecipe { .. })));
}

#[test]
fn every_preset_and_spec_survives_json_and_toml() {
    let full = DreamSpec {
        layers: vec![LayerWeight { name: "a".into(), weight: 0.1 }],
        channels: vec![1, 2],
        neuron: Some(Neuron { channel: 3, x: 0.1, y: 0.7 }),
        class: Some(ClassGoal { class: "fox".into(), score: ClassScore::Posterior }),
        size: Some(77),
        from_noise: Some(SizePx { width: 3, height: 4 }),
        ..DreamSpec::default()
    };
    for spec in [full, DreamSpec::preset(Preset::Vivid), DreamSpec::preset(Preset::Google2015)] {
        let json = serde_json::to_string(&spec).expect("plain data");
        assert_eq!(serde_json::from_str::<DreamSpec>(&json).expect("its own text"), spec);
        let toml = toml::to_string(&spec).expect("plain data");
        assert_eq!(DreamSpec::from_toml(&toml).expect("its own text"), spec, "{toml}");
    }
}

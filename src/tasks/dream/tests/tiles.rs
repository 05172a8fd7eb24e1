//! Dreams in tiles: the same but for rounding, stopped between tiles, refused where the whole must be seen.

use super::*;

#[test]
fn tiles_change_nothing_but_rounding() {
    let layers = |text: &str| vec![text.parse().expect("a layer")];
    let mean = crate::optvis::objective::Measure::Mean;
    let goals = [
        ("l2", small_spec()),
        ("two layers", DreamSpec { layers: [layers("deep"), layers("first/relu=0.5")].concat(), ..small_spec() }),
        ("the mean of channels", DreamSpec { channels: vec![1, 5], objective: mean, ..small_spec() }),
        ("the mean", DreamSpec { objective: mean, ..small_spec() }),
        ("a neuron", DreamSpec { layers: layers("first"), neuron: "2@0.3,0.9".parse().ok(), ..small_spec() }),
        ("the algorithm of 2015", DreamSpec { octaves: 2, steps: 4, ..DreamSpec::preset(Preset::Google2015) }),
    ];
    for (goal, whole) in goals {
        let expected = dreamt(whole.clone());
        let got = dreamt(DreamSpec { tile: Some(8), ..whole.clone() });
        let moved = difference(&expected.picture, &picture(60, 44));
        let apart = difference(&got.picture, &expected.picture);
        assert!(apart < 1e-3 * moved, "{goal}: {apart} where the dream is {moved} from the photo");
        let ([first, _], [expected, _]) = (got.objective.expect("steps"), expected.objective.expect("steps"));
        assert!((first - expected).abs() < 1e-4 * expected.abs(), "{goal}: {first} is not {expected}");
        assert_eq!(
            (got.recipe.dream.tile, got.recipe.dream),
            (Some(8), DreamSpec { tile: Some(8), ..got_spec(whole) })
        );
    }
}

/// The root of the mean square.
fn difference(a: &Picture, b: &Picture) -> f64 {
    let squares: f64 = a.rgb.iter().zip(&b.rgb).map(|(a, b)| f64::from(a - b) * f64::from(a - b)).sum();
    (squares / a.rgb.len() as f64).sqrt()
}

/// A spec with the layers that are in use.
fn got_spec(spec: DreamSpec) -> DreamSpec {
    dreamer(spec).spec().clone()
}

#[test]
fn a_dream_in_little_memory_is_in_tiles_and_its_recipe_repeats_it() {
    let noise = Some(SizePx { width: 1200, height: 1200 });
    let spec = DreamSpec { from_noise: noise, steps: 1, ..small_spec() };
    let dream = |spec: DreamSpec| run(dreamer(spec).dream(None).expect("a job")).0.output;
    let whole = dream(DreamSpec { max_memory: Some(1 << 30), ..spec.clone() });
    assert_eq!(whole.recipe.dream.tile, None);
    // Of the program itself; the noise, the picture, its gradient in bands; and 3 MiB more.
    let bytes = (24 << 20) + 1200 * 1200 * 12 * 10 / 3 + (3 << 20);
    let tiled = dream(DreamSpec { max_memory: Some(bytes), ..spec });
    let tile = tiled.recipe.dream.tile.expect("the whole does not fit");
    assert!((128..1200).contains(&tile), "{tile}");
    assert!(difference(&tiled.picture, &whole.picture) < 1e-2);
    let again = dream(Recipe::from_text(&tiled.recipe.to_text()).expect("its own text").dream);
    assert!(again.picture == tiled.picture);
}

#[test]
fn what_sees_the_whole_picture_is_not_dreamt_in_tiles() {
    let class = Some(ClassGoal { class: "macaw".into(), score: ClassScore::Logit });
    let spec = DreamSpec { class, ..small_spec() };
    let error = dreamer(DreamSpec { tile: Some(16), ..spec.clone() }).dream(Some(photo(60, 44))).err();
    let expected = "class macaw cannot be dreamt in tiles, for layer `pool` looks at the whole picture at once: leave the \
                    size of tiles out";
    assert_eq!(sentence(error.expect("it cannot")), expected);
    let noise = Some(SizePx { width: 1200, height: 1200 });
    let spec = DreamSpec { from_noise: noise, max_memory: Some(32 << 20), ..spec };
    let error = sentence(dreamer(spec).dream(None).err().expect("too large"));
    assert!(error.contains("(it cannot be dreamt in tiles, for layer `pool` looks at"), "{error}");
}

#[test]
fn a_dream_in_tiles_stops_between_them_and_loses_nothing() {
    let spec = DreamSpec { tile: Some(8), octaves: 1, ..small_spec() };
    let mut job = dreamer(spec.clone()).dream(Some(photo(60, 44))).expect("a job");
    let (link, _control, _events) = job::link::<Dream, Picture>();
    let mut works = Vec::new();
    while job.position().done == 0 {
        works.push(job.position().work_done);
        job.step(&mut link.outbox()).expect("a tile");
    }
    assert!(works.len() > 4 && works.is_sorted() && works[1] > 0.0 && works[works.len() - 1] < 0.25, "{works:?}");
    assert!((job.position().work_done - 0.25).abs() < 1e-9);
    let after_one = job.frame();
    job.step(&mut link.outbox()).expect("a tile");
    job.steering().set(DreamSpec { step_size: 9.0, ..spec });
    job.step(&mut link.outbox()).expect("a tile");
    assert!(job.position().done == 1 && *job.frame() == *after_one, "no step is taken, and no change within one");
    let stopped = job.finish().expect("what is there");
    assert_eq!((stopped.steps_done, stopped.recipe.stopped_after), (1, Some(1)));
    assert_eq!(stopped.picture.rgb, after_one.rgb());
}

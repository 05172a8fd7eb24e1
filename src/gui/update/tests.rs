use std::path::PathBuf;

use crate::gui::command::Command;
use crate::gui::host::{Deliver, Ended, Event, Failed, Pick, Request, SaveTo, Start};
use crate::gui::state::{BatchPhase, CanvasView, Dialog, Effect, Leaving, Phase, Tone};
use crate::gui::testing::{Desk, dreamt_steps, open_net, open_photo, small_spec};
use crate::job::How;
use crate::tasks::dream::{DreamSpec, LayerWeight, Recipe, SourcePhoto};

fn edit(desk: &mut Desk, change: impl FnOnce(&mut DreamSpec)) {
    let mut spec = desk.state.spec.clone();
    change(&mut spec);
    desk.run(Command::Edit(Box::new(spec), "a control"));
    desk.run(Command::Settle);
}

#[test]
fn files_of_one_net_are_opened_together() {
    let opened = |files: &[&str]| {
        let mut desk = Desk::ready();
        desk.run(Command::OpenFiles(files.iter().map(std::path::PathBuf::from).collect()));
        let asked = desk.host.requests.drain(..).filter_map(|request| match request {
            Request::OpenNet { key, options } => Some((key, options.weights)),
            _ => None,
        });
        asked.collect::<Vec<_>>()
    };
    let pair = [("a/deploy.prototxt".to_string(), Some("b/w.caffemodel".into()))];
    assert_eq!(opened(&["a/deploy.prototxt", "b/w.caffemodel"]), pair);
    assert_eq!(opened(&["b/w.caffemodel", "a/deploy.prototxt", "a/mean.binaryproto"]), pair);
    assert_eq!(opened(&["a/net.onnx"]), [("a/net.onnx".to_string(), None)]);
}

#[test]
fn a_dropped_photo_dreams_by_itself() {
    let mut desk = Desk::ready();
    let path = PathBuf::from("elsewhere/cat.png");
    desk.run(Command::OpenFiles(vec![path.clone()]));
    assert_eq!(desk.host.names(), ["OpenPhoto"]);
    desk.report(Event::PhotoOpened(open_photo("elsewhere/cat.png")));
    assert_eq!(desk.host.names(), ["KeepSettings", "Dream"]);
    let take = desk.state.take().expect("it dreams");
    assert_eq!((take.title().as_str(), &take.phase), ("cat.png", &Phase::Starting));
    assert_eq!(desk.state.settings.recent_photos, [path]);
}

#[test]
fn the_sample_photo_waits_to_be_asked() {
    let mut desk = Desk::ready();
    assert!(desk.state.take().is_none());
    desk.run(Command::Toggle);
    assert_eq!(desk.host.names(), ["Dream"]);
    assert!(desk.state.take().is_some_and(|take| take.phase == Phase::Starting));
}

#[test]
fn a_photo_that_comes_before_the_net_dreams_once_it_is_there() {
    let mut desk = Desk::default();
    desk.state.spec = small_spec();
    desk.run(Command::OpenFiles(vec!["cat.png".into()]));
    desk.report(Event::PhotoOpened(open_photo("cat.png")));
    assert!(desk.state.take().is_none() && desk.state.dream_when_open);
    desk.report(Event::NetOpened(open_net()));
    assert!(desk.host.names().contains(&"Dream".to_string()));
    assert!(!desk.state.dream_when_open);
}

#[test]
fn space_pauses_resumes_and_goes_on_from_where_one_looks() {
    let mut desk = Desk::ready();
    desk.run(Command::Toggle);
    let job = desk.job();
    desk.started(job);
    desk.report(Event::JobSteps { job, steps: dreamt_steps(&small_spec()) });
    desk.host.requests.clear();
    desk.run(Command::Toggle);
    assert_eq!((desk.host.names(), &desk.state.takes[0].phase), (vec!["Pause".into()], &Phase::Paused));
    desk.run(Command::Toggle);
    assert_eq!((desk.host.names(), &desk.state.takes[0].phase), (vec!["Resume".into()], &Phase::Running));
    // Looking back holds the dream.
    desk.run(Command::ShowStep(2));
    assert_eq!(desk.host.names(), ["Pause", "ShowStep"]);
    assert_eq!(desk.state.shown_step(), Some(2));
    desk.run(Command::Toggle);
    assert_eq!(desk.host.requests.len(), 2, "{:?}", desk.host.requests);
    let Request::Dream(order) = &desk.host.requests[1] else { panic!("{:?}", desk.host.requests) };
    assert_eq!((order.from.as_ref().map(|frame| frame.done), order.earlier.len()), (Some(3), 3));
    assert!(matches!(desk.host.requests[0], Request::Cancel(cancelled) if cancelled == job));
    assert_eq!((desk.state.takes.len(), desk.state.current, desk.state.shown_step()), (2, Some(1), Some(2)));
}

#[test]
fn a_dream_that_has_ended_goes_deeper() {
    let mut desk = Desk::dreamt();
    let first = desk.job();
    desk.run(Command::Toggle);
    let Some(Request::Dream(order)) = desk.host.requests.first() else { panic!("{:?}", desk.host.requests) };
    assert_eq!(order.from.as_ref().map(|frame| (frame.done, frame.is_last())), Some((8, true)));
    assert_ne!(desk.job(), first);
}

#[test]
fn settings_steer_the_dream_that_runs() {
    let mut desk = Desk::ready();
    desk.run(Command::Toggle);
    let job = desk.job();
    desk.started(job);
    desk.host.requests.clear();
    edit(&mut desk, |spec| spec.step_size = 3.0);
    let Some(Request::Steer(steered, spec)) = desk.host.requests.pop() else { panic!("it is steered") };
    assert_eq!((steered, spec.step_size), (job, 3.0));
    // What the algorithm cannot change midway waits, and says so.
    edit(&mut desk, |spec| spec.octaves = 5);
    assert_eq!(desk.state.waits_for_start, Some("octaves"));
    // … while the rest goes on acting.
    desk.host.requests.clear();
    edit(&mut desk, |spec| spec.step_size = 4.0);
    let Some(Request::Steer(_, spec)) = desk.host.requests.pop() else { panic!("it is steered") };
    assert_eq!((spec.step_size, spec.octaves), (4.0, 2));
    edit(&mut desk, |spec| spec.octaves = 2);
    assert_eq!(desk.state.waits_for_start, None);
    desk.run(Command::StartOver);
    assert_eq!(desk.host.names().last().map(String::as_str), Some("Dream"));
}

#[test]
fn what_cannot_change_midway_is_refused_before_a_branch() {
    let mut desk = Desk::dreamt();
    edit(&mut desk, |spec| spec.octave_scale = 1.7);
    desk.run(Command::GoOn);
    assert!(desk.host.names().is_empty());
    assert!(desk.says("octave_scale cannot change in the middle of a dream"), "{:?}", desk.state.messages);
}

#[test]
fn undo_and_redo_walk_through_the_settings() {
    let mut desk = Desk::ready();
    let steps = |desk: &Desk| desk.state.spec.steps;
    for count in [5, 6, 7] {
        edit(&mut desk, |spec| spec.steps = count);
    }
    desk.run(Command::Undo);
    desk.run(Command::Undo);
    assert_eq!(steps(&desk), 5);
    desk.run(Command::Redo);
    assert_eq!(steps(&desk), 6);
    edit(&mut desk, |spec| spec.steps = 9);
    desk.run(Command::Redo);
    assert_eq!(steps(&desk), 9);
}

#[test]
fn a_channel_a_layer_or_a_class_replaces_what_was_dreamt() {
    let mut desk = Desk::ready();
    desk.run(Command::DreamChannel { layer: "block2/relu".into(), channel: 3 });
    let spec = &desk.state.spec;
    assert_eq!((spec.layers[0].name.as_str(), spec.channels.as_slice()), ("block2/relu", &[3][..]));
    assert_eq!(desk.state.form.channels, "3");
    desk.run(Command::DreamClass(2));
    let spec = &desk.state.spec;
    assert!(spec.layers.is_empty() && spec.channels.is_empty());
    assert_eq!(spec.class.as_ref().map(|goal| goal.class.as_str()), Some("macaw"));
    desk.run(Command::DreamLayer("block1/relu".into()));
    assert_eq!((desk.state.spec.layers.len(), &desk.state.spec.class), (1, &None));
    desk.run(Command::Undo);
    assert!(desk.state.spec.class.is_some());
}

#[test]
fn a_preset_keeps_what_belongs_to_the_photo() {
    let mut desk = Desk::ready();
    edit(&mut desk, |spec| (spec.size, spec.seed) = (Some(300), 7));
    let preset = DreamSpec { steps: 33, size: None, seed: 2, net: "other".into(), ..small_spec() };
    desk.run(Command::ApplyPreset(Box::new(preset)));
    let spec = &desk.state.spec;
    // Without layers it suits any net.
    assert_eq!((spec.steps, spec.size, spec.seed, spec.net.as_str()), (33, Some(300), 2, "small"));
    assert!(desk.host.names().is_empty());
    let layers = vec![LayerWeight { name: "deep".into(), weight: 1.0 }];
    let preset = DreamSpec { layers, net: "other".into(), ..small_spec() };
    desk.run(Command::ApplyPreset(Box::new(preset)));
    assert_eq!(desk.host.names(), ["OpenNet"]);
}

#[test]
fn a_preset_that_a_running_dream_cannot_take_starts_it_over() {
    let mut desk = Desk::ready();
    desk.run(Command::Toggle);
    let job = desk.job();
    desk.started(job);
    desk.host.requests.clear();
    desk.run(Command::ApplyPreset(Box::new(DreamSpec { steps: 9, ..small_spec() })));
    assert_eq!(desk.host.names(), ["Steer"]);
    desk.run(Command::ApplyPreset(Box::new(DreamSpec { octaves: 3, ..small_spec() })));
    assert_eq!(desk.host.names(), ["Steer", "Cancel", "Dream"]);
    assert_ne!(desk.job(), job);
}

#[test]
fn a_dropped_dream_brings_its_settings_back() {
    let mut desk = Desk::ready();
    let layers = vec![LayerWeight { name: "block1/relu".into(), weight: 1.0 }];
    let dream = DreamSpec { steps: 11, layers, seed: 5, ..small_spec() };
    let photo = open_photo("somewhere/photo.png");
    let source = Some(SourcePhoto::new(&photo.photo.path, &photo.photo.picture));
    let recipe = Box::new(Recipe {
        program: Recipe::PROGRAM.into(),
        stopped_after: None,
        source,
        changes: Vec::new(),
        dream: dream.clone(),
    });
    let picture = open_photo("somewhere/photo-dream.png");
    let path = PathBuf::from("somewhere/photo-dream.png");
    let found =
        Event::DreamOpened { path: path.clone(), recipe: recipe.clone(), photo: Some(photo), picture: picture.clone() };
    desk.report(found);
    assert_eq!(desk.state.spec, dream);
    assert!(desk.state.after().is_some_and(|image| std::sync::Arc::ptr_eq(image, &picture.image)));
    assert!(desk.host.names().is_empty(), "it waits to be asked");
    desk.run(Command::Undo);
    assert_eq!(desk.state.spec, small_spec());
    // Without its photo the dream itself takes its place, and that is said.
    desk.report(Event::DreamOpened { path, recipe, photo: None, picture });
    assert!(desk.says("its photo somewhere/photo.png is not there"));
    assert_eq!(desk.state.photo.as_ref().map(|photo| photo.name()), Some("photo-dream.png".into()));
}

#[test]
fn saving_names_the_step_that_is_shown() {
    let mut desk = Desk::ready();
    desk.run(Command::Save);
    assert!(desk.host.names().is_empty() && desk.says("There is no dream yet"));
    let mut desk = Desk::dreamt();
    desk.run(Command::Save);
    let Some(Request::Save(exposure, SaveTo::Fresh(None))) = desk.host.requests.pop() else { panic!("it is saved") };
    assert_eq!(exposure.frame.done, 8);
    assert!(desk.state.takes[0].is_unsaved());
    desk.report(Event::Saved { job: desk.job(), done: 8, path: "out.png".into() });
    assert!(!desk.state.takes[0].is_unsaved());
    desk.run(Command::ShowStep(1));
    desk.run(Command::Host(Box::new(Event::Picked { pick: Pick::SaveAs, paths: vec!["a.jpg".into()] })));
    let Some(Request::Save(exposure, SaveTo::File(file))) = desk.host.requests.pop() else { panic!("it is saved") };
    assert_eq!((exposure.frame.done, file), (2, PathBuf::from("a.jpg")));
}

#[test]
fn failures_are_told_and_leave_the_window_usable() {
    let mut desk = Desk::ready();
    let path = PathBuf::from("broken.png");
    desk.run(Command::OpenFiles(vec![path.clone()]));
    assert_eq!(desk.state.opening, std::slice::from_ref(&path));
    let sentence = "broken.png is not a picture".to_string();
    desk.report(Event::Failed { what: Failed::OpenPhoto(path), sentence: sentence.clone() });
    assert!(desk.state.opening.is_empty() && desk.state.photo.is_some());
    assert_eq!(desk.state.messages.last().map(|message| message.tone), Some(Tone::Error));
    // Errors stay until they are closed, the rest goes by itself.
    desk.state.say(Tone::Info, "saved");
    desk.run(Command::Tick(1000.0));
    assert_eq!(desk.state.messages.len(), 1);
    let id = desk.state.messages[0].id;
    desk.run(Command::CloseMessage(id));
    assert!(desk.state.messages.is_empty());
}

#[test]
fn a_dream_that_cannot_begin_leaves_nothing_in_the_strip() {
    let mut desk = Desk::ready();
    desk.run(Command::Toggle);
    let job = desk.job();
    desk.report(Event::JobEnded { job, ended: Err("48×32 is too small for layer x".into()) });
    assert!(desk.state.takes.is_empty() && desk.says("too small"));
    desk.run(Command::Toggle);
    assert!(desk.state.take().is_some());
}

fn batch_of(desk: &mut Desk, names: &[&str]) -> Vec<crate::gui::host::JobId> {
    desk.run(Command::OpenFiles(names.iter().map(PathBuf::from).collect()));
    desk.state.batch.iter().map(|item| item.job).collect()
}

#[test]
fn several_photos_are_dreamt_one_after_the_other() {
    let mut desk = Desk::ready();
    let jobs = batch_of(&mut desk, &["in/a.png", "in/b.png", "in/c.png"]);
    let Some(Request::Dream(order)) = desk.host.requests.pop() else { panic!("the first begins") };
    assert!(matches!(&order.start, Start::File(path) if path.ends_with("a.png")));
    assert_eq!(order.deliver, Deliver::Folder("in/dreams".into()));
    desk.run(Command::MoveBatch(jobs[2], -1));
    let saved = Ended { how: How::Completed, image: None, saved: Some("in/dreams/a-dream.png".into()) };
    desk.report(Event::JobEnded { job: jobs[0], ended: Ok(saved) });
    let Some(Request::Dream(order)) = desk.host.requests.pop() else { panic!("the next begins") };
    assert_eq!(order.job, jobs[2]);
    // One that vanished does not stop the others.
    desk.report(Event::JobEnded { job: jobs[2], ended: Err("cannot read in/c.png: it is not there".into()) });
    assert!(desk.says("annot read in/c.png"));
    desk.run(Command::CancelBatch(jobs[1]));
    desk.report(Event::JobEnded { job: jobs[1], ended: Ok(Ended { how: How::Cancelled, image: None, saved: None }) });
    let phases: Vec<_> = desk.state.batch.iter().map(|item| item.phase.clone()).collect();
    assert!(matches!(&phases[..], [BatchPhase::Done(_), BatchPhase::Failed(_), BatchPhase::Cancelled]), "{phases:?}");
    assert_eq!(desk.state.waiting_in_batch(), 0);
    assert!(desk.says("The queue is done: 1 of 3"));
    desk.run(Command::ClearBatch);
    assert!(desk.state.batch.is_empty());
}

#[test]
fn the_canvas_goes_before_the_queue() {
    let mut desk = Desk::ready();
    let jobs = batch_of(&mut desk, &["a.png", "b.png"]);
    desk.host.requests.clear();
    desk.run(Command::Toggle);
    assert_eq!(desk.host.names(), ["Pause", "Dream"]);
    assert_eq!(desk.state.batch[0].phase, BatchPhase::Paused);
    let job = desk.job();
    desk.ended(job);
    assert!(desk.host.names().contains(&"Resume".to_string()));
    assert_eq!((desk.state.batch[0].phase.clone(), desk.state.batch[0].job), (BatchPhase::Running, jobs[0]));
    desk.run(Command::PauseBatch(true));
    assert_eq!(desk.host.names(), ["Pause"]);
    desk.run(Command::PauseBatch(false));
    assert_eq!(desk.host.names(), ["Resume"]);
}

/// The number under which the session was asked to be kept last.
fn session_number(desk: &Desk) -> u64 {
    let number = |request: &Request| match request {
        Request::KeepSession { number, .. } => Some(*number),
        _ => None,
    };
    desk.host.requests.iter().rev().find_map(number).expect("the session is to be kept")
}

#[test]
fn leaving_asks_only_when_something_would_be_lost() {
    let mut desk = Desk::dreamt();
    desk.run(Command::Quit);
    assert!(desk.state.dialog.is_none() && desk.state.is_leaving(), "the dream on the canvas is kept");
    assert!(desk.state.effects.is_empty(), "not before it is kept");
    let number = session_number(&desk);
    // One that was kept before does not count, nor does a second wish to leave.
    desk.report(Event::SessionKept { number: number - 1 });
    desk.run(Command::Quit);
    assert!(desk.state.effects.is_empty());
    desk.report(Event::SessionKept { number });
    assert_eq!(desk.state.effects, [Effect::Close]);
    assert_eq!(desk.state.leaving, Leaving::Free);

    let mut desk = Desk::ready();
    batch_of(&mut desk, &["a.png", "b.png"]);
    desk.run(Command::Quit);
    let Some(Dialog::Quit { would_lose }) = &desk.state.dialog else { panic!("it asks") };
    assert!(would_lose.contains("2 photos"), "{would_lose}");
    desk.run(Command::CloseDialog);
    assert!(!desk.state.is_leaving());
    desk.run(Command::QuitAnyway);
    assert!(desk.state.is_leaving());
}

#[test]
fn a_dream_that_was_gone_on_from_is_not_lost_but_one_beside_it_is() {
    let mut desk = Desk::dreamt();
    desk.run(Command::GoOn);
    desk.run(Command::Quit);
    assert!(desk.state.dialog.is_none(), "the second has all of the first");
    let mut desk = Desk::dreamt();
    desk.run(Command::ShowStep(2));
    desk.run(Command::GoOn);
    desk.run(Command::Quit);
    let Some(Dialog::Quit { would_lose }) = &desk.state.dialog else { panic!("it asks") };
    assert!(would_lose.contains("one dream in the strip"), "{would_lose}");
}

#[test]
fn a_save_that_is_being_written_holds_the_window() {
    let mut desk = Desk::dreamt();
    desk.run(Command::Save);
    desk.run(Command::Quit);
    let number = session_number(&desk);
    desk.report(Event::SessionKept { number });
    assert!(desk.state.effects.is_empty(), "the file is not there yet");
    desk.report(Event::Saved { job: desk.job(), done: 8, path: "out.png".into() });
    assert_eq!(desk.state.effects, [Effect::Close]);
}

#[test]
fn a_session_that_cannot_be_kept_is_told_before_the_dream_is_lost() {
    let mut desk = Desk::dreamt();
    desk.run(Command::Quit);
    let failure = || {
        let sentence = "cannot write session.toml: no space left".to_string();
        Event::Failed { what: Failed::KeepSession, sentence }
    };
    desk.report(failure());
    let Some(Dialog::Quit { would_lose }) = &desk.state.dialog else { panic!("it asks") };
    assert!(would_lose.contains("no space left") && !desk.state.is_leaving());
    assert!(desk.state.effects.is_empty());
    // Who wants to leave all the same is not held for ever.
    desk.run(Command::QuitAnyway);
    desk.report(failure());
    assert_eq!(desk.state.effects, [Effect::Close]);
}

#[test]
fn a_dream_waits_for_the_net_of_its_settings() {
    let mut desk = Desk::ready();
    let layers = vec![LayerWeight { name: "block1/relu".into(), weight: 1.0 }];
    edit(&mut desk, |spec| (spec.net, spec.layers) = ("other".into(), layers.clone()));
    assert_eq!(desk.host.names(), ["OpenNet"]);
    desk.run(Command::Toggle);
    assert!(desk.host.names().is_empty() && desk.state.take().is_none());
    let other = crate::gui::host::OpenNet::new("other", crate::gui::testing::small_net()).expect("it is sound");
    desk.report(Event::NetOpened(std::sync::Arc::new(other)));
    let take = desk.state.take().expect("it dreams");
    assert_eq!((take.net.key.as_str(), take.spec.net.as_str(), &take.spec.layers), ("other", "other", &layers));
    // One that cannot be opened leaves the old one in use, and its settings.
    let mut desk = Desk::ready();
    edit(&mut desk, |spec| spec.net = "broken".into());
    desk.report(Event::Failed { what: Failed::OpenNet("broken".into()), sentence: "it is broken".into() });
    assert_eq!(desk.state.spec.net, "small");
}

#[test]
fn the_queue_keeps_the_net_that_it_was_given() {
    let mut desk = Desk::ready();
    batch_of(&mut desk, &["a.png", "b.png"]);
    let other = crate::gui::host::OpenNet::new("other", crate::gui::testing::small_net()).expect("it is sound");
    desk.run(Command::OpenNet("other".into()));
    desk.report(Event::NetOpened(std::sync::Arc::new(other)));
    let keys: Vec<_> = desk.state.batch.iter().map(|item| item.net.as_ref().map(|net| net.key.as_str())).collect();
    assert_eq!(keys, [Some("small"), Some("small")]);
}

#[test]
fn taking_the_live_dream_out_of_the_strip_lets_the_queue_go_on() {
    let mut desk = Desk::ready();
    desk.run(Command::Toggle);
    let job = desk.job();
    desk.started(job);
    batch_of(&mut desk, &["a.png", "b.png"]);
    assert!(desk.state.batch.iter().all(|item| item.phase == BatchPhase::Waiting));
    desk.run(Command::CloseTake(job));
    desk.ended(job);
    assert_eq!(desk.state.batch[0].phase, BatchPhase::Running);
    // A dream that is held leaves the machine to the queue, and takes it back.
    let mut desk = Desk::ready();
    batch_of(&mut desk, &["a.png", "b.png"]);
    desk.run(Command::Toggle);
    let job = desk.job();
    desk.started(job);
    assert_eq!(desk.state.batch[0].phase, BatchPhase::Paused);
    desk.run(Command::Toggle);
    assert_eq!(desk.state.batch[0].phase, BatchPhase::Running);
    desk.run(Command::Toggle);
    assert_eq!(desk.state.batch[0].phase, BatchPhase::Paused);
}

#[test]
fn an_earlier_save_does_not_take_the_place_of_a_later_one() {
    let mut desk = Desk::dreamt();
    let job = desk.job();
    desk.report(Event::Saved { job, done: 8, path: "last.png".into() });
    desk.report(Event::Saved { job, done: 2, path: "early.png".into() });
    assert!(!desk.state.takes[0].is_unsaved());
}

#[test]
fn steps_that_are_thinned_out_keep_the_one_that_is_shown() {
    let mut desk = Desk::ready();
    desk.run(Command::Toggle);
    let job = desk.job();
    desk.started(job);
    let steps = dreamt_steps(&small_spec());
    desk.report(Event::JobSteps { job, steps: steps.clone() });
    desk.run(Command::ShowStep(4));
    let thinned = steps.iter().step_by(2).cloned().collect();
    desk.report(Event::JobSteps { job, steps: thinned });
    assert_eq!(desk.state.shown_step(), Some(2));
    let take = desk.state.take().expect("there is a take");
    assert_eq!(take.steps[2].frame.done, steps[4].frame.done);
}

#[test]
fn another_photo_ends_the_dream_and_clears_the_view() {
    let mut desk = Desk::ready();
    desk.run(Command::Toggle);
    let job = desk.job();
    desk.started(job);
    desk.run(Command::SetView(CanvasView { zoom: Some(3.0), ..CanvasView::default() }));
    desk.host.requests.clear();
    desk.run(Command::OpenFiles(vec!["b.png".into()]));
    desk.report(Event::PhotoOpened(open_photo("b.png")));
    assert_eq!(desk.host.names(), ["OpenPhoto", "Cancel", "KeepSettings", "Dream"]);
    assert_eq!(desk.state.canvas.zoom, None);
    assert_eq!(desk.state.takes.len(), 2, "the first stays in the strip");
}

#[test]
fn another_net_voids_the_layers_of_the_old_one() {
    let mut desk = Desk::ready();
    desk.run(Command::DreamLayer("block1/relu".into()));
    let other = crate::gui::host::OpenNet::new("other", crate::gui::testing::small_net()).expect("it is sound");
    desk.run(Command::OpenNet("other".into()));
    desk.report(Event::NetOpened(std::sync::Arc::new(other)));
    assert!(desk.state.spec.layers.is_empty());
    assert_eq!((desk.state.spec.net.as_str(), &desk.state.opening_net), ("other", &None));
    assert_eq!(desk.state.settings.recent_nets, ["other"]);
}

use std::sync::Weak;

use super::*;
use crate::gui::testing::{open_photo, small_net, small_spec};
use crate::job::{Flow, Job as _};

const JOB: JobId = JobId(3);

fn small_job(steps: usize) -> DreamJob {
    let spec = DreamSpec { steps, ..small_spec() };
    let photo = open_photo("somewhere/photo.png").photo.clone();
    let dreamer = Dreamer::new(spec, small_net()).expect("the spec suits the net");
    dreamer.dream(Some(photo)).expect("the photo is large enough")
}

/// The steps that came last to the window, and how often progress did.
fn taken(outlet: &Outlet, received: &std::sync::mpsc::Receiver<Event>) -> (Option<Vec<Step>>, usize) {
    let (mut steps, mut progress) = (None, 0);
    for event in outlet.take(received) {
        match event {
            Event::JobSteps { steps: latest, .. } => steps = Some(latest),
            Event::JobProgress { .. } => progress += 1,
            _ => {}
        }
    }
    (steps, progress)
}

#[test]
fn steps_that_the_reel_lets_go_are_freed() {
    let mut job = small_job(40);
    let budget = 12 * 32 * 48 * 3 * size_of::<f32>();
    let reel = Arc::new(Reel::new(budget));
    job.keep_steps(reel.clone());
    let (outlet, received) = Outlet::for_tests();
    let (link, control, _events) = job::link();
    let mut follower = Follower::new(JOB, &Deliver::Canvas, Vec::new(), &reel, &outlet);
    let mut all: Vec<Weak<Frame>> = Vec::new();
    let mut shown = Vec::new();
    loop {
        let flow = job.step(&mut link.outbox()).expect("it dreams");
        all.extend(reel.frames().last().map(Arc::downgrade));
        follower.look(&control);
        shown = taken(&outlet, &received).0.unwrap_or(shown);
        if flow == Flow::Done {
            break;
        }
    }
    follower.finish(&control);
    let last = taken(&outlet, &received).0.unwrap_or(shown);
    let kept = reel.frames();
    assert!(all.len() >= 80 && kept.len() < 60, "{} of {} are kept", kept.len(), all.len());
    let alive = all.iter().filter(|frame| frame.upgrade().is_some()).count();
    assert_eq!(alive, kept.len());
    let done = |steps: &[Step]| steps.iter().map(|step| step.frame.done).collect::<Vec<_>>();
    assert_eq!(done(&last), kept.iter().map(|frame| frame.done).collect::<Vec<_>>());
}

#[test]
fn a_branch_shows_the_earlier_steps_with_their_thumbnails_at_once() {
    let reel = {
        let mut job = small_job(20);
        let reel = Arc::new(Reel::new(REEL_BYTES));
        job.keep_steps(reel.clone());
        let (link, _control, _events) = job::link();
        job::drive(job, &link).expect("it dreams");
        reel
    };
    let thumbnail = open_photo("x").thumbnail.clone();
    let earlier: Vec<Step> =
        reel.frames().into_iter().map(|frame| Step { frame, thumbnail: thumbnail.clone() }).collect();
    let (outlet, received) = Outlet::for_tests();
    let (_link, control, _events) = job::link::<Dream, Picture>();
    let mut follower = Follower::new(JOB, &Deliver::Canvas, earlier, &reel, &outlet);
    follower.look(&control);
    let steps = taken(&outlet, &received).0.expect("steps are shown");
    assert_eq!(steps.len(), 40);
    assert!(steps.iter().all(|step| Arc::ptr_eq(&step.thumbnail, &thumbnail)), "they are made again");
}

#[test]
fn progress_is_told_once_a_change() {
    let mut job = small_job(4);
    let reel = Reel::new(REEL_BYTES);
    let (outlet, received) = Outlet::for_tests();
    let mut follower = Follower::new(JOB, &Deliver::Folder(PathBuf::new()), Vec::new(), &reel, &outlet);
    let (link, control, _events) = job::link();
    // A job that is held before its first step has progress to tell of, but only once.
    control.pause();
    let driven = std::thread::spawn(move || {
        job.keep_steps(Arc::new(Reel::new(0)));
        job::drive(job, &link).map(|ended| ended.how)
    });
    while control.progress().is_none() {
        std::thread::yield_now();
    }
    let told: usize = (0..5)
        .map(|_| {
            follower.look(&control);
            taken(&outlet, &received).1
        })
        .sum();
    assert_eq!(told, 1);
    control.resume();
    assert_eq!(driven.join().expect("no panic").expect("it dreams"), job::How::Completed);
    follower.look(&control);
    assert_eq!(taken(&outlet, &received).1, 1);
}

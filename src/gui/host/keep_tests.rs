use std::sync::mpsc::Receiver;

use super::*;
use crate::gui::host::{Files, Image, Request};
use crate::gui::testing::{picture, small_spec, write_files};
use crate::imageio::{OutputFormat, SaveOptions, save};
use crate::job;
use crate::tasks::dream::{Dreamer, Photo, Reel};

/// A user's folder with a net, a copy of it, and a photo that is clear at its left.
struct Bed {
    folder: tempfile::TempDir,
    outlet: Outlet,
    received: Receiver<Event>,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [net, photo] = write_files(folder.path());
        std::fs::copy(net, folder.path().join("other.safetensors")).expect("it can be copied");
        let alpha = (0..96 * 64).map(|i| if i % 96 < 9 { 0.0 } else { 255.0 }).collect();
        let clear = picture(96, 64).with_alpha(Some(alpha));
        save(&photo, &clear, &SaveOptions::new(OutputFormat::Png)).expect("it can be written");
        let (outlet, received) = Outlet::for_tests();
        Self { folder, outlet, received }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn home(&self) -> Home {
        Home::at(self.path("home"))
    }

    /// What a new window's files report of one request.
    fn ask(&self, request: Request) -> Vec<Event> {
        Files::new(Some(self.home())).work(request, &self.outlet);
        self.outlet.take(&self.received)
    }

    /// A step of the smaller octave.
    fn frame(&self) -> Arc<Frame> {
        let net = self.path("small.safetensors").display().to_string();
        let spec = DreamSpec { net, keep_colors: true, ..small_spec() };
        let graph = catalogue::open(&spec.net).expect("the net is there");
        let photo = Photo::load(&self.path("photo.png"), None).expect("the photo is there");
        let dreamer = Dreamer::new(spec, graph).expect("the spec suits the net");
        let mut job = dreamer.dream(Some(photo)).expect("the photo is large enough");
        let reel = Arc::new(Reel::new(1 << 30));
        job.keep_steps(reel.clone());
        let (link, _control, _events) = job::link();
        job::drive(job, &link).expect("the dream runs");
        reel.frames()[1].clone()
    }

    fn session(&self, net: &str) -> Session {
        let net = self.path(net).display().to_string();
        let spec = DreamSpec { net, seed: 9, ..small_spec() };
        Session { photo: Some(self.path("photo.png")), spec, ..Session::default() }
    }

    fn keep(&self, session: &Session, frame: Option<Arc<Frame>>) -> Vec<Event> {
        self.ask(Request::KeepSession { number: 7, session: Box::new(session.clone()), frame })
    }

    fn has_step(&self) -> bool {
        step_file(&self.home()).exists()
    }
}

fn found(events: &[Event]) -> (&Session, Option<&Kept>) {
    let Some(Event::SessionFound { session, shown, .. }) = events.last() else { panic!("{events:?}") };
    (session, shown.as_deref())
}

fn warnings(events: &[Event]) -> Vec<&str> {
    fn warning(event: &Event) -> Option<&str> {
        match event {
            Event::Warned(sentence) => Some(sentence),
            _ => None,
        }
    }
    events.iter().filter_map(warning).collect()
}

fn same(a: &Image, b: &Image) -> bool {
    a.size == b.size && a.pixels == b.pixels
}

#[test]
fn a_step_comes_back_at_full_size_with_its_own_net() {
    let bed = Bed::new();
    let (session, frame) = (bed.session("other.safetensors"), bed.frame());
    assert!(matches!(bed.keep(&session, Some(frame.clone()))[..], [Event::SessionKept { number: 7 }]));
    let events = bed.ask(Request::ComeBack { quietly: false });
    assert!(matches!(&events[0], Event::PhotoOpened(photo) if photo.photo.path == bed.path("photo.png")));
    assert!(matches!(&events[1], Event::NetOpened(net) if net.key == session.spec.net));
    let (back, Some(kept)) = found(&events) else { panic!("{events:?}") };
    assert_eq!((back, &*kept.step.frame), (&session, &*frame));
    assert_eq!(kept.net.key, frame.spec().net);
    assert!(matches!(&kept.start, Start::Photo(photo) if photo.photo.path == bed.path("photo.png")));
    assert_eq!((kept.size_px, kept.picture.size), ([64, 96], [96, 64]));
    assert_ne!(frame.size_px, kept.size_px);
    let (job, graph, start) = (JobId(1), kept.net.graph.clone(), kept.start.clone());
    let developed = full_picture(&Exposure { job, graph, start, frame }).expect("it can be developed").picture;
    assert!(developed.alpha.is_some() && same(&kept.picture, &image_of(&developed)));
}

#[test]
fn a_step_whose_photo_or_net_is_gone_is_told_of_and_kept_aside() {
    let bed = Bed::new();
    let (session, frame) = (bed.session("other.safetensors"), bed.frame());
    let lost = bed.home().session_folder().join("step-lost.safetensors");
    for (name, word) in [("small.safetensors", "its net"), ("photo.png", "its photo")] {
        bed.keep(&session, Some(frame.clone()));
        let (file, away) = (bed.path(name), bed.path("away"));
        std::fs::rename(&file, &away).expect("it can be renamed");
        let events = bed.ask(Request::ComeBack { quietly: false });
        assert!(found(&events).1.is_none());
        let [sentence] = warnings(&events)[..] else { panic!("{events:?}") };
        assert!(sentence.contains(word) && sentence.contains(&file.display().to_string()), "{sentence}");
        assert!(lost.exists() && !bed.has_step());
        let bytes = std::fs::read(&lost).expect("it is there");
        assert_eq!(Frame::from_bytes(&bytes).expect("it is whole"), *frame);
        std::fs::rename(&away, &file).expect("it can be renamed");
    }
    // Another picture under the photo's name is not its photo either.
    bed.keep(&session, Some(frame));
    save(&bed.path("photo.png"), &picture(96, 64), &SaveOptions::new(OutputFormat::Png)).expect("it can be written");
    let events = bed.ask(Request::ComeBack { quietly: false });
    assert!(found(&events).1.is_none() && warnings(&events).len() == 1 && !bed.has_step());
}

#[test]
fn a_net_that_is_gone_is_told_of_and_the_one_that_ships_opens() {
    let bed = Bed::new();
    let session = bed.session("gone.safetensors");
    bed.keep(&session, Some(bed.frame()));
    let events = bed.ask(Request::ComeBack { quietly: false });
    let missing = Failed::OpenNet(session.spec.net.clone());
    assert!(matches!(&events[1], Event::Failed { what, .. } if *what == missing), "{events:?}");
    assert!(matches!(&events[2], Event::NetOpened(net) if net.key == catalogue::DEFAULT), "{events:?}");
    let (back, kept) = found(&events);
    assert_eq!((back.spec.net.as_str(), back.spec.seed), (catalogue::DEFAULT, 9));
    assert!(kept.is_some_and(|kept| kept.net.key.ends_with("small.safetensors")));
}

#[test]
fn a_session_that_is_none_keeps_its_step_aside() {
    let bed = Bed::new();
    bed.keep(&bed.session("small.safetensors"), Some(bed.frame()));
    std::fs::write(session_file(&bed.home()), "photo = 7").expect("it can be written");
    let events = bed.ask(Request::ComeBack { quietly: false });
    let [sentence] = warnings(&events)[..] else { panic!("{events:?}") };
    assert!(sentence.contains("session.toml") && sentence.contains("step-lost.safetensors"), "{sentence}");
    assert!(matches!(events.last(), Some(Event::NetOpened(net)) if net.key == catalogue::DEFAULT));
    assert!(!bed.has_step());
}

#[test]
fn an_older_step_goes_only_once_the_new_session_is_written() {
    let bed = Bed::new();
    let session = bed.session("small.safetensors");
    bed.keep(&session, Some(bed.frame()));
    let file = session_file(&bed.home());
    std::fs::remove_file(&file).expect("it is there");
    std::fs::create_dir(&file).expect("it can be made");
    let events = bed.keep(&session, None);
    assert!(matches!(&events[..], [Event::Failed { what: Failed::KeepSession, .. }]), "{events:?}");
    assert!(bed.has_step());
    std::fs::remove_dir(&file).expect("it can be removed");
    assert!(matches!(bed.keep(&session, None)[..], [Event::SessionKept { number: 7 }]));
    assert!(!bed.has_step());
}

#[test]
fn a_dream_without_a_home_is_not_called_kept() {
    let bed = Bed::new();
    let (session, mut files) = (Box::new(bed.session("small.safetensors")), Files::new(None));
    let mut kept = |frame| {
        files.work(Request::KeepSession { number: 3, session: session.clone(), frame }, &bed.outlet);
        bed.outlet.take(&bed.received).pop()
    };
    assert!(matches!(kept(None), Some(Event::SessionKept { number: 3 })));
    let Some(Event::Failed { what: Failed::KeepSession, sentence }) = kept(Some(bed.frame())) else {
        panic!("it is refused")
    };
    assert!(sentence.contains("no folder for settings"), "{sentence}");
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_utf_8_does_not_lose_the_session() {
    use std::os::unix::ffi::OsStrExt as _;
    let bed = Bed::new();
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(b"/photos/\xff.png"));
    let saved = Some(crate::gui::session::SavedStep { done: 3, file: path.clone() });
    let session = Session { photo: Some(path), saved, ..bed.session("small.safetensors") };
    assert!(matches!(bed.keep(&session, None)[..], [Event::SessionKept { number: 7 }]));
    let events = bed.ask(Request::ComeBack { quietly: false });
    assert_eq!(*found(&events).0, Session { photo: None, saved: None, ..session });
}

#[test]
fn settings_that_cannot_be_written_leave_the_old_ones() {
    let bed = Bed::new();
    let (home, path) = (bed.home(), settings_file(&bed.home()));
    keep_settings(Some(&home), "scale = 1.5\n", &bed.outlet);
    keep_settings(Some(&home), "", &bed.outlet);
    let events = bed.outlet.take(&bed.received);
    let [sentence] = warnings(&events)[..] else { panic!("{events:?}") };
    assert!(sentence.contains(&path.display().to_string()), "{sentence}");
    assert_eq!(settings(Some(&home)).scale, 1.5);
}

use super::*;
use crate::job::Position;
use crate::job::progress::tests::position;

/// Does what its script says, one word a step.
struct Scripted {
    script: Vec<Act>,
    done: usize,
    checkpoints: Arc<Mutex<usize>>,
    control: Option<Control<usize>>,
}

#[derive(Clone, Copy)]
enum Act {
    Go,
    Warn,
    Deliver,
    Fail,
    Panic,
    CancelMe,
    PauseMe,
    AskPreview,
    End,
}

#[derive(Debug, PartialEq)]
struct Broken;

impl Scripted {
    fn new(script: &[Act]) -> Self {
        Self { script: script.to_vec(), done: 0, checkpoints: Arc::default(), control: None }
    }
}

impl Job for Scripted {
    type Output = usize;
    type Preview = usize;
    type Error = Broken;

    fn step(&mut self, outbox: &mut Outbox<'_, usize>) -> Result<Flow, Broken> {
        let act = self.script[self.done];
        self.done += 1;
        match act {
            Act::Go => {}
            Act::Warn => outbox.warn(format!("step {}", self.done)),
            Act::Deliver => outbox.intermediate(self.done),
            Act::Fail => return Err(Broken),
            Act::Panic => panic!("scripted panic"),
            Act::CancelMe => self.control.as_ref().expect("a control").cancel(),
            Act::PauseMe => self.control.as_ref().expect("a control").pause(),
            Act::AskPreview => self.control.as_ref().expect("a control").request_preview(),
            Act::End => return Ok(Flow::Done),
        }
        Ok(Flow::Continue)
    }

    fn position(&self) -> Position {
        position(1, self.done, self.script.len())
    }

    fn preview(&mut self) -> Option<usize> {
        Some(self.done)
    }

    fn checkpoint(&mut self) -> Result<(), Broken> {
        *lock(&self.checkpoints) += 1;
        Ok(())
    }

    fn finish(self) -> Result<usize, Broken> {
        Ok(100 + self.done)
    }
}

#[test]
fn a_job_runs_to_its_end_and_delivers() {
    let (link, control, events) = link();
    let ended = drive(Scripted::new(&[Act::Warn, Act::Deliver, Act::End, Act::Fail]), &link).expect("ends well");
    assert_eq!((ended.output, ended.how), (103, How::Completed));
    assert_eq!(control.progress().expect("progress").position.done, 3);
    assert!(control.take_preview().is_none(), "nobody asked for a preview");
    drop(link);
    let events: Vec<_> = events.iter().collect();
    assert!(matches!(&events[..], [Event::Warning(text), Event::Intermediate(2)] if text == "step 1"), "{events:?}");
}

#[test]
fn a_failure_and_a_panic_are_errors() {
    let (link, _control, _events) = link();
    let failed = drive(Scripted::new(&[Act::Go, Act::Fail]), &link);
    assert!(matches!(failed, Err(JobError::Failed(Broken))), "{failed:?}");
    let panicked = drive(Scripted::new(&[Act::Panic]), &link);
    assert!(matches!(&panicked, Err(JobError::Panicked(text)) if text == "scripted panic"), "{panicked:?}");
}

#[test]
fn cancelling_finishes_the_step_and_keeps_what_is_there() {
    let (link, control, _events) = link();
    let mut job = Scripted::new(&[Act::Go, Act::CancelMe, Act::Fail]);
    job.control = Some(control);
    let checkpoints = job.checkpoints.clone();
    let ended = drive(job, &link).expect("ends well");
    assert_eq!((ended.output, ended.how), (102, How::Cancelled));
    assert_eq!(*lock(&checkpoints), 1);
}

#[test]
fn a_preview_is_made_when_asked_for_and_taken_once() {
    let (link, control, _events) = link();
    let mut job = Scripted::new(&[Act::Go, Act::AskPreview, Act::Go, Act::End]);
    job.control = Some(control.clone());
    drive(job, &link).expect("ends well");
    assert_eq!(control.take_preview().as_deref(), Some(&2));
    assert!(control.take_preview().is_none());
}

#[test]
fn a_paused_job_waits_and_goes_on() {
    let (link, control, _events) = link();
    let mut job = Scripted::new(&[Act::PauseMe, Act::End]);
    job.control = Some(control.clone());
    let checkpoints = job.checkpoints.clone();
    let thread = std::thread::spawn(move || drive(job, &link));
    while *lock(&checkpoints) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(control.progress().expect("progress").position.done, 1);
    control.resume();
    let ended = thread.join().expect("no panic").expect("ends well");
    assert_eq!((ended.output, ended.how), (102, How::Completed));
}

#[test]
fn a_paused_job_can_be_cancelled() {
    let (link, control, _events) = link();
    control.pause();
    let mut job = Scripted::new(&[Act::Fail]);
    job.control = Some(control.clone());
    let thread = std::thread::spawn(move || drive(job, &link));
    control.cancel();
    let ended = thread.join().expect("no panic").expect("ends well");
    assert_eq!((ended.output, ended.how), (100, How::Cancelled));
}

#[test]
fn a_follower_that_leaves_does_not_hold_the_job() {
    let mut script = vec![Act::Warn; 10 * EVENTS_WAITING];
    script.push(Act::End);
    let handle = spawn(Scripted::new(&script)).expect("a thread");
    assert!(matches!(handle.wait(Duration::from_secs(60)), Wait::Event(Event::Warning(_))));
    assert_eq!(handle.join().expect("ends well").output, 100 + script.len());
}

#[test]
fn waiting_ends_with_the_job() {
    let handle = spawn(Scripted::new(&[Act::Warn, Act::End])).expect("a thread");
    let mut warnings = 0;
    loop {
        match handle.wait(Duration::from_secs(60)) {
            Wait::Event(_) => warnings += 1,
            Wait::Quiet => {}
            Wait::Ended => break,
        }
    }
    assert_eq!(warnings, 1);
    assert_eq!(handle.join().expect("ends well").how, How::Completed);
}

//! Threads that stay awake from one parallel loop to the next.
//!
//! A step of a net is a hundred short loops. A pool whose threads sleep between them spends as long on waking as some of
//! the loops take, so the threads of a team wait at a shared counter instead, for as long as the team is together.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// How often a waiting thread looks before it offers its core to others each time.
const PATIENCE: u32 = 1 << 12;

/// What the threads of a team share: the loop that is under way.
#[derive(Default)]
pub struct Team {
    /// The number of the loop in the upper half, how many of its indices nobody took yet in the lower half. While there
    /// are any, what stands below does not change.
    ticket: AtomicU64,
    /// Of the loop: how many indices it has, and what is done with each.
    count: AtomicUsize,
    body: AtomicPtr<()>,
    call: AtomicPtr<()>,
    /// Indices that are done.
    done: AtomicUsize,
    panicked: AtomicBool,
    over: AtomicBool,
}

const LEFT: u64 = u32::MAX as u64;

type Call = unsafe fn(*const (), usize);

thread_local! {
    /// The team that the calling thread leads.
    static LED: Cell<*const Team> = const { Cell::new(ptr::null()) };
}

/// Runs `body` on the pool, with all its threads as a team that [`Team::led`] finds.
pub fn together<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    if Team::led().is_some() {
        return body();
    }
    let team = Team::default();
    let lead = || {
        let _over = Over(&team);
        LED.set(&team);
        body()
    };
    rayon::join(lead, || enlist(&team, rayon::current_num_threads() - 1)).0
}

/// Lets up to `others` threads help, as they come.
fn enlist(team: &Team, others: usize) {
    if others > 0 && !team.over.load(Ordering::Acquire) {
        rayon::join(|| team.help(), || enlist(team, others - 1));
    }
}

impl Team {
    /// The team that the calling thread leads, if it leads one.
    pub fn led<'a>() -> Option<&'a Team> {
        // SAFETY: `together` clears the pointer before its team goes.
        unsafe { LED.get().as_ref() }
    }

    /// Runs `task(0..count)` on the threads of the team. For the thread that leads it, outside of its loops.
    ///
    /// # Panics
    /// If a task panicked on any of them.
    pub fn run<F: Fn(usize) + Sync>(&self, count: usize, task: &F) {
        unsafe fn call<F: Fn(usize)>(body: *const (), index: usize) {
            // SAFETY: `body` is the task that `run` was given, and `run` outlasts the last call.
            unsafe { (*body.cast::<F>())(index) }
        }
        let left = u32::try_from(count).expect("a loop has fewer than four billion tasks");
        self.done.store(0, Ordering::Relaxed);
        self.count.store(count, Ordering::Relaxed);
        self.body.store(ptr::from_ref(task).cast_mut().cast(), Ordering::Relaxed);
        self.call.store(call::<F> as Call as *mut (), Ordering::Relaxed);
        let number = (self.ticket.load(Ordering::Relaxed) >> 32) + 1;
        // Publishes all of the above.
        self.ticket.store(number << 32 | u64::from(left), Ordering::Release);
        let finish = Finish { team: self, count };
        super::alone(|| while self.help_once() {});
        drop(finish);
        assert!(!self.panicked.load(Ordering::Relaxed), "a task panicked on another thread");
    }

    /// Works on the loops of the team until it is over.
    fn help(&self) {
        super::alone(|| {
            let mut waiting = Waiting::default();
            while !self.over.load(Ordering::Acquire) {
                if self.help_once() {
                    waiting = Waiting::default();
                } else {
                    waiting.look_again();
                }
            }
        });
    }

    /// Does a task that nobody took, if there is one.
    fn help_once(&self) -> bool {
        let ticket = self.ticket.load(Ordering::Acquire);
        let left = (ticket & LEFT) as usize;
        if left == 0 {
            return false;
        }
        let count = self.count.load(Ordering::Relaxed);
        let body = self.body.load(Ordering::Relaxed);
        let call = self.call.load(Ordering::Relaxed);
        // Where the ticket is still the same, what was read is of one loop, which now waits for this index.
        if self.ticket.compare_exchange(ticket, ticket - 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            let _done = Done(self);
            // SAFETY: `run` stored the two together, and does not return before the index is done.
            unsafe { std::mem::transmute::<*mut (), Call>(call)(body, count - left) };
        }
        true
    }
}

/// The end of a team, even when its work panics.
struct Over<'a>(&'a Team);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        LED.set(ptr::null());
        self.0.over.store(true, Ordering::Release);
    }
}

/// Counts an index as done, even when its task panics.
struct Done<'a>(&'a Team);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.panicked.store(true, Ordering::Relaxed);
        }
        self.0.done.fetch_add(1, Ordering::Release);
    }
}

/// Waits for the end of a loop, even when a task of the thread that leads panics: what nobody took by then is left.
struct Finish<'a> {
    team: &'a Team,
    count: usize,
}

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        let left = (self.team.ticket.fetch_and(!LEFT, Ordering::AcqRel) & LEFT) as usize;
        let mut waiting = Waiting::default();
        while self.team.done.load(Ordering::Acquire) + left < self.count {
            waiting.look_again();
        }
    }
}

/// Waits for others, at first without giving up the core.
#[derive(Default)]
struct Waiting {
    looks: u32,
}

impl Waiting {
    fn look_again(&mut self) {
        if self.looks < PATIENCE {
            self.looks += 1;
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn with_threads<R: Send>(threads: usize, body: impl FnOnce() -> R + Send) -> R {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(body)
    }

    #[test]
    fn every_index_of_many_loops_is_done_once_by_any_number_of_threads() {
        for threads in [1, 2, 5] {
            with_threads(threads, || {
                together(|| {
                    let team = Team::led().unwrap();
                    for count in (0..2000).map(|round| round % 23) {
                        let seen: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                        team.run(count, &|index| {
                            seen[index].fetch_add(1, Ordering::Relaxed);
                        });
                        assert!(seen.iter().all(|seen| seen.load(Ordering::Relaxed) == 1), "{count} indices");
                    }
                });
                assert!(Team::led().is_none());
            });
        }
    }

    #[test]
    fn a_team_within_a_team_is_the_same_and_its_tasks_lead_none() {
        with_threads(3, || {
            together(|| {
                let outer = ptr::from_ref(Team::led().unwrap()).addr();
                together(|| assert_eq!(ptr::from_ref(Team::led().unwrap()).addr(), outer));
                let total = AtomicUsize::new(0);
                crate::base::parallel::for_each_index(10, |_| {
                    crate::base::parallel::for_each_index(10, |index| {
                        total.fetch_add(index, Ordering::Relaxed);
                    });
                });
                assert_eq!(total.into_inner(), 450);
            });
        });
    }

    #[test]
    fn a_panic_of_a_task_ends_the_loop_and_comes_out() {
        for threads in [1, 3] {
            for bad in [0, 7, 19] {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    with_threads(threads, || {
                        together(|| Team::led().unwrap().run(20, &|index| assert!(index != bad, "the bad task")));
                    });
                }));
                assert!(caught.is_err(), "{threads} threads, task {bad}");
            }
        }
    }
}

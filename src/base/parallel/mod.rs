//! The thread policy: rayon's pool is ours, BLAS runs on the thread that calls it.
//!
//! Work is cut by sizes that depend on the problem alone, never on the number of threads, so that results are the same
//! bytes on one thread and on many.

use std::cell::Cell;
use std::marker::PhantomData;

use rayon::prelude::*;

mod team;

use team::Team;

/// Fixes the size of the thread pool for the whole process; `None` leaves it to `RAYON_NUM_THREADS` or the cores.
/// Only the first call of a process has an effect; returns the number of threads in use.
pub fn configure(threads: Option<usize>) -> usize {
    if let Some(threads) = threads {
        // An error says that the pool already exists, which the returned count shows.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
    rayon::current_num_threads()
}

/// As [`configure`], with threads that give way to the rest of the program: for a program with a window.
pub fn configure_in_background(threads: Option<usize>) -> usize {
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).start_handler(|_| work_in_background());
    // An error says that the pool already exists, which the returned count shows.
    let _ = pool.build_global();
    rayon::current_num_threads()
}

/// From now on the calling thread gives way to others where both want a core. Does nothing on systems other than Linux.
pub fn work_in_background() {
    /// Half of the way from usual (0) to lowest (19): enough that a window's frame comes first.
    #[cfg(target_os = "linux")]
    const NICENESS: i32 = 10;
    // On Linux the priority of "the process 0" is that of the calling thread. Where it is refused nothing is lost.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

pub fn threads() -> usize {
    rayon::current_num_threads()
}

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body` with every [`for_each_index`] in it on the calling thread: for the parts of a task that is itself one of
/// many.
pub fn alone<R>(body: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ALONE.set(self.0);
        }
    }
    let _restore = Restore(ALONE.replace(true));
    body()
}

/// Runs `task(0..count)` on the pool, in no particular order; inside [`alone`] in order, on the calling thread.
pub fn for_each_index(count: usize, task: impl Fn(usize) + Sync + Send) {
    match count {
        0 => {}
        1 => task(0),
        _ if ALONE.get() => (0..count).for_each(task),
        _ => match Team::led() {
            Some(team) => team.run(count, &task),
            None => (0..count).into_par_iter().with_max_len(1).for_each(task),
        },
    }
}

/// Runs `task(i, chunk)` for consecutive chunks of `chunk_len` elements (the last may be shorter).
pub fn for_each_chunk_mut<T: Send>(data: &mut [T], chunk_len: usize, task: impl Fn(usize, &mut [T]) + Sync + Send) {
    let chunks = Chunks::of(data, chunk_len);
    // SAFETY: every index comes once.
    for_each_index(chunks.count(), |index| task(index, unsafe { chunks.get(index) }));
}

/// As [`for_each_chunk_mut`] for two slices of the same length, cut at the same places.
pub fn for_each_chunk_pair_mut<A: Send, B: Send>(
    a: &mut [A],
    b: &mut [B],
    chunk_len: usize,
    task: impl Fn(usize, &mut [A], &mut [B]) + Sync + Send,
) {
    assert_eq!(a.len(), b.len(), "slices that are cut together have the same length");
    let (a, b) = (Chunks::of(a, chunk_len), Chunks::of(b, chunk_len));
    // SAFETY: every index comes once.
    for_each_index(a.count(), |index| unsafe { task(index, a.get(index), b.get(index)) });
}

/// A slice in chunks that several threads write.
struct Chunks<'a, T> {
    start: *mut T,
    len: usize,
    chunk_len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: gives out `&mut [T]`, each part to one caller.
unsafe impl<T: Send> Sync for Chunks<'_, T> {}

impl<'a, T> Chunks<'a, T> {
    fn of(data: &'a mut [T], chunk_len: usize) -> Self {
        Self { start: data.as_mut_ptr(), len: data.len(), chunk_len: chunk_len.max(1), slice: PhantomData }
    }

    fn count(&self) -> usize {
        self.len.div_ceil(self.chunk_len)
    }

    /// # Safety
    /// For each index only once.
    #[allow(clippy::mut_from_ref)]
    unsafe fn get(&self, index: usize) -> &mut [T] {
        let first = index * self.chunk_len;
        assert!(first < self.len);
        // SAFETY: inside the slice, and of no other index.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(first), self.chunk_len.min(self.len - first)) }
    }
}

/// A sum in `f64` over chunks of a fixed length, added up in order: the same for any number of threads.
pub fn sum_of<T: Sync>(data: &[T], value: impl Fn(&T) -> f64 + Sync + Send) -> f64 {
    const CHUNK: usize = 1 << 14;
    let of = |chunk: &[T]| -> f64 { chunk.iter().map(&value).sum() };
    if data.len() <= CHUNK {
        return of(data);
    }
    let mut sums = vec![0.0; data.len().div_ceil(CHUNK)];
    for_each_chunk_mut(&mut sums, 1, |index, sum| {
        sum[0] = of(&data[index * CHUNK..data.len().min((index + 1) * CHUNK)])
    });
    sums.iter().sum()
}

/// Runs `task` once on each thread of the pool, at the same time. Not within [`together`], which has the threads already.
pub fn on_every_thread(task: impl Fn() + Sync) {
    assert!(Team::led().is_none(), "the threads are together already");
    rayon::broadcast(|_| task());
}

/// Runs `body` on the pool, with all its threads awake until it ends: for work that is many parallel loops, one soon
/// after the other.
pub fn together<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    team::together(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_index_and_chunk_is_visited_once() {
        let seen: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
        for_each_index(100, |i| {
            seen[i].fetch_add(1, Ordering::Relaxed);
        });
        assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        let mut data = vec![0usize; 1000];
        for_each_chunk_mut(&mut data, 7, |i, chunk| chunk.iter_mut().for_each(|x| *x += i + 1));
        assert_eq!(data[0], 1);
        assert_eq!(data[999], 1000 / 7 + 1);
        let mut copy = vec![0; 1000];
        for_each_chunk_pair_mut(&mut data, &mut copy, 7, |_, from, to| to.copy_from_slice(from));
        assert_eq!(data, copy);
    }

    #[test]
    fn alone_everything_runs_in_order_on_one_thread() {
        let seen = std::sync::Mutex::new(Vec::new());
        alone(|| for_each_index(50, |i| seen.lock().unwrap().push((i, std::thread::current().id()))));
        let here = std::thread::current().id();
        assert_eq!(seen.into_inner().unwrap(), (0..50).map(|i| (i, here)).collect::<Vec<_>>());
        assert!(!ALONE.get());
    }

    #[test]
    fn a_long_sum_is_exact_where_f64_is() {
        let data = vec![1u8; 100_000];
        assert_eq!(sum_of(&data, |&x| f64::from(x)), 100_000.0);
    }
}

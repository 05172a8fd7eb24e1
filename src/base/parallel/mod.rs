//! The thread policy: rayon's pool is ours, BLAS runs on the thread that calls it.
//!
//! Work is cut by sizes that depend on the problem alone, never on the number of threads, so that results are the same
//! bytes on one thread and on many.

use std::cell::Cell;

use rayon::prelude::*;

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
        _ => (0..count).into_par_iter().with_max_len(1).for_each(task),
    }
}

/// Runs `task(i, chunk)` for consecutive chunks of `chunk_len` elements (the last may be shorter).
pub fn for_each_chunk_mut<T: Send>(data: &mut [T], chunk_len: usize, task: impl Fn(usize, &mut [T]) + Sync + Send) {
    if data.len() <= chunk_len {
        if !data.is_empty() {
            task(0, data);
        }
        return;
    }
    data.par_chunks_mut(chunk_len.max(1)).with_max_len(1).enumerate().for_each(|(i, chunk)| task(i, chunk));
}

/// As [`for_each_chunk_mut`] for two slices of the same length, cut at the same places.
pub fn for_each_chunk_pair_mut<A: Send, B: Send>(
    a: &mut [A],
    b: &mut [B],
    chunk_len: usize,
    task: impl Fn(usize, &mut [A], &mut [B]) + Sync + Send,
) {
    assert_eq!(a.len(), b.len(), "slices that are cut together have the same length");
    if a.len() <= chunk_len {
        if !a.is_empty() {
            task(0, a, b);
        }
        return;
    }
    let chunks = a.par_chunks_mut(chunk_len.max(1)).zip(b.par_chunks_mut(chunk_len.max(1)));
    chunks.with_max_len(1).enumerate().for_each(|(i, (a, b))| task(i, a, b));
}

/// A sum in `f64` over chunks of a fixed length, added up in order: the same for any number of threads.
pub fn sum_of<T: Sync>(data: &[T], value: impl Fn(&T) -> f64 + Sync + Send) -> f64 {
    const CHUNK: usize = 1 << 14;
    if data.len() <= CHUNK {
        return data.iter().map(value).sum();
    }
    let partial: Vec<f64> = data.par_chunks(CHUNK).map(|chunk| chunk.iter().map(&value).sum()).collect();
    partial.iter().sum()
}

/// Runs `task` once on each thread of the pool, at the same time.
pub fn on_every_thread(task: impl Fn() + Sync) {
    rayon::broadcast(|_| task());
}

/// Runs `body` on the pool, so that the parallel loops inside it neither allocate nor wake a sleeping thread twice.
pub fn install<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| body())
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

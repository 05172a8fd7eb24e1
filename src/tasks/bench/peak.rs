//! The peak of this machine: how many `f32` multiply-adds all threads do in a second where nothing else holds them up.

use std::time::{Duration, Instant};

use crate::base::parallel;
use crate::base::simd::{LANES, Lanes, Level, for_each_level};

/// Long enough for the clock and for threads to wake up, short enough not to heat the machine.
const LEAST_TIME: Duration = Duration::from_millis(30);
const ROUNDS: usize = 3;

/// 10⁹ operations a second of all threads at the instruction set in use, two for each multiply-add: the best of some
/// rounds.
pub fn peak_gflops() -> f64 {
    let level = Level::active();
    let kernel = multiply_add_fn(level);
    let chains = chains(level);
    let run = |steps: u64| {
        let start = Instant::now();
        parallel::on_every_thread(|| {
            // SAFETY: the level in use is available.
            unsafe { kernel(chains, steps) }
        });
        start.elapsed()
    };
    let mut steps = 1 << 16;
    while run(steps) < LEAST_TIME {
        steps *= 2;
    }
    let flop = 2.0 * (LANES * chains) as f64 * steps as f64 * parallel::threads() as f64;
    let fastest = (0..ROUNDS).map(|_| run(steps)).min().unwrap_or(LEAST_TIME);
    flop / fastest.as_secs_f64() / 1e9
}

/// Independent sums: enough to hide the latency of a multiply-add, few enough for the registers.
fn chains(level: Level) -> usize {
    match level {
        Level::Avx512 => 12,
        Level::Avx2 => 6,
        Level::Portable => 3,
    }
}

#[inline(always)]
unsafe fn multiply_add<L: Lanes>(chains: usize, steps: u64) {
    unsafe {
        match chains {
            12 => multiply_add_chains::<L, 12>(steps),
            6 => multiply_add_chains::<L, 6>(steps),
            _ => multiply_add_chains::<L, 3>(steps),
        }
    }
}

#[inline(always)]
unsafe fn multiply_add_chains<L: Lanes, const CHAINS: usize>(steps: u64) {
    unsafe {
        // Converges to 1: nothing overflows and nothing becomes denormal.
        let (factor, term) = (L::splat(std::hint::black_box(0.5)), L::splat(std::hint::black_box(0.5)));
        let mut sums = [factor; CHAINS];
        for _ in 0..steps {
            for sum in &mut sums {
                *sum = sum.mul_add(factor, term);
            }
        }
        let mut lanes = [0.0f32; LANES];
        for sum in sums {
            sum.store(lanes.as_mut_ptr());
            std::hint::black_box(&lanes);
        }
    }
}

for_each_level!(fn multiply_add_fn = multiply_add(chains: usize, steps: u64));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_runs() {
        for level in Level::available() {
            // SAFETY: the level is available.
            unsafe { multiply_add_fn(level)(chains(level), 1000) }
        }
    }

    #[test]
    fn a_peak_is_a_number_above_nought() {
        let peak = peak_gflops();
        assert!(peak.is_finite() && peak > 0.0, "{peak}");
    }
}

//! Random numbers that are the same on every machine and for any number of threads.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

pub type Rng = ChaCha8Rng;

/// What a random stream is for. Each purpose draws from a stream of its own, so that a new consumer of randomness
/// never shifts the numbers of an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    Jitter = 1,
    Noise = 2,
    Dropout = 3,
    Weights = 4,
    Test = 5,
}

/// The generator of one purpose at one step: a function of its arguments alone.
pub fn rng(seed: u64, stream: Stream, step: u64) -> Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&step.to_le_bytes());
    key[16..20].copy_from_slice(&(stream as u32).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng as _;

    #[test]
    fn streams_and_steps_differ_and_repeat() {
        let draw = |seed, stream, step| rng(seed, stream, step).next_u64();
        assert_eq!(draw(7, Stream::Jitter, 3), draw(7, Stream::Jitter, 3));
        assert_ne!(draw(7, Stream::Jitter, 3), draw(7, Stream::Jitter, 4));
        assert_ne!(draw(7, Stream::Jitter, 3), draw(7, Stream::Noise, 3));
        assert_ne!(draw(7, Stream::Jitter, 3), draw(8, Stream::Jitter, 3));
    }
}

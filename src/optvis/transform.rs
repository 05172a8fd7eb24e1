//! Random transforms: what makes a dream look right from everywhere, not only from one grid of pixels.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::RGB;
use crate::base::parallel::for_each_chunk_mut;
use crate::base::rng::{Stream, rng};

/// Rows that one task of a parallel loop copies.
const ROWS: usize = 16;

/// A shift with wrap-around: what leaves at one edge comes in at the opposite one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[i32; 2]", into = "[i32; 2]")]
pub struct Roll {
    pub right: i32,
    pub down: i32,
}

/// `[right, down]`.
impl From<[i32; 2]> for Roll {
    fn from([right, down]: [i32; 2]) -> Self {
        Self { right, down }
    }
}

impl From<Roll> for [i32; 2] {
    fn from(roll: Roll) -> Self {
        [roll.right, roll.down]
    }
}

impl Roll {
    /// The shift that undoes this one, which is its adjoint too.
    pub fn inverse(self) -> Self {
        Self { right: self.right.wrapping_neg(), down: self.down.wrapping_neg() }
    }

    /// Writes `from` (height × width × RGB), shifted, into `to`.
    pub fn apply(self, [height, width]: [usize; 2], from: &[f32], to: &mut [f32]) {
        debug_assert_eq!((from.len(), to.len()), (height * width * RGB, height * width * RGB));
        let row_len = width * RGB;
        let wrapped = |shift: i32, len: usize| i64::from(shift).rem_euclid(len.max(1) as i64) as usize;
        let (right, down) = (wrapped(self.right, width) * RGB, wrapped(self.down, height));
        for_each_chunk_mut(to, ROWS * row_len, |chunk, rows| {
            for (i, row) in rows.chunks_exact_mut(row_len).enumerate() {
                let source = (chunk * ROWS + i + height - down) % height;
                let source = &from[source * row_len..][..row_len];
                row[right..].copy_from_slice(&source[..row_len - right]);
                row[..right].copy_from_slice(&source[row_len - right..]);
            }
        });
    }
}

/// Which shifts a run uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Jitter {
    /// Two independent integers a step, from minus this to plus this; 0 for no shift.
    Random(u32),
    /// The shifts of the steps one after the other, over again when they end.
    Offsets(Vec<Roll>),
}

impl Jitter {
    /// The shift of a step, counted over the whole run.
    pub fn at(&self, seed: u64, step: usize) -> Roll {
        match self {
            Self::Random(0) => Roll::default(),
            &Self::Random(most) => {
                let most = i32::try_from(most).unwrap_or(i32::MAX);
                let mut rng = rng(seed, Stream::Jitter, step as u64);
                Roll { right: rng.random_range(-most..=most), down: rng.random_range(-most..=most) }
            }
            Self::Offsets(rolls) if rolls.is_empty() => Roll::default(),
            Self::Offsets(rolls) => rolls[step % rolls.len()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optvis::testing::{assert_close, dot, values};

    #[test]
    fn a_roll_goes_right_and_down() {
        let (height, width) = (2, 3);
        let pixel = |i: usize| [i as f32, 10.0 + i as f32, 20.0 + i as f32];
        let picture: Vec<f32> = (0..6).flat_map(pixel).collect();
        let mut rolled = vec![0.0; picture.len()];
        Roll { right: 1, down: 1 }.apply([height, width], &picture, &mut rolled);
        let expected: Vec<f32> = [5, 3, 4, 2, 0, 1].into_iter().flat_map(pixel).collect();
        assert_eq!(rolled, expected);
    }

    #[test]
    fn the_adjoint_is_the_inverse() {
        for (size, roll) in
            [([40, 7], [3, -33]), ([5, 4], [-400, 9]), ([1, 9], [-2_000_000_000, 1999]), ([17, 16], [0, 0])]
        {
            let roll = Roll::from(roll);
            let len = size[0] * size[1] * RGB;
            let (x, y) = (values(len, 1), values(len, 2));
            let (mut forth, mut back, mut undone) = (vec![0.0; len], vec![0.0; len], vec![0.0; len]);
            roll.apply(size, &x, &mut forth);
            roll.inverse().apply(size, &y, &mut back);
            assert_close(dot(&forth, &y), dot(&x, &back), 1e-9, 0.0);
            roll.inverse().apply(size, &forth, &mut undone);
            assert_eq!(undone, x, "{size:?} {roll:?}");
        }
    }

    #[test]
    fn random_shifts_fill_their_range_and_repeat() {
        let jitter = Jitter::Random(2);
        let rolls: Vec<Roll> = (0..400).map(|step| jitter.at(7, step)).collect();
        for axis in [|roll: &Roll| roll.right, |roll: &Roll| roll.down] {
            for want in -2..=2 {
                assert!(rolls.iter().filter(|roll| axis(roll) == want).count() > 40, "{want} is too rare");
            }
            assert!(rolls.iter().all(|roll| (-2..=2).contains(&axis(roll))));
        }
        assert!(rolls.iter().any(|roll| roll.right != roll.down));
        assert_eq!(jitter.at(7, 11), rolls[11]);
        assert_ne!(rolls, (0..400).map(|step| jitter.at(8, step)).collect::<Vec<_>>());
    }

    #[test]
    fn a_list_of_shifts_is_followed_and_repeated() {
        let jitter: Jitter = serde_json::from_str("[[1, -2], [3, 4]]").expect("a list");
        assert_eq!([0, 1, 2].map(|step| jitter.at(0, step)), [[1, -2], [3, 4], [1, -2]].map(Roll::from));
        let jitter: Jitter = serde_json::from_str("32").expect("a number");
        assert_eq!(jitter, Jitter::Random(32));
    }
}

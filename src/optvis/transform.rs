//! Random transforms: what makes a dream look right from everywhere, not only from one grid of pixels.

use std::ops::Range;

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
    /// How far it goes right and down in a picture of `[height, width]`: less than a side.
    fn wrapped(self, size: [usize; 2]) -> [usize; 2] {
        let wrapped = |shift: i32, len: usize| i64::from(shift).rem_euclid(len.max(1) as i64) as usize;
        [wrapped(self.down, size[0]), wrapped(self.right, size[1])]
    }
}

/// A rectangle of a shifted picture, read and written in the picture itself.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    pub roll: Roll,
    /// `[height, width]` of the picture.
    pub picture: [usize; 2],
    /// `[y, x]` of the rectangle's first pixel in the shifted picture.
    pub origin: [usize; 2],
    /// `[height, width]` of the rectangle, which lies inside the shifted picture.
    pub size: [usize; 2],
}

impl Patch {
    /// Hands rows of the rectangle in pieces to `write(from, to)`: consecutive values of the picture `rgb` (height × width
    /// × RGB), and their places in `to`, which has `channels` values a pixel.
    pub fn read(&self, rgb: &[f32], to: &mut [f32], channels: usize, write: impl Fn(&[f32], &mut [f32]) + Sync + Send) {
        let ([height, width], columns) = (self.picture, self.size[1]);
        let first_row = self.source()[0];
        for_each_chunk_mut(to, ROWS * columns * channels, |chunk, rows| {
            for (i, row) in rows.chunks_exact_mut(columns * channels).enumerate() {
                let source = (first_row + chunk * ROWS + i) % height;
                let source = &rgb[source * width * RGB..][..width * RGB];
                for (inside, picture) in self.runs() {
                    write(
                        &source[picture.start * RGB..picture.end * RGB],
                        &mut row[inside * channels..][..picture.len() * channels],
                    );
                }
            }
        });
    }

    /// The adjoint of [`Patch::read`]: hands `add(from, to)` the values of `from` and their places in the picture.
    pub fn add_to(
        &self,
        from: &[f32],
        rgb: &mut [f32],
        channels: usize,
        add: impl Fn(&[f32], &mut [f32]) + Sync + Send,
    ) {
        let ([height, width], [rows, columns]) = (self.picture, self.size);
        let first_row = self.source()[0];
        for_each_chunk_mut(rgb, ROWS * width * RGB, |chunk, picture| {
            for (i, target) in picture.chunks_exact_mut(width * RGB).enumerate() {
                let row = (chunk * ROWS + i + height - first_row) % height;
                if row >= rows {
                    continue;
                }
                let row = &from[row * columns * channels..][..columns * channels];
                for (inside, picture) in self.runs() {
                    add(
                        &row[inside * channels..][..picture.len() * channels],
                        &mut target[picture.start * RGB..picture.end * RGB],
                    );
                }
            }
        });
    }

    /// `[y, x]` of the rectangle's first pixel in the picture itself.
    fn source(&self) -> [usize; 2] {
        let shift = self.roll.wrapped(self.picture);
        [0, 1].map(|axis| (self.origin[axis] + self.picture[axis] - shift[axis]) % self.picture[axis])
    }

    /// The pieces of a row: where each begins in the rectangle, and the columns of the picture.
    fn runs(&self) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let (first, width, columns) = (self.source()[1], self.picture[1], self.size[1]);
        let before_edge = columns.min(width - first);
        let runs = [(0, first..first + before_edge), (before_edge, 0..columns - before_edge)];
        runs.into_iter().filter(|(_, run)| !run.is_empty())
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

    /// The whole of a shifted picture.
    fn whole(roll: Roll, picture: [usize; 2]) -> Patch {
        Patch { roll, picture, origin: [0, 0], size: picture }
    }

    fn read(patch: Patch, picture: &[f32]) -> Vec<f32> {
        let mut to = vec![f32::NAN; patch.size[0] * patch.size[1] * RGB];
        patch.read(picture, &mut to, RGB, |from, to| to.copy_from_slice(from));
        to
    }

    #[test]
    fn a_roll_goes_right_and_down() {
        let (height, width) = (2, 3);
        let pixel = |i: usize| [i as f32, 10.0 + i as f32, 20.0 + i as f32];
        let picture: Vec<f32> = (0..6).flat_map(pixel).collect();
        let rolled = read(whole(Roll { right: 1, down: 1 }, [height, width]), &picture);
        let expected: Vec<f32> = [5, 3, 4, 2, 0, 1].into_iter().flat_map(pixel).collect();
        assert_eq!(rolled, expected);
    }

    #[test]
    fn patches_are_rectangles_of_the_shifted_picture_and_writing_is_the_adjoint_of_reading() {
        for (picture, roll, origin, size) in [
            ([40, 7], [3, -33], [0, 0], [40, 7]),
            ([40, 7], [3, -33], [17, 2], [20, 5]),
            ([5, 4], [-400, 9], [1, 0], [4, 4]),
            ([1, 9], [-2_000_000_000, 1999], [0, 8], [1, 1]),
            ([17, 16], [0, 0], [3, 3], [14, 13]),
        ] {
            let roll = Roll::from(roll);
            let patch = Patch { roll, picture, origin, size };
            let x = values(picture[0] * picture[1] * RGB, 1);
            let (rolled, got) = (read(whole(roll, picture), &x), read(patch, &x));
            let rows = rolled.chunks_exact(picture[1] * RGB).skip(origin[0]).take(size[0]);
            let expected: Vec<f32> = rows.flat_map(|row| row[origin[1] * RGB..][..size[1] * RGB].to_vec()).collect();
            assert_eq!(got, expected, "{patch:?}");
            let y = values(got.len(), 2);
            let mut back = vec![0.0; x.len()];
            patch.add_to(&y, &mut back, RGB, |from, to| to.iter_mut().zip(from).for_each(|(to, from)| *to += from));
            assert_close(dot(&got, &y), dot(&x, &back), 1e-9, 1e-9);
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

//! Memory that a dream takes, and that the machine has.

use super::error::DreamError;
use super::ground::Ground;
use super::sizes;
use crate::base::tensor::Shape;
use crate::nn::exec::FrozenNet;
use crate::nn::graph::GraphError;
use crate::nn::tiling::{Tiling, TilingError};
use crate::optvis::ascent::Ascent;

const BYTES_A_PIXEL: usize = 3 * size_of::<f32>();

/// The program itself, its threads, and what they hold besides nets and pictures.
const PROGRAM_BYTES: usize = 24 << 20;

/// Sides of tiles that are tried, the largest first: the larger, the less is computed twice in the margins, and above the
/// largest hardly anything is gained.
const TILE_SIDES_PX: [usize; 9] = [2048, 1536, 1024, 768, 512, 384, 256, 192, 128];

/// Bytes of memory that this machine can still give; `None` where the system does not say.
pub fn available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    available_in(&text)
}

/// `MemAvailable` of the text of `/proc/meminfo`.
fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1 << 10)
}

/// The input of `net` for one picture of `[height, width]`.
///
/// # Errors
/// When no tensor can be that large.
pub fn input_shape(net: &FrozenNet, [height, width]: [usize; 2]) -> Result<Shape, GraphError> {
    let channels = net.graph().input().channels;
    Shape::new(&[1, channels, height, width]).ok_or_else(|| {
        let node = net.graph().node(0).name.clone();
        GraphError::Node { node, source: crate::nn::ops::OpError::TooLarge }
    })
}

/// How `net` looks at pictures of `size`: whole, or in tiles of about `side_px`.
pub fn tiling(net: &FrozenNet, size: [usize; 2], side_px: Option<usize>) -> Result<Tiling, TilingError> {
    match side_px {
        Some(side_px) => Tiling::new(net.graph(), net.targets(), size, side_px),
        None => Ok(Tiling::whole(net.graph(), net.targets(), size)?),
    }
}

/// What decides how much memory a dream takes.
pub struct Needs<'a> {
    pub net: &'a FrozenNet,
    pub octaves: usize,
    pub octave_scale: f64,
    pub laplacian: usize,
    /// Whether pictures are delivered on the way.
    pub delivers: bool,
    /// The photo, where that is known.
    pub ground: Option<&'a Ground>,
}

impl Needs<'_> {
    /// Bytes that are in memory before a dream is begun: the program and the net, packed and as it was read.
    pub fn held_bytes(&self) -> u64 {
        let params = self.net.graph().params().values().map(|param| size_of_val(&*param.data)).sum::<usize>();
        (PROGRAM_BYTES + params + self.net.weight_bytes()) as u64
    }

    /// Bytes for a dream of `[height, width]` in such tiles, besides [`Needs::held_bytes`].
    pub fn bytes(&self, size: [usize; 2], tile: Option<usize>) -> Result<u64, TilingError> {
        let mut session = 0;
        for size in sizes::octave_sizes(size, self.octaves, self.octave_scale) {
            // An octave that is too small is left out.
            let Ok(tiling) = tiling(self.net, size, tile) else { continue };
            session = session.max(self.net.session_bytes(&input_shape(self.net, tiling.tile_size())?, true)?);
        }
        // The full size itself must be possible.
        tiling(self.net, size, tile)?;
        let picture = size[0] * size[1] * BYTES_A_PIXEL;
        let stepping = picture + Ascent::bytes(size, self.laplacian);
        // A copy of the picture, its 8-bit samples, and the file's bytes.
        let delivering = if self.delivers { picture + picture / 2 } else { 0 };
        Ok((session + stepping + delivering + self.ground.map_or(0, |ground| ground.bytes_at(size))) as u64)
    }

    /// The tiles for a dream of `size` with `available` bytes besides [`Needs::held_bytes`]: as asked for, or whole, or as
    /// large as they can be.
    ///
    /// # Errors
    /// When that takes more, or when tiles are asked for that cannot be.
    pub fn tile(
        &self,
        size: [usize; 2],
        asked_for: Option<usize>,
        available: u64,
        goal: &str,
    ) -> Result<Option<usize>, DreamError> {
        let fits = |size, tile| self.bytes(size, tile).is_ok_and(|bytes| bytes <= available);
        let (tile, whole) = match (asked_for, tiling(self.net, size, Some(TILE_SIDES_PX[0]))) {
            (Some(_), Err(error)) => return Err(DreamError::tiling(error, goal)),
            (Some(side_px), Ok(_)) => (Some(side_px), None),
            (None, _) if fits(size, None) => return Ok(None),
            (None, Err(why)) => (None, Some(Box::new(why))),
            (None, Ok(_)) => {
                let smallest = TILE_SIDES_PX[TILE_SIDES_PX.len() - 1];
                (Some(TILE_SIDES_PX.into_iter().find(|&side_px| fits(size, Some(side_px))).unwrap_or(smallest)), None)
            }
        };
        if fits(size, tile) {
            return Ok(tile);
        }
        Err(DreamError::Memory {
            width_px: size[1],
            height_px: size[0],
            needed_bytes: self.bytes(size, tile).map_err(|error| DreamError::tiling(error, goal))?,
            available_bytes: available,
            fitting_size_px: sizes::largest_fitting(size, |size| fits(size, tile)),
            whole,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_word_is_understood() {
        let text = "MemTotal:       32797460 kB\nMemAvailable:   30190964 kB\n";
        assert_eq!(available_in(text), Some(30_190_964 * 1024));
        for other in ["", "MemAvailable:", "MemAvailable: many kB", "MemAvailable: 99999999999999999999 kB"] {
            assert_eq!(available_in(other), None, "{other}");
        }
    }
}

//! What a long dream will take, told before it starts.

use std::fmt;
use std::time::Duration;

use super::error::DreamError;
use super::memory::input_shape;
use super::ready::Ready;
use crate::base::text::{duration, with_unit};
use crate::optvis::ascent::{Ascent, Pieces};

/// Dreams of fewer multiply-accumulates of the net, forward, are not told of: about ten seconds on two cores. (A limit in
/// seconds would be met by chance.)
const LONG_MACS: f64 = 5e11;

/// A piece as short as this is measured again, for as long in all: the first touches the memory that it runs in, and one
/// alone is as long or short as the machine happens to be busy.
const SHORT: Duration = Duration::from_secs(1);
const MOST_MEASURED: u32 = 32;

/// What a dream will take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Of all steps that are still to be made, on this machine as busy as it is now.
    pub seconds: f64,
    /// Of the process, at its peak.
    pub memory_bytes: u64,
    /// `[height, width]` of the result.
    pub size_px: [usize; 2],
    /// At full size.
    pub tiles: usize,
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([height, width], time) = (self.size_px, duration(self.seconds));
        let tiles = if self.tiles > 1 { format!(" in {} tiles", self.tiles) } else { String::new() };
        write!(f, "{width}×{height} pixels{tiles}: about {time}, and {}B of memory", with_unit(self.memory_bytes))
    }
}

/// Steps that are to be made at one size of picture.
pub(super) struct Work {
    pub size: [usize; 2],
    pub steps: usize,
}

/// Whether so much work is worth an estimate.
pub(super) fn is_long(ready: &Ready, work: &[Work]) -> Result<bool, DreamError> {
    let mut macs = 0.0;
    for Work { size, steps } in work {
        let tiling = ready.tiling(*size)?;
        let (net, input) = (&ready.net, input_shape(&ready.net, tiling.tile_size())?);
        let a_tile: u64 = net.graph().macs_for(&input, net.targets())?.iter().sum();
        macs += a_tile as f64 * (tiling.count() * steps) as f64;
    }
    Ok(macs >= LONG_MACS)
}

/// The seconds that `work` takes, the first of which is at the full size: one piece of it is measured. Also the pieces,
/// whose memory serves the dream.
pub(super) fn seconds(ready: &Ready, work: &[Work]) -> Result<(f64, Option<Pieces>), DreamError> {
    let Some(Work { size: full, .. }) = work.first() else { return Ok((0.0, None)) };
    let mut pieces = ready.pieces(*full, None)?;
    let objective = &ready.goal.objective;
    let mut a_piece = pieces.time(objective);
    if a_piece < SHORT {
        let (mut measured, mut sum) = (0, Duration::ZERO);
        while measured == 0 || (sum < SHORT && measured < MOST_MEASURED) {
            sum += pieces.time(objective);
            measured += 1;
        }
        a_piece = sum / measured;
    }
    let seconds_a_pixel = a_piece.as_secs_f64() / pixels(pieces.tiling.tile_size());
    let rest_a_pixel = Ascent::seconds_a_pixel(ready.rule());
    let mut seconds = 0.0;
    for Work { size, steps } in work {
        let tiling = ready.tiling(*size)?;
        let a_step =
            tiling.count() as f64 * pixels(tiling.tile_size()) * seconds_a_pixel + pixels(*size) * rest_a_pixel;
        seconds += *steps as f64 * a_step;
    }
    Ok((seconds, Some(pieces)))
}

fn pixels([height, width]: [usize; 2]) -> f64 {
    (height * width) as f64
}

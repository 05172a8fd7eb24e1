//! Memory that a dream takes, and that the machine has.

use super::error::DreamError;
use super::sizes;
use crate::base::tensor::Shape;
use crate::nn::exec::FrozenNet;
use crate::nn::graph::GraphError;
use crate::optvis::ascent::Ascent;

const BYTES_A_PIXEL: usize = 3 * size_of::<f32>();

/// Full-size pictures besides the octaves': the photo, the picture in work, its detail brought to a new size while the
/// old one is still there, and the result.
const PICTURES: usize = 5;

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

/// What decides how much memory a dream takes.
pub struct Needs<'a> {
    pub net: &'a FrozenNet,
    pub octaves: usize,
    pub octave_scale: f64,
    pub laplacian: usize,
}

impl Needs<'_> {
    /// Bytes for a dream of `[height, width]`, weights aside.
    pub fn bytes(&self, size: [usize; 2]) -> Result<u64, GraphError> {
        let session = self.net.session_bytes(&input_shape(self.net, size)?, true)?;
        let octaves = sizes::octave_sizes(size, self.octaves, self.octave_scale);
        let pixels = octaves.iter().map(|[height, width]| height * width).sum::<usize>() + PICTURES * size[0] * size[1];
        Ok((session + Ascent::bytes(size, self.laplacian) + pixels * BYTES_A_PIXEL) as u64)
    }

    /// Refuses a size that needs more than `available`.
    pub fn check(&self, size: [usize; 2], available: u64) -> Result<(), DreamError> {
        let needed_bytes = self.bytes(size)?;
        if needed_bytes <= available {
            return Ok(());
        }
        let fits = |size| self.bytes(size).is_ok_and(|bytes| bytes <= available);
        Err(DreamError::Memory {
            width_px: size[1],
            height_px: size[0],
            needed_bytes,
            available_bytes: available,
            fitting_size_px: sizes::largest_fitting(size, fits),
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

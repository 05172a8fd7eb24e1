//! From pictures to the net's input, and gradients back.

use super::{CHUNK, RGB};
use crate::base::parallel::for_each_chunk_mut;
use crate::nn::graph::{ChannelOrder, Preprocess};

/// How much each colour counts in gray (ITU-R BT.601, as image libraries convert).
const LUMA: [f32; RGB] = [0.299, 0.587, 0.114];

/// A net's [`Preprocess`] made ready for whole pictures.
pub struct ToNet<'a> {
    preprocess: &'a Preprocess,
}

impl<'a> ToNet<'a> {
    /// `preprocess` is that of a checked graph: its means and scales are as many as its channels.
    pub fn new(preprocess: &'a Preprocess) -> Self {
        Self { preprocess }
    }

    /// Which colour of a picture the net's channel is.
    fn colour(&self, channel: usize) -> usize {
        if self.preprocess.order == ChannelOrder::Bgr { RGB - 1 - channel } else { channel }
    }

    /// Writes the picture `rgb` into the net's input: height × width × the net's channels.
    pub fn apply(&self, rgb: &[f32], net: &mut [f32]) {
        let Preprocess { order, mean, scale } = self.preprocess;
        if *order == ChannelOrder::Gray {
            for_each_chunk_mut(net, CHUNK / RGB, |i, gray| {
                let rgb = rgb[i * CHUNK..].as_chunks::<RGB>().0;
                for (gray, rgb) in gray.iter_mut().zip(rgb) {
                    let luma: f32 = rgb.iter().zip(LUMA).map(|(value, weight)| value * weight).sum();
                    *gray = (luma - mean[0]) * scale[0];
                }
            });
            return;
        }
        let affine: [(usize, f32, f32); RGB] = std::array::from_fn(|c| (self.colour(c), mean[c], scale[c]));
        for_each_chunk_mut(net, CHUNK, |i, net| {
            let rgb = rgb[i * CHUNK..].as_chunks::<RGB>().0;
            for (net, rgb) in net.as_chunks_mut::<RGB>().0.iter_mut().zip(rgb) {
                for (value, (colour, mean, scale)) in net.iter_mut().zip(affine) {
                    *value = (rgb[colour] - mean) * scale;
                }
            }
        });
    }

    /// Adds the gradient of the picture, from that of the net's input.
    pub fn add_adjoint(&self, d_net: &[f32], d_rgb: &mut [f32]) {
        let Preprocess { order, scale, .. } = self.preprocess;
        if *order == ChannelOrder::Gray {
            for_each_chunk_mut(d_rgb, CHUNK, |i, d_rgb| {
                let d_gray = &d_net[i * (CHUNK / RGB)..];
                for (d_rgb, d_gray) in d_rgb.as_chunks_mut::<RGB>().0.iter_mut().zip(d_gray) {
                    d_rgb.iter_mut().zip(LUMA).for_each(|(d, weight)| *d += weight * scale[0] * d_gray);
                }
            });
            return;
        }
        let linear: [(usize, f32); RGB] = std::array::from_fn(|c| (self.colour(c), scale[c]));
        for_each_chunk_mut(d_rgb, CHUNK, |i, d_rgb| {
            let d_net = d_net[i * CHUNK..].as_chunks::<RGB>().0;
            for (d_rgb, d_net) in d_rgb.as_chunks_mut::<RGB>().0.iter_mut().zip(d_net) {
                for (d_value, (colour, scale)) in d_net.iter().zip(linear) {
                    d_rgb[colour] += d_value * scale;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optvis::testing::{assert_close, dot, values};

    fn cases() -> Vec<Preprocess> {
        let colour = |order| Preprocess { order, mean: vec![10.0, 20.0, 30.0], scale: vec![0.5, 2.0, 1.0] };
        let gray = Preprocess { order: ChannelOrder::Gray, mean: vec![33.0], scale: vec![0.25] };
        vec![colour(ChannelOrder::Rgb), colour(ChannelOrder::Bgr), gray]
    }

    #[test]
    fn channels_means_and_scales_are_the_nets_own() {
        let rgb = [110.0, 120.0, 130.0];
        let expected: [&[f32]; 3] =
            [&[50.0, 200.0, 100.0], &[60.0, 200.0, 80.0], &[(32.89 + 70.44 + 14.82 - 33.0) * 0.25]];
        for (preprocess, expected) in cases().iter().zip(expected) {
            let mut net = vec![0.0; expected.len()];
            ToNet::new(preprocess).apply(&rgb, &mut net);
            for (got, want) in net.iter().zip(expected) {
                assert_close(f64::from(*got), f64::from(*want), 1e-6, 0.0);
            }
        }
    }

    #[test]
    fn the_adjoint_is_that_of_the_linear_part() {
        let pixels = 3 * CHUNK / RGB + 7;
        for preprocess in cases() {
            let to_net = ToNet::new(&preprocess);
            let (x, y) = (values(pixels * RGB, 3), values(pixels * preprocess.mean.len(), 4));
            let (mut ax, mut a0) = (vec![0.0; y.len()], vec![0.0; y.len()]);
            to_net.apply(&x, &mut ax);
            to_net.apply(&vec![0.0; x.len()], &mut a0);
            ax.iter_mut().zip(&a0).for_each(|(ax, a0)| *ax -= a0);
            let mut aty = vec![0.0; x.len()];
            to_net.add_adjoint(&y, &mut aty);
            assert_close(dot(&ax, &y), dot(&x, &aty), 1e-5, 1e-3);
        }
    }
}

//! Blocks that several families share.

use super::blueprint::{Bias, Blueprint, Maps};
use crate::nn::ops::activation::Activation;
use crate::nn::ops::window::{Padding, Window};

/// The multiple of 8 nearest to a scaled number of channels, but not less than 90 % of it, as the MobileNets round.
pub(super) fn divisible_by_8(channels: f64) -> usize {
    const DIVISOR: usize = 8;
    const LEAST: f64 = 0.9;
    let nearest = ((channels + DIVISOR as f64 / 2.0) as usize / DIVISOR * DIVISOR).max(DIVISOR);
    if (nearest as f64) < LEAST * channels { nearest + DIVISOR } else { nearest }
}

/// A square window that, with stride 1, keeps the size of the maps. The kernel is odd.
pub(super) fn same(kernel: usize, stride: usize) -> Window {
    Window::square(kernel, stride).padded(Padding::all(kernel / 2))
}

/// A convolution without bias, a batch norm and, where there is one, an activation.
#[derive(Clone, Copy)]
pub(super) struct ConvNorm {
    pub out: usize,
    pub window: Window,
    pub groups: usize,
    pub epsilon: f32,
    pub activation: Option<Activation>,
}

impl ConvNorm {
    pub const fn pointwise(out: usize, epsilon: f32) -> Self {
        Self { out, window: Window::square(1, 1), groups: 1, epsilon, activation: None }
    }

    pub fn depthwise(channels: usize, kernel: usize, stride: usize, epsilon: f32) -> Self {
        Self { out: channels, window: same(kernel, stride), groups: channels, epsilon, activation: None }
    }

    pub const fn then(mut self, activation: Activation) -> Self {
        self.activation = Some(activation);
        self
    }

    /// As torchvision's `Conv2dNormActivation`, whose parts are `name.0`, `name.1` and so on; the last node is `name`.
    pub fn draw(self, net: &mut Blueprint, name: &str, input: Maps) -> Maps {
        let conv = format!("{name}.0");
        let maps = net.grouped_conv(&conv, input, self.out, self.window, self.groups, Bias::None);
        let maps = net.batch_norm(&format!("{name}.1"), maps, self.epsilon);
        match self.activation {
            Some(activation) => net.activation(name, maps, activation),
            None => {
                net.rename(maps, name);
                maps
            }
        }
    }
}

/// What squeezes and what excites (Hu 2017).
#[derive(Clone, Copy)]
pub(super) struct SqueezeExcitation {
    /// Channels between the two.
    pub channels: usize,
    pub activation: Activation,
    pub scale_activation: Activation,
}

impl SqueezeExcitation {
    pub fn draw(self, net: &mut Blueprint, name: &str, input: Maps) -> Maps {
        let at = |layer: &str| format!("{name}.{layer}");
        let one = Window::square(1, 1);
        let mut factors = net.global_average(&at("avgpool"), input);
        factors = net.conv(&at("fc1"), factors, self.channels, one, Bias::Own);
        factors = net.activation(&at("activation"), factors, self.activation);
        factors = net.conv(&at("fc2"), factors, input.channels, one, Bias::Own);
        factors = net.activation(&at("scale_activation"), factors, self.scale_activation);
        net.scale(name, input, factors)
    }
}

/// An inverted residual (Sandler 2018) with squeeze and excitation (Tan 2018): 1×1 to `expanded` channels where that is
/// more than there are, depthwise, 1×1 to `out`; added to the input where the shapes allow.
#[derive(Clone, Copy)]
pub(super) struct MbConv {
    pub expanded: usize,
    pub kernel: usize,
    pub stride: usize,
    pub squeeze: Option<SqueezeExcitation>,
    pub out: usize,
    pub activation: Activation,
    pub epsilon: f32,
}

impl MbConv {
    /// The parts are `name.block.0` and so on.
    pub fn draw(self, net: &mut Blueprint, name: &str, input: Maps) -> Maps {
        let mut index = 0;
        let mut next_name = || {
            index += 1;
            format!("{name}.block.{}", index - 1)
        };
        let mut maps = input;
        if self.expanded != input.channels {
            let expand = ConvNorm::pointwise(self.expanded, self.epsilon).then(self.activation);
            maps = expand.draw(net, &next_name(), maps);
        }
        let depthwise = ConvNorm::depthwise(self.expanded, self.kernel, self.stride, self.epsilon);
        maps = depthwise.then(self.activation).draw(net, &next_name(), maps);
        if let Some(squeeze) = self.squeeze {
            maps = squeeze.draw(net, &next_name(), maps);
        }
        maps = ConvNorm::pointwise(self.out, self.epsilon).draw(net, &next_name(), maps);
        if self.stride == 1 && self.out == input.channels {
            return net.add(name, maps, input);
        }
        net.rename(maps, name);
        maps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaled_channels_lose_at_most_a_tenth() {
        let cases = [(1.0, 8), (11.9, 16), (12.0, 16), (22.4, 24), (35.2, 32), (44.0, 48), (19.2, 24), (18.0, 24)];
        let failures: Vec<_> = cases.into_iter().filter(|&(from, to)| divisible_by_8(from) != to).collect();
        assert!(failures.is_empty(), "{failures:?}");
    }
}

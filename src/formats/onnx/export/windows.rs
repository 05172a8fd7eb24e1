//! Convolution and pooling.

use super::super::super::ImportError;
use super::super::proto::AttributeProto;
use super::{Writer, int, ints, text};
use crate::nn::graph::NodeId;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::conv_transpose::ConvTranspose2d;
use crate::nn::ops::pool::{AveragePool, Divisor, MaxPool};
use crate::nn::ops::window::{Padding, Rounding, Window};

/// The attributes of a window, but for how it rounds.
fn attributes(window: &Window) -> Vec<AttributeProto> {
    let mut attributes = vec![ints("kernel_shape", &window.kernel), ints("strides", &window.stride)];
    if window.dilation != [1, 1] {
        attributes.push(ints("dilations", &window.dilation));
    }
    attributes.push(match window.padding {
        Padding::Explicit { top, left, bottom, right } => ints("pads", &[top, left, bottom, right]),
        Padding::SameUpper => text("auto_pad", "SAME_UPPER"),
        Padding::SameLower => text("auto_pad", "SAME_LOWER"),
    });
    attributes
}

fn rounding(window: &Window) -> AttributeProto {
    int("ceil_mode", (window.rounding == Rounding::Ceil).into())
}

impl Writer<'_> {
    /// The window with pads instead of SAME padding if it is dilated, which readers refuse together. With a stride these
    /// pads fit the net's own size only.
    fn undilated_same(&mut self, id: NodeId, input: NodeId, window: &Window) -> Result<Window, ImportError> {
        if window.dilation == [1, 1] || matches!(window.padding, Padding::Explicit { .. }) {
            return Ok(*window);
        }
        let [.., height, width] = self.shapes[input].as_maps().unwrap_or_default();
        let resolved = window.resolve([height, width]).map_err(|error| self.error(id, &error.to_string()))?;
        let [(top, bottom), (left, right)] = resolved.map(|axis| (axis.pad_before, axis.pad_after));
        self.fixed_size |= window.stride != [1, 1];
        Ok(window.padded(Padding::Explicit { top, left, bottom, right }))
    }

    pub(super) fn conv(&mut self, id: NodeId, input: NodeId, conv: &Conv2d) -> Result<(), ImportError> {
        let mut attributes = attributes(&self.undilated_same(id, input, &conv.window)?);
        attributes.push(int("group", super::signed(conv.groups)));
        let input = self.maps(id, input);
        let params = self.params(id);
        let inputs: Vec<&str> = std::iter::once(&input).chain(&params).map(String::as_str).collect();
        self.last(id, "Conv", &inputs, attributes);
        Ok(())
    }

    /// SAME padding does not depend on the input's size here, and is written as pads: readers do not agree about it.
    pub(super) fn conv_transpose(&mut self, id: NodeId, input: NodeId, conv: &ConvTranspose2d) {
        let mut window = conv.window;
        let mut output_padding = conv.output_padding;
        if !matches!(window.padding, Padding::Explicit { .. }) {
            let extent = |axis: usize| (window.kernel[axis] - 1) * window.dilation[axis] + 1;
            let total = [0, 1].map(|axis| extent(axis).saturating_sub(window.stride[axis]));
            output_padding = [0, 1].map(|axis| window.stride[axis].saturating_sub(extent(axis)));
            let [(top, bottom), (left, right)] = total.map(|total| match window.padding {
                Padding::SameLower => (total - total / 2, total / 2),
                _ => (total / 2, total - total / 2),
            });
            window.padding = Padding::Explicit { top, left, bottom, right };
        }
        let mut attributes = attributes(&window);
        attributes.push(int("group", super::signed(conv.groups)));
        attributes.push(ints("output_padding", &output_padding));
        let input = self.maps(id, input);
        let params = self.params(id);
        let inputs: Vec<&str> = std::iter::once(&input).chain(&params).map(String::as_str).collect();
        self.last(id, "ConvTranspose", &inputs, attributes);
    }

    pub(super) fn max_pool(&mut self, id: NodeId, input: NodeId, pool: &MaxPool) -> Result<(), ImportError> {
        let window = self.undilated_same(id, input, &pool.window)?;
        let mut attributes = attributes(&window);
        attributes.push(rounding(&window));
        let input = self.maps(id, input);
        self.last(id, "MaxPool", &[&input], attributes);
        Ok(())
    }

    pub(super) fn average_pool(&mut self, id: NodeId, input: NodeId, pool: &AveragePool) -> Result<(), ImportError> {
        let AveragePool { window, divisor } = pool;
        if window.dilation != [1, 1] {
            return Err(self.error(id, "an average pooling with dilation"));
        }
        if *divisor == Divisor::Window && window.rounding == Rounding::Ceil {
            return Err(self.error(id, "an average pooling that rounds up and divides by the whole window"));
        }
        let mut attributes = attributes(window);
        attributes.push(rounding(window));
        attributes.push(int("count_include_pad", (*divisor != Divisor::Inside).into()));
        let input = self.maps(id, input);
        self.last(id, "AveragePool", &[&input], attributes);
        Ok(())
    }
}

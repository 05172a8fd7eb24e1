//! Convolutions and the fully connected layer.

use super::layout::{Format, same_axes};
use super::reshape::constant;
use super::spaced::spaced_window;
use super::{Converter, Reason, Value};
use crate::formats::tensorflow::graph::Node;
use crate::formats::tensorflow::tensor::Tensor;
use crate::nn::ops::Op;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::conv_transpose::ConvTranspose2d;
use crate::nn::ops::linear::Linear;
use crate::nn::ops::window::{Padding, Rounding, Window};

/// A number that must be positive.
fn positive(name: &str, value: i64) -> Result<usize, Reason> {
    usize::try_from(value)
        .ok()
        .filter(|&value| value > 0)
        .ok_or_else(|| format!("its `{name}` is {value}, which is not above 0"))
}

fn pair(name: &str, format: Format, numbers: &[i64]) -> Result<[usize; 2], Reason> {
    let [vertical, horizontal] = format.spatial(name, numbers, 1)?;
    Ok([positive(name, vertical)?, positive(name, horizontal)?])
}

/// `[kernel height, kernel width, a, b]` of a filter.
fn filter_dims(filter: &Tensor) -> Result<[usize; 4], Reason> {
    match *filter.dims.as_slice() {
        [height, width, a, b] if filter.len() > 0 => Ok([height, width, a, b]),
        _ => Err(format!("its filter has the shape {:?}, not one of 4 dimensions", filter.dims)),
    }
}

impl Converter<'_, '_> {
    /// The window that a layer's attributes state.
    pub(super) fn window(&self, node: &Node<'_>, format: Format, kernel: [usize; 2]) -> Result<Window, Reason> {
        let strides = node.ints("strides")?;
        let dilations = node.ints("dilations")?;
        let padding = match node.text("padding")?.as_str() {
            "SAME" => Padding::SameUpper,
            "VALID" => Padding::NONE,
            "EXPLICIT" => explicit(format, &node.ints("explicit_paddings")?)?,
            other => {
                let other = crate::formats::ImportError::brief(other);
                return Err(format!("its padding `{other}` is not supported"));
            }
        };
        Ok(Window {
            kernel,
            stride: pair("strides", format, &strides)?,
            dilation: if dilations.is_empty() { [1, 1] } else { pair("dilations", format, &dilations)? },
            padding,
            rounding: Rounding::Floor,
        })
    }

    /// The window of a pooling layer.
    pub(super) fn pool_window(&mut self, node: &Node<'_>, format: Format) -> Result<Window, Reason> {
        let kernel = pair("ksize", format, &node.ints("ksize")?)?;
        let window = self.window(node, format, kernel)?;
        // Checking that every window has a pixel goes over the padding.
        if let Padding::Explicit { top, left, bottom, right } = window.padding {
            let pixels = [top, left, bottom, right].into_iter().fold(0usize, usize::saturating_add);
            self.budget.charge(pixels)?;
        }
        Ok(window)
    }

    /// Weights with their axes permuted to `axes`, under the name of the node.
    fn weight(&mut self, filter: &Tensor, axes: &[usize], shape: &[usize]) -> Result<String, Reason> {
        let weight = filter.permuted(axes, &mut self.budget)?;
        let name = format!("{}/weight", self.at);
        Ok(self.param(&name, shape, weight.to_f32()))
    }

    pub(super) fn conv2d(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Value, Reason> {
        let format = Format::of(node)?;
        let (map, block) = self.maybe_spaced(inputs, format)?;
        let filter = constant(inputs, 1)?;
        let [height, width, group_in, out] = filter_dims(filter)?;
        let channels = self.net_dims(&map)?.get(1).copied().unwrap_or_default();
        if group_in == 0 || !channels.is_multiple_of(group_in) {
            return Err(format!("its filter takes {group_in} channels, but its input has {channels}"));
        }
        let window = spaced_window(self.window(node, format, [height, width])?, block)?;
        // OIHW from HWIO.
        let weight = self.weight(filter, &[3, 2, 0, 1], &[out, group_in, height, width])?;
        let op = Op::Conv2d(Conv2d { window, groups: channels / group_in });
        self.maybe_spaced_conv(op, map, weight, block)
    }

    pub(super) fn depthwise(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Value, Reason> {
        let format = Format::of(node)?;
        let (map, block) = self.maybe_spaced(inputs, format)?;
        let filter = constant(inputs, 1)?;
        let [height, width, channels, multiplier] = filter_dims(filter)?;
        let out = channels.checked_mul(multiplier).ok_or("its filter is too large")?;
        let window = spaced_window(self.window(node, format, [height, width])?, block)?;
        // The outputs of a channel lie together: [channel, multiplier, height, width].
        let weight = self.weight(filter, &[2, 3, 0, 1], &[out, 1, height, width])?;
        let op = Op::Conv2d(Conv2d { window, groups: channels });
        self.maybe_spaced_conv(op, map, weight, block)
    }

    pub(super) fn conv_transpose(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Value, Reason> {
        let format = Format::of(node)?;
        let sizes = constant(inputs, 0)?.as_ints()?;
        let map = self.map_at(inputs, 2)?;
        let map = self.maps(&map, format)?;
        let filter = constant(inputs, 1)?;
        let [height, width, out, input] = filter_dims(filter)?;
        let mut window = self.window(node, format, [height, width])?;
        let spatial = match (format, sizes.as_slice()) {
            (_, &[h, w]) => [h, w],
            (Format::Nhwc, &[_, h, w, _]) | (Format::Nchw, &[_, _, h, w]) => [h, w],
            _ => return Err(format!("its output shape {sizes:?} is not one of maps")),
        };
        let spatial = [positive("input_sizes", spatial[0])?, positive("input_sizes", spatial[1])?];
        let dims = self.net_dims(&map)?;
        let from = [dims[2], dims[3]];
        let output_padding = transposed_padding(&mut window, from, spatial)?;
        // [in, out, height, width] from [height, width, out, in].
        let weight = self.weight(filter, &[3, 2, 0, 1], &[input, out, height, width])?;
        let op = Op::ConvTranspose2d(ConvTranspose2d { window, groups: 1, output_padding });
        self.lazy(op, vec![map.id], vec![weight], map.axes)
    }

    pub(super) fn mat_mul(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Value, Reason> {
        let [transpose_a, transpose_b] =
            if node.op == "MatMul" { ["transpose_a", "transpose_b"] } else { ["adj_x", "adj_y"] };
        if node.flag(transpose_a, false)? {
            return Err("it transposes its input, which is not supported".into());
        }
        let transposed = node.flag(transpose_b, false)?;
        let map = self.map_at(inputs, 0)?;
        if map.axes.len() != 2 {
            let dims = self.dims(&map)?;
            return Err(format!("it needs a vector for each picture, but gets {dims:?}"));
        }
        let weight = constant(inputs, 1)?;
        let (ins, outs) = match (weight.dims.as_slice(), transposed) {
            (&[ins, outs], false) | (&[outs, ins], true) if weight.len() > 0 => (ins, outs),
            _ => return Err(format!("its weights have the shape {:?}, not that of a matrix", weight.dims)),
        };
        let expected = self.dims(&map)?[1];
        if ins != expected {
            return Err(format!("its weights take {ins} values, but its input has {expected}"));
        }
        let weight = match map.flat {
            // [out, channels, height, width] from height, width, channels.
            Some([channels, height, width]) => {
                let (dims, axes) = if transposed {
                    (vec![outs, height, width, channels], [0, 3, 1, 2])
                } else {
                    (vec![height, width, channels, outs], [3, 2, 0, 1])
                };
                self.weight(&weight.with_dims(dims), &axes, &[outs, ins])?
            }
            None => self.weight(weight, if transposed { &[0, 1] } else { &[1, 0] }, &[outs, ins])?,
        };
        self.lazy(Op::Linear(Linear {}), vec![map.id], vec![weight], same_axes(2))
    }
}

/// Explicit padding: before and after, an axis.
fn explicit(format: Format, numbers: &[i64]) -> Result<Padding, Reason> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    if pairs.len() != 4 || !rest.is_empty() {
        return Err(format!("its `explicit_paddings` should have 8 numbers, but has {}", numbers.len()));
    }
    let before: Vec<i64> = pairs.iter().map(|pair| pair[0]).collect();
    let after: Vec<i64> = pairs.iter().map(|pair| pair[1]).collect();
    let sides = [format.spatial("explicit_paddings", &before, 0)?, format.spatial("explicit_paddings", &after, 0)?];
    let [[top, left], [bottom, right]] =
        sides.map(|side| side.map(|pixels| usize::try_from(pixels).unwrap_or(usize::MAX)));
    Ok(Padding::Explicit { top, left, bottom, right })
}

/// Sets the padding by which a transposed convolution gives exactly `to` pixels; returns the pixels it must add.
fn transposed_padding(window: &mut Window, from: [usize; 2], to: [usize; 2]) -> Result<[usize; 2], Reason> {
    let multiples = (0..2).all(|i| from[i].checked_mul(window.stride[i]) == Some(to[i]));
    if window.padding == Padding::SameUpper && multiples {
        return Ok([0, 0]);
    }
    let same = window.padding == Padding::SameUpper;
    let given = match window.padding {
        Padding::Explicit { top, left, bottom, right } => [[top, bottom], [left, right]],
        _ => [[0, 0]; 2],
    };
    let (mut padding, mut added) = ([[0usize; 2]; 2], [0usize; 2]);
    for i in 0..2 {
        let wrong = || format!("{} pixels cannot become {} with a stride of {}", from[i], to[i], window.stride[i]);
        let extent = (window.kernel[i].saturating_sub(1)).checked_mul(window.dilation[i]).ok_or_else(wrong)?;
        let full =
            from[i].saturating_sub(1).checked_mul(window.stride[i]).and_then(|full| full.checked_add(extent + 1));
        let full = full.ok_or_else(wrong)?;
        padding[i] = if same {
            let total = full.saturating_sub(to[i]);
            [total / 2, total - total / 2]
        } else {
            given[i]
        };
        let total = padding[i][0].checked_add(padding[i][1]).ok_or_else(wrong)?;
        added[i] = to[i].checked_add(total).and_then(|needed| needed.checked_sub(full)).ok_or_else(wrong)?;
        if added[i] >= window.stride[i] && added[i] > 0 {
            return Err(wrong());
        }
    }
    let [[top, bottom], [left, right]] = padding;
    window.padding = Padding::Explicit { top, left, bottom, right };
    Ok(added)
}

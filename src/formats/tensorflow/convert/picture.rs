//! The input: how pictures enter, and what is done to them before the net proper.

use super::layout::{Format, same_axes};
use super::reshape::{axis_of, target_dims};
use super::resize::size_of;
use super::{Converter, Map, Reason, Value};
use crate::formats::FoundPreprocess;
use crate::formats::tensorflow::graph::{Graph, Node};
use crate::formats::tensorflow::tensor::Tensor;
use crate::nn::graph::{ChannelOrder, GraphBuilder};
use crate::nn::ops::Op;
use crate::nn::ops::reshape::Reshape;

/// Larger pictures are refused.
const MAX_SIDE: usize = 1 << 13;

/// The input as the graph prepares it: `slope · p + offset`.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The node of the graph that gave it last.
    name: String,
    /// 4 for maps, 3 for one picture without a batch, 2 for vectors.
    rank: usize,
    /// `[height, width]`, if it was brought to that.
    size: Option<[usize; 2]>,
    channels: Option<usize>,
    slope: Vec<f64>,
    offset: Vec<f64>,
    /// Whether channels are in the opposite order.
    reversed: bool,
    /// Whether values were 0–255 before, so that `slope` and `offset` are of pixel values.
    pixels: bool,
    rgb: bool,
}

impl Picture {
    /// Whether both are the same values.
    fn equals(&self, other: &Self) -> bool {
        let key = |p: &Self| (p.rank, p.size, p.reversed, p.slope.clone(), p.offset.clone());
        key(self) == key(other)
    }

    /// What the graph says about pixel values.
    pub fn preprocess(&self) -> FoundPreprocess {
        if !self.pixels {
            return FoundPreprocess::default();
        }
        let order = match (self.rgb, self.reversed, self.channels) {
            (true, false, _) => Some(ChannelOrder::Rgb),
            (true, true, _) => Some(ChannelOrder::Bgr),
            (false, _, Some(1)) => Some(ChannelOrder::Gray),
            _ => None,
        };
        let len = self.slope.len().max(self.offset.len());
        let of = |list: &[f64], i: usize| list.get(i).or(list.first()).copied().unwrap_or_default();
        // −0 reads badly.
        let mean = (0..len).map(|i| (0.0 - of(&self.offset, i) / of(&self.slope, i)) as f32).collect();
        let scale = (0..len).map(|i| of(&self.slope, i) as f32).collect();
        FoundPreprocess { order, mean: Some(mean), scale: Some(scale) }
    }

    /// `factor(c) · x + offset(c)` for a constant of one value or one a channel.
    fn affine(&mut self, c: &Tensor, factor: impl Fn(f64) -> f64, offset: impl Fn(f64) -> f64) -> Result<(), Reason> {
        const MOST_CHANNELS: usize = 4;
        let channels = c.dims.last().copied().unwrap_or(1);
        if c.len() != channels || channels == 0 || channels > MOST_CHANNELS {
            return Err(
                "the pictures are prepared with more than a number for each channel, which is not supported".into()
            );
        }
        let len = channels.max(self.slope.len());
        let of = |list: &[f64], i: usize| list.get(i).or(list.first()).copied().unwrap_or_default();
        let number = |i: usize| if channels == 1 { c.at(0) } else { c.at(i) };
        let slope: Vec<f64> = (0..len).map(|i| of(&self.slope, i) * factor(number(i))).collect();
        self.offset = (0..len).map(|i| of(&self.offset, i) * factor(number(i)) + offset(number(i))).collect();
        self.slope = slope;
        if self.slope.iter().all(|slope| slope.is_finite() && *slope != 0.0) {
            return Ok(());
        }
        Err("the pictures are multiplied by nought or by no number".into())
    }
}

impl Converter<'_, '_> {
    /// The input as it enters the graph.
    pub(super) fn entering(&mut self) -> Picture {
        let rank = match &self.source.dims {
            Some(dims) => dims.len(),
            None if matches!(self.first_weight, Some(("MatMul", _))) => 2,
            None => 4,
        };
        Picture {
            name: self.at.clone(),
            rank,
            size: None,
            channels: None,
            slope: vec![1.0],
            offset: vec![0.0],
            reversed: false,
            pixels: self.source.pixels,
            rgb: self.source.rgb,
        }
    }

    /// What the input becomes by an operation that is no part of the net; `None` if it is one.
    pub(super) fn prepared(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Option<Value>, Reason> {
        let (picture, other) = match inputs {
            [Value::Picture(picture), other, ..] => (picture, Some(other)),
            [other, Value::Picture(picture)] if matches!(node.op, "Add" | "AddV2" | "Mul" | "Sub") => {
                (picture, Some(other))
            }
            [Value::Picture(picture)] => (picture, None),
            _ => return Ok(None),
        };
        let mut next = Picture { name: node.name.to_string(), ..picture.clone() };
        let constant_first = matches!(inputs.first(), Some(Value::Const(_)));
        match (node.op, other) {
            ("ExpandDims", Some(Value::Const(axis))) if picture.rank == 3 => match axis.as_int() {
                Some(0) => next.rank = 4,
                _ => return Err("it adds an axis to a picture elsewhere than in front".into()),
            },
            ("Reshape", Some(Value::Const(shape))) if picture.rank == 2 => {
                let shape = shape.as_ints()?;
                return self.vector_as_picture(next, &shape);
            }
            (_, other) if picture.pixels => {
                if !self.prepare_pixels(node, &mut next, other, inputs, constant_first)? {
                    return Ok(None);
                }
            }
            _ => return Ok(None),
        }
        Ok(Some(Value::Picture(next)))
    }

    /// Arithmetic and resampling of pixel values; false for anything else.
    fn prepare_pixels(
        &mut self,
        node: &Node<'_>,
        next: &mut Picture,
        other: Option<&Value>,
        inputs: &[Value],
        constant_first: bool,
    ) -> Result<bool, Reason> {
        let one = |_: f64| 1.0;
        match (node.op, other) {
            ("Cast", None) => {}
            ("Add" | "AddV2", Some(Value::Const(c))) => next.affine(c, one, |c| c)?,
            ("Sub", Some(Value::Const(c))) if constant_first => next.affine(c, |_| -1.0, |c| c)?,
            ("Sub", Some(Value::Const(c))) => next.affine(c, one, |c| -c)?,
            ("Mul", Some(Value::Const(c))) => next.affine(c, |c| c, |_| 0.0)?,
            ("RealDiv" | "Div", Some(Value::Const(c))) => next.affine(c, |c| 1.0 / c, |_| 0.0)?,
            ("ResizeBilinear" | "ResizeBicubic" | "ResizeArea" | "ResizeNearestNeighbor", Some(_)) => {
                next.size = Some(size_of(inputs)?);
            }
            ("ReverseV2", Some(Value::Const(axes))) if next.rank != 2 => {
                let axes = axes.as_ints()?;
                let &[axis] = axes.as_slice() else { return Ok(false) };
                if axis_of(axis, next.rank)? != next.rank - 1 {
                    return Err("pictures turned round are not supported".into());
                }
                next.reversed = !next.reversed;
                next.slope.reverse();
                next.offset.reverse();
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A vector that is reshaped to a picture at once is one.
    fn vector_as_picture(&mut self, mut next: Picture, shape: &[i64]) -> Result<Option<Value>, Reason> {
        let Some(features) = self.features() else { return Ok(None) };
        let whole = features.checked_mul(self.batch).ok_or("its input is too large")?;
        let dims = target_dims(shape, whole)?;
        let &[batch, height, width, channels] = dims.as_slice() else { return Ok(None) };
        if self.input.is_some() || batch != self.batch || !matches!(channels, 1 | 3) {
            return Ok(None);
        }
        (next.rank, next.size, next.channels) = (4, Some([height, width]), Some(channels));
        Ok(Some(Value::Picture(next)))
    }

    /// The length of the vectors that enter.
    fn features(&self) -> Option<usize> {
        let of_weight = || self.first_weight.as_ref().and_then(|(_, dims)| dims.first().copied());
        match self.source.dims.as_deref() {
            Some([_, features]) => features.or_else(of_weight),
            None => of_weight(),
            _ => None,
        }
    }

    /// The input as a node of the net, which it becomes when it is first needed.
    pub(super) fn enter(&mut self, picture: &Picture) -> Result<Map, Reason> {
        if let Some((map, entered)) = &self.input {
            return if entered.equals(picture) {
                Ok(map.clone())
            } else {
                Err("the picture enters the net prepared in two ways, which is not supported".into())
            };
        }
        let mut picture = picture.clone();
        let map = match picture.rank {
            4 => self.enter_maps(&mut picture)?,
            2 => self.enter_vector(&mut picture)?,
            3 => return Err("pictures without a batch axis, or sequences, are not supported".into()),
            rank => return Err(format!("an input of {rank} axes is not that of a net for pictures")),
        };
        self.input = Some((map.clone(), picture));
        Ok(map)
    }

    fn enter_maps(&mut self, picture: &mut Picture) -> Result<Map, Reason> {
        let mut dims = [None; 4];
        match self.source.dims.as_deref() {
            Some(&[batch, a, b, c]) => dims = [batch, a, b, c],
            Some(&[a, b, c]) => dims = [None, a, b, c],
            _ => {}
        }
        let is_colour = |dim: Option<usize>| matches!(dim, Some(1 | 3));
        let unstated = dims[1..].iter().all(Option::is_none) && picture.channels.is_none();
        let planar = (is_colour(dims[1]) && !is_colour(dims[3])) || (unstated && self.first_layer_is_planar());
        let format = if planar { Format::Nchw } else { Format::Nhwc };
        let [_, second, third, fourth] = dims;
        let (channels, stated) = if planar { (second, [third, fourth]) } else { (fourth, [second, third]) };
        let channels = picture.channels.or(channels).or_else(|| match &self.first_weight {
            Some((op, dims)) if *op != "MatMul" => dims.get(2).copied(),
            _ => None,
        });
        let channels = channels.unwrap_or(3);
        let size = picture.size.unwrap_or([stated[0].unwrap_or(self.size[0]), stated[1].unwrap_or(self.size[1])]);
        picture.channels = Some(channels);
        self.start(picture, channels, size)?;
        Ok(Map { id: GraphBuilder::INPUT, axes: format.axes().to_vec(), flat: None })
    }

    /// Whether maps are channels first in a graph that does not say so of its input.
    fn first_layer_is_planar(&self) -> bool {
        for &index in &self.order {
            let node = &self.graph.nodes[index];
            match node.op {
                "Transpose" => return false,
                "Conv2D" | "DepthwiseConv2dNative" => return matches!(Format::of(node), Ok(Format::Nchw)),
                _ => {}
            }
        }
        false
    }

    fn enter_vector(&mut self, picture: &mut Picture) -> Result<Map, Reason> {
        let features = self.features().ok_or("the length of its input vectors is not stated")?;
        let side = |pixels: usize| Some(pixels.isqrt()).filter(|&side| side * side == pixels && side > 1);
        let colour = || features.is_multiple_of(3).then(|| side(features / 3)).flatten();
        let (channels, size) = match (side(features), colour()) {
            (Some(side), _) => (1, side),
            (None, Some(side)) => (3, side),
            _ => return Err(format!("vectors of {features} values are not square pictures")),
        };
        picture.channels = Some(channels);
        self.start(picture, channels, [size, size])?;
        let colours = if channels == 1 { "gray" } else { "colour" };
        self.notes.push(format!(
            "The net takes vectors of {features} values; they are taken as {colours} pictures of {size}×{size} pixels, \
             row by row."
        ));
        let name = format!("{}/flat", picture.name);
        let name = if self.graph.has(&name) { self.fresh("flat") } else { name };
        let id = self.add(&name, Op::Reshape(Reshape::flatten()), &[GraphBuilder::INPUT], &[])?;
        let flat = (channels > 1).then_some([channels, size, size]);
        Ok(Map { id, axes: same_axes(2), flat })
    }

    fn start(&mut self, picture: &Picture, channels: usize, [height, width]: [usize; 2]) -> Result<(), Reason> {
        if !(1..=MAX_SIDE).contains(&height) || !(1..=MAX_SIDE).contains(&width) || !(1..=64).contains(&channels) {
            return Err(format!("pictures of {channels}×{height}×{width} are not supported"));
        }
        self.net = Some(GraphBuilder::new(&picture.name, channels, [height, width]));
        Ok(())
    }
}

/// The first layer with weights: its operation, and the shape of its weights, 2 or 4 dimensions of it.
pub(super) fn first_weight<'a>(graph: &Graph<'a>, order: &[usize]) -> Option<(&'a str, Vec<usize>)> {
    const MOST_HOPS: usize = 16;
    let is_layer = |op: &str| matches!(op, "Conv2D" | "DepthwiseConv2dNative" | "MatMul");
    let node = order.iter().map(|&index| &graph.nodes[index]).find(|node| is_layer(node.op))?;
    let mut edge = node.inputs.get(1).copied().flatten()?;
    for _ in 0..MOST_HOPS {
        let weights = graph.from(edge)?;
        if weights.op == "Const" {
            let shape = weights.attribute("value").ok()??.tensor?.tensor_shape?;
            let dims: Option<Vec<usize>> = shape.dim.iter().map(|dim| usize::try_from(dim.size).ok()).collect();
            return dims.filter(|dims| matches!(dims.len(), 2 | 4)).map(|dims| (node.op, dims));
        }
        edge = weights.inputs.first().copied().flatten()?;
    }
    None
}

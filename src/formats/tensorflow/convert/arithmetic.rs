//! Arithmetic of two values, and with constants.

use std::sync::Arc;

use super::layout::Format;
use super::reshape::constant;
use super::{Converter, Lazy, Map, Reason, Value, missing_input};
use crate::formats::tensorflow::graph::Node;
use crate::formats::tensorflow::tensor::{Tensor, count, for_each_place, strides};
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::reshape::{Dim, Reshape};
use crate::nn::ops::scale::Scale;
use crate::nn::ops::window::Window;
use crate::nn::ops::{Op, Operator as _};

/// What a value becomes under a constant `c`: `factor(c) · x + offset(c)`.
#[derive(Clone, Copy)]
enum Affine {
    Add,
    Subtract,
    /// c − x.
    SubtractFrom,
    Multiply,
    Divide,
}

impl Affine {
    fn factor(self, c: f64) -> f64 {
        match self {
            Self::Add | Self::Subtract => 1.0,
            Self::SubtractFrom => -1.0,
            Self::Multiply => c,
            Self::Divide => 1.0 / c,
        }
    }

    fn offset(self, c: f64) -> f64 {
        match self {
            Self::Add | Self::SubtractFrom => c,
            Self::Subtract => -c,
            Self::Multiply | Self::Divide => 0.0,
        }
    }

    fn has_offset(self) -> bool {
        matches!(self, Self::Add | Self::Subtract | Self::SubtractFrom)
    }
}

/// The axes of a constant as those of a value of `rank` axes, which it is spread over: its step along each.
fn spread(constant: &Tensor, dims: &[usize]) -> Result<Vec<usize>, Reason> {
    let wrong = || format!("a constant of {:?} cannot be spread over {dims:?}", constant.dims);
    let missing = dims.len().checked_sub(constant.dims.len());
    let extra = constant.dims.len().saturating_sub(dims.len());
    if constant.dims.iter().take(extra).any(|&dim| dim != 1) {
        return Err(wrong());
    }
    let own = strides(&constant.dims);
    let mut steps = vec![0; missing.unwrap_or(0)];
    for (i, &dim) in constant.dims.iter().enumerate().skip(extra) {
        let along = dims.get(steps.len()).copied().ok_or_else(wrong)?;
        steps.push(match dim {
            1 => 0,
            _ if dim == along => own[i],
            _ => return Err(wrong()),
        });
    }
    Ok(steps)
}

impl Converter<'_, '_> {
    pub(super) fn bias_add(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Value, Reason> {
        let bias = constant(inputs, 1)?;
        let bias = match (Format::of(node)?, bias.dims.as_slice()) {
            (Format::Nhwc, [_]) => bias.clone(),
            (Format::Nchw, &[channels]) => bias.with_dims(vec![channels, 1, 1]),
            (_, dims) => return Err(format!("its bias has the shape {dims:?}, not that of a vector")),
        };
        let value = inputs.first().ok_or_else(|| missing_input(0))?.clone();
        self.with_constant(Affine::Add, &value, &bias)
    }

    pub(super) fn binary(&mut self, op: &str, inputs: &[Value]) -> Result<Value, Reason> {
        let [a, b] = inputs else { return Err(format!("it has {} inputs, not 2", inputs.len())) };
        match (op, a, b) {
            ("Add" | "AddV2", value, Value::Const(c)) | ("Add" | "AddV2", Value::Const(c), value) => {
                self.with_constant(Affine::Add, value, c)
            }
            ("Sub", value, Value::Const(c)) => self.with_constant(Affine::Subtract, value, c),
            ("Sub", Value::Const(c), value) => self.with_constant(Affine::SubtractFrom, value, c),
            ("Mul", value, Value::Const(c)) | ("Mul", Value::Const(c), value) => {
                self.with_constant(Affine::Multiply, value, c)
            }
            ("RealDiv" | "Div", value, Value::Const(c)) => self.with_constant(Affine::Divide, value, c),
            ("Maximum" | "Minimum", value, Value::Const(c)) | ("Maximum" | "Minimum", Value::Const(c), value) => {
                self.bounded(op == "Maximum", value, c)
            }
            ("Pow", value, Value::Const(c)) if c.single() == Some(2.0) => {
                self.unary("Square", std::slice::from_ref(value))
            }
            ("SquaredDifference", value, Value::Const(c)) | ("SquaredDifference", Value::Const(c), value) => {
                let difference = self.with_constant(Affine::Subtract, value, c)?;
                self.unary("Square", &[difference])
            }
            (_, Value::Const(_), _) | (_, _, Value::Const(_)) => {
                Err("this arithmetic with a constant is not supported".into())
            }
            _ => self.of_two(op, a, b),
        }
    }

    fn with_constant(&mut self, affine: Affine, value: &Value, c: &Tensor) -> Result<Value, Reason> {
        if let (Value::Lazy(lazy), Affine::Add | Affine::Subtract) = (value, affine)
            && let Some(value) = self.with_bias(affine, lazy, c)?
        {
            return Ok(value);
        }
        let map = self.map(value)?;
        if c.single().is_some_and(|c| affine.factor(c) == 1.0 && affine.offset(c) == 0.0) {
            return Ok(Value::Map(map));
        }
        let map = if c.len() == 1 { map } else { self.unflattened(&map)? };
        let (dims, net_dims) = (self.dims(&map)?, self.net_dims(&map)?);
        let steps = spread(c, &dims)?;
        let varies = |axis: usize| map.axes.iter().zip(&steps).any(|(&at, &step)| at == axis && step > 0);
        if varies(0) {
            return Err("its constant differs between the pictures of a batch, which is not supported".into());
        }
        let is_maps = matches!(net_dims.len(), 2 | 4);
        if is_maps && !(2..net_dims.len()).any(varies) {
            let params = self.scale_params(affine, c, &map, &steps, &net_dims[1..2])?;
            let lazily = !affine.has_offset();
            if lazily && map.flat.is_none() {
                return self.lazy(Op::Scale(Scale {}), vec![map.id], params, map.axes);
            }
            let id = self.add_here(Op::Scale(Scale {}), &[map.id], &params)?;
            return Ok(Value::Map(Map { id, ..map }));
        }
        let params = self.scale_params(affine, c, &map, &steps, net_dims.get(1..).unwrap_or_default())?;
        self.scaled_everywhere(&map, &net_dims, &params)
    }

    /// The factors (and offsets) for the net's axes after the batch that `dims` are the lengths of.
    fn scale_params(
        &mut self,
        affine: Affine,
        c: &Tensor,
        map: &Map,
        steps: &[usize],
        dims: &[usize],
    ) -> Result<Vec<String>, Reason> {
        let len = count(dims).ok_or("its input is too large")?;
        self.budget.charge(len.saturating_mul(2))?;
        let step_of = |axis: usize| map.axes.iter().position(|&at| at == axis).map_or(0, |i| steps[i]);
        let steps: Vec<usize> = (1..=dims.len()).map(step_of).collect();
        let (mut factors, mut offsets) = (Vec::with_capacity(len), Vec::new());
        for_each_place(dims, &steps, |place| {
            let c = c.at(place);
            factors.push(affine.factor(c) as f32);
            if affine.has_offset() {
                offsets.push(affine.offset(c) as f32);
            }
        });
        let name = format!("{}/factor", self.at);
        let mut params = vec![self.param(&name, &[len], factors.into())];
        if affine.has_offset() {
            let name = format!("{}/bias", self.at);
            params.push(self.param(&name, &[len], offsets.into()));
        }
        Ok(params)
    }

    /// A factor for every element, by way of a vector.
    fn scaled_everywhere(&mut self, map: &Map, net_dims: &[usize], params: &[String]) -> Result<Value, Reason> {
        let name = self.fresh("flat");
        let flat = self.add(&name, Op::Reshape(Reshape::flatten()), &[map.id], &[])?;
        let name = self.fresh("scaled");
        let scaled = self.add(&name, Op::Scale(Scale {}), &[flat], params)?;
        let dims = net_dims.iter().skip(1).map(|&dim| Dim::Of(dim)).collect();
        let id = self.add_here(Op::Reshape(Reshape { dims }), &[scaled], &[])?;
        Ok(Value::Map(Map { id, ..map.clone() }))
    }

    /// The layer that waits for a bias, with this one; `None` if the constant is not one for each channel.
    fn with_bias(&mut self, affine: Affine, lazy: &Arc<Lazy>, c: &Tensor) -> Result<Option<Value>, Reason> {
        let Some(net) = &self.net else { return Ok(None) };
        let shapes: Option<Vec<_>> = lazy.inputs.iter().map(|&id| net.shape(id)).collect();
        let params: Option<Vec<&[usize]>> =
            lazy.params.iter().map(|name| Some(net.param_named(name)?.shape.as_slice())).collect();
        let shape = match (shapes, params) {
            (Some(shapes), Some(params)) => lazy.op.output_shape(&shapes, &params).map_err(|e| format!("it {e}"))?,
            _ => return Ok(None),
        };
        let dims: Option<Vec<usize>> = lazy.axes.iter().map(|&axis| shape.dims().get(axis).copied()).collect();
        let Some(steps) = dims.and_then(|dims| spread(c, &dims).ok()) else { return Ok(None) };
        let mut step = 0;
        for (&axis, &along) in lazy.axes.iter().zip(&steps) {
            match axis {
                1 => step = along,
                _ if along > 0 => return Ok(None),
                _ => {}
            }
        }
        let channels = shape.dims().get(1).copied().unwrap_or_default();
        self.budget.charge(channels)?;
        let bias = (0..channels).map(|channel| affine.offset(c.at(channel * step)) as f32).collect();
        let name = format!("{}/bias", self.at);
        let bias = self.param(&name, &[channels], bias);
        let params: Vec<String> = lazy.params.iter().cloned().chain([bias]).collect();
        let id = self.add_here(lazy.op.clone(), &lazy.inputs, &params)?;
        Ok(Some(Value::Map(Map { id, axes: lazy.axes.clone(), flat: None })))
    }

    /// The larger or the smaller of a value and a constant.
    fn bounded(&mut self, above: bool, value: &Value, c: &Tensor) -> Result<Value, Reason> {
        let bound = c.single().ok_or("bounds that differ between elements are not supported")? as f32;
        let op = match above {
            true if bound == 0.0 => Activation::Relu,
            true => Activation::Clip { low: bound, high: f32::MAX },
            false => Activation::Clip { low: f32::MIN, high: bound },
        };
        let map = self.map(value)?;
        self.elementwise(Op::Activation(op), &map)
    }

    /// Two values of the net, brought to one shape.
    fn of_two(&mut self, op: &str, a: &Value, b: &Value) -> Result<Value, Reason> {
        let (a, b) = (self.map(a)?, self.map(b)?);
        let (a, b) = if a.flat == b.flat { (a, b) } else { (self.unflattened(&a)?, self.unflattened(&b)?) };
        // Where they differ, channels are where the net's are.
        let axes = if b.axes == Format::Nhwc.axes() { b.axes.clone() } else { a.axes.clone() };
        let align = |this: &mut Self, map: Map| if map.axes == axes { Ok(map) } else { this.aligned(&map, &axes) };
        let (mut a, mut b) = (align(self, a)?, align(self, b)?);
        let (a_dims, b_dims) = (self.net_dims(&a)?, self.net_dims(&b)?);
        if let (&[_, 1, h, w], &[_, channels, height, width]) | (&[_, channels, height, width], &[_, 1, h, w]) =
            (a_dims.as_slice(), b_dims.as_slice())
            && channels > 1
            && [h, w] == [height, width]
        {
            let narrow = if a_dims[1] == 1 { &mut a } else { &mut b };
            narrow.id = self.in_all_channels(narrow.id, channels)?;
        }
        let kind = match op {
            "Add" | "AddV2" => Elementwise::Add,
            "Sub" => Elementwise::Sub,
            "Mul" => Elementwise::Mul,
            "Maximum" => Elementwise::Max,
            "Minimum" => return self.smaller(&a, &b),
            "SquaredDifference" => {
                let name = self.fresh("difference");
                let id = self.add(&name, Op::Elementwise(Elementwise::Sub), &[a.id, b.id], &[])?;
                let id = self.add_here(Op::Elementwise(Elementwise::Mul), &[id, id], &[])?;
                return Ok(Value::Map(Map { id, ..a }));
            }
            _ => return Err("a division of two results, or one's power by another, is not supported".into()),
        };
        let id = self.add_here(Op::Elementwise(kind), &[a.id, b.id], &[])?;
        Ok(Value::Map(Map { id, ..a }))
    }

    /// One channel repeated, by a convolution of ones.
    fn in_all_channels(&mut self, id: usize, channels: usize) -> Result<usize, Reason> {
        self.budget.charge(channels)?;
        let name = self.fresh("spread");
        let weight = self.param(&format!("{name}/weight"), &[channels, 1, 1, 1], vec![1.0; channels].into());
        let op = Op::Conv2d(Conv2d { window: Window::square(1, 1), groups: 1 });
        self.add(&name, op, &[id], &[weight])
    }

    /// The smaller of two values: minus the larger of their negatives.
    fn smaller(&mut self, a: &Map, b: &Map) -> Result<Value, Reason> {
        let mut negatives = [0; 2];
        for (negative, map) in negatives.iter_mut().zip([a, b]) {
            let name = self.fresh("negative");
            *negative = self.negative(name, map)?;
        }
        let name = self.fresh("largest");
        let id = self.add(&name, Op::Elementwise(Elementwise::Max), &negatives, &[])?;
        let name = self.name_here();
        let id = self.negative(name, &Map { id, ..a.clone() })?;
        Ok(Value::Map(Map { id, ..a.clone() }))
    }

    /// `factor · x` as a node of that name.
    fn multiple(&mut self, name: String, map: &Map, factor: f32) -> Result<usize, Reason> {
        let channels = self.net_dims(map)?.get(1).copied().unwrap_or(1);
        self.budget.charge(channels)?;
        let factors = self.param(&format!("{name}/factor"), &[channels], vec![factor; channels].into());
        self.add(&name, Op::Scale(Scale {}), &[map.id], &[factors])
    }

    fn negative(&mut self, name: String, map: &Map) -> Result<usize, Reason> {
        self.multiple(name, map, -1.0)
    }

    pub(super) fn unary(&mut self, op: &str, inputs: &[Value]) -> Result<Value, Reason> {
        /// Klambauer 2017.
        const SELU_ALPHA: f32 = 1.673_263_2;
        const SELU_SCALE: f32 = 1.050_701;
        let map = self.map_at(inputs, 0)?;
        let id = match op {
            "Square" => self.add_here(Op::Elementwise(Elementwise::Mul), &[map.id, map.id], &[])?,
            "Neg" => {
                let name = self.name_here();
                self.negative(name, &map)?
            }
            "Abs" => {
                let name = self.fresh("negative");
                let negative = self.negative(name, &map)?;
                self.add_here(Op::Elementwise(Elementwise::Max), &[map.id, negative], &[])?
            }
            _ => {
                let elu = Op::Activation(Activation::Elu { alpha: SELU_ALPHA });
                let name = self.fresh("elu");
                let id = self.add(&name, elu, &[map.id], &[])?;
                let name = self.name_here();
                self.multiple(name, &Map { id, ..map.clone() }, SELU_SCALE)?
            }
        };
        Ok(Value::Map(Map { id, ..map }))
    }

    /// A choice that does not depend on the picture: a branch, or what a dropout makes of one.
    pub(super) fn select(&mut self, inputs: &[Value]) -> Result<Value, Reason> {
        match inputs {
            [Value::Const(condition), yes, no] if condition.len() == 1 => match (condition.at(0), no) {
                (0.0, no) => Ok(no.clone()),
                (1.0, _) => Ok(yes.clone()),
                (kept, Value::Const(zero)) if zero.single() == Some(0.0) => {
                    self.with_constant(Affine::Multiply, yes, &Tensor::number(kept))
                }
                _ => Err("it chooses by a number that is no truth value".into()),
            },
            _ => Err("a choice for each element is not supported".into()),
        }
    }

    pub(super) fn add_n(&mut self, inputs: &[Value]) -> Result<Value, Reason> {
        let Some((first, others)) = inputs.split_first() else { return Err("it adds nothing".into()) };
        let mut sum = first.clone();
        for other in others {
            sum = self.binary("Add", &[sum, other.clone()])?;
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tensorflow::tensor::Elements;

    #[test]
    fn constants_are_spread_from_the_last_axis() {
        let of = |dims: &[usize]| Tensor { dims: dims.to_vec(), elements: Elements::Float(vec![0.0; 24].into()) };
        assert_eq!(spread(&of(&[3]), &[1, 2, 4, 3]), Ok(vec![0, 0, 0, 1]));
        assert_eq!(spread(&of(&[2, 1, 3]), &[1, 2, 4, 3]), Ok(vec![0, 3, 0, 1]));
        assert_eq!(spread(&of(&[1, 1, 1, 1, 3]), &[1, 2, 4, 3]), Ok(vec![0, 0, 0, 1]));
        assert_eq!(spread(&of(&[]), &[1, 3]), Ok(vec![0, 0]));
        for wrong in [&[4][..], &[2, 1, 2, 4, 3], &[2, 3]] {
            assert!(spread(&of(wrong), &[1, 2, 4, 3]).is_err(), "{wrong:?}");
        }
    }
}

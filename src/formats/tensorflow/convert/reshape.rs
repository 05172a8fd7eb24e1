//! Operations that give the same elements another shape, or tell of shapes.

use super::layout::{Format, same_axes};
use super::{Converter, Map, Reason, Value, missing_input};
use crate::formats::tensorflow::graph::Node;
use crate::formats::tensorflow::tensor::{Tensor, count};
use crate::nn::ops::Op;
use crate::nn::ops::reshape::{Dim, Reshape};
use crate::nn::ops::transpose::Transpose;

/// A constant input.
pub(super) fn constant(inputs: &[Value], index: usize) -> Result<&Tensor, Reason> {
    match inputs.get(index) {
        Some(Value::Const(tensor)) => Ok(tensor),
        Some(_) => Err(format!("its input number {index} should be a constant, but depends on the picture")),
        None => Err(missing_input(index)),
    }
}

/// An axis that may be counted from the end.
pub(super) fn axis_of(axis: i64, rank: usize) -> Result<usize, Reason> {
    let rank_signed = i64::try_from(rank).unwrap_or(i64::MAX);
    let counted = if axis < 0 { axis.checked_add(rank_signed) } else { Some(axis) };
    counted
        .and_then(|axis| usize::try_from(axis).ok())
        .filter(|&axis| axis < rank)
        .ok_or_else(|| format!("there is no axis {axis} among {rank}"))
}

/// The dimensions that a wanted shape, in which −1 stands for what is left, gives `len` elements.
pub(super) fn target_dims(wanted: &[i64], len: usize) -> Result<Vec<usize>, Reason> {
    let wrong = || format!("{len} elements do not fill the shape {wanted:?}");
    let known: Vec<usize> = wanted.iter().filter_map(|&dim| usize::try_from(dim).ok()).collect();
    let product = count(&known).ok_or_else(wrong)?;
    let unknown = wanted.len() - known.len();
    let rest = match unknown {
        0 if product == len => 1,
        1 if product > 0 && len.is_multiple_of(product) && wanted.contains(&-1) => len / product,
        _ => return Err(wrong()),
    };
    Ok(wanted.iter().map(|&dim| usize::try_from(dim).unwrap_or(rest)).collect())
}

/// The sizes of the parts of an axis of length `whole`, one of which may be −1 for what is left.
pub(super) fn split_sizes(wanted: &[i64], whole: usize) -> Result<Vec<usize>, Reason> {
    let wrong = || format!("parts of {wanted:?} do not make up {whole}");
    let known = wanted.iter().filter_map(|&size| usize::try_from(size).ok());
    let total = known.clone().try_fold(0usize, usize::checked_add).ok_or_else(wrong)?;
    let left = whole.checked_sub(total).ok_or_else(wrong)?;
    let fits = match wanted.len() - known.count() {
        0 => left == 0,
        1 => wanted.contains(&-1),
        _ => false,
    };
    if !fits {
        return Err(wrong());
    }
    Ok(wanted.iter().map(|&size| usize::try_from(size).unwrap_or(left)).collect())
}

impl Converter<'_, '_> {
    pub(super) fn reshape_to(&mut self, inputs: &[Value]) -> Result<Value, Reason> {
        let wanted = constant(inputs, 1)?.as_ints()?;
        let map = self.map_at(inputs, 0)?;
        let len = count(&self.dims(&map)?).ok_or("its input is too large")?;
        let to = target_dims(&wanted, len)?;
        let rest = wanted.iter().position(|&dim| dim == -1);
        self.reshaped(&map, &to, rest)
    }

    /// The value in TensorFlow's shape `to`; the axis `rest` takes what other picture sizes leave.
    pub(super) fn reshaped(&mut self, map: &Map, to: &[usize], rest: Option<usize>) -> Result<Value, Reason> {
        let from = self.dims(map)?;
        if from == to || self.only_shapes_scores(map, &from, to) {
            return Ok(Value::Map(map.clone()));
        }
        if to.first() != from.first() {
            return Err(format!("reshaping {from:?} to {to:?} mixes the pictures of a batch, which is not supported"));
        }
        if let (Some([channels, height, width]), &[_, h, w, c]) = (map.flat, to)
            && [channels, height, width] == [c, h, w]
        {
            return self.shaped(map, &[c, h, w], None, Format::Nhwc.axes().to_vec());
        }
        if !self.is_in_order(map)? {
            let net = self.net_dims(map)?;
            if let (&[_, channels, height, width], [_, _]) = (net.as_slice(), to)
                && map.axes == Format::Nhwc.axes()
            {
                let id = self.add_here(Op::Reshape(Reshape::flatten()), &[map.id], &[])?;
                return Ok(Value::Map(Map { id, axes: same_axes(2), flat: Some([channels, height, width]) }));
            }
        }
        let ordered = if self.is_in_order(map)? { map.clone() } else { self.aligned(map, &same_axes(from.len()))? };
        match *to {
            // Where one channel or one pixel is all there is, the order of axes moves nothing.
            [_, h, w, c] if c == 1 || h * w == 1 => {
                let rest = rest.and_then(|rest| [None, Some(1), Some(2), Some(0)].get(rest).copied().flatten());
                self.shaped(&ordered, &[c, h, w], rest, Format::Nhwc.axes().to_vec())
            }
            [_, h, w, c] if !self.is_planar => {
                let name = self.fresh("rows");
                let op = Reshape { dims: vec![Dim::Of(h), Dim::Of(w), Dim::Of(c)] };
                let rows = self.add(&name, Op::Reshape(op), &[ordered.id], &[])?;
                let id = self.add_here(Op::Transpose(Transpose { axes: vec![0, 3, 1, 2] }), &[rows], &[])?;
                Ok(Value::Map(Map { id, axes: Format::Nhwc.axes().to_vec(), flat: None }))
            }
            _ => {
                let rest = rest.and_then(|rest| rest.checked_sub(1));
                self.shaped(&ordered, to.get(1..).unwrap_or_default(), rest, same_axes(to.len()))
            }
        }
    }

    /// Whether this last step of the graph gives the probabilities of one pixel another shape: the net ends before it.
    fn only_shapes_scores(&self, map: &Map, from: &[usize], to: &[usize]) -> bool {
        let is_last = self.order.last().is_some_and(|&last| self.graph.nodes[last].name == self.at);
        let op = self.net.as_ref().and_then(|net| net.nodes().get(map.id)).map(|node| &node.op);
        let long = |dims: &[usize]| dims.iter().copied().filter(|&dim| dim > 1).collect::<Vec<_>>();
        is_last
            && matches!(op, Some(Op::Softmax(_) | Op::LogSoftmax(_)))
            && long(from).len() < 2
            && long(from) == long(to)
    }

    /// A reshape in the net's own order; `dims` are those after the batch.
    fn shaped(&mut self, map: &Map, dims: &[usize], rest: Option<usize>, axes: Vec<usize>) -> Result<Value, Reason> {
        let dim =
            |(i, &dim): (usize, &usize)| if rest == Some(i) || dims.len() == 1 { Dim::Rest } else { Dim::Of(dim) };
        let op = Op::Reshape(Reshape { dims: dims.iter().enumerate().map(dim).collect() });
        let id = self.add_here(op, &[map.id], &[])?;
        Ok(Value::Map(Map { id, axes, flat: None }))
    }

    pub(super) fn squeeze(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Value, Reason> {
        let map = self.map_at(inputs, 0)?;
        let from = self.dims(&map)?;
        let axes: Vec<usize> =
            node.ints("squeeze_dims")?.iter().map(|&axis| axis_of(axis, from.len())).collect::<Result<_, _>>()?;
        if let Some(&axis) = axes.iter().find(|&&axis| from[axis] != 1) {
            return Err(format!("axis {axis} of {from:?} has not the length 1, so that it cannot be dropped"));
        }
        if axes.contains(&0) {
            return Err("it drops the batch, which is not supported".into());
        }
        // Without a list, all axes of length 1 go; but for the batch, which is 1 only while one picture is looked at.
        let goes = |axis: usize| axis > 0 && if axes.is_empty() { from[axis] == 1 } else { axes.contains(&axis) };
        let to: Vec<usize> = (0..from.len()).filter(|&axis| !goes(axis)).map(|axis| from[axis]).collect();
        self.reshaped(&map, &to, None)
    }

    pub(super) fn expand_dims(&mut self, inputs: &[Value]) -> Result<Value, Reason> {
        let axis = constant(inputs, 1)?.as_int().ok_or("its axis is not one number")?;
        let map = self.map_at(inputs, 0)?;
        let mut to = self.dims(&map)?;
        let axis = axis_of(axis, to.len() + 1)?;
        if axis == 0 {
            return Err("it adds an axis before the batch, which is not supported".into());
        }
        to.insert(axis, 1);
        self.reshaped(&map, &to, None)
    }

    /// Moves axes in name only.
    pub(super) fn transpose(&mut self, inputs: &[Value]) -> Result<Value, Reason> {
        let order = constant(inputs, 1)?.as_ints()?;
        let map = self.map_at(inputs, 0)?;
        let rank = map.axes.len();
        let order: Vec<usize> = order.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<_, _>>()?;
        if order.len() != rank || (0..rank).any(|axis| !order.contains(&axis)) {
            return Err(format!("{order:?} does not name each of {rank} axes once"));
        }
        if order.first() != Some(&0) {
            return Err("it moves the batch, which is not supported".into());
        }
        if order.is_sorted() {
            return Ok(Value::Map(map));
        }
        let map = self.unflattened(&map)?;
        let axes = order.iter().map(|&axis| map.axes[axis]).collect();
        Ok(Value::Map(Map { axes, ..map }))
    }

    pub(super) fn shape(&mut self, inputs: &[Value]) -> Result<Value, Reason> {
        let map = self.map_at(inputs, 0)?;
        let dims = self.dims(&map)?;
        Ok(Value::Const(Tensor::ints(dims.iter().map(|&dim| i64::try_from(dim).unwrap_or(i64::MAX)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_filled_up() {
        assert_eq!(target_dims(&[-1, 28, 28, 1], 784), Ok(vec![1, 28, 28, 1]));
        assert_eq!(target_dims(&[1, -1], 12), Ok(vec![1, 12]));
        for wrong in [&[-1, -1][..], &[5, -1], &[0, -1], &[i64::MAX, i64::MAX], &[3, 5], &[-2, 4]] {
            assert!(target_dims(wrong, 12).is_err(), "{wrong:?}");
        }
        assert_eq!((axis_of(-1, 4), axis_of(3, 4)), (Ok(3), Ok(3)));
        assert!(axis_of(4, 4).is_err() && axis_of(i64::MIN, 4).is_err() && axis_of(-5, 4).is_err());
    }
}

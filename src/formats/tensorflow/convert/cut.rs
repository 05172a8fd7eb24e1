//! Joining and cutting along an axis.

use super::layout::Format;
use super::pool::map_axis;
use super::reshape::{axis_of, constant};
use super::{Converter, Map, Reason, Value, missing_input};
use crate::formats::tensorflow::graph::Node;
use crate::nn::ops::Op;
use crate::nn::ops::concat::Concat;
use crate::nn::ops::slice::Slice;

/// More parts than any net cuts something into.
const MAX_PARTS: usize = 1 << 12;

/// The masks of `StridedSlice`, a bit an axis.
pub(super) struct Masks {
    pub begin: i64,
    pub end: i64,
    pub shrink: i64,
}

impl Masks {
    pub fn of(node: &Node<'_>) -> Result<Self, Reason> {
        if node.int("ellipsis_mask", 0)? != 0 || node.int("new_axis_mask", 0)? != 0 {
            return Err("a slice with an ellipsis or a new axis is not supported".into());
        }
        Ok(Self {
            begin: node.int("begin_mask", 0)?,
            end: node.int("end_mask", 0)?,
            shrink: node.int("shrink_axis_mask", 0)?,
        })
    }

    /// The indices that a slice takes of an axis of that length.
    pub fn range(&self, axis: usize, [begin, end, step]: [i64; 3], length: usize) -> Result<Vec<usize>, Reason> {
        let length = i64::try_from(length).map_err(|_| "its input is too large")?;
        let bit = |mask: i64| axis < 32 && mask >> axis & 1 == 1;
        let wrapped = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
        if bit(self.shrink) {
            let at = wrapped(begin);
            return usize::try_from(at)
                .ok()
                .filter(|_| at < length)
                .map(|at| vec![at])
                .ok_or_else(|| format!("there is no element {begin} among {length}"));
        }
        let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
        let start = if bit(self.begin) { if step > 0 { 0 } else { length - 1 } } else { wrapped(begin) };
        let stop = if bit(self.end) { if step > 0 { length } else { -1 } } else { wrapped(end) };
        let (start, stop) = (start.clamp(lowest, highest), stop.clamp(lowest, highest));
        let reach = step.unsigned_abs().try_into().unwrap_or(usize::MAX);
        Ok(match step {
            0 => return Err("a slice by steps of 0 has no end".into()),
            1.. => (start..stop).step_by(reach).filter_map(|at| usize::try_from(at).ok()).collect(),
            _ => (stop + 1..=start).rev().step_by(reach).filter_map(|at| usize::try_from(at).ok()).collect(),
        })
    }
}

impl Converter<'_, '_> {
    pub(super) fn concat(&mut self, axis: Option<&Value>, values: &[Value]) -> Result<Value, Reason> {
        let Some(Value::Const(axis)) = axis else { return Err("its axis is not a constant".into()) };
        let axis = axis.as_int().ok_or("its axis is not one number")?;
        let mut maps = Vec::with_capacity(values.len());
        for value in values {
            let map = self.map(value)?;
            maps.push(self.unflattened(&map)?);
        }
        let first = maps.first().ok_or("it joins nothing")?.clone();
        let mut ids = Vec::with_capacity(maps.len());
        for map in &maps {
            ids.push(self.aligned(map, &first.axes)?.id);
        }
        let rank = first.axes.len();
        let axis = map_axis(first.axes[axis_of(axis, rank)?], rank)?;
        if axis == crate::nn::ops::MapAxis::Batch {
            return Err("it joins pictures into a batch, which is not supported".into());
        }
        let id = self.add_here(Op::Concat(Concat { axis }), &ids, &[])?;
        Ok(Value::Map(Map { id, ..first }))
    }

    /// `start..end` of one of TensorFlow's axes.
    fn sliced(&mut self, map: &Map, axis: usize, start: usize, end: usize) -> Result<Map, Reason> {
        let rank = map.axes.len();
        if start == 0 && self.dims(map)?.get(axis) == Some(&end) {
            return Ok(map.clone());
        }
        let op = Slice { axis: map_axis(map.axes[axis], rank)?, start, end };
        if op.axis == crate::nn::ops::MapAxis::Batch {
            return Err("it takes pictures out of a batch, which is not supported".into());
        }
        let id = self.add_here(Op::Slice(op), &[map.id], &[])?;
        Ok(Map { id, ..map.clone() })
    }

    pub(super) fn split(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Vec<Value>, Reason> {
        let (value, axis) = if node.op == "Split" { (1, 0) } else { (0, 2) };
        let axis = constant(inputs, axis)?.as_int().ok_or("its axis is not one number")?;
        let map = self.map_at(inputs, value)?;
        let map = self.unflattened(&map)?;
        let dims = self.dims(&map)?;
        let axis = axis_of(axis, dims.len())?;
        let whole = dims[axis];
        let sizes: Vec<usize> = if node.op == "Split" {
            let parts = usize::try_from(node.int("num_split", 1)?).unwrap_or_default();
            if !(1..=MAX_PARTS).contains(&parts) || !whole.is_multiple_of(parts) {
                return Err(format!("{whole} cannot be split into {parts} parts"));
            }
            vec![whole / parts; parts]
        } else {
            let sizes = constant(inputs, 1)?.as_ints()?;
            super::reshape::split_sizes(&sizes, whole)?
        };
        let mut start = 0;
        let mut parts = Vec::with_capacity(sizes.len());
        for size in sizes {
            let part = self.sliced(&map, axis, start, start + size)?;
            parts.push(Value::Map(part));
            start += size;
        }
        Ok(parts)
    }

    pub(super) fn slice(&mut self, inputs: &[Value]) -> Result<Value, Reason> {
        let begin = constant(inputs, 1)?.as_ints()?;
        let size = constant(inputs, 2)?.as_ints()?;
        let map = self.map_at(inputs, 0)?;
        let mut map = self.unflattened(&map)?;
        let dims = self.dims(&map)?;
        if begin.len() != dims.len() || size.len() != dims.len() {
            return Err(format!("it cuts {} axes of {dims:?}", begin.len()));
        }
        for (axis, (&begin, &size)) in begin.iter().zip(&size).enumerate() {
            let start = usize::try_from(begin).map_err(|_| format!("it starts at {begin}"))?;
            let end = if size == -1 {
                Some(dims[axis])
            } else {
                usize::try_from(size).ok().and_then(|size| start.checked_add(size))
            };
            map = self.sliced(&map, axis, start, end.ok_or_else(|| format!("it takes {size} elements"))?)?;
        }
        Ok(Value::Map(map))
    }

    pub(super) fn strided_slice(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Value, Reason> {
        let masks = Masks::of(node)?;
        let lists: Vec<Vec<i64>> = (1..4).map(|i| constant(inputs, i)?.as_ints()).collect::<Result<_, _>>()?;
        let [begin, end, step] = lists.as_slice() else { return Err(missing_input(3)) };
        let map = self.map_at(inputs, 0)?;
        let mut map = self.unflattened(&map)?;
        let dims = self.dims(&map)?;
        if begin.len() > dims.len() || begin.len() != end.len() || begin.len() != step.len() {
            return Err(format!("it cuts {} axes of {dims:?}", begin.len()));
        }
        if masks.shrink != 0 {
            return Err("a slice that drops an axis is not supported".into());
        }
        for (axis, ((&begin, &end), &step)) in begin.iter().zip(end).zip(step).enumerate() {
            // The batch is whatever is given, not what one picture makes of it.
            if axis == 0 && step == 1 && begin == 0 && masks.end & 1 == 1 {
                continue;
            }
            let taken = masks.range(axis, [begin, end, step], dims[axis])?;
            match (step, taken.first(), taken.last()) {
                (1, Some(&first), Some(&last)) => map = self.sliced(&map, axis, first, last + 1)?,
                (_, Some(_), Some(_)) => map = self.every(&map, axis, &taken)?,
                _ => return Err("it takes nothing".into()),
            }
        }
        Ok(Value::Map(map))
    }

    /// Chosen channels, in any order, one by one.
    fn every(&mut self, map: &Map, axis: usize, taken: &[usize]) -> Result<Map, Reason> {
        if taken.len() > MAX_PARTS.min(64) {
            return Err("a slice of so many steps is not supported".into());
        }
        let named = map_axis(map.axes[axis], map.axes.len())?;
        let mut parts = Vec::with_capacity(taken.len());
        for &at in taken {
            let name = self.fresh("slice");
            let op = Op::Slice(Slice { axis: named, start: at, end: at + 1 });
            parts.push(self.add(&name, op, &[map.id], &[])?);
        }
        let id = self.add_here(Op::Concat(Concat { axis: named }), &parts, &[])?;
        Ok(Map { id, ..map.clone() })
    }

    /// Channels in the opposite order.
    pub(super) fn reversed(&mut self, inputs: &[Value]) -> Result<Value, Reason> {
        let axes = constant(inputs, 1)?.as_ints()?;
        let map = self.map_at(inputs, 0)?;
        let map = self.maps(&map, Format::Nhwc)?;
        let &[axis] = axes.as_slice() else { return Err("it turns round several axes, which is not supported".into()) };
        let axis = axis_of(axis, 4)?;
        let length = self.dims(&map)?[axis];
        if axis != 3 || length > 64 {
            return Err("only channels can be turned round".into());
        }
        let order: Vec<usize> = (0..length).rev().collect();
        Ok(Value::Map(self.every(&map, axis, &order)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_counted_as_in_numpy() {
        let none = Masks { begin: 0, end: 0, shrink: 0 };
        let open = Masks { begin: 1, end: 1, shrink: 0 };
        let shrink = Masks { begin: 0, end: 0, shrink: 1 };
        assert_eq!(none.range(0, [1, -1, 1], 5), Ok(vec![1, 2, 3]));
        assert_eq!(none.range(0, [-2, 100, 1], 5), Ok(vec![3, 4]));
        assert_eq!(open.range(0, [7, 7, -2], 5), Ok(vec![4, 2, 0]));
        assert_eq!(shrink.range(0, [-1, 0, 1], 5), Ok(vec![4]));
        assert!(shrink.range(0, [5, 6, 1], 5).is_err() && none.range(0, [0, 1, 0], 5).is_err());
        assert_eq!(none.range(0, [i64::MIN, i64::MAX, i64::MAX], 5), Ok(vec![0]));
        assert_eq!(none.range(0, [i64::MAX, i64::MIN, i64::MIN], 5), Ok(vec![4]));
        assert_eq!(none.range(0, [3, 1, 1], 5), Ok(vec![]));
    }
}

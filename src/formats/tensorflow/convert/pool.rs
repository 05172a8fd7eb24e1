//! Pooling, padding, and reduction of axes.

use super::layout::{Format, same_axes};
use super::reshape::{axis_of, constant};
use super::{Converter, Map, Reason, Value};
use crate::formats::tensorflow::graph::Node;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::pad::{Pad, PadMode};
use crate::nn::ops::pool::{AveragePool, Divisor, GlobalPool, GlobalPoolKind, MaxPool};
use crate::nn::ops::reduce::{Reduce, ReduceKind};
use crate::nn::ops::reshape::Reshape;
use crate::nn::ops::window::Window;
use crate::nn::ops::{MapAxis, Op};

/// The net's axis of that index, by name.
pub(super) fn map_axis(index: usize, rank: usize) -> Result<MapAxis, Reason> {
    match index {
        0 => Ok(MapAxis::Batch),
        1 => Ok(MapAxis::Channel),
        2 if rank == 4 => Ok(MapAxis::Height),
        3 if rank == 4 => Ok(MapAxis::Width),
        _ => Err(format!("it works along axis {index} of a tensor of {rank} axes, which is not supported")),
    }
}

impl Converter<'_, '_> {
    pub(super) fn pool(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Value, Reason> {
        let format = Format::of(node)?;
        let map = self.map_at(inputs, 0)?;
        let map = self.maps(&map, format)?;
        let window = self.pool_window(node, format)?;
        // Checking a window looks at every row and column once.
        let dims = self.net_dims(&map)?;
        self.budget.charge(dims.iter().skip(2).sum())?;
        let op = match node.op {
            "MaxPool" => Op::MaxPool(MaxPool { window }),
            _ => Op::AveragePool(AveragePool { window, divisor: Divisor::Inside }),
        };
        self.elementwise(op, &map)
    }

    pub(super) fn reduce(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Value, Reason> {
        let wanted = constant(inputs, 1)?.as_ints()?;
        let map = self.map_at(inputs, 0)?;
        let map = self.unflattened(&map)?;
        let rank = map.axes.len();
        let keep = node.flag("keep_dims", false)?;
        let mut axes: Vec<usize> = wanted.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<_, _>>()?;
        axes.sort_unstable();
        axes.dedup();
        let gone: Vec<usize> = axes.iter().map(|&axis| map.axes[axis]).collect();
        if gone.contains(&0) {
            return Err("it reduces over the pictures of a batch, which is not supported".into());
        }
        if gone.is_empty() {
            return Ok(Value::Map(map));
        }
        let whole_maps = rank == 4 && gone.len() == 2 && gone.contains(&2) && gone.contains(&3);
        if node.op == "Max" || (whole_maps && keep && node.op == "Mean") {
            if !whole_maps {
                return Err("the largest values are supported of whole maps only".into());
            }
            let kind = if node.op == "Max" { GlobalPoolKind::Max } else { GlobalPoolKind::Average };
            return self.global_pool(kind, &map, keep);
        }
        let kind = if node.op == "Sum" { ReduceKind::Sum } else { ReduceKind::Mean };
        let op = Reduce { kind, axes: gone.iter().map(|&a| map_axis(a, rank)).collect::<Result<_, _>>()?, keep };
        let id = self.add_here(Op::Reduce(op), &[map.id], &[])?;
        let axes = if keep {
            map.axes
        } else {
            // The axes that stay close up.
            let stay = map.axes.iter().filter(|axis| !gone.contains(axis));
            stay.map(|&axis| axis - gone.iter().filter(|&&gone| gone < axis).count()).collect()
        };
        Ok(Value::Map(Map { id, axes, flat: None }))
    }

    fn global_pool(&mut self, kind: GlobalPoolKind, map: &Map, keep: bool) -> Result<Value, Reason> {
        let op = Op::GlobalPool(GlobalPool { kind });
        if keep {
            return self.elementwise(op, map);
        }
        let name = self.fresh("maps");
        let pooled = self.add(&name, op, &[map.id], &[])?;
        let id = self.add_here(Op::Reshape(Reshape::flatten()), &[pooled], &[])?;
        Ok(Value::Map(Map { id, axes: same_axes(2), flat: None }))
    }

    pub(super) fn pad(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Value, Reason> {
        let amounts = constant(inputs, 1)?.as_ints()?;
        let map = self.map_at(inputs, 0)?;
        let map = self.unflattened(&map)?;
        let (pairs, _) = amounts.as_chunks::<2>();
        if map.axes.len() != 4 || pairs.len() != 4 {
            return Err("only maps can be padded".into());
        }
        let mut sides = [[0usize; 2]; 4];
        for (&axis, pair) in map.axes.iter().zip(pairs) {
            let pair = pair.map(|pixels| usize::try_from(pixels).ok().filter(|&pixels| pixels < super::MAX_AXIS));
            let [Some(before), Some(after)] = pair else { return Err(format!("{amounts:?} cannot be added to maps")) };
            sides[axis] = [before, after];
        }
        let [batch, channels, [top, bottom], [left, right]] = sides;
        let value = match node.op {
            "PadV2" => constant(inputs, 2)?.single().ok_or("its value is not one number")?,
            _ => 0.0,
        };
        if batch != [0, 0] {
            return Err("it adds pictures to the batch, which is not supported".into());
        }
        let mode = match (node.op, node.text("mode")?.as_str()) {
            ("MirrorPad", "REFLECT") => PadMode::Reflect,
            // Mirroring with the edge is repeating it, as long as there is one pixel of it.
            ("MirrorPad", "SYMMETRIC") if [top, bottom, left, right].iter().all(|&pixels| pixels <= 1) => PadMode::Edge,
            ("MirrorPad", mode) => {
                let mode = crate::formats::ImportError::brief(mode);
                return Err(format!("mirroring of the mode `{mode}` by so many pixels is not supported"));
            }
            _ => PadMode::Constant(value as f32),
        };
        if channels == [0, 0] {
            return self.elementwise(Op::Pad(Pad { top, left, bottom, right, mode }), &map);
        }
        if [top, bottom, left, right] != [0; 4] || mode != PadMode::Constant(0.0) {
            return Err("channels can only be added alone, and with noughts".into());
        }
        self.pad_channels(&map, channels)
    }

    /// Channels of noughts before and after, by a convolution that copies the others.
    fn pad_channels(&mut self, map: &Map, [before, after]: [usize; 2]) -> Result<Value, Reason> {
        let channels = self.net_dims(map)?[1];
        let out = before + channels + after;
        let len = out.checked_mul(channels).ok_or("it adds too many channels")?;
        self.budget.charge(len)?;
        let weight = (0..len).map(|i| if i / channels == i % channels + before { 1.0 } else { 0.0 }).collect();
        let name = format!("{}/weight", self.at);
        let weight = self.param(&name, &[out, channels, 1, 1], weight);
        let op = Op::Conv2d(Conv2d { window: Window::square(1, 1), groups: 1 });
        let id = self.add_here(op, &[map.id], &[weight])?;
        Ok(Value::Map(Map { id, ..map.clone() }))
    }
}

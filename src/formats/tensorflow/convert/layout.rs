//! Where axes lie, and moving them where an operation needs that.

use super::{Converter, Map, Reason};
use crate::formats::tensorflow::graph::Node;
use crate::nn::ops::Op;
use crate::nn::ops::reshape::{Dim, Reshape};
use crate::nn::ops::transpose::Transpose;

/// The order of the axes of maps that a layer states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::formats::tensorflow) enum Format {
    Nhwc,
    Nchw,
}

impl Format {
    pub fn of(node: &Node<'_>) -> Result<Self, Reason> {
        match node.text("data_format")?.as_str() {
            "" | "NHWC" => Ok(Self::Nhwc),
            "NCHW" => Ok(Self::Nchw),
            other => Err(format!("its data format `{}` is not supported", crate::formats::ImportError::brief(other))),
        }
    }

    /// The net's axis of each of TensorFlow's axes.
    pub const fn axes(self) -> [usize; 4] {
        match self {
            Self::Nhwc => [0, 2, 3, 1],
            Self::Nchw => [0, 1, 2, 3],
        }
    }

    /// Of one number an axis, those of height and width; those of batch and channels must be `rest`.
    pub fn spatial(self, name: &str, numbers: &[i64], rest: i64) -> Result<[i64; 2], Reason> {
        let &[a, b, c, d] = numbers else {
            return Err(format!("its `{name}` should have 4 numbers, but has {}", numbers.len()));
        };
        let (batch, channels, spatial) = match self {
            Self::Nhwc => (a, d, [b, c]),
            Self::Nchw => (a, b, [c, d]),
        };
        if [batch, channels] != [rest; 2] {
            return Err(format!("its `{name}` {numbers:?} reach over batch or channels, which is not supported"));
        }
        Ok(spatial)
    }
}

/// Whether `axes` leaves every axis where it is.
fn in_place(axes: &[usize]) -> bool {
    axes.iter().enumerate().all(|(i, &axis)| i == axis)
}

pub(super) fn same_axes(rank: usize) -> Vec<usize> {
    (0..rank).collect()
}

impl Converter<'_, '_> {
    /// The value with TensorFlow's axes at `axes` of the net.
    pub(super) fn aligned(&mut self, map: &Map, axes: &[usize]) -> Result<Map, Reason> {
        let map = self.unflattened(map)?;
        if map.axes == axes {
            return Ok(map);
        }
        if map.axes.len() != axes.len() {
            let dims = self.dims(&map)?;
            return Err(format!("it needs a tensor of {} axes, but gets {dims:?}", axes.len()));
        }
        let mut moved = vec![0; axes.len()];
        for (&from, &to) in map.axes.iter().zip(axes) {
            moved[to] = from;
        }
        let name = self.fresh("transposed");
        let id = self.add(&name, Op::Transpose(Transpose { axes: moved }), &[map.id], &[])?;
        Ok(Map { id, axes: axes.to_vec(), flat: None })
    }

    /// Maps in the format of a layer.
    pub(super) fn maps(&mut self, map: &Map, format: Format) -> Result<Map, Reason> {
        self.aligned(map, &format.axes())
    }

    /// TensorFlow's last axis as the net's channels.
    pub(super) fn with_channels_last(&mut self, map: &Map) -> Result<Map, Reason> {
        match map.axes.last() {
            Some(1) => Ok(map.clone()),
            _ if map.axes.len() == 4 => self.maps(map, Format::Nhwc),
            _ => Ok(map.clone()),
        }
    }

    /// Flattened maps in TensorFlow's order.
    pub(super) fn unflattened(&mut self, map: &Map) -> Result<Map, Reason> {
        let Some([channels, height, width]) = map.flat else { return Ok(map.clone()) };
        let name = self.fresh("maps");
        let op = Reshape { dims: vec![Dim::Of(channels), Dim::Of(height), Dim::Of(width)] };
        let maps = self.add(&name, Op::Reshape(op), &[map.id], &[])?;
        let name = self.fresh("transposed");
        let transposed = self.add(&name, Op::Transpose(Transpose { axes: vec![0, 2, 3, 1] }), &[maps], &[])?;
        let name = self.fresh("flat");
        let id = self.add(&name, Op::Reshape(Reshape::flatten()), &[transposed], &[])?;
        Ok(Map { id, axes: same_axes(2), flat: None })
    }

    /// The value as a node of its own.
    pub(super) fn copy(&mut self, map: &Map) -> Result<Map, Reason> {
        let rank = self.net_dims(map)?.len();
        let op = Op::Reshape(Reshape { dims: vec![Dim::Same; rank.saturating_sub(1)] });
        let id = self.add_here(op, &[map.id], &[])?;
        Ok(Map { id, ..map.clone() })
    }

    /// Whether the net's order of elements is TensorFlow's.
    pub(super) fn is_in_order(&self, map: &Map) -> Result<bool, Reason> {
        if map.flat.is_some() {
            return Ok(false);
        }
        if in_place(&map.axes) {
            return Ok(true);
        }
        let dims = self.net_dims(map)?;
        let long: Vec<usize> =
            map.axes.iter().copied().filter(|&axis| axis == 0 || dims.get(axis).is_some_and(|&dim| dim > 1)).collect();
        Ok(long.is_sorted())
    }
}

//! Convolutions with gaps, as TensorFlow wrote them for long: every `block`-th pixel becomes a picture of a larger batch,
//! a plain convolution runs over that, and the pixels are put together again.

use super::layout::Format;
use super::reshape::constant;
use super::{Converter, Map, Reason, Value};
use crate::nn::ops::pad::{Pad, PadMode};
use crate::nn::ops::slice::Slice;
use crate::nn::ops::window::{Padding, Window};
use crate::nn::ops::{MapAxis, Op};

/// The window on whole maps of a convolution that runs over cut ones.
pub(super) fn spaced_window(window: Window, block: Option<[usize; 2]>) -> Result<Window, Reason> {
    let Some(block) = block else { return Ok(window) };
    if window.stride != [1, 1] || window.dilation != [1, 1] || window.padding != Padding::NONE {
        return Err("over pictures cut into a batch only convolutions without stride and padding are supported".into());
    }
    Ok(Window { dilation: block, ..window })
}

fn small(values: Vec<i64>) -> Result<Vec<usize>, Reason> {
    let number = |value: &i64| usize::try_from(*value).ok().filter(|&value| value < super::MAX_AXIS);
    let numbers: Option<Vec<usize>> = values.iter().map(number).collect();
    numbers.ok_or_else(|| format!("{values:?} are not numbers of pixels"))
}

/// The block, and `[[top, bottom], [left, right]]`.
fn block_and_sides(inputs: &[Value]) -> Result<([usize; 2], [[usize; 2]; 2]), Reason> {
    let block = small(constant(inputs, 1)?.as_ints()?)?;
    let sides = small(constant(inputs, 2)?.as_ints()?)?;
    match (block.as_slice(), sides.as_slice()) {
        (&[rows, columns], &[top, bottom, left, right]) if rows.min(columns) > 0 => {
            Ok(([rows, columns], [[top, bottom], [left, right]]))
        }
        _ => Err("only maps can be cut into a batch, by height and width".into()),
    }
}

impl Converter<'_, '_> {
    pub(super) fn space_to_batch(&mut self, inputs: &[Value]) -> Result<Value, Reason> {
        let (block, [[top, bottom], [left, right]]) = block_and_sides(inputs)?;
        let map = self.map_at(inputs, 0)?;
        let map = self.maps(&map, Format::Nhwc)?;
        if [top, bottom, left, right] == [0; 4] {
            return Ok(Value::Spaced { map, block });
        }
        let pad = Pad { top, left, bottom, right, mode: PadMode::Constant(0.0) };
        let id = self.add_here(Op::Pad(pad), &[map.id], &[])?;
        Ok(Value::Spaced { map: Map { id, ..map }, block })
    }

    pub(super) fn batch_to_space(&mut self, inputs: &[Value]) -> Result<Value, Reason> {
        let (own, sides) = block_and_sides(inputs)?;
        let Some(Value::Spaced { map, block }) = inputs.first() else {
            return Err("it puts together pictures that were not cut into a batch".into());
        };
        if own != *block {
            return Err(format!("it puts together blocks of {own:?} that were cut as {block:?}"));
        }
        let dims = self.net_dims(map)?;
        let mut map = map.clone();
        for (axis, place, [before, after]) in [(MapAxis::Height, 2, sides[0]), (MapAxis::Width, 3, sides[1])] {
            if [before, after] == [0, 0] {
                continue;
            }
            let length = dims.get(place).copied().unwrap_or_default();
            let end = length.checked_sub(after).ok_or("it crops more than there is")?;
            map.id = self.add_here(Op::Slice(Slice { axis, start: before, end }), &[map.id], &[])?;
        }
        Ok(Value::Map(map))
    }

    /// The maps that a convolution gets, and the block by which they are cut.
    pub(super) fn maybe_spaced(
        &mut self,
        inputs: &[Value],
        format: Format,
    ) -> Result<(Map, Option<[usize; 2]>), Reason> {
        if let Some(Value::Spaced { map, block }) = inputs.first() {
            return if format == Format::Nhwc {
                Ok((map.clone(), Some(*block)))
            } else {
                Err("pictures cut into a batch are supported channels last only".into())
            };
        }
        let map = self.map_at(inputs, 0)?;
        Ok((self.maps(&map, format)?, None))
    }

    pub(super) fn maybe_spaced_conv(
        &mut self,
        op: Op,
        map: Map,
        weight: String,
        block: Option<[usize; 2]>,
    ) -> Result<Value, Reason> {
        let Some(block) = block else { return self.lazy(op, vec![map.id], vec![weight], map.axes) };
        let id = self.add_here(op, &[map.id], &[weight])?;
        Ok(Value::Spaced { map: Map { id, ..map }, block })
    }
}

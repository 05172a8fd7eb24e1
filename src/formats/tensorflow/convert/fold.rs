//! What depends on constants only, computed at once.

use super::cut::Masks;
use super::layout::same_axes;
use super::reshape::{axis_of, constant, split_sizes, target_dims};
use super::{Converter, Reason, Value};
use crate::formats::tensorflow::graph::Node;
use crate::formats::tensorflow::proto::DataType;
use crate::formats::tensorflow::select::is_placeholder;
use crate::formats::tensorflow::tensor::{Elements, MAX_RANK, Tensor, count, for_each_place, strides};

/// The operations that [`Converter::pair`] computes.
const PAIRS: [&str; 17] = [
    "Add",
    "AddV2",
    "BiasAdd",
    "Sub",
    "Mul",
    "RealDiv",
    "Div",
    "FloorDiv",
    "FloorMod",
    "Maximum",
    "Minimum",
    "Pow",
    "SquaredDifference",
    "Greater",
    "GreaterEqual",
    "Less",
    "LogicalAnd",
];

impl Converter<'_, '_> {
    /// The values of a node that no picture flows into; `None` if one does.
    pub(super) fn folded(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Option<Vec<Value>>, Reason> {
        let one = |value| Ok(Some(vec![value]));
        if is_placeholder(node.op) && inputs.is_empty() {
            return one(self.second_placeholder(node)?);
        }
        match (node.op, inputs) {
            ("Const", _) => return one(self.decoded(node)?),
            ("RandomUniform", _) => return one(Value::Random { low: 0.0, high: 1.0 }),
            ("Fill", [Value::Const(_), Value::Random { .. }]) => return one(inputs[1].clone()),
            (_, [Value::Random { low, high }, ..] | [_, Value::Random { low, high }]) => {
                return one(self.of_random(node, inputs, [*low, *high])?);
            }
            (_, [Value::Text, ..]) => return one(Value::Text),
            _ => {}
        }
        let constants: Option<Vec<&Tensor>> =
            inputs.iter().map(|value| if let Value::Const(tensor) = value { Some(tensor) } else { None }).collect();
        let Some(constants) = constants.filter(|constants| !constants.is_empty()) else { return Ok(None) };
        let values = self.computed(node, inputs, &constants)?;
        if values.iter().any(|value| value.dims.len() > MAX_RANK) {
            return Err(format!("constants of more than {MAX_RANK} axes are not supported"));
        }
        Ok(Some(values.into_iter().map(Value::Const).collect()))
    }

    fn computed(&mut self, node: &Node<'_>, inputs: &[Value], constants: &[&Tensor]) -> Result<Vec<Tensor>, Reason> {
        let (Some(&first), second) = (constants.first(), constants.get(1).copied()) else {
            return Err("it has no input".into());
        };
        let value = match (node.op, second) {
            (
                "Identity"
                | "StopGradient"
                | "CheckNumerics"
                | "PlaceholderWithDefault"
                | "Snapshot"
                | "Enter"
                | "Exit",
                _,
            ) => first.clone(),
            ("Cast", _) => self.cast(node, first)?,
            (op, Some(second)) if PAIRS.contains(&op) => self.pair(op, first, second)?,
            (
                "Neg" | "Rsqrt" | "Sqrt" | "Square" | "Exp" | "Log" | "Reciprocal" | "Inv" | "Abs" | "Floor" | "Relu"
                | "LogicalNot" | "ZerosLike" | "OnesLike",
                _,
            ) => self.single(node.op, first)?,
            ("Shape", _) => Tensor::ints(first.dims.iter().map(|&dim| i64::try_from(dim).unwrap_or(i64::MAX))),
            ("Size", _) => Tensor::int(i64::try_from(first.len()).unwrap_or(i64::MAX)),
            ("Rank", _) => Tensor::int(i64::try_from(first.dims.len()).unwrap_or(i64::MAX)),
            ("Reshape", Some(shape)) => first.with_dims(target_dims(&shape.as_ints()?, first.len())?),
            ("Squeeze", _) => squeezed(node, first)?,
            ("ExpandDims", Some(axis)) => {
                let mut dims = first.dims.clone();
                dims.insert(axis_of(axis.as_int().ok_or("its axis is not one number")?, dims.len() + 1)?, 1);
                first.with_dims(dims)
            }
            ("Transpose", Some(order)) => {
                let rank = first.dims.len();
                let order =
                    order.as_ints()?.into_iter().map(|axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?;
                first.permuted(&order, &mut self.budget)?
            }
            ("Pack", _) => self.pack(node, constants)?,
            ("Concat", _) => self.join(Some(first), &constants[1..])?,
            ("ConcatV2", _) => match constants.split_last() {
                Some((axis, values)) => self.join(Some(axis), values)?,
                None => return Err("it joins nothing".into()),
            },
            ("Fill", Some(value)) => {
                let dims = target_dims_of_fill(first)?;
                self.filled(dims, value)?
            }
            ("Range", Some(_)) => self.range(constants)?,
            ("StridedSlice", _) => self.cut(node, inputs, first)?,
            ("Slice", _) => self.slice_of(inputs, first)?,
            ("GatherV2" | "Gather", Some(indices)) => self.gather(first, indices)?,
            ("Prod" | "Sum" | "Mean" | "Max" | "All", Some(axes)) => self.reduced(node, first, axes)?,
            ("Split" | "SplitV" | "Unpack", _) => return self.parts(node, inputs),
            ("Dequantize", _) => self.dequantized(node, constants)?,
            (other, _) => return Err(super::unsupported(other)),
        };
        Ok(vec![value])
    }

    fn cast(&mut self, node: &Node<'_>, value: &Tensor) -> Result<Tensor, Reason> {
        let to = node.data_type("DstT")?.unwrap_or(DataType::Float);
        match (to.is_floating() || to == DataType::Other, value.is_int()) {
            (true, false) | (false, true) => Ok(value.clone()),
            (true, true) => self.mapped(value, |v| v),
            (false, false) => {
                self.budget.charge(value.len())?;
                let ints = (0..value.len()).map(|i| value.at(i) as i64).collect();
                Ok(Tensor { dims: value.dims.clone(), elements: Elements::Int(ints) })
            }
        }
    }

    fn mapped(&mut self, value: &Tensor, f: impl Fn(f64) -> f64) -> Result<Tensor, Reason> {
        self.budget.charge(value.len())?;
        Ok(Tensor::computed(value.dims.clone(), (0..value.len()).map(|i| f(value.at(i))).collect()))
    }

    fn single(&mut self, op: &str, value: &Tensor) -> Result<Tensor, Reason> {
        if value.is_int() && !matches!(op, "Sqrt" | "Rsqrt" | "Exp" | "Log" | "Reciprocal" | "Inv") {
            self.budget.charge(value.len())?;
            let ints = value.as_ints()?;
            let f = |v: i64| match op {
                "Neg" => v.checked_neg(),
                "Square" => v.checked_mul(v),
                "Abs" => v.checked_abs(),
                "Relu" => Some(v.max(0)),
                "LogicalNot" => Some(i64::from(v == 0)),
                "ZerosLike" => Some(0),
                "OnesLike" => Some(1),
                _ => Some(v),
            };
            let ints: Option<Vec<i64>> = ints.into_iter().map(f).collect();
            let elements = Elements::Int(ints.ok_or("its numbers are too large")?.into());
            return Ok(Tensor { dims: value.dims.clone(), elements });
        }
        let f: fn(f64) -> f64 = match op {
            "Neg" => |v| -v,
            "Rsqrt" => |v| 1.0 / v.sqrt(),
            "Sqrt" => f64::sqrt,
            "Square" => |v| v * v,
            "Exp" => f64::exp,
            "Log" => f64::ln,
            "Reciprocal" | "Inv" => |v| 1.0 / v,
            "Abs" => f64::abs,
            "Floor" => f64::floor,
            "Relu" => |v| v.max(0.0),
            "ZerosLike" => |_| 0.0,
            "OnesLike" => |_| 1.0,
            _ => return Err(super::unsupported(op)),
        };
        self.mapped(value, f)
    }

    /// Arithmetic of two constants, spread over each other.
    fn pair(&mut self, op: &str, a: &Tensor, b: &Tensor) -> Result<Tensor, Reason> {
        let rank = a.dims.len().max(b.dims.len());
        let along = |t: &Tensor, axis: usize| (axis + t.dims.len()).checked_sub(rank).map_or(1, |own| t.dims[own]);
        let mut dims = Vec::with_capacity(rank);
        for axis in 0..rank {
            let (x, y) = (along(a, axis), along(b, axis));
            if x != y && x != 1 && y != 1 {
                return Err(format!("constants of {:?} and {:?} cannot be combined", a.dims, b.dims));
            }
            dims.push(if x == 1 { y } else { x });
        }
        let len = count(&dims).ok_or("its constants are too large")?;
        self.budget.charge(len.saturating_mul(3))?;
        let places = |t: &Tensor| {
            let own = strides(&t.dims);
            let step = |axis: usize| match (axis + t.dims.len()).checked_sub(rank) {
                Some(at) if t.dims[at] > 1 => own[at],
                _ => 0,
            };
            let mut places = Vec::with_capacity(len);
            for_each_place(&dims, &(0..rank).map(step).collect::<Vec<_>>(), |place| places.push(place));
            places
        };
        let (of_a, of_b) = (places(a), places(b));
        if let (Elements::Int(x), Elements::Int(y)) = (&a.elements, &b.elements) {
            let get = |values: &[i64], place: usize| values.get(place).copied().unwrap_or_default();
            let ints: Result<Vec<i64>, Reason> =
                of_a.iter().zip(&of_b).map(|(&i, &j)| whole(op, get(x, i), get(y, j))).collect();
            return Ok(Tensor { dims, elements: Elements::Int(ints?.into()) });
        }
        let f = fraction(op)?;
        Ok(Tensor::computed(dims, of_a.iter().zip(&of_b).map(|(&i, &j)| f(a.at(i), b.at(j))).collect()))
    }

    fn filled(&mut self, dims: Vec<usize>, value: &Tensor) -> Result<Tensor, Reason> {
        let len = count(&dims).ok_or("its constants are too large")?;
        self.budget.charge(len)?;
        Ok(match value.as_int() {
            Some(value) => Tensor { dims, elements: Elements::Int(vec![value; len].into()) },
            None => Tensor::computed(dims, vec![value.single().ok_or("its value is not one number")?; len]),
        })
    }

    fn range(&mut self, constants: &[&Tensor]) -> Result<Tensor, Reason> {
        let ints: Option<Vec<i64>> = constants.iter().map(|c| c.as_int()).collect();
        let Some([start, limit, step]) = ints.as_deref().and_then(|ints| ints.first_chunk()) else {
            return Err("a range of numbers with fractions is not supported".into());
        };
        let len = match limit.checked_sub(*start).zip(usize::try_from(*step).ok().filter(|&step| step > 0)) {
            Some((span, step)) => usize::try_from(span.max(0)).unwrap_or(usize::MAX).div_ceil(step),
            None => return Err("a range that counts down is not supported".into()),
        };
        self.budget.charge(len)?;
        Ok(Tensor::ints((*start..*limit).step_by(usize::try_from(*step).unwrap_or(usize::MAX)).take(len)))
    }

    fn pack(&mut self, node: &Node<'_>, constants: &[&Tensor]) -> Result<Tensor, Reason> {
        let mut expanded = Vec::with_capacity(constants.len());
        let rank = constants.first().map_or(0, |c| c.dims.len()) + 1;
        let axis = node.int("axis", 0)?;
        let place = axis_of(axis, rank)?;
        for c in constants {
            let mut dims = c.dims.clone();
            if dims.len() + 1 != rank {
                return Err("it stacks constants of several shapes".into());
            }
            dims.insert(place, 1);
            expanded.push(c.with_dims(dims));
        }
        self.join(Some(&Tensor::int(axis)), &expanded.iter().collect::<Vec<_>>())
    }

    fn join(&mut self, axis: Option<&Tensor>, values: &[&Tensor]) -> Result<Tensor, Reason> {
        let first = values.first().ok_or("it joins nothing")?;
        let axis = axis.and_then(Tensor::as_int).ok_or("its axis is not one number")?;
        let axis = axis_of(axis, first.dims.len())?;
        let alike = |v: &Tensor| {
            v.dims.len() == first.dims.len() && (0..v.dims.len()).all(|i| i == axis || v.dims[i] == first.dims[i])
        };
        if !values.iter().all(|value| alike(value)) {
            return Err("it joins constants of shapes that do not fit".into());
        }
        let total =
            values.iter().try_fold(0usize, |sum, value| sum.checked_add(value.len())).ok_or("it is too large")?;
        self.budget.charge(total)?;
        let outer = count(&first.dims[..axis]).ok_or("it is too large")?;
        self.budget.charge(outer.saturating_mul(values.len()))?;
        let mut all = Vec::with_capacity(total);
        for row in 0..outer {
            for value in values {
                let len = value.len() / outer;
                all.extend((row * len..(row + 1) * len).map(|i| value.at(i)));
            }
        }
        let mut dims = first.dims.clone();
        dims[axis] = values.iter().map(|value| value.dims[axis]).sum();
        Ok(like(first, dims, all))
    }

    /// The elements at `indices` along each axis.
    fn taken(&mut self, value: &Tensor, indices: &[Vec<usize>]) -> Result<Tensor, Reason> {
        let dims: Vec<usize> = indices.iter().map(Vec::len).collect();
        let len = count(&dims).ok_or("its constants are too large")?;
        self.budget.charge(len)?;
        let own = strides(&value.dims);
        let mut all = Vec::with_capacity(len);
        let of = strides(&dims);
        for at in 0..len {
            let index = |axis: usize| indices[axis][at / of[axis] % dims[axis]];
            all.push(value.at((0..dims.len()).map(|axis| index(axis) * own[axis]).sum()));
        }
        Ok(like(value, dims, all))
    }

    fn cut(&mut self, node: &Node<'_>, inputs: &[Value], value: &Tensor) -> Result<Tensor, Reason> {
        let masks = Masks::of(node)?;
        let lists: Vec<Vec<i64>> = (1..4).map(|i| constant(inputs, i)?.as_ints()).collect::<Result<_, _>>()?;
        let [begin, end, step] = lists.as_slice() else { return Err("its bounds are missing".into()) };
        let rank = value.dims.len();
        if begin.len() > rank || begin.len() != end.len() || begin.len() != step.len() {
            return Err(format!("it cuts {} axes of {:?}", begin.len(), value.dims));
        }
        let mut indices = Vec::with_capacity(rank);
        for (axis, &length) in value.dims.iter().enumerate() {
            self.budget.charge(length)?;
            indices.push(match (begin.get(axis), end.get(axis), step.get(axis)) {
                (Some(&begin), Some(&end), Some(&step)) => masks.range(axis, [begin, end, step], length)?,
                _ => (0..length).collect(),
            });
        }
        let taken = self.taken(value, &indices)?;
        let stays = |axis: &usize| *axis >= 32 || masks.shrink >> axis & 1 == 0;
        let dims = same_axes(rank).into_iter().filter(stays).map(|axis| taken.dims[axis]).collect();
        Ok(taken.with_dims(dims))
    }

    fn slice_of(&mut self, inputs: &[Value], value: &Tensor) -> Result<Tensor, Reason> {
        let (begin, size) = (constant(inputs, 1)?.as_ints()?, constant(inputs, 2)?.as_ints()?);
        let mut indices = Vec::with_capacity(value.dims.len());
        for (axis, &length) in value.dims.iter().enumerate() {
            self.budget.charge(length)?;
            let (begin, size) = (begin.get(axis).copied().unwrap_or(0), size.get(axis).copied().unwrap_or(-1));
            let start = usize::try_from(begin).unwrap_or(usize::MAX);
            let end = usize::try_from(size).ok().map_or(Some(length), |size| start.checked_add(size));
            match end.filter(|&end| end <= length && start <= end) {
                Some(end) => indices.push((start..end).collect()),
                None => return Err(format!("it takes {size} of {length} from {begin} on")),
            }
        }
        self.taken(value, &indices)
    }

    /// Along the first axis.
    fn gather(&mut self, value: &Tensor, indices: &Tensor) -> Result<Tensor, Reason> {
        let wanted = indices.as_ints()?;
        let Some((&length, rest)) = value.dims.split_first() else {
            return Err("it takes elements of a number".into());
        };
        self.budget.charge(rest.iter().sum())?;
        let first: Result<Vec<usize>, Reason> = wanted.iter().map(|&index| axis_of(index, length)).collect();
        let all = rest.iter().map(|&dim| (0..dim).collect());
        let taken = self.taken(value, &[first?].into_iter().chain(all).collect::<Vec<_>>())?;
        let dims = indices.dims.iter().chain(rest).copied().collect();
        Ok(taken.with_dims(dims))
    }

    fn reduced(&mut self, node: &Node<'_>, value: &Tensor, axes: &Tensor) -> Result<Tensor, Reason> {
        let rank = value.dims.len();
        let axes: Vec<usize> = axes.as_ints()?.into_iter().map(|axis| axis_of(axis, rank)).collect::<Result<_, _>>()?;
        if (0..rank).any(|axis| !axes.contains(&axis)) {
            return Err("constants are reduced as a whole only".into());
        }
        self.budget.charge(value.len())?;
        let values = || (0..value.len()).map(|i| value.at(i));
        let result = match node.op {
            "Prod" => values().product(),
            "Sum" => values().sum(),
            "Mean" => values().sum::<f64>() / value.len() as f64,
            "All" => f64::from(u8::from(values().all(|v| v != 0.0))),
            _ => values().fold(f64::NEG_INFINITY, f64::max),
        };
        let dims = if node.flag("keep_dims", false)? { vec![1; rank] } else { Vec::new() };
        Ok(like(value, dims, vec![result]))
    }

    fn parts(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Vec<Tensor>, Reason> {
        const MOST_PARTS: usize = 64;
        let (value, axis) = match node.op {
            "Split" => (constant(inputs, 1)?, constant(inputs, 0)?.as_int().unwrap_or(i64::MAX)),
            "SplitV" => (constant(inputs, 0)?, constant(inputs, 2)?.as_int().unwrap_or(i64::MAX)),
            _ => (constant(inputs, 0)?, node.int("axis", 0)?),
        };
        let axis = axis_of(axis, value.dims.len())?;
        let whole = value.dims[axis];
        let number = |name| Ok::<_, Reason>(usize::try_from(node.int(name, 1)?).unwrap_or_default());
        let sizes = match node.op {
            "SplitV" => split_sizes(&constant(inputs, 1)?.as_ints()?, whole)?,
            _ => {
                let parts = if node.op == "Split" { number("num_split")? } else { whole };
                if !(1..=MOST_PARTS).contains(&parts) || !whole.is_multiple_of(parts) {
                    return Err(format!("{whole} cannot be split into {parts} parts"));
                }
                vec![whole / parts; parts]
            }
        };
        let mut start = 0;
        let mut parts = Vec::with_capacity(sizes.len());
        self.budget.charge(sizes.len().saturating_mul(value.dims.iter().sum()))?;
        for size in sizes {
            let along = |(i, &dim): (usize, &usize)| {
                if i == axis { (start..start + size).collect() } else { (0..dim).collect() }
            };
            let indices: Vec<Vec<usize>> = value.dims.iter().enumerate().map(along).collect();
            let mut part = self.taken(value, &indices)?;
            if node.op == "Unpack" {
                part.dims.remove(axis);
            }
            parts.push(part);
            start += size;
        }
        Ok(parts)
    }

    /// Weights stored as bytes between a minimum and a maximum (the mode `MIN_COMBINED`).
    fn dequantized(&mut self, node: &Node<'_>, constants: &[&Tensor]) -> Result<Tensor, Reason> {
        let &[value, low, high] = constants else { return Err("it needs a minimum and a maximum".into()) };
        let mode = node.text("mode")?;
        let (Some(low), Some(high)) = (low.single(), high.single()) else {
            return Err("weights with a range for each channel are not supported".into());
        };
        if !(mode.is_empty() || mode == "MIN_COMBINED") || node.data_type("T")? != Some(DataType::Quint8) {
            return Err(
                "weights quantized otherwise than as `quint8` in the mode `MIN_COMBINED` are not supported".into()
            );
        }
        self.mapped(value, |v| low + v * (high - low) / 255.0)
    }
}

/// A constant of the sort of another one.
fn like(value: &Tensor, dims: Vec<usize>, all: Vec<f64>) -> Tensor {
    if value.is_int() {
        Tensor { dims, elements: Elements::Int(all.into_iter().map(|v| v as i64).collect()) }
    } else {
        Tensor::computed(dims, all)
    }
}

fn target_dims_of_fill(shape: &Tensor) -> Result<Vec<usize>, Reason> {
    let dims: Option<Vec<usize>> = shape.as_ints()?.into_iter().map(|dim| usize::try_from(dim).ok()).collect();
    dims.filter(|dims| dims.len() <= MAX_RANK).ok_or_else(|| "it fills a shape that no tensor has".into())
}

fn squeezed(node: &Node<'_>, value: &Tensor) -> Result<Tensor, Reason> {
    let rank = value.dims.len();
    let axes: Vec<usize> =
        node.ints("squeeze_dims")?.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<_, _>>()?;
    let goes = |axis: usize| value.dims[axis] == 1 && (axes.is_empty() || axes.contains(&axis));
    Ok(value.with_dims((0..rank).filter(|&axis| !goes(axis)).map(|axis| value.dims[axis]).collect()))
}

/// Arithmetic of whole numbers.
fn whole(op: &str, a: i64, b: i64) -> Result<i64, Reason> {
    let result = match op {
        "Add" | "AddV2" | "BiasAdd" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        "Mul" => a.checked_mul(b),
        "Div" => a.checked_div(b),
        "FloorDiv" => a.checked_div_euclid(b).filter(|_| b > 0),
        "FloorMod" => a.checked_rem_euclid(b).filter(|_| b > 0),
        "Maximum" => Some(a.max(b)),
        "Minimum" => Some(a.min(b)),
        "Greater" => Some(i64::from(a > b)),
        "GreaterEqual" => Some(i64::from(a >= b)),
        "Less" => Some(i64::from(a < b)),
        "LogicalAnd" => Some(i64::from(a != 0 && b != 0)),
        _ => return Err(super::unsupported(op)),
    };
    result.ok_or_else(|| format!("{a} and {b} have no result that a whole number can hold"))
}

fn fraction(op: &str) -> Result<fn(f64, f64) -> f64, Reason> {
    Ok(match op {
        "Add" | "AddV2" | "BiasAdd" => |a, b| a + b,
        "Sub" => |a, b| a - b,
        "Mul" => |a, b| a * b,
        "RealDiv" | "Div" => |a, b| a / b,
        "Maximum" => f64::max,
        "Minimum" => f64::min,
        "Pow" => f64::powf,
        "SquaredDifference" => |a, b| (a - b) * (a - b),
        _ => return Err(super::unsupported(op)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_do_not_overflow() {
        assert_eq!((whole("Add", 2, 3), whole("FloorDiv", -7, 2), whole("FloorMod", -7, 2)), (Ok(5), Ok(-4), Ok(1)));
        assert_eq!((whole("Div", 7, 2), whole("Less", 1, 2), whole("LogicalAnd", 1, 0)), (Ok(3), Ok(1), Ok(0)));
        for (op, a, b) in [("Add", i64::MAX, 1), ("Mul", i64::MAX, 2), ("Div", i64::MIN, -1), ("FloorMod", 1, 0)] {
            assert!(whole(op, a, b).is_err(), "{op}");
        }
        assert!(whole("Einsum", 1, 1).is_err() && fraction("Einsum").is_err());
    }
}

//! Nodes all of whose inputs are known while reading: arithmetic of shapes and of weights.

use std::rc::Rc;
use std::sync::Arc;

use super::super::ImportError;
use super::call::Call;
use super::constant::{Constant, Data, product};
use super::importer::Importer;
use super::ops::{quantized, reduce, shape};
use super::proto::data_type;
use super::value::Value;

/// The outputs, or `None` where the operator is not one that is computed while reading.
pub fn fold(importer: &mut Importer, call: &Call) -> Result<Option<Vec<Value>>, ImportError> {
    let op = call.node.op_type();
    if !call.node.operator_set().is_empty() && !matches!(op, "DequantizeLinear" | "QuantizeLinear") {
        return Ok(None);
    }
    let known: usize = call.inputs.iter().map(|value| if let Value::Constant(c) = value { c.len() } else { 0 }).sum();
    importer.charge(call, known)?;
    let output = match op {
        "Constant" => constant(importer, call)?,
        "ConstantOfShape" => constant_of_shape(importer, call)?,
        "Identity" | "Dropout" | "CastLike" => (**call.constant(0)?).clone(),
        "Cast" => cast(call)?,
        "Shape" => Constant::ints(call.constant(0)?.dims.iter().map(|&dim| signed(dim)).collect()),
        "Size" => Constant { dims: Vec::new(), data: Data::Int([signed(call.constant(0)?.len())].into()) },
        "Neg" | "Abs" | "Floor" | "Ceil" | "Round" | "Sqrt" | "Exp" | "Log" | "Reciprocal" | "Not" => unary(call, op)?,
        "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Pow" | "Max" | "Min" | "Equal" | "Greater" | "Less"
        | "GreaterOrEqual" | "LessOrEqual" | "And" | "Or" => binary(importer, call, op)?,
        "Where" => select(importer, call)?,
        "Range" => range(importer, call)?,
        "Gather" => gather(importer, call)?,
        "Concat" => concat(importer, call)?,
        "Slice" => slice(importer, call)?,
        "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten" => reshape(call, op)?,
        "Transpose" => transpose(call)?,
        "Expand" => expand(importer, call)?,
        "ReduceProd" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceMean" => reduce::fold(call, op)?,
        "Split" => return split(call).map(Some),
        "DequantizeLinear" => quantized::dequantize_constant(call)?,
        "QuantizeLinear" => quantized::quantize_constant(importer, call)?,
        _ => return Ok(None),
    };
    Ok(Some(vec![output.into()]))
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn mismatch(call: &Call) -> ImportError {
    call.error("the dimensions of its inputs do not fit together")
}

fn constant(importer: &mut Importer, call: &Call) -> Result<Constant, ImportError> {
    if let Some(tensor) = call.attribute("value").and_then(|attribute| attribute.t.as_deref()) {
        return importer.decode(tensor);
    }
    let vector = |data: Data| Constant { dims: vec![data.len()], data };
    Ok(if let Some(attribute) = call.attribute("value_float") {
        Constant::scalar(attribute.f.unwrap_or_default())
    } else if let Some(attribute) = call.attribute("value_int") {
        Constant { dims: Vec::new(), data: Data::Int([attribute.i.unwrap_or_default()].into()) }
    } else if let Some(attribute) = call.attribute("value_floats") {
        vector(Data::Float(attribute.floats.as_slice().into()))
    } else if let Some(attribute) = call.attribute("value_ints") {
        vector(Data::Int(attribute.ints.as_slice().into()))
    } else {
        return Err(call.unsupported("a constant that is no array of numbers"));
    })
}

/// Dimensions given as integers.
fn dims_of(call: &Call, place: usize) -> Result<Vec<usize>, ImportError> {
    let wrong = || call.error(format!("input {place} should be dimensions"));
    let ints = call.constant(place)?.as_ints().ok_or_else(wrong)?;
    ints.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<Vec<usize>>>().ok_or_else(wrong)
}

/// The number of values, taken from what may be computed.
fn charged(importer: &mut Importer, call: &Call, dims: &[usize]) -> Result<usize, ImportError> {
    let count = product(dims).ok_or_else(|| call.error("its output would be too large for any machine"))?;
    importer.charge(call, count)?;
    Ok(count)
}

fn constant_of_shape(importer: &mut Importer, call: &Call) -> Result<Constant, ImportError> {
    let dims = dims_of(call, 0)?;
    let count = charged(importer, call, &dims)?;
    let data = match call.attribute("value").and_then(|attribute| attribute.t.as_deref()) {
        None => Data::Float(vec![0.0; count].into()),
        Some(tensor) => match importer.decode(tensor)?.data {
            Data::Float(values) => Data::Float(vec![values.first().copied().unwrap_or(0.0); count].into()),
            Data::Int(values) => Data::Int(vec![values.first().copied().unwrap_or(0); count].into()),
        },
    };
    Constant::new(dims, data).ok_or_else(|| mismatch(call))
}

fn cast(call: &Call) -> Result<Constant, ImportError> {
    let constant = call.constant(0)?;
    let to = i32::try_from(call.int("to", data_type::FLOAT.into())).unwrap_or_default();
    // Operator sets of before 6 have the type's name.
    let named = call.text("to");
    let is_float = match named.as_deref() {
        Some(name) => matches!(name, "FLOAT" | "DOUBLE" | "FLOAT16"),
        None => matches!(to, data_type::FLOAT | data_type::DOUBLE | data_type::FLOAT16 | data_type::BFLOAT16),
    };
    let is_bool = to == data_type::BOOL || named.as_deref() == Some("BOOL");
    let data = match &constant.data {
        _ if is_float => Data::Float(constant.floats()),
        Data::Float(values) if is_bool => Data::Int(values.iter().map(|&value| i64::from(value != 0.0)).collect()),
        Data::Int(values) if is_bool => Data::Int(values.iter().map(|&value| i64::from(value != 0)).collect()),
        // A float beyond the integers becomes the last of them.
        Data::Float(values) => Data::Int(values.iter().map(|&value| value as i64).collect()),
        Data::Int(values) => Data::Int(values.clone()),
    };
    Ok(Constant { dims: constant.dims.clone(), data })
}

fn unary(call: &Call, op: &str) -> Result<Constant, ImportError> {
    let constant = call.constant(0)?;
    let data = match &constant.data {
        Data::Int(values) => Data::Int(
            (values.iter())
                .map(|&value| match op {
                    "Neg" => value.saturating_neg(),
                    "Abs" => value.saturating_abs(),
                    "Not" => i64::from(value == 0),
                    _ => value,
                })
                .collect(),
        ),
        Data::Float(values) => {
            let function: fn(f32) -> f32 = match op {
                "Neg" => |value| -value,
                "Abs" => f32::abs,
                "Floor" => f32::floor,
                "Ceil" => f32::ceil,
                "Round" => f32::round_ties_even,
                "Sqrt" => f32::sqrt,
                "Exp" => f32::exp,
                "Log" => f32::ln,
                "Reciprocal" => f32::recip,
                _ => return Err(call.unsupported("a constant that is no truth value")),
            };
            Data::Float(values.iter().map(|&value| function(value)).collect())
        }
    };
    Ok(Constant { dims: constant.dims.clone(), data })
}

/// The dimensions that arrays have when spread to each other's.
fn common_dims(call: &Call, all: &[&Constant]) -> Result<Vec<usize>, ImportError> {
    let rank = all.iter().map(|constant| constant.dims.len()).max().unwrap_or(0);
    let mut dims = vec![1; rank];
    for constant in all {
        let missing = rank - constant.dims.len();
        for (to, &from) in dims[missing..].iter_mut().zip(&constant.dims) {
            match (*to, from) {
                (to, from) if to == from => {}
                (1, from) => *to = from,
                (_, 1) => {}
                _ => return Err(mismatch(call)),
            }
        }
    }
    Ok(dims)
}

/// The second operand of an arithmetic node, with the dimensions that the first operator sets give it by `axis`.
pub fn second_operand(call: &Call, constant: &Rc<Constant>, first_rank: usize) -> Result<Rc<Constant>, ImportError> {
    let trailing = trailing_axes(call, constant.dims.len(), first_rank)?;
    if trailing == 0 {
        return Ok(constant.clone());
    }
    let mut dims = constant.dims.clone();
    dims.extend(std::iter::repeat_n(1, trailing));
    constant.reshaped(dims).map(Rc::new).ok_or_else(|| mismatch(call))
}

/// How many axes of length 1 follow those of the second operand where `axis` says at which it starts.
pub fn trailing_axes(call: &Call, rank: usize, first_rank: usize) -> Result<usize, ImportError> {
    if call.opset >= 7 || !call.flag("broadcast", false) || call.attribute("axis").is_none() {
        return Ok(0);
    }
    let start = call.axis(call.int("axis", 0), first_rank)?;
    first_rank.checked_sub(start).and_then(|rest| rest.checked_sub(rank)).ok_or_else(|| mismatch(call))
}

fn binary(importer: &mut Importer, call: &Call, op: &str) -> Result<Constant, ImportError> {
    let (a, b) = (call.constant(0)?, call.constant(1)?);
    let b = second_operand(call, b, a.dims.len())?;
    let dims = common_dims(call, &[a, &b])?;
    charged(importer, call, &dims)?;
    let spread = |constant: &Constant| constant.broadcast(&dims).ok_or_else(|| mismatch(call));
    let (a, b) = (spread(a)?, spread(&b)?);
    let compare = |ordering: Option<std::cmp::Ordering>| match (op, ordering) {
        ("Equal", Some(ordering)) => ordering.is_eq(),
        ("Greater", Some(ordering)) => ordering.is_gt(),
        ("Less", Some(ordering)) => ordering.is_lt(),
        ("GreaterOrEqual", Some(ordering)) => ordering.is_ge(),
        ("LessOrEqual", Some(ordering)) => ordering.is_le(),
        _ => false,
    };
    let compares = matches!(op, "Equal" | "Greater" | "Less" | "GreaterOrEqual" | "LessOrEqual");
    let data = match (&a.data, &b.data) {
        (Data::Int(a), Data::Int(b)) if compares => {
            Data::Int(a.iter().zip(&**b).map(|(a, b)| compare(Some(a.cmp(b))).into()).collect())
        }
        (Data::Int(a), Data::Int(b)) => {
            let values: Option<Vec<i64>> = a.iter().zip(&**b).map(|(&a, &b)| integers(op, a, b)).collect();
            Data::Int(values.ok_or_else(|| call.error("its integers overflow or are divided by nought"))?.into())
        }
        _ => {
            let (a, b) = (a.floats(), b.floats());
            if compares {
                Data::Int(a.iter().zip(&*b).map(|(a, b)| compare(a.partial_cmp(b)).into()).collect())
            } else {
                let function = floats(op).ok_or_else(|| call.unsupported("a constant of floats"))?;
                Data::Float(a.iter().zip(&*b).map(|(&a, &b)| function(a, b)).collect())
            }
        }
    };
    Constant::new(dims, data).ok_or_else(|| mismatch(call))
}

fn integers(op: &str, a: i64, b: i64) -> Option<i64> {
    match op {
        "Add" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        "Mul" => a.checked_mul(b),
        "Div" => a.checked_div(b),
        // The sign is the divisor's, as Python's.
        "Mod" => a.checked_rem(b)?.checked_add(b)?.checked_rem(b),
        "Pow" => a.checked_pow(u32::try_from(b).ok()?),
        "Max" => Some(a.max(b)),
        "Min" => Some(a.min(b)),
        "And" => Some((a != 0 && b != 0).into()),
        "Or" => Some((a != 0 || b != 0).into()),
        _ => None,
    }
}

fn floats(op: &str) -> Option<fn(f32, f32) -> f32> {
    Some(match op {
        "Add" => |a, b| a + b,
        "Sub" => |a, b| a - b,
        "Mul" => |a, b| a * b,
        "Div" => |a, b| a / b,
        "Pow" => f32::powf,
        "Max" => f32::max,
        "Min" => f32::min,
        _ => return None,
    })
}

fn select(importer: &mut Importer, call: &Call) -> Result<Constant, ImportError> {
    let all = [call.constant(0)?, call.constant(1)?, call.constant(2)?];
    let dims = common_dims(call, &all.map(|constant| &**constant))?;
    charged(importer, call, &dims)?;
    let spread = |constant: &Constant| constant.broadcast(&dims).ok_or_else(|| mismatch(call));
    let [condition, yes, no] = [spread(all[0])?, spread(all[1])?, spread(all[2])?];
    let condition = condition.floats();
    fn chosen<T: Copy>(condition: &[f32], yes: &[T], no: &[T]) -> Arc<[T]> {
        let pairs = yes.iter().zip(no).zip(condition);
        pairs.map(|((&yes, &no), &condition)| if condition != 0.0 { yes } else { no }).collect()
    }
    let data = match (&yes.data, &no.data) {
        (Data::Int(yes), Data::Int(no)) => Data::Int(chosen(&condition, yes, no)),
        _ => Data::Float(chosen(&condition, &yes.floats(), &no.floats())),
    };
    Constant::new(dims, data).ok_or_else(|| mismatch(call))
}

fn range(importer: &mut Importer, call: &Call) -> Result<Constant, ImportError> {
    let value = |place: usize| -> Result<i64, ImportError> {
        let value = call.constant(place)?.single_int();
        value.ok_or_else(|| call.unsupported("a range of other than integers"))
    };
    let (start, limit, delta) = (value(0)?, value(1)?, value(2)?);
    let wrong = || call.error("the range has no end");
    let span = limit.checked_sub(start).ok_or_else(wrong)?;
    let steps = match delta {
        0 => return Err(wrong()),
        delta if (span > 0) == (delta > 0) => span.unsigned_abs().div_ceil(delta.unsigned_abs()),
        _ => 0,
    };
    let count = usize::try_from(steps).map_err(|_| wrong())?;
    importer.charge(call, count)?;
    let mut values = Vec::with_capacity(count);
    let mut value = start;
    for _ in 0..count {
        values.push(value);
        value = value.saturating_add(delta);
    }
    Ok(Constant::ints(values))
}

/// The places along an axis of `length` that indices mean; negative ones count from the end.
pub fn indices(call: &Call, constant: &Constant, length: usize) -> Result<Vec<usize>, ImportError> {
    let wrong = || call.error("an index is outside of its axis");
    let ints = constant.as_ints().ok_or_else(|| call.error("its indices should be integers"))?;
    ints.iter().map(|&index| call.axis(index, length).map_err(|_| wrong())).collect()
}

fn gather(importer: &mut Importer, call: &Call) -> Result<Constant, ImportError> {
    let (from, index) = (call.constant(0)?, call.constant(1)?);
    let axis = call.axis(call.int("axis", 0), from.dims.len())?;
    let places = indices(call, index, from.dims[axis])?;
    let mut dims = from.dims[..axis].to_vec();
    dims.extend(&index.dims);
    dims.extend(&from.dims[axis + 1..]);
    charged(importer, call, &dims)?;
    taken(call, from, axis, &places, dims)
}

/// The slabs of an array at places along an axis.
fn taken(
    call: &Call,
    from: &Constant,
    axis: usize,
    places: &[usize],
    dims: Vec<usize>,
) -> Result<Constant, ImportError> {
    let outer = product(&from.dims[..axis]).unwrap_or(0);
    let inner = product(&from.dims[axis + 1..]).unwrap_or(0);
    let mut all = Vec::new();
    for o in 0..outer {
        for place in places {
            let start = (o * from.dims[axis] + place) * inner;
            all.extend(start..start + inner);
        }
    }
    let data = from.data.pick(&all).ok_or_else(|| mismatch(call))?;
    Constant::new(dims, data).ok_or_else(|| mismatch(call))
}

fn concat(importer: &mut Importer, call: &Call) -> Result<Constant, ImportError> {
    let all: Vec<&Rc<Constant>> = (0..call.inputs.len()).map(|i| call.constant(i)).collect::<Result<_, _>>()?;
    let first = all.first().ok_or_else(|| mismatch(call))?;
    let axis = call.axis(call.int("axis", 1), first.dims.len())?;
    let mut dims = first.dims.clone();
    dims[axis] = 0;
    for constant in &all {
        let alike = |i: usize| i == axis || constant.dims[i] == first.dims[i];
        if constant.dims.len() != dims.len() || !(0..dims.len()).all(alike) {
            return Err(mismatch(call));
        }
        dims[axis] = dims[axis].saturating_add(constant.dims[axis]);
    }
    charged(importer, call, &dims)?;
    let outer = product(&dims[..axis]).unwrap_or(0);
    let slabs = |constant: &Constant| constant.len() / outer.max(1);
    let data = if all.iter().all(|constant| matches!(constant.data, Data::Int(_))) {
        let mut values = Vec::new();
        for o in 0..outer {
            for constant in &all {
                let slab = slabs(constant);
                values.extend(&constant.as_ints().unwrap_or_default()[o * slab..(o + 1) * slab]);
            }
        }
        Data::Int(values.into())
    } else {
        let floats: Vec<Arc<[f32]>> = all.iter().map(|constant| constant.floats()).collect();
        let mut values = Vec::new();
        for o in 0..outer {
            for (floats, constant) in floats.iter().zip(&all) {
                let slab = slabs(constant);
                values.extend(&floats[o * slab..(o + 1) * slab]);
            }
        }
        Data::Float(values.into())
    };
    Constant::new(dims, data).ok_or_else(|| mismatch(call))
}

fn slice(importer: &mut Importer, call: &Call) -> Result<Constant, ImportError> {
    let mut result = (**call.constant(0)?).clone();
    for cut in shape::cuts(call, &result.dims.clone())? {
        let mut dims = result.dims.clone();
        let places = cut.places();
        dims[cut.axis] = places.len();
        charged(importer, call, &dims)?;
        result = taken(call, &result, cut.axis, &places, dims)?;
    }
    Ok(result)
}

fn reshape(call: &Call, op: &str) -> Result<Constant, ImportError> {
    let constant = call.constant(0)?;
    let dims = match op {
        "Squeeze" => {
            let squeezed = shape::squeezed_axes(call, &constant.dims)?;
            (0..constant.dims.len()).filter(|axis| !squeezed.contains(axis)).map(|axis| constant.dims[axis]).collect()
        }
        "Unsqueeze" => {
            let added = shape::unsqueezed_axes(call, constant.dims.len())?;
            let mut old = constant.dims.iter().copied();
            let rank = constant.dims.len() + added.len();
            (0..rank).map(|axis| if added.contains(&axis) { 1 } else { old.next().unwrap_or(1) }).collect()
        }
        "Flatten" => shape::flattened(call, &constant.dims)?,
        _ => shape::target(call, &constant.dims)?.dims,
    };
    constant.reshaped(dims).ok_or_else(|| mismatch(call))
}

fn transpose(call: &Call) -> Result<Constant, ImportError> {
    let constant = call.constant(0)?;
    let axes = shape::permutation(call, constant.dims.len())?;
    constant.transposed(&axes).ok_or_else(|| mismatch(call))
}

fn expand(importer: &mut Importer, call: &Call) -> Result<Constant, ImportError> {
    let constant = call.constant(0)?;
    let wanted = Constant { dims: dims_of(call, 1)?, data: Data::Int([].into()) };
    let dims = common_dims(call, &[constant, &wanted])?;
    charged(importer, call, &dims)?;
    constant.broadcast(&dims).ok_or_else(|| mismatch(call))
}

fn split(call: &Call) -> Result<Vec<Value>, ImportError> {
    let constant = call.constant(0)?;
    let (axis, ranges) = shape::split_ranges(call, &constant.dims)?;
    let mut outputs = Vec::new();
    for range in ranges {
        let mut dims = constant.dims.clone();
        dims[axis] = range.len();
        let places: Vec<usize> = range.collect();
        outputs.push(taken(call, constant, axis, &places, dims)?.into());
    }
    Ok(outputs)
}

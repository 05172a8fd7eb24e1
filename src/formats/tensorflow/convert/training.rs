//! The parts of a graph that training alone needs: switches, branches, the random numbers of dropout.

use super::{Converter, Reason, Value};
use crate::formats::tensorflow::graph::Node;
use crate::formats::tensorflow::proto::DataType;
use crate::formats::tensorflow::select::switch_value;
use crate::formats::tensorflow::tensor::Tensor;

impl Converter<'_, '_> {
    /// Conditions on a constant: the branch that is taken lives, the other is dead.
    pub(super) fn branch(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Option<Vec<Value>>, Reason> {
        match (node.op, inputs) {
            ("Switch" | "RefSwitch", [value, Value::Const(condition)]) => {
                let truth = condition.single().ok_or("its condition is not one truth value")? != 0.0;
                let (no, yes) = if truth { (Value::Dead, value.clone()) } else { (value.clone(), Value::Dead) };
                Ok(Some(vec![no, yes]))
            }
            ("Merge" | "RefMerge", values) => {
                let alive = |value: &&Value| !matches!(value, Value::Dead);
                let index = values.iter().position(|value| alive(&value)).unwrap_or_default();
                let value = values.iter().find(alive).cloned().unwrap_or(Value::Dead);
                Ok(Some(vec![value, Value::Const(Tensor::int(i64::try_from(index).unwrap_or(i64::MAX)))]))
            }
            _ => Ok(None),
        }
    }

    /// A placeholder that no pictures come from: a switch of training, or a probability of dropout.
    pub(super) fn second_placeholder(&mut self, node: &Node<'_>) -> Result<Value, Reason> {
        if node.data_type("dtype")? == Some(DataType::Text) {
            return Ok(Value::Text);
        }
        match switch_value(node).map_err(|error| error.to_string())? {
            Some(value) if node.data_type("dtype")? == Some(DataType::Bool) => {
                Ok(Value::Const(Tensor::int(i64::from(value != 0.0))))
            }
            Some(value) => Ok(Value::Const(Tensor::number(value))),
            None => Err("it is a second input; nets of one input can be run".into()),
        }
    }

    /// Arithmetic of the random numbers of a dropout, up to its mask. The mask becomes its own mean, with which the
    /// factor of dropout cancels: what is left passes everything.
    pub(super) fn of_random(
        &mut self,
        node: &Node<'_>,
        inputs: &[Value],
        [low, high]: [f64; 2],
    ) -> Result<Value, Reason> {
        let number = inputs.iter().find_map(|value| if let Value::Const(c) = value { c.single() } else { None });
        Ok(match (node.op, number) {
            ("Mul", Some(c)) => Value::Random { low: low * c, high: high * c },
            ("Add" | "AddV2", Some(c)) => Value::Random { low: low + c, high: high + c },
            ("Identity" | "Cast", _) => Value::Random { low, high },
            ("Floor", _) if high - low == 1.0 => Value::Const(Tensor::number(low)),
            ("GreaterEqual", Some(rate)) if [low, high] == [0.0, 1.0] => Value::Const(Tensor::number(1.0 - rate)),
            _ => return Err("random numbers other than those of a dropout are not supported".into()),
        })
    }
}

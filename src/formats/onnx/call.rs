//! One node of the ONNX graph as the functions see it that translate it.

use std::rc::Rc;

use super::super::ImportError;
use super::constant::Constant;
use super::proto::{AttributeProto, NodeProto};
use super::value::{Computed, Value};

/// A node with its inputs looked up.
pub struct Call<'n> {
    pub node: &'n NodeProto,
    /// By which the node is called, in the net and in errors.
    pub name: String,
    /// As long as the node has inputs; see [`Call::input`].
    pub inputs: Vec<Value>,
    /// The version of the operator set that the node belongs to.
    pub opset: i64,
}

impl Call<'_> {
    /// An error that names the node and its operator.
    pub fn error(&self, reason: impl AsRef<str>) -> ImportError {
        let op = ImportError::brief(self.node.op_type());
        ImportError::layer(&self.name, format!("{op}: {}", reason.as_ref()))
    }

    /// For what ONNX allows and nobody here reads.
    pub fn unsupported(&self, what: impl AsRef<str>) -> ImportError {
        self.error(format!("{} is not supported", what.as_ref()))
    }

    pub fn input(&self, place: usize) -> &Value {
        self.inputs.get(place).unwrap_or(&Value::Absent)
    }

    /// An input that depends on the picture.
    pub fn computed(&self, place: usize) -> Result<&Computed, ImportError> {
        match self.input(place) {
            Value::Computed(computed) => Ok(computed),
            Value::Constant(_) => Err(self.unsupported(format!("a constant as input {place}"))),
            Value::Absent => Err(self.error(format!("input {place} is missing"))),
        }
    }

    /// An input that must be known while reading, if it is there.
    pub fn optional(&self, place: usize) -> Result<Option<&Rc<Constant>>, ImportError> {
        match self.input(place) {
            Value::Absent => Ok(None),
            Value::Constant(constant) => Ok(Some(constant)),
            Value::Computed(_) => Err(self.unsupported(format!("input {place} that depends on the picture"))),
        }
    }

    pub fn constant(&self, place: usize) -> Result<&Rc<Constant>, ImportError> {
        self.optional(place)?.ok_or_else(|| self.error(format!("input {place} is missing")))
    }

    pub fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.node.attribute(name)
    }

    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i.unwrap_or_default())
    }

    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.int(name, default.into()) != 0
    }

    pub fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).map_or(default, |attribute| attribute.f.unwrap_or_default())
    }

    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    pub fn text(&self, name: &str) -> Option<String> {
        Some(String::from_utf8_lossy(self.attribute(name)?.s.as_deref()?).into_owned())
    }

    /// Integers that older operator sets have as an attribute and newer ones as an input.
    pub fn ints_of(&self, attribute: &str, place: usize) -> Result<Option<Vec<i64>>, ImportError> {
        if let Some(ints) = self.ints(attribute) {
            return Ok(Some(ints.to_vec()));
        }
        let Some(constant) = self.optional(place)? else { return Ok(None) };
        let wrong = || self.error(format!("input {place} should be integers"));
        constant.as_ints().map(|ints| Some(ints.to_vec())).ok_or_else(wrong)
    }

    /// An axis of a tensor of `rank` axes, counted from the end if negative.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize, ImportError> {
        let signed = i64::try_from(rank).unwrap_or(i64::MAX);
        let from_start = if axis < 0 { axis.saturating_add(signed) } else { axis };
        match usize::try_from(from_start) {
            Ok(place) if place < rank => Ok(place),
            _ => Err(self.error(format!("there is no axis {axis} among {rank}"))),
        }
    }

    /// Axes, each once.
    pub fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>, ImportError> {
        let mut places = Vec::new();
        for &axis in axes {
            let place = self.axis(axis, rank)?;
            if places.contains(&place) {
                return Err(self.error(format!("axis {axis} is named twice")));
            }
            places.push(place);
        }
        Ok(places)
    }

    /// Two numbers of pixels, `[vertical, horizontal]`, none negative.
    pub fn pair(&self, name: &str) -> Result<Option<[usize; 2]>, ImportError> {
        let Some(ints) = self.ints(name).filter(|ints| !ints.is_empty()) else { return Ok(None) };
        let sizes: Option<Vec<usize>> = ints.iter().map(|&int| usize::try_from(int).ok()).collect();
        let pair = sizes.and_then(|sizes| <[usize; 2]>::try_from(sizes).ok());
        pair.map(Some)
            .ok_or_else(|| self.error(format!("{name} should be two numbers: only maps of height and width are read")))
    }
}

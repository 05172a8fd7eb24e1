//! The messages inside of a node of a TensorFlow graph (`tensorflow/core/framework/*.proto`), as far as they are read.

use prost::Message;

/// `AttrValue`: the value of an attribute; one field is set.
#[derive(Clone, PartialEq, Message)]
pub struct AttrValue {
    #[prost(message, optional, boxed, tag = "1")]
    pub list: Option<Box<ListValue>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub s: Option<Vec<u8>>,
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    #[prost(float, optional, tag = "4")]
    pub f: Option<f32>,
    #[prost(bool, optional, tag = "5")]
    pub b: Option<bool>,
    #[prost(int32, optional, tag = "6")]
    pub r#type: Option<i32>,
    #[prost(message, optional, boxed, tag = "7")]
    pub shape: Option<Box<TensorShapeProto>>,
    #[prost(message, optional, boxed, tag = "8")]
    pub tensor: Option<Box<TensorProto>>,
}

/// `AttrValue.ListValue`.
#[derive(Clone, PartialEq, Message)]
pub struct ListValue {
    #[prost(int64, repeated, tag = "3")]
    pub i: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    #[prost(message, repeated, tag = "2")]
    pub dim: Vec<Dim>,
    #[prost(bool, tag = "3")]
    pub unknown_rank: bool,
}

/// `TensorShapeProto.Dim`; a size of −1 is unknown.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Dim {
    #[prost(int64, tag = "1")]
    pub size: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    #[prost(int32, tag = "1")]
    pub dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub tensor_shape: Option<TensorShapeProto>,
    /// All elements, little-endian; else they are in the field of their type.
    #[prost(bytes = "vec", tag = "4")]
    pub tensor_content: Vec<u8>,
    #[prost(float, repeated, tag = "5")]
    pub float_val: Vec<f32>,
    #[prost(double, repeated, tag = "6")]
    pub double_val: Vec<f64>,
    #[prost(int32, repeated, tag = "7")]
    pub int_val: Vec<i32>,
    #[prost(int64, repeated, tag = "10")]
    pub int64_val: Vec<i64>,
    #[prost(bool, repeated, tag = "11")]
    pub bool_val: Vec<bool>,
    /// The bits of `half` and `bfloat16` elements.
    #[prost(int32, repeated, tag = "13")]
    pub half_val: Vec<i32>,
}

/// `DataType`. Values above 100 are references to the same types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    Float,
    Double,
    Int32,
    Uint8,
    Int16,
    Int8,
    Int64,
    Bool,
    Bfloat16,
    Half,
    /// Quantized: `qint8`, `quint8`.
    Qint8,
    Quint8,
    Text,
    Other,
}

impl DataType {
    pub fn of(number: i32) -> Self {
        match number {
            1 => Self::Float,
            2 => Self::Double,
            3 => Self::Int32,
            4 => Self::Uint8,
            5 => Self::Int16,
            6 => Self::Int8,
            7 => Self::Text,
            9 => Self::Int64,
            10 => Self::Bool,
            11 => Self::Qint8,
            12 => Self::Quint8,
            14 => Self::Bfloat16,
            19 => Self::Half,
            101..=200 => Self::of(number - 100),
            _ => Self::Other,
        }
    }

    pub fn is_floating(self) -> bool {
        matches!(self, Self::Float | Self::Double | Self::Bfloat16 | Self::Half)
    }
}

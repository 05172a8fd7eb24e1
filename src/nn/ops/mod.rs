//! The operations of a net, one a file: attributes, shape inference, forward and backward side by side.
//!
//! Every op implements [`Operator`] (shapes, what the backward pass needs) and [`Kernel`] (the arithmetic, generic over
//! `f32` and `f64`). Values are [`View`]s: contiguous, NHWC when of rank 4. Parameters are row-major in the order that
//! the op documents (convolution weights OIHW). Backward passes ADD to the gradients that they are handed.

use serde::{Deserialize, Serialize};

use crate::base::tensor::{Scalar, Shape, View, ViewMut};

pub mod activation;
pub mod batch_norm;
#[cfg(test)]
pub(crate) mod check;
pub mod concat;
pub mod conv;
pub mod conv_transpose;
pub mod dropout;
pub mod elementwise;
pub mod finish;
pub mod instance_norm;
mod lanes;
mod layout;
pub mod linear;
pub mod lrn;
pub mod maps;
pub mod offset;
pub mod p_distance;
pub mod pad;
pub mod pool;
pub mod prelu;
pub mod reduce;
pub mod reshape;
pub mod resize;
pub mod scale;
pub mod slice;
pub mod softmax;
pub mod spatial_norm;
pub mod transpose;
pub mod window;

/// Why an op cannot be applied. The graph adds the node's name.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OpError {
    #[error("takes {expected}, but {got} are given")]
    Inputs { expected: &'static str, got: usize },
    #[error("has {got} parameters, but takes {expected}")]
    Params { expected: &'static str, got: usize },
    #[error("needs an input of {needed}, but gets {got}")]
    InputShape { needed: String, got: Shape },
    #[error("parameter `{name}` should be {expected:?}, but is {got:?}")]
    ParamShape { name: &'static str, expected: Vec<usize>, got: Vec<usize> },
    #[error("a window of {window} pixels does not fit into {padded} padded pixels")]
    WindowTooLarge { window: usize, padded: usize },
    #[error("attribute `{name}`: {reason}")]
    Attribute { name: &'static str, reason: String },
    #[error("its output would be too large for any machine")]
    TooLarge,
}

/// How ReLU-like ops (those that pass or block) send gradients back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReluRule {
    /// The true gradient: passes where the input was positive.
    #[default]
    Gradient,
    /// Springenberg 2014, "guided backpropagation": passes positive gradients where the input was positive.
    Guided,
    /// Zeiler 2013, "deconvnet": passes positive gradients, whatever the input was.
    Deconvnet,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Dropout passes everything, batch norm uses its stored statistics.
    #[default]
    Inference,
    Training,
}

/// What a whole run of a net decides, not the op.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    pub mode: Mode,
    pub relu_rule: ReluRule,
    /// With `step` and `node`, the key of an op's random stream (dropout).
    pub seed: u64,
    pub step: u64,
    pub node: u64,
}

/// What an op's backward pass reads besides its parameters and the gradient of its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keeps {
    pub inputs: bool,
    pub output: bool,
    /// Bytes that forward leaves in [`Forward::saved`] (arg-max indices, dropout masks, …).
    pub saved_bytes: usize,
}

impl Keeps {
    pub const NOTHING: Self = Self { inputs: false, output: false, saved_bytes: 0 };
    pub const INPUTS: Self = Self { inputs: true, output: false, saved_bytes: 0 };
    pub const OUTPUT: Self = Self { inputs: false, output: true, saved_bytes: 0 };

    pub const fn saved(saved_bytes: usize) -> Self {
        Self { inputs: false, output: false, saved_bytes }
    }
}

/// The arguments of a forward pass: overwrite all of `output` (its old content is arbitrary).
pub struct Forward<'a, F> {
    pub inputs: &'a [View<'a, F>],
    pub params: &'a [&'a [F]],
    pub output: ViewMut<'a, F>,
    /// [`Keeps::saved_bytes`] bytes, aligned to 8; cast with `bytemuck`.
    pub saved: &'a mut [u8],
    pub run: Run,
}

/// The arguments of a backward pass: ADD to every gradient that is asked for.
pub struct Backward<'a, F> {
    /// The shapes are always there; the data is empty unless [`Keeps::inputs`].
    pub inputs: &'a [View<'a, F>],
    pub params: &'a [&'a [F]],
    /// The data is empty unless [`Keeps::output`].
    pub output: View<'a, F>,
    pub saved: &'a [u8],
    /// The gradient of the output, laid out as the output.
    pub d_output: &'a [F],
    /// One an input; `None` where nobody asks. Laid out as the input.
    pub d_inputs: &'a mut [Option<&'a mut [F]>],
    /// One a parameter; `None` where nobody asks (frozen weights).
    pub d_params: &'a mut [Option<&'a mut [F]>],
    pub run: Run,
}

/// Shapes and needs of an op.
pub trait Operator {
    /// The shape of the output. `params` are parameter shapes. Checks everything that [`Kernel`] then relies upon.
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError>;

    /// What the backward pass to the inputs needs; `inputs` have passed [`Operator::output_shape`]. Backward to
    /// parameters may rely on the inputs besides.
    fn keeps(&self, inputs: &[&Shape]) -> Keeps;
}

/// The arithmetic of an op.
pub trait Kernel<F: Scalar>: Operator {
    fn forward(&self, args: Forward<'_, F>);
    fn backward(&self, args: Backward<'_, F>);
}

/// The input of a net: maps of a fixed number of channels and, where the net demands it, of a fixed size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    pub channels: usize,
    /// `[height, width]` that the net was trained at; other sizes work unless a later op refuses.
    pub size: [usize; 2],
}

macro_rules! ops {
    ($($(#[$doc:meta])* $variant:ident($attributes:ty)),* $(,)?) => {
        /// One operation with its attributes.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "op", rename_all = "snake_case")]
        pub enum Op {
            /// The net's input; it computes nothing.
            Input(Input),
            $($(#[$doc])* $variant($attributes),)*
        }

        impl Operator for Op {
            fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
                match self {
                    Self::Input(input) => Ok(Shape::maps(1, input.channels, input.size[0], input.size[1])),
                    $(Self::$variant(op) => op.output_shape(inputs, params),)*
                }
            }

            fn keeps(&self, inputs: &[&Shape]) -> Keeps {
                match self {
                    Self::Input(_) => Keeps::NOTHING,
                    $(Self::$variant(op) => op.keeps(inputs),)*
                }
            }
        }

        impl<F: Scalar> Kernel<F> for Op {
            fn forward(&self, args: Forward<'_, F>) {
                match self {
                    Self::Input(_) => {}
                    $(Self::$variant(op) => op.forward(args),)*
                }
            }

            fn backward(&self, args: Backward<'_, F>) {
                match self {
                    Self::Input(_) => {}
                    $(Self::$variant(op) => op.backward(args),)*
                }
            }
        }

        impl Op {
            /// The field's name of the op, as `inspect` shows it.
            pub fn kind(&self) -> &'static str {
                match self {
                    Self::Input(_) => "Input",
                    $(Self::$variant(_) => stringify!($variant),)*
                }
            }
        }
    };
}

ops! {
    Conv2d(conv::Conv2d),
    ConvTranspose2d(conv_transpose::ConvTranspose2d),
    /// Fully connected.
    Linear(linear::Linear),
    MaxPool(pool::MaxPool),
    AveragePool(pool::AveragePool),
    GlobalPool(pool::GlobalPool),
    Activation(activation::Activation),
    PRelu(prelu::PRelu),
    Dropout(dropout::Dropout),
    Softmax(softmax::Softmax),
    LogSoftmax(softmax::LogSoftmax),
    Lrn(lrn::Lrn),
    SpatialNorm(spatial_norm::SpatialNorm),
    Offset(offset::Offset),
    PDistance(p_distance::PDistance),
    BatchNorm(batch_norm::BatchNorm),
    InstanceNorm(instance_norm::InstanceNorm),
    Scale(scale::Scale),
    Concat(concat::Concat),
    Slice(slice::Slice),
    Elementwise(elementwise::Elementwise),
    Reshape(reshape::Reshape),
    Transpose(transpose::Transpose),
    Pad(pad::Pad),
    Resize(resize::Resize),
    Reduce(reduce::Reduce),
}

/// A logical axis of maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapAxis {
    Batch,
    Channel,
    Height,
    Width,
}

/// Checks the number of inputs.
pub(crate) fn expect_inputs<'a, const N: usize>(
    inputs: &[&'a Shape],
    expected: &'static str,
) -> Result<[&'a Shape; N], OpError> {
    inputs.try_into().map_err(|_| OpError::Inputs { expected, got: inputs.len() })
}

/// `[batch, channels, height, width]` of an input that must be maps (or a vector, seen as 1×1 maps).
pub(crate) fn expect_maps(input: &Shape) -> Result<[usize; 4], OpError> {
    match input.as_maps() {
        Some(dims) if dims.iter().all(|&d| d > 0) => Ok(dims),
        _ => Err(OpError::InputShape { needed: "batch × channels × height × width".into(), got: input.clone() }),
    }
}

/// Checks the shape of one parameter.
pub(crate) fn expect_param(name: &'static str, expected: &[usize], got: &[usize]) -> Result<(), OpError> {
    if expected == got {
        return Ok(());
    }
    Err(OpError::ParamShape { name, expected: expected.to_vec(), got: got.to_vec() })
}

//! Drawing a net while its parameters are taken from a list.

use crate::formats::ImportError;
use crate::nn::graph::{GraphBuilder, NodeId, Param};
use crate::nn::ops::activation::Activation;
use crate::nn::ops::batch_norm::BatchNorm;
use crate::nn::ops::concat::Concat;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::dropout::Dropout;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::linear::Linear;
use crate::nn::ops::lrn::{Lrn, LrnRegion};
use crate::nn::ops::pool::{AveragePool, Divisor, GlobalPool, GlobalPoolKind, MaxPool};
use crate::nn::ops::reshape::Reshape;
use crate::nn::ops::slice::Slice;
use crate::nn::ops::softmax::Softmax;
use crate::nn::ops::window::Window;
use crate::nn::ops::{MapAxis, Op};

type Result<T> = std::result::Result<T, ImportError>;

/// Lasagne's default.
const EPSILON: f32 = 1e-4;

pub(super) struct Draft<'a> {
    pub net: GraphBuilder,
    arrays: &'a [Param],
    taken: usize,
    pub flips_filters: bool,
}

/// What a convolution or a fully connected layer ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Rectified,
    Linear,
}

/// A window and what surrounds its convolution.
#[derive(Clone, Copy)]
pub(super) struct Conv {
    pub out: usize,
    pub window: Window,
    pub has_bias: bool,
}

impl Conv {
    pub(super) fn new(out: usize, window: Window) -> Self {
        Self { out, window, has_bias: true }
    }

    pub(super) fn without_bias(self) -> Self {
        Self { has_bias: false, ..self }
    }
}

impl<'a> Draft<'a> {
    pub(super) fn new(size_px: usize, arrays: &'a [Param]) -> Self {
        Self { net: GraphBuilder::new("input", 3, [size_px; 2]), arrays, taken: 0, flips_filters: false }
    }

    /// The net, if it takes all arrays.
    pub(super) fn finish(self) -> Result<GraphBuilder> {
        if self.taken == self.arrays.len() {
            return Ok(self.net);
        }
        let (has, takes) = (self.arrays.len(), self.taken);
        Err(ImportError::Needs(format!("the file lists {has} arrays, and the architecture has {takes}")))
    }

    fn next(&mut self, name: &str) -> Result<&'a Param> {
        let array = self.arrays.get(self.taken).ok_or_else(|| {
            let has = self.arrays.len();
            ImportError::Needs(format!(
                "the file lists {has} arrays, and the architecture has more: `{name}` gets none"
            ))
        })?;
        self.taken += 1;
        Ok(array)
    }

    /// Takes the next array, which must have this shape after `convert`.
    fn take(&mut self, name: &str, shape: &[usize], convert: impl Fn(&Param) -> Param) -> Result<()> {
        let array = convert(self.next(name)?);
        if array.shape != shape {
            return Err(misfit(name, self.taken - 1, &array.shape, shape));
        }
        self.net.param(name, shape, array.data);
        Ok(())
    }

    /// The first dimension of the next array, as it will be after conversion to (out, in).
    pub(super) fn next_width(&self) -> usize {
        let array = self.arrays.get(self.taken).map(|array| array.shape.as_slice());
        match array {
            Some(&[_in, out]) => out,
            Some(&[out, ..]) => out,
            _ => 0,
        }
    }

    fn channels(&self, id: NodeId) -> usize {
        self.net.shape(id).and_then(|shape| shape.dims().get(1).copied()).unwrap_or(0)
    }

    fn node(&mut self, name: &str, op: Op, inputs: &[NodeId], params: &[&str]) -> NodeId {
        self.net.add(name, op, inputs, params)
    }

    /// The rectified output has the layer's name, and the convolution itself `NAME.linear`.
    pub(super) fn conv(&mut self, name: &str, input: NodeId, conv: Conv, end: End) -> Result<NodeId> {
        let [height, width] = conv.window.kernel;
        let (weight, bias) = (format!("{name}.W"), format!("{name}.b"));
        let flips = self.flips_filters;
        let columns = self.channels(input);
        self.take(&weight, &[conv.out, columns, height, width], |array| self::weight(array, flips))?;
        let mut params = vec![weight.as_str()];
        if conv.has_bias {
            self.take(&bias, &[conv.out], Param::clone)?;
            params.push(&bias);
        }
        let op = Op::Conv2d(Conv2d { window: conv.window, groups: 1 });
        Ok(self.ended(name, op, input, &params, end))
    }

    fn ended(&mut self, name: &str, op: Op, input: NodeId, params: &[&str], end: End) -> NodeId {
        match end {
            End::Linear => self.node(name, op, &[input], params),
            End::Rectified => {
                let linear = self.node(&format!("{name}.linear"), op, &[input], params);
                self.relu(name, linear)
            }
        }
    }

    /// Flattens maps of more than one pixel first.
    pub(super) fn dense(&mut self, name: &str, input: NodeId, out: usize, end: End) -> Result<NodeId> {
        let mut input = input;
        if self.net.shape(input).is_some_and(|shape| shape.rank() != 2) {
            input = self.node(&format!("{name}.flatten"), Op::Reshape(Reshape::flatten()), &[input], &[]);
        }
        let (weight, bias) = (format!("{name}.W"), format!("{name}.b"));
        let length = self.channels(input);
        self.take(&weight, &[out, length], |array| self::weight(array, false))?;
        self.take(&bias, &[out], Param::clone)?;
        Ok(self.ended(name, Op::Linear(Linear {}), input, &[&weight, &bias], end))
    }

    pub(super) fn batch_norm(&mut self, name: &str, input: NodeId) -> Result<NodeId> {
        let shape = [self.channels(input)];
        let names = ["beta", "gamma", "mean", "variance"].map(|part| format!("{name}.{part}"));
        let [beta, gamma, mean, variance] = names.each_ref().map(String::as_str);
        for part in [beta, gamma, mean] {
            self.take(part, &shape, Param::clone)?;
        }
        self.take(variance, &shape, |array| self::variance(array, EPSILON))?;
        Ok(self.node(name, Op::BatchNorm(BatchNorm { epsilon: EPSILON }), &[input], &[gamma, beta, mean, variance]))
    }

    pub(super) fn relu(&mut self, name: &str, input: NodeId) -> NodeId {
        self.node(name, Op::Activation(Activation::Relu), &[input], &[])
    }

    /// `ignore_border=False` is a window that is rounded up.
    pub(super) fn max_pool(&mut self, name: &str, input: NodeId, window: Window) -> NodeId {
        self.node(name, Op::MaxPool(MaxPool { window }), &[input], &[])
    }

    /// `average_exc_pad`.
    pub(super) fn average_pool(&mut self, name: &str, input: NodeId, window: Window) -> NodeId {
        self.node(name, Op::AveragePool(AveragePool { window, divisor: Divisor::Inside }), &[input], &[])
    }

    pub(super) fn global_average(&mut self, name: &str, input: NodeId) -> NodeId {
        self.node(name, Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average }), &[input], &[])
    }

    /// Over five channels; Lasagne's alpha is that of one term of the sum.
    pub(super) fn lrn(&mut self, name: &str, input: NodeId, alpha: f32, bias: f32) -> NodeId {
        let lrn = Lrn { size: 5, alpha, beta: 0.75, bias, region: LrnRegion::AcrossChannels };
        self.node(name, Op::Lrn(lrn), &[input], &[])
    }

    pub(super) fn dropout(&mut self, name: &str, input: NodeId) -> NodeId {
        self.node(name, Op::Dropout(Dropout { rate: 0.5 }), &[input], &[])
    }

    pub(super) fn concat(&mut self, name: &str, inputs: &[NodeId]) -> NodeId {
        self.node(name, Op::Concat(Concat { axis: MapAxis::Channel }), inputs, &[])
    }

    pub(super) fn add(&mut self, name: &str, left: NodeId, right: NodeId) -> NodeId {
        self.node(name, Op::Elementwise(Elementwise::Add), &[left, right], &[])
    }

    /// Channels `from..to`.
    pub(super) fn slice(&mut self, name: &str, input: NodeId, [from, to]: [usize; 2]) -> NodeId {
        let slice = Slice { axis: MapAxis::Channel, start: from, end: to };
        self.node(name, Op::Slice(slice), &[input], &[])
    }

    pub(super) fn flatten(&mut self, name: &str, input: NodeId) -> NodeId {
        self.node(name, Op::Reshape(Reshape::flatten()), &[input], &[])
    }

    pub(super) fn softmax(&mut self, name: &str, input: NodeId) -> NodeId {
        self.node(name, Op::Softmax(Softmax {}), &[input], &[])
    }
}

pub(super) fn misfit(name: &str, number: usize, got: &[usize], expected: &[usize]) -> ImportError {
    let shown = got.get(..8).unwrap_or(got);
    ImportError::field(
        name,
        format!("array {number} of the list gives it the shape {shown:?}; it should be {expected:?}"),
    )
}

/// A convolution's weights, turned if they are stored so, or a fully connected layer's as (out, in).
pub(super) fn weight(array: &Param, flips_filters: bool) -> Param {
    match *array.shape.as_slice() {
        [inputs, outputs] => {
            let column = |out: usize| array.data.iter().skip(out).step_by(outputs.max(1)).copied();
            let data: Vec<f32> = (0..outputs).flat_map(column).collect();
            Param { shape: vec![outputs, inputs], data: data.into() }
        }
        [_, _, height, width] if flips_filters && height * width > 1 => {
            let kernels = array.data.chunks_exact(height * width);
            let data = kernels.flat_map(|kernel| kernel.iter().rev().copied()).collect();
            Param { shape: array.shape.clone(), data }
        }
        _ => array.clone(),
    }
}

/// What gives the inverse deviation back with this epsilon: σ⁻² − ε.
pub(super) fn variance(inverse_deviation: &Param, epsilon: f32) -> Param {
    let of = |&value: &f32| (f64::from(value).powi(-2) - f64::from(epsilon)) as f32;
    Param { shape: inverse_deviation.shape.clone(), data: inverse_deviation.data.iter().map(of).collect() }
}

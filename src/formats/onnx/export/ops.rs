//! The operations, each in ONNX's operators.

use super::super::super::ImportError;
use super::{Writer, float, int, ints, signed, text};
use crate::nn::graph::NodeId;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::lrn::{Lrn, LrnRegion};
use crate::nn::ops::offset::{MIN_ENERGY, Offset};
use crate::nn::ops::p_distance::PDistance;
use crate::nn::ops::pad::{Pad, PadMode};
use crate::nn::ops::pool::GlobalPoolKind;
use crate::nn::ops::reduce::{Reduce, ReduceKind};
use crate::nn::ops::reshape::Dim;
use crate::nn::ops::resize::{Resize, ResizeMode, ResizeTarget};
use crate::nn::ops::slice::Slice;
use crate::nn::ops::spatial_norm::SpatialNorm;
use crate::nn::ops::{MapAxis, Op};

fn axis_of(axis: MapAxis) -> usize {
    match axis {
        MapAxis::Batch => 0,
        MapAxis::Channel => 1,
        MapAxis::Height => 2,
        MapAxis::Width => 3,
    }
}

impl Writer<'_> {
    /// Writes a node of the net.
    pub(super) fn write(&mut self, id: NodeId) -> Result<(), ImportError> {
        let graph = self.graph;
        let node = graph.node(id);
        let first = node.inputs.first().copied().unwrap_or_default();
        let input = self.name(first).to_string();
        match &node.op {
            Op::Input(_) => {}
            Op::Conv2d(conv) => self.conv(id, first, conv)?,
            Op::ConvTranspose2d(conv) => self.conv_transpose(id, first, conv),
            Op::Linear(_) => self.linear(id, first),
            Op::MaxPool(pool) => self.max_pool(id, first, pool)?,
            Op::AveragePool(pool) => self.average_pool(id, first, pool)?,
            Op::GlobalPool(pool) => {
                let maps = self.maps(id, first);
                let average = pool.kind == GlobalPoolKind::Average;
                self.last(id, if average { "GlobalAveragePool" } else { "GlobalMaxPool" }, &[&maps], Vec::new());
            }
            Op::Activation(function) => self.activation(id, &input, function),
            Op::PRelu(_) => self.prelu(id, first),
            Op::Dropout(dropout) => {
                let rate = self.number(id, "ratio", dropout.rate);
                self.last(id, "Dropout", &[&input, &rate], Vec::new());
            }
            Op::Softmax(_) => self.last(id, "Softmax", &[&input], vec![int("axis", 1)]),
            Op::LogSoftmax(_) => self.last(id, "LogSoftmax", &[&input], vec![int("axis", 1)]),
            Op::Lrn(lrn) => self.lrn(id, first, lrn)?,
            Op::SpatialNorm(norm) => self.spatial_norm(id, first, norm),
            Op::Offset(offset) => self.offset(id, &input, offset),
            Op::PDistance(distance) => self.p_distance(id, distance),
            Op::BatchNorm(norm) => {
                let params = self.params(id);
                let inputs: Vec<&str> = std::iter::once(&input).chain(&params).map(String::as_str).collect();
                self.last(id, "BatchNormalization", &inputs, vec![float("epsilon", norm.epsilon)]);
            }
            Op::InstanceNorm(norm) => {
                let maps = self.maps(id, first);
                let params = self.params(id);
                let inputs: Vec<&str> = std::iter::once(&maps).chain(&params).map(String::as_str).collect();
                self.last_of_maps(id, "InstanceNormalization", &inputs, vec![float("epsilon", norm.epsilon)]);
            }
            Op::Scale(_) => self.scale(id, first),
            Op::Concat(concat) => {
                let names: Vec<String> = node.inputs.iter().map(|&input| self.name(input).to_string()).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                self.last(id, "Concat", &names, vec![int("axis", signed(axis_of(concat.axis)))]);
            }
            Op::Slice(slice) => self.slice(id, &input, slice),
            Op::Elementwise(elementwise) => self.elementwise(id, elementwise),
            Op::Reshape(reshape) => self.reshape(id, &input, &reshape.dims),
            Op::Transpose(transpose) => self.last(id, "Transpose", &[&input], vec![ints("perm", &transpose.axes)]),
            Op::Pad(pad) => self.pad(id, first, pad),
            Op::Resize(resize) => self.resize(id, first, resize),
            Op::Reduce(reduce) => self.reduce(id, &input, reduce),
        }
        Ok(())
    }

    fn linear(&mut self, id: NodeId, input: NodeId) {
        let mut vector = self.name(input).to_string();
        if self.rank(input) != 2 {
            vector = self.part(id, "flat", "Flatten", &[&vector], vec![int("axis", 1)]);
        }
        let params = self.params(id);
        let inputs: Vec<&str> = std::iter::once(&vector).chain(&params).map(String::as_str).collect();
        self.last(id, "Gemm", &inputs, vec![int("transB", 1)]);
    }

    fn activation(&mut self, id: NodeId, input: &str, function: &Activation) {
        let (op, attributes) = match *function {
            Activation::Relu => ("Relu", Vec::new()),
            Activation::LeakyRelu { slope } => ("LeakyRelu", vec![float("alpha", slope)]),
            Activation::Clip { low, high } => {
                let bound = |writer: &mut Self, what, value, open| {
                    if value == open { String::new() } else { writer.number(id, what, value) }
                };
                let low = bound(self, "low", low, f32::MIN);
                let high = bound(self, "high", high, f32::MAX);
                return self.last(id, "Clip", &[input, &low, &high], Vec::new());
            }
            Activation::Elu { alpha } => ("Elu", vec![float("alpha", alpha)]),
            Activation::Sigmoid => ("Sigmoid", Vec::new()),
            Activation::Tanh => ("Tanh", Vec::new()),
            Activation::Erf => ("Erf", Vec::new()),
            Activation::Silu => {
                let sigmoid = self.part(id, "sigmoid", "Sigmoid", &[input], Vec::new());
                return self.last(id, "Mul", &[input, &sigmoid], Vec::new());
            }
            Activation::HardSigmoid { slope, offset } => {
                ("HardSigmoid", vec![float("alpha", slope), float("beta", offset)])
            }
            Activation::HardSwish => ("HardSwish", Vec::new()),
        };
        self.last(id, op, &[input], attributes);
    }

    fn prelu(&mut self, id: NodeId, input: NodeId) {
        let trailing = if self.rank(input) == 4 { 2 } else { 0 };
        let slope = self.param(id, 0, trailing);
        let input = self.name(input).to_string();
        self.last(id, "PRelu", &[&input, &slope], Vec::new());
    }

    fn scale(&mut self, id: NodeId, input: NodeId) {
        let trailing = if self.rank(input) == 4 { 2 } else { 0 };
        let input = self.name(input).to_string();
        let factor = self.param(id, 0, trailing);
        if self.graph.node(id).params.len() < 2 {
            return self.last(id, "Mul", &[&input, &factor], Vec::new());
        }
        let product = self.part(id, "product", "Mul", &[&input, &factor], Vec::new());
        let bias = self.param(id, 1, trailing);
        self.last(id, "Add", &[&product, &bias], Vec::new());
    }

    fn lrn(&mut self, id: NodeId, input: NodeId, lrn: &Lrn) -> Result<(), ImportError> {
        let maps = self.maps(id, input);
        match lrn.region {
            LrnRegion::AcrossChannels if lrn.size.is_multiple_of(2) => {
                Err(self.error(id, "a response normalization over an even number of channels"))
            }
            LrnRegion::AcrossChannels => {
                let attributes = vec![
                    int("size", signed(lrn.size)),
                    float("alpha", lrn.alpha * lrn.size as f32),
                    float("beta", lrn.beta),
                    float("bias", lrn.bias),
                ];
                self.last_of_maps(id, "LRN", &[&maps], attributes);
                Ok(())
            }
            LrnRegion::WithinChannel => {
                let (before, after) = (lrn.size / 2, (lrn.size - 1) / 2);
                let alpha = lrn.alpha * (lrn.size * lrn.size) as f32;
                let pads = [before, before, after, after];
                self.by_energy(id, &maps, [lrn.size; 2], pads, true, [alpha, lrn.beta, lrn.bias]);
                Ok(())
            }
        }
    }

    fn spatial_norm(&mut self, id: NodeId, input: NodeId, norm: &SpatialNorm) {
        let maps = self.maps(id, input);
        let [[top, left], [bottom, right]] = [norm.window.map(|len| (len - 1) / 2), norm.window.map(|len| len / 2)];
        self.by_energy(id, &maps, norm.window, [top, left, bottom, right], false, [norm.alpha, norm.beta, 1.0]);
    }

    /// x / (bias + alpha · mean of x² over a window)^beta.
    fn by_energy(
        &mut self,
        id: NodeId,
        maps: &str,
        kernel: [usize; 2],
        pads: [usize; 4],
        count_pads: bool,
        [alpha, beta, bias]: [f32; 3],
    ) {
        let square = self.part(id, "square", "Mul", &[maps, maps], Vec::new());
        let attributes =
            vec![ints("kernel_shape", &kernel), ints("pads", &pads), int("count_include_pad", count_pads.into())];
        let mean = self.part(id, "energy", "AveragePool", &[&square], attributes);
        let [alpha, beta, bias] =
            [("alpha", alpha), ("beta", beta), ("bias", bias)].map(|(what, value)| self.number(id, what, value));
        let scaled = self.part(id, "scaled", "Mul", &[&mean, &alpha], Vec::new());
        let sum = self.part(id, "sum", "Add", &[&scaled, &bias], Vec::new());
        let power = self.part(id, "power", "Pow", &[&sum, &beta], Vec::new());
        self.last_of_maps(id, "Div", &[maps, &power], Vec::new());
    }

    fn offset(&mut self, id: NodeId, input: &str, offset: &Offset) {
        let square = self.part(id, "square", "Mul", &[input, input], Vec::new());
        let channels = self.ints(id, "axes", &[1]);
        let energy = self.part(id, "energy", "ReduceSum", &[&square, &channels], Vec::new());
        let least = self.number(id, "least", MIN_ENERGY as f32);
        let bounded = self.part(id, "bounded", "Max", &[&energy, &least], Vec::new());
        let [alpha, beta] =
            [("alpha", offset.alpha), ("beta", offset.beta)].map(|(what, value)| self.number(id, what, value));
        let power = self.part(id, "power", "Pow", &[&bounded, &beta], Vec::new());
        let scaled = self.part(id, "scaled", "Mul", &[&power, &alpha], Vec::new());
        self.last(id, "Sub", &[input, &scaled], Vec::new());
    }

    fn p_distance(&mut self, id: NodeId, distance: &PDistance) {
        let graph = self.graph;
        let maps: Vec<String> = graph.node(id).inputs.iter().map(|&input| self.maps(id, input)).collect();
        let maps: Vec<&str> = maps.iter().map(String::as_str).collect();
        let difference = self.part(id, "difference", "Sub", &maps, Vec::new());
        let size = self.part(id, "size", "Abs", &[&difference], Vec::new());
        let p = self.number(id, "p", distance.p);
        let power = self.part(id, "power", "Pow", &[&size, &p], Vec::new());
        let channels = self.ints(id, "axes", &[1]);
        if distance.no_root {
            return self.last(id, "ReduceSum", &[&power, &channels], Vec::new());
        }
        let sum = self.part(id, "sum", "ReduceSum", &[&power, &channels], Vec::new());
        let root = self.number(id, "root", 1.0 / distance.p);
        self.last(id, "Pow", &[&sum, &root], Vec::new());
    }

    fn slice(&mut self, id: NodeId, input: &str, slice: &Slice) {
        let [start, end, axis] = [("start", slice.start), ("end", slice.end), ("axis", axis_of(slice.axis))]
            .map(|(what, value)| self.ints(id, what, &[signed(value)]));
        self.last(id, "Slice", &[input, &start, &end, &axis], Vec::new());
    }

    fn elementwise(&mut self, id: NodeId, elementwise: &Elementwise) {
        let graph = self.graph;
        let spread = self.rank(id) == 4;
        let inputs = graph.node(id).inputs.iter();
        let mut names: Vec<String> =
            inputs.map(|&input| if spread { self.maps(id, input) } else { self.name(input).to_string() }).collect();
        let op = match elementwise {
            Elementwise::Add => "Sum",
            Elementwise::WeightedSum { coefficients } => {
                for (name, &coefficient) in names.iter_mut().zip(coefficients) {
                    let coefficient = self.number(id, "coefficient", coefficient);
                    *name = self.part(id, "term", "Mul", &[name, &coefficient], Vec::new());
                }
                "Sum"
            }
            Elementwise::Sub => "Sub",
            Elementwise::Mul => "Mul",
            Elementwise::Max => "Max",
        };
        // Products are of two.
        while op == "Mul" && names.len() > 2 {
            let product = self.part(id, "product", "Mul", &[&names[0], &names[1]], Vec::new());
            names.splice(..2, [product]);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.last(id, op, &names, Vec::new());
    }

    fn reshape(&mut self, id: NodeId, input: &str, dims: &[Dim]) {
        let dim = |dim: &Dim| match *dim {
            Dim::Of(dim) => signed(dim),
            Dim::Same => 0,
            Dim::Rest => -1,
        };
        let shape: Vec<i64> = std::iter::once(0).chain(dims.iter().map(dim)).collect();
        let shape = self.ints(id, "shape", &shape);
        self.last(id, "Reshape", &[input, &shape], Vec::new());
    }

    fn pad(&mut self, id: NodeId, input: NodeId, pad: &Pad) {
        let maps = self.maps(id, input);
        let sides = [0, 0, pad.top, pad.left, 0, 0, pad.bottom, pad.right].map(signed);
        let sides = self.ints(id, "pads", &sides);
        match pad.mode {
            PadMode::Constant(value) => {
                let value = self.number(id, "value", value);
                self.last(id, "Pad", &[&maps, &sides, &value], vec![text("mode", "constant")]);
            }
            PadMode::Reflect => self.last(id, "Pad", &[&maps, &sides], vec![text("mode", "reflect")]),
            PadMode::Edge => self.last(id, "Pad", &[&maps, &sides], vec![text("mode", "edge")]),
        }
    }

    fn resize(&mut self, id: NodeId, input: NodeId, resize: &Resize) {
        let maps = self.maps(id, input);
        let attributes = match resize.mode {
            ResizeMode::Nearest => {
                let [mode, coordinates] =
                    [text("mode", "nearest"), text("coordinate_transformation_mode", "asymmetric")];
                vec![mode, coordinates, text("nearest_mode", "floor")]
            }
            ResizeMode::Bilinear => {
                vec![text("mode", "linear"), text("coordinate_transformation_mode", "half_pixel")]
            }
            ResizeMode::BilinearAlignCorners => {
                vec![text("mode", "linear"), text("coordinate_transformation_mode", "align_corners")]
            }
        };
        match resize.target {
            ResizeTarget::Factor([vertical, horizontal]) => {
                let factors = self.floats(id, "scales", &[1.0, 1.0, vertical as f32, horizontal as f32]);
                self.last(id, "Resize", &[&maps, "", &factors], attributes);
            }
            ResizeTarget::Size([height, width]) => {
                let channels = self.shapes[input].dims().get(1).copied().unwrap_or(1);
                let sizes = self.ints(id, "sizes", &[1, channels, height, width].map(signed));
                self.last(id, "Resize", &[&maps, "", "", &sizes], attributes);
            }
        }
    }

    fn reduce(&mut self, id: NodeId, input: &str, reduce: &Reduce) {
        let axes: Vec<usize> = reduce.axes.iter().map(|&axis| axis_of(axis)).collect();
        let keep = int("keepdims", reduce.keep.into());
        match reduce.kind {
            ReduceKind::Mean => self.last(id, "ReduceMean", &[input], vec![ints("axes", &axes), keep]),
            ReduceKind::Sum => {
                let axes: Vec<i64> = axes.iter().map(|&axis| signed(axis)).collect();
                let axes = self.ints(id, "axes", &axes);
                self.last(id, "ReduceSum", &[input, &axes], vec![keep]);
            }
        }
    }
}

//! Test support: a harness that runs one op, gradient checks by central differences in `f64`, comparisons that a NaN
//! fails, and fixtures whose expected values come from outside (`tests/refs/*.py`).

use std::collections::HashMap;

use rand::{RngExt as _, seq::SliceRandom as _};
use serde_json::Value;

use super::{Backward, Forward, Kernel, Mode, Op, OpError, Operator, ReluRule, Run};
use crate::base::rng::{Stream, rng};
use crate::base::tensor::{Scalar, Shape, View, ViewMut, nhwc_from_nchw};

/// An owned tensor in the engine's layout: NHWC at rank 4 (blobs), row-major otherwise (and for all parameters).
#[derive(Clone, Debug)]
pub struct Tensor<F> {
    pub shape: Shape,
    pub data: Vec<F>,
}

impl<F: Scalar> Tensor<F> {
    pub fn new(dims: &[usize], data: Vec<F>) -> Self {
        let shape = Shape::new(dims).expect("a test's shape is small");
        assert_eq!(shape.len(), data.len(), "data of a tensor of shape {shape}");
        Self { shape, data }
    }

    pub fn filled(dims: &[usize], value: F) -> Self {
        Self::new(dims, vec![value; dims.iter().product()])
    }

    /// Uniform in −1…1.
    pub fn random(dims: &[usize], seed: u64) -> Self {
        Self::random_between(dims, seed, -1.0, 1.0)
    }

    pub fn random_between(dims: &[usize], seed: u64, low: f64, high: f64) -> Self {
        let mut rng = rng(seed, Stream::Test, 0);
        Self::new(dims, (0..dims.iter().product()).map(|_| F::of(rng.random_range(low..high))).collect())
    }

    /// Values in −1…1, shuffled, all 2/len apart, none nearer than 1/len to 0: for ops with kinks at 0 or at ties.
    pub fn separated(dims: &[usize], seed: u64) -> Self {
        let len: usize = dims.iter().product();
        let mut ranks: Vec<i64> = (0..len as i64).collect();
        ranks.shuffle(&mut rng(seed, Stream::Test, 1));
        let even = len.next_multiple_of(2) as f64;
        Self::new(dims, ranks.into_iter().map(|rank| F::of((2.0 * rank as f64 + 1.0) / even - 1.0)).collect())
    }

    pub fn cast<G: Scalar>(&self) -> Tensor<G> {
        Tensor { shape: self.shape.clone(), data: self.data.iter().map(|&x| G::of(Scalar::to_f64(x))).collect() }
    }

    /// `[batch, channels, height, width]`.
    pub fn maps(&self) -> [usize; 4] {
        self.shape.as_maps().expect("a rank of 2 or 4")
    }

    /// The value at a place of maps, by the definition of NHWC: for naive references.
    pub fn at(&self, n: usize, c: usize, y: usize, x: usize) -> F {
        let [_, channels, height, width] = self.maps();
        self.data[((n * height + y) * width + x) * channels + c]
    }
}

/// Maps made value by value, `f(n, c, y, x)`: for naive references.
pub fn maps_from_fn<F: Scalar>(dims: [usize; 4], mut f: impl FnMut(usize, usize, usize, usize) -> F) -> Tensor<F> {
    let [batch, channels, height, width] = dims;
    let mut data = Vec::new();
    for n in 0..batch {
        for y in 0..height {
            for x in 0..width {
                data.extend((0..channels).map(|c| f(n, c, y, x)));
            }
        }
    }
    Tensor::new(&dims, data)
}

/// What a forward pass left.
pub struct Ran<F> {
    pub output: Tensor<F>,
    saved: Vec<u64>,
    saved_len: usize,
}

impl<F> Ran<F> {
    pub fn saved(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.saved)[..self.saved_len]
    }
}

/// The gradients of every input and of every parameter.
pub struct Gradients<F> {
    pub inputs: Vec<Vec<F>>,
    pub params: Vec<Vec<F>>,
}

/// The shape that an op infers.
pub fn output_shape<F: Scalar>(
    op: &impl Operator,
    inputs: &[Tensor<F>],
    params: &[Tensor<F>],
) -> Result<Shape, OpError> {
    let inputs: Vec<&Shape> = inputs.iter().map(|input| &input.shape).collect();
    let params: Vec<&[usize]> = params.iter().map(|param| param.shape.dims()).collect();
    op.output_shape(&inputs, &params)
}

/// Runs an op forward. The output starts as NaN and `saved` as rubbish, so that what is not written shows.
pub fn run_forward<F: Scalar>(op: &impl Kernel<F>, inputs: &[Tensor<F>], params: &[Tensor<F>], run: Run) -> Ran<F> {
    let shape = output_shape(op, inputs, params).expect("the op accepts its inputs and parameters");
    let input_shapes: Vec<&Shape> = inputs.iter().map(|input| &input.shape).collect();
    let saved_len = op.keeps(&input_shapes).saved_bytes;
    let mut saved = vec![0xdead_beef_dead_beefu64; saved_len.div_ceil(8)];
    let mut data = vec![F::of(f64::NAN); shape.len()];
    let views: Vec<View<'_, F>> = inputs.iter().map(|input| View::new(&input.shape, &input.data)).collect();
    let param_data: Vec<&[F]> = params.iter().map(|param| param.data.as_slice()).collect();
    op.forward(Forward {
        inputs: &views,
        params: &param_data,
        output: ViewMut::new(&shape, &mut data),
        saved: &mut bytemuck::cast_slice_mut(&mut saved)[..saved_len],
        run,
    });
    Ran { output: Tensor { shape, data }, saved, saved_len }
}

/// Runs an op backward to everything, handing it exactly what its `keeps` promises (and its inputs if it has
/// parameters). Gradients start from 0.
pub fn run_backward<F: Scalar>(
    op: &impl Kernel<F>,
    inputs: &[Tensor<F>],
    params: &[Tensor<F>],
    ran: &Ran<F>,
    d_output: &[F],
    run: Run,
) -> Gradients<F> {
    backward_from(op, inputs, params, ran, d_output, run, F::zero(), Wanted::All)
}

#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    All,
    Inputs,
    Params,
}

#[allow(clippy::too_many_arguments)]
fn backward_from<F: Scalar>(
    op: &impl Kernel<F>,
    inputs: &[Tensor<F>],
    params: &[Tensor<F>],
    ran: &Ran<F>,
    d_output: &[F],
    run: Run,
    start: F,
    wanted: Wanted,
) -> Gradients<F> {
    let keeps = op.keeps(&inputs.iter().map(|input| &input.shape).collect::<Vec<_>>());
    let with_inputs = keeps.inputs || (!params.is_empty() && wanted != Wanted::Inputs);
    let views: Vec<View<'_, F>> = inputs
        .iter()
        .map(|input| View { shape: &input.shape, data: if with_inputs { &input.data } else { &[] } })
        .collect();
    let param_data: Vec<&[F]> = params.iter().map(|param| param.data.as_slice()).collect();
    let starts = |tensors: &[Tensor<F>]| tensors.iter().map(|t| vec![start; t.data.len()]).collect::<Vec<_>>();
    let mut gradients = Gradients { inputs: starts(inputs), params: starts(params) };
    let mut d_inputs: Vec<Option<&mut [F]>> =
        gradients.inputs.iter_mut().map(|d| (wanted != Wanted::Params).then_some(d.as_mut_slice())).collect();
    let mut d_params: Vec<Option<&mut [F]>> =
        gradients.params.iter_mut().map(|d| (wanted != Wanted::Inputs).then_some(d.as_mut_slice())).collect();
    op.backward(Backward {
        inputs: &views,
        params: &param_data,
        output: View { shape: &ran.output.shape, data: if keeps.output { &ran.output.data } else { &[] } },
        saved: ran.saved(),
        d_output,
        d_inputs: &mut d_inputs,
        d_params: &mut d_params,
        run,
    });
    gradients
}

/// Checks the backward pass against central differences of `w · output` for a random `w`, in every element of every
/// input and parameter; that it ADDS to gradients; and that asking for inputs alone or parameters alone changes
/// nothing. Fails with a list of all differences.
///
/// The caller keeps inputs away from kinks: nothing may change sides within 2e-5.
pub fn gradient_check(op: &impl Kernel<f64>, inputs: &[Tensor<f64>], params: &[Tensor<f64>], run: Run) {
    const RTOL: f64 = 1e-6;
    const ATOL: f64 = 1e-8;
    let ran = run_forward(op, inputs, params, run);
    let weights = Tensor::<f64>::random(&[ran.output.data.len()], 0x5eed).data;
    let got = run_backward(op, inputs, params, &ran, &weights, run);

    let mut report = Report::new("gradient check");
    for (of_param, tensors) in [(false, inputs), (true, params)] {
        for (index, tensor) in tensors.iter().enumerate() {
            let got = if of_param { &got.params[index] } else { &got.inputs[index] };
            let differences: Vec<f64> = (0..tensor.data.len())
                .map(|element| central_difference(op, inputs, params, run, (of_param, index, element), &weights))
                .collect();
            let scale = differences.iter().fold(1.0f64, |max, d| max.max(d.abs()));
            let name = format!("d_{}{index}", if of_param { "param" } else { "input" });
            report.compare(&name, got, &differences, RTOL, ATOL * scale);
        }
    }
    for wanted in [Wanted::All, Wanted::Inputs, Wanted::Params] {
        const START: f64 = 0.5;
        let added = backward_from(op, inputs, params, &ran, &weights, run, START, wanted);
        let mut compare = |what: &str, added: &[Vec<f64>], plain: &[Vec<f64>], asked: bool| {
            for (index, (added, plain)) in added.iter().zip(plain).enumerate() {
                let expected: Vec<f64> = plain.iter().map(|d| START + if asked { *d } else { 0.0 }).collect();
                report.compare(&format!("d_{what}{index} added to {START}"), added, &expected, 1e-12, 1e-12);
            }
        };
        compare("input", &added.inputs, &got.inputs, wanted != Wanted::Params);
        compare("param", &added.params, &got.params, wanted != Wanted::Inputs);
    }
    report.finish();
}

/// d(weights · output) / d(one element), from both sides.
fn central_difference(
    op: &impl Kernel<f64>,
    inputs: &[Tensor<f64>],
    params: &[Tensor<f64>],
    run: Run,
    (of_param, index, element): (bool, usize, usize),
    weights: &[f64],
) -> f64 {
    const STEP: f64 = 1e-5;
    let output_at = |step: f64| {
        let (mut inputs, mut params) = (inputs.to_vec(), params.to_vec());
        let moved = if of_param { &mut params[index] } else { &mut inputs[index] };
        moved.data[element] += step;
        run_forward(op, &inputs, &params, run).output.data
    };
    let (above, below) = (output_at(STEP), output_at(-STEP));
    let change: f64 = above.iter().zip(&below).zip(weights).map(|((a, b), w)| (a - b) * w).sum();
    change / (2.0 * STEP)
}

/// Compares by `|got − expected| <= atol + rtol · |expected|` and panics with the worst entries; NaN never passes.
#[track_caller]
pub fn assert_close<F: Scalar>(name: &str, got: &[F], expected: &[F], rtol: f64, atol: f64) {
    let mut report = Report::new(name);
    report.compare("values", got, expected, rtol, atol);
    report.finish();
}

/// Collects failures, so that one run of a test shows them all.
pub struct Report {
    title: String,
    failures: Vec<String>,
}

impl Report {
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), failures: Vec::new() }
    }

    pub fn fail(&mut self, message: impl Into<String>) {
        self.failures.push(message.into());
    }

    /// As [`assert_close`], but notes a failure instead of panicking.
    pub fn compare<F: Scalar>(&mut self, name: &str, got: &[F], expected: &[F], rtol: f64, atol: f64) {
        const SHOWN: usize = 6;
        if got.len() != expected.len() {
            return self.fail(format!("{name}: {} values instead of {}", got.len(), expected.len()));
        }
        let mut wrong: Vec<(f64, usize)> = Vec::new();
        for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
            let (got, expected) = (Scalar::to_f64(*got), Scalar::to_f64(*expected));
            let excess = (got - expected).abs() / (atol + rtol * expected.abs()).max(f64::MIN_POSITIVE);
            let excess = if excess.is_nan() { f64::INFINITY } else { excess };
            if excess > 1.0 && got != expected {
                wrong.push((excess, i));
            }
        }
        if wrong.is_empty() {
            return;
        }
        wrong.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let worst: Vec<String> = wrong
            .iter()
            .take(SHOWN)
            .map(|&(_, i)| format!("    [{i}] {:?} instead of {:?}", got[i], expected[i]))
            .collect();
        self.fail(format!("{name}: {} of {} values differ\n{}", wrong.len(), got.len(), worst.join("\n")));
    }

    /// Panics with everything that failed.
    #[track_caller]
    pub fn finish(self) {
        assert!(self.failures.is_empty(), "{}:\n  {}", self.title, self.failures.join("\n  "));
    }
}

/// A file of tensors made by a script under `tests/refs/`, with a JSON list of cases in its metadata.
///
/// The metadata's `cases` is a list of objects with a `name`, a `group` (the op's test takes one group) and anything
/// else the test needs. Tensors are named `CASE.NAME`, in the frameworks' layouts (NCHW, OIHW), `f32` or `f64`.
pub struct Fixture {
    cases: Vec<Value>,
    tensors: HashMap<String, (Vec<usize>, Vec<f64>)>,
}

impl Fixture {
    /// Opens `tests/data/ops/FILE`.
    pub fn open(file: &str) -> Self {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ops").join(file);
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).expect("a safetensors header");
        let metadata = metadata.metadata().clone().expect("a fixture has metadata");
        let cases = serde_json::from_str(&metadata["cases"]).expect("a list of cases");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
        let tensors = file.iter().map(|(name, view)| {
            let data: Vec<f64> = match view.dtype() {
                safetensors::Dtype::F64 => bytemuck::pod_collect_to_vec(view.data()),
                safetensors::Dtype::F32 => {
                    let data: Vec<f32> = bytemuck::pod_collect_to_vec(view.data());
                    data.into_iter().map(f64::from).collect()
                }
                other => panic!("{name} is {other:?}, not F32 or F64"),
            };
            (name.to_string(), (view.shape().to_vec(), data))
        });
        Self { cases, tensors: tensors.collect() }
    }

    /// The cases of one group; there must be some.
    pub fn cases<'a>(&'a self, group: &str) -> Vec<Case<'a>> {
        let of_group = self.cases.iter().filter(|case| case["group"] == group);
        let cases: Vec<_> = of_group.map(|attributes| Case { fixture: self, attributes }).collect();
        assert!(!cases.is_empty(), "no case of the group {group}");
        cases
    }
}

/// One case of a [`Fixture`].
pub struct Case<'a> {
    fixture: &'a Fixture,
    /// Everything the script said about the case.
    pub attributes: &'a Value,
}

impl Case<'_> {
    pub fn name(&self) -> &str {
        self.attributes["name"].as_str().expect("a case has a name")
    }

    /// A tensor as it lies in the file.
    pub fn param<F: Scalar>(&self, name: &str) -> Option<Tensor<F>> {
        let (dims, data) = self.fixture.tensors.get(&format!("{}.{name}", self.name()))?;
        Some(Tensor::new(dims, data.iter().map(|&x| F::of(x)).collect()))
    }

    /// A tensor in the engine's layout.
    pub fn blob<F: Scalar>(&self, name: &str) -> Option<Tensor<F>> {
        let mut tensor = self.param(name)?;
        if let [batch, channels, height, width] = *tensor.shape.dims() {
            tensor.data = nhwc_from_nchw([batch, channels, height, width], &tensor.data);
        }
        Some(tensor)
    }

    /// `NAME0`, `NAME1`, … as far as they go.
    fn numbered<F>(&self, get: impl Fn(&str) -> Option<Tensor<F>>, name: &str) -> Vec<Tensor<F>> {
        (0..).map_while(|i| get(&format!("{name}{i}"))).collect()
    }

    fn run(&self) -> Run {
        let mode = if self.attributes["training"] == true { Mode::Training } else { Mode::Inference };
        let relu_rule = match &self.attributes["relu_rule"] {
            Value::Null => ReluRule::default(),
            rule => serde_json::from_value(rule.clone()).expect("a relu rule"),
        };
        Run { mode, relu_rule, ..Run::default() }
    }
}

/// Checks an op against all cases of a group, in `f64` and in `f32`.
///
/// A case has the attributes `op` (as in a graph), `training`, `relu_rule`, and the tensors `input0`…, `param0`…,
/// `output`, `d_output` and, as far as they are to be checked, `d_input0`…, `d_param0`….
pub fn check_literals(file: &str, group: &str) {
    let fixture = Fixture::open(file);
    let mut report = Report::new(format!("{group} of {file}"));
    for case in fixture.cases(group) {
        check_case::<f64>(&case, &mut report, 1e-9);
        check_case::<f32>(&case, &mut report, 2e-5);
    }
    report.finish();
}

/// `tolerance` is relative to the largest value of each tensor.
fn check_case<F: Scalar>(case: &Case<'_>, report: &mut Report, tolerance: f64) {
    let name = format!("{} ({})", case.name(), std::any::type_name::<F>());
    let op: Op = match serde_json::from_value(case.attributes["op"].clone()) {
        Ok(op) => op,
        Err(error) => return report.fail(format!("{name}: {error}")),
    };
    let inputs = case.numbered(|name| case.blob::<F>(name), "input");
    let params = case.numbered(|name| case.param::<F>(name), "param");
    let expected = case.blob::<F>("output").expect("a case has an output");
    match output_shape(&op, &inputs, &params) {
        Ok(shape) if shape == expected.shape => {}
        other => return report.fail(format!("{name}: shape {other:?} instead of {}", expected.shape)),
    }
    let mut compare = |what: &str, got: &[F], expected: &[F]| {
        let scale = expected.iter().fold(1e-3, |max, &x| Scalar::to_f64(x).abs().max(max));
        report.compare(&format!("{name} {what}"), got, expected, tolerance, tolerance * scale);
    };
    let ran = run_forward(&op, &inputs, &params, case.run());
    compare("output", &ran.output.data, &expected.data);
    let Some(d_output) = case.blob::<F>("d_output") else { return };
    let got = run_backward(&op, &inputs, &params, &ran, &d_output.data, case.run());
    for (i, got) in got.inputs.iter().enumerate() {
        if let Some(expected) = case.blob::<F>(&format!("d_input{i}")) {
            compare(&format!("d_input{i}"), got, &expected.data);
        }
    }
    for (i, got) in got.params.iter().enumerate() {
        if let Some(expected) = case.param::<F>(&format!("d_param{i}")) {
            compare(&format!("d_param{i}"), got, &expected.data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Keeps, OpError};
    use super::*;

    /// y = x² · p, with the faults that the checks must find.
    #[derive(Clone, Copy)]
    struct Square {
        slip: f64,
        overwrites: bool,
    }

    impl Operator for Square {
        fn output_shape(&self, inputs: &[&Shape], _: &[&[usize]]) -> Result<Shape, OpError> {
            Ok(inputs[0].clone())
        }
        fn keeps(&self, _: &[&Shape]) -> Keeps {
            Keeps::INPUTS
        }
    }

    impl Kernel<f64> for Square {
        fn forward(&self, args: Forward<'_, f64>) {
            for (y, x) in args.output.data.iter_mut().zip(args.inputs[0].data) {
                *y = x * x * args.params[0][0];
            }
        }
        fn backward(&self, args: Backward<'_, f64>) {
            let x = args.inputs[0].data;
            if let Some(d_input) = &mut args.d_inputs[0] {
                for (i, d) in d_input.iter_mut().enumerate() {
                    let gradient = 2.0 * x[i] * args.params[0][0] * args.d_output[i] * (1.0 + self.slip);
                    *d = if self.overwrites { gradient } else { *d + gradient };
                }
            }
            if let Some(d_param) = &mut args.d_params[0] {
                d_param[0] += x.iter().zip(args.d_output).map(|(x, dy)| x * x * dy).sum::<f64>();
            }
        }
    }

    fn check(op: Square) -> Result<(), String> {
        let (inputs, params) = ([Tensor::random(&[2, 5], 1)], [Tensor::random(&[1], 2)]);
        std::panic::catch_unwind(|| gradient_check(&op, &inputs, &params, Run::default()))
            .map_err(|panic| panic.downcast_ref::<String>().expect("a message").clone())
    }

    #[test]
    fn a_right_gradient_passes_and_a_wrong_one_is_listed() {
        check(Square { slip: 0.0, overwrites: false }).expect("the gradient is right");
        let message = check(Square { slip: 1e-4, overwrites: false }).unwrap_err();
        assert!(message.contains("d_input0: 10 of 10") && !message.contains("d_param0:"), "{message}");
        let message = check(Square { slip: 0.0, overwrites: true }).unwrap_err();
        assert!(message.contains("d_input0 added to 0.5") && !message.contains("d_input0:"), "{message}");
    }

    #[test]
    fn nan_and_missing_values_never_pass() {
        for (got, expected) in [(vec![f64::NAN], vec![1.0]), (vec![1.0], vec![f64::NAN]), (vec![], vec![1.0])] {
            let result = std::panic::catch_unwind(|| assert_close("x", &got, &expected, 1.0, 1.0));
            assert!(result.is_err(), "{got:?} passed for {expected:?}");
        }
        assert_close("equal infinities", &[f64::INFINITY], &[f64::INFINITY], 0.0, 0.0);
    }

    #[test]
    fn separated_values_keep_their_distance_and_shun_nought() {
        for len in [2, 9, 10] {
            let mut values = Tensor::<f64>::separated(&[len], 3).data;
            values.sort_by(f64::total_cmp);
            assert!(values.windows(2).all(|pair| pair[1] - pair[0] > 1.0 / len as f64), "{values:?}");
            assert!(values.iter().all(|x| x.abs() > 0.9 / (len + 1) as f64 && x.abs() <= 1.2), "{values:?}");
        }
    }
}

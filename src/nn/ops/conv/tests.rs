use super::*;
use crate::nn::ops::Run;
use crate::nn::ops::check::{
    Tensor, assert_close, check_literals, gradient_check, maps_from_fn, run_backward, run_forward,
};
use crate::nn::ops::window::Padding;

struct Case {
    name: &'static str,
    window: Window,
    groups: usize,
    in_channels: usize,
    out_channels: usize,
}

fn cases() -> Vec<Case> {
    let asymmetric = Padding::Explicit { top: 2, left: 0, bottom: 1, right: 3 };
    let case =
        |name, window, groups, in_channels, out_channels| Case { name, window, groups, in_channels, out_channels };
    vec![
        case("1×1", Window::square(1, 1), 1, 3, 5),
        case("1×1 stride 2", Window::square(1, 2), 1, 3, 4),
        case("1×1 padded", Window::square(1, 1).padded(Padding::all(1)), 1, 2, 3),
        case("3×3", Window::square(3, 1).padded(Padding::all(1)), 1, 3, 4),
        case("3×3 stride 2 same", Window::square(3, 2).padded(Padding::SameUpper), 1, 3, 4),
        case(
            "3×2 stride 1×3, asymmetric",
            Window { kernel: [3, 2], stride: [1, 3], ..Window::square(1, 1).padded(asymmetric) },
            1,
            2,
            3,
        ),
        case("3×3 dilated", Window { dilation: [2, 1], ..Window::square(3, 1).padded(Padding::all(2)) }, 1, 2, 3),
        case(
            "3×3 stride 2, dilation 3",
            Window { dilation: [3, 3], ..Window::square(3, 2).padded(Padding::all(3)) },
            1,
            2,
            3,
        ),
        case("stride 3 past the kernel", Window::square(2, 3), 1, 2, 2),
        case("2 groups", Window::square(3, 2).padded(asymmetric), 2, 4, 6),
        case("1×1 in 2 groups", Window::square(1, 1), 2, 4, 6),
        case("depthwise", Window::square(3, 1).padded(Padding::all(1)), 5, 5, 5),
        case("depthwise, wide", Window::square(3, 1).padded(Padding::all(1)), 18, 18, 18),
        case("depthwise 5×5 stride 2 same", Window::square(5, 2).padded(Padding::SameLower), 3, 3, 3),
        case(
            "depthwise dilated, asymmetric",
            Window { dilation: [1, 2], ..Window::square(3, 2).padded(asymmetric) },
            3,
            3,
            3,
        ),
        case("depthwise times 2", Window::square(3, 1), 3, 3, 6),
        case("whole maps", Window { kernel: [7, 6], ..Window::square(1, 1) }, 1, 2, 3),
    ]
}

impl Case {
    fn op(&self) -> Conv2d {
        Conv2d { window: self.window, groups: self.groups }
    }

    fn tensors(&self) -> (Tensor<f64>, [Tensor<f64>; 2]) {
        let [kh, kw] = self.window.kernel;
        let weight = Tensor::random(&[self.out_channels, self.in_channels / self.groups, kh, kw], 2);
        (Tensor::random(&[2, self.in_channels, 7, 6], 1), [weight, Tensor::random(&[self.out_channels], 3)])
    }
}

/// By the definition: a sum over every tap and channel of every output.
fn naive(op: &Conv2d, input: &Tensor<f64>, weight: &Tensor<f64>, bias: &[f64]) -> Tensor<f64> {
    let [batch, in_channels, height, width] = input.maps();
    let [out_channels, _, kernel_height, kernel_width] = weight.maps();
    let [rows, columns] = op.window.resolve([height, width]).unwrap();
    let (group_in, group_out) = (in_channels / op.groups, out_channels / op.groups);
    maps_from_fn([batch, out_channels, rows.output, columns.output], |n, o, oy, ox| {
        let mut sum = bias[o];
        for i in 0..group_in {
            for ky in 0..kernel_height {
                for kx in 0..kernel_width {
                    let (Some(y), Some(x)) = (rows.input_at(oy, ky), columns.input_at(ox, kx)) else { continue };
                    let weight = weight.data[((o * group_in + i) * kernel_height + ky) * kernel_width + kx];
                    sum += weight * input.at(n, o / group_out * group_in + i, y, x);
                }
            }
        }
        sum
    })
}

#[test]
fn all_kinds_agree_with_the_definition() {
    for case in cases() {
        let (input, params) = case.tensors();
        let expected = naive(&case.op(), &input, &params[0], &params[1].data);
        let got = run_forward(&case.op(), &[input], &params, Run::default());
        assert_close(case.name, &got.output.data, &expected.data, 1e-12, 1e-12);
    }
}

#[test]
fn gradients() {
    for case in cases() {
        let (input, params) = case.tensors();
        gradient_check(&case.op(), std::slice::from_ref(&input), &params, Run::default());
        gradient_check(&case.op(), &[input], &params[..1], Run::default());
    }
}

/// Many strips, groups and gradient blocks: sizes past every internal cut.
#[test]
fn large_maps_are_cut_without_seams() {
    for (groups, stride) in [(1, 1), (1, 2), (2, 1), (36, 1)] {
        let op = Conv2d { window: Window::square(5, stride).padded(Padding::all(2)), groups };
        let input = Tensor::<f64>::random(&[2, 36, 40, 37], 1);
        let weight = Tensor::<f64>::random(&[36, 36 / groups, 5, 5], 2);
        let expected = naive(&op, &input, &weight, &[0.0; 36]);
        let ran = run_forward(&op, std::slice::from_ref(&input), std::slice::from_ref(&weight), Run::default());
        assert_close("output", &ran.output.data, &expected.data, 1e-11, 1e-11);
        // ⟨dy, conv(x, w)⟩ = ⟨adjoint(dy), x⟩ = ⟨weight gradient, w⟩
        let d_output = Tensor::<f64>::random(&[expected.data.len()], 3).data;
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let got = run_backward(
            &op,
            std::slice::from_ref(&input),
            std::slice::from_ref(&weight),
            &ran,
            &d_output,
            Run::default(),
        );
        let through = dot(&d_output, &expected.data);
        let back = [dot(&got.inputs[0], &input.data), dot(&got.params[0], &weight.data)];
        assert_close("inner products", &back, &[through; 2], 1e-10, 1e-10);
    }
}

#[test]
fn literals() {
    check_literals("spatial.safetensors", "conv2d");
}

#[test]
fn wrong_shapes_are_refused() {
    let maps = Shape::maps(1, 4, 6, 6);
    let shape =
        |groups: usize, window: Window, params: &[&[usize]]| Conv2d { window, groups }.output_shape(&[&maps], params);
    let plain = Window::square(3, 1);
    assert_eq!(shape(1, plain, &[&[8, 4, 3, 3], &[8]]), Ok(Shape::maps(1, 8, 4, 4)));
    assert_eq!(shape(2, plain, &[&[8, 2, 3, 3]]), Ok(Shape::maps(1, 8, 4, 4)));
    assert!(matches!(shape(1, plain, &[]), Err(OpError::Params { got: 0, .. })));
    assert!(matches!(shape(1, plain, &[&[8, 4, 3, 3], &[8], &[8]]), Err(OpError::Params { got: 3, .. })));
    assert!(matches!(shape(1, plain, &[&[8, 3, 3, 3]]), Err(OpError::ParamShape { name: "weight", .. })));
    assert!(matches!(shape(1, plain, &[&[8, 4, 3]]), Err(OpError::ParamShape { name: "weight", .. })));
    assert!(matches!(shape(1, plain, &[&[]]), Err(OpError::ParamShape { name: "weight", .. })));
    assert!(matches!(shape(1, plain, &[&[0, 4, 3, 3]]), Err(OpError::ParamShape { name: "weight", .. })));
    assert!(matches!(shape(1, plain, &[&[8, 4, 3, 3], &[4]]), Err(OpError::ParamShape { name: "bias", .. })));
    for (groups, out) in [(0, 8), (3, 9), (4, 6)] {
        let weight = [out, 4 / groups.max(1), 3, 3];
        assert!(matches!(shape(groups, plain, &[&weight]), Err(OpError::Attribute { name: "groups", .. })), "{groups}");
    }
    assert!(matches!(shape(1, plain.ceil(), &[&[8, 4, 3, 3]]), Err(OpError::Attribute { name: "rounding", .. })));
    assert!(matches!(shape(1, Window::square(7, 1), &[&[8, 4, 7, 7]]), Err(OpError::WindowTooLarge { .. })));
    assert_eq!(shape(1, plain, &[&[1 << 60, 4, 3, 3]]), Err(OpError::TooLarge));
}

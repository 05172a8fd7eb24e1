//! The fast kernels against plain definitions, at every level that this machine has.

use rand::RngExt as _;

use super::frozen::{FrozenConv, Spec, goes_by_winograd};
use crate::base::rng::{Stream, rng};
use crate::base::simd::{LANES, Level};
use crate::nn::ops::maps::{Finish, FusedActivation, Source, Target};
use crate::nn::ops::window::{Padding, Window};

struct Case {
    batch: usize,
    ins: usize,
    outs: usize,
    groups: usize,
    size: [usize; 2],
    window: Window,
}

fn numbers(count: usize, step: u64) -> Vec<f32> {
    let mut rng = rng(1, Stream::Test, step);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Convolution by its definition, in `f64`; `weight` OIHW, maps NHWC.
fn convolve(case: &Case, x: &[f32], weight: &[f32]) -> (Vec<f64>, [usize; 2]) {
    let [vertical, horizontal] = case.window.resolve(case.size).unwrap();
    let (ins, outs) = (case.ins / case.groups, case.outs / case.groups);
    let mut y = Vec::new();
    for (n, oy) in (0..case.batch).flat_map(|n| (0..vertical.output).map(move |oy| (n, oy))) {
        for (ox, o) in (0..horizontal.output).flat_map(|ox| (0..case.outs).map(move |o| (ox, o))) {
            let mut sum = 0.0;
            for (ky, kx) in (0..vertical.kernel).flat_map(|ky| (0..horizontal.kernel).map(move |kx| (ky, kx))) {
                let (Some(iy), Some(ix)) = (vertical.input_at(oy, ky), horizontal.input_at(ox, kx)) else { continue };
                for i in 0..ins {
                    let pixel = (n * case.size[0] + iy) * case.size[1] + ix;
                    let w = weight[((o * ins + i) * vertical.kernel + ky) * horizontal.kernel + kx];
                    sum += f64::from(x[pixel * case.ins + o / outs * ins + i]) * f64::from(w);
                }
            }
            y.push(sum);
        }
    }
    (y, [vertical.output, horizontal.output])
}

fn cases() -> Vec<Case> {
    let case = |batch, ins, outs, groups, size, window| Case { batch, ins, outs, groups, size, window };
    let same = Padding::SameUpper;
    vec![
        case(1, 3, 32, 1, [17, 19], Window::square(3, 2).padded(same)),
        case(2, 3, 20, 1, [15, 16], Window::square(7, 2).padded(Padding::all(3))),
        case(1, 24, 100, 1, [9, 11], Window::square(1, 1)),
        case(3, 40, 17, 1, [5, 7], Window::square(1, 2)),
        case(2, 16, 48, 1, [12, 10], Window::square(3, 1).padded(Padding::all(1))),
        case(1, 50, 37, 1, [13, 9], Window::square(3, 1)),
        case(3, 17, 150, 1, [3, 21], Window::square(3, 1).padded(Padding::all(2))),
        case(1, 40, 300, 1, [6, 6], Window::square(3, 1).padded(same)),
        case(1, 5, 7, 1, [13, 13], Window { dilation: [2, 3], ..Window::square(3, 1) }.padded(Padding::all(2))),
        case(1, 8, 64, 2, [9, 9], Window::square(5, 1).padded(Padding::all(2))),
        case(1, 12, 6, 3, [8, 9], Window::square(3, 2).padded(Padding::all(1))),
        case(2, 32, 32, 32, [14, 15], Window::square(3, 1).padded(same)),
        case(1, 40, 40, 40, [14, 15], Window::square(5, 2).padded(same)),
        case(1, 20, 20, 20, [9, 40], Window::square(5, 1).padded(same)),
        case(1, 16, 16, 16, [7, 50], Window { kernel: [2, 7], ..Window::square(7, 1) }.padded(Padding::all(3))),
        case(2, 33, 33, 33, [12, 45], Window::square(4, 2).padded(Padding::all(1))),
        case(1, 7, 7, 7, [6, 5], Window::square(3, 1).padded(Padding::all(1))),
        case(1, 96, 96, 96, [9, 31], Window { dilation: [2, 1], ..Window::square(3, 2) }.padded(same)),
        case(1, 4, 9, 1, [30, 8], Window::square(11, 4).padded(Padding::all(2))),
    ]
}

fn spec<'a>(case: &Case, weight: &'a [f32], bias: &[f32]) -> Spec<'a> {
    Spec {
        kernel: case.window.kernel,
        stride: case.window.stride,
        dilation: case.window.dilation,
        groups: case.groups,
        in_channels: case.ins,
        out_channels: case.outs,
        transposed: false,
        weight,
        bias: bias.to_vec(),
    }
}

fn source(data: &[f32], batch: usize, [height, width]: [usize; 2], channels: usize) -> Source {
    Source { data: data.as_ptr(), batch, height, width, pixel_stride: channels }
}

/// Winograd's transforms mix values of a whole tile: their rounding goes with the largest of them, not with the value
/// itself (Barabasz et al. 2018), and is several times that of a plain sum.
fn assert_close_to_largest(what: &str, got: &[f32], want: &[f64], sums: &[f64]) {
    assert!(got.len() >= want.len());
    let largest = sums.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(got) - want).abs();
        assert!(error <= 1e-5 * largest, "{what}: [{i}] is {got}, should be {want}, of at most {largest}");
    }
}

fn assert_close(what: &str, got: &[f32], want: &[f64]) {
    assert!(got.len() >= want.len());
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(got) - want).abs() <= 1e-5 * (1.0 + want.abs()), "{what}: [{i}] is {got}, should be {want}");
    }
}

#[test]
fn forward_and_backward_agree_with_the_definition_at_every_level() {
    for (index, case) in cases().iter().enumerate() {
        let pixels = case.batch * case.size[0] * case.size[1];
        let [kh, kw] = case.window.kernel;
        let mut x = numbers(pixels * case.ins, 1);
        let weight = numbers(case.outs * case.ins / case.groups * kh * kw, 2);
        let bias = numbers(case.outs, 3);
        let (y, out) = convolve(case, &x, &weight);
        let out_pixels = case.batch * out[0] * out[1];
        let dy = numbers(out_pixels * case.outs, 4);
        // <conv(x + e), dy> is linear in e: the gradient is found by probing one input at a time.
        let d_x: Vec<f64> = {
            let mut unit = vec![0.0; x.len()];
            (0..x.len())
                .step_by(1 + x.len() / 60)
                .map(|i| {
                    unit[i] = 1.0;
                    let response = convolve(case, &unit, &weight).0;
                    unit[i] = 0.0;
                    response.iter().zip(&dy).map(|(a, &b)| a * f64::from(b)).sum()
                })
                .collect()
        };
        // Kernels may read up to 15 floats past the end.
        x.resize(x.len() + LANES, f32::NAN);
        let mut dy_padded = dy.clone();
        dy_padded.resize(dy.len() + LANES, f32::NAN);
        let axes = case.window.resolve(case.size).unwrap();
        for level in Level::available() {
            let conv = FrozenConv::new(level, &spec(case, &weight, &bias), true);
            let lattices = conv.lattices(&axes);
            let mut got = vec![f32::NAN; out_pixels * case.outs];
            let finish = Finish { bias: conv.bias().as_ptr(), ..Finish::NONE };
            let target = |data: &mut [f32], [height, width]: [usize; 2], channels, finish| Target {
                data: data.as_mut_ptr(),
                height,
                width,
                pixel_stride: channels,
                finish,
            };
            let want: Vec<f64> = y.iter().enumerate().map(|(i, y)| y + f64::from(bias[i % case.outs])).collect();
            let mut d_got = vec![f32::NAN; pixels * case.ins];
            // SAFETY: all maps have the sizes that the lattices were made for, with 16 floats to spare.
            unsafe {
                let from = source(&x, case.batch, case.size, case.ins);
                conv.forward(&lattices, from, target(&mut got, out, case.outs, finish));
                let from = source(&dy_padded, case.batch, out, case.outs);
                conv.backward(&lattices, from, target(&mut d_got, case.size, case.ins, Finish::NONE));
            }
            let by_winograd = goes_by_winograd(&spec(case, &weight, &bias));
            let compare = |way: &str, got: &[f32], want: &[f64]| {
                let what = format!("case {index} {level:?} {way}");
                if by_winograd {
                    assert_close_to_largest(&what, got, want, want);
                } else {
                    assert_close(&what, got, want);
                }
            };
            compare("forward", &got, &want);
            let d_got: Vec<f32> = d_got.into_iter().step_by(1 + pixels * case.ins / 60).collect();
            compare("backward", &d_got, &d_x);
        }
    }
}

#[test]
fn the_epilogue_adds_clamps_and_gates() {
    let case = &cases()[4];
    assert_eq!(case.window.kernel, [3, 3]);
    let out = [12, 10];
    let pixels = case.batch * 120;
    let x = numbers(pixels * case.ins + LANES, 1);
    let weight = numbers(case.outs * case.ins * 9, 2);
    let (y, _) = convolve(case, &x, &weight);
    let residual = numbers(pixels * case.outs, 5);
    for level in Level::available() {
        let conv = FrozenConv::new(level, &spec(case, &weight, &vec![0.0; case.outs]), true);
        let lattices = conv.lattices(&case.window.resolve(case.size).unwrap());
        let mut bits = vec![0u16; pixels * 3];
        let mut got = vec![f32::NAN; pixels * case.outs];
        let activation = FusedActivation::Clamp { low: 0.0, high: 1.5, bits: bits.as_mut_ptr(), bits_stride: 3 };
        let finish = Finish { add: residual.as_ptr(), add_stride: case.outs, activation, ..Finish::NONE };
        let target = Target { data: got.as_mut_ptr(), height: out[0], width: out[1], pixel_stride: case.outs, finish };
        // SAFETY: as above.
        unsafe { conv.forward(&lattices, source(&x, case.batch, case.size, case.ins), target) };
        let sums: Vec<f64> = y.iter().zip(&residual).map(|(y, &r)| y + f64::from(r)).collect();
        let want: Vec<f64> = sums.iter().map(|y| y.clamp(0.0, 1.5)).collect();
        assert_close_to_largest(&format!("{level:?}"), &got, &want, &sums);
        for (i, y) in sums.iter().enumerate() {
            let bit = bits[i / case.outs * 3 + i % case.outs / LANES] >> (i % case.outs % LANES) & 1 == 1;
            assert!(bit == (*y > 0.0 && *y < 1.5) || (y.abs() < 1e-4 || (y - 1.5).abs() < 1e-4), "{level:?} {i} {y}");
        }
        let activation = FusedActivation::Gate { bits: bits.as_ptr(), bits_stride: 3, positive_only: true };
        let maps = source(&residual, case.batch, out, case.outs);
        let target = Target { finish: Finish { activation, ..Finish::NONE }, ..target };
        // SAFETY: as above; the residual has exactly the pixels that are read.
        unsafe { crate::nn::ops::finish::finish_maps(level, &maps, &target, pixels, case.outs) };
        for (i, (&got, &value)) in got.iter().zip(&residual).enumerate() {
            let bit = bits[i / case.outs * 3 + i % case.outs / LANES] >> (i % case.outs % LANES) & 1 == 1;
            assert_eq!(got, if bit { value.max(0.0) } else { 0.0 }, "{level:?} {i}");
        }
    }
}

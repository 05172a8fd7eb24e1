//! Local response normalization (Krizhevsky 2012).

use serde::{Deserialize, Serialize};

use super::lanes::{LANES, dot, for_active_level, load, load_mut, raise, rows_per_task, with_scratch};
use super::spatial_norm::WindowNorm;
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator, expect_inputs, expect_maps};
use crate::base::parallel;
use crate::base::tensor::{Scalar, Shape};

/// y = x / (bias + alpha · Σ x²)^beta; the sum is over `size` channels, or over `size`² pixels of one channel.
///
/// The window is centred; of an even one, the larger part lies on lower channels (or above and left), as in PyTorch.
/// (MatConvNet puts it on higher channels.) What lies outside counts as nought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lrn {
    pub size: usize,
    /// The factor of one term of the sum. Caffe and PyTorch state it times the number of terms: importers divide.
    pub alpha: f32,
    pub beta: f32,
    pub bias: f32,
    pub region: LrnRegion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrnRegion {
    AcrossChannels,
    WithinChannel,
}

/// Checks the constants of a normalization; the base of the power must stay positive.
pub(super) fn expect_constants(alpha: f32, beta: f32, bias: f32) -> Result<(), OpError> {
    let allowed = [
        ("alpha", alpha, alpha.is_finite() && alpha >= 0.0, "a finite number, not negative"),
        ("beta", beta, beta.is_finite(), "a finite number"),
        ("bias", bias, bias.is_finite() && bias > 0.0, "a finite number above 0"),
    ];
    match allowed.into_iter().find(|&(_, _, fits, _)| !fits) {
        Some((name, value, _, needed)) => Err(OpError::Attribute { name, reason: format!("{value} is not {needed}") }),
        None => Ok(()),
    }
}

impl Lrn {
    fn within(&self) -> WindowNorm {
        WindowNorm {
            window: [self.size; 2],
            before: [self.size / 2; 2],
            mean: false,
            bias: self.bias,
            alpha: self.alpha,
            beta: self.beta,
        }
    }

    fn across(&self, input: &Shape) -> Across {
        let channels = input.as_maps().expect("output_shape has checked the input")[1];
        Across {
            channels,
            below: (self.size / 2).min(channels - 1),
            above: ((self.size - 1) / 2).min(channels - 1),
            alpha: self.alpha,
            beta: self.beta,
            bias: self.bias,
        }
    }
}

impl Operator for Lrn {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let [input] = expect_inputs(inputs, "1 input")?;
        expect_maps(input)?;
        if !params.is_empty() {
            return Err(OpError::Params { expected: "none", got: params.len() });
        }
        if self.size == 0 {
            return Err(OpError::Attribute { name: "size", reason: "0 is not above 0".into() });
        }
        expect_constants(self.alpha, self.beta, self.bias)?;
        Ok((*input).clone())
    }

    fn keeps(&self, inputs: &[&Shape]) -> Keeps {
        match self.region {
            LrnRegion::AcrossChannels => Keeps::INPUTS,
            LrnRegion::WithinChannel => WindowNorm::keeps(inputs),
        }
    }
}

impl<F: Scalar> Kernel<F> for Lrn {
    fn forward(&self, args: Forward<'_, F>) {
        match self.region {
            LrnRegion::AcrossChannels => {
                self.across(args.inputs[0].shape).forward(args.inputs[0].data, args.output.data);
            }
            LrnRegion::WithinChannel => self.within().forward(args),
        }
    }

    fn backward(&self, args: Backward<'_, F>) {
        match self.region {
            LrnRegion::AcrossChannels => {
                let Some(d_input) = &mut args.d_inputs[0] else { return };
                self.across(args.inputs[0].shape).backward(args.inputs[0].data, args.d_output, d_input);
            }
            LrnRegion::WithinChannel => self.within().backward(args),
        }
    }
}

/// Normalization across channels: `below` and `above` are the channels on either side that a channel sees.
struct Across {
    channels: usize,
    below: usize,
    above: usize,
    alpha: f32,
    beta: f32,
    bias: f32,
}

impl Across {
    fn padded(&self) -> usize {
        self.below + self.channels + self.above
    }

    fn forward<F: Scalar>(&self, input: &[F], output: &mut [F]) {
        let task_len = rows_per_task(self.channels) * self.channels;
        parallel::for_each_chunk_mut(output, task_len, |task, output| {
            let input = &input[task * task_len..][..output.len()];
            with_scratch(self.padded(), |squares| forward_pixels(self, input, output, squares));
        });
    }

    fn backward<F: Scalar>(&self, input: &[F], d_output: &[F], d_input: &mut [F]) {
        let task_len = rows_per_task(self.channels) * self.channels;
        parallel::for_each_chunk_mut(d_input, task_len, |task, d_input| {
            let of_task = task * task_len..task * task_len + d_input.len();
            let (input, d_output) = (&input[of_task.clone()], &d_output[of_task]);
            with_scratch(2 * self.padded() + 2 * self.channels, |scratch| {
                backward_pixels(self, input, d_output, d_input, scratch);
            });
        });
    }

    /// bias + alpha · Σ x² for every channel of a pixel. `squares` has zeros around the channels' places.
    #[inline(always)]
    fn bases<F: Scalar>(&self, x: &[F], squares: &mut [F], bases: &mut [F]) {
        for (square, x) in squares[self.below..][..x.len()].iter_mut().zip(x) {
            *square = *x * *x;
        }
        window_sums(squares, self.below + self.above + 1, bases);
        let (alpha, bias) = (F::of(f64::from(self.alpha)), F::of(f64::from(self.bias)));
        for base in bases {
            *base = bias + alpha * *base;
        }
    }
}

for_active_level! {
    fn forward_pixels<F: Scalar>(op: &Across, input: &[F], output: &mut [F], squares: &mut [F]) {
        for (x, y) in input.chunks_exact(op.channels).zip(output.chunks_exact_mut(op.channels)) {
            op.bases(x, squares, y);
            raise(y, -op.beta);
            for (y, x) in y.iter_mut().zip(x) {
                *y *= *x;
            }
        }
    }
}

for_active_level! {
    /// With base s, p = s^−beta and y = x·p: dx = dy·p − 2·alpha·beta·x · Σ dy·x·p/s, over the channels that see x.
    /// The bases are made again: that is cheaper than to keep them.
    fn backward_pixels<F: Scalar>(op: &Across, input: &[F], d_output: &[F], d_input: &mut [F], scratch: &mut [F]) {
        let channels = op.channels;
        let factor = F::of(-2.0 * f64::from(op.alpha) * f64::from(op.beta));
        let (squares, scratch) = scratch.split_at_mut(op.padded());
        let (terms, scratch) = scratch.split_at_mut(op.padded());
        let (bases, powers) = scratch.split_at_mut(channels);
        let pixels = input.chunks_exact(channels).zip(d_output.chunks_exact(channels));
        for ((x, dy), dx) in pixels.zip(d_input.chunks_exact_mut(channels)) {
            op.bases(x, squares, bases);
            powers.copy_from_slice(bases);
            raise(powers, -op.beta);
            // A channel is seen by those that it sees, mirrored.
            let own = &mut terms[op.above..][..channels];
            for ((((term, base), power), x), dy) in own.iter_mut().zip(&*bases).zip(&*powers).zip(x).zip(dy) {
                *term = *dy * *x * *power / *base;
            }
            window_sums(terms, op.below + op.above + 1, bases);
            for ((((dx, sum), power), x), dy) in dx.iter_mut().zip(&*bases).zip(&*powers).zip(x).zip(dy) {
                *dx += *dy * *power + factor * *x * *sum;
            }
        }
    }
}

/// `sums[c]` = Σ `padded[c..c + taps]`.
#[inline(always)]
fn window_sums<F: Scalar>(padded: &[F], taps: usize, sums: &mut [F]) {
    if taps == 2 * sums.len() - 1 {
        // Every window holds every channel.
        let ones = [F::one(); LANES];
        let total: F = padded.chunks(LANES).map(|chunk| dot(chunk, &ones[..chunk.len()])).sum();
        return sums.fill(total);
    }
    let mut c = 0;
    while c + LANES <= sums.len() {
        let mut sum = [F::zero(); LANES];
        for tap in 0..taps {
            let values: &[F; LANES] = load(padded, c + tap);
            for i in 0..LANES {
                sum[i] += values[i];
            }
        }
        *load_mut(sums, c) = sum;
        c += LANES;
    }
    for c in c..sums.len() {
        sums[c] = padded[c..c + taps].iter().copied().sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::Run;
    use crate::nn::ops::check::{Tensor, assert_close, check_literals, gradient_check, maps_from_fn, run_forward};

    const REGIONS: [LrnRegion; 2] = [LrnRegion::AcrossChannels, LrnRegion::WithinChannel];

    fn lrn(size: usize, beta: f32, region: LrnRegion) -> Lrn {
        Lrn { size, alpha: 0.3, beta, bias: 1.5, region }
    }

    /// By the definition, term by term.
    fn naive(op: &Lrn, input: &Tensor<f64>) -> Tensor<f64> {
        let [_, channels, height, width] = input.maps();
        let seen = |at: usize, len: usize| {
            (0..len).filter(move |&other| other + op.size / 2 >= at && other <= at + (op.size - 1) / 2)
        };
        maps_from_fn(input.maps(), |n, c, y, x| {
            let sum: f64 = match op.region {
                LrnRegion::AcrossChannels => seen(c, channels).map(|c| input.at(n, c, y, x).powi(2)).sum(),
                LrnRegion::WithinChannel => {
                    let pixels = seen(y, height).flat_map(|y| seen(x, width).map(move |x| (y, x)));
                    pixels.map(|(y, x)| input.at(n, c, y, x).powi(2)).sum()
                }
            };
            input.at(n, c, y, x) / (f64::from(op.bias) + f64::from(op.alpha) * sum).powf(f64::from(op.beta))
        })
    }

    #[test]
    fn all_sizes_and_powers_agree_with_the_definition() {
        for region in REGIONS {
            for size in [1, 2, 3, 4, 5, 9, 37, 40, 1000] {
                for channels in [1, 5, 16, 37] {
                    for beta in [0.75, 0.5, 1.0, 0.6] {
                        let op = lrn(size, beta, region);
                        let input = Tensor::random(&[2, channels, 4, 5], 1);
                        let expected = naive(&op, &input);
                        let got = run_forward(&op, &[input], &[], Run::default());
                        let name = format!("{op:?} of {channels}");
                        assert_close(&name, &got.output.data, &expected.data, 1e-12, 1e-12);
                    }
                }
            }
        }
    }

    #[test]
    fn many_channels_leave_the_stack() {
        let input = Tensor::random(&[1, 5000, 1, 2], 1);
        let op = lrn(5, 0.75, LrnRegion::AcrossChannels);
        let expected = naive(&op, &input);
        let got = run_forward(&op, &[input], &[], Run::default());
        assert_close("output", &got.output.data, &expected.data, 1e-12, 1e-12);
    }

    #[test]
    fn gradients() {
        for region in REGIONS {
            for (size, beta) in [(1, 0.75), (2, 0.6), (3, 0.75), (4, 0.5), (5, 1.0), (100, 0.75)] {
                let input = Tensor::random(&[2, 19, 3, 2], 2);
                gradient_check(&lrn(size, beta, region), &[input], &[], Run::default());
            }
        }
    }

    #[test]
    fn literals() {
        check_literals("spatial.safetensors", "lrn");
    }

    #[test]
    fn wrong_attributes_are_refused() {
        let maps = Shape::maps(1, 3, 4, 4);
        let good = lrn(5, 0.75, LrnRegion::AcrossChannels);
        let name_of = |op: Lrn| match op.output_shape(&[&maps], &[]) {
            Err(OpError::Attribute { name, .. }) => name,
            other => panic!("{op:?} gives {other:?}"),
        };
        assert_eq!(good.output_shape(&[&maps], &[]), Ok(maps.clone()));
        assert_eq!(name_of(Lrn { size: 0, ..good.clone() }), "size");
        assert_eq!(name_of(Lrn { alpha: -1.0, ..good.clone() }), "alpha");
        assert_eq!(name_of(Lrn { alpha: f32::NAN, ..good.clone() }), "alpha");
        assert_eq!(name_of(Lrn { beta: f32::INFINITY, ..good.clone() }), "beta");
        assert_eq!(name_of(Lrn { bias: 0.0, ..good.clone() }), "bias");
        assert!(matches!(good.output_shape(&[&maps, &maps], &[]), Err(OpError::Inputs { got: 2, .. })));
        assert!(matches!(good.output_shape(&[&maps], &[&[3]]), Err(OpError::Params { got: 1, .. })));
    }
}

//! Batch normalization (Ioffe 2015), and the moments that instance normalization shares with it.

use serde::{Deserialize, Serialize};

use super::lanes::{add_channel_sums, rows_per_task};
use super::{Backward, Forward, Keeps, Kernel, Mode, OpError, Operator, expect_inputs, expect_maps, expect_param};
use crate::base::parallel;
use crate::base::tensor::{Scalar, Shape};

/// y = gamma · (x − mean) / √(variance + epsilon) + beta, channel by channel.
///
/// Parameters: `gamma`, `beta`, `mean`, `variance`, each \[channels\]. In training the mean and the (biased) variance
/// of the batch take the place of the stored ones, whose gradient is then nought; [`BatchNorm::batch_statistics`]
/// reads them, so that a trainer can update the stored ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchNorm {
    pub epsilon: f32,
}

impl BatchNorm {
    /// The `[mean, variance]` of the batch, channel by channel, that a forward pass in training left in its `saved`.
    ///
    /// The variance is the biased one (divided by n = batch · height · width): PyTorch updates its running variance
    /// with n / (n − 1) times it.
    pub fn batch_statistics<F: Scalar>(saved: &[u8], channels: usize) -> [&[F]; 2] {
        let (mean, variance) = bytemuck::cast_slice(&saved[..2 * channels * size_of::<F>()]).split_at(channels);
        [mean, variance]
    }
}

/// Checks what stabilizes a division by a standard deviation.
pub(super) fn expect_epsilon(epsilon: f32) -> Result<(), OpError> {
    if epsilon.is_finite() && epsilon >= 0.0 {
        return Ok(());
    }
    Err(OpError::Attribute { name: "epsilon", reason: format!("{epsilon} is not a finite number, at least 0") })
}

impl Operator for BatchNorm {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let [input] = expect_inputs(inputs, "1 input")?;
        let [_, channels, ..] = expect_maps(input)?;
        expect_epsilon(self.epsilon)?;
        let names = ["gamma", "beta", "mean", "variance"];
        if params.len() != names.len() {
            return Err(OpError::Params { expected: "gamma, beta, mean and variance", got: params.len() });
        }
        for (name, param) in names.into_iter().zip(params) {
            expect_param(name, &[channels], param)?;
        }
        Ok((*input).clone())
    }

    /// What training needs; with stored statistics the gradient to the input needs nothing.
    fn keeps(&self, inputs: &[&Shape]) -> Keeps {
        let channels = inputs.first().and_then(|input| input.as_maps()).map_or(0, |[_, channels, ..]| channels);
        Keeps { inputs: true, output: false, saved_bytes: 2 * channels * size_of::<f64>() }
    }
}

impl<F: Scalar> Kernel<F> for BatchNorm {
    fn forward(&self, args: Forward<'_, F>) {
        let (input, channels) = (args.inputs[0].data, args.inputs[0].shape.dims()[1]);
        let [gamma, beta, mean, variance] = [0, 1, 2, 3].map(|i| args.params[i]);
        let saved: &mut [F] = bytemuck::cast_slice_mut(&mut args.saved[..2 * channels * size_of::<F>()]);
        let (batch_mean, batch_variance) = saved.split_at_mut(channels);
        let [mean, variance] = match args.run.mode {
            Mode::Inference => [mean, variance],
            Mode::Training => {
                measure(input, batch_mean, batch_variance);
                [&*batch_mean, &*batch_variance]
            }
        };
        Normal::new(mean, variance, gamma, self.epsilon).forward(input, beta, args.output.data);
    }

    fn backward(&self, args: Backward<'_, F>) {
        let (input, channels) = (args.inputs[0].data, args.inputs[0].shape.dims()[1]);
        let [gamma, _, mean, variance] = [0, 1, 2, 3].map(|i| args.params[i]);
        let statistics = match args.run.mode {
            Mode::Inference => [mean, variance],
            Mode::Training => Self::batch_statistics(args.saved, channels),
        };
        let normal = Normal::new(statistics[0], statistics[1], gamma, self.epsilon);
        let training = args.run.mode == Mode::Training;
        let sums = (training || args.d_params.iter().any(Option::is_some)).then(|| normal.sums(input, args.d_output));
        if let Some(d_input) = &mut args.d_inputs[0] {
            normal.add_input_gradient(input, args.d_output, sums.as_ref().filter(|_| training), d_input);
        }
        let Some(sums) = sums else { return };
        for (place, d_param) in args.d_params.iter_mut().enumerate() {
            let Some(d_param) = d_param else { continue };
            for (c, d_param) in d_param.iter_mut().enumerate() {
                let scale = normal.scale[c];
                *d_param += match place {
                    0 => sums.of_product[c],
                    1 => sums.of_gradient[c],
                    _ if training => F::zero(),
                    2 => -scale * sums.of_gradient[c],
                    // d(variance + epsilon)^−½
                    _ => F::of(-0.5) * scale * normal.inverse_deviation[c] * sums.of_product[c],
                };
            }
        }
    }
}

/// The mean and the biased variance of each channel of NHWC data, in two passes.
pub(super) fn measure<F: Scalar>(data: &[F], mean: &mut [F], variance: &mut [F]) {
    let pixels = data.len() / mean.len();
    let count = F::of(pixels as f64);
    mean.fill(F::zero());
    add_channel_sums(pixels, mean, |sums, _, at| {
        sums.iter_mut().zip(&data[at..]).for_each(|(sum, x)| *sum += *x);
    });
    mean.iter_mut().for_each(|mean| *mean /= count);
    variance.fill(F::zero());
    add_channel_sums(pixels, variance, |sums, c, at| {
        for ((sum, x), mean) in sums.iter_mut().zip(&data[at..]).zip(&mean[c..]) {
            *sum += (*x - *mean) * (*x - *mean);
        }
    });
    variance.iter_mut().for_each(|variance| *variance /= count);
}

/// x ↦ (x − mean) · scale + beta with scale = gamma / √(variance + epsilon), channel by channel.
pub(super) struct Normal<'a, F> {
    mean: &'a [F],
    inverse_deviation: Vec<F>,
    scale: Vec<F>,
}

/// Sums over pixels of a gradient, and of its product with normalized values.
pub(super) struct Sums<F> {
    pub of_gradient: Vec<F>,
    pub of_product: Vec<F>,
}

impl<'a, F: Scalar> Normal<'a, F> {
    pub fn new(mean: &'a [F], variance: &[F], gamma: &[F], epsilon: f32) -> Self {
        let epsilon = F::of(f64::from(epsilon));
        let inverse_deviation: Vec<F> = variance.iter().map(|&v| F::one() / (v + epsilon).sqrt()).collect();
        let scale = inverse_deviation.iter().zip(gamma).map(|(&inverse, &gamma)| inverse * gamma).collect();
        Self { mean, inverse_deviation, scale }
    }

    pub fn forward(&self, input: &[F], beta: &[F], output: &mut [F]) {
        let channels = self.mean.len();
        let task_len = rows_per_task(channels) * channels;
        parallel::for_each_chunk_mut(output, task_len, |task, output| {
            let pixels = input[task * task_len..].chunks_exact(channels);
            for (x, y) in pixels.zip(output.chunks_exact_mut(channels)) {
                for ((((y, x), mean), scale), beta) in y.iter_mut().zip(x).zip(self.mean).zip(&self.scale).zip(beta) {
                    *y = (*x - *mean) * *scale + *beta;
                }
            }
        });
    }

    pub fn sums(&self, input: &[F], d_output: &[F]) -> Sums<F> {
        let channels = self.mean.len();
        let pixels = d_output.len() / channels;
        let mut of_gradient = vec![F::zero(); channels];
        add_channel_sums(pixels, &mut of_gradient, |sums, _, at| {
            sums.iter_mut().zip(&d_output[at..]).for_each(|(sum, dy)| *sum += *dy);
        });
        let mut of_product = vec![F::zero(); channels];
        add_channel_sums(pixels, &mut of_product, |sums, c, at| {
            for (((sum, dy), x), mean) in sums.iter_mut().zip(&d_output[at..]).zip(&input[at..]).zip(&self.mean[c..]) {
                *sum += *dy * (*x - *mean);
            }
        });
        of_product.iter_mut().zip(&self.inverse_deviation).for_each(|(sum, inverse)| *sum *= *inverse);
        Sums { of_gradient, of_product }
    }

    /// Adds the gradient to the input. `through` is given where mean and variance were measured on the input itself:
    /// dx = scale · (dy − mean of dy − x̂ · mean of dy·x̂).
    pub fn add_input_gradient(&self, input: &[F], d_output: &[F], through: Option<&Sums<F>>, d_input: &mut [F]) {
        let channels = self.mean.len();
        let count = F::of((d_output.len() / channels) as f64);
        let (mut shift, mut slope) = (vec![F::zero(); channels], vec![F::zero(); channels]);
        if let Some(sums) = through {
            for c in 0..channels {
                shift[c] = self.scale[c] * sums.of_gradient[c] / count;
                slope[c] = self.scale[c] * self.inverse_deviation[c] * sums.of_product[c] / count;
            }
        }
        let task_len = rows_per_task(channels) * channels;
        parallel::for_each_chunk_mut(d_input, task_len, |task, d_input| {
            let d_output = &d_output[task * task_len..];
            for (pixel, dx) in d_input.chunks_exact_mut(channels).enumerate() {
                let dy = &d_output[pixel * channels..][..channels];
                for ((dx, dy), scale) in dx.iter_mut().zip(dy).zip(&self.scale) {
                    *dx += *dy * *scale;
                }
                if through.is_some() {
                    let x = &input[task * task_len + pixel * channels..][..channels];
                    for ((((dx, x), mean), shift), slope) in dx.iter_mut().zip(x).zip(self.mean).zip(&shift).zip(&slope)
                    {
                        *dx -= *shift + (*x - *mean) * *slope;
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::Run;
    use crate::nn::ops::check::{Tensor, assert_close, check_literals, gradient_check, maps_from_fn, run_forward};

    const OP: BatchNorm = BatchNorm { epsilon: 1e-3 };
    const TRAINING: Run =
        Run { mode: Mode::Training, relu_rule: crate::nn::ops::ReluRule::Gradient, seed: 0, step: 0, node: 0 };

    fn params(channels: usize) -> [Tensor<f64>; 4] {
        [
            Tensor::random(&[channels], 11),
            Tensor::random(&[channels], 12),
            Tensor::random(&[channels], 13),
            Tensor::random_between(&[channels], 14, 0.2, 2.0),
        ]
    }

    #[test]
    fn both_modes_agree_with_the_definition() {
        for dims in [[2, 3, 4, 5], [3, 17, 1, 1], [2, 40, 9, 9]] {
            let (input, params) = (Tensor::<f64>::random(&dims, 1), params(dims[1]));
            let [batch, _, height, width] = dims;
            let of_channel = |c: usize| {
                let pixels = (0..batch).flat_map(|n| (0..height).map(move |y| (n, y)));
                pixels.flat_map(move |(n, y)| (0..width).map(move |x| (n, y, x))).map(move |(n, y, x)| (n, c, y, x))
            };
            let count = (batch * height * width) as f64;
            for mode in [Mode::Inference, Mode::Training] {
                let mean_of = |c| of_channel(c).map(|(n, c, y, x)| input.at(n, c, y, x)).sum::<f64>() / count;
                let expected = maps_from_fn(dims, |n, c, y, x| {
                    let (mean, variance) = match mode {
                        Mode::Inference => (params[2].data[c], params[3].data[c]),
                        Mode::Training => {
                            let mean = mean_of(c);
                            let squares = of_channel(c).map(|(n, c, y, x)| (input.at(n, c, y, x) - mean).powi(2));
                            (mean, squares.sum::<f64>() / count)
                        }
                    };
                    let deviation = (variance + f64::from(OP.epsilon)).sqrt();
                    params[0].data[c] * (input.at(n, c, y, x) - mean) / deviation + params[1].data[c]
                });
                let ran = run_forward(&OP, std::slice::from_ref(&input), &params, Run { mode, ..Run::default() });
                assert_close(&format!("{mode:?} {dims:?}"), &ran.output.data, &expected.data, 1e-11, 1e-11);
                if mode == Mode::Training {
                    let [mean, _] = BatchNorm::batch_statistics::<f64>(ran.saved(), dims[1]);
                    let expected: Vec<f64> = (0..dims[1]).map(mean_of).collect();
                    assert_close("mean", mean, &expected, 1e-12, 1e-12);
                }
            }
        }
    }

    #[test]
    fn gradients() {
        for dims in [[2, 3, 3, 2], [4, 17, 1, 1]] {
            for run in [Run::default(), TRAINING] {
                gradient_check(&OP, &[Tensor::random(&dims, 1)], &params(dims[1]), run);
            }
        }
    }

    #[test]
    fn single_precision_survives_a_large_mean() {
        let mut input = Tensor::<f32>::random(&[1, 2, 64, 64], 1);
        input.data.iter_mut().for_each(|x| *x += 1000.0);
        let ran = run_forward(&OP, &[input.clone()], &params(2).map(|param| param.cast()), TRAINING);
        let exact = run_forward(&OP, &[input.cast::<f64>()], &params(2), TRAINING);
        assert_close("output", &ran.output.cast::<f64>().data, &exact.output.data, 1e-4, 1e-3);
    }

    #[test]
    fn literals() {
        check_literals("spatial.safetensors", "batch_norm");
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let maps = Shape::maps(2, 3, 4, 4);
        let four: [&[usize]; 4] = [&[3]; 4];
        assert_eq!(OP.output_shape(&[&maps], &four), Ok(maps.clone()));
        assert_eq!(OP.output_shape(&[&Shape::vector(2, 3)], &four), Ok(Shape::vector(2, 3)));
        assert!(matches!(OP.output_shape(&[&maps], &four[..2]), Err(OpError::Params { got: 2, .. })));
        let wrong: [&[usize]; 4] = [&[3], &[3], &[3], &[1, 3]];
        assert!(matches!(OP.output_shape(&[&maps], &wrong), Err(OpError::ParamShape { name: "variance", .. })));
        for epsilon in [-1e-3, f32::NAN, f32::INFINITY] {
            let result = BatchNorm { epsilon }.output_shape(&[&maps], &four);
            assert!(matches!(result, Err(OpError::Attribute { name: "epsilon", .. })), "{epsilon}");
        }
    }
}

//! Instance normalization (Ulyanov 2016).

use serde::{Deserialize, Serialize};

use super::batch_norm::{Normal, expect_epsilon, measure};
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator, expect_inputs, expect_maps, expect_param};
use crate::base::tensor::{Scalar, Shape};

/// y = gamma · (x − mean) / √(variance + epsilon) + beta with the mean and the (biased) variance of each channel of
/// each image, in training and after.
///
/// Parameters: `gamma`, `beta`, each \[channels\].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceNorm {
    pub epsilon: f32,
}

impl Operator for InstanceNorm {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let [input] = expect_inputs(inputs, "1 input")?;
        let [_, channels, ..] = expect_maps(input)?;
        expect_epsilon(self.epsilon)?;
        if params.len() != 2 {
            return Err(OpError::Params { expected: "gamma and beta", got: params.len() });
        }
        expect_param("gamma", &[channels], params[0])?;
        expect_param("beta", &[channels], params[1])?;
        Ok((*input).clone())
    }

    fn keeps(&self, inputs: &[&Shape]) -> Keeps {
        let [batch, channels, ..] = inputs.first().and_then(|input| input.as_maps()).unwrap_or_default();
        Keeps { inputs: true, output: false, saved_bytes: 2 * batch * channels * size_of::<f64>() }
    }
}

impl<F: Scalar> Kernel<F> for InstanceNorm {
    fn forward(&self, args: Forward<'_, F>) {
        let (batch, channels) = (args.inputs[0].shape.batch(), args.inputs[0].shape.dims()[1]);
        let image_len = args.output.data.len() / batch;
        // `saved` holds the mean and the variance of each channel, image by image.
        let saved: &mut [F] = bytemuck::cast_slice_mut(&mut args.saved[..2 * batch * channels * size_of::<F>()]);
        let images = args.inputs[0].data.chunks_exact(image_len).zip(args.output.data.chunks_exact_mut(image_len));
        for ((input, output), moments) in images.zip(saved.chunks_exact_mut(2 * channels)) {
            let (mean, variance) = moments.split_at_mut(channels);
            measure(input, mean, variance);
            Normal::new(mean, variance, args.params[0], self.epsilon).forward(input, args.params[1], output);
        }
    }

    fn backward(&self, args: Backward<'_, F>) {
        let (batch, channels) = (args.inputs[0].shape.batch(), args.inputs[0].shape.dims()[1]);
        let image_len = args.d_output.len() / batch;
        let saved: &[F] = bytemuck::cast_slice(&args.saved[..2 * batch * channels * size_of::<F>()]);
        for (image, moments) in saved.chunks_exact(2 * channels).enumerate() {
            let (mean, variance) = moments.split_at(channels);
            let of_image = image * image_len..(image + 1) * image_len;
            let (input, d_output) = (&args.inputs[0].data[of_image.clone()], &args.d_output[of_image.clone()]);
            let normal = Normal::new(mean, variance, args.params[0], self.epsilon);
            let sums = normal.sums(input, d_output);
            if let Some(d_input) = &mut args.d_inputs[0] {
                normal.add_input_gradient(input, d_output, Some(&sums), &mut d_input[of_image]);
            }
            for (d_param, sums) in args.d_params.iter_mut().zip([&sums.of_product, &sums.of_gradient]) {
                let Some(d_param) = d_param else { continue };
                d_param.iter_mut().zip(sums).for_each(|(d, sum)| *d += *sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::Run;
    use crate::nn::ops::check::{Tensor, assert_close, check_literals, gradient_check, maps_from_fn, run_forward};

    const OP: InstanceNorm = InstanceNorm { epsilon: 1e-3 };

    #[test]
    fn it_agrees_with_the_definition() {
        for dims in [[2, 3, 4, 5], [1, 17, 3, 3]] {
            let [_, channels, height, width] = dims;
            let input = Tensor::<f64>::random(&dims, 1);
            let params = [Tensor::<f64>::random(&[channels], 2), Tensor::random(&[channels], 3)];
            let expected = maps_from_fn(dims, |n, c, y, x| {
                let pixels = || (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
                let count = (height * width) as f64;
                let mean = pixels().map(|(y, x)| input.at(n, c, y, x)).sum::<f64>() / count;
                let variance = pixels().map(|(y, x)| (input.at(n, c, y, x) - mean).powi(2)).sum::<f64>() / count;
                let deviation = (variance + f64::from(OP.epsilon)).sqrt();
                params[0].data[c] * (input.at(n, c, y, x) - mean) / deviation + params[1].data[c]
            });
            let got = run_forward(&OP, &[input], &params, Run::default());
            assert_close(&format!("{dims:?}"), &got.output.data, &expected.data, 1e-11, 1e-11);
        }
    }

    #[test]
    fn gradients() {
        let params = [Tensor::random(&[17], 2), Tensor::random(&[17], 3)];
        gradient_check(&OP, &[Tensor::random(&[2, 17, 2, 3], 1)], &params, Run::default());
    }

    #[test]
    fn literals() {
        check_literals("spatial.safetensors", "instance_norm");
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let maps = Shape::maps(2, 3, 4, 4);
        assert_eq!(OP.output_shape(&[&maps], &[&[3], &[3]]), Ok(maps.clone()));
        assert!(matches!(OP.output_shape(&[&maps], &[&[3]]), Err(OpError::Params { got: 1, .. })));
        assert!(matches!(OP.output_shape(&[&maps], &[&[3], &[4]]), Err(OpError::ParamShape { name: "beta", .. })));
        let result = InstanceNorm { epsilon: -1.0 }.output_shape(&[&maps], &[&[3], &[3]]);
        assert!(matches!(result, Err(OpError::Attribute { name: "epsilon", .. })));
    }
}

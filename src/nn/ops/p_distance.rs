//! MatConvNet's p-distance of two inputs (`vl_nnpdist`).

use serde::{Deserialize, Serialize};

use super::lanes::rows_per_task;
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator, expect_inputs, expect_maps};
use crate::base::parallel;
use crate::base::tensor::{Scalar, Shape};

/// d = (Σ over channels of |x − x₀|^p)^(1/p), one map out.
///
/// Inputs x and x₀; x₀ has the shape of x, or 1×1 pixels that are compared with every pixel of x.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PDistance {
    pub p: f32,
    /// Leave out the root.
    #[serde(default)]
    pub no_root: bool,
    /// Keeps the gradient finite where the distance is nought: a lower bound, in the gradient alone, of what is raised
    /// to a negative power (MatConvNet: 1e-6).
    pub epsilon: f32,
}

impl Operator for PDistance {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let [x, target] = expect_inputs(inputs, "2 inputs")?;
        let [batch, channels, height, width] = expect_maps(x)?;
        let of_target = expect_maps(target)?;
        if of_target != [batch, channels, height, width] && of_target != [batch, channels, 1, 1] {
            let needed = format!("{x}, or of 1×1 pixels, to compare with the first");
            return Err(OpError::InputShape { needed, got: (*target).clone() });
        }
        if !params.is_empty() {
            return Err(OpError::Params { expected: "none", got: params.len() });
        }
        if !(self.p.is_finite() && self.p > 0.0) {
            return Err(OpError::Attribute { name: "p", reason: format!("{} is not a finite number above 0", self.p) });
        }
        if !(self.epsilon.is_finite() && self.epsilon >= 0.0) {
            let reason = format!("{} is not a finite number, at least 0", self.epsilon);
            return Err(OpError::Attribute { name: "epsilon", reason });
        }
        Ok(Shape::maps(batch, 1, height, width))
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::INPUTS
    }
}

impl PDistance {
    /// Σ |x − target|^p.
    fn sum<F: Scalar>(&self, x: &[F], target: &[F]) -> F {
        let differences = x.iter().zip(target).map(|(x, target)| (*x - *target).abs());
        if self.p == 1.0 {
            differences.sum()
        } else if self.p == 2.0 {
            differences.map(|d| d * d).sum()
        } else {
            let p = F::of(f64::from(self.p));
            differences.map(|d| d.powf(p)).sum()
        }
    }

    /// What the gradient of the distance has in common for all channels of a pixel.
    fn common_factor<F: Scalar>(&self, x: &[F], target: &[F]) -> F {
        let (p, epsilon) = (F::of(f64::from(self.p)), F::of(f64::from(self.epsilon)));
        if self.no_root {
            return p;
        }
        let sum = self.sum(x, target);
        // The exponent is negative above 1 only: the bound belongs there.
        let sum = if self.p > 1.0 { sum.max(epsilon) } else { sum };
        sum.powf((F::one() - p) / p)
    }

    /// Adds the gradient of one pixel's distance, times `gradient`, with respect to `x`.
    fn add_gradient<F: Scalar>(&self, x: &[F], target: &[F], gradient: F, d_x: &mut [F]) {
        let factor = gradient * self.common_factor(x, target);
        for ((d_x, x), target) in d_x.iter_mut().zip(x).zip(target) {
            let slope = self.slope(*x - *target);
            // The factor may be infinite where all channels are equal.
            *d_x += if slope == F::zero() { F::zero() } else { factor * slope };
        }
    }

    /// |d|^(p − 1) · sign d.
    fn slope<F: Scalar>(&self, d: F) -> F {
        if d == F::zero() {
            return F::zero();
        }
        let (p, epsilon) = (F::of(f64::from(self.p)), F::of(f64::from(self.epsilon)));
        let magnitude = if self.p == 1.0 {
            F::one()
        } else if self.p == 2.0 {
            d.abs()
        } else if self.p < 1.0 {
            d.abs().max(epsilon).powf(p - F::one())
        } else {
            d.abs().powf(p - F::one())
        };
        magnitude * d.signum()
    }
}

/// The element of the second input that belongs to pixel `pixel` of the first.
fn target_at(inputs: [&Shape; 2], pixel: usize) -> usize {
    let [[_, channels, height, width], [_, _, target_height, target_width]] =
        inputs.map(|shape| shape.as_maps().expect("output_shape has checked the inputs"));
    match (target_height, target_width) == (height, width) {
        true => pixel * channels,
        false => pixel / (height * width) * channels,
    }
}

impl<F: Scalar> Kernel<F> for PDistance {
    fn forward(&self, args: Forward<'_, F>) {
        let channels = args.inputs[0].shape.dims()[1];
        let shapes = [args.inputs[0].shape, args.inputs[1].shape];
        let (x, target) = (args.inputs[0].data, args.inputs[1].data);
        let root = F::of(1.0 / f64::from(self.p));
        let pixels_a_task = rows_per_task(channels);
        parallel::for_each_chunk_mut(args.output.data, pixels_a_task, |task, output| {
            for (pixel, distance) in (task * pixels_a_task..).zip(output) {
                let target = &target[target_at(shapes, pixel)..][..channels];
                let sum = self.sum(&x[pixel * channels..][..channels], target);
                *distance = match (self.no_root, self.p) {
                    (true, _) | (_, 1.0) => sum,
                    (_, 2.0) => sum.sqrt(),
                    _ => sum.powf(root),
                };
            }
        });
    }

    fn backward(&self, args: Backward<'_, F>) {
        let channels = args.inputs[0].shape.dims()[1];
        let shapes = [args.inputs[0].shape, args.inputs[1].shape];
        let (x, target, d_output) = (args.inputs[0].data, args.inputs[1].data, args.d_output);
        let pixel_of =
            |pixel: usize| (&x[pixel * channels..][..channels], &target[target_at(shapes, pixel)..][..channels]);
        if let Some(d_x) = &mut args.d_inputs[0] {
            let pixels_a_task = rows_per_task(channels);
            parallel::for_each_chunk_mut(d_x, pixels_a_task * channels, |task, d_x| {
                for (pixel, d_x) in (task * pixels_a_task..).zip(d_x.chunks_exact_mut(channels)) {
                    let (x, target) = pixel_of(pixel);
                    self.add_gradient(x, target, d_output[pixel], d_x);
                }
            });
        }
        if let Some(d_target) = &mut args.d_inputs[1] {
            for (pixel, gradient) in d_output.iter().enumerate() {
                let (x, target) = pixel_of(pixel);
                self.add_gradient(x, target, -*gradient, &mut d_target[target_at(shapes, pixel)..][..channels]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::Run;
    use crate::nn::ops::check::{Tensor, assert_close, check_literals, gradient_check, maps_from_fn};
    use crate::nn::ops::check::{run_backward, run_forward};

    fn distances() -> Vec<PDistance> {
        let powers = [0.5, 1.0, 1.5, 2.0, 3.0];
        powers.into_iter().flat_map(|p| [false, true].map(|no_root| PDistance { p, no_root, epsilon: 1e-6 })).collect()
    }

    /// x and a target that differ by at least 0.1 everywhere.
    fn inputs(target_size: [usize; 2]) -> [Tensor<f64>; 2] {
        let x = Tensor::random(&[2, 5, 3, 2], 1);
        let mut target = Tensor::<f64>::random_between(&[2, 5, target_size[0], target_size[1]], 2, 1.1, 2.0);
        target.data.iter_mut().step_by(2).for_each(|target| *target = -*target);
        [x, target]
    }

    #[test]
    fn all_powers_agree_with_the_definition() {
        for op in distances() {
            for size in [[3, 2], [1, 1]] {
                let inputs = inputs(size);
                let expected = maps_from_fn([2, 1, 3, 2], |n, _, y, x| {
                    let target = |c| inputs[1].at(n, c, y.min(size[0] - 1), x.min(size[1] - 1));
                    let p = f64::from(op.p);
                    let sum: f64 = (0..5).map(|c| (inputs[0].at(n, c, y, x) - target(c)).abs().powf(p)).sum();
                    if op.no_root { sum } else { sum.powf(1.0 / p) }
                });
                let got = run_forward(&op, &inputs, &[], Run::default());
                assert_close(&format!("{op:?}"), &got.output.data, &expected.data, 1e-12, 1e-12);
            }
        }
    }

    #[test]
    fn gradients() {
        for op in distances() {
            for size in [[3, 2], [1, 1]] {
                gradient_check(&op, &inputs(size), &[], Run::default());
            }
        }
    }

    #[test]
    fn equal_inputs_have_a_finite_gradient() {
        for op in distances() {
            let inputs = [Tensor::<f64>::filled(&[1, 3, 2, 2], 0.5), Tensor::filled(&[1, 3, 2, 2], 0.5)];
            let ran = run_forward(&op, &inputs, &[], Run::default());
            let got = run_backward(&op, &inputs, &[], &ran, &[1.0; 4], Run::default());
            assert_eq!(ran.output.data, [0.0; 4], "{op:?}");
            assert_eq!(got.inputs, [[0.0; 12], [0.0; 12]], "{op:?}");
        }
    }

    #[test]
    fn literals() {
        check_literals("spatial.safetensors", "p_distance");
    }

    #[test]
    fn wrong_attributes_and_shapes_are_refused() {
        let (maps, other) = (Shape::maps(2, 3, 4, 4), Shape::maps(2, 3, 4, 1));
        let good = PDistance { p: 2.0, no_root: false, epsilon: 1e-6 };
        assert_eq!(good.output_shape(&[&maps, &Shape::vector(2, 3)], &[]), Ok(Shape::maps(2, 1, 4, 4)));
        assert!(matches!(good.output_shape(&[&maps, &other], &[]), Err(OpError::InputShape { .. })));
        assert!(matches!(good.output_shape(&[&maps], &[]), Err(OpError::Inputs { got: 1, .. })));
        assert!(matches!(good.output_shape(&[&maps, &maps], &[&[1]]), Err(OpError::Params { got: 1, .. })));
        for p in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let result = PDistance { p, ..good.clone() }.output_shape(&[&maps, &maps], &[]);
            assert!(matches!(result, Err(OpError::Attribute { name: "p", .. })), "{p}");
        }
        let result = PDistance { epsilon: -1.0, ..good }.output_shape(&[&maps, &maps], &[]);
        assert!(matches!(result, Err(OpError::Attribute { name: "epsilon", .. })));
    }
}

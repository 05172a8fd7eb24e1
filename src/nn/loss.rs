//! Losses: what training minimizes, as a value and its gradient by the net's output.
//!
//! The output is a vector, batch × classes (or 1×1 maps, which lie the same). Every loss is a sum over classes and a
//! mean over the batch. The gradient overwrites what is there, laid out as the output. Sums are in `f64`.

use serde::{Deserialize, Serialize};

use super::ops::softmax::softmax_of;
use crate::base::tensor::{Scalar, Shape, View};

/// A loss. `N` is the batch, x the net's output (logits for the cross-entropies), t the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "loss", rename_all = "snake_case")]
pub enum Loss {
    /// −1/N Σ t · ln softmax(x): for one class of many. The softmax is part of the loss.
    ///
    /// Takes labels, or distributions over classes (non-negative, of sum 1).
    SoftmaxCrossEntropy,
    /// −1/N Σ (t · ln σ(x) + (1 − t) · ln(1 − σ(x))): for independent yes-or-no answers. The sigmoid σ is part of the
    /// loss. This is Caffe's `SigmoidCrossEntropyLoss`; PyTorch's mean is also over the classes.
    ///
    /// Takes values in 0–1; labels 0 and 1 where the output has one class.
    BinaryCrossEntropy,
    /// ½ · 1/N Σ (x − t)². This is Caffe's `EuclideanLoss`; PyTorch's `mse_loss` lacks the ½ and divides by the number
    /// of classes besides.
    ///
    /// Takes finite values.
    SquaredError,
    /// A margin of 1 between the score of the label and the others. Takes labels.
    Hinge { form: HingeForm, norm: HingeNorm },
}

/// What the margin of a hinge is measured against. Where a margin is just met the gradient is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HingeForm {
    /// 0, for each class by itself: 1/N Σ max(0, 1 − s · x), where s is 1 for the label and −1 for the others. This is
    /// Caffe's `HingeLoss`.
    OneVersusRest,
    /// The best other class, the first of equal ones: 1/N max(0, 1 − x\[label\] + max of the others) (Crammer 2001).
    /// This is `multiclass_hinge_loss` of Lasagne (Theano).
    BestRival,
}

/// Each hinge as it is, or squared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HingeNorm {
    #[default]
    L1,
    L2,
}

/// What the output should be.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a, F> {
    /// The index of the right class, one a sample.
    Labels(&'a [usize]),
    /// A value for each class: batch × classes.
    Values(&'a [F]),
}

/// Why a loss cannot be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LossError {
    #[error("the loss needs an output of batch × classes, but the net's is {0}")]
    OutputShape(Shape),
    #[error("{got} {what} are given for an output of {output}, which takes {expected}")]
    Length { what: &'static str, output: Shape, expected: usize, got: usize },
    #[error("sample {sample} has the label {label}, but there are {classes} classes, counted from 0")]
    Label { sample: usize, label: usize, classes: usize },
    #[error("{loss} takes {takes}")]
    TargetKind { loss: &'static str, takes: &'static str },
    #[error("this hinge compares classes, but the output has only one")]
    NoRival,
    #[error("sample {sample} has the target {value} for class {class}, which is not {needed}")]
    Value { sample: usize, class: usize, value: f64, needed: &'static str },
    #[error("the targets of sample {sample} add up to {sum}, not to 1")]
    Distribution { sample: usize, sum: f64 },
}

/// How far from 1 a distribution's sum may be: about what rounding `f16` probabilities of 1,000 classes does.
const DISTRIBUTION_TOLERANCE: f64 = 1e-2;

impl Loss {
    /// The loss of an output, batch × classes.
    pub fn value<F: Scalar>(self, output: View<'_, F>, target: Target<'_, F>) -> Result<f64, LossError> {
        let [_, classes] = self.check(output, target)?;
        let mut unused = vec![F::zero(); classes];
        let samples = output.data.chunks_exact(classes).enumerate();
        Ok(mean(output.shape, samples.map(|(i, x)| self.of_sample(x, target.of_sample(i, classes), &mut unused))))
    }

    /// The loss, and its gradient by the output.
    pub fn value_and_gradient<F: Scalar>(
        self,
        output: View<'_, F>,
        target: Target<'_, F>,
        d_output: &mut [F],
    ) -> Result<f64, LossError> {
        let [batch, classes] = self.check(output, target)?;
        expect_length("gradients", output.shape, batch * classes, d_output.len())?;
        let samples = output.data.chunks_exact(classes).zip(d_output.chunks_exact_mut(classes)).enumerate();
        let share = F::of(1.0 / batch as f64);
        Ok(mean(
            output.shape,
            samples.map(|(i, (x, d_x))| {
                let value = self.of_sample(x, target.of_sample(i, classes), d_x);
                d_x.iter_mut().for_each(|d| *d *= share);
                value
            }),
        ))
    }

    /// `[batch, classes]` of an output and a target that suit.
    fn check<F: Scalar>(self, output: View<'_, F>, target: Target<'_, F>) -> Result<[usize; 2], LossError> {
        let dims = match output.shape.as_maps() {
            Some([batch, classes, 1, 1]) if batch * classes > 0 => [batch, classes],
            _ => return Err(LossError::OutputShape(output.shape.clone())),
        };
        let [batch, classes] = dims;
        expect_length("values", output.shape, batch * classes, output.data.len())?;
        if classes == 1 && matches!(self, Self::Hinge { form: HingeForm::BestRival, .. }) {
            return Err(LossError::NoRival);
        }
        match target {
            Target::Labels(labels) => {
                let classes = match self {
                    Self::BinaryCrossEntropy if classes == 1 => 2,
                    Self::SoftmaxCrossEntropy | Self::Hinge { .. } => classes,
                    Self::BinaryCrossEntropy => return Err(self.wrong_kind("a value in 0–1 for each class")),
                    Self::SquaredError => return Err(self.wrong_kind("a value for each class")),
                };
                expect_length("labels", output.shape, batch, labels.len())?;
                if let Some((sample, &label)) = labels.iter().enumerate().find(|&(_, &label)| label >= classes) {
                    return Err(LossError::Label { sample, label, classes });
                }
            }
            Target::Values(values) => {
                if matches!(self, Self::Hinge { .. }) {
                    return Err(self.wrong_kind("a label for each sample"));
                }
                expect_length("target values", output.shape, batch * classes, values.len())?;
                values.chunks_exact(classes).enumerate().try_for_each(|(i, values)| self.check_values(i, values))?;
            }
        }
        Ok(dims)
    }

    fn check_values<F: Scalar>(self, sample: usize, values: &[F]) -> Result<(), LossError> {
        let needed = match self {
            Self::SoftmaxCrossEntropy | Self::BinaryCrossEntropy => "between 0 and 1",
            Self::SquaredError | Self::Hinge { .. } => "a finite number",
        };
        let suits = |value: F| match self {
            Self::SoftmaxCrossEntropy | Self::BinaryCrossEntropy => F::zero() <= value && value <= F::one(),
            Self::SquaredError | Self::Hinge { .. } => value.is_finite(),
        };
        if let Some((class, value)) = values.iter().enumerate().find(|&(_, &value)| !suits(value)) {
            return Err(LossError::Value { sample, class, value: Scalar::to_f64(*value), needed });
        }
        let sum: f64 = values.iter().map(|&value| value.to_f64()).sum();
        if self == Self::SoftmaxCrossEntropy && (sum - 1.0).abs() > DISTRIBUTION_TOLERANCE {
            return Err(LossError::Distribution { sample, sum });
        }
        Ok(())
    }

    fn wrong_kind(self, takes: &'static str) -> LossError {
        let loss = match self {
            Self::SoftmaxCrossEntropy => "softmax cross-entropy",
            Self::BinaryCrossEntropy => "binary cross-entropy",
            Self::SquaredError => "squared error",
            Self::Hinge { .. } => "hinge",
        };
        LossError::TargetKind { loss, takes }
    }

    /// The loss of one sample; writes its gradient.
    fn of_sample<F: Scalar>(self, x: &[F], target: SampleTarget<'_, F>, d_x: &mut [F]) -> f64 {
        match (self, target) {
            (Self::SoftmaxCrossEntropy, target) => softmax_cross_entropy(x, target, d_x),
            (Self::BinaryCrossEntropy, target) => class_by_class(x, d_x, |class, x| {
                let t = match target {
                    SampleTarget::Label(label) => label as f64,
                    SampleTarget::Values(values) => values[class].to_f64(),
                };
                // ln(1 + eˣ) − t · x, with the exponential of a negative number only.
                let value = x.max(0.0) - t * x + (-x.abs()).exp().ln_1p();
                [value, 1.0 / (1.0 + (-x).exp()) - t]
            }),
            (Self::SquaredError, target) => class_by_class(x, d_x, |class, x| {
                let difference = x - target.share(class);
                [0.5 * difference * difference, difference]
            }),
            (Self::Hinge { form, norm }, SampleTarget::Label(label)) => match form {
                HingeForm::OneVersusRest => class_by_class(x, d_x, |class, x| {
                    let sign = if class == label { 1.0 } else { -1.0 };
                    let [value, slope] = norm.of(1.0 - sign * x);
                    [value, -sign * slope]
                }),
                HingeForm::BestRival => best_rival(norm, x, label, d_x),
            },
            (Self::Hinge { .. }, SampleTarget::Values(_)) => unreachable!("a hinge takes labels only"),
        }
    }
}

#[derive(Clone, Copy)]
enum SampleTarget<'a, F> {
    Label(usize),
    Values(&'a [F]),
}

impl<'a, F: Scalar> Target<'a, F> {
    fn of_sample(&self, sample: usize, classes: usize) -> SampleTarget<'a, F> {
        match *self {
            Target::Labels(labels) => SampleTarget::Label(labels[sample]),
            Target::Values(values) => SampleTarget::Values(&values[sample * classes..][..classes]),
        }
    }
}

impl<F: Scalar> SampleTarget<'_, F> {
    /// The target of a class, a label being all of one class.
    fn share(&self, class: usize) -> f64 {
        match *self {
            Self::Label(label) => f64::from(u8::from(label == class)),
            Self::Values(values) => values[class].to_f64(),
        }
    }
}

impl HingeNorm {
    /// Value and slope of a hinge that is `excess` beyond its margin. NaN stays.
    fn of(self, excess: f64) -> [f64; 2] {
        match self {
            _ if excess <= 0.0 => [0.0, 0.0],
            Self::L1 => [excess, 1.0],
            Self::L2 => [excess * excess, 2.0 * excess],
        }
    }
}

/// A sum over classes of `loss(class, x)`, which returns a value and its gradient by x.
fn class_by_class<F: Scalar>(x: &[F], d_x: &mut [F], loss: impl Fn(usize, f64) -> [f64; 2]) -> f64 {
    let mut total = 0.0;
    for (class, (&x, d_x)) in x.iter().zip(d_x).enumerate() {
        let [value, slope] = loss(class, x.to_f64());
        total += value;
        *d_x = F::of(slope);
    }
    total
}

fn softmax_cross_entropy<F: Scalar>(x: &[F], target: SampleTarget<'_, F>, d_x: &mut [F]) -> f64 {
    let log_sum = softmax_of(x, d_x);
    let shares = || (0..x.len()).map(|class| target.share(class));
    let whole: f64 = shares().sum();
    let mut total = 0.0;
    for ((d_x, &x), share) in d_x.iter_mut().zip(x).zip(shares()) {
        *d_x = F::of((*d_x).to_f64() * whole - share);
        // A class that does not count may be infinitely unlikely.
        if share > 0.0 {
            total += share * (log_sum - x.to_f64());
        }
    }
    total
}

fn best_rival<F: Scalar>(norm: HingeNorm, x: &[F], label: usize, d_x: &mut [F]) -> f64 {
    let mut rival = usize::from(label == 0);
    for class in (0..x.len()).filter(|&class| class != label) {
        if x[class] > x[rival] {
            rival = class;
        }
    }
    let [value, slope] = norm.of(1.0 - x[label].to_f64() + x[rival].to_f64());
    d_x.fill(F::zero());
    d_x[label] = F::of(-slope);
    d_x[rival] = F::of(slope);
    value
}

fn mean(output: &Shape, losses: impl Iterator<Item = f64>) -> f64 {
    losses.sum::<f64>() / output.batch() as f64
}

fn expect_length(what: &'static str, output: &Shape, expected: usize, got: usize) -> Result<(), LossError> {
    if got == expected {
        return Ok(());
    }
    Err(LossError::Length { what, output: output.clone(), expected, got })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::check::{Fixture, Report, Tensor, assert_close};

    const HINGES: [Loss; 4] = [
        Loss::Hinge { form: HingeForm::OneVersusRest, norm: HingeNorm::L1 },
        Loss::Hinge { form: HingeForm::OneVersusRest, norm: HingeNorm::L2 },
        Loss::Hinge { form: HingeForm::BestRival, norm: HingeNorm::L1 },
        Loss::Hinge { form: HingeForm::BestRival, norm: HingeNorm::L2 },
    ];

    fn view<F>(x: &Tensor<F>) -> View<'_, F> {
        View::new(&x.shape, &x.data)
    }

    fn evaluate<F: Scalar>(loss: Loss, x: &Tensor<F>, target: Target<'_, F>) -> Result<(f64, Vec<F>), LossError> {
        let mut d_x = vec![F::of(f64::NAN); x.data.len()];
        let value = loss.value_and_gradient(view(x), target, &mut d_x)?;
        assert_eq!(loss.value(view(x), target)?, value, "the value does not depend on asking for the gradient");
        Ok((value, d_x))
    }

    fn check_case<F: Scalar>(case: &crate::nn::ops::check::Case<'_>, report: &mut Report, tolerance: f64) {
        let name = format!("{} ({})", case.name(), std::any::type_name::<F>());
        let loss: Loss = serde_json::from_value(case.attributes["loss"].clone()).expect("a loss");
        let x = case.param::<F>("x").expect("an output");
        let labels: Option<Vec<usize>> =
            case.param::<f64>("labels").map(|labels| labels.data.iter().map(|&label| label as usize).collect());
        let values = case.param::<F>("values");
        let target = match (&labels, &values) {
            (Some(labels), _) => Target::Labels(labels),
            (None, Some(values)) => Target::Values(&values.data),
            (None, None) => panic!("{name} has no target"),
        };
        let (value, d_x) = evaluate(loss, &x, target).expect("the target suits");
        let expected = case.param::<f64>("value").expect("a value").data;
        report.compare(&name, &[value], &expected, tolerance, tolerance);
        report.compare(&name, &d_x, &case.param::<F>("d_x").expect("a gradient").data, tolerance, tolerance);
    }

    #[test]
    fn as_pytorch() {
        let fixture = Fixture::open("elementwise.safetensors");
        let mut report = Report::new("losses");
        for case in fixture.cases("loss") {
            check_case::<f64>(&case, &mut report, 1e-12);
            check_case::<f32>(&case, &mut report, 1e-6);
        }
        report.finish();
    }

    /// By the formulas of the docs, without any care for overflow.
    fn naive(loss: Loss, x: &Tensor<f64>, target: impl Fn(usize, usize) -> f64) -> f64 {
        let [batch, classes, ..] = x.shape.as_maps().unwrap();
        let of_class = |n: usize, c: usize| {
            let pixel = &x.data[n * classes..][..classes];
            let (x, t) = (pixel[c], target(n, c));
            match loss {
                Loss::SoftmaxCrossEntropy => -t * (x.exp() / pixel.iter().map(|x| x.exp()).sum::<f64>()).ln(),
                Loss::BinaryCrossEntropy => {
                    let yes = 1.0 / (1.0 + (-x).exp());
                    -t * yes.ln() - (1.0 - t) * (1.0 - yes).ln()
                }
                Loss::SquaredError => 0.5 * (x - t).powi(2),
                Loss::Hinge { form, norm } => {
                    let excess = match form {
                        HingeForm::OneVersusRest => 1.0 - (2.0 * t - 1.0) * x,
                        HingeForm::BestRival => {
                            let others = (0..classes).filter(|&other| target(n, other) == 0.0);
                            t * (1.0 - x + others.map(|c| pixel[c]).fold(f64::NEG_INFINITY, f64::max))
                        }
                    };
                    excess.max(0.0).powi(if norm == HingeNorm::L1 { 1 } else { 2 })
                }
            }
        };
        (0..batch * classes).map(|i| of_class(i / classes, i % classes)).sum::<f64>() / batch as f64
    }

    /// A batch that is away from all kinks, with labels, and values that suit.
    fn batch() -> (Tensor<f64>, Vec<usize>, Tensor<f64>) {
        let (x, mut values) = (Tensor::separated(&[4, 5, 1, 1], 1), Tensor::random_between(&[4, 5], 2, 0.1, 0.9));
        for values in values.data.chunks_exact_mut(5) {
            let sum: f64 = values.iter().sum();
            values.iter_mut().for_each(|value| *value /= sum);
        }
        (x, vec![4, 0, 2, 0], values)
    }

    #[test]
    fn values_as_the_formulas_and_gradients_as_differences() {
        let (mut x, labels, values) = batch();
        x.data.iter_mut().for_each(|x| *x *= 2.03);
        let (by_label, by_value) = (Target::Labels(&labels), Target::Values(&values.data));
        let mut cases = vec![(Loss::SoftmaxCrossEntropy, by_label), (Loss::SoftmaxCrossEntropy, by_value)];
        cases.extend([(Loss::BinaryCrossEntropy, by_value), (Loss::SquaredError, by_value)]);
        cases.extend(HINGES.map(|hinge| (hinge, by_label)));
        let mut report = Report::new("losses");
        for (loss, target) in cases {
            let name = format!("{loss:?}");
            let (value, d_x) = evaluate(loss, &x, target).unwrap();
            let expected = naive(loss, &x, |n, c| match target {
                Target::Labels(labels) => f64::from(u8::from(labels[n] == c)),
                Target::Values(values) => values[n * 5 + c],
            });
            report.compare(&name, &[value], &[expected], 1e-12, 1e-12);
            let difference = |i: usize| {
                let at = |step: f64| {
                    let mut x = x.clone();
                    x.data[i] += step;
                    loss.value(view(&x), target).unwrap()
                };
                (at(1e-5) - at(-1e-5)) / 2e-5
            };
            let differences: Vec<f64> = (0..x.data.len()).map(difference).collect();
            report.compare(&name, &d_x, &differences, 1e-7, 1e-9);
        }
        report.finish();
    }

    #[test]
    fn of_equal_rivals_the_first_gets_the_gradient_and_a_met_margin_has_none() {
        let x = Tensor::new(&[2, 3], vec![0.0, 2.0, 2.0, 1.0, 3.0, 2.0]);
        let (value, d_x) = evaluate(HINGES[2], &x, Target::Labels(&[0, 1])).unwrap();
        assert_eq!(value, 1.5);
        assert_close("d_x", &d_x, &[-0.5, 0.5, 0.0, 0.0, 0.0, 0.0], 0.0, 0.0);
        let (_, d_x) = evaluate(HINGES[0], &Tensor::new(&[1, 2], vec![1.0, -1.0]), Target::Labels(&[0])).unwrap();
        assert_close("d_x", &d_x, &[0.0, 0.0], 0.0, 0.0);
    }

    #[test]
    fn extremes_are_finite_and_nan_shows() {
        let x = Tensor::new(&[1, 2], vec![1e30f32, -1e30]);
        let (value, d_x) = evaluate(Loss::BinaryCrossEntropy, &x, Target::Values(&[1.0, 0.0])).unwrap();
        assert_eq!((value, d_x), (0.0, vec![0.0, 0.0]));
        let (value, d_x) = evaluate(Loss::SoftmaxCrossEntropy, &x, Target::Labels(&[1])).unwrap();
        assert!(value > 1e30 && d_x == [1.0, -1.0], "{value} {d_x:?}");
        let x = Tensor::new(&[1, 2], vec![f32::NAN, 0.0]);
        for loss in HINGES.into_iter().chain([Loss::SoftmaxCrossEntropy]) {
            let value = loss.value(view(&x), Target::Labels(&[0])).unwrap();
            assert!(value.is_nan(), "{loss:?}: {value}");
        }
    }

    #[test]
    fn wrong_targets_and_shapes_are_errors() {
        let x = Tensor::<f64>::random(&[2, 3], 1);
        let of = |loss: Loss, x: &Tensor<f64>, target| loss.value(view(x), target).map_err(|e| e.to_string());
        let (softmax, binary, squares) = (Loss::SoftmaxCrossEntropy, Loss::BinaryCrossEntropy, Loss::SquaredError);
        let maps = Tensor::random(&[2, 3, 2, 2], 1);
        let alone = Tensor::random(&[2, 1], 1);
        let labels = Target::Labels;
        let cases = [
            (of(softmax, &x, labels(&[0, 3])), "sample 1 has the label 3, but there are 3 classes"),
            (of(softmax, &x, labels(&[0])), "1 labels are given for an output of 2×3, which takes 2"),
            (of(softmax, &x, Target::Values(&[0.5; 5])), "5 target values are given"),
            (of(softmax, &x, Target::Values(&[0.5; 6])), "the targets of sample 0 add up to 1.5"),
            (
                of(softmax, &x, Target::Values(&[1.0, 0.0, 0.0, 0.5, -0.5, 1.0])),
                "sample 1 has the target -0.5 for class 1",
            ),
            (of(softmax, &maps, labels(&[0, 1])), "needs an output of batch × classes, but the net's is 2×3×2×2"),
            (of(binary, &x, labels(&[0, 1])), "binary cross-entropy takes a value in 0–1 for each class"),
            (of(binary, &alone, labels(&[0, 2])), "sample 1 has the label 2"),
            (of(binary, &x, Target::Values(&[2.0; 6])), "which is not between 0 and 1"),
            (of(binary, &x, Target::Values(&[f64::NAN; 6])), "has the target NaN"),
            (of(squares, &x, labels(&[0, 1])), "squared error takes a value for each class"),
            (of(squares, &x, Target::Values(&[f64::INFINITY; 6])), "not a finite number"),
            (of(HINGES[0], &x, Target::Values(&[0.5; 6])), "hinge takes a label for each sample"),
            (of(HINGES[2], &alone, labels(&[0, 0])), "the output has only one"),
        ];
        let mut report = Report::new("errors");
        for (result, words) in cases {
            if !result.as_ref().is_err_and(|error| error.contains(words)) {
                report.fail(format!("{result:?} lacks `{words}`"));
            }
        }
        report.finish();
        let result = softmax.value_and_gradient(view(&x), labels(&[0, 1]), &mut [0.0; 5]);
        assert!(matches!(result, Err(LossError::Length { what: "gradients", expected: 6, got: 5, .. })));
    }
}

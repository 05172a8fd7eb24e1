//! Where the parameters of an architecture come from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng as _;

use super::ArchitectureError;
use crate::base::rng::{Rng, Stream, rng};
use crate::nn::graph::Param;

/// What a parameter is to its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamRole {
    /// Of a convolution \[out, in, kernel height, kernel width\] or a fully connected layer \[out, in\].
    Weight,
    Bias,
    /// Batch norm's factor; torchvision's `weight`.
    Gamma,
    /// Batch norm's offset; torchvision's `bias`.
    Beta,
    /// Batch norm's `running_mean`.
    Mean,
    /// Batch norm's `running_var`.
    Variance,
}

/// A parameter that an architecture asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamSpec {
    /// As in torchvision's state dict: `layer1.0.conv1.weight`.
    pub name: String,
    pub shape: Vec<usize>,
    pub role: ParamRole,
}

impl ParamSpec {
    /// How many inputs each output of a weight sums up.
    pub fn fan_in(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// The number of values.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Gives values to an architecture.
pub trait ParamSource {
    /// The values of a parameter, row-major. Each is asked for once.
    fn take(&mut self, wanted: &ParamSpec) -> Result<Arc<[f32]>, ArchitectureError>;
}

/// A fresh net: normal weights of variance 2 / fan-in (He 2015), biases 0, batch norm the identity.
///
/// Every parameter has a random stream of its own, so that part of a net has the numbers that the whole net has.
pub struct RandomParams {
    seed: u64,
}

impl RandomParams {
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }
}

impl ParamSource for RandomParams {
    fn take(&mut self, wanted: &ParamSpec) -> Result<Arc<[f32]>, ArchitectureError> {
        Ok(match wanted.role {
            ParamRole::Weight => {
                let mut rng = rng(self.seed, Stream::Weights, fnv1a(&wanted.name));
                let deviation = (2.0 / wanted.fan_in() as f64).sqrt() as f32;
                (0..wanted.len()).map(|_| deviation * near_normal(&mut rng)).collect()
            }
            ParamRole::Gamma | ParamRole::Variance => vec![1.0; wanted.len()].into(),
            ParamRole::Bias | ParamRole::Beta | ParamRole::Mean => vec![0.0; wanted.len()].into(),
        })
    }
}

/// A number of mean 0 and variance 1: four uniform ones added up, which is near enough to normal for weights and, unlike
/// the logarithm that a true normal takes, the same bytes on every machine.
fn near_normal(rng: &mut Rng) -> f32 {
    const STEPS: f64 = 65536.0;
    // A uniform number on STEPS steps has variance (STEPS² − 1) / 12; four have a third of STEPS².
    let deviation = ((STEPS * STEPS - 1.0) / 3.0).sqrt();
    let bits = rng.next_u64();
    let sum: u32 = (0..4).map(|i| u32::from((bits >> (16 * i)) as u16)).sum();
    ((f64::from(sum) - 2.0 * (STEPS - 1.0)) / deviation) as f32
}

/// The 64-bit FNV-1a hash.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What today's state dicts call a parameter of a published file: those of DenseNet are from when a module's own name
/// could hold a dot (`denselayer1.norm.2.weight`, now `denselayer1.norm2.weight`).
pub fn current_name(name: &str) -> Cow<'_, str> {
    let renamed = || {
        let (before, _) = name.rmatch_indices('.').nth(1)?;
        let (module, last) = (&name[..before], &name[before + 1..]);
        let (path, kind) = module.rsplit_once('.')?;
        let (number, _) = last.split_once('.')?;
        let layer = path.rsplit('.').next()?;
        let is_old =
            layer.starts_with("denselayer") && ["norm", "conv"].contains(&kind) && ["1", "2"].contains(&number);
        is_old.then(|| format!("{module}{last}"))
    };
    renamed().map_or(Cow::Borrowed(name), Cow::Owned)
}

/// Parameters by name, as a weight file holds them; see [`current_name`].
pub struct NamedParams {
    left: BTreeMap<String, Param>,
}

impl NamedParams {
    pub fn new(params: BTreeMap<String, Param>) -> Self {
        Self { left: params.into_iter().map(|(name, param)| (current_name(&name).into_owned(), param)).collect() }
    }

    /// The names that no layer has asked for so far.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        self.left.keys().map(String::as_str)
    }
}

impl ParamSource for NamedParams {
    fn take(&mut self, wanted: &ParamSpec) -> Result<Arc<[f32]>, ArchitectureError> {
        let ParamSpec { name, shape, .. } = wanted.clone();
        let Some(param) = self.left.remove(&name) else {
            return Err(ArchitectureError::MissingParam { name, shape });
        };
        if param.shape != shape {
            return Err(ArchitectureError::ParamShape { name, expected: shape, got: param.shape });
        }
        Ok(param.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, shape: &[usize], role: ParamRole) -> ParamSpec {
        ParamSpec { name: name.into(), shape: shape.to_vec(), role }
    }

    #[test]
    fn random_weights_have_he_variance_and_depend_on_their_name_alone() {
        let wanted = spec("conv.weight", &[64, 32, 3, 3], ParamRole::Weight);
        let data = RandomParams::new(1).take(&wanted).unwrap();
        let mean = data.iter().map(|&w| f64::from(w)).sum::<f64>() / data.len() as f64;
        let variance = data.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / data.len() as f64;
        assert!(mean.abs() < 2e-3, "{mean}");
        assert!((variance * 288.0 / 2.0 - 1.0).abs() < 0.03, "{variance}");

        let mut source = RandomParams::new(1);
        let other = source.take(&spec("other.weight", &[64, 32, 3, 3], ParamRole::Weight)).unwrap();
        assert_ne!(other, data);
        assert_eq!(source.take(&wanted).unwrap(), data);
        assert_eq!(*source.take(&spec("bn.running_var", &[3], ParamRole::Variance)).unwrap(), [1.0; 3]);
        assert_eq!(*source.take(&spec("bn.bias", &[2], ParamRole::Beta)).unwrap(), [0.0; 2]);
    }

    #[test]
    fn named_params_say_what_is_missing_misshapen_and_unused() {
        let param = |len: usize| Param { shape: vec![len], data: vec![0.5; len].into() };
        let mut source = NamedParams::new([("a".into(), param(2)), ("b".into(), param(3))].into());
        assert_eq!(*source.take(&spec("a", &[2], ParamRole::Bias)).unwrap(), [0.5; 2]);
        assert_eq!(source.unused().collect::<Vec<_>>(), ["b"]);
        let missing = source.take(&spec("c", &[2], ParamRole::Bias)).unwrap_err();
        assert_eq!(missing.to_string(), "the weights lack `c` of shape [2]; they may be of another architecture");
        let misshapen = source.take(&spec("b", &[2], ParamRole::Bias)).unwrap_err();
        assert_eq!(misshapen.to_string(), "the weights hold `b` of shape [3] where the architecture has [2]");
    }

    #[test]
    fn densenets_old_names_are_known() {
        let cases = [
            (
                "features.denseblock1.denselayer2.norm.1.running_mean",
                "features.denseblock1.denselayer2.norm1.running_mean",
            ),
            ("denselayer12.conv.2.weight", "denselayer12.conv2.weight"),
            ("features.denseblock1.denselayer2.norm1.weight", "features.denseblock1.denselayer2.norm1.weight"),
            ("features.2.conv.1.weight", "features.2.conv.1.weight"),
            ("denselayer2.norm.3.weight", "denselayer2.norm.3.weight"),
            ("norm.1.weight", "norm.1.weight"),
            ("fc", "fc"),
            ("", ""),
        ];
        let failures: Vec<_> = cases.into_iter().filter(|&(old, new)| current_name(old) != new).collect();
        assert!(failures.is_empty(), "{failures:?}");
        let param = Param { shape: vec![1], data: vec![0.5].into() };
        let mut source = NamedParams::new([("denselayer1.norm.2.bias".into(), param)].into());
        assert_eq!(*source.take(&spec("denselayer1.norm2.bias", &[1], ParamRole::Beta)).unwrap(), [0.5]);
    }
}

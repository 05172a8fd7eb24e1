//! The fields of a layer as a [`Block`]: SimpleNN's layers and DagNN's blocks differ in names only.

use super::block::{Block, Distance, Filters, Moments, Pooling, Sliding};
use super::value::{Numbers, Record, Value, count_of};
use crate::formats::ImportError;
use crate::nn::ops::MapAxis;
use crate::nn::ops::window::Padding;

/// `vl_nnnormalize`'s defaults.
const LRN_PARAM: [f64; 4] = [5.0, 1.0, 0.0001 / 5.0, 0.75];
/// What `vl_nnbnorm` adds to variances unless it is told otherwise.
const EPSILON: f64 = 1e-4;

/// A layer of either wrapper.
pub(super) struct LayerFields<'r, 'v, 'a> {
    pub name: &'r str,
    /// MatConvNet's name of the type, such as `conv` or `dagnn.Conv`.
    pub kind: &'r str,
    pub fields: Record<'v, 'a>,
    /// Filters, biases, …; `None` where they are empty.
    pub weights: Vec<Option<&'v Numbers<'a>>>,
}

/// Layers that only compute what training wants to know.
pub(super) fn is_loss(kind: &str) -> bool {
    matches!(kind, "loss" | "softmaxloss")
        || kind.starts_with("dagnn.") && (kind.ends_with("Loss") || kind.ends_with("Error"))
}

impl LayerFields<'_, '_, '_> {
    pub fn block(&self) -> Result<Block, ImportError> {
        Ok(match self.kind.strip_prefix("dagnn.").unwrap_or(self.kind) {
            "conv" | "Conv" => self.conv()?,
            "convt" | "ConvTranspose" => self.conv_transpose()?,
            "pool" | "Pooling" => Block::Pool {
                method: self.pooling()?,
                kernel: self.pair(if self.fields.get("poolSize").is_some() { "poolSize" } else { "pool" }, 1)?,
                sliding: self.sliding()?,
            },
            "GlobalPooling" => Block::GlobalPool(self.pooling()?),
            "normalize" | "lrn" | "LRN" => Block::Lrn(self.param(Some(LRN_PARAM))?),
            "spnorm" | "SpatialNorm" => Block::SpatialNorm(self.param(None)?),
            "noffset" | "NormOffset" => Block::Offset(self.param(None)?),
            "softmax" | "SoftMax" | "softmaxloss" => Block::Softmax,
            "relu" | "ReLU" => Block::Relu { leak: self.option("leak", 0.0)? as f32 },
            "sigmoid" | "Sigmoid" => Block::Sigmoid,
            "tanh" | "Tanh" => Block::Tanh,
            "dropout" | "DropOut" => Block::Dropout { rate: self.number("rate", 0.5)? as f32 },
            "bnorm" | "BatchNorm" => Block::BatchNorm(self.moments()?),
            "scale" | "Scale" => self.scale()?,
            "Concat" => Block::Concat(self.concat_axis()?),
            "Permute" => self.permutation()?,
            "Flatten" => self.flatten()?,
            "Sum" => Block::Sum,
            "Axpy" => Block::MultiplyAdd,
            "pdist" | "PDist" => self.p_distance()?,
            _ => {
                let kind = ImportError::brief(self.kind);
                return Err(self.wrong(format!("is of the type `{kind}`, which is not supported")));
            }
        })
    }

    fn wrong(&self, reason: impl Into<String>) -> ImportError {
        ImportError::layer(self.name, reason)
    }

    /// The numbers of a field; `None` where it is missing or empty.
    fn numbers(&self, field: &str) -> Result<Option<Vec<f64>>, ImportError> {
        const MOST: usize = 64;
        let Some(value) = self.fields.filled(field) else { return Ok(None) };
        match value.numbers() {
            Some(numbers) if numbers.len() <= MOST => Ok(Some(numbers.to_f64())),
            Some(numbers) => Err(self.wrong(format!("has {} values for `{field}`", numbers.len()))),
            None => Err(self.wrong(format!("has a field `{field}` that is {}, not numbers", value.kind()))),
        }
    }

    fn number(&self, field: &str, default: f64) -> Result<f64, ImportError> {
        match self.numbers(field)?.as_deref() {
            None => Ok(default),
            Some(&[number]) => Ok(number),
            Some(numbers) => {
                Err(self.wrong(format!("has {} values for `{field}` where one is expected", numbers.len())))
            }
        }
    }

    fn flag(&self, field: &str, default: bool) -> Result<bool, ImportError> {
        Ok(self.number(field, f64::from(u8::from(default)))? != 0.0)
    }

    fn counts(&self, field: &str) -> Result<Option<Vec<usize>>, ImportError> {
        let Some(numbers) = self.numbers(field)? else { return Ok(None) };
        let counts: Result<Vec<usize>, _> = numbers.into_iter().map(|number| count_of(field, number)).collect();
        counts.map(Some).map_err(|error| self.wrong(error.to_string()))
    }

    /// `[vertical, horizontal]`; one number stands for both.
    fn pair(&self, field: &str, default: usize) -> Result<[usize; 2], ImportError> {
        match self.counts(field)?.as_deref() {
            None => Ok([default; 2]),
            Some(&[both]) => Ok([both; 2]),
            Some(&[vertical, horizontal]) => Ok([vertical, horizontal]),
            Some(counts) => {
                Err(self.wrong(format!("has {} values for `{field}` where one or two are expected", counts.len())))
            }
        }
    }

    /// `[top, bottom, left, right]`; one number stands for all.
    fn padding(&self, field: &str) -> Result<Padding, ImportError> {
        match self.counts(field)?.as_deref() {
            None => Ok(Padding::NONE),
            Some(&[all]) => Ok(Padding::all(all)),
            Some(&[top, bottom, left, right]) => Ok(Padding::Explicit { top, left, bottom, right }),
            Some(counts) => {
                Err(self.wrong(format!("has {} values for `{field}` where one or four are expected", counts.len())))
            }
        }
    }

    fn sliding(&self) -> Result<Sliding, ImportError> {
        Ok(Sliding { stride: self.pair("stride", 1)?, padding: self.padding("pad")? })
    }

    fn param<const N: usize>(&self, default: Option<[f64; N]>) -> Result<[f64; N], ImportError> {
        match (self.numbers("param")?, default) {
            (None, Some(default)) => Ok(default),
            (None, None) => Err(self.wrong("has no field `param`")),
            (Some(numbers), _) => <[f64; N]>::try_from(numbers).map_err(|numbers| {
                self.wrong(format!("has {} values for `param` where {N} are expected", numbers.len()))
            }),
        }
    }

    /// A number that is a field, or the value after its name in the list `opts`.
    fn option(&self, name: &str, default: f64) -> Result<f64, ImportError> {
        let opts = self.fields.get("opts").and_then(Value::cells).unwrap_or_default();
        let mut after =
            opts.iter().skip_while(|value| !value.text().is_some_and(|text| text.eq_ignore_ascii_case(name)));
        let Some(value) = after.nth(1) else { return self.number(name, default) };
        // Conversions from SimpleNN have put the whole layer there.
        let value = value.record().and_then(|layer| layer.get(name)).unwrap_or(value);
        match value.numbers().map(|numbers| (numbers.len(), numbers)) {
            Some((1, numbers)) => Ok(numbers.to_f64().into_iter().next().unwrap_or(default)),
            _ => Err(self.wrong(format!("has an option `{name}` that is not a number"))),
        }
    }

    fn pooling(&self) -> Result<Pooling, ImportError> {
        match self.fields.text("method") {
            None | Some("max" | "") => Ok(Pooling::Max),
            Some("avg") => Ok(Pooling::Average),
            Some(other) => Err(self.wrong(format!("pools by `{}`, which is not supported", ImportError::brief(other)))),
        }
    }

    fn values(&self, place: usize) -> Vec<f32> {
        self.weights.get(place).copied().flatten().map(Numbers::to_f32).unwrap_or_default()
    }

    fn filters(&self) -> Result<Option<Filters>, ImportError> {
        let Some(numbers) = self.weights.first().copied().flatten() else { return Ok(None) };
        let mut dims = [1; 4];
        if numbers.dims().iter().skip(4).any(|&dim| dim != 1) {
            return Err(self.wrong("has filters of more than four dimensions"));
        }
        dims.iter_mut().zip(numbers.dims()).for_each(|(dim, &given)| *dim = given);
        Ok(Some(Filters { dims, data: numbers.to_f32() }))
    }

    fn bias(&self) -> Result<Vec<f32>, ImportError> {
        Ok(if self.flag("hasBias", true)? { self.values(1) } else { Vec::new() })
    }

    fn conv(&self) -> Result<Block, ImportError> {
        let dilation = self.pair("dilate", 1)?;
        let has_option = |name: &str| {
            let opts = self.fields.get("opts").and_then(Value::cells).unwrap_or_default();
            opts.iter().any(|value| value.text().is_some_and(|text| text.eq_ignore_ascii_case(name)))
        };
        let dilation =
            if has_option("dilate") { [count_of("dilate", self.option("dilate", 1.0)?)?; 2] } else { dilation };
        Ok(Block::Conv { filters: self.filters()?, bias: self.bias()?, sliding: self.sliding()?, dilation })
    }

    fn conv_transpose(&self) -> Result<Block, ImportError> {
        let groups = if self.fields.get("numgroups").is_some() { "numgroups" } else { "numGroups" };
        Ok(Block::ConvTranspose {
            filters: self.filters()?.ok_or_else(|| self.wrong("has no filters"))?,
            bias: self.bias()?,
            upsample: self.pair("upsample", 1)?,
            crop: self.padding("crop")?,
            groups: count_of("numGroups", self.number(groups, 1.0)?)?,
        })
    }

    fn moments(&self) -> Result<Moments, ImportError> {
        let Some(moments) = self.weights.get(2).copied().flatten() else {
            return Err(self.wrong("holds no moments: the net normalizes by each batch, and cannot run on one picture"));
        };
        let mut mean = moments.to_f64();
        let sigma = mean.split_off(mean.len() / 2);
        let epsilon = self.number("epsilon", EPSILON)?;
        Ok(Moments { factor: self.values(0), bias: self.values(1), mean, sigma, epsilon })
    }

    fn scale(&self) -> Result<Block, ImportError> {
        // A map of factors, one a pixel, would fit one size of pictures only.
        if let Some(numbers) =
            self.weights.iter().flatten().find(|numbers| numbers.dims().iter().filter(|&&dim| dim != 1).count() > 1)
        {
            return Err(
                self.wrong(format!("scales by an array of {:?}; one factor a channel is supported", numbers.dims()))
            );
        }
        let factor = self.values(0);
        if factor.is_empty() {
            return Ok(Block::Scale { factor: None, bias: Vec::new() });
        }
        Ok(Block::Scale { factor: Some(factor), bias: self.bias()? })
    }

    fn concat_axis(&self) -> Result<MapAxis, ImportError> {
        match self.number("dim", 3.0)? {
            1.0 => Ok(MapAxis::Height),
            2.0 => Ok(MapAxis::Width),
            3.0 => Ok(MapAxis::Channel),
            other => Err(self.wrong(format!("joins its inputs along dimension {other}; 1 to 3 are supported"))),
        }
    }

    /// `order` of height, width, channels and number.
    fn permutation(&self) -> Result<Block, ImportError> {
        match self.counts("order")?.as_deref() {
            Some(&[2, 1] | &[2, 1, 3] | &[2, 1, 3, 4]) => Ok(Block::SwapSides),
            order => {
                Err(self.wrong(format!("orders dimensions as {:?}, which is not supported", order.unwrap_or_default())))
            }
        }
    }

    fn flatten(&self) -> Result<Block, ImportError> {
        match (self.number("firstAxis", 1.0)?, self.number("axis", 3.0)?) {
            (1.0, 3.0) => Ok(Block::Flatten),
            (first, last) => Err(self.wrong(format!("flattens dimensions {first} to {last}; 1 to 3 are supported"))),
        }
    }

    fn p_distance(&self) -> Result<Block, ImportError> {
        let simple = self.kind == "pdist";
        if self.flag("normed", false)? || self.number("hinge", 0.0)? != 0.0 {
            return Err(self.wrong("compares with a hinge or normed, which is not supported"));
        }
        let target = match self.fields.filled("class").and_then(Value::numbers) {
            Some(target) if simple => {
                if target.dims().iter().take(2).any(|&dim| dim != 1) {
                    return Err(self.wrong("compares with a picture; one pixel is supported"));
                }
                Some(target.to_f32())
            }
            _ => None,
        };
        Ok(Block::PDistance(Distance {
            p: self.number("p", 2.0)? as f32,
            no_root: self.flag("noRoot", false)?,
            epsilon: self.number("epsilon", if simple { 1e-3 } else { 1e-6 })? as f32,
            aggregate: self.flag("aggregate", !simple)?,
            target,
        }))
    }
}

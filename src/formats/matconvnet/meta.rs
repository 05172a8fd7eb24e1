//! What a net says about pictures and classes, in `meta` or, in older files, beside its layers.

use super::value::{Numbers, Record, Value, count_of};
use crate::formats::{FoundPreprocess, ImportError};
use crate::nn::graph::ChannelOrder;

pub(super) struct Meta<'v, 'a> {
    net: Record<'v, 'a>,
    meta: Option<Record<'v, 'a>>,
}

/// The size of the pictures that a net was trained with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct InputSize {
    pub size: [usize; 2],
    pub channels: Option<usize>,
}

impl<'v, 'a> Meta<'v, 'a> {
    pub fn of(net: Record<'v, 'a>) -> Self {
        Self { net, meta: net.get("meta").and_then(Value::record) }
    }

    fn get(&self, field: &str) -> Option<&'v Value<'a>> {
        self.meta.and_then(|meta| meta.filled(field)).or_else(|| self.net.filled(field))
    }

    fn normalization(&self) -> Option<Record<'v, 'a>> {
        self.get("normalization").and_then(Value::record)
    }

    pub fn input_size(&self) -> Result<Option<InputSize>, ImportError> {
        let image_size = self.normalization().and_then(|normalization| normalization.filled("imageSize"));
        // `inputSize` is the size, or {name, size}; Caffe's importer writes `inputs` with a name and size each.
        let last_cell = |value: &'v Value<'a>| value.cells().map_or(Some(value), |cells| cells.get(1));
        let input_size = || self.get("inputSize").and_then(last_cell);
        let inputs = || self.get("inputs").and_then(Value::record).and_then(|input| input.filled("size"));
        let Some(numbers) = image_size.or_else(input_size).or_else(inputs).and_then(Value::numbers) else {
            return Ok(None);
        };
        if !(2..=4).contains(&numbers.len()) {
            return Ok(None);
        }
        let counts: Result<Vec<usize>, _> = numbers.to_f64().into_iter().map(|n| count_of("imageSize", n)).collect();
        match counts?.as_slice() {
            &[height, width, ref channels @ ..] if height > 0 && width > 0 => Ok(Some(InputSize {
                size: [height, width],
                channels: channels.first().copied().filter(|&count| count > 0),
            })),
            _ => Ok(None),
        }
    }

    pub fn preprocess(&self, channels: usize, notes: &mut Vec<String>) -> FoundPreprocess {
        let order = match channels {
            1 => Some(ChannelOrder::Gray),
            3 => Some(ChannelOrder::Rgb),
            _ => None,
        };
        let average = self.normalization().and_then(|normalization| normalization.filled("averageImage"));
        let Some(average) = average.and_then(Value::numbers) else {
            return FoundPreprocess { order, ..FoundPreprocess::default() };
        };
        // MatConvNet's importer from Caffe writes two noughts where there is no mean.
        if average.len() == 2 && channels != 2 && average.to_f64() == [0.0; 2] {
            return FoundPreprocess { order, ..FoundPreprocess::default() };
        }
        let Some(mean) = mean_by_channel(average, channels, notes) else {
            let dims = average.dims();
            notes.push(format!(
                "The mean picture of {dims:?} values does not fit {channels} channels and was left out."
            ));
            return FoundPreprocess { order, ..FoundPreprocess::default() };
        };
        let deviation = self.normalization().and_then(|normalization| normalization.filled("imageStd"));
        let (mean, scale) = match deviation.and_then(Value::numbers).map(Numbers::to_f32) {
            Some(deviation) if deviation.len() == channels && deviation.iter().all(|&value| value > 0.0) => {
                // Conversions from PyTorch normalize pixel values of 0–1; others keep those of 0–255.
                let unit = if deviation.iter().all(|&deviation| deviation <= 1.0) { 255.0 } else { 1.0 };
                let scale = deviation.into_iter().map(|deviation| 1.0 / (unit * deviation)).collect();
                (mean.into_iter().map(|mean| unit * mean).collect(), scale)
            }
            // MatConvNet subtracts the mean from pixel values of 0–255 and leaves their scale.
            _ => (mean, vec![1.0]),
        };
        FoundPreprocess { order, mean: Some(mean), scale: Some(scale) }
    }

    pub fn labels(&self) -> Vec<String> {
        let classes = self.get("classes");
        // An early importer put the names into `meta` itself.
        let record = classes.map_or(self.meta, Value::record);
        let filled = |field| record.and_then(|record| record.filled(field)).filter(|value| value.cells().is_some());
        let texts =
            filled("description").or_else(|| filled("name")).or(classes).and_then(Value::texts).unwrap_or_default();
        texts.into_iter().map(|text| text.trim().to_string()).collect()
    }
}

/// A mean a channel, from one, or from a mean picture.
fn mean_by_channel(average: &Numbers<'_>, channels: usize, notes: &mut Vec<String>) -> Option<Vec<f32>> {
    let values = average.to_f64();
    if values.len() == channels || values.len() == 1 {
        return Some(values.into_iter().map(|value| value as f32).collect());
    }
    let depth = average.dims().get(2).copied().unwrap_or(1);
    let pixels = average.dims().iter().take(2).try_fold(1usize, |pixels, &dim| pixels.checked_mul(dim))?;
    if depth != channels || pixels == 0 || pixels.checked_mul(depth)? != values.len() {
        return None;
    }
    notes.push(
        "The net subtracts a mean picture; its mean colour is subtracted instead, so that any size of picture fits."
            .into(),
    );
    Some(values.chunks_exact(pixels).map(|plane| (plane.iter().sum::<f64>() / pixels as f64) as f32).collect())
}

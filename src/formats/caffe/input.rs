//! What the files say about the pictures that a net takes.

use super::blob::MeanImage;
use super::net::{Layer, Net};
use super::weights::Weights;
use super::wiring::{Role, Source, Wiring, blob_name};
use crate::formats::{FoundPreprocess, ImportError};

/// The input of a net, as far as its files tell.
#[derive(Debug, Default, PartialEq)]
pub struct Described {
    pub name: String,
    /// The number of pictures that it takes at once.
    pub batch: Option<i64>,
    pub channels: Option<usize>,
    /// `[height, width]`.
    pub size: Option<[usize; 2]>,
}

impl Described {
    /// What the layer or the fields say that give the input.
    pub fn new(net: &Net<'_>, source: &Source) -> Result<Self, ImportError> {
        let name = match ImportError::brief(blob_name(net, source)) {
            name if name.is_empty() => "data".to_string(),
            name => name,
        };
        let mut described = Self { name, ..Self::default() };
        let of_layer = |layer: &Layer<'_>, reason: String| ImportError::layer(layer.title(), reason);
        match *source {
            Source::Nowhere(_) => {}
            Source::Given(i) => {
                let dims = net.inputs.get(i).and_then(|given| given.dims.as_deref());
                dims.map_or(Ok(()), |dims| described.take_dims(dims))
                    .map_err(|reason| ImportError::field(&described.name, reason))?;
            }
            Source::Top { layer, top } => {
                let Some(layer) = net.layers.get(layer) else { return Ok(described) };
                described.take_layer(layer, top).map_err(|reason| of_layer(layer, reason))?;
            }
        }
        Ok(described)
    }

    fn take_dims(&mut self, dims: &[i64]) -> Result<(), String> {
        let [batch, channels, height, width] = *dims else {
            return Err(format!("gives blobs of {} dimensions; pictures have four", dims.len()));
        };
        self.batch = Some(batch);
        let positive = |dim: i64| usize::try_from(dim).ok().filter(|&dim| dim > 0);
        self.channels = positive(channels);
        self.size = positive(height).zip(positive(width)).map(|(height, width)| [height, width]);
        Ok(())
    }

    fn take_layer(&mut self, layer: &Layer<'_>, top: usize) -> Result<(), String> {
        let message = &layer.message;
        match layer.kind.as_str() {
            "Input" | "DummyData" => {
                let own = if layer.kind == "Input" { "input_param" } else { "dummy_data_param" };
                let params = message.message(own).cloned().unwrap_or_default();
                let shapes: Vec<_> = params.messages("shape").collect();
                if let Some(shape) = shapes.get(top).or(shapes.first()) {
                    return self.take_dims(&shape.integers("dim")?);
                }
                let dim = |name| -> Result<i64, String> {
                    let dims: Vec<i64> = params.integers(name)?;
                    Ok(dims.get(top).or(dims.first()).copied().unwrap_or(0))
                };
                if params.has("channels") {
                    self.take_dims(&[dim("num")?, dim("channels")?, dim("height")?, dim("width")?])?;
                }
                return Ok(());
            }
            "MemoryData" => {
                let params = message.message("memory_data_param").cloned().unwrap_or_default();
                let dim = |name| Ok::<i64, String>(params.integer(name)?.unwrap_or(0));
                self.take_dims(&[1, dim("channels")?, dim("height")?, dim("width")?])?;
            }
            "ImageData" => {
                let params = message.message("image_data_param").cloned().unwrap_or_default();
                let sides: (Option<usize>, Option<usize>) =
                    (params.integer("new_height")?, params.integer("new_width")?);
                self.size = sides.0.zip(sides.1).map(|(h, w)| [h, w]).filter(|size| !size.contains(&0));
                let colour = params.flag("is_color", true)? && params.flag("images_in_color", true)?;
                self.channels = Some(if colour { 3 } else { 1 });
            }
            _ => {}
        }
        let transform = Transform::read(layer)?;
        self.size = transform.crop.or(self.size);
        self.channels = self.channels.or(transform.channels);
        Ok(())
    }

    /// Finds the channels where the files do not tell them: by what the first layer of weights takes.
    pub fn infer_channels(&mut self, net: &Net<'_>, wiring: &Wiring, weights: &Weights<'_>) -> Result<(), ImportError> {
        const PASSING: [&str; 12] = [
            "Split",
            "Power",
            "ReLU",
            "Scale",
            "BatchNorm",
            "Bias",
            "Dropout",
            "Pooling",
            "LRN",
            "MVN",
            "Sigmoid",
            "TanH",
        ];
        if self.channels.is_some() {
            return Ok(());
        }
        let mut alike = vec![false; net.layers.len()];
        let mut order = wiring.order.clone();
        order.sort_unstable();
        for i in order {
            let (Some(layer), Some(takes)) = (net.layers.get(i), wiring.takes.get(i)) else { continue };
            let is_alike = |source: &Source| match source {
                source if *source == wiring.input => true,
                Source::Top { layer, .. } => alike.get(*layer).copied().unwrap_or(false),
                Source::Given(_) | Source::Nowhere(_) => false,
            };
            if !takes.first().is_some_and(is_alike) {
                continue;
            }
            let located = |reason: String| ImportError::layer(layer.title(), reason);
            if layer.kind == "Convolution" {
                let blobs = weights.of(&layer.name).map_err(located)?;
                let params = layer.message.message("convolution_param").cloned().unwrap_or_default();
                let groups = params.integer("group").map_err(located)?.unwrap_or(1);
                self.channels = match blobs.first().map(|blob| blob.shape.as_slice()) {
                    Some(&[_, channels, _, _]) => channels.checked_mul(groups),
                    _ => None,
                };
                return Ok(());
            }
            if layer.kind == "InnerProduct" {
                let blobs = weights.of(&layer.name).map_err(located)?;
                let params = layer.message.message("inner_product_param").cloned().unwrap_or_default();
                let outputs: Option<usize> = params.integer("num_output").map_err(located)?;
                let pixels = self.size.and_then(|[height, width]| height.checked_mul(width));
                let values = blobs.first().zip(outputs).and_then(|(blob, out)| blob.data.len().checked_div(out));
                self.channels = values.zip(pixels).and_then(|(values, pixels)| values.checked_div(pixels));
                return Ok(());
            }
            if let Some(alike) = alike.get_mut(i) {
                *alike = PASSING.contains(&layer.kind.as_str());
            }
        }
        Ok(())
    }
}

/// How a layer prepares pictures: its `transform_param`, or the older fields of its own parameters.
#[derive(Debug, Default, PartialEq)]
struct Transform {
    crop: Option<[usize; 2]>,
    channels: Option<usize>,
    scale: Option<f32>,
    mean: Option<Vec<f32>>,
    mean_file: Option<String>,
}

impl Transform {
    fn read(layer: &Layer<'_>) -> Result<Self, String> {
        let own = match layer.kind.as_str() {
            "Data" => "data_param",
            "ImageData" => "image_data_param",
            "WindowData" => "window_data_param",
            _ => "",
        };
        let mut transform = Self::default();
        for params in ["transform_param", own].into_iter().filter_map(|name| layer.message.message(name)) {
            let side = |name| Ok::<_, String>(params.integer::<usize>(name)?.filter(|&side| side > 0));
            let square = side("crop_size")?.map(|side| [side; 2]);
            let crop = square.or(side("crop_h")?.zip(side("crop_w")?).map(|(height, width)| [height, width]));
            transform.crop = transform.crop.or(crop);
            transform.scale = transform.scale.or(params.float("scale")?);
            let mean = params.floats("mean_value")?;
            transform.mean = transform.mean.or(Some(mean).filter(|mean| !mean.is_empty()));
            let file = params.text("mean_file").filter(|file| !file.is_empty());
            transform.mean_file = transform.mean_file.or(file.map(str::to_string));
            if params.flag("force_color", false)? {
                transform.channels = Some(3);
            } else if params.flag("force_gray", false)? {
                transform.channels = Some(1);
            }
        }
        let of_mean = transform.mean.as_ref().map(Vec::len).filter(|&len| len > 1);
        transform.channels = transform.channels.or(of_mean);
        Ok(transform)
    }
}

/// Of the first layer that prepares pictures, in the first net that has any.
fn first_transform(nets: &[&Net<'_>]) -> Result<Option<Transform>, ImportError> {
    let prepares = |layer: &&Layer<'_>| {
        let reads_files = matches!(layer.kind.as_str(), "Data" | "ImageData" | "WindowData");
        Role::of(layer) == Role::Data && (reads_files || layer.message.has("transform_param"))
    };
    let layer = nets.iter().find_map(|net| net.layers.iter().find(prepares));
    let read = |layer: &Layer<'_>| Transform::read(layer).map_err(|reason| ImportError::layer(layer.title(), reason));
    layer.map(read).transpose()
}

/// Whether the nets say what is subtracted from pictures, if only that nothing is.
pub fn states_mean(nets: &[&Net<'_>]) -> Result<bool, ImportError> {
    Ok(first_transform(nets)?.is_some_and(|transform| transform.mean.is_some() || transform.mean_file.is_none()))
}

/// How pictures become the input. The layers of `nets` that give pictures tell; the first net that has any counts.
///
/// Layers that read pictures from files subtract nothing and multiply by one where they do not say otherwise.
pub fn preprocess(
    nets: &[&Net<'_>],
    mean: Option<&MeanImage>,
    channels: usize,
    notes: &mut Vec<String>,
) -> Result<FoundPreprocess, ImportError> {
    let mut found = FoundPreprocess::default();
    if let Some(transform) = first_transform(nets)? {
        found.scale = Some(vec![transform.scale.unwrap_or(1.0)]);
        found.mean = match (transform.mean, transform.mean_file) {
            (Some(mean), _) => Some(mean),
            (None, None) => Some(vec![0.0]),
            (None, Some(file)) => {
                if mean.is_none() {
                    let file = file.rsplit(['/', '\\']).next().unwrap_or_default();
                    notes.push(format!(
                        "The net was trained on pictures minus the mean image `{}`, which is not at hand.",
                        ImportError::brief(file)
                    ));
                }
                None
            }
        };
    }
    if let Some(mean) = mean {
        found.mean = Some(mean.channels.clone());
        notes.push("The mean image was averaged over its pixels: each channel has one mean.".into());
    }
    if let Some(mean) = &found.mean
        && mean.len() != 1
        && mean.len() != channels
    {
        let reason = format!("there are {} means for {channels} channels", mean.len());
        return Err(ImportError::field("mean", reason));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    fn described(text: &str) -> Result<(Described, FoundPreprocess, Vec<String>), ImportError> {
        let message = text::parse(text).unwrap();
        let net = Net::new(&message).unwrap();
        let described = Described::new(&net, &Wiring::new(&net, |_| true).unwrap().input)?;
        let mut notes = Vec::new();
        let found = preprocess(&[&net], None, 3, &mut notes)?;
        Ok((described, found, notes))
    }

    const READER: &str = r#"layer { name: "r" type: "ReLU" bottom: "x" top: "r" }"#;

    #[test]
    fn every_kind_of_input_tells_what_it_can() {
        let cases = [
            (r#"input: "x" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 9"#, Some(3), Some([8, 9])),
            (r#"input: "x" input_shape { dim: [1, 1, 5, 6] }"#, Some(1), Some([5, 6])),
            (
                r#"layer { type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }"#,
                Some(3),
                Some([4, 4]),
            ),
            (
                r#"layer { type: "MemoryData" top: "x" memory_data_param { channels: 1 height: 2 width: 3 } }"#,
                Some(1),
                Some([2, 3]),
            ),
            (
                r#"layer { type: "DummyData" top: "x" dummy_data_param { num: 1 channels: 3 height: 2 width: 3 } }"#,
                Some(3),
                Some([2, 3]),
            ),
            (
                r#"layer { type: "ImageData" top: "x" image_data_param { new_height: 7 new_width: 8 is_color: 0 } }"#,
                Some(1),
                Some([7, 8]),
            ),
            (
                r#"layer { type: "Data" top: "x" transform_param { crop_size: 5 mean_value: [1, 2, 3] } }"#,
                Some(3),
                Some([5, 5]),
            ),
            (r#"layer { type: "Data" top: "x" }"#, None, None),
            (r#"input: "x""#, None, None),
        ];
        for (text, channels, size) in cases {
            let (described, ..) = described(&format!("{text} {READER}")).unwrap();
            assert_eq!((described.name.as_str(), described.channels, described.size), ("x", channels, size), "{text}");
        }
        let error = described(&format!(r#"input: "x" input_shape {{ dim: 1 dim: 10 }} {READER}"#)).unwrap_err();
        assert!(error.to_string().contains("2 dimensions"), "{error}");
    }

    #[test]
    fn layers_that_read_files_tell_means_and_scales() {
        let found = |text: &str| {
            let (_, found, notes) = described(&format!("{text} {READER}")).unwrap();
            (found.mean, found.scale, notes.len())
        };
        let data = r#"layer { type: "Data" top: "x" transform_param { scale: 0.5 mean_value: 104 } }"#;
        assert_eq!(found(data), (Some(vec![104.0]), Some(vec![0.5]), 0));
        assert_eq!(found(r#"layer { type: "Data" top: "x" }"#), (Some(vec![0.0]), Some(vec![1.0]), 0));
        let old = r#"layers { type: IMAGE_DATA top: "x" image_data_param { mean_file: "/a/b.bin" scale: 2 } }"#;
        let (_, found_old, notes) =
            described(&format!("{old} {}", READER.replace("layer ", "layers ").replace("\"ReLU\"", "RELU"))).unwrap();
        assert_eq!((found_old.mean, found_old.scale), (None, Some(vec![2.0])));
        assert!(notes[0].contains("`b.bin`"), "{notes:?}");
        assert_eq!(
            found(r#"layer { type: "MemoryData" top: "x" memory_data_param { channels: 3 height: 2 width: 3 } }"#),
            (None, None, 0)
        );
        assert_eq!(found(r#"input: "x""#), (None, None, 0));
    }
}

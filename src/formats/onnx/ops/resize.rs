//! Resampling.

use super::super::super::ImportError;
use super::super::call::Call;
use super::super::importer::Importer;
use super::super::value::Value;
use crate::nn::ops::Op;
use crate::nn::ops::resize::{Resize, ResizeMode, ResizeTarget};

/// What resampling is asked for, by axes of the tensor.
enum Asked {
    Factors(Vec<f32>),
    Sizes(Vec<i64>),
}

pub fn translate(importer: &mut Importer, call: &Call, op: &str) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let dims = importer.dims(&x);
    if x.rank() != 4 || importer.node_dims(x.node).len() != 4 {
        return Err(call.unsupported("a tensor that is no maps"));
    }
    let axes = match call.ints("axes") {
        Some(axes) => call.axes(axes, 4)?,
        None => (0..4).collect(),
    };
    let asked = asked(call, op)?;
    let length = match &asked {
        Asked::Factors(factors) => factors.len(),
        Asked::Sizes(sizes) => sizes.len(),
    };
    if length != axes.len() {
        return Err(call.error(format!("{length} axes are resized where there are {}", axes.len())));
    }
    // By axes of the node: a factor and a length in pixels.
    let node_dims = importer.node_dims(x.node);
    let (mut factors, mut sizes) = ([1.0f64; 4], [0usize; 4]);
    sizes.copy_from_slice(&node_dims);
    for (place, &axis) in axes.iter().enumerate() {
        let along = x.axes[axis];
        let (factor, size) = match &asked {
            Asked::Factors(values) => {
                let factor = f64::from(values[place]);
                (factor, (dims[axis] as f64 * factor).floor() as usize)
            }
            Asked::Sizes(values) => {
                let size = usize::try_from(values[place]).map_err(|_| call.error("a size is negative"))?;
                (size as f64 / dims[axis] as f64, size)
            }
        };
        match along {
            Some(along @ (2 | 3)) => (factors[along], sizes[along]) = (factor, size),
            _ if size == dims[axis] => {}
            _ => return Err(call.unsupported("resampling of other than height and width")),
        }
    }
    let [.., vertical, horizontal] = factors;
    let [.., height, width] = sizes;
    let mode = mode(call, op, [vertical, horizontal], [height, width])?;
    let target = match asked {
        Asked::Factors(_) => ResizeTarget::Factor([vertical, horizontal]),
        Asked::Sizes(_) => ResizeTarget::Size([height, width]),
    };
    let node = importer.add(call, "", Op::Resize(Resize { target, mode }), &[x.node], &[])?;
    Ok(x.of(node).into())
}

fn asked(call: &Call, op: &str) -> Result<Asked, ImportError> {
    if let Some(policy) = call.text("keep_aspect_ratio_policy").filter(|policy| policy != "stretch") {
        return Err(call.unsupported(format!("the policy {}", ImportError::brief(&policy))));
    }
    if let (Some(height), Some(width)) = (call.attribute("height_scale"), call.attribute("width_scale")) {
        return Ok(Asked::Factors(vec![1.0, 1.0, height.f.unwrap_or(1.0), width.f.unwrap_or(1.0)]));
    }
    if let Some(scales) = call.attribute("scales") {
        return Ok(Asked::Factors(scales.floats.clone()));
    }
    let place = if op == "Upsample" || call.opset < 11 { 1 } else { 2 };
    if let Some(scales) = call.optional(place)?.filter(|scales| scales.len() > 0) {
        return Ok(Asked::Factors(scales.floats().to_vec()));
    }
    let sizes = call.optional(3)?.and_then(|sizes| sizes.as_ints());
    sizes.map(|sizes| Asked::Sizes(sizes.to_vec())).ok_or_else(|| call.error("neither scales nor sizes are given"))
}

/// The mode that gives the same pixels. Before operator set 11 pixels start at whole numbers.
fn mode(call: &Call, op: &str, factors: [f64; 2], size: [usize; 2]) -> Result<ResizeMode, ImportError> {
    let old = op == "Upsample" || call.opset < 11;
    let mode = call.text("mode").unwrap_or_else(|| "nearest".into());
    let coordinates = match call.text("coordinate_transformation_mode") {
        _ if old => "asymmetric".into(),
        Some(coordinates) => coordinates,
        None => "half_pixel".into(),
    };
    let rounding = match call.text("nearest_mode") {
        _ if old => "floor".into(),
        Some(rounding) => rounding,
        None => "round_prefer_floor".into(),
    };
    if call.flag("antialias", false) || call.flag("exclude_outside", false) {
        return Err(call.unsupported("antialiasing"));
    }
    // Enlarged by a whole number, every pixel becomes a block, however positions are counted and rounded.
    let whole = factors.iter().all(|factor| factor.fract() == 0.0 && *factor >= 1.0);
    match (mode.as_str(), coordinates.as_str(), rounding.as_str()) {
        ("nearest", "asymmetric", "floor") => Ok(ResizeMode::Nearest),
        ("nearest", "half_pixel" | "pytorch_half_pixel", "round_prefer_floor" | "round_prefer_ceil")
            if whole && (coordinates == "half_pixel" || !size.contains(&1)) =>
        {
            Ok(ResizeMode::Nearest)
        }
        ("linear" | "bilinear", "half_pixel", _) => Ok(ResizeMode::Bilinear),
        ("linear" | "bilinear", "pytorch_half_pixel", _) if !size.contains(&1) => Ok(ResizeMode::Bilinear),
        ("linear" | "bilinear", "align_corners", _) => Ok(ResizeMode::BilinearAlignCorners),
        _ => {
            let [mode, coordinates, rounding] = [&mode, &coordinates, &rounding].map(|text| ImportError::brief(text));
            Err(call.unsupported(format!("the mode {mode} with coordinates {coordinates} and rounding {rounding}")))
        }
    }
}

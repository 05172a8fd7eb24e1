//! Frames as files: safetensors with the picture as a tensor and the rest in the metadata.

use std::collections::HashMap;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::check::{LARGEST_SIDE_PX, check};
use super::error::DreamError;
use super::frame::{Frame, State};
use super::recipe::Recipe;

/// The version of the format that is written and read.
const VERSION: u32 = 1;
/// The key of the metadata that tells a frame from other safetensors files.
const METADATA_KEY: &str = "oneiric.frame";
/// Height × width × RGB.
const PICTURE: &str = "rgb";
/// The objective at the first and the last step of the octave. Not in the metadata, where it could be rounded.
const OBJECTIVE: &str = "objective";
/// Longer headers are not read: a recipe of ten thousand changes is as long.
const MAX_HEADER_BYTES: u64 = 4 << 20;
/// More steps than any machine makes in an octave; sums of them cannot overflow.
const MOST_STEPS: usize = 1 << 40;

/// What is in the metadata, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    octaves: usize,
    /// Steps done in the octave in work, as the settings count them.
    step: usize,
    /// Steps done in each octave up to that in work, the smallest first.
    steps_by_octave: Vec<usize>,
    /// As TOML.
    recipe: String,
}

fn bad(reason: impl ToString) -> DreamError {
    DreamError::BadFrame { reason: reason.to_string() }
}

fn expect(holds: bool, reason: &str) -> Result<(), DreamError> {
    if holds { Ok(()) } else { Err(bad(reason)) }
}

pub(super) fn write(frame: &Frame) -> Result<Vec<u8>, DreamError> {
    let State { rgb, step, steps_by_octave, recipe, .. } = &frame.state;
    check_finite(rgb)?;
    let document = Document {
        version: VERSION,
        octaves: frame.octaves,
        step: *step,
        steps_by_octave: steps_by_octave.clone(),
        recipe: recipe.to_text(),
    };
    let metadata = HashMap::from([(METADATA_KEY.to_string(), serde_json::to_string(&document).map_err(bad)?)]);
    let [height, width] = frame.size_px;
    let picture: Vec<u8> = bytes_of(rgb, |value| value.to_le_bytes());
    let objective: Vec<u8> = bytes_of(frame.objectives().as_slice().as_flattened(), |value| value.to_le_bytes());
    let mut tensors = vec![(PICTURE, Dtype::F32, vec![height, width, 3], picture.as_slice())];
    if !objective.is_empty() {
        tensors.push((OBJECTIVE, Dtype::F64, vec![2], objective.as_slice()));
    }
    let views = tensors.into_iter().map(|(name, kind, shape, bytes)| Ok((name, TensorView::new(kind, shape, bytes)?)));
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>().map_err(bad)?;
    safetensors::serialize(views, Some(metadata)).map_err(bad)
}

fn bytes_of<T: Copy, const N: usize>(values: &[T], to_bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * N);
    values.iter().for_each(|&value| bytes.extend_from_slice(&to_bytes(value)));
    bytes
}

fn check_finite(rgb: &[f32]) -> Result<(), DreamError> {
    expect(rgb.iter().all(|value| value.is_finite()), "the picture has values that are no numbers")
}

pub(super) fn read(bytes: &[u8]) -> Result<Frame, DreamError> {
    check_header_length(bytes)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| bad(format!("it is damaged: {error}")))?;
    let document = header.metadata().as_ref().and_then(|entries| entries.get(METADATA_KEY));
    let document = document.ok_or_else(|| bad("it is another kind of file"))?;
    let document: Document = serde_json::from_str(document).map_err(bad)?;
    if document.version != VERSION {
        let found = document.version;
        return Err(bad(format!("it has version {found} of the format; this program reads version {VERSION}")));
    }
    let recipe = Recipe::from_text(&document.recipe)?;
    check_recipe(&recipe)?;
    let Document { octaves, step, steps_by_octave, .. } = document;
    let octave = steps_by_octave.len();
    expect((1..=recipe.dream.octaves).contains(&octaves), "it has another number of octaves than its recipe")?;
    expect((1..=octaves).contains(&octave), "its octave is not one of the dream's")?;
    expect(steps_by_octave.iter().all(|&steps| steps <= MOST_STEPS), "its steps are too many")?;
    expect(step <= steps_by_octave[octave - 1], "it counts more steps in its octave than were done")?;
    let done = steps_by_octave.iter().sum();
    let is_past = recipe.changes.iter().all(|change| change.after <= done);
    expect(is_past, "its recipe changes the settings after a step that is not done")?;

    let tensors = SafeTensors::deserialize(bytes).map_err(|error| bad(format!("it is damaged: {error}")))?;
    let (size_px, rgb) = picture(&tensors)?;
    let objectives = objectives(&tensors)?;
    let state = State {
        rgb,
        step,
        steps_by_octave,
        first_objective: objectives.map(|[first, _]| first),
        recipe: Arc::new(recipe),
    };
    Ok(Frame { done, octave, octaves, size_px, objective: objectives.map(|[_, last]| last), state })
}

fn check_header_length(bytes: &[u8]) -> Result<(), DreamError> {
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| bad("it is cut short"))?;
    let length = u64::from_le_bytes(*length);
    expect(length <= MAX_HEADER_BYTES, "its header is too long")?;
    expect(length <= rest.len() as u64, "it is cut short")
}

/// Everything that a dream would have refused.
fn check_recipe(recipe: &Recipe) -> Result<(), DreamError> {
    expect(recipe.stopped_after.is_none(), "its recipe says where it stopped")?;
    check(&recipe.dream)?;
    expect(recipe.changes.is_sorted_by_key(|change| change.after), "its changes are out of order")?;
    for change in &recipe.changes {
        check(&change.dream)?;
        recipe.dream.can_become(&change.dream).map_err(|setting| DreamError::NeedsNewStart { setting })?;
    }
    Ok(())
}

fn picture(tensors: &SafeTensors<'_>) -> Result<([usize; 2], Vec<f32>), DreamError> {
    let tensor = tensors.tensor(PICTURE).map_err(|_| bad("it has no picture"))?;
    let sides = 1..=LARGEST_SIDE_PX;
    let size_px = match *tensor.shape() {
        [height, width, 3] if sides.contains(&height) && sides.contains(&width) => [height, width],
        _ => return Err(bad("its picture is not height × width × 3")),
    };
    expect(tensor.dtype() == Dtype::F32, "its picture is not of type F32")?;
    let rgb: Vec<f32> = tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    // The container has been checked for it; a picture is made of it without asking again.
    expect(rgb.len() == size_px[0] * size_px[1] * 3, "its picture is cut short")?;
    check_finite(&rgb)?;
    Ok((size_px, rgb))
}

fn objectives(tensors: &SafeTensors<'_>) -> Result<Option<[f64; 2]>, DreamError> {
    let Ok(tensor) = tensors.tensor(OBJECTIVE) else { return Ok(None) };
    match (tensor.dtype(), tensor.data().as_chunks().0) {
        (Dtype::F64, &[first, last]) => Ok(Some([first, last].map(f64::from_le_bytes))),
        _ => Err(bad("its objective is not two numbers of type F64")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::change::Change;
    use super::super::frame::testing::frame;
    use super::super::recipe::SourcePhoto;
    use super::super::spec::DreamSpec;
    use super::*;

    /// A frame with everything in it.
    fn full() -> Frame {
        let mut frame = Arc::into_inner(frame(&[3, 4], 9)).expect("it is not shared");
        frame.objective = Some(0.1 + 0.2);
        frame.state.rgb[0] = -0.0;
        let recipe = Arc::make_mut(&mut frame.state.recipe);
        let changed = DreamSpec { step_size: 1.7, seed: 5, class: None, ..recipe.dream.clone() };
        recipe.changes = vec![Change { after: 5, dream: changed }];
        recipe.source = Some(SourcePhoto { file: "a \"photo\"\n.png".into(), crc32: "0123abcd".into() });
        frame
    }

    #[test]
    fn a_frame_comes_back_bit_for_bit() {
        for frame in [full(), Arc::into_inner(frame(&[0], 2)).expect("it is not shared")] {
            let bytes = frame.to_bytes().expect("finite");
            let back = Frame::from_bytes(&bytes).expect("its own bytes");
            assert_eq!(back, frame);
            let bits = |frame: &Frame| frame.rgb().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&back), bits(&frame));
            assert_eq!(back.to_bytes().expect("finite"), bytes);
        }
    }

    #[test]
    fn a_picture_that_is_no_picture_is_refused() {
        for value in [f32::NAN, f32::INFINITY] {
            let mut frame = full();
            frame.state.rgb[7] = value;
            let error = frame.to_bytes().expect_err("not finite").to_string();
            assert!(error.contains("no numbers"), "{error}");
            let mut bytes = full().to_bytes().expect("finite");
            let at = bytes.len() - 4;
            bytes[at..].copy_from_slice(&value.to_le_bytes());
            let error = Frame::from_bytes(&bytes).expect_err("not finite").to_string();
            assert!(error.contains("no numbers"), "{error}");
        }
    }

    /// The bytes of [`full`] with its metadata changed.
    fn edited(edit: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
        let bytes = full().to_bytes().expect("finite");
        let (header_bytes, header) = SafeTensors::read_metadata(&bytes).expect("its own bytes");
        let entries = header.metadata().clone().expect("metadata");
        let mut document = serde_json::from_str(&entries[METADATA_KEY]).expect("JSON");
        edit(&mut document);
        let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_bytes]).expect("JSON");
        header["__metadata__"][METADATA_KEY] = document.to_string().into();
        let header = header.to_string();
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + header_bytes..]].concat()
    }

    #[test]
    fn frames_that_no_dream_comes_to_are_refused() {
        assert_eq!(Frame::from_bytes(&edited(|_| ())).expect("nothing was changed"), full());
        type Edit = fn(&mut serde_json::Value);
        let recipe = |document: &mut serde_json::Value, from: &str, to: &str| {
            let text = document["recipe"].as_str().expect("text").to_string();
            assert!(text.contains(from), "{text}");
            document["recipe"] = text.replacen(from, to, 1).into();
        };
        let cases: [(&str, Edit); 9] = [
            ("version 2", |document| document["version"] = 2.into()),
            ("unknown field", |document| document["more"] = 1.into()),
            ("number of octaves", |document| document["octaves"] = 3.into()),
            ("number of octaves", |document| document["octaves"] = 0.into()),
            ("one of the dream's", |document| document["steps_by_octave"] = serde_json::json!([1, 2, 3])),
            ("one of the dream's", |document| document["steps_by_octave"] = serde_json::json!([])),
            ("too many", |document| document["steps_by_octave"] = serde_json::json!([u64::MAX, 4])),
            ("more steps", |document| document["step"] = 5.into()),
            ("recipe", |document| document["recipe"] = "steps = 1".into()),
        ];
        for (expected, edit) in cases {
            let error = Frame::from_bytes(&edited(edit)).expect_err(expected).to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
        for (expected, from, to) in [
            ("not done", "after = 5", "after = 8"),
            ("steps is 0", "steps = 9", "steps = 0"),
            ("octaves is 0", "octaves = 2", "octaves = 0"),
            ("seed", "seed = 0", "sead = 0"),
        ] {
            let bytes = edited(|document| recipe(document, from, to));
            let error = Frame::from_bytes(&bytes).expect_err(expected).to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn damaged_bytes_are_refused_without_a_panic() {
        let bytes = full().to_bytes().expect("finite");
        for len in 0..bytes.len() {
            assert!(Frame::from_bytes(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
        }
        let header_bytes = usize::from_le_bytes(*bytes.first_chunk().expect("a length"));
        for at in 0..8 + header_bytes {
            for flip in [0x01, 0x80] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                let _ = Frame::from_bytes(&damaged);
            }
        }
        let error = Frame::from_bytes(&u64::MAX.to_le_bytes()).expect_err("a long header").to_string();
        assert!(error.contains("too long"), "{error}");
    }
}

//! Settings that make no sense, before anything is looked up.

use std::fmt::Display;

use super::error::DreamError;
use super::spec::DreamSpec;
use crate::optvis::transform::Jitter;

const MOST_OCTAVES: usize = 32;
const LARGEST_OCTAVE_SCALE: f64 = 16.0;
const MOST_STEPS: usize = 1_000_000;
const LARGEST_STEP: f32 = 1e6;
const LARGEST_WEIGHT: f32 = 1e6;
const LARGEST_SHIFT_PX: u32 = 1 << 16;
const MOST_BANDS: usize = 16;
/// A side of a picture; more than any file format holds.
pub(super) const LARGEST_SIDE_PX: usize = 1 << 20;

fn expect(holds: bool, setting: &'static str, value: impl Display, expected: &'static str) -> Result<(), DreamError> {
    if holds { Ok(()) } else { Err(DreamError::Setting { setting, value: value.to_string(), expected }) }
}

/// Checks every number on its own, and which settings go together.
pub fn check(spec: &DreamSpec) -> Result<(), DreamError> {
    let within = |value: f32, most: f32| (0.0..=most).contains(&value);
    let sizes_px = 1..=LARGEST_SIDE_PX;
    expect((1..=MOST_OCTAVES).contains(&spec.octaves), "octaves", spec.octaves, "1 to 32")?;
    let scale = spec.octave_scale;
    expect(scale > 1.0 && scale <= LARGEST_OCTAVE_SCALE, "octave_scale", scale, "above 1, up to 16")?;
    expect((1..=MOST_STEPS).contains(&spec.steps), "steps", spec.steps, "1 to 1000000")?;
    let step_size = spec.step_size;
    expect(step_size > 0.0 && step_size <= LARGEST_STEP, "step_size", step_size, "above 0, up to 1000000")?;
    check_jitter(&spec.jitter)?;
    expect(spec.laplacian <= MOST_BANDS, "laplacian", spec.laplacian, "0 to 16")?;
    expect(within(spec.l2, LARGEST_WEIGHT), "l2", spec.l2, "0 to 1000000")?;
    expect(within(spec.tv, LARGEST_WEIGHT), "tv", spec.tv, "0 to 1000000")?;
    // As large as whole numbers of TOML can be: recipes hold it.
    expect(i64::try_from(spec.seed).is_ok(), "seed", spec.seed, "0 to 9223372036854775807")?;
    if let Some(size_px) = spec.size {
        expect(sizes_px.contains(&size_px), "size", size_px, "1 to 1048576 pixels")?;
    }
    if let Some(side_px) = spec.tile {
        expect(sizes_px.contains(&side_px), "tile", side_px, "1 to 1048576 pixels")?;
    }
    if let Some(noise) = spec.from_noise {
        let both = sizes_px.contains(&noise.width) && sizes_px.contains(&noise.height);
        expect(both, "from_noise", format!("{}×{}", noise.width, noise.height), "1 to 1048576 pixels a side")?;
    }
    for layer in &spec.layers {
        let weight = layer.weight;
        expect(
            weight != 0.0 && within(weight.abs(), LARGEST_WEIGHT),
            "a layer's weight",
            weight,
            "a number other than 0",
        )?;
    }
    if let Some(neuron) = spec.neuron {
        expect(within(neuron.x, 1.0), "the neuron's x", neuron.x, "0 (left) to 1 (right)")?;
        expect(within(neuron.y, 1.0), "the neuron's y", neuron.y, "0 (top) to 1 (bottom)")?;
    }
    check_goal(spec)
}

fn check_jitter(jitter: &Jitter) -> Result<(), DreamError> {
    const EXPECTED: &str = "0 to 65536 pixels";
    match jitter {
        Jitter::Random(most) => expect(*most <= LARGEST_SHIFT_PX, "jitter", most, EXPECTED),
        Jitter::Offsets(rolls) => {
            expect(!rolls.is_empty(), "jitter", "an empty list", "a number, or a list of shifts")?;
            let largest = rolls.iter().map(|roll| roll.right.unsigned_abs().max(roll.down.unsigned_abs())).max();
            expect(largest <= Some(LARGEST_SHIFT_PX), "jitter", largest.unwrap_or(0), EXPECTED)
        }
    }
}

fn check_goal(spec: &DreamSpec) -> Result<(), DreamError> {
    let others = [
        (!spec.layers.is_empty(), "layers"),
        (!spec.channels.is_empty(), "channels"),
        (spec.neuron.is_some(), "a neuron"),
    ];
    match others.into_iter().find(|(given, _)| *given) {
        Some((_, other)) if spec.class.is_some() => Err(DreamError::ClassAnd { other }),
        _ if spec.neuron.is_some() && !spec.channels.is_empty() => Err(DreamError::ChannelsAndNeuron),
        _ => Ok(()),
    }
}

//! How long each layer takes, forward and back to the picture.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::describe::{Family, words};
use super::objective::Objective;
use super::photo::NetInput;
use super::{InspectError, memory, without_batch};
use crate::base::parallel;
use crate::base::tensor::Shape;
use crate::nn::exec::frozen::StepTime;
use crate::nn::exec::{FrozenNet, Session};
use crate::nn::graph::{Graph, NodeId};
use crate::nn::ops::ReluRule;

/// Rounds before the clock counts: they fault memory in.
const WARM_UP_ROUNDS: usize = 2;
pub const DEFAULT_ROUNDS: usize = 7;
pub const MOST_ROUNDS: usize = 10_000;
const OPERATIONS_A_MAC: f64 = 2.0;

/// Layers that run together: one, or a convolution with what is folded into it and fused behind it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProfileRow {
    /// The names of the layers, in the net's order; the last one's output is written.
    pub layers: Vec<String>,
    /// What each of them does, such as `Conv2d 3×3 /2`.
    pub fused: Vec<String>,
    /// That of the first layer.
    pub family: Family,
    /// The output without the batch.
    pub output: Vec<usize>,
    /// Multiply-accumulates forward; the way back takes as many.
    pub macs: u64,
    /// Median over the rounds. Nought for layers that cost nothing, such as a concatenation that is written in place.
    pub forward_ms: f64,
    pub backward_ms: f64,
    /// Of the time of all rows, from 0 to 1.
    pub share: f64,
    /// 10⁹ operations a second, forward and backward together; two operations a multiply-accumulate by definition, so
    /// that algorithms that get by with fewer (Winograd) may exceed the machine's peak. `None` without matrix products.
    pub gflops: Option<f64>,
    /// An estimate: inputs, outputs and weights, each read or written once, in one direction, as f32.
    pub bytes: u64,
}

/// All rows of one family.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FamilyTime {
    pub family: Family,
    pub rows: usize,
    pub forward_ms: f64,
    pub backward_ms: f64,
    /// Of the time of all rows, from 0 to 1.
    pub share: f64,
}

/// The whole net.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProfileTotals {
    pub net: String,
    /// Channels, height, width.
    pub input: Vec<usize>,
    /// The layer up to which the net ran, and from which the derivative of ½ Σ x² came back.
    pub layer: String,
    pub rounds: usize,
    pub threads: usize,
    /// Medians of whole passes.
    pub forward_ms: f64,
    pub backward_ms: f64,
    pub macs: u64,
    pub gflops: f64,
    /// As of rows; the sum.
    pub bytes: u64,
    /// The estimated bytes of both directions over the time of both, in 10⁹ a second.
    pub gigabytes_a_second: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// In the order in which the net runs.
    pub rows: Vec<ProfileRow>,
    /// The slowest first.
    pub families: Vec<FamilyTime>,
    pub totals: ProfileTotals,
}

/// Runs the frozen net `rounds` times forward to `layer` (default: the class scores) and back to the picture from the
/// derivative of ½ Σ x² of that layer, and takes the median time of every step.
///
/// # Errors
/// For no rounds or too many, for an unknown layer, for a size that a layer refuses, and when more memory is needed than
/// `available_bytes`.
pub fn profile(
    graph: &Arc<Graph>,
    input: &NetInput,
    layer: Option<&str>,
    rounds: usize,
    available_bytes: Option<u64>,
) -> Result<Profile, InspectError> {
    if !(1..=MOST_ROUNDS).contains(&rounds) {
        return Err(InspectError::Rounds { rounds });
    }
    let objective = Objective::of_layer(graph, layer)?;
    let target = objective.node();
    if target == 0 {
        return Err(InspectError::NothingToRun);
    }
    let net = FrozenNet::new(graph.clone(), &[target]);
    memory::check(net.session_bytes(&input.shape, true)? as u64, available_bytes)?;
    let mut session = net.session(&input.shape, true, None)?;
    let mut clock = Clock::default();
    for round in 0..WARM_UP_ROUNDS + rounds {
        let [forward, backward] = one_round(&mut session, input, objective);
        if round >= WARM_UP_ROUNDS {
            clock.add(&forward, &backward);
        }
    }
    let steps: Vec<&[NodeId]> = net.steps().collect();
    report(graph, &input.shape, target, &steps, &clock)
}

fn one_round(session: &mut Session, input: &NetInput, objective: Objective) -> [Vec<StepTime>; 2] {
    session.input_mut().copy_from_slice(&input.nhwc);
    let forward = session.profile_forward();
    let (blob, seed) = session.blob_and_seed(objective.node());
    objective.seed(&blob, seed);
    [forward, session.profile_backward(ReluRule::Gradient)]
}

/// Times in milliseconds, one a round.
#[derive(Default)]
struct Clock {
    /// By the last node of what runs together.
    steps: [BTreeMap<NodeId, Vec<f64>>; 2],
    passes: [Vec<f64>; 2],
}

impl Clock {
    fn add(&mut self, forward: &[StepTime], backward: &[StepTime]) {
        for (direction, times) in [forward, backward].into_iter().enumerate() {
            // A step may be several: a gradient is also copied, cleared, masked.
            let mut sums: BTreeMap<NodeId, f64> = BTreeMap::new();
            for step in times {
                *sums.entry(step.node).or_default() += step.time.as_secs_f64() * 1e3;
            }
            self.passes[direction].push(sums.values().sum());
            for (node, sum) in sums {
                self.steps[direction].entry(node).or_default().push(sum);
            }
        }
    }

    /// `[forward, backward]` of one step.
    fn of(&self, node: NodeId) -> [f64; 2] {
        [0, 1].map(|direction| self.steps[direction].get(&node).map_or(0.0, |times| median(times)))
    }

    fn whole(&self) -> [f64; 2] {
        [0, 1].map(|direction| median(&self.passes[direction]))
    }
}

/// The upper median; 0 of nothing.
fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

fn report(
    graph: &Graph,
    input: &Shape,
    target: NodeId,
    steps: &[&[NodeId]],
    clock: &Clock,
) -> Result<Profile, InspectError> {
    let shapes = graph.shapes_for(input, &[target])?;
    let macs = graph.macs_for(input, &[target])?;
    let mut rows: Vec<ProfileRow> = steps.iter().map(|nodes| row(graph, nodes, &shapes, &macs, clock)).collect();
    let sum: f64 = rows.iter().map(|row| row.forward_ms + row.backward_ms).sum();
    let share = |ms: f64| if sum > 0.0 { rounded(ms / sum, 4) } else { 0.0 };
    rows.iter_mut().for_each(|row| row.share = share(row.forward_ms + row.backward_ms));
    let mut families = families(&rows);
    families.iter_mut().for_each(|family| family.share = share(family.forward_ms + family.backward_ms));
    let [forward_ms, backward_ms] = clock.whole().map(|ms| rounded(ms, 3));
    let bytes = rows.iter().fold(0u64, |sum, row| sum.saturating_add(row.bytes));
    let macs: u64 = rows.iter().map(|row| row.macs).sum();
    let totals = ProfileTotals {
        net: graph.name().to_string(),
        input: without_batch(input),
        layer: graph.node(target).name.clone(),
        rounds: clock.passes[0].len(),
        threads: parallel::threads(),
        forward_ms,
        backward_ms,
        macs,
        gflops: gflops(macs, forward_ms + backward_ms).unwrap_or(0.0),
        bytes,
        gigabytes_a_second: rate(2.0 * bytes as f64, forward_ms + backward_ms),
    };
    Ok(Profile { rows, families, totals })
}

fn row(graph: &Graph, nodes: &[NodeId], shapes: &[Option<Shape>], macs: &[u64], clock: &Clock) -> ProfileRow {
    let (first, last) = (nodes[0], nodes[nodes.len() - 1]);
    let [forward_ms, backward_ms] = clock.of(last).map(|ms| rounded(ms, 4));
    let len = |id: NodeId| shapes[id].as_ref().map_or(0, Shape::len) as u64;
    let outside = |id: &NodeId| !nodes.contains(id);
    let read: u64 =
        nodes.iter().flat_map(|&id| &graph.node(id).inputs).filter(|id| outside(id)).map(|&id| len(id)).sum();
    let weights: u64 = nodes.iter().flat_map(|&id| graph.params_of(id)).map(|param| param.data.len() as u64).sum();
    let macs: u64 = nodes.iter().map(|&id| macs[id]).sum();
    ProfileRow {
        layers: nodes.iter().map(|&id| graph.node(id).name.clone()).collect(),
        fused: nodes.iter().map(|&id| words(graph, id)).collect(),
        family: Family::of(&graph.node(first).op),
        output: shapes[last].as_ref().map(without_batch).unwrap_or_default(),
        macs,
        forward_ms,
        backward_ms,
        share: 0.0,
        gflops: gflops(macs, forward_ms + backward_ms),
        bytes: size_of::<f32>() as u64 * (read + len(last) + weights),
    }
}

fn families(rows: &[ProfileRow]) -> Vec<FamilyTime> {
    let of = |family: Family| {
        let rows: Vec<&ProfileRow> = rows.iter().filter(|row| row.family == family).collect();
        FamilyTime {
            family,
            rows: rows.len(),
            forward_ms: rounded(rows.iter().map(|row| row.forward_ms).sum(), 4),
            backward_ms: rounded(rows.iter().map(|row| row.backward_ms).sum(), 4),
            share: 0.0,
        }
    };
    let mut families: Vec<FamilyTime> = Family::ALL.map(of).into_iter().filter(|family| family.rows > 0).collect();
    families.sort_by(|a, b| (b.forward_ms + b.backward_ms).total_cmp(&(a.forward_ms + a.backward_ms)));
    families
}

/// Forward and backward together.
fn gflops(macs: u64, both_ms: f64) -> Option<f64> {
    (macs > 0 && both_ms > 0.0).then(|| rate(2.0 * OPERATIONS_A_MAC * macs as f64, both_ms))
}

/// 10⁹ a second.
fn rate(count: f64, ms: f64) -> f64 {
    if ms > 0.0 { rounded(count / (ms * 1e6), 1) } else { 0.0 }
}

fn rounded(value: f64, decimals: i32) -> f64 {
    let unit = 10f64.powi(decimals);
    (value * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imageio::Picture;
    use crate::tasks::look::testing::{shipped, sketch};

    fn profiled(layer: Option<&str>, rounds: usize) -> Result<Profile, InspectError> {
        let graph = shipped();
        let input = NetInput::new(&graph, &Picture::filled(64, 48, [90.0, 120.0, 30.0]), Some([48, 64]), None)?;
        profile(&graph, &input, layer, rounds, None)
    }

    #[test]
    fn fused_layers_are_one_row_and_every_layer_is_in_one() {
        let profile = profiled(Some("block4"), 2).expect("the net runs");
        let first = &profile.rows[0];
        assert_eq!(first.layers, ["stem/conv", "stem/bn", "stem"]);
        assert_eq!((first.fused[0].as_str(), first.family), ("Conv2d 3×3 /2", Family::Convolution));
        assert_eq!((first.output.as_slice(), first.macs), (&[32, 24, 32][..], 32 * 24 * 32 * 27));
        // 3·48·64 values in, 32·24·32 out, 864 weights and four statistics a channel.
        assert_eq!(first.bytes, 4 * (3 * 48 * 64 + 32 * 24 * 32 + 864 + 4 * 32));
        let graph = shipped();
        let layers: usize = profile.rows.iter().map(|row| row.layers.len()).sum();
        assert_eq!(layers, graph.find("block4").expect("there"), "all up to block4 but the input");
        assert_eq!((profile.totals.layer.as_str(), profile.totals.rounds), ("block4", 2));
    }

    #[test]
    fn shares_add_up_and_convolutions_take_time() {
        let profile = profiled(None, 1).expect("the net runs");
        let by_row: f64 = profile.rows.iter().map(|row| row.share).sum();
        let by_family: f64 = profile.families.iter().map(|family| family.share).sum();
        assert!((by_row - 1.0).abs() < 0.01 && (by_family - 1.0).abs() < 0.01, "{by_row} {by_family}");
        let first = &profile.rows[0];
        assert!(first.forward_ms > 0.0 && first.backward_ms > 0.0 && first.gflops.is_some_and(|rate| rate > 0.0));
        assert!(profile.families.iter().any(|family| family.family == Family::Linear));
        assert!(profile.totals.forward_ms > 0.0 && profile.totals.gigabytes_a_second > 0.0, "{:?}", profile.totals);
    }

    #[test]
    fn impossible_profiles_are_refused() {
        assert!(matches!(profiled(None, 0), Err(InspectError::Rounds { rounds: 0 })));
        assert!(matches!(profiled(Some("blok"), 1), Err(InspectError::Graph(_))));
        assert!(matches!(profiled(Some("input"), 1), Err(InspectError::NothingToRun)));
        let graph = Arc::new(sketch());
        let input = NetInput::new(&graph, &Picture::filled(6, 4, [0.0; 3]), None, None).expect("it fits");
        assert!(matches!(profile(&graph, &input, None, 1, Some(16)), Err(InspectError::Memory { .. })));
        assert!(profile(&graph, &input, None, 1, None).is_ok(), "a picture without a gradient is none");
    }

    #[test]
    fn medians_are_upper() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[1.0, 2.0]), median(&[])), (2.0, 2.0, 0.0));
    }
}

//! Runs the steps of a plan on the arena.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use smallvec::SmallVec;

use super::StepTime;
use super::buffers::BufferId;
use super::plan::{BitsPlace, Ending, Geometry, Place, Plan, Span, Step, Task};
use super::units::{ConvUnit, UnitKind, Units};
use crate::base::simd::Level;
use crate::base::tensor::{Shape, View, ViewMut};
use crate::nn::graph::Graph;
use crate::nn::ops::finish::finish_maps;
use crate::nn::ops::maps::{Finish, FusedActivation, Source, Target};
use crate::nn::ops::pool::FrozenMaxPool;
use crate::nn::ops::{Backward, Forward, Kernel, ReluRule, Run};

/// All that a step reads and writes.
pub struct Machine<'a> {
    pub graph: &'a Graph,
    pub units: &'a Units,
    pub plan: &'a Plan,
    pub level: Level,
    pub relu_rule: ReluRule,
    /// The start of an arena of at least `plan.offsets.total` floats.
    pub arena: *mut f32,
}

// SAFETY: a machine is used by one thread at a time; its kernels write disjoint parts on theirs.
unsafe impl Send for Machine<'_> {}
unsafe impl Sync for Machine<'_> {}

/// As many inputs or parameters as an op takes without an allocation.
const FEW: usize = 16;
type Few<T> = SmallVec<[T; FEW]>;

impl Machine<'_> {
    /// Runs one step.
    ///
    /// # Safety
    /// The arena must be as large as the plan says, and nobody else may use it meanwhile. (The plan keeps the buffers
    /// of a step disjoint.)
    pub unsafe fn run(&self, step: &Step) {
        // SAFETY: as the caller vouches, for all of these.
        unsafe {
            match &step.task {
                Task::ConvForward { source, target, add, ending } => {
                    let (conv, lattices) = self.conv(step.unit);
                    let mut target = self.target(target, add, ending);
                    target.finish.bias = conv.conv.bias().as_ptr();
                    conv.conv.forward(lattices, self.source(source), target);
                }
                Task::ConvBackward { source, target, add, ending } => {
                    let (conv, lattices) = self.conv(step.unit);
                    conv.conv.backward(lattices, self.source(source), self.target(target, add, ending));
                }
                Task::PoolForward { source, target, winners } => {
                    let winners = winners.map_or(std::ptr::null_mut(), |winners| self.winners(winners));
                    let target = self.target(target, &None, &Ending::Plain);
                    let rows = 0..target.height;
                    self.pool(step.unit).forward(self.level, rows, &self.source(source), &target, winners);
                }
                Task::PoolBackward { source, target, add, ending, winners } => {
                    let target = self.target(target, add, ending);
                    let winners = self.winners(*winners);
                    let rows = 0..target.height;
                    self.pool(step.unit).backward(self.level, rows, &self.source(source), &target, winners);
                }
                Task::Finish { source, target, add, ending } => {
                    let [batch, channels, height, width] = source.maps;
                    let to = self.target(target, add, ending);
                    finish_maps(self.level, &self.source(source), &to, batch * height * width, channels);
                }
                Task::Chain(chain) => self.run_chain(chain, None),
                Task::Zero(span) => self.slice_mut(*span).fill(0.0),
                Task::OpForward { .. } => self.op_forward(step),
                Task::OpBackward { .. } => self.op_backward(step),
            }
        }
    }

    /// Runs one step, and says how long it took: of a chain each stage, its share of the whole as it was of the time that
    /// all threads spent.
    ///
    /// # Safety
    /// As for [`Machine::run`].
    pub unsafe fn run_timed(&self, step: &Step, times: &mut Vec<StepTime>) {
        let start = Instant::now();
        let node = |step: &Step| self.units.units[step.unit].output;
        let Task::Chain(chain) = &step.task else {
            // SAFETY: as the caller vouches.
            unsafe { self.run(step) };
            return times.push(StepTime { node: node(step), time: start.elapsed() });
        };
        let spent: Vec<AtomicU64> = chain.stages.iter().map(|_| AtomicU64::new(0)).collect();
        // SAFETY: as the caller vouches.
        unsafe { self.run_chain(chain, Some(&spent)) };
        let whole = start.elapsed();
        let spent: Vec<f64> = spent.into_iter().map(|nanoseconds| nanoseconds.into_inner() as f64).collect();
        let total = spent.iter().sum::<f64>().max(1.0);
        let stages = chain.stages.iter().zip(spent);
        times.extend(stages.map(|(stage, spent)| StepTime { node: node(stage), time: whole.mul_f64(spent / total) }));
    }

    pub(super) fn conv(&self, unit: usize) -> (&ConvUnit, &crate::nn::ops::conv::frozen::Lattices) {
        match (&self.units.units[unit].kind, &self.plan.geometries[unit]) {
            (UnitKind::Conv(conv), Geometry::Conv(lattices)) => (conv, lattices),
            _ => unreachable!("the plan makes convolution steps of convolution units only"),
        }
    }

    pub(super) fn pool(&self, unit: usize) -> &FrozenMaxPool {
        match &self.plan.geometries[unit] {
            Geometry::MaxPool(pool) => pool,
            _ => unreachable!("the plan makes pooling steps of pooling units only"),
        }
    }

    pub(super) fn winners(&self, buffer: BufferId) -> *mut u16 {
        self.arena.wrapping_add(self.plan.offsets.of[buffer]).cast()
    }

    fn at(&self, place: &Place) -> *mut f32 {
        self.arena.wrapping_add(self.plan.offsets.of[place.buffer] + place.channel)
    }

    fn bits(&self, place: &BitsPlace) -> *mut u16 {
        self.arena.wrapping_add(self.plan.offsets.of[place.buffer]).cast::<u16>().wrapping_add(place.group)
    }

    unsafe fn slice(&self, span: Span) -> &[f32] {
        // SAFETY: as `run` demands; no step writes what it reads.
        unsafe { std::slice::from_raw_parts(self.arena.add(self.plan.offsets.of[span.buffer]), span.floats) }
    }

    #[allow(clippy::mut_from_ref)]
    unsafe fn slice_mut(&self, span: Span) -> &mut [f32] {
        // SAFETY: as `run` demands.
        unsafe { std::slice::from_raw_parts_mut(self.arena.add(self.plan.offsets.of[span.buffer]), span.floats) }
    }

    pub(super) fn source(&self, place: &Place) -> Source {
        let [batch, _, height, width] = place.maps;
        Source { data: self.at(place), batch, height, width, pixel_stride: place.pixel_stride }
    }

    pub(super) fn target(&self, place: &Place, add: &Option<Place>, ending: &Ending) -> Target {
        let [_, _, height, width] = place.maps;
        let activation = match ending {
            Ending::Plain => FusedActivation::None,
            Ending::Clamp(clamp, bits) => FusedActivation::Clamp {
                low: clamp.low,
                high: clamp.high,
                bits: bits.as_ref().map_or(std::ptr::null_mut(), |bits| self.bits(bits)),
                bits_stride: bits.map_or(0, |bits| bits.stride),
            },
            Ending::Gate(bits) => FusedActivation::Gate {
                bits: if self.relu_rule == ReluRule::Deconvnet { std::ptr::null() } else { self.bits(bits) },
                bits_stride: bits.stride,
                positive_only: self.relu_rule != ReluRule::Gradient,
            },
        };
        let finish = Finish {
            bias: std::ptr::null(),
            add: add.as_ref().map_or(std::ptr::null(), |add| self.at(add)),
            add_stride: add.map_or(0, |add| add.pixel_stride),
            activation,
        };
        Target { data: self.at(place), height, width, pixel_stride: place.pixel_stride, finish }
    }

    fn shape(&self, value: usize) -> &Shape {
        self.plan.shapes[value].as_ref().expect("the plan knows the shape of every value that it uses")
    }

    fn run_of(&self, unit: usize) -> Run {
        Run { relu_rule: self.relu_rule, node: self.units.units[unit].output as u64, ..Run::default() }
    }

    unsafe fn op_forward(&self, step: &Step) {
        let Task::OpForward { inputs, output, saved } = &step.task else { return };
        let unit = &self.units.units[step.unit];
        let node = self.graph.node(unit.output);
        let params: Few<&[f32]> = self.graph.params_of(unit.output).map(|param| &*param.data).collect();
        // SAFETY: as `run` demands.
        unsafe {
            let views: Few<View<f32>> = inputs
                .iter()
                .zip(&unit.inputs)
                .map(|(&span, &input)| View::new(self.shape(input), self.slice(span)))
                .collect();
            node.op.forward(Forward {
                inputs: &views,
                params: &params,
                output: ViewMut::new(self.shape(unit.output), self.slice_mut(*output)),
                saved: &mut bytemuck::cast_slice_mut(self.slice_mut(saved.span))[..saved.bytes],
                run: self.run_of(step.unit),
            });
        }
    }

    unsafe fn op_backward(&self, step: &Step) {
        let Task::OpBackward { inputs, output, saved, d_output, d_inputs } = &step.task else { return };
        let unit = &self.units.units[step.unit];
        let node = self.graph.node(unit.output);
        let params: Few<&[f32]> = self.graph.params_of(unit.output).map(|param| &*param.data).collect();
        // SAFETY: as `run` demands; the gradients of the inputs are buffers of their own.
        unsafe {
            let kept = |span: Option<Span>| span.map_or(&[][..], |span| self.slice(span));
            let views: Few<View<f32>> = inputs
                .iter()
                .zip(&unit.inputs)
                .map(|(&span, &input)| View { shape: self.shape(input), data: kept(span) })
                .collect();
            let mut few = ([const { None }; FEW], [const { None }; FEW]);
            let mut many = (Vec::new(), Vec::new());
            let d_params = nones(params.len(), &mut few.0, &mut many.0);
            let d_places = nones(d_inputs.len(), &mut few.1, &mut many.1);
            for (place, &span) in d_places.iter_mut().zip(d_inputs) {
                *place = Some(self.slice_mut(span));
            }
            node.op.backward(Backward {
                inputs: &views,
                params: &params,
                output: View { shape: self.shape(unit.output), data: kept(*output) },
                saved: &bytemuck::cast_slice(self.slice(saved.span))[..saved.bytes],
                d_output: self.slice(*d_output),
                d_inputs: d_places,
                d_params,
                run: self.run_of(step.unit),
            });
        }
    }
}

/// `count` nones, in `few` if they fit. (A `SmallVec` cannot hold the references that [`Backward`] takes: dropping it
/// would outlive them.)
fn nones<'s, T>(count: usize, few: &'s mut [Option<T>; FEW], many: &'s mut Vec<Option<T>>) -> &'s mut [Option<T>] {
    if count <= FEW {
        return &mut few[..count];
    }
    many.resize_with(count, || None);
    many
}

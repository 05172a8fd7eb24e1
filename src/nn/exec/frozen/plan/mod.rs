//! The steps of one forward and one backward pass for inputs of one shape, and the memory that they share.
//!
//! Moments: the input is written at 0, unit `u` of `n` runs at `u + 1`, seeds are written at `n + 1`, unit `u` runs
//! backwards at `n + 1 + (n − u)`, and the gradient of the input is read at `2n + 2`.

mod backward;
pub mod chain;
mod task;

use std::collections::{HashMap, HashSet};

pub use task::{BitsPlace, Ending, Place, Saved, Span, Step, Task};

use crate::base::simd::LANES;
use crate::base::tensor::Shape;
use crate::nn::exec::frozen::buffers::{Layout, Offsets};
use crate::nn::exec::frozen::units::{ConvUnit, Unit, UnitKind, Units};
use crate::nn::graph::{Graph, GraphError, NodeId};
use crate::nn::ops::conv::frozen::Lattices;
use crate::nn::ops::pool::FrozenMaxPool;
use crate::nn::ops::window::Window;
use crate::nn::ops::{Keeps, MapAxis, Op, Operator};

/// The geometry of a unit for maps of one size.
pub enum Geometry {
    Conv(Lattices),
    MaxPool(FrozenMaxPool),
    /// A general kernel works it out by itself.
    Op,
}

/// Everything that a session needs besides weights and memory.
pub struct Plan {
    pub forward: Vec<Step>,
    pub backward: Vec<Step>,
    pub offsets: Offsets,
    /// What each unit's kernels need to know of the maps' sizes.
    pub geometries: Vec<Geometry>,
    pub shapes: Vec<Option<Shape>>,
    pub input: Span,
    pub d_input: Option<Span>,
    /// The blob of every target value, and its seed.
    pub targets: HashMap<NodeId, (Span, Option<Span>)>,
}

/// Where a value is kept, and what its gradient needs.
struct Value {
    place: Place,
    bits: Option<BitsPlace>,
    /// Whether the gradient is gated along with that of the concatenation that the value lies in.
    gated_with_concat: bool,
    d_place: Option<Place>,
    /// Contributions to the gradient that are still to come.
    remaining: usize,
}

struct Builder<'a> {
    graph: &'a Graph,
    units: &'a Units,
    shapes: Vec<Option<Shape>>,
    with_gradient: bool,
    layout: Layout,
    values: HashMap<NodeId, Value>,
    /// How often each value is read.
    uses: HashMap<NodeId, usize>,
    targets: Vec<NodeId>,
    /// Values between kernels that know of maps whose pixels lie apart.
    roomy: HashSet<NodeId>,
    /// Concatenation value and first channel of values that are written straight into it.
    inside: HashMap<NodeId, (NodeId, usize)>,
    saved: Vec<Saved>,
    geometries: Vec<Geometry>,
    /// As `chain::MIN_TILED_FLOATS`.
    tiled_floats: usize,
    forward: Vec<Step>,
    backward: Vec<Step>,
}

impl Plan {
    pub fn new(
        graph: &Graph,
        units: &Units,
        targets: &[NodeId],
        input: &Shape,
        with_gradient: bool,
        chained_floats: [usize; 2],
    ) -> Result<Self, GraphError> {
        let shapes = graph.shapes_for(input, targets)?;
        let mut targets: Vec<NodeId> = targets.iter().map(|target| units.value_of[target]).collect();
        targets.sort_unstable();
        targets.dedup();
        let mut builder = Builder {
            graph,
            units,
            shapes,
            with_gradient,
            layout: Layout::default(),
            values: HashMap::new(),
            uses: HashMap::new(),
            targets,
            roomy: HashSet::new(),
            inside: HashMap::new(),
            saved: Vec::new(),
            geometries: Vec::new(),
            tiled_floats: 0,
            forward: Vec::new(),
            backward: Vec::new(),
        };
        builder.count_uses();
        builder.place_parts_of_concats();
        builder.find_roomy_values();
        builder.find_geometries()?;
        builder.plan_forward();
        if with_gradient {
            builder.plan_backward();
        }
        builder.fuse_chains(chained_floats);
        Ok(builder.finish())
    }
}

impl Builder<'_> {
    fn unit_count(&self) -> usize {
        self.units.units.len()
    }

    fn seed_moment(&self) -> usize {
        self.unit_count() + 1
    }

    fn backward_moment(&self, unit: usize) -> usize {
        self.seed_moment() + self.unit_count() - unit
    }

    fn end(&self) -> usize {
        2 * self.unit_count() + 2
    }

    fn shape(&self, value: NodeId) -> &Shape {
        self.shapes[value].as_ref().expect("the value is needed, so its shape is known")
    }

    fn maps(&self, value: NodeId) -> [usize; 4] {
        let shape = self.shape(value);
        shape.as_maps().unwrap_or([1, shape.len(), 1, 1])
    }

    fn span(&self, place: Place) -> Span {
        Span { buffer: place.buffer, floats: place.maps.iter().product() }
    }

    fn count_uses(&mut self) {
        for unit in &self.units.units {
            for &input in unit.inputs.iter().chain(residual(unit).iter()) {
                *self.uses.entry(input).or_default() += 1;
            }
        }
    }

    /// Lets convolutions that feed nothing but a concatenation of channels write straight into it.
    fn place_parts_of_concats(&mut self) {
        let fused: HashMap<NodeId, bool> =
            self.units.units.iter().map(|unit| (unit.output, matches!(unit.kind, UnitKind::Conv(_)))).collect();
        for unit in &self.units.units {
            let Op::Concat(concat) = &self.graph.node(unit.output).op else { continue };
            if concat.axis != MapAxis::Channel || self.shape(unit.output).as_maps().is_none() {
                continue;
            }
            let mut channel = 0;
            let firsts: Vec<usize> = unit
                .inputs
                .iter()
                .map(|&part| {
                    let first = channel;
                    channel += self.maps(part)[1];
                    first
                })
                .collect();
            let fits = |(&part, &first): (&NodeId, &usize)| {
                first % LANES == 0
                    && fused.get(&part) == Some(&true)
                    && self.uses[&part] == 1
                    && !self.targets.contains(&part)
            };
            if unit.inputs.iter().zip(&firsts).all(fits) {
                for (&part, &first) in unit.inputs.iter().zip(&firsts) {
                    self.inside.insert(part, (unit.output, first));
                }
            }
        }
    }

    /// Pixels whose strides are a multiple of 2 KB fall on a few sets of the first-level cache, where the rows of a
    /// register tile drive each other out: values that only convolutions and pools write and read get a gap behind each pixel.
    fn find_roomy_values(&mut self) {
        const ALIASING_CHANNELS: usize = 512;
        let by_op = |unit: &&Unit| matches!(unit.kind, UnitKind::Op);
        let (ops, others): (Vec<&Unit>, Vec<&Unit>) = self.units.units.iter().partition(by_op);
        let read_by_ops: HashSet<NodeId> = ops.iter().flat_map(|unit| unit.inputs.iter().copied()).collect();
        self.roomy = others
            .iter()
            .map(|unit| unit.output)
            .filter(|value| !read_by_ops.contains(value) && !self.targets.contains(value))
            .filter(|&value| self.maps(value)[1].is_multiple_of(ALIASING_CHANNELS))
            .collect();
    }

    /// A buffer of its own for a value or its gradient.
    fn own_place(&mut self, value: NodeId, moment: usize) -> Place {
        let maps = self.maps(value);
        let [batch, channels, height, width] = maps;
        let pixel_stride = if self.roomy.contains(&value) { channels + LANES } else { channels };
        let buffer = self.layout.add(batch * height * width * pixel_stride, moment);
        Place { buffer, channel: 0, pixel_stride, maps }
    }

    /// Gives a value its place when it is first written.
    fn place(&mut self, value: NodeId, moment: usize) -> Place {
        let maps = self.maps(value);
        let place = match self.inside.get(&value).copied() {
            Some((concat, channel)) => {
                let whole = match self.values.get(&concat) {
                    Some(value) => value.place,
                    None => self.place(concat, moment),
                };
                Place { channel, maps, ..whole }
            }
            None => self.own_place(value, moment),
        };
        self.layout.touch(place.buffer, moment);
        let remaining = self.uses.get(&value).copied().unwrap_or(0) + usize::from(self.targets.contains(&value));
        let new = Value { place, bits: None, gated_with_concat: false, d_place: None, remaining };
        self.values.entry(value).or_insert(new).place
    }

    fn plan_forward(&mut self) {
        self.place(GRAPH_INPUT, 0);
        let units = self.units;
        for (index, unit) in units.units.iter().enumerate() {
            let moment = index + 1;
            for &input in unit.inputs.iter().chain(residual(unit).iter()) {
                let buffer = self.values[&input].place.buffer;
                self.layout.touch(buffer, moment);
            }
            let target = self.place(unit.output, moment);
            self.saved.push(Saved::default());
            match &unit.kind {
                UnitKind::Conv(conv) => self.plan_conv_forward(index, unit, conv, target),
                UnitKind::MaxPool(_) => self.plan_pool_forward(index, unit, target),
                UnitKind::Op if self.is_placed_concat(unit) => {}
                UnitKind::Op => self.plan_op_forward(index, unit, target),
            }
        }
        if self.with_gradient {
            self.gate_concats_whole();
        }
        for target in self.targets.clone() {
            let buffer = self.values[&target].place.buffer;
            self.layout.touch(buffer, self.end());
        }
    }

    fn is_placed_concat(&self, unit: &Unit) -> bool {
        unit.inputs.first().is_some_and(|part| self.inside.get(part).is_some_and(|&(whole, _)| whole == unit.output))
    }

    fn plan_conv_forward(&mut self, index: usize, unit: &Unit, conv: &ConvUnit, target: Place) {
        let bits = match conv.clamp {
            Some(_) if self.with_gradient => Some(self.place_bits(index, unit.output)),
            _ => None,
        };
        let ending = conv.clamp.map_or(Ending::Plain, |clamp| Ending::Clamp(clamp, bits));
        let source = self.values[&unit.inputs[0]].place;
        let add = conv.residual.map(|residual| self.values[&residual].place);
        if let Some(value) = self.values.get_mut(&unit.output) {
            value.bits = bits;
        }
        self.forward.push(Step { unit: index, task: Task::ConvForward { source, target, add, ending } });
    }

    fn plan_pool_forward(&mut self, index: usize, unit: &Unit, target: Place) {
        let winners = match &self.geometries[index] {
            Geometry::MaxPool(pool) if self.with_gradient => {
                let floats = (pool.winners() * size_of::<u16>()).div_ceil(size_of::<f32>());
                let buffer = self.layout.add(floats, index + 1);
                self.layout.touch(buffer, self.backward_moment(index));
                self.saved[index] = Saved { span: Span { buffer, floats }, bytes: 0 };
                Some(buffer)
            }
            _ => None,
        };
        let source = self.values[&unit.inputs[0]].place;
        self.forward.push(Step { unit: index, task: Task::PoolForward { source, target, winners } });
    }

    /// Mask bits of a value; parts of one concatenation share a buffer.
    fn place_bits(&mut self, index: usize, value: NodeId) -> BitsPlace {
        let end = self.backward_moment(index);
        let groups = |maps: [usize; 4]| maps[1].div_ceil(LANES);
        let add = |layout: &mut Layout, maps: [usize; 4]| {
            let [batch, _, height, width] = maps;
            layout.add((batch * height * width * groups(maps)).div_ceil(2), index + 1)
        };
        let maps = self.maps(value);
        let bits = match self.inside.get(&value).copied() {
            None => BitsPlace { buffer: add(&mut self.layout, maps), group: 0, stride: groups(maps) },
            Some((concat, channel)) => {
                let whole = self.maps(concat);
                let shared = self.values[&concat].bits.map(|bits| bits.buffer);
                let buffer = shared.unwrap_or_else(|| add(&mut self.layout, whole));
                let bits = BitsPlace { buffer, group: 0, stride: groups(whole) };
                if let Some(value) = self.values.get_mut(&concat) {
                    value.bits = Some(bits);
                }
                BitsPlace { group: channel / LANES, ..bits }
            }
        };
        self.layout.touch(bits.buffer, index + 1);
        self.layout.touch(bits.buffer, end);
        bits
    }

    /// Where all parts of a concatenation have mask bits, its gradient is gated whole; else part by part.
    fn gate_concats_whole(&mut self) {
        for unit in self.units.units.iter().filter(|unit| self.is_placed_concat(unit)).collect::<Vec<_>>() {
            let all = unit.inputs.iter().all(|part| self.values[part].bits.is_some());
            for part in &unit.inputs {
                if let Some(value) = self.values.get_mut(part) {
                    value.gated_with_concat = all;
                }
            }
            if let Some(value) = self.values.get_mut(&unit.output).filter(|_| !all) {
                value.bits = None;
            }
        }
    }

    fn plan_op_forward(&mut self, index: usize, unit: &Unit, target: Place) {
        let keeps = self.keeps(unit);
        let moment = index + 1;
        let floats = keeps.saved_bytes.div_ceil(size_of::<f32>());
        let buffer = self.layout.add(floats, moment);
        let saved = Saved { span: Span { buffer, floats }, bytes: keeps.saved_bytes };
        self.saved[index] = saved;
        if self.with_gradient {
            let backward = self.backward_moment(index);
            self.layout.touch(buffer, backward);
            if keeps.output {
                self.layout.touch(target.buffer, backward);
            }
            for input in unit.inputs.iter().filter(|_| keeps.inputs) {
                self.layout.touch(self.values[input].place.buffer, backward);
            }
        }
        let inputs = unit.inputs.iter().map(|input| self.span(self.values[input].place)).collect();
        let task = Task::OpForward { inputs, output: self.span(target), saved };
        self.forward.push(Step { unit: index, task });
    }

    fn keeps(&self, unit: &Unit) -> Keeps {
        let inputs: Vec<&Shape> = unit.inputs.iter().map(|&input| self.shape(input)).collect();
        self.graph.node(unit.output).op.keeps(&inputs)
    }

    fn find_geometries(&mut self) -> Result<(), GraphError> {
        for unit in &self.units.units {
            let resolve = |window: &Window, value: NodeId| {
                let [_, _, height, width] = self.maps(value);
                window
                    .resolve([height, width])
                    .map_err(|source| GraphError::Node { node: self.graph.node(unit.output).name.clone(), source })
            };
            let geometry = match &unit.kind {
                UnitKind::Op => Geometry::Op,
                UnitKind::MaxPool(window) => {
                    let [batch, channels, ..] = self.maps(unit.output);
                    Geometry::MaxPool(FrozenMaxPool::new(resolve(window, unit.inputs[0])?, channels, batch))
                }
                UnitKind::Conv(conv) => {
                    // The window of a transposed convolution slides over its output.
                    let slid_over = if conv.transposed { unit.output } else { unit.inputs[0] };
                    Geometry::Conv(conv.conv.lattices(&resolve(&conv.window, slid_over)?))
                }
            };
            self.geometries.push(geometry);
        }
        Ok(())
    }

    fn finish(self) -> Plan {
        let span = |place: Option<Place>| place.map(|place| self.span(place));
        let input = &self.values[&GRAPH_INPUT];
        let targets = self.targets.iter().map(|target| {
            let value = &self.values[target];
            (*target, (self.span(value.place), span(value.d_place)))
        });
        Plan {
            targets: targets.collect(),
            input: self.span(input.place),
            d_input: span(input.d_place),
            offsets: self.layout.offsets(),
            geometries: self.geometries,
            forward: self.forward,
            backward: self.backward,
            shapes: self.shapes,
        }
    }
}

/// The value of a graph's input node.
const GRAPH_INPUT: NodeId = 0;

fn residual(unit: &Unit) -> Option<NodeId> {
    match &unit.kind {
        UnitKind::Conv(conv) => conv.residual,
        UnitKind::MaxPool(_) | UnitKind::Op => None,
    }
}

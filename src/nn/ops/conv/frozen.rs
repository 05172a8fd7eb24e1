//! A convolution (or transposed convolution) with fixed weights, packed for the fast `f32` kernels: forward, and the
//! gradient to its input.

use std::ops::Range;
use std::sync::Arc;

use super::depthwise::{DepthwisePass, DepthwiseWeights, MAX_TAPS};
use super::indirect::Pass;
use super::lattice::{self, Lattice, Superpixels, TapGroup};
use super::packed::PackedWeights;
use super::tile::tile_size;
use super::winograd::{self, WinogradPass, WinogradWeights};
use crate::base::simd::{LANES, Level};
use crate::nn::ops::maps::{Source, Target};
use crate::nn::ops::window::{Axis, Window};

/// What the weights of a [`FrozenConv`] are, before packing.
pub struct Spec<'a> {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub groups: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    /// Whether this is the adjoint of the convolution that the window describes.
    pub transposed: bool,
    /// \[out, in / groups, height, width\]; transposed: \[in, out / groups, height, width\].
    pub weight: &'a [f32],
    /// \[out\].
    pub bias: Vec<f32>,
}

/// The pixels that the passes of a [`FrozenConv`] visit, for maps of one size.
#[derive(Clone, Debug)]
pub struct Lattices {
    forward: Vec<Lattice>,
    backward: Vec<Lattice>,
    /// The backward pass by squares of pixels, with weights packed for them.
    squares: Option<(Lattice, Arc<PackedWeights>)>,
}

/// Which way a convolution is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Backward,
}

impl Lattices {
    /// What computes `rows` of the target in one direction. (The other direction is lost.)
    pub fn of_rows(&self, direction: Direction, rows: &Range<usize>) -> Self {
        let cut = |lattices: &[Lattice]| lattices.iter().map(|lattice| lattice.of_rows(rows)).collect();
        match direction {
            Direction::Forward => Self { forward: cut(&self.forward), backward: Vec::new(), squares: None },
            Direction::Backward => Self {
                forward: Vec::new(),
                backward: cut(&self.backward),
                squares: self.squares.as_ref().map(|(lattice, weights)| (lattice.of_rows(rows), weights.clone())),
            },
        }
    }

    /// The rows of a source of `height` rows that are read, where `granule` rows of the target are computed together.
    pub fn source_rows(&self, direction: Direction, height: usize, granule: usize) -> Range<usize> {
        let lattices = match (direction, &self.squares) {
            (Direction::Forward, _) => self.forward.as_slice(),
            (Direction::Backward, Some((squares, _))) => std::slice::from_ref(squares),
            (Direction::Backward, None) => self.backward.as_slice(),
        };
        // A granule of squares is one of them.
        let granule = if direction == Direction::Backward && self.squares.is_some() { 1 } else { granule };
        let read = lattices.iter().map(|lattice| lattice.source_rows(height, granule)).filter(|rows| !rows.is_empty());
        read.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0)
    }
}

/// Four pixels of at most this many channels fit into 16 lanes.
const MAX_SQUARE_CHANNELS: usize = LANES / 4;

/// Packed weights in both directions.
pub struct FrozenConv {
    level: Level,
    in_channels: usize,
    out_channels: usize,
    groups: usize,
    transposed: bool,
    forward: Packed,
    backward: Packed,
    /// \[out, in, height, width\] where the backward pass goes by squares of pixels.
    square_weight: Option<Vec<f32>>,
    bias: Vec<f32>,
    zeros: Vec<f32>,
    /// The groups of taps of both directions.
    taps: (Vec<TapGroup>, Vec<TapGroup>),
}

enum Packed {
    /// A group of taps each.
    Depthwise(Vec<DepthwiseWeights>),
    /// A group of taps each, of a group of channels each.
    Grouped(Vec<Vec<PackedWeights>>),
    Winograd(WinogradWeights),
}

impl FrozenConv {
    /// Packs the weights; `with_gradient` also for the way back.
    pub fn new(level: Level, spec: &Spec, with_gradient: bool) -> Self {
        Self::packed(level, spec, with_gradient, goes_by_winograd(spec))
    }

    /// As [`FrozenConv::new`], for weights that change after every step: only what is cheap to pack, for
    /// [`FrozenConv::repack`]. `None` where there is no such way: of several groups, of an adjoint, or where the way
    /// back would go by squares of pixels.
    pub fn for_training(level: Level, spec: &Spec, with_gradient: bool) -> Option<Self> {
        let repacks = spec.groups == 1 && !spec.transposed;
        (repacks && (!with_gradient || spec.in_channels > MAX_SQUARE_CHANNELS))
            .then(|| Self::packed(level, spec, with_gradient, false))
    }

    fn packed(level: Level, spec: &Spec, with_gradient: bool, by_winograd: bool) -> Self {
        let all = vec![lattice::forward_taps(spec.kernel)];
        let residues = lattice::backward_taps(spec.kernel, spec.stride, spec.dilation);
        let (forward, backward) = if spec.transposed { (&residues, &all) } else { (&all, &residues) };
        let by_squares = with_gradient
            && !spec.transposed
            && spec.groups == 1
            && spec.in_channels <= MAX_SQUARE_CHANNELS
            && spec.stride.iter().all(|&stride| stride <= 2)
            && spec.stride[0] == spec.stride[1];
        let none = Vec::new();
        Self {
            level,
            in_channels: spec.in_channels,
            out_channels: spec.out_channels,
            groups: spec.groups,
            transposed: spec.transposed,
            forward: pack(level, spec, forward, true, by_winograd),
            backward: pack(
                level,
                spec,
                if with_gradient && !by_squares { backward } else { &none },
                false,
                by_winograd,
            ),
            square_weight: by_squares.then(|| spec.weight.to_vec()),
            bias: spec.bias.clone(),
            zeros: vec![0.0; spec.in_channels.max(spec.out_channels).next_multiple_of(LANES)],
            taps: (forward.clone(), backward.clone()),
        }
    }

    /// Whether 16 channels of mask bits of the output never straddle two channel groups, so that they can be written.
    pub fn fuses_activations(spec: &Spec) -> bool {
        is_depthwise(spec) || spec.groups == 1 || (spec.out_channels / spec.groups).is_multiple_of(LANES)
    }

    /// Whether the same holds for the input, so that its gradient can be gated as it is written.
    pub fn gates_inputs(&self) -> bool {
        let by_groups = |groups: usize| groups == 1 || (self.in_channels / groups).is_multiple_of(LANES);
        matches!(self.forward, Packed::Depthwise(_)) || by_groups(self.groups)
    }

    /// The lattices for the window's axes (those of the convolution whose adjoint this is, if transposed).
    pub fn lattices(&self, axes: &[Axis; 2]) -> Lattices {
        let (forward, backward) = (vec![lattice::forward_lattice(axes)], lattice::backward_lattices(axes));
        if self.transposed {
            return Lattices { forward: backward, backward: forward, squares: None };
        }
        let squares = self.square_weight.as_ref().and_then(|weight| {
            let superpixels = lattice::backward_superpixels(axes)?;
            let packed = self.pack_squares(weight, [axes[0].kernel, axes[1].kernel], &superpixels);
            Some((superpixels.lattice, Arc::new(packed)))
        });
        Lattices { forward, backward, squares }
    }

    /// Columns are the channels of the four pixels, rows the outputs, taps the source pixels of a square.
    fn pack_squares(&self, weight: &[f32], [height, width]: [usize; 2], squares: &Superpixels) -> PackedWeights {
        let sources: TapGroup = (0..squares.lattice.offsets.len()).map(|source| [source, 0]).collect();
        let channels = self.in_channels;
        let at = |column: usize, output: usize, [source, _]: [usize; 2]| {
            let (member, input) = (column / channels, column % channels);
            match squares.taps[member / 2][member % 2][source] {
                Some([y, x]) => weight[((output * channels + input) * height + y) * width + x],
                None => 0.0,
            }
        };
        PackedWeights::new(tile_size(self.level), 4 * channels, self.out_channels, &sources, at)
    }

    /// Rows of the target that are computed together, in one direction: other cuts read more, or round otherwise.
    pub fn granule(&self, direction: Direction) -> usize {
        let packed = match direction {
            Direction::Forward => &self.forward,
            Direction::Backward if self.square_weight.is_some() => return 2,
            Direction::Backward => &self.backward,
        };
        if matches!(packed, Packed::Winograd(_)) { winograd::OUT } else { 1 }
    }

    /// Packs other weights of the same shape, \[out, in, height, width\], in place of these, without allocating.
    ///
    /// # Panics
    /// If the convolution was not made by [`FrozenConv::for_training`].
    pub fn repack(&mut self, window: &Window, weight: &[f32]) {
        let [height, width] = window.kernel;
        let ins = self.in_channels;
        assert!(self.groups == 1 && !self.transposed && self.square_weight.is_none());
        assert_eq!(weight.len(), self.out_channels * ins * height * width);
        let at =
            |output: usize, input: usize, [y, x]: [usize; 2]| weight[((output * ins + input) * height + y) * width + x];
        if let Packed::Grouped(forward) = &mut self.forward {
            for (packed, taps) in forward.iter_mut().flatten().zip(&self.taps.0) {
                packed.repack(taps, at);
            }
        }
        if let Packed::Grouped(backward) = &mut self.backward {
            for (packed, taps) in backward.iter_mut().flatten().zip(&self.taps.1) {
                packed.repack(taps, |input, output, tap| at(output, input, tap));
            }
        }
    }

    pub fn bytes(&self) -> usize {
        let bytes = |packed: &Packed| match packed {
            Packed::Winograd(weights) => weights.bytes(),
            Packed::Depthwise(weights) => weights.iter().map(DepthwiseWeights::bytes).sum::<usize>(),
            Packed::Grouped(weights) => weights.iter().flatten().map(PackedWeights::bytes).sum(),
        };
        bytes(&self.forward) + bytes(&self.backward)
    }

    /// Output channels, one value each.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Computes the output from the input.
    ///
    /// # Safety
    /// As for `indirect::Pass::run` with `lattices` made for these maps.
    pub unsafe fn forward(&self, lattices: &Lattices, source: Source, target: Target) {
        // SAFETY: as the caller vouches.
        unsafe {
            self.run(&self.forward, &lattices.forward, (source, self.in_channels), (target, self.out_channels));
        }
    }

    /// Computes the gradient of the input from the gradient of the output.
    ///
    /// # Safety
    /// As for [`FrozenConv::forward`].
    pub unsafe fn backward(&self, lattices: &Lattices, d_output: Source, d_input: Target) {
        if let Some((lattice, weights)) = &lattices.squares {
            let pass = Pass {
                level: self.level,
                source: d_output,
                lattice,
                weights,
                target: d_input,
                square_channels: Some(self.in_channels),
                zeros: &self.zeros,
            };
            // SAFETY: as the caller vouches.
            return unsafe { pass.run() };
        }
        // SAFETY: as the caller vouches.
        unsafe {
            self.run(&self.backward, &lattices.backward, (d_output, self.out_channels), (d_input, self.in_channels));
        }
    }

    unsafe fn run(
        &self,
        packed: &Packed,
        lattices: &[Lattice],
        (source, source_channels): (Source, usize),
        (target, target_channels): (Target, usize),
    ) {
        let zeros = self.zeros.as_slice();
        for (taps, lattice) in lattices.iter().enumerate() {
            match packed {
                Packed::Depthwise(weights) => {
                    let weights = &weights[taps];
                    let pass = DepthwisePass { level: self.level, source, lattice, weights, target, zeros };
                    // SAFETY: as the caller vouches.
                    unsafe { pass.run() };
                }
                Packed::Winograd(weights) => {
                    let lowest = |axis: usize| lattice.offsets.iter().map(|offset| offset[axis]).min().unwrap_or(0);
                    let origin = [lowest(0), lowest(1)];
                    let pass = WinogradPass {
                        level: self.level,
                        source,
                        target,
                        start: lattice.start,
                        count: lattice.count,
                        origin,
                        weights,
                        zeros,
                    };
                    // SAFETY: as the caller vouches.
                    unsafe { pass.run() };
                }
                Packed::Grouped(weights) => {
                    for (group, weights) in weights[taps].iter().enumerate() {
                        let source = source.from_channel(group * (source_channels / self.groups));
                        let target = target.from_channel(group * (target_channels / self.groups));
                        let level = self.level;
                        let pass = Pass { level, source, lattice, weights, target, square_channels: None, zeros };
                        // SAFETY: as the caller vouches.
                        unsafe { pass.run() };
                    }
                }
            }
        }
    }
}

fn is_depthwise(spec: &Spec) -> bool {
    spec.groups > 1
        && spec.groups == spec.in_channels
        && spec.groups == spec.out_channels
        && spec.kernel[0] * spec.kernel[1] <= MAX_TAPS
}

/// Whether there are enough channels for the products to outweigh the transforms.
pub(super) fn goes_by_winograd(spec: &Spec) -> bool {
    const FEWEST_CHANNELS: usize = 16;
    spec.kernel == [3, 3]
        && spec.stride == [1, 1]
        && spec.dilation == [1, 1]
        && spec.groups == 1
        && !spec.transposed
        && spec.in_channels.min(spec.out_channels) >= FEWEST_CHANNELS
}

/// Packs `weight(output channel, input channel)` so that the pass sums over inputs (`towards_output`) or over outputs.
fn pack(level: Level, spec: &Spec, tap_groups: &[TapGroup], towards_output: bool, by_winograd: bool) -> Packed {
    let [height, width] = spec.kernel;
    let (outs, ins) = (spec.out_channels / spec.groups, spec.in_channels / spec.groups);
    let at = |group: usize, output: usize, input: usize, [y, x]: [usize; 2]| {
        let (major, minor, minors) =
            if spec.transposed { (group * ins + input, output, outs) } else { (group * outs + output, input, ins) };
        spec.weight[((major * minors + minor) * height + y) * width + x]
    };
    if is_depthwise(spec) {
        let weights = |taps| DepthwiseWeights::new(spec.groups, taps, |channel, tap| at(channel, 0, 0, tap));
        return Packed::Depthwise(tap_groups.iter().map(weights).collect());
    }
    if by_winograd && !tap_groups.is_empty() {
        // Towards the input the first tap lies under the last source pixel.
        return Packed::Winograd(if towards_output {
            WinogradWeights::new(level, spec.out_channels, spec.in_channels, |output, input, tap| {
                at(0, output, input, tap)
            })
        } else {
            WinogradWeights::new(level, spec.in_channels, spec.out_channels, |input, output, [y, x]| {
                at(0, output, input, [2 - y, 2 - x])
            })
        });
    }
    let weights = |taps: &TapGroup, group: usize| {
        if towards_output {
            PackedWeights::new(tile_size(level), outs, ins, taps, |output, input, tap| at(group, output, input, tap))
        } else {
            PackedWeights::new(tile_size(level), ins, outs, taps, |input, output, tap| at(group, output, input, tap))
        }
    };
    let groups = |taps| (0..spec.groups).map(|group| weights(taps, group)).collect();
    Packed::Grouped(tap_groups.iter().map(groups).collect())
}

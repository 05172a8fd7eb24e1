//! What a plan is made of: places in the arena, and things to do with them.

use super::chain::Chain;
use crate::nn::exec::frozen::buffers::BufferId;
use crate::nn::exec::frozen::units::Clamp;

/// Maps inside a buffer: a range of channels of pixels that lie `pixel_stride` floats apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub buffer: BufferId,
    pub channel: usize,
    pub pixel_stride: usize,
    /// `[batch, channels, height, width]`; meaningless for values that are no maps.
    pub maps: [usize; 4],
}

/// Mask bits inside a buffer: 16 channels a `u16`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BitsPlace {
    pub buffer: BufferId,
    pub group: usize,
    pub stride: usize,
}

/// A whole buffer, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Span {
    pub buffer: BufferId,
    pub floats: usize,
}

/// What happens to a result before it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    Plain,
    Clamp(Clamp, Option<BitsPlace>),
    Gate(BitsPlace),
}

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Task {
    ConvForward {
        source: Place,
        target: Place,
        add: Option<Place>,
        ending: Ending,
    },
    ConvBackward {
        source: Place,
        target: Place,
        add: Option<Place>,
        ending: Ending,
    },
    PoolForward {
        source: Place,
        target: Place,
        winners: Option<BufferId>,
    },
    PoolBackward {
        source: Place,
        target: Place,
        add: Option<Place>,
        ending: Ending,
        winners: BufferId,
    },
    /// Copies maps, adding and gating; in place where source and target are the same.
    Finish {
        source: Place,
        target: Place,
        add: Option<Place>,
        ending: Ending,
    },
    /// Steps that run together, band by band.
    Chain(Box<Chain>),
    Zero(Span),
    OpForward {
        inputs: Vec<Span>,
        output: Span,
        saved: Saved,
    },
    OpBackward {
        inputs: Vec<Option<Span>>,
        output: Option<Span>,
        saved: Saved,
        d_output: Span,
        d_inputs: Vec<Span>,
    },
}

impl Task {
    /// Of a task that can be a stage of a chain, the places that it reads and writes, and what it adds.
    pub fn ends(&self) -> Option<(Place, Place, Option<Place>)> {
        match *self {
            Self::ConvForward { source, target, add, .. }
            | Self::ConvBackward { source, target, add, .. }
            | Self::PoolBackward { source, target, add, .. } => Some((source, target, add)),
            Self::PoolForward { source, target, .. } => Some((source, target, None)),
            _ => None,
        }
    }

    /// The place that such a task writes.
    pub(super) fn target_mut(&mut self) -> Option<&mut Place> {
        match self {
            Self::ConvForward { target, .. }
            | Self::ConvBackward { target, .. }
            | Self::PoolForward { target, .. }
            | Self::PoolBackward { target, .. } => Some(target),
            _ => None,
        }
    }

    /// Replaces a buffer by another wherever it is named.
    pub(super) fn rename(&mut self, from: BufferId, to: BufferId) {
        let place = |place: &mut Place| {
            if place.buffer == from {
                place.buffer = to;
            }
        };
        let span = |span: &mut Span| {
            if span.buffer == from {
                span.buffer = to;
            }
        };
        match self {
            Self::ConvForward { source, target, add, .. }
            | Self::ConvBackward { source, target, add, .. }
            | Self::PoolBackward { source, target, add, .. }
            | Self::Finish { source, target, add, .. } => {
                [source, target].into_iter().chain(add).for_each(place);
            }
            Self::PoolForward { source, target, .. } => [source, target].into_iter().for_each(place),
            Self::Chain(chain) => chain.stages.iter_mut().for_each(|stage| stage.task.rename(from, to)),
            Self::Zero(zeroed) => span(zeroed),
            Self::OpForward { inputs, output, saved } => {
                inputs.iter_mut().chain([output, &mut saved.span]).for_each(span);
            }
            Self::OpBackward { inputs, output, saved, d_output, d_inputs } => {
                let all = inputs.iter_mut().flatten().chain(output).chain([&mut saved.span, d_output]).chain(d_inputs);
                all.for_each(span);
            }
        }
    }

    /// Calls `each` for every buffer that is read or written, as often as it is named.
    pub(super) fn buffers(&self, each: &mut dyn FnMut(BufferId)) {
        let ending = |ending: &Ending| match ending {
            Ending::Plain | Ending::Clamp(_, None) => None,
            Ending::Clamp(_, Some(bits)) | Ending::Gate(bits) => Some(bits.buffer),
        };
        let buffer = |place: &Option<Place>| place.map(|place| place.buffer);
        match self {
            Self::ConvForward { source, target, add, ending: end }
            | Self::ConvBackward { source, target, add, ending: end }
            | Self::Finish { source, target, add, ending: end } => {
                [Some(source.buffer), Some(target.buffer), buffer(add), ending(end)]
                    .into_iter()
                    .flatten()
                    .for_each(each);
            }
            Self::PoolForward { source, target, winners } => {
                [Some(source.buffer), Some(target.buffer), *winners].into_iter().flatten().for_each(each);
            }
            Self::PoolBackward { source, target, add, ending: end, winners } => {
                let all = [Some(source.buffer), Some(target.buffer), buffer(add), ending(end), Some(*winners)];
                all.into_iter().flatten().for_each(each);
            }
            Self::Chain(chain) => chain.stages.iter().for_each(|stage| stage.task.buffers(each)),
            Self::Zero(span) => each(span.buffer),
            Self::OpForward { inputs, output, saved } => {
                inputs.iter().chain([output, &saved.span]).for_each(|span| each(span.buffer));
            }
            Self::OpBackward { inputs, output, saved, d_output, d_inputs } => {
                let all = inputs.iter().flatten().chain(output).chain([&saved.span, d_output]).chain(d_inputs);
                all.for_each(|span| each(span.buffer));
            }
        }
    }
}

/// What an op saves for its way back: bytes at the start of a span of whole floats.
#[derive(Clone, Copy, Debug, Default)]
pub struct Saved {
    pub span: Span,
    pub bytes: usize,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub unit: usize,
    pub task: Task,
}

//! Pictures cut into tiles, so that the gradient of a large one is computed piece by piece and comes out as if whole.
//!
//! Every unit of a target belongs to one tile. A tile's piece of the picture has all that its own units see, and a tile's
//! gradient is that of its own units alone (the seed is zero elsewhere): the gradient of the whole is the sum. Seeding the
//! margin too, and keeping only the gradient of a tile's own pixels, would be as exact, but such a piece has to hold all
//! that is seen by every unit that sees one of its pixels: twice the margin.
//!
//! Pieces begin at multiples of the net's stride, and their lengths differ from the picture's by multiples of it. Every
//! window then slides over the same grid of pixels as it does over the whole; and padding is the same too, for at these
//! lengths even TensorFlow's SAME pads, and Caffe's rounding rounds, alike. At a side where a piece ends inside the
//! picture, no unit of its own sees the padding that is there instead of the picture.

use std::ops::Range;

use super::graph::{Graph, GraphError, Node, NodeId};
use super::ops::pad::PadMode;
use super::ops::{MapAxis, Op, OpError};
use super::reach::{AxisReach, Reach};
use crate::base::tensor::Shape;

/// The units of one target that a tile answers for. Pairs are `[vertical, horizontal]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// In the tile's own maps.
    pub own: [Range<usize>; 2],
    /// Where the tile's maps lie in those of the whole picture.
    pub origin: [usize; 2],
    /// The size of the maps of the whole picture.
    pub whole: [usize; 2],
}

impl Part {
    /// All of maps of `size`.
    pub fn all(size: [usize; 2]) -> Self {
        Self { own: size.map(|len| 0..len), origin: [0, 0], whole: size }
    }

    /// The unit at a place of the whole maps, each side from 0 to 1, in the tile's own maps; none when it belongs to
    /// another tile.
    pub fn place(&self, fractions: [f32; 2]) -> Option<[usize; 2]> {
        let along = |axis: usize| {
            let len = self.whole[axis];
            let index = ((fractions[axis] * len as f32) as usize).min(len.saturating_sub(1));
            index.checked_sub(self.origin[axis]).filter(|index| self.own[axis].contains(index))
        };
        Some([along(0)?, along(1)?])
    }
}

/// One axis of one tile.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Strip {
    /// Where its pixels begin.
    start_px: usize,
    /// Its own units in its own maps, and where those begin in the whole: one for each target.
    parts: Vec<(Range<usize>, usize)>,
}

/// How pictures of one size are cut for some targets of a net.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiling {
    size: [usize; 2],
    tile_size: [usize; 2],
    strips: [Vec<Strip>; 2],
    targets: Vec<NodeId>,
    /// `[height, width]` of the maps of every target.
    planes: Vec<[usize; 2]>,
}

/// Why pictures cannot be cut.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TilingError {
    #[error("layer `{0}` looks at the whole picture at once")]
    Whole(String),
    #[error("layer `{0}` does not lie on one grid of pixels with the layers before it")]
    Grid(String),
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl Tiling {
    /// One tile: the picture, of `[height, width]`.
    ///
    /// # Errors
    /// When the net does not take pictures of that size.
    pub fn whole(graph: &Graph, targets: &[NodeId], size: [usize; 2]) -> Result<Self, GraphError> {
        let shapes = graph.shapes_for(&input_shape(graph, size)?, targets)?;
        let planes: Vec<[usize; 2]> = targets.iter().map(|&target| plane(&shapes, target)).collect();
        let strip = |axis: usize| {
            let parts = planes.iter().map(|plane| (0..plane[axis], 0)).collect();
            vec![Strip { start_px: 0, parts }]
        };
        Ok(Self { size, tile_size: size, strips: [strip(0), strip(1)], targets: targets.to_vec(), planes })
    }

    /// Tiles of about `side_px` × `side_px` pixels each, without the margins that they share with their neighbours.
    ///
    /// # Errors
    /// When the net does not take pictures of that size, or a target needs to see a whole picture.
    pub fn new(graph: &Graph, targets: &[NodeId], size: [usize; 2], side_px: usize) -> Result<Self, TilingError> {
        let whole = Self::whole(graph, targets, size)?;
        let shapes = graph.shapes_for(&input_shape(graph, size)?, targets)?;
        let grid = Grid::new(graph, targets, &shapes)?;
        let [(height, rows), (width, columns)] = [0, 1].map(|axis| grid.cut(axis, targets, size[axis], side_px));
        let tiling = Self { tile_size: [height, width], strips: [rows, columns], ..whole };
        grid.check(&shapes, &tiling)?;
        Ok(tiling)
    }

    /// `[height, width]` of the pictures that are cut.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// `[height, width]` of every tile, margins included.
    pub fn tile_size(&self) -> [usize; 2] {
        self.tile_size
    }

    /// The number of tiles.
    pub fn count(&self) -> usize {
        self.strips[0].len() * self.strips[1].len()
    }

    /// `[y, x]` of the first pixel of a tile.
    pub fn origin_px(&self, tile: usize) -> [usize; 2] {
        let [row, column] = self.strips_of(tile);
        [row.start_px, column.start_px]
    }

    /// What of the maps of a target a tile answers for.
    ///
    /// # Panics
    /// When `target` is none of those that this was made for.
    pub fn part(&self, tile: usize, target: NodeId) -> Part {
        let number = self.targets.iter().position(|&other| other == target).expect("it is one of the targets");
        let [(own_rows, top), (own_columns, left)] = self.strips_of(tile).map(|strip| strip.parts[number].clone());
        Part { own: [own_rows, own_columns], origin: [top, left], whole: self.planes[number] }
    }

    fn strips_of(&self, tile: usize) -> [&Strip; 2] {
        let columns = self.strips[1].len();
        [&self.strips[0][tile / columns], &self.strips[1][tile % columns]]
    }
}

fn input_shape(graph: &Graph, [height, width]: [usize; 2]) -> Result<Shape, GraphError> {
    let too_large = || GraphError::Node { node: graph.node(0).name.clone(), source: OpError::TooLarge };
    Shape::new(&[1, graph.input().channels, height, width]).ok_or_else(too_large)
}

/// `[height, width]` of the maps of a node that is needed.
fn plane(shapes: &[Option<Shape>], id: NodeId) -> [usize; 2] {
    let maps = shapes[id].as_ref().and_then(Shape::as_maps);
    maps.map_or([1, 1], |[_, _, height, width]| [height, width])
}

/// The values of a net on the grid of the picture's pixels. All pairs are `[vertical, horizontal]`.
struct Grid<'a> {
    graph: &'a Graph,
    /// The nodes that the targets need, in the graph's order.
    needed: Vec<NodeId>,
    /// By node: how many pixels its values lie apart.
    strides: Vec<[usize; 2]>,
    /// By node: what it reads.
    reaches: Vec<[AxisReach; 2]>,
    /// By node.
    planes: Vec<[usize; 2]>,
    /// What pieces are aligned to: the least common multiple of all strides.
    step_px: [usize; 2],
}

impl<'a> Grid<'a> {
    fn new(graph: &'a Graph, targets: &[NodeId], shapes: &[Option<Shape>]) -> Result<Self, TilingError> {
        let is_needed = graph.needed_for(targets);
        let count = graph.nodes().len();
        let needed: Vec<NodeId> = (0..count).filter(|&id| is_needed[id]).collect();
        let same = AxisReach::Slide { stride: 1, before: 0, extent: 1 };
        let mut grid = Self {
            graph,
            strides: vec![[1, 1]; count],
            reaches: vec![[same; 2]; count],
            planes: (0..count).map(|id| plane(shapes, id)).collect(),
            step_px: [1, 1],
            needed,
        };
        for place in 1..grid.needed.len() {
            grid.add(grid.needed[place], shapes)?;
        }
        Ok(grid)
    }

    fn add(&mut self, id: NodeId, shapes: &[Option<Shape>]) -> Result<(), TilingError> {
        let node = self.graph.node(id);
        let first = node.inputs[0];
        let (Some(input), Some(output)) = (&shapes[first], &shapes[id]) else { return Ok(()) };
        let Reach::Near(reach) = Reach::of(node, input, output) else {
            return Err(TilingError::Whole(node.name.clone()));
        };
        let off_grid = || TilingError::Grid(node.name.clone());
        let alike =
            |&other: &NodeId| (self.strides[other], self.planes[other]) == (self.strides[first], self.planes[first]);
        if !node.inputs.iter().all(alike) || depends_on_size(node) {
            return Err(off_grid());
        }
        for (axis, along) in reach.iter().enumerate() {
            let AxisReach::Slide { stride, .. } = *along else { return Err(off_grid()) };
            let apart = self.strides[first][axis].checked_mul(stride).filter(|&apart| apart <= MOST_STRIDE_PX);
            self.strides[id][axis] = apart.ok_or_else(off_grid)?;
            self.step_px[axis] = lcm(self.step_px[axis], self.strides[id][axis]);
            if self.step_px[axis] > MOST_STRIDE_PX {
                return Err(off_grid());
            }
        }
        self.reaches[id] = reach;
        Ok(())
    }

    /// The length of the tiles along one axis of a picture of `len_px`, and the tiles.
    fn cut(&self, axis: usize, targets: &[NodeId], len_px: usize, side_px: usize) -> (usize, Vec<Strip>) {
        let step_px = self.step_px[axis];
        let cells = len_px.div_ceil(step_px);
        let strips = cells.div_ceil((side_px / step_px).max(1));
        // Units of a target that belong to the cells of one strip. The last has what the grid does not divide.
        let own = |strip: usize, target: NodeId| {
            let len = self.planes[target][axis];
            let first_of = |strip: usize| strip * cells / strips * (step_px / self.strides[target][axis]);
            let end = if strip + 1 == strips { len } else { first_of(strip + 1).min(len) };
            first_of(strip).min(len)..end
        };
        let spare: Vec<[usize; 2]> = (0..strips)
            .map(|strip| {
                let own: Vec<_> = targets.iter().map(|&target| (target, own(strip, target))).collect();
                self.spare_steps(axis, &own)
            })
            .collect();
        // All pieces leave out as much as the longest, so that one session serves them all.
        let left_out = spare.iter().map(|[before, after]| before + after).min().unwrap_or(0);
        if left_out == 0 {
            let parts = targets.iter().map(|&target| (0..self.planes[target][axis], 0)).collect();
            return (len_px, vec![Strip { start_px: 0, parts }]);
        }
        let piece = |strip: usize| {
            let start = spare[strip][0].min(left_out);
            let part = |&target: &NodeId| {
                let origin = start * (step_px / self.strides[target][axis]);
                let own = own(strip, target);
                (if own.is_empty() { 0..0 } else { own.start - origin..own.end - origin }, origin)
            };
            Strip { start_px: start * step_px, parts: targets.iter().map(part).collect() }
        };
        (len_px - left_out * step_px, (0..strips).map(piece).collect())
    }

    /// How many steps of the grid can be left out before and after the pixels that units need to see.
    fn spare_steps(&self, axis: usize, own: &[(NodeId, Range<usize>)]) -> [usize; 2] {
        let mut read: Vec<Option<Range<usize>>> = vec![None; self.planes.len()];
        for (target, own) in own.iter().filter(|(_, own)| !own.is_empty()) {
            read[*target] = Some(hull(read[*target].take(), own.clone()));
        }
        let mut spare = [usize::MAX; 2];
        for &id in self.needed.iter().rev() {
            let Some(values) = read[id].clone() else { continue };
            let len = self.planes[id][axis];
            let steps = self.step_px[axis] / self.strides[id][axis];
            spare = [spare[0].min(values.start / steps), spare[1].min((len - values.end) / steps)];
            let AxisReach::Slide { stride, before, extent } = self.reaches[id][axis] else { continue };
            for &input in &self.graph.node(id).inputs {
                // What lies outside is padding, of which the value at the edge may be the origin.
                let len = self.planes[input][axis];
                let at = |index: usize, beyond: usize| {
                    ((index * stride + beyond).cast_signed() - before).clamp(0, len.cast_signed()).cast_unsigned()
                };
                let (start, end) = (at(values.start, 0).min(len - 1), at(values.end - 1, extent));
                read[input] = Some(hull(read[input].take(), start..end.max(start + 1)));
            }
        }
        // No target has units here.
        if spare.contains(&usize::MAX) { [0, self.planes[0][axis] / self.step_px[axis]] } else { spare }
    }

    /// Holds what every op says of the shapes of a tile against what was computed here.
    fn check(&self, whole: &[Option<Shape>], tiling: &Tiling) -> Result<(), TilingError> {
        let tile = self.graph.shapes_for(&input_shape(self.graph, tiling.tile_size)?, &tiling.targets)?;
        for &id in &self.needed {
            let fits = |axis: usize| {
                let left_out = (tiling.size[axis] - tiling.tile_size[axis]) / self.strides[id][axis];
                plane(&tile, id)[axis] + left_out == plane(whole, id)[axis]
            };
            if !fits(0) || !fits(1) {
                return Err(TilingError::Grid(self.graph.node(id).name.clone()));
            }
        }
        Ok(())
    }
}

/// Values of a net further apart than this see most of any picture.
const MOST_STRIDE_PX: usize = 1 << 12;

/// Whether what an op does at an edge depends on what is far from there.
fn depends_on_size(node: &Node) -> bool {
    match &node.op {
        Op::Slice(slice) => matches!(slice.axis, MapAxis::Height | MapAxis::Width),
        Op::Pad(pad) => pad.mode == PadMode::Reflect,
        _ => false,
    }
}

fn hull(read: Option<Range<usize>>, more: Range<usize>) -> Range<usize> {
    read.map_or(more.clone(), |read| read.start.min(more.start)..read.end.max(more.end))
}

fn lcm(a: usize, b: usize) -> usize {
    let (mut gcd, mut rest) = (a, b);
    while rest != 0 {
        (gcd, rest) = (rest, gcd % rest);
    }
    a / gcd * b
}

#[cfg(test)]
mod tests;

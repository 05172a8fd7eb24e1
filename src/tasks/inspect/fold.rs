//! A tall drawing of a net cut into pieces that stand side by side, as a text is set in columns.
//!
//! Cuts are made only where all that goes on comes from one node right above the cut, so that one line leads from each
//! piece to the next.

use crate::nn::graph::NodeId;
use crate::tasks::look::{Edge, NetLayout, Placed};

/// Width to height of the whole, about.
const ASPECT: f32 = 1.5;
/// Lower drawings stay in one piece, in points.
const LOW: f32 = 900.0;
/// Between two pieces, in points.
const GUTTER: f32 = 52.0;
/// How far above and below a piece the line to the next one runs, in points.
const DETOUR: f32 = 14.0;

/// A drawing in pieces, from `[0, 0]` to `layout.size`.
pub struct Folded {
    pub layout: NetLayout,
    /// The lines from each piece to the next, as points `[x, y]`.
    pub bridges: Vec<Vec<[f32; 2]>>,
}

/// Folds a drawing that was laid out with boxes of `node_size` and the vertical `gap`.
pub fn fold(layout: NetLayout, node_size: [f32; 2], gap: f32) -> Folded {
    let rows: Vec<usize> = layout.nodes.iter().map(|node| (node.y / (node_size[1] + gap)).round() as usize).collect();
    let count = rows.iter().max().map_or(0, |last| last + 1);
    let [width, height] = layout.size;
    let pieces = (ASPECT * height / (width + GUTTER)).sqrt().round().max(1.0) as usize;
    if height <= LOW || pieces == 1 || count == 0 {
        return Folded { layout, bridges: Vec::new() };
    }
    let cuts = cuts(&sources(&layout.edges, &rows, count), pieces);
    Folder { rows, cuts, node_size, gap }.fold(layout)
}

/// For each row the node below which a cut may be made: the only one whose value goes on past the row.
fn sources(edges: &[Edge], rows: &[usize], count: usize) -> Vec<Option<NodeId>> {
    // How many more edges run past a row without starting in it than past the row before.
    let mut passing = vec![0isize; count + 1];
    let mut starting: Vec<Vec<NodeId>> = vec![Vec::new(); count];
    for edge in edges {
        let (from, to) = (rows[edge.from], rows[edge.to]);
        if !starting[from].contains(&edge.from) {
            starting[from].push(edge.from);
        }
        passing[from + 1] += 1;
        passing[to.max(from + 1)] -= 1;
    }
    let mut running = 0;
    let source = |(row, starting): (usize, &Vec<NodeId>)| {
        running += passing[row];
        match starting.as_slice() {
            &[only] if running == 0 => Some(only),
            _ => None,
        }
    };
    starting.iter().enumerate().map(source).collect()
}

/// The rows behind which a new piece begins, with the node that leads there: at most `pieces`, where there are places
/// for that, and the longest as short as can be.
fn cuts(sources: &[Option<NodeId>], pieces: usize) -> Vec<(usize, NodeId)> {
    let (mut too_few, mut enough) = (0, sources.len());
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        if cuts_within(sources, middle).len() < pieces { enough = middle } else { too_few = middle }
    }
    cuts_within(sources, enough)
}

/// As few cuts as can be, for pieces of at most `most` rows; longer ones where there is no place for a cut.
fn cuts_within(sources: &[Option<NodeId>], most: usize) -> Vec<(usize, NodeId)> {
    let mut cuts = Vec::new();
    let (mut start, mut last_good) = (0, None);
    for (row, source) in sources.iter().enumerate() {
        if row - start >= most
            && let Some((cut, source)) = last_good.take()
        {
            cuts.push((cut, source));
            start = cut + 1;
        }
        if let Some(source) = *source {
            last_good = Some((row, source));
        }
    }
    cuts
}

struct Folder {
    /// Of every node.
    rows: Vec<usize>,
    cuts: Vec<(usize, NodeId)>,
    node_size: [f32; 2],
    gap: f32,
}

/// What a piece takes up in the drawing as it was.
#[derive(Clone, Copy)]
struct Extent {
    left: f32,
    right: f32,
    bottom: f32,
}

impl Folder {
    /// The piece of a row.
    fn piece(&self, row: usize) -> usize {
        self.cuts.partition_point(|&(cut, _)| cut < row)
    }

    fn fold(&self, layout: NetLayout) -> Folded {
        let extents = self.extents(&layout);
        // Where a piece begins in the drawing as it was: under the node that leads there, a gap above its first row.
        let top_of = |piece: usize| match piece.checked_sub(1) {
            Some(before) => layout.nodes[self.cuts[before].1].y + self.node_size[1],
            None => -self.gap,
        };
        let mut shifts = Vec::new();
        let mut right = 0.0;
        for (piece, extent) in extents.iter().enumerate() {
            shifts.push([right - extent.left, DETOUR - top_of(piece)]);
            right += extent.right - extent.left + GUTTER;
        }
        let moved = |piece: usize, [x, y]: [f32; 2]| [x + shifts[piece][0], y + shifts[piece][1]];
        let place = |node: &Placed| {
            let [x, y] = moved(self.piece(self.rows[node.id]), [node.x, node.y]);
            Placed { id: node.id, x, y }
        };
        let edge = |edge: &Edge| {
            let piece = self.piece(self.rows[edge.to]);
            Edge { points: edge.points.iter().map(|&point| moved(piece, point)).collect(), ..edge.clone() }
        };
        let bridge = |(piece, &(_, source)): (usize, &(usize, NodeId))| {
            let bottom = [layout.nodes[source].x + self.node_size[0] / 2.0, top_of(piece + 1)];
            let ([from_x, from_y], [to_x, to_y]) = (moved(piece, bottom), moved(piece + 1, bottom));
            let between = extents[piece + 1].left + shifts[piece + 1][0] - GUTTER / 2.0;
            let (low, high) = (from_y + DETOUR, to_y - DETOUR);
            vec![[from_x, from_y], [from_x, low], [between, low], [between, high], [to_x, high], [to_x, to_y]]
        };
        let bottoms = extents.iter().zip(&shifts).map(|(extent, shift)| extent.bottom + shift[1] + DETOUR);
        let size = [right - GUTTER, bottoms.fold(0.0, f32::max)];
        let bridges = self.cuts.iter().enumerate().map(bridge).collect();
        let nodes = layout.nodes.iter().map(place).collect();
        let edges = layout.edges.iter().map(edge).collect();
        Folded { layout: NetLayout { nodes, edges, size }, bridges }
    }

    fn extents(&self, layout: &NetLayout) -> Vec<Extent> {
        let nothing = Extent { left: f32::INFINITY, right: f32::NEG_INFINITY, bottom: 0.0 };
        let mut extents = vec![nothing; self.cuts.len() + 1];
        let mut reach = |piece: usize, [x, y]: [f32; 2]| {
            let extent = &mut extents[piece];
            extent.left = extent.left.min(x);
            extent.right = extent.right.max(x);
            extent.bottom = extent.bottom.max(y);
        };
        for node in &layout.nodes {
            let piece = self.piece(self.rows[node.id]);
            reach(piece, [node.x, node.y]);
            reach(piece, [node.x + self.node_size[0], node.y + self.node_size[1]]);
        }
        for edge in &layout.edges {
            let piece = self.piece(self.rows[edge.to]);
            edge.points.iter().for_each(|&point| reach(piece, point));
        }
        extents
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::architectures::{Architecture, RandomParams};
    use crate::nn::graph::Graph;
    use crate::tasks::look::layout;
    use crate::tasks::look::testing::{shipped, sketch};

    const SIZE: [f32; 2] = [100.0, 24.0];
    const GAP: [f32; 2] = [20.0, 16.0];

    fn folded(graph: &Graph) -> Folded {
        fold(layout(graph, SIZE, GAP), SIZE, GAP[1])
    }

    fn overlaps(drawing: &NetLayout) -> usize {
        let apart = |a: &Placed, b: &Placed| (a.x - b.x).abs() >= SIZE[0] || (a.y - b.y).abs() >= SIZE[1];
        let nodes = &drawing.nodes;
        (0..nodes.len()).map(|i| nodes[..i].iter().filter(|other| !apart(&nodes[i], other)).count()).sum()
    }

    #[test]
    fn a_low_drawing_stays_as_it_is() {
        let folded = folded(&sketch());
        assert!(folded.bridges.is_empty() && folded.layout == layout(&sketch(), SIZE, GAP));
    }

    #[test]
    fn tall_nets_become_wide_and_nothing_overlaps() {
        let random = |architecture: Architecture| {
            architecture.blueprint(10).build(&mut RandomParams::new(0), Vec::new()).expect("the net is sound")
        };
        let nets = [Architecture::GoogLeNet, Architecture::ResNet50, Architecture::SqueezeNet1_1].map(random);
        for graph in nets.iter().chain([&*shipped()]) {
            let Folded { layout: drawing, bridges } = folded(graph);
            let [width, height] = drawing.size;
            let name = graph.name();
            assert!(bridges.len() >= 2 && (0.7..3.0).contains(&(width / height)), "{name}: {:?}", drawing.size);
            assert_eq!(overlaps(&drawing), 0, "{name}");
            let inside = |[x, y]: [f32; 2]| (-0.1..=width + 0.1).contains(&x) && (-0.1..=height + 0.1).contains(&y);
            let lines = drawing.edges.iter().map(|edge| &edge.points).chain(&bridges);
            assert!(lines.flatten().all(|&point| inside(point)), "{name}");
            for edge in &drawing.edges {
                let (to, end) = (drawing.nodes[edge.to], edge.points[edge.points.len() - 1]);
                let off = (to.x + SIZE[0] / 2.0 - end[0]).abs() + (to.y - end[1]).abs();
                assert!(off < 0.1, "{name}: an edge misses {}", edge.to);
            }
        }
    }

    #[test]
    fn cuts_are_made_only_where_one_value_goes_on() {
        // 0 → 1 → 2 → 3 with 0 → 2: below 0 and 2 one value goes on, below 1 two.
        let edge = |from, to| Edge { from, to, points: Vec::new() };
        let edges = [edge(0, 1), edge(1, 2), edge(0, 2), edge(2, 3)];
        assert_eq!(sources(&edges, &[0, 1, 2, 3], 4), [Some(0), None, Some(2), None]);
        assert_eq!(cuts(&[Some(0), None, Some(2), None], 2), [(2, 2)]);
        assert_eq!(cuts(&[None; 9], 2), []);
        assert_eq!(cuts(&[Some(7); 6], 3), [(1, 7), (3, 7)]);
        assert_eq!(cuts(&[Some(7), None, None, None, Some(8), None], 6), [(0, 7), (4, 8)]);
    }
}

//! Where every node of a net is drawn.
//!
//! A layered drawing (Sugiyama 1981) made for nets, which are mostly chains with side branches: every node lies one row
//! below the deepest of its inputs; chains of nodes become upright columns; the longest one, which has a node in every
//! row, stands in the middle, and the others are set beside it, left or right, where the fewest edges cross. All edges
//! of a node that skip rows share one upright lane.

mod columns;
mod order;

use columns::{Column, Columns};

use crate::nn::graph::{Graph, Node, NodeId};

/// A node's place: the top left corner of a box of the size that [`layout`] was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placed {
    pub id: NodeId,
    pub x: f32,
    pub y: f32,
}

/// One edge, as a line through at least two points, from the middle of the bottom of `from` to the middle of the top of
/// `to`. It only goes down, and through no box.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    pub from: NodeId,
    pub to: NodeId,
    /// `[x, y]`.
    pub points: Vec<[f32; 2]>,
}

/// A drawing of a net from `[0, 0]`, the top left, to `size`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetLayout {
    /// One a node, in the graph's order.
    pub nodes: Vec<Placed>,
    /// In the order of the nodes they lead to, and of those nodes' inputs. Two edges may join the same nodes.
    pub edges: Vec<Edge>,
    /// `[width, height]`.
    pub size: [f32; 2],
}

/// Places all nodes in boxes of `node_size` (`[width, height]`) with at least `gap` (`[horizontal, vertical]`) between
/// them, in points or any other unit. The same graph gives the same drawing on every machine.
///
/// # Panics
/// Never; sizes that are no finite numbers give places that are none either.
pub fn layout(graph: &Graph, node_size: [f32; 2], gap: [f32; 2]) -> NetLayout {
    layout_nodes(graph.nodes(), node_size, gap)
}

fn layout_nodes(nodes: &[Node], node_size: [f32; 2], gap: [f32; 2]) -> NetLayout {
    if nodes.is_empty() {
        return NetLayout::default();
    }
    let columns = Columns::of(nodes);
    let order = order::order(&columns);
    let middles = middles(&columns, &order, node_size[0], gap[0]);
    draw(nodes, &columns, &middles, node_size, gap)
}

/// The x of every column's middle, the main column's at 0: as near to the main column as what stands between allows.
fn middles(columns: &Columns, order: &[usize], node_width: f32, gap: f32) -> Vec<f32> {
    let mut middles = vec![0.0; columns.all.len()];
    let main = order.iter().position(|&column| column == Columns::MAIN).unwrap_or(0);
    let left: Vec<usize> = order[..main].iter().rev().copied().collect();
    for (side, outwards) in [(1.0, &order[main + 1..]), (-1.0, left.as_slice())] {
        // How far out each row is taken.
        let mut taken: Vec<f32> = vec![node_width / 2.0; columns.rows];
        for &column in outwards {
            let Column { first, last, last_node, .. } = columns.all[column];
            let half = |row| if last_node.is_some_and(|last_node| row <= last_node) { node_width / 2.0 } else { 0.0 };
            let middle = (first..=last).map(|row| taken[row] + gap + half(row)).fold(0.0, f32::max);
            (first..=last).for_each(|row| taken[row] = middle + half(row));
            middles[column] = side * middle;
        }
    }
    middles
}

fn draw(nodes: &[Node], columns: &Columns, middles: &[f32], node_size: [f32; 2], gap: [f32; 2]) -> NetLayout {
    let [width, height] = node_size;
    let half_of = |column: &Column| if column.last_node.is_some() { width / 2.0 } else { 0.0 };
    let reach = |side: f32| {
        let reaches = columns.all.iter().zip(middles).map(|(column, middle)| side * middle + half_of(column));
        reaches.fold(0.0, f32::max)
    };
    let shift = reach(-1.0);
    let x_of = |column: usize| middles[column] + shift;
    let top_of = |row: usize| row as f32 * (height + gap[1]);
    let bottom_of = |row: usize| top_of(row) + height;
    let place = |id: NodeId| Placed { id, x: x_of(columns.column_of[id]) - width / 2.0, y: top_of(columns.row_of[id]) };
    let mut edges = Vec::new();
    for (to, node) in nodes.iter().enumerate() {
        let (to_x, to_row) = (x_of(columns.column_of[to]), columns.row_of[to]);
        for &from in &node.inputs {
            let (from_x, from_row) = (x_of(columns.column_of[from]), columns.row_of[from]);
            let mut points = vec![[from_x, bottom_of(from_row)]];
            if let Some(lane) = columns.lane_of[from].filter(|_| to_row > from_row + 1) {
                let lane_x = x_of(lane);
                if lane_x != from_x {
                    points.push([lane_x, top_of(from_row + 1)]);
                }
                points.push([lane_x, bottom_of(to_row - 1)]);
            }
            points.push([to_x, top_of(to_row)]);
            edges.push(Edge { from, to, points });
        }
    }
    NetLayout {
        nodes: (0..nodes.len()).map(place).collect(),
        edges,
        size: [shift + reach(1.0), bottom_of(columns.rows - 1)],
    }
}

#[cfg(test)]
mod tests;

//! Rows and columns: which row a node lies in, and which nodes stand above each other.

use crate::nn::graph::{Node, NodeId};

/// A run of rows that share one x: a chain of nodes, the lane of an edge that skips rows, or a chain that goes on as
/// the lane of its last node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    pub first: usize,
    /// The last row, included.
    pub last: usize,
    /// The last row that holds a node; the rows behind it hold the lane. `None` where all is lane.
    pub last_node: Option<usize>,
}

/// A piece of an edge between the rows `row` and `row + 1` that leads from one column to another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    pub row: usize,
    pub upper: usize,
    pub lower: usize,
}

/// A net cut into columns.
pub struct Columns {
    pub rows: usize,
    /// The main column first: a node of it lies in every row.
    pub all: Vec<Column>,
    pub links: Vec<Link>,
    /// One a node.
    pub row_of: Vec<usize>,
    /// One a node.
    pub column_of: Vec<usize>,
    /// One a node: the column of the lane for its edges to nodes that are not in the next row.
    pub lane_of: Vec<Option<usize>>,
}

impl Columns {
    /// The index of the main column.
    pub const MAIN: usize = 0;

    /// `nodes` are those of a checked graph, at least one: inputs come before the nodes that take them.
    pub fn of(nodes: &[Node]) -> Self {
        let row_of = rows(nodes);
        let mut columns = Self {
            rows: row_of.iter().max().map_or(0, |last| last + 1),
            all: Vec::new(),
            links: Vec::new(),
            column_of: vec![usize::MAX; nodes.len()],
            lane_of: vec![None; nodes.len()],
            row_of,
        };
        let last_of_column = columns.claim_chains(nodes);
        columns.add_lanes(nodes, &last_of_column);
        columns.add_links(nodes);
        columns
    }

    /// Cuts the nodes into chains without a gap, the deepest first; says which node ends each.
    fn claim_chains(&mut self, nodes: &[Node]) -> Vec<NodeId> {
        let mut deepest_first: Vec<NodeId> = (0..nodes.len()).collect();
        // Of equally deep ones the last first: it is the net's output.
        deepest_first.sort_by_key(|&id| std::cmp::Reverse((self.row_of[id], id)));
        let mut ends = Vec::new();
        for end in deepest_first {
            if self.column_of[end] != usize::MAX {
                continue;
            }
            let column = self.all.len();
            let mut id = end;
            self.column_of[id] = column;
            let free_above = |this: &Self, id: NodeId| {
                let above = |&&input: &&NodeId| {
                    this.column_of[input] == usize::MAX && this.row_of[input] + 1 == this.row_of[id]
                };
                nodes[id].inputs.iter().find(above).copied()
            };
            while let Some(above) = free_above(self, id) {
                id = above;
                self.column_of[id] = column;
            }
            let last = self.row_of[end];
            self.all.push(Column { first: self.row_of[id], last, last_node: Some(last) });
            ends.push(end);
        }
        ends
    }

    /// Gives a lane to every node that is read beyond the next row: below it where its chain ends there, else a column
    /// of its own.
    fn add_lanes(&mut self, nodes: &[Node], last_of_column: &[NodeId]) {
        let mut last_reader = self.row_of.clone();
        for (id, node) in nodes.iter().enumerate() {
            for &input in &node.inputs {
                last_reader[input] = last_reader[input].max(self.row_of[id]);
            }
        }
        for id in 0..nodes.len() {
            let (first, last) = (self.row_of[id] + 1, last_reader[id].saturating_sub(1));
            if first > last {
                continue;
            }
            let own = self.column_of[id];
            if last_of_column[own] == id {
                self.all[own].last = last;
                self.lane_of[id] = Some(own);
            } else {
                self.lane_of[id] = Some(self.all.len());
                self.all.push(Column { first, last, last_node: None });
            }
        }
    }

    fn add_links(&mut self, nodes: &[Node]) {
        for id in 0..nodes.len() {
            if let Some(lane) = self.lane_of[id] {
                self.link(self.row_of[id], self.column_of[id], lane);
            }
        }
        for (id, node) in nodes.iter().enumerate() {
            for &input in &node.inputs {
                let row = self.row_of[id] - 1;
                let upper = match self.lane_of[input] {
                    Some(lane) if row > self.row_of[input] => lane,
                    _ => self.column_of[input],
                };
                self.link(row, upper, self.column_of[id]);
            }
        }
    }

    fn link(&mut self, row: usize, upper: usize, lower: usize) {
        if upper != lower {
            self.links.push(Link { row, upper, lower });
        }
    }
}

/// The row of every node: one below the deepest of its inputs.
fn rows(nodes: &[Node]) -> Vec<usize> {
    let mut rows: Vec<usize> = Vec::with_capacity(nodes.len());
    for node in nodes {
        rows.push(node.inputs.iter().map(|&input| rows[input] + 1).max().unwrap_or(0));
    }
    rows
}

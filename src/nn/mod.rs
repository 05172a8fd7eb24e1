//! The engine: operations, the graph of a net, and the plans that run it.

pub mod exec;
pub mod graph;
pub mod graph_cost;
pub mod loss;
pub mod ops;
pub mod optim;
pub mod reach;
pub mod receptive_field;
pub mod tiling;

//! Nets and pictures for tests.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::imageio::{self, Limits, Picture};
use crate::nn::graph::{ChannelOrder, Graph, GraphBuilder, Preprocess};
use crate::nn::ops::Op;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::linear::Linear;
use crate::nn::ops::reshape::{Dim, Reshape};
use crate::nn::ops::window::Window;
use crate::tasks::catalogue;

pub fn shipped() -> Arc<Graph> {
    static NET: OnceLock<Arc<Graph>> = OnceLock::new();
    NET.get_or_init(|| catalogue::open(catalogue::DEFAULT).expect("the net ships")).clone()
}

pub fn photo(name: &str) -> Picture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name);
    imageio::load(&path, &Limits::default()).expect("the photo ships").picture
}

pub fn preprocess(order: ChannelOrder) -> Preprocess {
    let channels = if order == ChannelOrder::Gray { 1 } else { 3 };
    Preprocess { order, mean: vec![0.0; channels], scale: vec![1.0; channels] }
}

/// On pictures of 4 × 6: `maps` are red less green and its opposite; `scores` of the three classes, for 4 × 6 only, are
/// 0, 1 and 2 times the first map's sum; `rows` is of rank 3.
pub fn sketch() -> Graph {
    let mut net = GraphBuilder::new("data", 3, [4, 6]);
    net.param("maps.weight", &[2, 3, 1, 1], vec![1.0, -1.0, 0.0, -1.0, 1.0, 0.0]);
    let conv = Op::Conv2d(Conv2d { window: Window::square(1, 1), groups: 1 });
    let maps = net.add("maps", conv, &[GraphBuilder::INPUT], &["maps.weight"]);
    let flat = net.add("flat", Op::Reshape(Reshape::flatten()), &[maps], &[]);
    let weight: Vec<f32> = (0..3 * 48).map(|i| if i % 48 < 24 { (i / 48) as f32 } else { 0.0 }).collect();
    net.param("scores.weight", &[3, 48], weight);
    net.param("scores.bias", &[3], vec![0.0; 3]);
    net.add("rows", Op::Reshape(Reshape { dims: vec![Dim::Of(12), Dim::Of(4)] }), &[maps], &[]);
    net.add("scores", Op::Linear(Linear {}), &[flat], &["scores.weight", "scores.bias"]);
    let labels = ["tench", "goldfish", "white shark"].map(String::from).to_vec();
    net.finish("sketch", preprocess(ChannelOrder::Rgb), labels).expect("the net is sound")
}

use super::*;
use crate::formats::architectures::Architecture;
use crate::nn::ops::Op;
use crate::nn::ops::activation::Activation;
use crate::tasks::look::testing::shipped;

const SIZE: [f32; 2] = [100.0, 24.0];
const GAP: [f32; 2] = [20.0, 16.0];

/// Nodes with these inputs. Layout does not ask what they do.
fn nodes(inputs: &[&[NodeId]]) -> Vec<Node> {
    let node = |(id, inputs): (usize, &&[NodeId])| Node {
        name: format!("node{id}"),
        op: Op::Activation(Activation::Relu),
        inputs: inputs.to_vec(),
        params: Vec::new(),
    };
    inputs.iter().enumerate().map(node).collect()
}

fn lay_out(inputs: &[&[NodeId]]) -> NetLayout {
    layout_nodes(&nodes(inputs), SIZE, GAP)
}

/// All that is wrong with a drawing of `nodes`.
fn faults(nodes: &[Node], drawing: &NetLayout) -> Vec<String> {
    let mut faults = Vec::new();
    let box_of = |id: NodeId| drawing.nodes[id];
    for (id, a) in drawing.nodes.iter().enumerate() {
        if a.id != id {
            faults.push(format!("node {id} is called {}", a.id));
        }
        let inside = a.x >= -0.01 && a.y >= 0.0 && a.x + SIZE[0] <= drawing.size[0] + 0.01;
        if !inside || a.y + SIZE[1] > drawing.size[1] + 0.01 {
            faults.push(format!("node {id} lies outside of {:?}", drawing.size));
        }
        for b in &drawing.nodes[..id] {
            let apart_x = (a.x - b.x).abs() >= SIZE[0] + GAP[0] - 0.01;
            let apart_y = (a.y - b.y).abs() >= SIZE[1] + GAP[1] - 0.01;
            if !apart_x && !apart_y {
                faults.push(format!("nodes {} and {id} are too near", b.id));
            }
        }
    }
    let wanted: Vec<_> =
        nodes.iter().enumerate().flat_map(|(to, node)| node.inputs.iter().map(move |&from| (from, to))).collect();
    let got: Vec<_> = drawing.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    if wanted != got {
        faults.push(format!("the edges are {got:?}"));
    }
    for edge in &drawing.edges {
        let (from, to, points) = (box_of(edge.from), box_of(edge.to), &edge.points);
        let start = [from.x + SIZE[0] / 2.0, from.y + SIZE[1]];
        let end = [to.x + SIZE[0] / 2.0, to.y];
        let off = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).abs() + (a[1] - b[1]).abs();
        if off(points[0], start) > 0.01 || off(points[points.len() - 1], end) > 0.01 {
            faults.push(format!("the edge {} → {} does not join its nodes", edge.from, edge.to));
        }
        for pair in points.windows(2) {
            if pair[1][1] <= pair[0][1] {
                faults.push(format!("the edge {} → {} goes up: {points:?}", edge.from, edge.to));
            }
            if let Some(hit) = drawing.nodes.iter().find(|node| crosses(pair[0], pair[1], node)) {
                faults.push(format!("the edge {} → {} goes through {}", edge.from, edge.to, hit.id));
            }
        }
    }
    faults
}

/// Whether a piece of a line goes through the inside of a box.
fn crosses(a: [f32; 2], b: [f32; 2], node: &Placed) -> bool {
    let beside = a[1].min(b[1]) < node.y + SIZE[1] && a[1].max(b[1]) > node.y;
    beside
        && (1..64).any(|i| {
            let share = i as f32 / 64.0;
            let [x, y] = [0, 1].map(|axis| a[axis] + share * (b[axis] - a[axis]));
            let within = |at: f32, start: f32, length: f32| at > start + 0.1 && at < start + length - 0.1;
            within(x, node.x, SIZE[0]) && within(y, node.y, SIZE[1])
        })
}

/// How many pairs of edges cross between their rows, edges that share an end aside.
fn crossings(drawing: &NetLayout) -> usize {
    let pieces: Vec<[[f32; 2]; 2]> =
        drawing.edges.iter().flat_map(|edge| edge.points.windows(2).map(|pair| [pair[0], pair[1]])).collect();
    let cross = |a: &[[f32; 2]; 2], b: &[[f32; 2]; 2]| {
        let (top, bottom) = (a[0][1].max(b[0][1]), a[1][1].min(b[1][1]));
        let x_at = |[start, end]: &[[f32; 2]; 2], y: f32| {
            start[0] + (end[0] - start[0]) * (y - start[1]) / (end[1] - start[1])
        };
        bottom > top && (x_at(a, top) - x_at(b, top)) * (x_at(a, bottom) - x_at(b, bottom)) < -1.0
    };
    (0..pieces.len()).map(|i| pieces[..i].iter().filter(|other| cross(&pieces[i], other)).count()).sum()
}

#[test]
fn a_chain_is_a_straight_line() {
    let drawing = lay_out(&[&[], &[0], &[1], &[2]]);
    assert_eq!(drawing.size, [100.0, 4.0 * 24.0 + 3.0 * 16.0]);
    assert!(drawing.nodes.iter().enumerate().all(|(row, node)| (node.x, node.y) == (0.0, 40.0 * row as f32)));
    assert!(drawing.edges.iter().all(|edge| edge.points.iter().all(|point| point[0] == 50.0)));
    assert_eq!(lay_out(&[&[]]).size, SIZE);
    assert_eq!(lay_out(&[]), NetLayout::default());
}

#[test]
fn a_residual_goes_around_its_block() {
    // 0 → 1 → 2 → 3, and 0 → 3.
    let inputs: &[&[NodeId]] = &[&[], &[0], &[1], &[2, 0], &[3]];
    let drawing = lay_out(inputs);
    assert_eq!(faults(&nodes(inputs), &drawing), [""; 0]);
    assert!(drawing.nodes.iter().all(|node| node.x == 0.0));
    let around = &drawing.edges[3];
    assert_eq!((around.from, around.to), (0, 3));
    assert_eq!(around.points, [[50.0, 24.0], [120.0, 40.0], [120.0, 104.0], [50.0, 120.0]]);
    assert_eq!(drawing.size, [120.0, 184.0]);
}

#[test]
fn branches_stand_on_both_sides_of_the_longest() {
    // Four branches of 1, 3, 2 and 2 nodes.
    let inputs: &[&[NodeId]] = &[&[], &[0], &[0], &[2], &[3], &[0], &[5], &[0], &[7], &[1, 4, 6, 8]];
    let drawing = lay_out(inputs);
    assert_eq!(faults(&nodes(inputs), &drawing), [""; 0]);
    assert_eq!(crossings(&drawing), 0);
    let x = |id: NodeId| drawing.nodes[id].x;
    assert!([2, 3, 4, 9].iter().all(|&id| x(id) == x(0)));
    assert!(x(5) == x(6) && x(7) == x(8));
    let right = [1, 5, 7].iter().filter(|&&id| x(id) > x(0)).count();
    assert!((1..=2).contains(&right), "{right} of three on the right");
}

#[test]
fn what_must_cross_is_drawn_all_the_same() {
    // Everything reads everything before it.
    let all: Vec<NodeId> = (0..12).collect();
    let dense: Vec<&[NodeId]> = (0..12).map(|id| &all[..id]).collect();
    assert_eq!(faults(&nodes(&dense), &lay_out(&dense)), [""; 0]);
    // Two rows, every one of which reads the whole of the other.
    let wide: &[&[NodeId]] = &[&[], &[0], &[0], &[0], &[1, 2, 3], &[1, 2, 3], &[1, 2, 3], &[4, 5, 6, 0]];
    assert_eq!(faults(&nodes(wide), &lay_out(wide)), [""; 0]);
    // A node twice the input of one, and ends that nothing reads.
    let odd: &[&[NodeId]] = &[&[], &[0, 0], &[0], &[1, 0, 0], &[], &[4, 3]];
    assert_eq!(faults(&nodes(odd), &lay_out(odd)), [""; 0]);
}

#[test]
fn a_hourglass_nests_its_bridges() {
    // A U-Net of depth 3: 0 1 2 down, 3 at the bottom, 4 5 6 up, each reading its opposite.
    let inputs: &[&[NodeId]] = &[&[], &[0], &[1], &[2], &[3, 2], &[4, 1], &[5, 0]];
    let drawing = lay_out(inputs);
    assert_eq!(faults(&nodes(inputs), &drawing), [""; 0]);
    assert_eq!(crossings(&drawing), 0);
}

#[test]
fn real_nets_are_drawn_without_a_crossing() {
    let mut failures = Vec::new();
    let shipped = shipped();
    let blueprints: Vec<_> = Architecture::ALL.iter().map(|architecture| architecture.blueprint(10)).collect();
    for nodes in blueprints.iter().map(|blueprint| blueprint.nodes()).chain([shipped.nodes()]) {
        let drawing = layout_nodes(nodes, SIZE, GAP);
        failures.extend(faults(nodes, &drawing));
        let crossings = crossings(&drawing);
        if crossings > 0 {
            failures.push(format!("{} nodes: {crossings} crossings", nodes.len()));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(layout(&shipped, SIZE, GAP), layout(&shipped, SIZE, GAP));
}

/// Inputs of `count` nodes: two or three of the `reach` before each, by a fixed rule.
fn tangle(count: usize, reach: usize) -> Vec<Vec<NodeId>> {
    let inputs = |id: usize| {
        let back = |salt: usize| id - 1 - (id * 2_654_435_761 + salt * 40_503) / 97 % reach.min(id);
        if id == 0 { Vec::new() } else { vec![back(0), back(1), back(2)] }
    };
    (0..count).map(inputs).collect()
}

#[test]
fn a_thousand_tangled_nodes_take_a_moment() {
    for reach in [1, 5, 60, 1000] {
        let inputs = tangle(1000, reach);
        let borrowed: Vec<&[NodeId]> = inputs.iter().map(Vec::as_slice).collect();
        let nodes = nodes(&borrowed);
        let start = std::time::Instant::now();
        let drawing = layout_nodes(&nodes, SIZE, GAP);
        let time = start.elapsed();
        assert!(time.as_secs_f64() < 5.0, "reach {reach}: {time:?}");
        assert_eq!(drawing, layout_nodes(&nodes, SIZE, GAP));
    }
}

#[test]
fn more_columns_than_can_be_counted_are_still_apart() {
    let inputs = tangle(3000, 3000);
    let borrowed: Vec<&[NodeId]> = inputs.iter().map(Vec::as_slice).collect();
    let nodes = nodes(&borrowed);
    let drawing = layout_nodes(&nodes, SIZE, GAP);
    let mut by_row: Vec<&Placed> = drawing.nodes.iter().collect();
    by_row.sort_by(|a, b| a.y.total_cmp(&b.y).then(a.x.total_cmp(&b.x)));
    assert!(by_row.windows(2).all(|pair| pair[0].y < pair[1].y || pair[1].x - pair[0].x >= SIZE[0] + GAP[0] - 0.5));
}

/// Writes drawings of real nets to look at: `ONEIRIC_DRAWINGS=/tmp cargo test --lib drawings -- --ignored`.
#[test]
#[ignore = "writes files to look at"]
fn drawings() {
    let folder = std::env::var("ONEIRIC_DRAWINGS").expect("ONEIRIC_DRAWINGS names a folder");
    let shipped = shipped();
    let mut nets = vec![("shipped".to_string(), shipped.nodes().to_vec())];
    nets.extend(Architecture::ALL.iter().map(|net| (net.to_string(), net.blueprint(10).nodes().to_vec())));
    let inputs = tangle(60, 6);
    let borrowed: Vec<&[NodeId]> = inputs.iter().map(Vec::as_slice).collect();
    nets.push(("tangle".into(), nodes(&borrowed)));
    let all: Vec<NodeId> = (0..10).collect();
    nets.push(("dense".into(), nodes(&(0..10).map(|id| &all[..id]).collect::<Vec<_>>())));
    for (name, nodes) in nets {
        let drawing = layout_nodes(&nodes, SIZE, GAP);
        let [width, height] = drawing.size;
        let mut svg = format!("<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}'>");
        svg += "<rect width='100%' height='100%' fill='white'/>";
        for edge in &drawing.edges {
            let points: Vec<String> = edge.points.iter().map(|[x, y]| format!("{x},{y}")).collect();
            svg += &format!("<polyline points='{}' fill='none' stroke='black'/>", points.join(" "));
        }
        for Placed { id, x, y } in drawing.nodes {
            let label = &nodes[id].name;
            svg += &format!("<rect x='{x}' y='{y}' width='100' height='24' fill='lightblue' stroke='gray'/>");
            svg += &format!("<text x='{}' y='{}' font-size='10'>{label}</text>", x + 4.0, y + 15.0);
        }
        std::fs::write(format!("{folder}/{name}.svg"), svg + "</svg>").expect("the drawing can be written");
    }
}

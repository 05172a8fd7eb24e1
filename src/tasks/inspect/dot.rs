//! A net in Graphviz' language (<https://graphviz.org/doc/info/lang.html>).

use std::fmt::Write as _;

use super::describe::{Family, dimensions, shortened, words};
use super::{Inspection, Layer};
use crate::nn::graph::Graph;

/// Longer names lose their middle.
const MOST_NAME: usize = 60;

/// The net as a directed graph: one node a layer, with name, operation and output; one edge for each use of a value.
/// `inspection` is that of the graph.
pub fn dot(graph: &Graph, inspection: &Inspection) -> String {
    let mut text = format!("digraph {} {{\n", quoted(graph.name()));
    text += "  graph [rankdir=TB, ranksep=0.3, nodesep=0.25, fontname=\"Helvetica\"];\n";
    text += "  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=11];\n";
    text += "  edge [color=\"#868e96\", arrowsize=0.7];\n";
    for (id, node) in graph.nodes().iter().enumerate() {
        let layer = id.checked_sub(1).and_then(|i| inspection.layers.get(i));
        let output = layer.map_or(&inspection.totals.input, |layer| &layer.output);
        let mut lines =
            vec![shortened(&node.name, MOST_NAME), format!("{} · {}", words(graph, id), dimensions(output))];
        lines.extend(layer.and_then(Layer::cost));
        let colours = Family::of(&node.op).colours();
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "  n{id} [label={}, tooltip={}, fillcolor=\"{}\", color=\"{}\"];",
            quoted(&lines.join("\n")),
            quoted(&node.name),
            colours.fill,
            colours.line
        );
    }
    for (id, node) in graph.nodes().iter().enumerate() {
        for input in &node.inputs {
            let _ = writeln!(text, "  n{input} -> n{id};");
        }
    }
    text + "}\n"
}

/// A string in double quotes. Graphviz resolves backslashes and HTML entities in labels; lines are kept, other control
/// characters become spaces.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '&' => quoted += "&amp;",
            '\n' => quoted += "\\n",
            control if control.is_control() => quoted.push(' '),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::inspect::inspect;
    use crate::tasks::look::testing::{shipped, sketch};

    #[test]
    fn every_layer_is_a_node_and_every_use_an_edge() {
        let graph = shipped();
        let text = dot(&graph, &inspect(&graph, None).unwrap());
        let nodes = text.lines().filter(|line| line.contains("[label=")).count();
        let edges: usize = graph.nodes().iter().map(|node| node.inputs.len()).sum();
        assert_eq!((nodes, text.matches(" -> ").count()), (graph.nodes().len(), edges));
        assert!(text.starts_with("digraph \"efficientnet-lite0\" {\n") && text.ends_with("}\n"), "{text}");
        assert!(text.contains("Conv2d 3×3 /2 · 32×112×112\\n864 weights, 10.8 M MACs"), "{text}");
    }

    #[test]
    fn a_small_net_is_written_as_expected() {
        let graph = sketch();
        let text = dot(&graph, &inspect(&graph, None).unwrap());
        let first =
            "  n0 [label=\"data\\nInput · 3×4×6\", tooltip=\"data\", fillcolor=\"#f1f3f5\", color=\"#868e96\"];";
        assert!(text.contains(first), "{text}");
        assert!(text.ends_with("  n0 -> n1;\n  n1 -> n2;\n  n1 -> n3;\n  n2 -> n4;\n}\n"), "{text}");
    }

    #[test]
    fn names_cannot_break_out() {
        assert_eq!(quoted("a\"];\\N &lt;\r\n\u{1b}"), "\"a\\\"];\\\\N &amp;lt; \\n \"");
    }
}

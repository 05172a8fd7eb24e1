//! A net as a drawing in SVG, for browsers and papers.

use std::fmt::Write as _;

use super::describe::{Family, dimensions, shortened, words};
use super::fold::{Folded, fold};
use super::{Inspection, Layer};
use crate::base::text::with_unit;
use crate::nn::graph::Graph;
use crate::tasks::look::layout;

const BOX_HEIGHT: f32 = 40.0;
/// Boxes are as wide as their words, within these bounds.
const BOX_WIDTHS: [f32; 2] = [110.0, 230.0];
const BOX_INSET: f32 = 12.0;
/// `[horizontal, vertical]`.
const GAP: [f32; 2] = [26.0, 24.0];
const MARGIN: f32 = 24.0;
/// What title and legend take above the drawing.
const HEAD: f32 = 76.0;
const NAME_SIZE: f32 = 12.0;
const DETAIL_SIZE: f32 = 10.0;
const TITLE_SIZE: f32 = 18.0;
/// Longer titles lose their middle.
const MOST_TITLE: usize = 60;
const INK: &str = "#212529";
const FAINT_INK: &str = "#495057";
const EDGE: &str = "#868e96";
const ARROW: [f32; 2] = [4.0, 7.0];
const FONT: &str = "Helvetica, Arial, 'DejaVu Sans', sans-serif";

/// The net as a layered drawing: boxes coloured by what layers do, arrows along the flow of values. Long nets are folded
/// into columns. Numbers are points. `inspection` is that of the graph.
pub fn svg(graph: &Graph, inspection: &Inspection) -> String {
    let labels: Vec<Label> = (0..graph.nodes().len()).map(|id| Label::new(graph, inspection, id)).collect();
    let widest = labels.iter().map(Label::width).fold(0.0, f32::max) + 2.0 * BOX_INSET;
    let size = [widest.clamp(BOX_WIDTHS[0], BOX_WIDTHS[1]).ceil(), BOX_HEIGHT];
    let folded = fold(layout(graph, size, GAP), size, GAP[1]);
    let legend = legend(graph);
    let title = shortened(graph.name(), MOST_TITLE);
    let facts = facts(inspection);
    let head_width = [legend.1, text_width(&title, TITLE_SIZE, true), text_width(&facts, DETAIL_SIZE + 1.0, false)];
    let [width, height] = folded.layout.size;
    let width = head_width.into_iter().fold(width, f32::max) + 2.0 * MARGIN;
    let height = height + HEAD + 2.0 * MARGIN;
    let (width, height) = (number(width), number(height));
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"{FONT}\">\n<title>{title}</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n<g fill=\"{INK}\">\n\
         <text x=\"{MARGIN}\" y=\"38\" font-size=\"{TITLE_SIZE}\" font-weight=\"bold\">{title}</text>\n\
         <text x=\"{MARGIN}\" y=\"58\" font-size=\"11\">{facts}</text>\n{legend}</g>\n",
        title = escaped(&title),
        facts = escaped(&facts),
        legend = legend.0,
    );
    let _ = writeln!(text, "<g transform=\"translate({MARGIN} {})\">", HEAD + MARGIN);
    edges(&folded, &mut text);
    boxes(&folded, &labels, size, &mut text);
    text + "</g>\n</svg>\n"
}

/// `for a picture of 3×224×224: 144 layers, …`.
fn facts(inspection: &Inspection) -> String {
    let totals = &inspection.totals;
    format!(
        "for a picture of {}: {} layers, {} weights, {} multiply-accumulates",
        dimensions(&totals.input),
        totals.layers,
        with_unit(totals.params),
        with_unit(totals.macs)
    )
}

/// What stands in a box, and what is told of it besides.
struct Label {
    name: String,
    detail: String,
    tip: String,
    family: Family,
}

impl Label {
    fn new(graph: &Graph, inspection: &Inspection, id: usize) -> Self {
        let node = graph.node(id);
        let layer = id.checked_sub(1).and_then(|i| inspection.layers.get(i));
        let output = dimensions(layer.map_or(&inspection.totals.input, |layer| &layer.output));
        let most = BOX_WIDTHS[1] - 2.0 * BOX_INSET;
        let name = fitted(&node.name, NAME_SIZE, true, most);
        let whole_detail = format!("{} · {output}", words(graph, id));
        let detail = fitted(&whole_detail, DETAIL_SIZE, false, most);
        // What is not to be read in the box.
        let cut = [(&name, &node.name), (&detail, &whole_detail)].into_iter().filter(|(shown, whole)| shown != whole);
        let tip: Vec<String> = cut.map(|(_, whole)| whole.clone()).chain(layer.map(told)).collect();
        Self { name, detail, tip: tip.join("\n"), family: Family::of(&node.op) }
    }

    fn width(&self) -> f32 {
        text_width(&self.name, NAME_SIZE, true).max(text_width(&self.detail, DETAIL_SIZE, false))
    }
}

/// What a layer costs and sees.
fn told(layer: &Layer) -> String {
    let sees = match layer.receptive_field {
        Some([vertical, horizontal]) => format!("sees {vertical}×{horizontal} pixels"),
        None => "sees all of the picture".to_string(),
    };
    layer.cost().map_or_else(|| sees.clone(), |cost| format!("{cost}, {sees}"))
}

/// The families that the net has, as a row of small boxes, and how wide it is.
fn legend(graph: &Graph) -> (String, f32) {
    let (mut text, mut x) = (String::new(), 0.0);
    for family in Family::ALL {
        if !graph.nodes().iter().any(|node| Family::of(&node.op) == family) {
            continue;
        }
        let (colours, at) = (family.colours(), x + MARGIN);
        let _ = writeln!(
            text,
            "<rect x=\"{}\" y=\"72\" width=\"12\" height=\"12\" rx=\"3\" fill=\"{}\" stroke=\"{}\"/>\
             <text x=\"{}\" y=\"82\" font-size=\"11\">{}</text>",
            number(at),
            colours.fill,
            colours.line,
            number(at + 17.0),
            family.name()
        );
        x += 17.0 + text_width(family.name(), 11.0, false) + 18.0;
    }
    (text, x)
}

fn edges(folded: &Folded, text: &mut String) {
    let _ = writeln!(text, "<g fill=\"none\" stroke=\"{EDGE}\" stroke-width=\"1.3\" stroke-linejoin=\"round\">");
    for edge in &folded.layout.edges {
        let _ = writeln!(text, "<path d=\"{}\"/>", curve(&edge.points));
    }
    for bridge in &folded.bridges {
        let points: Vec<String> = bridge.iter().map(|[x, y]| format!("{},{}", number(*x), number(*y))).collect();
        let _ = writeln!(text, "<polyline points=\"{}\"/>", points.join(" "));
    }
    let [half, length] = ARROW;
    let head = |[x, y]: [f32; 2]| {
        format!("M{} {}l{} {}h{}z", number(x), number(y), number(-half), number(-length), number(2.0 * half))
    };
    let heads: String = folded.layout.edges.iter().filter_map(|edge| edge.points.last().copied()).map(head).collect();
    let _ = writeln!(text, "</g>\n<path fill=\"{EDGE}\" d=\"{heads}\"/>");
}

/// A line through the points that arrives upright, at the root of its arrowhead.
fn curve(points: &[[f32; 2]]) -> String {
    let mut text = String::new();
    let last = points.len().saturating_sub(1);
    let end = |i: usize, [x, y]: [f32; 2]| if i == last { [x, y - ARROW[1] + 1.0] } else { [x, y] };
    for (i, &point) in points.iter().enumerate() {
        let [x, y] = end(i, point).map(number);
        match i.checked_sub(1).map(|before| points[before]) {
            None => text += &format!("M{x} {y}"),
            Some([before_x, _]) if before_x == point[0] => text += &format!("V{y}"),
            Some([before_x, before_y]) => {
                let middle = number((before_y + end(i, point)[1]) / 2.0);
                text += &format!("C{} {middle} {x} {middle} {x} {y}", number(before_x));
            }
        }
    }
    text
}

fn boxes(folded: &Folded, labels: &[Label], [width, height]: [f32; 2], text: &mut String) {
    let _ = writeln!(text, "<g text-anchor=\"middle\" fill=\"{INK}\">");
    for (placed, label) in folded.layout.nodes.iter().zip(labels) {
        let colours = label.family.colours();
        let middle = number(placed.x + width / 2.0);
        let _ = writeln!(
            text,
            "<g><title>{}</title><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"6\" fill=\"{}\" stroke=\"{}\"/>\
             <text x=\"{middle}\" y=\"{}\" font-size=\"{NAME_SIZE}\" font-weight=\"bold\">{}</text>\
             <text x=\"{middle}\" y=\"{}\" font-size=\"{DETAIL_SIZE}\" fill=\"{FAINT_INK}\">{}</text></g>",
            escaped(&label.tip),
            number(placed.x),
            number(placed.y),
            number(width),
            number(height),
            colours.fill,
            colours.line,
            number(placed.y + 17.0),
            escaped(&label.name),
            number(placed.y + 31.0),
            escaped(&label.detail),
        );
    }
    text.push_str("</g>\n");
}

/// At most one decimal.
fn number(value: f32) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_string() } else { text.to_string() }
}

/// As much of a text as fits into `most` points.
fn fitted(text: &str, size: f32, bold: bool, most: f32) -> String {
    // Nothing narrower than this is drawn, so that no longer text fits.
    let longest = (most / (0.3 * size)) as usize;
    let mut fitting = shortened(text, longest);
    while text_width(&fitting, size, bold) > most {
        fitting = shortened(text, fitting.chars().count() - 1);
    }
    fitting
}

/// About how wide a text is in the wider ones of the usual fonts, in points: viewers have fonts of their own.
fn text_width(text: &str, size: f32, bold: bool) -> f32 {
    let ems = |character: char| match character {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 0.34,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '/' | ' ' | '-' => 0.42,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '…' => 1.0,
        'A'..='Z' => 0.74,
        ' '..='~' => 0.63,
        // Beginning with Hangul, most scripts are as wide as they are high.
        '\u{1100}'.. => 1.0,
        _ => 0.75,
    };
    text.chars().map(ems).sum::<f32>() * size * if bold { 1.1 } else { 1.0 }
}

/// Text as XML 1.0 takes it, between tags and in attributes; characters that XML has no place for become `�`.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            '\n' | '\t' => escaped.push(character),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::graph::{ChannelOrder, GraphBuilder};
    use crate::nn::ops::Op;
    use crate::nn::ops::activation::Activation;
    use crate::tasks::inspect::inspect;
    use crate::tasks::look::testing::{preprocess, shipped, sketch};

    fn drawn(graph: &Graph) -> String {
        svg(graph, &inspect(graph, None).expect("the net takes its own size"))
    }

    /// Every tag that is opened is closed, in order, and no bare sign of XML is left in texts.
    fn assert_well_formed(text: &str) {
        let mut open: Vec<&str> = Vec::new();
        for piece in text.split('<').skip(1) {
            let (tag, behind) = piece.split_once('>').expect("a tag ends");
            assert!(!behind.contains('>') && tag.matches('"').count().is_multiple_of(2), "{piece}");
            let ands = behind.split('&').skip(1).chain(tag.split('&').skip(1));
            for and in ands {
                assert!(["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|name| and.starts_with(name)), "{piece}");
            }
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "{piece}"),
                None if tag.ends_with('/') => {}
                None => open.extend(tag.split(' ').next()),
            }
        }
        assert_eq!(open, [""; 0]);
    }

    #[test]
    fn every_layer_has_a_box_and_every_edge_an_arrow() {
        for graph in [&*shipped(), &sketch()] {
            let text = drawn(graph);
            assert_well_formed(&text);
            let edges: usize = graph.nodes().iter().map(|node| node.inputs.len()).sum();
            assert_eq!(text.matches("rx=\"6\"").count(), graph.nodes().len());
            assert_eq!((text.matches("<path d=").count(), text.matches("h8z").count()), (edges, edges));
        }
        let text = drawn(&shipped());
        assert!(text.contains(">stem/conv</text>") && text.contains(">Conv2d 3×3 /2 · 32×112×112</text>"));
        assert!(text.len() < 60_000, "{}", text.len());
    }

    #[test]
    fn hostile_names_are_only_text() {
        let mut net = GraphBuilder::new("<script>alert('1')</script>", 3, [4, 4]);
        let name = format!("\"&]]>\u{1}\u{ffff}{}", "夢".repeat(500));
        net.add(&name, Op::Activation(Activation::Relu), &[0], &[]);
        let graph = net.finish("</svg>&", preprocess(ChannelOrder::Rgb), Vec::new()).expect("the net is sound");
        let text = drawn(&graph);
        assert_well_formed(&text);
        assert!(!text.contains("<script") && text.contains("<title>&lt;/svg&gt;&amp;</title>"), "{text}");
        assert!(!text.contains('\u{1}') && text.contains("夢…夢"), "{text}");
    }

    #[test]
    fn words_stay_in_their_boxes() {
        let text = "a_very_long_name/that_no_box/can_hold/because_it_goes_on_and_on";
        let fitting = fitted(text, NAME_SIZE, true, 200.0);
        assert!(text_width(&fitting, NAME_SIZE, true) <= 200.0 && fitting.contains('…'), "{fitting}");
        assert_eq!(fitted("conv1", NAME_SIZE, true, 200.0), "conv1");
        assert_eq!((number(-0.04), number(12.0), number(1.25)), ("0".into(), "12".into(), "1.2".into()));
    }
}

//! The net as a drawing that can be moved and zoomed.

use egui::{Align2, Color32, FontId, Pos2, Rect, Sense, Stroke, StrokeKind, Ui, Vec2, pos2, vec2};

use super::Pen;
use super::presets::elided;
use crate::base::text::with_unit;
use crate::gui::command::Command;
use crate::gui::host::{NODE_SIZE, OpenNet};
use crate::gui::theme;
use crate::gui::widgets::painted;

const ZOOMS: [f32; 2] = [0.05, 3.0];
/// Below this zoom the words of a node cannot be read and are left out.
const WORDS_FROM: f32 = 0.45;

/// From the drawing's points to the screen's.
#[derive(Clone, Copy)]
struct Lens {
    space: Rect,
    zoom: f32,
    center: Vec2,
}

impl Lens {
    fn on_screen(&self, [x, y]: [f32; 2]) -> Pos2 {
        self.space.center() + (vec2(x, y) - self.center) * self.zoom
    }

    fn in_drawing(&self, pos: Pos2) -> Vec2 {
        self.center + (pos - self.space.center()) / self.zoom
    }
}

pub fn net_graph_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    let space = ui.available_rect_before_wrap();
    let Some(net) = pen.state.net.clone() else {
        let color = ui.visuals().weak_text_color();
        ui.painter().text(space.center(), Align2::CENTER_CENTER, "Drop a net here", FontId::proportional(22.0), color);
        return;
    };
    let response = painted(ui, space, ui.scope_id().with("drawing"), Sense::click_and_drag(), "Drawing of the net");
    let view = &pen.state.net_view;
    let lens = if view.is_fresh {
        beginning(&net, space)
    } else {
        Lens { space, zoom: view.zoom, center: view.center.into() }
    };
    edges_ui(ui, &net, &lens);
    nodes_ui(ui, &net, &lens, view.selected);
    let mut moved = lens;
    if response.dragged() {
        moved.center -= response.drag_delta() / lens.zoom;
    }
    if let Some(pos) = response.hover_pos() {
        let (scroll, pinch) = ui.input(|input| (input.smooth_scroll_delta(), input.zoom_delta()));
        let factor = pinch * (scroll.y * 0.004).exp();
        moved.zoom = (lens.zoom * factor).clamp(ZOOMS[0], ZOOMS[1]);
        // What lies under the pointer stays there.
        moved.center += (pos - space.center()) * (1.0 / lens.zoom - 1.0 / moved.zoom);
    }
    if response.double_clicked() {
        moved = whole(&net, space);
    }
    if view.is_fresh || moved.zoom != lens.zoom || moved.center != lens.center {
        pen.push(Command::SetNetView { zoom: moved.zoom, center: moved.center.into() });
    }
    let hovered = response.hover_pos().and_then(|pos| node_at(&net, lens.in_drawing(pos)));
    if let Some(node) = hovered {
        let text = node_text(&net, node);
        response.clone().on_hover_text_at_pointer(text);
    }
    if response.clicked() {
        pen.push(Command::SelectNode(hovered));
    }
    let hint = "wheel zooms, drag moves, double-click shows all";
    let at = space.left_bottom() + vec2(10.0, -8.0);
    ui.painter().text(at, Align2::LEFT_BOTTOM, hint, FontId::proportional(11.5), ui.visuals().weak_text_color());
}

/// The first layers, large enough to be read.
fn beginning(net: &OpenNet, space: Rect) -> Lens {
    let [width, height] = net.layout.size;
    let zoom = (space.width() / (width + 60.0)).clamp(0.6, 1.0);
    let top = (space.height() / 2.0 / zoom - 24.0).min(height / 2.0 + 24.0);
    Lens { space, zoom, center: vec2(width / 2.0, top) }
}

fn whole(net: &OpenNet, space: Rect) -> Lens {
    let [width, height] = net.layout.size;
    let zoom = (space.width() / (width + 60.0)).min(space.height() / (height + 60.0));
    Lens { space, zoom: zoom.clamp(ZOOMS[0], 1.0), center: vec2(width, height) / 2.0 }
}

fn node_rect(placed: [f32; 2]) -> Rect {
    Rect::from_min_size(pos2(placed[0], placed[1]), NODE_SIZE.into())
}

fn node_at(net: &OpenNet, at: Vec2) -> Option<usize> {
    let found = net.layout.nodes.iter().find(|placed| node_rect([placed.x, placed.y]).contains(at.to_pos2()));
    found.map(|placed| placed.id)
}

fn node_text(net: &OpenNet, node: usize) -> String {
    let name = &net.graph.node(node).name;
    match node.checked_sub(1).and_then(|i| net.inspection.layers.get(i)) {
        Some(layer) => format!("{name}\n{}, {} weights, {} MACs", layer.kind, layer.params, layer.macs),
        None => name.clone(),
    }
}

fn edges_ui(ui: &Ui, net: &OpenNet, lens: &Lens) {
    let stroke = Stroke::new((1.4 * lens.zoom).clamp(0.6, 1.6), ui.visuals().weak_text_color());
    let painter = ui.painter_at(lens.space);
    for edge in &net.layout.edges {
        let points: Vec<Pos2> = edge.points.iter().map(|&point| lens.on_screen(point)).collect();
        let bounds = Rect::from_points(&points);
        if bounds.expand(2.0).intersects(lens.space) {
            painter.line(points, stroke);
        }
    }
}

/// A colour for each kind of operation, so that the shape of a net can be seen from afar.
fn colour(kind: &str, is_dark: bool) -> Color32 {
    let [r, g, b] = match kind {
        "Conv2d" | "ConvTranspose2d" | "Linear" => [112, 92, 214],
        "MaxPool" | "AveragePool" | "GlobalPool" => [52, 140, 128],
        "Concat" | "Elementwise" | "Add" | "Scale" => [186, 120, 48],
        "BatchNorm" | "Lrn" | "InstanceNorm" => [84, 110, 150],
        "Softmax" => [190, 76, 110],
        _ => [96, 96, 108],
    };
    if is_dark { Color32::from_rgb(r, g, b).gamma_multiply(0.85) } else { Color32::from_rgb(r, g, b) }
}

fn nodes_ui(ui: &Ui, net: &OpenNet, lens: &Lens, selected: Option<usize>) {
    let painter = ui.painter_at(lens.space);
    let is_dark = ui.visuals().dark_mode;
    for placed in &net.layout.nodes {
        let rect = node_rect([placed.x, placed.y]);
        let rect = Rect::from_min_max(lens.on_screen(rect.min.into()), lens.on_screen(rect.max.into()));
        if !rect.intersects(lens.space) {
            continue;
        }
        let node = net.graph.node(placed.id);
        let radius = (5.0 * lens.zoom).clamp(1.0, 6.0);
        painter.rect_filled(rect, radius, colour(node.op.kind(), is_dark));
        if selected == Some(placed.id) {
            let stroke = Stroke::new(3.0, if is_dark { Color32::WHITE } else { theme::accent(ui.visuals()) });
            painter.rect_stroke(rect.expand(2.0), radius + 2.0, stroke, StrokeKind::Middle);
        }
        if lens.zoom < WORDS_FROM {
            continue;
        }
        let layer = placed.id.checked_sub(1).and_then(|i| net.inspection.layers.get(i));
        let shape = layer.map_or(&net.inspection.totals.input, |layer| &layer.output);
        let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
        let font = |size: f32| FontId::proportional(size * lens.zoom);
        let middle = rect.center();
        let cost = layer
            .filter(|layer| layer.params > 0 || layer.macs > 0)
            .map(|layer| format!("{} weights  {} MACs", with_unit(layer.params), with_unit(layer.macs)));
        let line = vec2(0.0, 16.0 * lens.zoom);
        let first = if cost.is_some() { middle - line } else { middle - line / 2.0 };
        let faint = Color32::from_white_alpha(210);
        painter.text(first, Align2::CENTER_CENTER, elided(&node.name, 24), font(13.0), Color32::WHITE);
        let detail = format!("{}  {shape}", node.op.kind());
        painter.text(first + line, Align2::CENTER_CENTER, elided(&detail, 30), font(11.0), faint);
        if let Some(cost) = cost {
            painter.text(first + line * 2.0, Align2::CENTER_CENTER, cost, font(10.5), faint);
        }
    }
}

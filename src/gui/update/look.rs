//! What the net sees, and the net itself.

use crate::gui::host::{JobHost, LookOrder, Looked, Request, Seen};
use crate::gui::state::{AppState, Form, Mode, Side};
use crate::tasks::look::find_classes;

/// Looks at a place of the picture on the canvas, or at all of it.
pub fn look_at(state: &mut AppState, at: Option<[f32; 2]>, host: &mut dyn JobHost) {
    state.side = Side::Sees;
    if let Some(picture) = state.seen() {
        look(state, picture, at, host);
    }
}

/// Looks through another layer, at the same place.
pub fn set_layer(state: &mut AppState, layer: Option<String>, host: &mut dyn JobHost) {
    state.sees.layer = layer;
    if let Some((picture, at)) = state.sees.last.clone() {
        look(state, picture, at, host);
    }
}

fn look(state: &mut AppState, picture: Seen, at: Option<[f32; 2]>, host: &mut dyn JobHost) {
    let (Some(net), Some(layer)) = (&state.net, look_layer(state)) else { return };
    let with_maps = state.mode == Mode::Net;
    let graph = net.graph.clone();
    let number = state.fresh_id();
    let order = LookOrder { number, graph, layer, picture: picture.clone(), at, with_maps };
    state.sees.asked = Some(number);
    state.sees.last = Some((picture, at));
    host.submit(Request::Look(Box::new(order)));
}

/// The layer that is looked through: the chosen one, else the last of those that are dreamt with.
pub fn look_layer(state: &AppState) -> Option<String> {
    let net = state.net.as_ref()?;
    let has_maps = |name: &String| net.layers.iter().any(|layer| layer.name == *name && layer.has_maps);
    let dreamt = || state.spec.layers.last().map(|layer| layer.name.clone()).filter(has_maps);
    let taken = || state.take()?.spec.layers.last().map(|layer| layer.name.clone()).filter(has_maps);
    let last = || net.layers.iter().rev().find(|layer| layer.has_maps).map(|layer| layer.name.clone());
    state.sees.layer.clone().or_else(dreamt).or_else(taken).or_else(last)
}

/// What was looked at is on the canvas no more; another net has other layers, too.
pub fn forget(state: &mut AppState, is_other_net: bool) {
    (state.sees.looked, state.sees.last, state.sees.asked) = (None, None, None);
    if is_other_net {
        state.sees.layer = None;
    }
}

/// Texts as they are typed, and the classes that are called so.
pub fn set_form(state: &mut AppState, form: Form) {
    const CLASSES_SHOWN: usize = 8;
    if form.class_query != state.form.class_query {
        let is_empty = form.class_query.trim().is_empty();
        let net = state.net.as_ref().filter(|_| !is_empty);
        state.found_classes =
            net.map(|net| find_classes(&net.graph, &form.class_query, CLASSES_SHOWN)).unwrap_or_default();
    }
    state.form = form;
}

/// Answers to older questions are about something that is not shown any more.
pub fn looked(state: &mut AppState, looked: Looked) {
    if state.sees.asked == Some(looked.number) {
        state.sees.asked = None;
        state.sees.looked = Some(looked);
    }
}

pub fn select_node(state: &mut AppState, node: Option<usize>, host: &mut dyn JobHost) {
    state.net_view.selected = node;
    let Some(net) = &state.net else { return };
    let name = node.and_then(|node| net.graph.nodes().get(node)).map(|node| node.name.clone());
    let layer = name.filter(|name| net.layers.iter().any(|layer| layer.name == *name && layer.has_maps));
    let Some(layer) = layer else { return };
    state.sees.layer = Some(layer);
    if let Some(picture) = state.seen() {
        look(state, picture, None, host);
    }
}

pub fn set_net_view(state: &mut AppState, zoom: f32, center: [f32; 2]) {
    state.net_view.zoom = zoom;
    state.net_view.center = center;
    state.net_view.is_fresh = false;
}

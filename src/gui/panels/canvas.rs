//! The picture: zoomed, moved, compared with the photo, asked about.

use egui::{
    Align2, Button, Color32, CursorIcon, FontId, Rect, Response, RichText, Sense, Stroke, StrokeKind, Ui, Vec2, pos2,
    vec2,
};

use super::Pen;
use crate::gui::command::Command;
use crate::gui::host::Image;
use crate::gui::state::{AppState, CanvasView};
use crate::gui::text;
use crate::gui::textures::{Grain, Slot};
use crate::gui::theme;
use crate::gui::widgets::{painted, sign_button};

/// How far a picture can be zoomed out and in, in points a pixel.
const ZOOMS: [f32; 2] = [0.02, 64.0];
/// From this zoom on pixels are drawn as squares.
const PIXELS_FROM: f32 = 3.0;
/// Room around a picture that fits the canvas.
const MARGIN: f32 = 14.0;
/// How near the line between before and after can be taken.
const GRIP: f32 = 10.0;

pub fn canvas_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    toolbar_ui(ui, pen);
    let space = ui.available_rect_before_wrap();
    let response = painted(ui, space, ui.scope_id().with("canvas"), Sense::click_and_drag(), "The picture");
    let state = pen.state;
    let (Some(after), Some(size_px)) = (state.after().cloned(), state.canvas_size_px()) else {
        return empty_ui(ui, pen, space);
    };
    let view = &state.canvas;
    let place = Place::new(view, space, size_px);
    let before = state.before().cloned();
    paint(ui, pen, &place, before.as_ref(), &after);
    let mut new_view = view.clone();
    let on_line = split_line_ui(ui, &place, &mut new_view, before.is_some());
    navigate(ui, &response, &place, &mut new_view, on_line);
    mark(ui, &response, &place, &mut new_view);
    let is_peeking = ui.input(|input| input.key_down(crate::gui::shortcuts::PEEK)) && !ui.ctx().text_edit_focused();
    new_view.peek = is_peeking;
    if response.clicked()
        && !response.double_clicked()
        && let Some(at) = response.interact_pointer_pos().and_then(|pos| place.in_picture(pos))
    {
        pen.push(Command::LookAt(Some(at)));
    }
    readout_ui(ui, &response, &place, before.as_ref(), &after);
    looked_at_ui(ui, pen.state, &place);
    marked_ui(ui, pen, &place, &new_view);
    hint_ui(ui, pen, space);
    if new_view != *view {
        pen.push(Command::SetView(new_view));
    }
    drop_hint_ui(ui, space);
}

/// Where the picture lies in the window.
struct Place {
    space: Rect,
    picture: Rect,
    /// Points a pixel of the picture at its full size.
    scale: f32,
}

/// The zoom that fits a picture of `[height, width]` into `space`.
fn fitting(space: Rect, [height, width]: [usize; 2]) -> f32 {
    let room = (space.size() - Vec2::splat(2.0 * MARGIN)).max(Vec2::splat(16.0));
    (room.x / width.max(1) as f32).min(room.y / height.max(1) as f32)
}

impl Place {
    fn new(view: &CanvasView, space: Rect, size_px: [usize; 2]) -> Self {
        let scale = view.zoom.unwrap_or_else(|| fitting(space, size_px));
        let size = vec2(size_px[1] as f32, size_px[0] as f32) * scale;
        let center = if view.zoom.is_some() { view.center } else { [0.5; 2] };
        let min = space.center() - vec2(center[0] * size.x, center[1] * size.y);
        Self { space, picture: Rect::from_min_size(min, size), scale }
    }

    /// Across and down from 0 to 1; none outside.
    fn in_picture(&self, pos: egui::Pos2) -> Option<[f32; 2]> {
        let at = (pos - self.picture.min) / self.picture.size().max(Vec2::splat(1e-3));
        (self.picture.contains(pos)).then_some([at.x.clamp(0.0, 1.0), at.y.clamp(0.0, 1.0)])
    }

    fn on_screen(&self, [x, y]: [f32; 2]) -> egui::Pos2 {
        self.picture.min + vec2(x * self.picture.width(), y * self.picture.height())
    }

    /// The view with the point under `pos` kept where it is, at another zoom.
    fn zoomed(&self, zoom: f32, pos: egui::Pos2) -> ([f32; 2], f32) {
        let zoom = zoom.clamp(ZOOMS[0], ZOOMS[1]);
        let size = self.picture.size() * (zoom / self.scale);
        let at = (pos - self.picture.min) / self.picture.size().max(Vec2::splat(1e-3));
        let center = at + (self.space.center() - pos) / size.max(Vec2::splat(1e-3));
        ([center.x, center.y], zoom)
    }
}

fn paint(ui: &mut Ui, pen: &mut Pen<'_>, place: &Place, before: Option<&Image>, after: &Image) {
    let grain = if place.scale >= PIXELS_FROM { Grain::Pixels } else { Grain::Smooth };
    let painter = ui.painter_at(place.space);
    let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    let split = if pen.state.canvas.peek { Some(1.0) } else { pen.state.canvas.split };
    let shadow = egui::Shadow { offset: [0, 2], blur: 18, spread: 0, color: Color32::from_black_alpha(90) };
    painter.add(shadow.as_shape(place.picture, 0));
    let texture = pen.textures.slot(ui.ctx(), Slot::After, after, grain);
    painter.image(texture, place.picture, whole, Color32::WHITE);
    if let (Some(split), Some(before)) = (split, before) {
        let texture = pen.textures.slot(ui.ctx(), Slot::Before, before, grain);
        let mut part = place.picture;
        part.max.x = part.min.x + part.width() * split;
        let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(split, 1.0));
        painter.image(texture, part, uv, Color32::WHITE);
    }
}

/// The line between before and after; true while it is under the pointer.
fn split_line_ui(ui: &mut Ui, place: &Place, view: &mut CanvasView, has_before: bool) -> bool {
    let Some(split) = view.split.filter(|_| has_before) else { return false };
    let x = place.picture.min.x + place.picture.width() * split;
    let top = place.picture.min.y.max(place.space.min.y);
    let bottom = place.picture.max.y.min(place.space.max.y);
    let grip = Rect::from_min_max(pos2(x - GRIP, top), pos2(x + GRIP, bottom));
    let response = painted(ui, grip, ui.scope_id().with("split"), Sense::drag(), "Before and after");
    let response = response.on_hover_and_drag_cursor(CursorIcon::ResizeHorizontal);
    if let Some(pos) = response.interact_pointer_pos().filter(|_| response.dragged()) {
        view.split = Some(((pos.x - place.picture.min.x) / place.picture.width().max(1.0)).clamp(0.0, 1.0));
    }
    let painter = ui.painter_at(place.space);
    painter.vline(x, top..=bottom, Stroke::new(3.0, Color32::from_black_alpha(110)));
    painter.vline(x, top..=bottom, Stroke::new(1.5, Color32::WHITE));
    let middle = pos2(x, (top + bottom) / 2.0);
    painter.circle(middle, 11.0, Color32::from_black_alpha(170), Stroke::new(1.5, Color32::WHITE));
    painter.text(middle, Align2::CENTER_CENTER, "⏴⏵", FontId::proportional(10.0), Color32::WHITE);
    let font = FontId::proportional(12.0);
    for (anchor, offset, word) in [(Align2::RIGHT_TOP, -14.0, "before"), (Align2::LEFT_TOP, 14.0, "after")] {
        badge(&painter, pos2(x + offset, top + 10.0), anchor, word, font.clone());
    }
    response.hovered() || response.dragged()
}

/// Words on a dark ground, to be read on any picture.
fn badge(painter: &egui::Painter, at: egui::Pos2, anchor: Align2, words: &str, font: FontId) {
    let room = painter.clip_rect().width() - 2.0 * MARGIN;
    let galley = painter.layout(words.into(), font, Color32::WHITE, room);
    let rect = anchor.anchor_size(at, galley.size());
    painter.rect_filled(rect.expand2(vec2(6.0, 3.0)), 4, Color32::from_black_alpha(150));
    painter.galley(rect.min, galley, Color32::WHITE);
}

/// Wheel and pinch zoom about the pointer, drags move, a double click fits.
fn navigate(ui: &Ui, response: &Response, place: &Place, view: &mut CanvasView, on_line: bool) {
    if let Some(pos) = response.hover_pos().filter(|_| response.hovered() || on_line) {
        let (scroll, pinch) = ui.input(|input| (input.smooth_scroll_delta().y, input.zoom_delta()));
        let factor = pinch * (scroll * 0.004).exp();
        if factor != 1.0 {
            let (center, zoom) = place.zoomed(place.scale * factor, pos);
            (view.center, view.zoom) = (center, Some(zoom));
        }
    }
    let marks = ui.input(|input| input.modifiers.shift);
    if response.dragged() && !marks {
        let moved = response.drag_delta() / place.picture.size().max(Vec2::splat(1e-3));
        let at = (place.space.center() - place.picture.min) / place.picture.size().max(Vec2::splat(1e-3));
        let center = at - moved;
        (view.center, view.zoom) = ([center.x.clamp(-0.2, 1.2), center.y.clamp(-0.2, 1.2)], Some(place.scale));
    }
    if response.double_clicked() {
        (view.center, view.zoom) = match (view.zoom, response.interact_pointer_pos()) {
            (None, Some(pos)) => {
                let (center, zoom) = place.zoomed(1.0 / ui.pixels_per_point(), pos);
                (center, Some(zoom))
            }
            _ => ([0.5; 2], None),
        };
    }
}

/// A drag with shift marks a part of the picture.
fn mark(ui: &Ui, response: &Response, place: &Place, view: &mut CanvasView) {
    let marks = ui.input(|input| input.modifiers.shift);
    if response.dragged()
        && marks
        && let (Some(from), Some(to)) =
            (ui.input(|input| input.pointer.press_origin()), response.interact_pointer_pos())
    {
        let rect = Rect::from_two_pos(from, to).intersect(place.picture);
        if rect.is_positive() {
            let [left, top] = place.in_picture(rect.min).unwrap_or([0.0; 2]);
            let [right, bottom] = place.in_picture(rect.max).unwrap_or([1.0; 2]);
            view.marked = Some([left, top, right, bottom]);
        }
    }
    if response.clicked() {
        view.marked = None;
    }
}

fn marked_ui(ui: &mut Ui, pen: &mut Pen<'_>, place: &Place, view: &CanvasView) {
    let Some([left, top, right, bottom]) = view.marked else { return };
    let rect = Rect::from_min_max(place.on_screen([left, top]), place.on_screen([right, bottom]));
    let painter = ui.painter_at(place.space);
    painter.rect_stroke(rect, 0, Stroke::new(3.0, Color32::from_black_alpha(140)), StrokeKind::Outside);
    painter.rect_stroke(rect, 0, Stroke::new(1.5, theme::accent(ui.visuals())), StrokeKind::Outside);
    let below = pos2(rect.min.x, (rect.max.y + 6.0).min(place.space.max.y - 34.0));
    egui::Area::new(ui.scope_id().with("marked")).fixed_pos(below).order(egui::Order::Foreground).show(
        ui.ctx(),
        |ui| {
            egui::Frame::popup(ui.style()).inner_margin(4).show(ui, |ui| {
                ui.horizontal(|ui| {
                    let [x, y] = [(left + right) / 2.0, (top + bottom) / 2.0];
                    if ui.button("Zoom to it").clicked() {
                        let room = place.space.size() - Vec2::splat(2.0 * MARGIN);
                        let zoom = place.scale * (room.x / rect.width().max(1.0)).min(room.y / rect.height().max(1.0));
                        let zoom = Some(zoom.clamp(ZOOMS[0], ZOOMS[1]));
                        pen.push(Command::SetView(CanvasView { zoom, center: [x, y], marked: None, ..view.clone() }));
                    }
                    if ui.button("What is seen here?").clicked() {
                        pen.push(Command::LookAt(Some([x, y])));
                    }
                    if ui.small_button("✖").accessible_name("Unmark").clicked() {
                        pen.push(Command::SetView(CanvasView { marked: None, ..view.clone() }));
                    }
                });
            });
        },
    );
}

/// Where was looked last.
fn looked_at_ui(ui: &Ui, state: &AppState, place: &Place) {
    let Some(at) = state.sees.last.as_ref().and_then(|(_, at)| *at) else { return };
    if state.side != crate::gui::state::Side::Sees || state.sees.looked.is_none() {
        return;
    }
    let painter = ui.painter_at(place.space);
    let middle = place.on_screen(at);
    painter.circle_stroke(middle, 9.0, Stroke::new(3.0, Color32::from_black_alpha(130)));
    painter.circle_stroke(middle, 9.0, Stroke::new(1.5, Color32::WHITE));
    painter.circle_filled(middle, 1.5, Color32::WHITE);
}

/// The pixel under the pointer.
fn readout_ui(ui: &Ui, response: &Response, place: &Place, before: Option<&Image>, after: &Image) {
    let Some(at) = response.hover_pos().and_then(|pos| place.in_picture(pos)) else { return };
    let pixel = |image: &Image| {
        let [width, height] = image.size;
        let (x, y) = ((at[0] * width as f32) as usize, (at[1] * height as f32) as usize);
        let [r, g, b, _] = image[(x.min(width - 1), y.min(height - 1))].to_srgba_unmultiplied();
        format!("{r} {g} {b}")
    };
    let x = (at[0] * place.picture.width() / place.scale) as usize;
    let y = (at[1] * place.picture.height() / place.scale) as usize;
    let was = before.filter(|before| !std::sync::Arc::ptr_eq(before, after)).map(&pixel);
    let was = was.map(|was| format!("   was {was}")).unwrap_or_default();
    let text = format!("{x}, {y}   rgb {}{was}", pixel(after));
    let painter = ui.painter_at(place.space);
    badge(&painter, place.space.left_bottom() + vec2(10.0, -8.0), Align2::LEFT_BOTTOM, &text, FontId::monospace(11.5));
}

fn toolbar_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    let fill = ui.visuals().panel_fill;
    egui::Frame::new().fill(fill).inner_margin(egui::Margin::symmetric(8, 4)).show(ui, |ui| {
        ui.horizontal(|ui| {
            let view = pen.state.canvas.clone();
            let has_picture = pen.state.after().is_some();
            let has_both = has_picture && pen.state.before().is_some();
            let fit = Button::selectable(view.zoom.is_none(), "Fit");
            if ui.add_enabled(has_picture, fit).on_hover_text("The whole picture (F, or double-click)").clicked() {
                pen.push(Command::SetView(CanvasView { zoom: None, center: [0.5; 2], ..view.clone() }));
            }
            let one = 1.0 / ui.pixels_per_point();
            let is_one = view.zoom.is_some_and(|zoom| (zoom - one).abs() < 1e-3);
            let response = ui.add_enabled(has_picture, Button::selectable(is_one, "1:1"));
            if response.on_hover_text("A pixel of the picture on a pixel of the screen (1)").clicked() {
                pen.push(Command::SetView(CanvasView { zoom: Some(one), ..view.clone() }));
            }
            if let Some(zoom) = view.zoom.filter(|_| has_picture) {
                for (sign, name, factor) in [("➖", "Zoom out", 1.0 / 1.25), ("➕", "Zoom in", 1.25)] {
                    if sign_button(ui, sign, name, true).clicked() {
                        let zoom = Some((zoom * factor).clamp(ZOOMS[0], ZOOMS[1]));
                        pen.push(Command::SetView(CanvasView { zoom, ..view.clone() }));
                    }
                }
                ui.label(RichText::new(format!("{:.0} %", zoom * ui.pixels_per_point() * 100.0)).weak());
            }
            ui.separator();
            let compare = ui.add_enabled(has_both, Button::selectable(view.split.is_some(), "Before | after"));
            if compare.on_hover_text("Compare with the photo (C); hold B to see the photo alone").clicked() {
                let split = if view.split.is_some() { None } else { Some(0.5) };
                pen.push(Command::SetView(CanvasView { split, ..view.clone() }));
            }
            let see = ui.add_enabled(has_picture, Button::new("What does it see?"));
            if see
                .on_hover_text("What the net recognizes in this picture (W); click the picture to ask about a place")
                .clicked()
            {
                pen.push(Command::LookAt(None));
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| title_ui(ui, pen.state));
        });
    });
}

/// What is on the canvas, and how large.
fn title_ui(ui: &mut Ui, state: &AppState) {
    let Some(size) = state.canvas_size_px() else { return };
    let name = match (state.take(), &state.restored, &state.photo) {
        (Some(take), ..) => take.title(),
        (None, Some(picture), _) => picture.name(),
        (None, None, Some(photo)) => photo.name(),
        (None, None, None) => String::new(),
    };
    let text = format!("{name}   {}", text::size(size));
    ui.add(egui::Label::new(RichText::new(text).weak()).truncate());
}

fn empty_ui(ui: &mut Ui, pen: &mut Pen<'_>, space: Rect) {
    let is_opening = !pen.state.opening.is_empty();
    let text = if is_opening { "Opening …" } else { "Drop a picture here" };
    let color = ui.visuals().weak_text_color();
    ui.painter_at(space).text(space.center(), Align2::CENTER_CENTER, text, FontId::proportional(22.0), color);
    drop_hint_ui(ui, space);
}

/// One line that says what to do, while nothing was done yet.
fn hint_ui(ui: &Ui, pen: &Pen<'_>, space: Rect) {
    let state = pen.state;
    if state.take().is_some() || state.restored.is_some() || state.spec.from_noise.is_some() {
        return;
    }
    let text = match state.opening.first() {
        Some(path) => format!("Opening {} …", path.file_name().unwrap_or_default().to_string_lossy()),
        None => "Drop a picture anywhere to dream it, or press space to dream this one".into(),
    };
    let at = space.center_bottom() - vec2(0.0, 44.0);
    badge(&ui.painter_at(space), at, Align2::CENTER_BOTTOM, &text, FontId::proportional(16.0));
}

/// While files are held over the window.
fn drop_hint_ui(ui: &Ui, space: Rect) {
    let held = ui.input(|input| input.raw.hovered_files.len());
    if held == 0 {
        return;
    }
    let painter = ui.painter_at(space);
    painter.rect_filled(space, 0, Color32::from_black_alpha(150));
    let accent = theme::accent(ui.visuals());
    painter.rect_stroke(space.shrink(10.0), 10, Stroke::new(3.0, accent), StrokeKind::Inside);
    let text = if held == 1 { "Let go to dream it".to_string() } else { format!("Let go to dream all {held}") };
    painter.text(space.center(), Align2::CENTER_CENTER, text, FontId::proportional(28.0), Color32::WHITE);
}

//! The few widgets that the panels share. Each has a name for screen readers, a tooltip, and a way back to its default.

use std::ops::RangeInclusive;

use egui::emath::Numeric;
use egui::{Align, Button, Layout, Response, RichText, Sense, Slider, Ui, WidgetInfo};

use crate::gui::theme;

/// What a control is called, and what it does to the picture.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    pub name: &'static str,
    pub hint: &'static str,
}

impl Label {
    pub const fn new(name: &'static str, hint: &'static str) -> Self {
        Self { name, hint }
    }
}

/// What became of a control in this frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub is_changed: bool,
    /// It was let go: the change is whole.
    pub is_settled: bool,
}

impl Change {
    fn of(response: &Response) -> Self {
        let is_changed = response.changed();
        Self {
            is_changed,
            is_settled: response.drag_stopped() || response.lost_focus() || (is_changed && !response.dragged()),
        }
    }

    pub fn or(self, other: Self) -> Self {
        Self { is_changed: self.is_changed || other.is_changed, is_settled: self.is_settled || other.is_settled }
    }
}

/// The width of the names before controls.
const NAME_WIDTH: f32 = 92.0;

/// A row: the name, then `control` in what is left. A way back to the default stands at the end where `is_default` is
/// not so; returns what `control` returned, and whether the default was asked for.
pub fn row<R>(ui: &mut Ui, label: Label, is_default: bool, control: impl FnOnce(&mut Ui) -> R) -> (R, bool) {
    ui.horizontal(|ui| {
        let name = ui.allocate_ui_with_layout(
            egui::vec2(NAME_WIDTH, ui.spacing().interact_size.y),
            Layout::left_to_right(Align::Center),
            |ui| {
                ui.set_min_width(NAME_WIDTH);
                ui.add(egui::Label::new(label.name).truncate()).on_hover_text(label.hint)
            },
        );
        let inner = ui.label_inputs_by(name.inner.id, control);
        let reset = ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let text = format!("Reset {}", label.name);
            let button = Button::new(RichText::new("⟲").weak()).frame(false).min_size(egui::vec2(16.0, 16.0));
            let response = ui.add_visible(!is_default, button).accessible_name(&text);
            response.on_hover_text(text).clicked()
        });
        (inner, reset.inner)
    })
    .inner
}

/// How a number is shown and moved.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers {
    pub is_logarithmic: bool,
    pub decimals: usize,
    pub suffix: &'static str,
}

/// A slider with its number.
pub fn number<N: Numeric>(
    ui: &mut Ui,
    label: Label,
    value: &mut N,
    default: N,
    range: RangeInclusive<N>,
    numbers: Numbers,
) -> Change {
    let is_default = *value == default;
    let (change, reset) = row(ui, label, is_default, |ui| {
        // The number and the way back take their room beside the slider.
        ui.spacing_mut().slider_width = (ui.available_width() - 92.0).clamp(40.0, 220.0);
        let slider = Slider::new(value, range)
            .logarithmic(numbers.is_logarithmic)
            .max_decimals(numbers.decimals)
            .suffix(numbers.suffix)
            .clamping(egui::SliderClamping::Edits);
        let response = ui.add(slider).accessible_name(label.name);
        let change = Change::of(&response);
        response.on_hover_text(label.hint);
        change
    });
    if reset {
        *value = default;
        return Change { is_changed: true, is_settled: true };
    }
    change
}

/// A box to tick.
pub fn tick(ui: &mut Ui, label: Label, value: &mut bool, default: bool) -> Change {
    let is_default = *value == default;
    let (response, reset) =
        row(ui, Label { name: "", ..label }, is_default, |ui| ui.checkbox(value, label.name).on_hover_text(label.hint));
    if reset {
        *value = default;
    }
    let is_changed = reset || response.changed();
    Change { is_changed, is_settled: is_changed }
}

/// One of a few values.
pub fn choice<T: PartialEq + Copy>(
    ui: &mut Ui,
    label: Label,
    value: &mut T,
    default: T,
    choices: &[(T, &str, &str)],
) -> Change {
    let before = *value;
    let (_, reset) = row(ui, label, before == default, |ui| {
        ui.spacing_mut().item_spacing.x = 3.0;
        for &(choice, name, hint) in choices {
            if ui.selectable_label(*value == choice, name).on_hover_text(hint).clicked() {
                *value = choice;
            }
        }
    });
    if reset {
        *value = default;
    }
    let is_changed = *value != before;
    Change { is_changed, is_settled: is_changed }
}

/// The button that is to be pressed first.
pub fn primary_button(ui: &mut Ui, text: &str, is_enabled: bool) -> Response {
    let (fill, color) = (theme::accent(ui.visuals()), theme::on_accent(ui.visuals()));
    let text = RichText::new(text).color(color).strong();
    ui.add_enabled(is_enabled, Button::new(text).fill(fill).min_size(egui::vec2(104.0, 30.0)))
}

/// A button that is only a sign, with its name for screen readers and as tooltip.
pub fn sign_button(ui: &mut Ui, sign: &str, name: &str, is_enabled: bool) -> Response {
    let response = ui.add_enabled(is_enabled, Button::new(sign).min_size(egui::vec2(26.0, 24.0)));
    response.accessible_name(name).on_hover_text(name).on_disabled_hover_text(name)
}

/// A part of the window that is painted by hand and can be clicked or dragged, with its name for screen readers.
pub fn painted(ui: &mut Ui, rect: egui::Rect, id: egui::Id, sense: Sense, name: &str) -> Response {
    let response = ui.interact(rect, id, sense);
    let enabled = ui.is_enabled();
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Button, enabled, name));
    response
}

/// A heading inside a panel.
pub fn section(ui: &mut Ui, text: &str) {
    ui.add_space(6.0);
    ui.label(RichText::new(text).strong());
}

//! Colours and measures of the window, dark and light.

use egui::{
    Color32, Context, CornerRadius, FontFamily, FontId, Stroke, Style, TextStyle, Theme, ThemePreference, Visuals,
};

use crate::gui::settings;

/// The colour of what is chosen, running, or to be pressed first.
pub fn accent(visuals: &Visuals) -> Color32 {
    if visuals.dark_mode { Color32::from_rgb(150, 122, 255) } else { Color32::from_rgb(98, 66, 214) }
}

/// Text on [`accent`].
pub fn on_accent(visuals: &Visuals) -> Color32 {
    if visuals.dark_mode { Color32::from_rgb(18, 14, 32) } else { Color32::WHITE }
}

/// What lies behind pictures: neutral, so that it does not tint them.
pub fn canvas(visuals: &Visuals) -> Color32 {
    if visuals.dark_mode { Color32::from_gray(18) } else { Color32::from_gray(214) }
}

/// Sets both themes up; once, at the start.
pub fn install(ctx: &Context) {
    ctx.set_visuals_of(Theme::Dark, dark());
    ctx.set_visuals_of(Theme::Light, light());
    ctx.all_styles_mut(measures);
}

/// Chooses the theme.
pub fn choose(ctx: &Context, theme: settings::Theme) {
    ctx.set_theme(match theme {
        settings::Theme::Dark => ThemePreference::Dark,
        settings::Theme::Light => ThemePreference::Light,
        settings::Theme::System => ThemePreference::System,
    });
}

fn measures(style: &mut Style) {
    let spacing = &mut style.spacing;
    spacing.item_spacing = egui::vec2(8.0, 6.0);
    spacing.button_padding = egui::vec2(8.0, 4.0);
    spacing.interact_size.y = 24.0;
    spacing.slider_width = 120.0;
    spacing.combo_width = 120.0;
    spacing.scroll = egui::style::ScrollStyle::thin();
    let font = |size, family| FontId::new(size, family);
    style.text_styles.insert(TextStyle::Body, font(13.5, FontFamily::Proportional));
    style.text_styles.insert(TextStyle::Button, font(13.5, FontFamily::Proportional));
    style.text_styles.insert(TextStyle::Heading, font(16.0, FontFamily::Proportional));
    style.text_styles.insert(TextStyle::Small, font(11.0, FontFamily::Proportional));
    style.text_styles.insert(TextStyle::Monospace, font(12.5, FontFamily::Monospace));
}

fn rounded(visuals: &mut Visuals) {
    let radius = CornerRadius::same(5);
    let widgets = &mut visuals.widgets;
    for widget in [
        &mut widgets.noninteractive,
        &mut widgets.inactive,
        &mut widgets.hovered,
        &mut widgets.active,
        &mut widgets.open,
    ] {
        widget.corner_radius = radius;
    }
    visuals.window_corner_radius = CornerRadius::same(8);
    visuals.menu_corner_radius = CornerRadius::same(6);
}

fn dark() -> Visuals {
    let mut visuals = Visuals::dark();
    let accent = accent(&visuals);
    visuals.panel_fill = Color32::from_rgb(27, 27, 31);
    visuals.window_fill = Color32::from_rgb(33, 33, 38);
    visuals.extreme_bg_color = Color32::from_rgb(17, 17, 20);
    visuals.faint_bg_color = Color32::from_rgb(34, 34, 39);
    visuals.selection.bg_fill = Color32::from_rgb(78, 62, 148);
    visuals.selection.stroke = Stroke::new(1.0, Color32::from_rgb(235, 230, 255));
    visuals.hyperlink_color = accent;
    visuals.error_fg_color = Color32::from_rgb(255, 122, 110);
    visuals.warn_fg_color = Color32::from_rgb(255, 190, 92);
    visuals.slider_trailing_fill = true;
    visuals.weak_text_color = Some(Color32::from_gray(150));
    visuals.widgets.noninteractive.fg_stroke.color = Color32::from_gray(205);
    visuals.widgets.noninteractive.bg_stroke.color = Color32::from_rgb(50, 50, 57);
    visuals.widgets.inactive.fg_stroke.color = Color32::from_gray(215);
    visuals.widgets.inactive.bg_fill = Color32::from_rgb(58, 58, 66);
    visuals.widgets.inactive.weak_bg_fill = Color32::from_rgb(47, 47, 54);
    visuals.widgets.hovered.weak_bg_fill = Color32::from_rgb(62, 60, 74);
    visuals.widgets.active.weak_bg_fill = Color32::from_rgb(84, 74, 128);
    rounded(&mut visuals);
    visuals
}

fn light() -> Visuals {
    let mut visuals = Visuals::light();
    let accent = accent(&visuals);
    visuals.panel_fill = Color32::from_rgb(245, 245, 248);
    visuals.window_fill = Color32::from_rgb(252, 252, 254);
    visuals.extreme_bg_color = Color32::WHITE;
    visuals.faint_bg_color = Color32::from_rgb(236, 236, 241);
    visuals.selection.bg_fill = Color32::from_rgb(203, 190, 255);
    visuals.selection.stroke = Stroke::new(1.0, Color32::from_rgb(40, 24, 100));
    visuals.hyperlink_color = accent;
    visuals.error_fg_color = Color32::from_rgb(186, 26, 26);
    visuals.warn_fg_color = Color32::from_rgb(158, 88, 0);
    visuals.slider_trailing_fill = true;
    visuals.weak_text_color = Some(Color32::from_gray(95));
    visuals.widgets.noninteractive.fg_stroke.color = Color32::from_gray(40);
    visuals.widgets.inactive.fg_stroke.color = Color32::from_gray(40);
    visuals.widgets.inactive.bg_fill = Color32::from_rgb(208, 208, 216);
    visuals.widgets.inactive.weak_bg_fill = Color32::from_rgb(226, 226, 233);
    rounded(&mut visuals);
    visuals
}

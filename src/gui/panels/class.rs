//! A class to dream of, found by its name.

use egui::{RichText, TextEdit, Ui};

use super::Pen;
use crate::gui::command::Command;
use crate::gui::state::Form;
use crate::gui::widgets::{Label, choice};
use crate::tasks::dream::{ClassScore, DreamSpec};

const SCORE: Label = Label::new("Class score", "What of the class rises");

pub fn class_ui(ui: &mut Ui, pen: &mut Pen<'_>) {
    let Some(net) = pen.state.net.clone() else { return };
    if net.graph.labels().is_empty() {
        return;
    }
    if let Some(goal) = &pen.state.spec.class {
        chosen_ui(ui, pen, &goal.class);
    }
    let mut query = pen.state.form.class_query.clone();
    let field = TextEdit::singleline(&mut query).hint_text("Dream of a class: macaw, castle …");
    let response = ui.add(field.desired_width(f32::INFINITY)).accessible_name("Dream of a class");
    let is_entered = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
    if response.changed() {
        pen.push(Command::SetForm(Form { class_query: query.clone(), ..pen.state.form.clone() }));
    }
    if query.trim().is_empty() {
        return;
    }
    let found = &pen.state.found_classes;
    if found.is_empty() {
        ui.label(RichText::new("The net knows no such class").weak());
    }
    let mut picked = if is_entered { found.first().map(|(class, _)| *class) } else { None };
    for (class, name) in found {
        if ui.selectable_label(false, name).on_hover_text(format!("Class {class}")).clicked() {
            picked = Some(*class);
        }
    }
    if let Some(class) = picked {
        pen.push(Command::DreamClass(class));
        pen.push(Command::SetForm(Form { class_query: String::new(), ..pen.state.form.clone() }));
    }
}

fn chosen_ui(ui: &mut Ui, pen: &mut Pen<'_>, class: &str) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(class).strong()).on_hover_text("This class of the net is made to score higher");
        let name = "Dream with layers instead";
        if ui.small_button("✖").accessible_name(name).on_hover_text(name).clicked() {
            let spec = DreamSpec { class: None, ..pen.state.spec.clone() };
            pen.push(Command::Edit(Box::new(spec), "class"));
            pen.push(Command::Settle);
        }
    });
    let mut spec = pen.state.spec.clone();
    let Some(goal) = &mut spec.class else { return };
    let scores = [
        (ClassScore::Logit, "Score", "The score before the softmax: clearer pictures"),
        (ClassScore::Posterior, "Probability", "Also rises where other classes fall"),
    ];
    if choice(ui, SCORE, &mut goal.score, ClassScore::Logit, &scores).is_changed {
        pen.push(Command::Edit(Box::new(spec), SCORE.name));
        pen.push(Command::Settle);
    }
}

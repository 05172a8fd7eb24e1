//! Every panel, drawn without a screen: what it is called, what a click brings back, and what the state is afterwards.

use egui::accesskit::Role;
use egui::{Key, Modifiers, Pos2, Ui, Vec2, pos2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};

use super::{Pen, canvas, dialogs, dream, menu, messages, net, net_graph, queue, sees, strip, transport, window_ui};
use crate::gui::command::Command;
use crate::gui::host::{BundledPreset, Event, FetchOutcome, Fetching, Looked, OwnPreset, Pick, Request};
use crate::gui::state::{BatchPhase, Dialog, Mode, Phase, Tone};
use crate::gui::testing::{Desk, open_photo, small_spec};
use crate::gui::textures::Textures;
use crate::tasks::catalogue::{Listing, State};
use crate::tasks::classify::ClassScore;
use crate::tasks::dream::{DreamSpec, LayerWeight};
use crate::tasks::look::Firing;

/// A panel over a state that its commands change, with a scripted host behind.
struct Bench {
    desk: Desk,
    textures: Textures,
    commands: Vec<Command>,
}

type Bed = Harness<'static, Bench>;

fn bed(desk: Desk, size: [f32; 2], panel: impl Fn(&mut Ui, &mut Pen<'_>) + 'static) -> Bed {
    let draw = move |ui: &mut Ui, bench: &mut Bench| {
        bench.textures.next_frame();
        let mut commands = Vec::new();
        panel(ui, &mut Pen { state: &bench.desk.state, textures: &mut bench.textures, commands: &mut commands });
        for command in commands {
            bench.commands.push(command.clone());
            bench.desk.run(command);
        }
    };
    let bench = Bench { desk, textures: Textures::default(), commands: Vec::new() };
    let mut bed = Harness::builder().with_size(size).with_max_steps(64).build_ui_state(draw, bench);
    bed.run_ok();
    bed
}

fn click(bed: &mut Bed, label: &str) {
    bed.get_by_label(label).click();
    bed.run_steps(3);
}

fn click_role(bed: &mut Bed, role: Role, label: &str) {
    bed.get_by_role_and_label(role, label).click();
    bed.run_steps(3);
}

fn click_at(bed: &mut Bed, at: Pos2) {
    bed.hover_at(at);
    bed.run_steps(1);
    bed.drag_at(at);
    bed.run_steps(1);
    bed.drop_at(at);
    bed.run_steps(2);
}

fn spec(bed: &Bed) -> &DreamSpec {
    &bed.state().desk.state.spec
}

fn requests(bed: &mut Bed) -> Vec<String> {
    bed.state_mut().desk.host.names()
}

#[test]
fn the_window_has_a_name_for_everything_at_any_size() {
    for size in [[960.0, 600.0], [1280.0, 800.0], [1920.0, 1080.0]] {
        for mode in Mode::ALL {
            let mut desk = Desk::dreamt();
            desk.state.mode = mode;
            desk.state.canvas.split = Some(0.4);
            desk.state.say(Tone::Error, "something went wrong");
            // Running until it settles checks that every control has a name for screen readers.
            let mut bed = bed(desk, size, window_ui);
            bed.run_ok();
            bed.check_accessibility();
            assert!(bed.query_by_label("Dream").is_some(), "{size:?} {mode:?}");
        }
    }
}

#[test]
fn menus_hold_what_can_be_done() {
    let mut bed = bed(Desk::ready(), [900.0, 500.0], menu::menu_ui);
    click(&mut bed, "File");
    assert!(bed.get_by_label("Save as…").accesskit_node().is_disabled(), "there is nothing to save yet");
    click(&mut bed, "Open photos…");
    assert_eq!(requests(&mut bed), ["Pick"]);
    assert!(matches!(bed.state().commands.last(), Some(Command::Pick(Pick::Photos))));
    click(&mut bed, "View");
    click(&mut bed, "Light");
    assert_eq!(requests(&mut bed), ["KeepSettings"]);
    assert_eq!(bed.state().desk.state.settings.theme, crate::gui::settings::Theme::Light);
    bed.key_press(Key::Escape);
    bed.run_steps(3);
    click(&mut bed, "Edit");
    bed.get_by_role_and_label(Role::SpinButton, "Each step of an animation stays").set_value_accesskit(200.0);
    bed.run_steps(3);
    assert_eq!(bed.state().desk.state.settings.animation_frame_ms, 200);
}

fn listing(name: &str, state: State) -> Listing {
    Listing {
        name: name.into(),
        state,
        task: "1000 classes".into(),
        bytes: Some(50_000_000),
        licence: "unrestricted".into(),
        top_1: Some(68.7),
        dreams: None,
        summary: String::new(),
    }
}

#[test]
fn nets_are_fetched_watched_stopped_and_used() {
    let mut bed = bed(Desk::ready(), [1000.0, 700.0], dialogs::dialogs_ui);
    bed.state_mut().desk.run(Command::ShowNets);
    assert_eq!(requests(&mut bed), ["ListNets"]);
    let nets =
        vec![listing("lite0", State::BuiltIn), listing("googlenet", State::Available), listing("vgg", State::Begun)];
    bed.state_mut().desk.report(Event::NetsListed(nets));
    bed.run_steps(3);
    click(&mut bed, "Get googlenet");
    assert_eq!(requests(&mut bed), ["FetchNet"]);
    let progress = Fetching { doing: "5.0 of 50.0 MB".into(), share: Some(0.1), is_stopping: false };
    bed.state_mut().desk.report(Event::FetchProgress { name: "googlenet".into(), progress });
    bed.run_steps(3);
    bed.check_accessibility();
    click(&mut bed, "Stop googlenet");
    assert_eq!(requests(&mut bed), ["StopFetching"]);
    bed.state_mut().desk.report(Event::FetchEnded { name: "googlenet".into(), ended: Ok(FetchOutcome::Stopped) });
    bed.run_steps(3);
    let said: Vec<&str> = bed.state().desk.state.messages.iter().map(|message| message.text.as_str()).collect();
    assert!(said.iter().any(|text| text.starts_with("Stopped fetching googlenet")), "{said:?}");
    click(&mut bed, "Go on vgg");
    let gone = Err("there is no network".into());
    bed.state_mut().desk.report(Event::FetchEnded { name: "vgg".into(), ended: gone });
    assert_eq!(bed.state().desk.state.messages.last().map(|message| message.tone), Some(Tone::Error));
    bed.run_steps(3);
    requests(&mut bed);
    click(&mut bed, "Use lite0");
    assert_eq!(requests(&mut bed), ["OpenNet"]);
    assert_eq!(bed.state().desk.state.dialog, None);
}

#[test]
fn modes_are_chosen_at_the_top() {
    let mut bed = bed(Desk::ready(), [900.0, 300.0], menu::menu_ui);
    bed.get_all_by_label("Net").last().expect("the mode is there").click();
    bed.run_steps(3);
    assert_eq!(bed.state().desk.state.mode, Mode::Net);
}

fn dream_bed(desk: Desk) -> Bed {
    bed(desk, [330.0, 1400.0], dream::dream_ui)
}

#[test]
fn controls_change_the_settings_and_go_back_to_their_default() {
    let mut desk = Desk::ready();
    desk.state.spec.steps = 20;
    let mut bed = dream_bed(desk);
    click(&mut bed, "More");
    bed.run_ok();
    for (label, value) in [("Octaves", 3.0), ("Steps", 50.0), ("Step size", 2.0), ("Laplacian", 0.0), ("Jitter", 8.0)] {
        bed.get_by_role_and_label(Role::Slider, label).set_value_accesskit(value);
        bed.run_steps(3);
    }
    let now = spec(&bed);
    assert_eq!((now.octaves, now.steps, now.laplacian), (3, 50, 0));
    assert!((now.step_size - 2.0).abs() < 0.2, "{}", now.step_size);
    assert_eq!(now.jitter, crate::optvis::transform::Jitter::Random(8));
    click(&mut bed, "Reset Steps");
    assert_eq!(spec(&bed).steps, 20);
    bed.state_mut().desk.run(Command::Undo);
    assert_eq!(spec(&bed).steps, 50);
}

#[test]
fn noise_can_be_dreamt_of_and_the_seed_changed() {
    let mut bed = dream_bed(Desk::ready());
    click(&mut bed, "Noise");
    assert_eq!(spec(&bed).from_noise.map(|size| [size.width, size.height]), Some([512, 512]));
    click(&mut bed, "Another");
    assert_eq!(spec(&bed).seed, 1);
    click(&mut bed, "Photo");
    assert_eq!(spec(&bed).from_noise, None);
    click_role(&mut bed, Role::CheckBox, "Keep the photo's colours");
    assert!(spec(&bed).keep_colors);
}

#[test]
fn a_preset_is_put_on_by_its_picture() {
    let mut desk = Desk::ready();
    let layers = vec![LayerWeight { name: "block1/relu".into(), weight: 1.0 }];
    let strokes = DreamSpec { layers, steps: 14, ..small_spec() };
    let picture = Some(open_photo("x").thumbnail.clone());
    desk.state.bundled = vec![BundledPreset {
        name: "strokes".into(),
        summary: "Bold hatching".into(),
        spec: strokes.clone(),
        picture: picture.clone(),
    }];
    desk.state.presets = vec![OwnPreset { name: "mine".into(), spec: DreamSpec { steps: 3, ..small_spec() }, picture }];
    let mut bed = dream_bed(desk);
    click(&mut bed, "Preset strokes");
    assert_eq!(spec(&bed), &strokes);
    click(&mut bed, "Preset mine");
    assert_eq!(spec(&bed).steps, 3);
    bed.get_by_label("Preset mine").click_secondary();
    bed.run_steps(3);
    click(&mut bed, "Delete…");
    assert_eq!(bed.state().desk.state.dialog, Some(Dialog::DeletePreset("mine".into())));
}

#[test]
fn layers_are_found_by_name_and_several_can_be_dreamt_with() {
    let mut bed = dream_bed(Desk::ready());
    click(&mut bed, "Choose a layer");
    bed.run_ok();
    bed.get_by_label("Search layers").focus();
    bed.run_steps(2);
    bed.get_by_label("Search layers").type_text("relu");
    bed.run_ok();
    assert!(bed.query_by_label("Layer block1/conv").is_none(), "the search leaves it out");
    bed.get_by_label("Layer block1/relu").click();
    bed.run_steps(3);
    bed.get_by_label("Layer block2/relu").click_modifiers(Modifiers::COMMAND);
    bed.run_steps(3);
    let names: Vec<&str> = spec(&bed).layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["block1/relu", "block2/relu"]);
    click(&mut bed, "Leave out block1/relu");
    assert_eq!(spec(&bed).layers.len(), 1);
}

#[test]
fn channels_are_typed_and_what_is_no_list_changes_nothing() {
    let mut bed = dream_bed(Desk::ready());
    let field = |bed: &mut Bed, text: &str| {
        bed.get_by_role_and_label(Role::TextInput, "Channels").focus();
        bed.run_steps(2);
        bed.get_by_role_and_label(Role::TextInput, "Channels").type_text(text);
        bed.run_ok();
    };
    field(&mut bed, "1");
    assert_eq!(spec(&bed).channels, [1]);
    field(&mut bed, ",");
    assert_eq!((spec(&bed).channels.as_slice(), bed.state().desk.state.form.channels.as_str()), (&[1][..], "1,"));
    field(&mut bed, "3-5");
    assert_eq!(spec(&bed).channels, [1, 3, 4, 5]);
}

#[test]
fn a_class_is_found_by_a_part_of_its_name() {
    let mut bed = dream_bed(Desk::ready());
    bed.get_by_label("Dream of a class").focus();
    bed.run_steps(2);
    bed.get_by_label("Dream of a class").type_text("fox");
    bed.run_ok();
    click(&mut bed, "grey fox");
    assert_eq!(spec(&bed).class.as_ref().map(|goal| goal.class.as_str()), Some("grey fox"));
    assert!(bed.state().desk.state.form.class_query.is_empty());
    click(&mut bed, "Dream with layers instead");
    assert_eq!(spec(&bed).class, None);
}

const CANVAS: [f32; 2] = [800.0, 600.0];

fn canvas_bed(desk: Desk) -> Bed {
    bed(desk, CANVAS, canvas::canvas_ui)
}

#[test]
fn a_click_asks_what_is_seen_there() {
    let mut bed = canvas_bed(Desk::ready());
    let middle = bed.get_by_label("The picture").rect().center();
    click_at(&mut bed, middle);
    let asked: Vec<_> =
        bed.state().commands.iter().filter(|command| matches!(command, Command::LookAt(Some(_)))).collect();
    let [Command::LookAt(Some([x, y]))] = asked.as_slice() else { panic!("{:?}", bed.state().commands) };
    assert!((x - 0.5).abs() < 0.02 && (y - 0.5).abs() < 0.02, "{x} {y}");
    assert_eq!(requests(&mut bed), ["Look"]);
    // Beside the picture there is nothing to be seen.
    click_at(&mut bed, pos2(3.0, 590.0));
    assert!(requests(&mut bed).is_empty());
}

#[test]
fn the_wheel_zooms_about_the_pointer_and_a_drag_moves() {
    let mut bed = canvas_bed(Desk::ready());
    let view = |bed: &Bed| bed.state().desk.state.canvas.clone();
    assert_eq!(view(&bed).zoom, None);
    let at = bed.get_by_label("The picture").rect().center() + Vec2::new(100.0, 40.0);
    bed.hover_at(at);
    bed.run_steps(1);
    for _ in 0..4 {
        bed.event(egui::Event::MouseWheel {
            unit: egui::MouseWheelUnit::Point,
            delta: Vec2::new(0.0, 60.0),
            phase: egui::TouchPhase::Move,
            source: egui::MouseWheelSource::Trackpad,
            modifiers: Modifiers::NONE,
        });
        bed.run_steps(20);
    }
    let zoomed = view(&bed);
    let zoom = zoomed.zoom.expect("it is zoomed");
    assert!(zoom > 16.0, "48 pixels filled 772 points before: {zoom}");
    assert!(zoomed.center[0] > 0.5 && zoomed.center[1] > 0.5, "towards the pointer: {:?}", zoomed.center);
    bed.drag_at(at);
    bed.run_steps(1);
    bed.hover_at(at - Vec2::new(200.0, 0.0));
    bed.run_steps(2);
    bed.drop_at(at - Vec2::new(200.0, 0.0));
    bed.run_steps(2);
    let moved = view(&bed);
    assert!(moved.center[0] > zoomed.center[0] + 0.05, "{:?} {:?}", moved.center, zoomed.center);
    assert!((moved.center[1] - zoomed.center[1]).abs() < 0.02);
    click(&mut bed, "Fit");
    assert_eq!(view(&bed).zoom, None);
}

#[test]
fn before_and_after_meet_at_a_line_that_can_be_dragged() {
    let mut bed = canvas_bed(Desk::dreamt());
    click(&mut bed, "Before | after");
    assert_eq!(bed.state().desk.state.canvas.split, Some(0.5));
    bed.run_steps(2);
    let line = bed.get_by_label("Before and after").rect().center();
    bed.hover_at(line);
    bed.run_steps(1);
    bed.drag_at(line);
    bed.run_steps(1);
    bed.hover_at(line + Vec2::new(150.0, 0.0));
    bed.run_steps(2);
    bed.drop_at(line + Vec2::new(150.0, 0.0));
    bed.run_steps(2);
    let split = bed.state().desk.state.canvas.split.expect("it is shown");
    assert!(split > 0.6 && split < 0.9, "{split}");
    assert_eq!(bed.state().desk.state.canvas.zoom, None, "the picture stays where it is");
}

#[test]
fn a_drag_with_shift_marks_a_part() {
    let mut bed = canvas_bed(Desk::ready());
    let middle = bed.get_by_label("The picture").rect().center();
    bed.event(egui::Event::ModifiersChanged(Modifiers::SHIFT));
    bed.hover_at(middle);
    bed.run_steps(1);
    bed.drag_at(middle);
    bed.run_steps(1);
    bed.hover_at(middle + Vec2::new(120.0, 80.0));
    bed.run_steps(2);
    bed.drop_at(middle + Vec2::new(120.0, 80.0));
    bed.run_steps(2);
    bed.event(egui::Event::ModifiersChanged(Modifiers::NONE));
    let view = bed.state().desk.state.canvas.clone();
    let [left, top, right, bottom] = view.marked.expect("it is marked");
    assert!((left - 0.5).abs() < 0.02 && (top - 0.5).abs() < 0.02, "{:?}", view.marked);
    assert!(right > 0.6 && bottom > 0.6 && right < 1.0 && bottom < 1.0, "{:?}", view.marked);
    assert_eq!(view.zoom, None, "the picture stays where it is");
    bed.run_steps(3);
    click(&mut bed, "Zoom to it");
    let view = &bed.state().desk.state.canvas;
    assert_eq!(view.marked, None);
    assert!((view.center[0] - (left + right) / 2.0).abs() < 1e-4 && view.zoom > Some(16.0), "{view:?}");
}

#[test]
fn the_large_button_does_what_it_says() {
    let mut bed = bed(Desk::ready(), [1000.0, 60.0], transport::transport_ui);
    click(&mut bed, "▶  Dream");
    assert_eq!(requests(&mut bed), ["Dream"]);
    click(&mut bed, "⏸  Pause");
    assert_eq!(requests(&mut bed), ["Pause"]);
    click(&mut bed, "▶  Resume");
    assert_eq!(requests(&mut bed), ["Resume"]);
    click(&mut bed, "Stop the dream; what is there stays (Esc)");
    assert_eq!(requests(&mut bed), ["Cancel"]);
}

#[test]
fn the_strip_goes_back_to_where_it_is_pressed() {
    let mut bed = bed(Desk::dreamt(), [1000.0, 90.0], strip::strip_ui);
    let strip = bed.get_by_label("Steps of the dream").rect();
    click_at(&mut bed, pos2(strip.left() + strip.width() * 0.3, strip.center().y));
    assert_eq!(bed.state().desk.state.shown_step(), Some(2), "of eight");
    assert_eq!(requests(&mut bed), ["ShowStep"]);
    click_at(&mut bed, pos2(strip.right() - 3.0, strip.center().y));
    assert!(bed.state().desk.state.scrub.is_none(), "the last is the newest");
}

fn looked() -> Looked {
    Looked {
        number: 1,
        layer: "block2/relu".into(),
        at: Some([0.5, 0.5]),
        firings: vec![Firing { channel: 5, value: 1.5, over_mean: 3.0 }],
        maps: vec![open_photo("x").thumbnail.clone()],
        classes: Ok(vec![ClassScore { index: 2, label: "macaw".into(), probability: 0.9 }]),
        sheet: None,
    }
}

#[test]
fn what_is_seen_can_be_dreamt_with() {
    let mut desk = Desk::ready();
    desk.state.sees.asked = Some(1);
    desk.report(Event::Looked(Box::new(looked())));
    let mut bed = bed(desk, [300.0, 700.0], sees::sees_ui);
    click(&mut bed, "Dream with channel 5 of block2/relu");
    assert_eq!(spec(&bed).channels, [5]);
    click(&mut bed, "Dream of macaw");
    assert_eq!(spec(&bed).class.as_ref().map(|goal| goal.class.as_str()), Some("macaw"));
}

#[test]
fn the_queue_can_be_held_and_changed() {
    let mut desk = Desk::ready();
    desk.run(Command::OpenFiles(["a.png", "b.png", "c.png"].map(Into::into).to_vec()));
    desk.host.requests.clear();
    let mut bed = bed(desk, [300.0, 500.0], queue::queue_ui);
    let names = |bed: &Bed| {
        let items = bed.state().desk.state.batch.iter();
        items.map(|item| item.path.to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    click(&mut bed, "c.png earlier");
    assert_eq!(names(&bed), ["a.png", "c.png", "b.png"]);
    click(&mut bed, "Take b.png out");
    assert_eq!(bed.state().desk.state.batch[2].phase, BatchPhase::Cancelled);
    click(&mut bed, "⏸ Pause");
    assert_eq!(requests(&mut bed), ["Pause"]);
    click(&mut bed, "▶ Resume");
    assert_eq!(requests(&mut bed), ["Resume"]);
    click(&mut bed, "Cancel a.png");
    assert_eq!(requests(&mut bed), ["Cancel"]);
}

#[test]
fn a_node_of_the_drawing_shows_what_it_is() {
    let mut desk = Desk::ready();
    desk.state.mode = Mode::Net;
    let mut bed = bed(desk, [900.0, 900.0], net_graph::net_graph_ui);
    bed.run_steps(2);
    let view = bed.state().desk.state.net_view.clone();
    let net = crate::gui::testing::open_net();
    let node = net.graph.find("block2/relu").expect("it is there");
    let placed = &net.layout.nodes[node];
    let [width, height] = crate::gui::host::NODE_SIZE;
    let middle = Vec2::new(placed.x + width / 2.0, placed.y + height / 2.0);
    let space = bed.get_by_label("Drawing of the net").rect();
    click_at(&mut bed, space.center() + (middle - Vec2::from(view.center)) * view.zoom);
    assert_eq!(bed.state().desk.state.net_view.selected, Some(node));
    assert_eq!(requests(&mut bed), ["Look"], "its maps are asked for");

    let Bench { desk, .. } = bed.into_state();
    let mut bed = self::bed(desk, [320.0, 900.0], net::net_ui);
    assert!(bed.query_by_label("block2/relu").is_some());
    assert!(bed.query_by_label("8×8×8").is_some(), "its output at the net's own size");
    click(&mut bed, "Dream with this layer");
    assert_eq!(spec(&bed).layers[0].name, "block2/relu");
    assert_eq!(bed.state().desk.state.mode, Mode::Dream);
}

#[test]
fn messages_can_be_closed() {
    let mut desk = Desk::ready();
    desk.state.say(Tone::Error, "cat.png is not a picture");
    let mut bed = bed(desk, [600.0, 400.0], messages::messages_ui);
    bed.run_steps(2);
    assert!(bed.query_by_label("cat.png is not a picture").is_some());
    click(&mut bed, "Close the message");
    assert!(bed.state().desk.state.messages.is_empty());
}

#[test]
fn a_preset_is_saved_under_the_name_that_is_typed() {
    let mut desk = Desk::ready();
    desk.run(Command::Open(Dialog::SavePreset(String::new())));
    let mut bed = bed(desk, [700.0, 500.0], dialogs::dialogs_ui);
    bed.run_steps(3);
    bed.get_by_label("Name of the preset").type_text("night");
    bed.run_steps(4);
    click(&mut bed, "Save");
    let Some(Request::SavePreset { name, .. }) = bed.state_mut().desk.host.requests.pop() else {
        panic!("it is saved")
    };
    assert_eq!((name.as_str(), &bed.state().desk.state.dialog), ("night", &None));
}

#[test]
fn every_shortcut_is_listed() {
    let mut desk = Desk::ready();
    desk.run(Command::Open(Dialog::Shortcuts));
    let mut bed = bed(desk, [700.0, 1600.0], dialogs::dialogs_ui);
    bed.run_steps(3);
    for shortcut in crate::gui::shortcuts::ALL {
        assert!(bed.query_by_label(shortcut.name).is_some(), "{}", shortcut.name);
    }
    bed.key_press(Key::Escape);
    bed.run_steps(3);
    assert_eq!(bed.state().desk.state.dialog, None);
}

#[test]
fn leaving_can_be_thought_over() {
    let mut desk = Desk::ready();
    desk.run(Command::Open(Dialog::Quit { would_lose: "the rest of the queue (2 photos)".into() }));
    let mut bed = bed(desk, [700.0, 500.0], dialogs::dialogs_ui);
    bed.run_steps(3);
    assert!(bed.query_by_label_contains("the rest of the queue").is_some());
    click(&mut bed, "Stay");
    assert!(bed.state().desk.state.dialog.is_none() && !bed.state().desk.state.is_leaving());
}

#[test]
fn a_failed_dream_says_why_where_it_would_say_how_far_it_is() {
    let mut desk = Desk::dreamt();
    if let Some(take) = desk.state.take_mut() {
        take.phase = Phase::Failed("the gradient overflowed".into());
    }
    let bed = bed(desk, [1000.0, 60.0], transport::transport_ui);
    assert!(bed.query_by_label("the gradient overflowed").is_some());
}

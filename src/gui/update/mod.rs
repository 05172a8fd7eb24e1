//! What every command does to the state, and what it asks of the host. Plain Rust: no window, no thread, no clock.

mod batch;
mod dream;
mod events;
mod files;
mod look;
mod nets;
mod settings;
#[cfg(test)]
mod tests;

pub use look::look_layer;

use crate::formats::LoadOptions;
use crate::gui::command::Command;
use crate::gui::host::{JobHost, Request};
use crate::gui::state::AppState;

/// Carries out `command`.
pub fn update(state: &mut AppState, command: Command, host: &mut dyn JobHost) {
    match command {
        Command::Begin { files } => files::begin(state, files, host),
        Command::SetMode(mode) => state.mode = mode,
        Command::OpenFiles(paths) => files::open(state, paths, host),
        Command::OpenSample => files::open_sample(host),
        Command::OpenNet(key) => files::open_net(state, key, LoadOptions::default(), host),
        Command::ShowNets | Command::GetNet(_) | Command::StopGettingNet(_) | Command::RemoveNet(_) => {
            nets::change(state, command, host);
        }
        Command::Paste(image) => files::paste(state, image, host),
        Command::Copy => files::copy(state, host),
        Command::Pick(pick) => files::pick(state, pick, host),
        Command::Save => files::save(state, None, host),
        Command::SetView(view) => state.canvas = view,
        Command::StartOver => dream::start_over(state, host),
        Command::Toggle => dream::toggle(state, host),
        Command::GoOn => dream::go_on(state, host),
        Command::Stop => dream::stop(state, host),
        Command::ShowStep(index) => dream::show_step(state, index, host),
        Command::ShowNewest => state.scrub = None,
        Command::StepBy(by) => dream::step_by(state, by, host),
        Command::ShowTake(job) => dream::show_take(state, job, host),
        Command::CloseTake(job) => dream::close_take(state, job, host),
        Command::Edit(spec, control) => dream::edit(state, *spec, control, host),
        Command::Settle => state.history.settle(),
        Command::ApplyPreset(spec) => dream::apply_preset(state, *spec, host),
        Command::Undo | Command::Redo => dream::undo(state, matches!(command, Command::Undo), host),
        Command::SavePreset(name) => settings::save_preset(state, name, host),
        Command::RenamePreset { old, new } => settings::rename_preset(state, old, new, host),
        Command::DeletePreset(name) => settings::delete_preset(state, name, host),
        Command::LookAt(at) => look::look_at(state, at, host),
        Command::SetLookLayer(layer) => look::set_layer(state, layer, host),
        Command::DreamChannel { layer, channel } => dream::dream_channel(state, layer, channel, host),
        Command::DreamLayer(layer) => dream::dream_layer(state, layer, host),
        Command::DreamClass(class) => dream::dream_class(state, class, host),
        Command::ShowSide(side) => state.side = side,
        Command::SelectNode(node) => look::select_node(state, node, host),
        Command::SetNetView { zoom, center } => look::set_net_view(state, zoom, center),
        Command::PauseBatch(pause) => batch::pause(state, pause, host),
        Command::CancelBatch(job) => batch::cancel(state, job, host),
        Command::MoveBatch(job, by) => batch::reorder(state, job, by),
        Command::ClearBatch => batch::clear_finished(state),
        Command::CancelExport => host.submit(Request::CancelExport),
        Command::SetForm(form) => look::set_form(state, form),
        Command::Open(dialog) => state.dialog = Some(dialog),
        Command::CloseDialog => state.dialog = None,
        Command::CloseMessage(id) => state.messages.retain(|message| message.id != id),
        Command::SetTheme(_)
        | Command::StepScale { .. }
        | Command::ResetScale
        | Command::SetDreamOnDrop(_)
        | Command::SetOutputFolder(_)
        | Command::SetAnimationFrame(_)
        | Command::ForgetRecent => settings::change(state, &command, host),
        Command::ToggleFrameTimes => state.shows_frame_times = !state.shows_frame_times,
        Command::Quit => files::quit(state, host),
        Command::QuitAnyway => files::leave(state, true, host),
        Command::Tick(now_s) => settings::tick(state, now_s),
        Command::Host(event) => events::handle(state, *event, host),
    }
}

//! `oneiric dream`.
use super::args::DreamArgs;
use super::failure::{Exit, Failure};
pub fn run(_args: &DreamArgs) -> Result<Exit, Failure> {
    todo!()
}

//! Opening the net that the arguments name.

use std::sync::Arc;

use super::failure::{Failure, complain};
use crate::formats::LoadOptions;
use crate::nn::graph::Graph;
use crate::tasks::catalogue;

/// Opens a net by name or path, and says on stderr what was assumed of it.
pub fn open(name: &str, options: &LoadOptions, quiet: bool) -> Result<Arc<Graph>, Failure> {
    let opened = catalogue::open_with(name, options).map_err(Failure::input)?;
    if !quiet {
        opened.notes.iter().for_each(|note| complain(note));
    }
    Ok(opened.graph)
}

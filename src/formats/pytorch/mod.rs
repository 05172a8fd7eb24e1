//! PyTorch's checkpoints and foreign safetensors: bare weights, whose architecture is found by their names and shapes.
//!
//! Read are `torch.save`'s zip archives (1.6 and later), what it wrote before, and TorchScript archives; of all these
//! the tensors only. Nothing in a file is ever run.

mod archive;
mod cifar;
mod described;
mod export;
mod legacy;
mod names;
mod recognize;
mod safe;
mod state;
mod storage;

pub(super) use archive::{Unpacked, has_entry};
pub(super) use cifar::padded_shortcut;
pub use export::to_state_dict_safetensors;
pub use safe::tensors as safetensors_tensors;
pub use state::StateDict;

use super::imported::Imported;
use super::{ImportError, LoadOptions};

/// Whether a file is one that `torch.save` or TorchScript wrote; other formats are zip archives and pickles, too.
pub fn is_checkpoint(bytes: &[u8]) -> bool {
    archive::has_entry(bytes, "data.pkl") || legacy::has_magic(bytes)
}

/// The tensors of a checkpoint (`.pth`, `.pt`, `.th`) by their dotted names.
pub fn tensors(bytes: &[u8]) -> Result<StateDict, ImportError> {
    /// Where a tar archive says that it is one.
    const TAR_SIGNATURE_AT: usize = 257;
    if bytes.starts_with(b"PK") {
        return archive::tensors(bytes);
    }
    if bytes.get(TAR_SIGNATURE_AT..).is_some_and(|rest| rest.starts_with(b"ustar")) {
        let reason = "this is a tar archive as PyTorch wrote them before 0.1.10, which are not read; load it with PyTorch \
                      and save it again with torch.save";
        return Err(ImportError::Unsupported(reason.into()));
    }
    legacy::tensors(bytes)
}

/// The net that a checkpoint has the weights of.
pub fn read(bytes: &[u8], options: &LoadOptions) -> Result<Imported, ImportError> {
    recognize::net(tensors(bytes)?, options)
}

/// The net that a safetensors file without a description has the weights of.
pub fn read_safetensors(bytes: &[u8], options: &LoadOptions) -> Result<Imported, ImportError> {
    recognize::net(safe::tensors(bytes)?, options)
}

/// The net that a net file describes, with the weights of a state dict: by the names of its layers, or in the file's
/// order where that has others.
pub fn read_with_net_file(dict: StateDict, net_file: &str) -> Result<Imported, ImportError> {
    described::net(dict, net_file)
}

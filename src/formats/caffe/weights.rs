//! The weights of a net: blobs by the name of their layer.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use super::blob::Blob;
use super::net::Net;
use crate::formats::ImportError;

/// Blobs of layers, read when they are asked for.
pub struct Weights<'a> {
    store: Store<'a>,
    read: RefCell<HashMap<String, Vec<Blob>>>,
}

enum Store<'a> {
    Binary(HashMap<String, Vec<&'a [u8]>>),
    Hdf5 { file: Box<hdf5_pure::File>, left: Left },
}

/// What the blobs of an HDF5 file may still take: layers may share one dataset, and each reads its own copy.
struct Left {
    /// Bytes in the file.
    stored: Cell<u64>,
    /// Bytes in memory.
    unpacked: Cell<u64>,
}

impl Left {
    fn of_file(bytes: u64) -> Self {
        Self { stored: Cell::new(bytes), unpacked: Cell::new(crate::formats::MAX_FILE_BYTES) }
    }

    /// Takes the numbers of a blob; `None` if they are more than can be left.
    fn take(&self, count: u64, is_chunked: bool) -> Option<()> {
        // Deflate, of chunks, makes at most 1032 bytes of one.
        let ratio = if is_chunked { 1032 } else { 1 };
        let bytes = count.checked_mul(size_of::<f32>() as u64)?;
        let (stored, unpacked) = (self.stored.get(), self.unpacked.get());
        self.stored.set(stored.checked_sub(bytes.div_ceil(ratio))?);
        self.unpacked.set(unpacked.checked_sub(bytes)?);
        Some(())
    }
}

/// More blobs of one layer are not looked for.
const MAX_BLOBS: usize = 64;

impl<'a> Weights<'a> {
    /// The blobs that lie in the layers of a net; of layers of one name, those of the last that has any.
    pub fn of_net(net: &Net<'a>) -> Self {
        let blobs = net.layers.iter().map(|layer| (layer.name.clone(), layer.blobs()));
        let store = Store::Binary(blobs.filter(|(_, blobs)| !blobs.is_empty()).collect());
        Self { store, read: RefCell::default() }
    }

    /// The blobs of a `.caffemodel.h5`: the datasets `/data/LAYER/0`, `/data/LAYER/1`, ….
    pub fn of_hdf5(bytes: &[u8]) -> Result<Self, ImportError> {
        let wrong = |error: hdf5_pure::Error| ImportError::Damaged(ImportError::brief(&error.to_string()));
        let file = hdf5_pure::File::from_bytes(bytes.to_vec()).map_err(wrong)?;
        if file.group("data").is_err() {
            return Err(ImportError::Damaged("the HDF5 file has no group `data`, as the weights of Caffe have".into()));
        }
        let store = Store::Hdf5 { file: Box::new(file), left: Left::of_file(bytes.len() as u64) };
        Ok(Self { store, read: RefCell::default() })
    }

    /// The blobs of a layer; none where it has none. The error is the reason.
    pub fn of(&self, layer: &str) -> Result<Vec<Blob>, String> {
        if let Some(blobs) = self.read.borrow().get(layer) {
            return Ok(blobs.clone());
        }
        let blobs: Vec<Blob> = match &self.store {
            Store::Binary(layers) => {
                let blobs = layers.get(layer).map(Vec::as_slice).unwrap_or_default();
                let read = |(i, bytes): (usize, &&[u8])| {
                    Blob::read(bytes).map_err(|reason| format!("its blob {i} cannot be read: {reason}"))
                };
                blobs.iter().enumerate().take(MAX_BLOBS).map(read).collect::<Result<_, _>>()?
            }
            Store::Hdf5 { file, left } => hdf5_blobs(file, left, layer)?,
        };
        self.read.borrow_mut().insert(layer.to_string(), blobs.clone());
        Ok(blobs)
    }

    /// Names of layers that have weights, to tell the user; only of a binary file.
    pub fn some_names(&self) -> Vec<String> {
        const SHOWN: usize = 5;
        let Store::Binary(layers) = &self.store else { return Vec::new() };
        let mut names: Vec<&String> = layers.keys().collect();
        names.sort();
        names.into_iter().take(SHOWN).map(|name| ImportError::brief(name)).collect()
    }
}

fn hdf5_blobs(file: &hdf5_pure::File, left: &Left, layer: &str) -> Result<Vec<Blob>, String> {
    let path = format!("data/{layer}");
    if layer.is_empty() || file.group(&path).is_err() {
        return Ok(Vec::new());
    }
    let mut blobs = Vec::new();
    for i in 0..MAX_BLOBS {
        let Ok(dataset) = file.dataset(&format!("{path}/{i}")) else { break };
        let wrong = |error: &dyn std::fmt::Display| {
            format!("its blob {i} cannot be read: {}", ImportError::brief(&error.to_string()))
        };
        let shape = dataset.shape().map_err(|error| wrong(&error))?;
        let count = shape.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim));
        if count.and_then(|count| left.take(count, dataset.is_chunked())).is_none() {
            return Err(wrong(&"it claims more numbers than the file can hold beside its other blobs"));
        }
        let shape: Option<Vec<usize>> = shape.into_iter().map(|dim| usize::try_from(dim).ok()).collect();
        let shape = shape.ok_or_else(|| wrong(&"it has a dimension beyond any machine"))?;
        let data = dataset.read::<f32>().map_err(|error| wrong(&error))?;
        Blob::expect_count(&shape, data.len()).map_err(|reason| wrong(&reason))?;
        blobs.push(Blob { shape, data: data.into() });
    }
    Ok(blobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_of_hdf5_are_bounded_together() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/nets/caffe/alex.caffemodel.h5");
        let bytes = std::fs::read(path).unwrap();
        let file = hdf5_pure::File::from_bytes(bytes.clone()).unwrap();
        let left = Left::of_file(bytes.len() as u64);
        assert_eq!(hdf5_blobs(&file, &left, "conv1").unwrap().len(), 2);
        let error = (0..bytes.len()).find_map(|_| hdf5_blobs(&file, &left, "conv1").err()).unwrap();
        assert!(error.ends_with("more numbers than the file can hold beside its other blobs"), "{error}");
        let left = Left::of_file(1 << 20);
        assert!(left.take(1 << 27, true).is_some() && left.take(1 << 19, false).is_none());
        assert!(Left::of_file(u64::MAX).take(1 << 31, true).is_none());
    }
}

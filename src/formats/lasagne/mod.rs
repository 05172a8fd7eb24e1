//! Lasagne's parameter lists: `.npz` files of `numpy.savez(*get_all_param_values(net))`, and pickles of such a list or
//! of the dictionaries of Lasagne's model zoo. A list says nothing of the net: an architecture of the zoo is named or
//! found by the shapes, or the parameters of a net that is known otherwise take the arrays one by one ([`assign`]).
//!
//! Fully connected layers store their weights as (in, out); batch norms store beta, gamma, mean and the inverse of the
//! deviation. Theano's convolution turns its kernels by 180°, cuDNN's does not: the zoo's nets come from Caffe and are
//! built with `Conv2DDNNLayer` or `flip_filters=False`, which do not; only the Caffe reference net is built with
//! `Conv2DLayer`, which does.

mod draft;
mod list;
mod npy;
mod zoo;

use super::architectures::{ParamRole, ParamSpec};
use super::imported::{FoundPreprocess, Imported};
use super::{ImportError, LoadOptions, pytorch};
use crate::nn::graph::{ChannelOrder, Param};

pub use list::ParamList;

/// Whether a file may be a list of parameters: an `.npz`, an `.npy`, or a pickle that is no PyTorch checkpoint.
pub fn is_list(bytes: &[u8]) -> bool {
    let is_pickle = [b"\x80".as_slice(), b"(lp", b"(dp"].iter().any(|start| bytes.starts_with(start));
    npy::has_magic(bytes) || pytorch::has_entry(bytes, ".npy") || is_pickle && !pytorch::is_checkpoint(bytes)
}

/// The net whose parameters a `.npz` or a pickle lists.
pub fn read(bytes: &[u8], options: &LoadOptions) -> Result<Imported, ImportError> {
    let list = ParamList::read(bytes)?;
    let (model, draft, is_guessed) = match &options.architecture {
        Some(name) => {
            let model = zoo::named(name)?;
            let draft = model.draw(&list.arrays)?;
            (model, draft, false)
        }
        None => {
            let (model, draft) = zoo::by_shapes(&list)?;
            (model, draft, true)
        }
    };
    let mut imported = Imported::new(model.name(), draft);
    imported.notes = list.notes;
    if is_guessed {
        imported.notes.push(format!(
            "The file lists arrays without saying of what net; their shapes are those of {}.",
            model.name()
        ));
    }
    let classes = imported.net.shape(imported.net.nodes().len() - 1).and_then(|shape| shape.dims().get(1).copied());
    if classes == Some(list.labels.len()) {
        imported.labels = list.labels;
    } else if !list.labels.is_empty() {
        imported
            .notes
            .push(format!("The file's {} class names are not as many as the net's classes.", list.labels.len()));
    }
    imported.preprocess = preprocess(&model, list.mean, &mut imported.notes);
    Ok(imported)
}

/// The mean of the file, or that of the zoo's net.
fn preprocess(model: &zoo::Model, mean: Option<Vec<f32>>, notes: &mut Vec<String>) -> FoundPreprocess {
    let Some(usual) = model.preprocess() else {
        return FoundPreprocess { order: None, mean, scale: None };
    };
    if mean.is_none() {
        notes.push(format!(
            "The file does not say how pictures are to be prepared: as for {} is assumed.",
            model.name()
        ));
    }
    let order = Some(if usual.is_bgr { ChannelOrder::Bgr } else { ChannelOrder::Rgb });
    let mean = mean.or(Some(usual.mean.to_vec()));
    FoundPreprocess { order, mean, scale: Some(vec![usual.scale; 3]) }
}

/// How a program that wrote a list built its net.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Convention {
    /// `flip_filters=True`, the default of `Conv2DLayer`: kernels are stored turned by 180°.
    pub flips_filters: bool,
    /// Of the batch norms of the net that takes the parameters.
    pub epsilon: f32,
}

/// Gives the parameters of a net the arrays of a list, in order, as PyTorch has them: fully connected weights
/// (out, in), variances in place of inverse deviations. The parameters of a batch norm stand together.
pub fn assign(
    list: &ParamList,
    wanted: &[ParamSpec],
    convention: Convention,
) -> Result<std::collections::BTreeMap<String, Param>, ImportError> {
    if list.arrays.len() != wanted.len() {
        let reason =
            format!("the file lists {} arrays, and the net has {} parameters", list.arrays.len(), wanted.len());
        return Err(ImportError::Needs(reason));
    }
    let mut wanted: Vec<&ParamSpec> = wanted.iter().collect();
    for place in 1..wanted.len() {
        // Lasagne has beta first.
        if wanted
            .get(place - 1)
            .zip(wanted.get(place))
            .is_some_and(|(before, spec)| (before.role, spec.role) == (ParamRole::Gamma, ParamRole::Beta))
        {
            wanted.swap(place - 1, place);
        }
    }
    let converted = wanted.into_iter().zip(&list.arrays).zip(0..).map(|((spec, array), number)| {
        let array = match spec.role {
            ParamRole::Weight => draft::weight(array, convention.flips_filters),
            ParamRole::Variance => draft::variance(array, convention.epsilon),
            _ => array.clone(),
        };
        if array.shape != spec.shape {
            return Err(draft::misfit(&spec.name, number, &array.shape, &spec.shape));
        }
        Ok((spec.name.clone(), array))
    });
    converted.collect()
}

#[cfg(test)]
mod tests;

//! The arrays of a file, in the order of the net's layers.

use super::npy;
use crate::formats::ImportError;
use crate::formats::labels::without_wordnet_id;
use crate::formats::pickle::{Id, Pickle, numpy};
use crate::formats::pytorch::Unpacked;
use crate::nn::graph::Param;

/// What a file lists, and what else it says.
#[derive(Clone, Debug, Default)]
pub struct ParamList {
    pub arrays: Vec<Param>,
    /// Class names; empty where the file has none.
    pub labels: Vec<String>,
    /// One value a channel, in the order of the net's channels.
    pub mean: Option<Vec<f32>>,
    /// Whole sentences.
    pub notes: Vec<String>,
}

/// The most arrays of one net.
const MAX_ARRAYS: usize = 1 << 16;
/// Numbers that the arrays of a pickle may have whatever its length is.
const SPARE_NUMBERS: usize = 1 << 20;

impl ParamList {
    /// Reads an `.npz`, a pickle of a list of arrays or of the zoo's dictionary, or an `.npy` of a list of arrays.
    pub fn read(bytes: &[u8]) -> Result<Self, ImportError> {
        if bytes.starts_with(b"PK") {
            Self::from_npz(bytes)
        } else {
            Self::from_pickle(npy::objects(bytes).unwrap_or(bytes))
        }
    }

    /// `arr_0.npy`, `arr_1.npy`, …, which lie in the archive in any order.
    fn from_npz(bytes: &[u8]) -> Result<Self, ImportError> {
        let archive = Unpacked::read(bytes)?;
        let mut numbered = Vec::new();
        for (name, content) in &archive.entries {
            let number = name.strip_suffix(".npy").and_then(|name| name.strip_prefix("arr_")?.parse::<usize>().ok());
            let Some(number) = number else {
                let reason = format!(
                    "the archive holds `{}`, and only lists of arrays named arr_0, arr_1, … are read",
                    ImportError::brief(name)
                );
                return Err(ImportError::Unsupported(reason));
            };
            numbered.push((number, name, content));
        }
        numbered.sort_by_key(|&(number, ..)| number);
        if let Some(missing) = (0..).zip(&numbered).find(|(place, (number, ..))| place != number) {
            return Err(ImportError::Damaged(format!("arr_{} is missing or there twice", missing.0)));
        }
        // `savez(list)` instead of `savez(*list)` makes one array of objects.
        if let [(_, _, content)] = numbered.as_slice()
            && let Some(pickled) = npy::objects(content)
        {
            return Self::from_pickle(pickled);
        }
        let arrays = numbered.into_iter().map(|(_, name, content)| npy::read(content, name));
        Ok(Self { arrays: arrays.collect::<Result<_, _>>()?, ..Self::default() })
    }

    fn from_pickle(bytes: &[u8]) -> Result<Self, ImportError> {
        let pickle = Pickle::read(bytes)?;
        let root = pickle.root();
        // The zoo's files agree on the words but not on what joins them.
        let entry = |names: &[&str]| {
            names.iter().find_map(|name| pickle.entry(root, name).or(pickle.entry(root, &name.replace(' ', "_"))))
        };
        let values = match pickle.entries(root) {
            Some(_) => entry(&["param values", "values", "params", "weights"]).ok_or_else(|| {
                ImportError::Unsupported("the pickle is a dictionary without `param values` or `values`".into())
            })?,
            None => root,
        };
        let Some(items) = pickle.items(values).or_else(|| numpy::objects(&pickle, values)) else {
            let what = pickle.describe(values);
            return Err(ImportError::Unsupported(format!("the pickle should be a list of arrays, but is {what}")));
        };
        if items.len() > MAX_ARRAYS {
            return Err(ImportError::TooLarge(format!("lists of more than {MAX_ARRAYS} arrays are not read")));
        }
        // One array may be listed any number of times; it is decoded once.
        let mut decoded: std::collections::HashMap<Id, Param> = std::collections::HashMap::new();
        // Several arrays may be of the same bytes, each of them a copy.
        let mut numbers_left = bytes.len().max(SPARE_NUMBERS);
        let mut arrays = Vec::with_capacity(items.len());
        for (number, &id) in items.iter().enumerate() {
            if let Some(array) = decoded.get(&id) {
                arrays.push(array.clone());
                continue;
            }
            let array = numpy::array(&pickle, id).ok_or_else(|| {
                let reason = format!("it is no array of floating-point numbers, but {}", pickle.describe(id));
                ImportError::field(&format!("array {number}"), reason)
            })??;
            let numbers = array.data.len().saturating_add(array.shape.len());
            numbers_left = numbers_left.checked_sub(numbers).ok_or_else(|| {
                ImportError::TooLarge("its arrays share their bytes so often that they are not read".into())
            })?;
            decoded.insert(id, array.clone());
            arrays.push(array);
        }
        let labels = entry(&["synset words", "labels", "classes"]).map(|id| labels(&pickle, id)).unwrap_or_default();
        let mean = entry(&["mean value", "mean image", "mean"]).and_then(|id| mean(&pickle, id));
        let notes = match &mean {
            Some((_, true)) => vec!["The file's mean picture is reduced to its mean in each channel.".to_string()],
            _ => Vec::new(),
        };
        Ok(Self { arrays, labels, mean: mean.map(|(mean, _)| mean), notes })
    }
}

/// Class names, without the numbers of ImageNet's synsets before them.
fn labels(pickle: &Pickle<'_>, id: Id) -> Vec<String> {
    let label = |&id: &Id| {
        let text = pickle.text(id)?;
        Some(ImportError::brief(without_wordnet_id(text.trim())))
    };
    let labels: Option<Vec<String>> = pickle.items(id).unwrap_or_default().iter().map(label).collect();
    labels.unwrap_or_default()
}

/// A value a channel, and whether they are those of a whole picture.
fn mean(pickle: &Pickle<'_>, id: Id) -> Option<(Vec<f32>, bool)> {
    use crate::formats::pickle::Value;
    let Some(Ok(array)) = numpy::array(pickle, id) else {
        let value = |&id: &Id| match *pickle.get(id) {
            Value::Float(value) => Some(value as f32),
            Value::Int(value) => Some(value as f32),
            _ => None,
        };
        let values: Vec<f32> = pickle.items(id)?.iter().map(value).collect::<Option<_>>()?;
        return matches!(values.len(), 1 | 3).then_some((values, false));
    };
    let (channels, is_picture) = match *array.shape.as_slice() {
        [channels @ (1 | 3)] => (channels, false),
        [channels @ (1 | 3), height, width] => (channels, height * width > 1),
        _ => return None,
    };
    let pixels = array.data.len() / channels;
    let of = |plane: &[f32]| (plane.iter().map(|&value| f64::from(value)).sum::<f64>() / pixels as f64) as f32;
    Some((array.data.chunks_exact(pixels).map(of).collect(), is_picture))
}

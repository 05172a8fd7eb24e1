//! Storages: runs of numbers that tensors are views of.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use half::{bf16, f16};

use crate::formats::ImportError;
use crate::formats::pickle::{Id, Pickle, Value};
use crate::nn::graph::Param;

/// The type of the numbers of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

impl Float {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// From the name of a storage class (`FloatStorage`) or of a type (`float32`).
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "HalfStorage" | "float16" | "half" => Some(Self::F16),
            "BFloat16Storage" | "bfloat16" => Some(Self::Bf16),
            "FloatStorage" | "float32" | "float" => Some(Self::F32),
            "DoubleStorage" | "float64" | "double" => Some(Self::F64),
            _ => None,
        }
    }

    fn read(self, bytes: &[u8], order: ByteOrder) -> f32 {
        let mut wide = [0; 8];
        for (to, from) in wide.iter_mut().zip(bytes) {
            *to = *from;
        }
        if order == ByteOrder::Big
            && let Some(value) = wide.get_mut(..self.bytes())
        {
            value.reverse();
        }
        let [a, b, c, d, ..] = wide;
        match self {
            Self::F16 => f16::from_le_bytes([a, b]).to_f32(),
            Self::Bf16 => bf16::from_le_bytes([a, b]).to_f32(),
            Self::F32 => f32::from_le_bytes([a, b, c, d]),
            Self::F64 => f64::from_le_bytes(wide) as f32,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ByteOrder {
    #[default]
    Little,
    Big,
}

/// What a tensor sees of a storage; offset and strides count numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct View {
    pub key: String,
    pub float: Float,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// The storages of a file, and the tensors read from them so far.
pub(super) struct Storages<'a> {
    bytes: HashMap<String, Cow<'a, [u8]>>,
    order: ByteOrder,
    /// How many more numbers may be read: views may repeat and overlap, and a small file could ask for any number.
    left: usize,
    read: HashMap<View, Arc<[f32]>>,
}

impl<'a> Storages<'a> {
    pub(super) fn new(bytes: HashMap<String, Cow<'a, [u8]>>, order: ByteOrder) -> Self {
        /// Views of little storages may repeat that often in all.
        const SPARE: usize = 1 << 20;
        let total = bytes.values().fold(SPARE, |total, bytes| total.saturating_add(bytes.len()));
        Self { bytes, order, left: total, read: HashMap::new() }
    }

    /// The numbers of a view, row-major. `name` is the tensor's, for errors.
    pub(super) fn tensor(&mut self, name: &str, view: &View) -> Result<Param, ImportError> {
        if let Some(data) = self.read.get(view) {
            return Ok(Param { shape: view.shape.clone(), data: data.clone() });
        }
        let wrong = |reason: String| ImportError::field(name, reason);
        let Some(bytes) = self.bytes.get(&view.key) else {
            return Err(wrong(format!("its storage `{}` is not in the file", ImportError::brief(&view.key))));
        };
        let count = view.shape.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
        let count = count.filter(|&count| count <= self.left).ok_or_else(|| {
            wrong(format!("a shape of {:?} is more than the file holds", view.shape.get(..8).unwrap_or(&view.shape)))
        })?;
        if view.shape.len() != view.strides.len() {
            return Err(wrong("it has not as many strides as dimensions".into()));
        }
        let size = view.float.bytes();
        let spans = view.shape.iter().zip(&view.strides);
        let last = spans.filter(|_| count > 0).try_fold(view.offset, |last, (&dim, &stride)| {
            last.checked_add(dim.saturating_sub(1).checked_mul(stride)?)
        });
        let end = last.and_then(|last| last.checked_add(usize::from(count > 0))?.checked_mul(size));
        if end.is_none_or(|end| count > 0 && end > bytes.len()) {
            return Err(wrong(format!("it reaches past the end of its storage of {} bytes", bytes.len())));
        }
        self.left -= count;
        let data: Arc<[f32]> = if count == 0 {
            Arc::default()
        } else if view.is_contiguous() {
            let start = view.offset * size;
            let values = bytes.get(start..start + count * size).unwrap_or_default();
            match (view.float, self.order) {
                // By far the most, and as they are.
                (Float::F32, ByteOrder::Little) => {
                    values.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
                }
                (float, order) => values.chunks_exact(size).map(|value| float.read(value, order)).collect(),
            }
        } else {
            view.places(count)
                .map(|at| view.float.read(bytes.get(at * size..).unwrap_or_default(), self.order))
                .collect()
        };
        self.read.insert(view.clone(), data.clone());
        Ok(Param { shape: view.shape.clone(), data })
    }
}

impl View {
    /// Of a view with elements: the product of its dimensions does not overflow.
    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&dim, &stride)| {
            let fits = dim == 1 || stride == expected;
            expected *= dim;
            fits
        })
    }

    /// Where the elements lie in the storage, in row-major order.
    fn places(&self, count: usize) -> impl Iterator<Item = usize> {
        let mut index = vec![0; self.shape.len()];
        let mut at = self.offset;
        (0..count).map(move |_| {
            let place = at;
            for ((i, &dim), &stride) in index.iter_mut().zip(&self.shape).zip(&self.strides).rev() {
                *i += 1;
                at = at.wrapping_add(stride);
                if *i < dim {
                    break;
                }
                at = at.wrapping_sub(stride.wrapping_mul(dim));
                *i = 0;
            }
            place
        })
    }
}

/// What a value is to a reader of tensors.
#[derive(Debug)]
pub(super) enum Found {
    Tensor(View),
    /// A tensor of integers or truth values, such as batch norm's counter.
    NotFloat,
    /// A tensor that is not read; says why, to follow its name.
    Refused(String),
}

/// Interprets a value as a tensor; `None` where it is none.
pub(super) fn find_tensor(pickle: &Pickle<'_>, id: Id) -> Option<Found> {
    const MAX_WRAPPINGS: usize = 8;
    let mut id = id;
    for _ in 0..MAX_WRAPPINGS {
        let Value::Object(object) = pickle.get(id) else { return None };
        let (module, name) = pickle.global(object.callable)?;
        let arguments = pickle.items(object.arguments)?;
        match (module, name, arguments) {
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state", &[inner, ..]) => id = inner,
            ("torch._tensor", "_rebuild_from_type_v2", &[function, _type, inner, ..]) => {
                let &Global { module: "torch._utils", name } = &Global::of(pickle, function)? else { return None };
                return Some(rebuild(pickle, name, pickle.items(inner)?));
            }
            ("torch._utils", name, arguments) if name.starts_with("_rebuild_") => {
                return Some(rebuild(pickle, name, arguments));
            }
            _ => return None,
        }
    }
    None
}

struct Global<'a> {
    module: &'a str,
    name: &'a str,
}

impl<'a> Global<'a> {
    fn of(pickle: &'a Pickle<'_>, id: Id) -> Option<Self> {
        pickle.global(id).map(|(module, name)| Self { module, name })
    }
}

fn rebuild(pickle: &Pickle<'_>, function: &str, arguments: &[Id]) -> Found {
    let found = match (function, arguments) {
        ("_rebuild_tensor", &[storage, offset, shape, strides]) => {
            view(pickle, storage, None, [offset, shape, strides])
        }
        ("_rebuild_tensor_v2", &[storage, offset, shape, strides, ..]) => {
            view(pickle, storage, None, [offset, shape, strides])
        }
        ("_rebuild_tensor_v3", &[storage, offset, shape, strides, _, _, dtype, ..]) => {
            view(pickle, storage, Some(dtype), [offset, shape, strides])
        }
        _ => {
            let kind = ImportError::brief(function.trim_start_matches("_rebuild_"));
            return Found::Refused(format!("is a tensor of a kind that is not read ({kind})"));
        }
    };
    found.unwrap_or_else(|| Found::Refused("is described in a way that is not understood".into()))
}

/// A view of the storage that a persistent id names: `('storage', class, key, device, length)`.
fn view(pickle: &Pickle<'_>, storage: Id, dtype: Option<Id>, [offset, shape, strides]: [Id; 3]) -> Option<Found> {
    let &Value::Persistent(reference) = pickle.get(storage) else { return None };
    let &[kind, class, key, _device, _length, ref rest @ ..] = pickle.items(reference)? else { return None };
    if pickle.text(kind)? != "storage" {
        return None;
    }
    let (_, class) = pickle.global(class)?;
    let type_name = match dtype {
        Some(dtype) => pickle.global(dtype)?.1,
        None => class,
    };
    let Some(float) = Float::parse(type_name) else {
        let is_float = type_name.to_ascii_lowercase().contains("float") || type_name.contains("Complex");
        let shown = ImportError::brief(type_name);
        return Some(if is_float {
            Found::Refused(format!("has numbers of a type that is not read ({shown})"))
        } else {
            Found::NotFloat
        });
    };
    let number = |id| usize::try_from(pickle.integer(id)?).ok();
    let numbers = |id| pickle.items(id)?.iter().map(|&id| number(id)).collect::<Option<Vec<usize>>>();
    // Files of before 1.6 may name a part of a storage: `(key of the part, offset, length)`.
    let part = match rest.first().map(|&id| pickle.items(id)) {
        Some(Some(&[_, offset, _])) => number(offset)?,
        _ => 0,
    };
    let key = pickle.text(key)?.into_owned();
    let offset = number(offset)?.checked_add(part)?;
    Some(Found::Tensor(View { key, float, offset, shape: numbers(shape)?, strides: numbers(strides)? }))
}

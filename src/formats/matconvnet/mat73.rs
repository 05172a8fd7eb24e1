//! MATLAB 7.3 files, which are HDF5: a struct is a group of its fields, and what lies in cells or in struct arrays is
//! referred to.

use std::borrow::Cow;
use std::collections::HashMap;

use hdf5_pure::{AttrValue, DType, Dataset, File, Group, Object};

use super::mat5::rows_of;
use super::value::{Numbers, Stored, Structs, Value};
use crate::formats::{ImportError, MAX_FILE_BYTES};

/// MATLAB puts its own header before HDF5's.
const USER_BLOCK_BYTES: usize = 512;
const MAX_DEPTH: usize = 32;
/// What a file may unpack to, times its own length.
const MAX_GROWTH: u64 = 100;
const ALWAYS_UNPACKED_BYTES: u64 = 64 << 20;
/// What each value counts for besides its numbers: the same one may be referred to from many places.
const VALUE_BYTES: u64 = 4096;

pub(super) fn is_hdf5(bytes: &[u8]) -> bool {
    const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
    [0, USER_BLOCK_BYTES].iter().any(|&at| bytes.get(at..).is_some_and(|rest| rest.starts_with(SIGNATURE)))
}

/// The variables of a file by name.
pub(super) fn variables(bytes: &[u8]) -> Result<Vec<(String, Value<'static>)>, ImportError> {
    let file = File::from_bytes(bytes.to_vec()).map_err(damaged)?;
    let budget = (bytes.len() as u64).saturating_mul(MAX_GROWTH).clamp(ALWAYS_UNPACKED_BYTES, MAX_FILE_BYTES);
    let mut variables = Vec::new();
    let mut walk = Walk { budget };
    for (name, object) in members(&file.root())? {
        // `#refs#` and `#subsystem#` hold what variables refer to.
        if !name.starts_with('#') {
            variables.push((name, walk.value(object, MAX_DEPTH)?));
        }
    }
    Ok(variables)
}

fn damaged(error: hdf5_pure::Error) -> ImportError {
    ImportError::Damaged(format!("as HDF5, {}", ImportError::brief(&error.to_string())))
}

fn members(group: &Group) -> Result<Vec<(String, Object)>, ImportError> {
    let groups = group.iter_groups().map_err(damaged)?.map(|(name, group)| (name, Object::Group(group)));
    let datasets = group.iter_datasets().map_err(damaged)?;
    Ok(groups.chain(datasets.map(|(name, dataset)| (name, Object::Dataset(Box::new(dataset))))).collect())
}

type Attributes = HashMap<String, AttrValue>;

fn class_of(attributes: &Attributes) -> &str {
    match attributes.get("MATLAB_class") {
        Some(AttrValue::String(class) | AttrValue::AsciiString(class)) => class,
        Some(AttrValue::StringSized { value, .. } | AttrValue::AsciiStringSized { value, .. }) => value,
        _ => "",
    }
}

struct Walk {
    budget: u64,
}

impl Walk {
    fn spend(&mut self, bytes: u64) -> Result<(), ImportError> {
        let too_large = || ImportError::TooLarge("the file unpacks to far more than its length".into());
        self.budget = self.budget.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(())
    }

    fn value(&mut self, object: Object, depth: usize) -> Result<Value<'static>, ImportError> {
        self.spend(VALUE_BYTES)?;
        let Some(depth) = depth.checked_sub(1) else {
            return Err(ImportError::TooLarge(format!("arrays lie within arrays more than {MAX_DEPTH} deep")));
        };
        match object {
            Object::Group(group) => self.group(&group, depth),
            Object::Dataset(dataset) => self.dataset(&dataset, depth),
            _ => Ok(Value::Opaque("neither a group nor a dataset".into())),
        }
    }

    fn group(&mut self, group: &Group, depth: usize) -> Result<Value<'static>, ImportError> {
        let attributes = group.attrs().map_err(damaged)?;
        if attributes.contains_key("MATLAB_sparse") {
            return Ok(Value::Opaque("a sparse array".into()));
        }
        if !matches!(class_of(&attributes), "struct" | "") {
            return Ok(Value::Opaque("a MATLAB object".into()));
        }
        let members = members(group)?;
        if let Some(elements) = self.elements_by_field(&members, depth)? {
            return Ok(Value::Structs(elements));
        }
        let mut structs = Structs { fields: Vec::new(), values: Vec::new() };
        for (name, object) in members {
            structs.fields.push(name);
            structs.values.push(self.value(object, depth)?);
        }
        Ok(Value::Structs(structs))
    }

    /// A struct array: every field is a dataset without a class that refers to one value an element.
    fn elements_by_field(
        &mut self,
        members: &[(String, Object)],
        depth: usize,
    ) -> Result<Option<Structs<'static>>, ImportError> {
        let mut columns = Vec::new();
        for (_, object) in members {
            let Object::Dataset(dataset) = object else { return Ok(None) };
            let is_reference = dataset.dtype().is_ok_and(|dtype| dtype == DType::ObjectReference);
            if !is_reference || dataset.attrs().map_err(damaged)?.contains_key("MATLAB_class") {
                return Ok(None);
            }
            columns.push(self.references(dataset, depth)?);
        }
        let count = columns.first().map_or(0, Vec::len);
        if columns.is_empty() || columns.iter().any(|column| column.len() != count) {
            return Ok(None);
        }
        let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
        let values =
            (0..count).flat_map(|_| columns.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>()).collect();
        Ok(Some(Structs { fields: members.iter().map(|(name, _)| name.clone()).collect(), values }))
    }

    /// The number of elements of a dataset, whose bytes are paid for.
    fn spend_for(&mut self, dataset: &Dataset, element_bytes: u64) -> Result<Vec<usize>, ImportError> {
        let shape = dataset.shape().map_err(damaged)?;
        let bytes = shape.iter().try_fold(element_bytes, |bytes, &dim| bytes.checked_mul(dim));
        self.spend(bytes.unwrap_or(u64::MAX))?;
        // HDF5 has the axis last that runs fastest, MATLAB first.
        let dims: Result<Vec<usize>, _> = shape.into_iter().rev().map(usize::try_from).collect();
        dims.map_err(|_| ImportError::Damaged("an array has impossible dimensions".into()))
    }

    fn references(&mut self, dataset: &Dataset, depth: usize) -> Result<Vec<Value<'static>>, ImportError> {
        self.spend_for(dataset, VALUE_BYTES)?;
        let objects = dataset.dereference().map_err(damaged)?;
        objects.into_iter().map(|object| self.value(object, depth)).collect()
    }

    fn dataset(&mut self, dataset: &Dataset, depth: usize) -> Result<Value<'static>, ImportError> {
        let attributes = dataset.attrs().map_err(damaged)?;
        let class = class_of(&attributes);
        if attributes.contains_key("MATLAB_empty") {
            return Ok(empty(class));
        }
        let dtype = dataset.dtype().map_err(damaged)?;
        if dtype == DType::ObjectReference {
            return Ok(Value::Cells(self.references(dataset, depth)?));
        }
        if class == "char" {
            let dims = self.spend_for(dataset, 2)?;
            let text = String::from_utf16_lossy(&dataset.read_u16().map_err(damaged)?);
            return Ok(Value::Text(rows_of(text, dims.first().copied().unwrap_or(1))));
        }
        let (dims, stored, bytes) = match dtype {
            DType::F32 => {
                let dims = self.spend_for(dataset, 4)?;
                let values = dataset.read_f32().map_err(damaged)?;
                (dims, Stored::F32, values.into_iter().flat_map(f32::to_le_bytes).collect())
            }
            DType::F64
            | DType::I8
            | DType::I16
            | DType::I32
            | DType::I64
            | DType::U8
            | DType::U16
            | DType::U32
            | DType::U64 => {
                let dims = self.spend_for(dataset, 8)?;
                let values = dataset.read_f64().map_err(damaged)?;
                (dims, Stored::F64, values.into_iter().flat_map(f64::to_le_bytes).collect())
            }
            _ => return Ok(Value::Opaque("an array of a kind that is not read".into())),
        };
        let bytes: Vec<u8> = bytes;
        let numbers = Numbers::new(dims, stored, false, Cow::Owned(bytes));
        numbers
            .map(Value::Numbers)
            .ok_or_else(|| ImportError::Damaged("an array has not as many numbers as its dimensions".into()))
    }
}

fn empty(class: &str) -> Value<'static> {
    match class {
        "char" => Value::Text(vec![String::new()]),
        "cell" => Value::Cells(Vec::new()),
        "struct" => Value::Structs(Structs { fields: Vec::new(), values: Vec::new() }),
        _ => Numbers::new(vec![0, 0], Stored::F64, false, Cow::Borrowed(&[]))
            .map_or_else(|| Value::Cells(Vec::new()), Value::Numbers),
    }
}

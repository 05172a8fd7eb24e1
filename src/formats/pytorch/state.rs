//! From the object in a checkpoint to tensors with names.

use std::collections::BTreeMap;

use super::storage::{Found, Storages, find_tensor};
use crate::formats::ImportError;
use crate::formats::pickle::{Id, Pickle, Value};
use crate::nn::graph::Param;

/// Tensors by their dotted names.
#[derive(Clone, Debug, Default)]
pub struct StateDict {
    pub params: BTreeMap<String, Param>,
    /// The names in the file's order.
    pub order: Vec<String>,
    /// The file sorts its names: their order says nothing of layers.
    pub is_sorted: bool,
    /// Whole sentences about what was left out.
    pub notes: Vec<String>,
}

impl StateDict {
    pub(super) fn insert(&mut self, name: String, param: Param) {
        if self.params.insert(name.clone(), param).is_none() {
            self.order.push(name);
        }
    }

    /// Gives tensors other names, in place of all that they had.
    pub(super) fn renamed(mut self, rename: impl Fn(&str) -> String) -> Self {
        let order = self.order.iter().map(|name| rename(name)).collect();
        let params = std::mem::take(&mut self.params).into_iter().map(|(name, param)| (rename(&name), param)).collect();
        Self { params, order, ..self }
    }

    /// Takes off what wrappers put in front of all names: `DataParallel`, `torch.compile`, Lightning.
    pub(super) fn without_prefixes(mut self) -> Self {
        const PREFIXES: [&str; 6] = ["module.", "model.", "_orig_mod.", "net.", "network.", "encoder."];
        while let Some(prefix) = PREFIXES
            .iter()
            .find(|prefix| !self.order.is_empty() && self.order.iter().all(|name| name.starts_with(*prefix)))
        {
            self = self.renamed(|name| name.strip_prefix(prefix).unwrap_or(name).to_string());
        }
        self
    }
}

/// The keys under which training programs keep the weights, best first.
const WRAPPERS: [&str; 16] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "state_dict_ema",
    "model_ema",
    "ema",
    "params_ema",
    "teacher",
    "student",
    "backbone",
];

/// How deep modules and dictionaries may lie in each other.
const MAX_DEPTH: usize = 64;

pub(super) fn collect(pickle: &Pickle<'_>, storages: Storages<'_>) -> Result<StateDict, ImportError> {
    let mut walk = Walk { pickle, storages, visits_left: pickle.walk_limit(), found: StateDict::default() };
    let root = walk.unwrapped(pickle.root());
    walk.visit(root, "", 0)?;
    let found = walk.found;
    if found.params.is_empty() {
        let what = pickle.describe(root);
        let notes = found.notes.first().map(|note| format!(" {note}")).unwrap_or_default();
        return Err(ImportError::Unsupported(format!(
            "the checkpoint holds no tensors of floating-point numbers, but is {what}.{notes}"
        )));
    }
    Ok(found.without_prefixes())
}

struct Walk<'a, 'b, 'c> {
    pickle: &'a Pickle<'b>,
    storages: Storages<'c>,
    visits_left: usize,
    found: StateDict,
}

impl Walk<'_, '_, '_> {
    /// Goes down through what training programs put around the weights.
    fn unwrapped(&self, mut id: Id) -> Id {
        for _ in 0..MAX_DEPTH {
            let Some(entries) = self.pickle.entries(id) else { return id };
            if entries.iter().any(|&(_, value)| find_tensor(self.pickle, value).is_some()) {
                return id;
            }
            let inner = WRAPPERS
                .iter()
                .find_map(|key| self.pickle.entry(id, key).filter(|&value| self.members(value).is_some()))
                .or_else(|| self.only_member(&entries));
            match inner {
                Some(inner) => id = inner,
                None => return id,
            }
        }
        id
    }

    /// The one entry that has named values itself, beside what training programs keep for their own use.
    fn only_member(&self, entries: &[(Id, Id)]) -> Option<Id> {
        const NOT_WEIGHTS: [&str; 8] = ["optim", "sched", "scaler", "lr_", "args", "config", "hparams", "hyper"];
        let mut members = entries.iter().filter(|&&(key, value)| {
            let is_weights = |key: &str| !NOT_WEIGHTS.iter().any(|start| key.starts_with(start));
            self.pickle.text(key).is_some_and(|key| is_weights(&key)) && self.members(value).is_some()
        });
        let &(_, only) = members.next()?;
        members.next().is_none().then_some(only)
    }

    /// Named values within a value: the entries of a dictionary, or the parameters, buffers and modules of a module.
    fn members(&self, id: Id) -> Option<Vec<(Id, Id)>> {
        if let Some(entries) = self.pickle.entries(id) {
            return Some(entries.into_owned());
        }
        let Value::Object(object) = self.pickle.get(id) else { return None };
        let state = object.state?;
        let parts = ["_parameters", "_buffers", "_modules"].map(|key| self.pickle.entry(state, key));
        if parts.iter().all(Option::is_none) {
            // TorchScript's modules have all in one dictionary.
            return self.pickle.entries(state).map(|entries| entries.into_owned());
        }
        let parts = parts.into_iter().flatten().filter_map(|part| self.pickle.entries(part));
        Some(parts.flat_map(|entries| entries.into_owned()).collect())
    }

    fn spend(&mut self, visits: usize) -> Result<(), ImportError> {
        self.visits_left = self.visits_left.checked_sub(visits).ok_or_else(|| {
            ImportError::TooLarge("its few objects contain each other so often that they are not read".into())
        })?;
        Ok(())
    }

    fn visit(&mut self, id: Id, name: &str, depth: usize) -> Result<(), ImportError> {
        self.spend(1)?;
        match find_tensor(self.pickle, id) {
            Some(Found::Tensor(view)) => {
                let param = self.storages.tensor(name, &view)?;
                self.found.insert(name.to_string(), param);
                return Ok(());
            }
            Some(Found::NotFloat) => return Ok(()),
            Some(Found::Refused(reason)) => {
                self.found.notes.push(format!("The tensor `{}` {reason}.", ImportError::brief(name)));
                return Ok(());
            }
            None => {}
        }
        let Some(members) = self.members(id) else { return Ok(()) };
        // Copied, and looked through whatever their keys are.
        self.spend(members.len())?;
        if depth == MAX_DEPTH {
            let reason = format!("objects that lie more than {MAX_DEPTH} deep in each other are not read");
            return Err(ImportError::TooLarge(reason));
        }
        for (key, value) in members {
            // Optimizers have tensors of their own.
            let Some(key) = self.pickle.text(key).filter(|key| !key.starts_with("optim")) else { continue };
            let full = if name.is_empty() { key.into_owned() } else { format!("{name}.{key}") };
            if full.len() >= MAX_NAME_BYTES {
                continue;
            }
            self.visit(value, &full, depth + 1)?;
        }
        Ok(())
    }
}

/// Longer names are no layer's.
const MAX_NAME_BYTES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn dict(names: &[&str]) -> StateDict {
        let mut dict = StateDict::default();
        for name in names {
            dict.insert(name.to_string(), Param { shape: vec![1], data: vec![1.0].into() });
        }
        dict
    }

    #[test]
    fn prefixes_go_where_all_names_have_them() {
        let cases: [(&[&str], &[&str]); 4] = [
            (&["module.conv1.weight", "module.fc.bias"], &["conv1.weight", "fc.bias"]),
            (&["module._orig_mod.a", "module._orig_mod.b"], &["a", "b"]),
            (&["model.a", "head.b"], &["model.a", "head.b"]),
            (&["b", "a"], &["b", "a"]),
        ];
        for (before, after) in cases {
            let got = dict(before).without_prefixes();
            assert_eq!(got.order, after);
            assert_eq!(got.params.len(), after.len());
        }
    }
}

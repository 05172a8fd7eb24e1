//! Weights poured into a net that a net file describes.

use std::collections::{BTreeMap, HashSet};

use super::StateDict;
use super::recognize::Misfit;
use crate::formats::architectures::{NamedParams, ParamRole, ParamSpec};
use crate::formats::{ImportError, Imported, netfile};
use crate::nn::graph::Param;

/// Layers of the same names take the tensors of these; without such names the tensors are taken in the file's order.
pub(super) fn net(mut dict: StateDict, net_file: &str) -> Result<Imported, ImportError> {
    let wanted = netfile::layers_needing_params(net_file)?;
    dict.order.retain(|name| !is_counter(name));
    let found: Vec<Option<String>> = wanted.iter().map(|spec| found_name(&dict, spec)).collect();
    let mut notes = std::mem::take(&mut dict.notes);
    let chosen = match misfits(&dict, &wanted, &found) {
        misfits if misfits.is_empty() => {
            let taken: Vec<String> = found.into_iter().flatten().collect();
            let used: HashSet<&String> = taken.iter().collect();
            let unused: Vec<&String> = dict.order.iter().filter(|name| !used.contains(name)).collect();
            if let [first, ..] = unused.as_slice() {
                let (count, first) = (unused.len(), ImportError::brief(first));
                notes.push(format!("The net file has no place for {count} tensors of the file, such as `{first}`."));
            }
            taken
        }
        misfits => match in_order(&dict, &wanted) {
            Ok(()) => {
                notes.push(
                    "The tensors have not the names of the net file's layers: they were taken in the file's order."
                        .into(),
                );
                dict.order.clone()
            }
            Err(reason) if found.iter().all(Option::is_none) => {
                let reason = format!("no tensor has the name of one that the net file needs, and {reason}");
                return Err(ImportError::Needs(reason));
            }
            Err(_) => return Err(lacking(&misfits, wanted.len())),
        },
    };
    let param = |(spec, name): (&ParamSpec, &String)| Some((spec.name.clone(), dict.params.get(name)?.clone()));
    let params: BTreeMap<String, Param> = wanted.iter().zip(&chosen).filter_map(param).collect();
    let mut imported = netfile::build(net_file, &mut NamedParams::new(params))?;
    imported.notes.extend(notes);
    Ok(imported)
}

/// How many batches a batch norm has seen, which nothing depends on.
fn is_counter(name: &str) -> bool {
    name == "num_batches_tracked" || name.ends_with(".num_batches_tracked")
}

/// What the tensor is called: as in the net file, or as PyTorch calls it.
fn found_name(dict: &StateDict, spec: &ParamSpec) -> Option<String> {
    let layer = spec.name.rsplit_once('.').map_or("", |(layer, _)| layer);
    let role = match spec.role {
        ParamRole::Weight | ParamRole::Gamma => "weight",
        ParamRole::Bias | ParamRole::Beta => "bias",
        ParamRole::Mean => "running_mean",
        ParamRole::Variance => "running_var",
    };
    [spec.name.clone(), format!("{layer}.{role}")].into_iter().find(|name| dict.params.contains_key(name))
}

fn misfits(dict: &StateDict, wanted: &[ParamSpec], found: &[Option<String>]) -> Vec<Misfit> {
    let misfit = |(spec, name): (&ParamSpec, &Option<String>)| {
        let shape = name.as_ref().and_then(|name| dict.params.get(name)).map(|param| param.shape.clone());
        (shape.as_ref() != Some(&spec.shape)).then(|| Misfit { wanted: spec.clone(), found: shape })
    };
    wanted.iter().zip(found).filter_map(misfit).collect()
}

/// Whether all tensors have the shapes of the net file's, one by one; else why not, to follow "and".
fn in_order(dict: &StateDict, wanted: &[ParamSpec]) -> Result<(), String> {
    if dict.is_sorted {
        return Err("a safetensors file keeps no order in which they could be taken".into());
    }
    for (number, (spec, name)) in wanted.iter().zip(&dict.order).enumerate() {
        let shape = dict.params.get(name).map(|param| param.shape.as_slice()).unwrap_or_default();
        if shape != spec.shape {
            return Err(format!(
                "in order, tensor {}, `{}`, is {:?} where `{}` should be {:?}",
                number + 1,
                ImportError::brief(name),
                shape.get(..8).unwrap_or(shape),
                spec.name,
                spec.shape
            ));
        }
    }
    if let Some(spec) = wanted.get(dict.order.len()) {
        return Err(format!("in order, `{}` and what follows it are missing", spec.name));
    }
    match dict.order.get(wanted.len()) {
        Some(name) => Err(format!("in order, `{}` and what follows it are too many", ImportError::brief(name))),
        None => Ok(()),
    }
}

fn lacking(misfits: &[Misfit], wanted: usize) -> ImportError {
    const SHOWN: usize = 3;
    let shown: Vec<String> = misfits.iter().take(SHOWN).map(Misfit::to_string).collect();
    let more = if misfits.len() > SHOWN { "; …" } else { "" };
    ImportError::Needs(format!(
        "of the {wanted} tensors that the net file needs, {} are missing or of another shape: {}{more}",
        misfits.len(),
        shown.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET: &str = "input 1x4x4\na: conv 2 3x3 / norm: batchnorm / b: fc 2\n";

    fn dict(tensors: &[(&str, &[usize])]) -> StateDict {
        let mut dict = StateDict::default();
        for (place, &(name, shape)) in tensors.iter().enumerate() {
            let data = vec![place as f32; shape.iter().product()];
            dict.insert(name.into(), Param { shape: shape.to_vec(), data: data.into() });
        }
        dict
    }

    /// In an order of their own.
    const NAMED: [(&str, &[usize]); 9] = [
        ("b.bias", &[2]),
        ("b.weight", &[2, 8]),
        ("a.bias", &[2]),
        ("a.weight", &[2, 1, 3, 3]),
        ("norm.running_var", &[2]),
        ("norm.running_mean", &[2]),
        ("norm.bias", &[2]),
        ("norm.weight", &[2]),
        ("norm.num_batches_tracked", &[]),
    ];

    fn firsts(imported: &Imported) -> Vec<(String, f32)> {
        imported.net.params().map(|(name, param)| (name.to_string(), param.data[0])).collect()
    }

    #[test]
    fn layers_take_the_tensors_of_their_names() {
        let imported = net(dict(&NAMED), NET).unwrap();
        let of = |name: &str| firsts(&imported).into_iter().find(|(param, _)| param == name).unwrap().1;
        let got = ["a.weight", "a.bias", "norm.gamma", "norm.beta", "norm.mean", "norm.variance", "b.weight", "b.bias"];
        assert_eq!(got.map(of), [3.0, 2.0, 7.0, 6.0, 5.0, 4.0, 1.0, 0.0]);
        assert_eq!(imported.notes, Vec::<String>::new());
    }

    #[test]
    fn other_names_are_taken_in_order() {
        let ordered: [(&str, &[usize]); 9] = [
            ("0.weight", &[2, 1, 3, 3]),
            ("0.bias", &[2]),
            ("1.weight", &[2]),
            ("1.bias", &[2]),
            ("1.running_mean", &[2]),
            ("1.running_var", &[2]),
            ("1.num_batches_tracked", &[]),
            ("4.weight", &[2, 8]),
            ("4.bias", &[2]),
        ];
        let imported = net(dict(&ordered), NET).unwrap();
        let of = |name: &str| firsts(&imported).into_iter().find(|(param, _)| param == name).unwrap().1;
        assert_eq!(["a.weight", "norm.beta", "norm.variance", "b.bias"].map(of), [0.0, 3.0, 5.0, 8.0]);
        assert!(imported.notes[0].contains("in the file's order"), "{:?}", imported.notes);

        let message = |dict: StateDict| net(dict, NET).err().unwrap().to_string();
        let sorted = StateDict { is_sorted: true, ..dict(&ordered) };
        assert!(message(sorted).ends_with("a safetensors file keeps no order in which they could be taken"));
        let short = message(dict(&ordered[..8]));
        assert!(short.ends_with("in order, `b.bias` and what follows it are missing"), "{short}");
        let mut wrong = ordered;
        wrong[7].1 = &[8, 2];
        let wrong = message(dict(&wrong));
        assert!(
            wrong.ends_with("in order, tensor 7, `4.weight`, is [8, 2] where `b.weight` should be [2, 8]"),
            "{wrong}"
        );
        let lacks = message(dict(&NAMED[1..]));
        let expected =
            "of the 8 tensors that the net file needs, 1 are missing or of another shape: `b.bias` is missing";
        assert_eq!(lacks, expected);
    }
}

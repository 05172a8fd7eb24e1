//! MatConvNet nets (Vedaldi 2015) in MATLAB files: SimpleNN and DagNN, alone or within a training checkpoint.
//!
//! MatConvNet's arrays are height × width × depth × number, column-major; pictures are RGB (or gray) of 0–255 less a
//! mean.

mod block;
mod dag;
mod mat5;
mod mat73;
mod meta;
mod net;
mod parse;
mod simple;
mod value;

use self::meta::{InputSize, Meta};
use self::net::{Maps, Net};
use self::value::{Record, Structs, Value};
use super::{ImportError, Imported, LoadOptions};
use crate::nn::graph::GraphBuilder;

/// What to do about nets saved as objects.
const SAVE_AS_STRUCT: &str = "in MATLAB save it as a plain struct: s = net.saveobj(); save('net.mat', '-struct', 's')";

/// Reads a net from a MATLAB file of version 5 to 7, or 7.3 (which is HDF5).
pub fn read(bytes: &[u8], options: &LoadOptions) -> Result<Imported, ImportError> {
    if mat73::is_hdf5(bytes) {
        return read_variables(mat73::variables(bytes)?, options);
    }
    read_variables(mat5::Container::unpack(bytes)?.variables()?, options)
}

fn read_variables(variables: Vec<(String, Value<'_>)>, options: &LoadOptions) -> Result<Imported, ImportError> {
    let (fields, values) = variables.into_iter().unzip();
    let root = Structs { fields, values };
    let mut notes = Vec::new();
    let net = find_net(&root, &mut notes)?;
    let layers = net.get("layers").and_then(Value::records).unwrap_or_default();
    if layers.is_empty() {
        return Err(ImportError::Damaged("the net has no layers".into()));
    }
    let meta = Meta::of(net);
    let stated = meta.input_size()?;
    let mut imported = if dag::is_dag(&layers) {
        let mut dag = dag::Dag::new(&net, &layers)?;
        notes.append(&mut dag.notes);
        build(dag.input, stated, dag.first_depth(), options, |net, input| dag.add_layers(net, input))?
    } else {
        let depth = simple::first_depth(&layers);
        build("input", stated, depth, options, |net, input| simple::add_layers(net, &layers, input))?
    };
    notes.append(&mut imported.notes);
    let channels = imported.net.shape(GraphBuilder::INPUT).map_or(0, |shape| shape.dims().get(1).copied().unwrap_or(0));
    imported.preprocess = meta.preprocess(channels, &mut notes);
    imported.labels = labels_for(&imported.net, meta.labels(), &mut notes);
    imported.notes = notes;
    Ok(imported)
}

/// The struct that holds the layers: the file itself, its variable `net`, or another one.
fn find_net<'v, 'a>(root: &'v Structs<'a>, notes: &mut Vec<String>) -> Result<Record<'v, 'a>, ImportError> {
    let has_layers = |record: &Record<'_, '_>| record.get("layers").is_some_and(|layers| layers.records().is_some());
    let within = |record: Record<'v, 'a>| {
        let inner = record.get("net").and_then(Value::record);
        [Some(record), inner].into_iter().flatten().find(has_layers)
    };
    if let Some(net) = root.records().next().and_then(within) {
        return Ok(net);
    }
    let named = root.fields.iter().zip(&root.values);
    let mut found = named.clone().filter_map(|(name, value)| Some((name, within(value.record()?)?)));
    if let Some((name, net)) = found.next() {
        if found.next().is_some() {
            notes
                .push(format!("The file holds several nets; `{}`, the first one, was read.", ImportError::brief(name)));
        }
        return Ok(net);
    }
    match named.clone().find(|(_, value)| matches!(value, Value::Opaque(kind) if kind == "a MATLAB object")) {
        Some((name, _)) => {
            let name = if name.is_empty() { "a variable" } else { name };
            Err(ImportError::Unsupported(format!(
                "`{}` is a MATLAB object; {SAVE_AS_STRUCT}",
                ImportError::brief(name)
            )))
        }
        None => {
            const SHOWN: usize = 8;
            let names: Vec<String> = root.fields.iter().take(SHOWN).map(|name| ImportError::brief(name)).collect();
            let names = if names.is_empty() { "nothing".into() } else { names.join(", ") };
            Err(ImportError::Unsupported(format!(
                "the MATLAB file holds no MatConvNet net, which is a struct with the field `layers`; it holds {names}"
            )))
        }
    }
}

/// Builds the graph for pictures of the stated size, or of one that the layers allow.
fn build(
    input_name: &str,
    stated: Option<InputSize>,
    depth: Option<usize>,
    options: &LoadOptions,
    add_layers: impl FnOnce(&mut Net, Maps) -> Result<(), ImportError>,
) -> Result<Imported, ImportError> {
    const MOST_CHANNELS: usize = 1 << 16;
    let channels = stated.and_then(|stated| stated.channels).or(depth).unwrap_or(3);
    if !(1..=MOST_CHANNELS).contains(&channels) {
        return Err(ImportError::Damaged(format!("the net takes pictures of {channels} channels")));
    }
    let size = options.size_px.or(stated.map(|stated| stated.size));
    let mut net = Net::new(input_name, channels, size.unwrap_or([1, 1]));
    add_layers(&mut net, Maps { id: GraphBuilder::INPUT, channels })?;
    let Net { mut graph, mut notes, .. } = net;
    if size.is_none() {
        let side = fitting_side(&mut graph).ok_or_else(|| {
            ImportError::Needs("the file does not say the size of the net's pictures, and no size up to 512 pixels fits its layers; state the size".into())
        })?;
        notes.push(format!(
            "The file does not say the size of the net's pictures; {side}×{side} pixels fit its layers."
        ));
    }
    let mut imported = Imported::new("", graph);
    imported.notes = notes;
    Ok(imported)
}

/// Sizes that nets are often made for, in pixels.
const USUAL_SIDES: [usize; 8] = [28, 32, 48, 64, 96, 128, 224, 227];
const MOST_PX: usize = 512;
/// Of deeper nets only the usual sizes are tried.
const MOST_LAYERS_SEARCHED: usize = 1000;

/// Gives a net square pictures of which its last layer makes a single pixel (or, failing that, any output), of a usual
/// size if there is one, else the smallest. `None` if there is no such size.
fn fitting_side(graph: &mut GraphBuilder) -> Option<usize> {
    let last = graph.nodes().len().checked_sub(1)?;
    let mut sides = [None::<usize>; 4];
    let many_layers = graph.nodes().len() > MOST_LAYERS_SEARCHED;
    for side in (1..=MOST_PX).filter(|side| !many_layers || USUAL_SIDES.contains(side)) {
        graph.set_input_size([side; 2]);
        let Some(shape) = graph.shape(last) else { continue };
        let usual = USUAL_SIDES.contains(&side);
        let one_pixel = shape.dims().iter().skip(2).all(|&dim| dim == 1);
        for (place, holds) in [usual && one_pixel, one_pixel, usual, true].into_iter().enumerate() {
            if let Some(first) = sides.get_mut(place).filter(|_| holds) {
                first.get_or_insert(side);
            }
        }
        if sides[0].is_some() {
            break;
        }
    }
    let side = sides.into_iter().flatten().next()?;
    graph.set_input_size([side; 2]);
    Some(side)
}

/// The labels if they are as many as the net's classes.
fn labels_for(graph: &GraphBuilder, labels: Vec<String>, notes: &mut Vec<String>) -> Vec<String> {
    let last = graph.nodes().len().saturating_sub(1);
    let classes = graph.shape(last).and_then(|shape| shape.dims().get(1).copied());
    if labels.is_empty() || classes.is_none_or(|classes| classes == labels.len()) {
        return labels;
    }
    notes.push(format!(
        "The file names {} classes, but the net has {}; the names were left out.",
        labels.len(),
        classes.unwrap_or(0)
    ));
    Vec::new()
}

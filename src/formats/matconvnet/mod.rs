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
    let size = stated.map(|stated| stated.size).or(options.size_px);
    let mut net = Net::new(input_name, channels, size);
    add_layers(&mut net, Maps { id: GraphBuilder::INPUT, channels })?;
    let Net { mut graph, .. } = net;
    let mut notes = Vec::new();
    if size.is_none() {
        let side = fitting_side(&mut graph).ok_or_else(|| {
            ImportError::Needs(format!(
                "the file does not say the size of the net's pictures, and no size up to {MOST_PX} pixels fits its \
                 layers; state the size"
            ))
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

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::value::{Numbers, Stored};
    use super::*;

    fn text(text: &str) -> Value<'static> {
        Value::Text(vec![text.into()])
    }

    fn number(value: f64) -> Value<'static> {
        array(&[1, 1], &[value])
    }

    fn array(dims: &[usize], values: &[f64]) -> Value<'static> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Value::Numbers(Numbers::new(dims.to_vec(), Stored::F64, false, Cow::Owned(bytes)).unwrap())
    }

    fn record(fields: Vec<(&str, Value<'static>)>) -> Value<'static> {
        let (fields, values) = fields.into_iter().map(|(name, value)| (name.to_string(), value)).unzip();
        Value::Structs(Structs { fields, values })
    }

    fn conv() -> Value<'static> {
        let weights = Value::Cells(vec![array(&[2, 2, 1, 3], &[0.5; 12]), array(&[1, 3], &[0.0; 3])]);
        record(vec![("type", text("conv")), ("weights", weights)])
    }

    fn read_layers(layers: Vec<Value<'static>>) -> Result<Imported, ImportError> {
        let net = record(vec![("layers", Value::Cells(layers))]);
        read_variables(vec![("net".into(), net)], &LoadOptions::default())
    }

    fn layer(kind: &str, fields: Vec<(&'static str, Value<'static>)>) -> Value<'static> {
        let mut all = vec![("type", text(kind)), ("name", text("here"))];
        all.extend(fields);
        record(all)
    }

    fn error(read: Result<Imported, ImportError>) -> String {
        read.err().map_or_else(|| "nothing wrong".into(), |error| error.to_string())
    }

    #[test]
    fn what_cannot_be_converted_is_named() {
        let two_by_two = || array(&[2, 2], &[1.0; 4]);
        let untrained =
            || Value::Cells(vec![array(&[3, 1], &[1.0; 3]), array(&[3, 1], &[0.0; 3]), array(&[3, 2], &[0.0; 6])]);
        let cases = [
            (layer("custom", vec![]), "layer `here`: is of the type `custom`, which is not supported"),
            (layer("pool", vec![("method", text("sum"))]), "layer `here`: pools by `sum`"),
            (layer("pool", vec![("stride", number(-1.0))]), "layer `here`: `stride`: -1 is not a whole number"),
            (layer("pool", vec![("stride", array(&[1, 3], &[1.0; 3]))]), "has 3 values for `stride` where one or two"),
            (layer("pool", vec![("pad", text("same"))]), "has a field `pad` that is text, not numbers"),
            (layer("spnorm", vec![]), "layer `here`: has no field `param`"),
            (layer("bnorm", vec![]), "layer `here`: holds no moments"),
            (
                layer("bnorm", vec![("weights", untrained())]),
                "layer `here`: holds a standard deviation that is not above 0",
            ),
            (
                layer("conv", vec![("filters", array(&[1, 1, 2, 1], &[1.0; 2]))]),
                "filters of depth 2 do not fit an input of 3",
            ),
            (layer("scale", vec![("filters", two_by_two())]), "layer `here`: scales by an array of [2, 2]"),
        ];
        let wrong: Vec<String> = cases
            .into_iter()
            .map(|(layer, expected)| (error(read_layers(vec![conv(), layer])), expected))
            .filter(|(error, expected)| !error.contains(expected))
            .map(|(error, expected)| format!("{error} should say: {expected}"))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn files_without_a_net_say_what_they_hold() {
        let read = |name: &str, value| read_variables(vec![(name.into(), value)], &LoadOptions::default());
        assert!(error(read("imdb", number(1.0))).ends_with("it holds imdb"));
        let object = error(read("net", Value::Opaque("a MATLAB object".into())));
        assert!(object.contains("`net` is a MATLAB object; in MATLAB save it as a plain struct"), "{object}");
        assert!(error(read("net", record(vec![("layers", Value::Cells(Vec::new()))]))).contains("no layers"));
    }

    #[test]
    fn a_missing_size_is_found_by_the_layers() {
        let pool = || layer("pool", vec![("pool", number(2.0)), ("stride", number(2.0))]);
        let net = read_layers(vec![conv(), pool(), pool()]).unwrap();
        // One pixel comes of 5 to 8; of the usual sizes none does.
        assert_eq!(net.net.shape(0).unwrap().dims(), [1, 1, 5, 5]);
        assert!(net.notes[0].contains("5×5 pixels fit its layers"), "{:?}", net.notes);
        let options = LoadOptions { size_px: Some([9, 11]), ..LoadOptions::default() };
        let net = record(vec![("layers", Value::Cells(vec![conv()]))]);
        let net = read_variables(vec![("net".into(), net)], &options).unwrap();
        assert_eq!((net.net.shape(0).unwrap().dims(), net.notes.len()), (&[1, 1, 9, 11][..], 0));
    }

    #[test]
    fn the_mean_and_the_names_of_early_importers_are_understood() {
        let with_meta = |average: Value<'static>| {
            let normalization = record(vec![("imageSize", array(&[1, 2], &[4.0; 2])), ("averageImage", average)]);
            let names = Value::Cells(["a", "b", "c"].map(text).into());
            let meta = record(vec![("normalization", normalization), ("description", names)]);
            let net = record(vec![("layers", Value::Cells(vec![conv()])), ("meta", meta)]);
            // What the user says counts where the file is silent: it is not.
            let options = LoadOptions { size_px: Some([9, 9]), ..LoadOptions::default() };
            let net = read_variables(vec![("net".into(), net)], &options).unwrap();
            assert_eq!(net.net.shape(0).unwrap().dims(), [1, 1, 4, 4]);
            net
        };
        let none = with_meta(array(&[1, 2], &[0.0; 2]));
        assert_eq!((none.preprocess.mean, none.labels.len(), none.notes.len()), (None, 3, 0));
        assert_eq!(with_meta(number(7.0)).preprocess.mean, Some(vec![7.0]));
    }

    #[test]
    fn deviations_tell_the_unit_of_pixels() {
        let read = |mean: f64, deviation: f64| {
            let normalization = record(vec![("averageImage", number(mean)), ("imageStd", number(deviation))]);
            let fields = vec![("layers", Value::Cells(vec![conv()])), ("normalization", normalization)];
            let found =
                read_variables(vec![("net".into(), record(fields))], &LoadOptions::default()).unwrap().preprocess;
            (found.mean.unwrap()[0], found.scale.unwrap()[0])
        };
        assert_eq!(read(0.5, 0.25), (127.5, 1.0 / 63.75));
        assert_eq!(read(120.0, 64.0), (120.0, 1.0 / 64.0));
    }

    #[test]
    fn layers_without_numbers_cannot_fill_the_memory() {
        let names = |names: &[&str]| Value::Cells(names.iter().map(|name| text(name)).collect());
        let mut layers = Vec::new();
        let mut add = |input: String, output: String, kind: &str, inputs: usize, block: Value<'static>| {
            layers.push(record(vec![
                ("name", text(&output)),
                ("type", text(kind)),
                ("inputs", names(&vec![input.as_str(); inputs])),
                ("outputs", names(&[&output])),
                ("params", names(&[])),
                ("block", block),
            ]));
        };
        for i in 0..40 {
            add(format!("x{i}"), format!("x{}", i + 1), "dagnn.Concat", 2, record(vec![]));
        }
        add("x40".into(), "norm".into(), "dagnn.Conv", 1, record(vec![]));
        let net = record(vec![("layers", Value::Cells(layers))]);
        let error = error(read_variables(vec![("net".into(), net)], &LoadOptions::default()));
        assert!(error.contains("makes the net too large"), "{error}");
    }
}

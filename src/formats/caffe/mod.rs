//! Nets of Caffe (Jia 2014): the description (`.prototxt`), the weights (`.caffemodel`, `.caffemodel.h5`) and the mean
//! image (`.binaryproto`), in all three spellings that layers have had.

mod blob;
mod build;
mod input;
mod layers;
mod message;
mod net;
mod schema;
mod sniff;
mod text;
mod weights;
mod wiring;

pub use sniff::{looks_like_caffemodel, looks_like_mean, looks_like_prototxt, looks_like_solverstate};

use self::blob::MeanImage;
use self::build::Plan;
use self::input::Described;
use self::message::Message;
use self::net::Net;
use self::weights::Weights;
use self::wiring::Wiring;
use super::{ImportError, Imported, LoadOptions};

/// What is at hand of a net: its weights, and its description unless a caffemodel has that too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    pub prototxt: Option<&'a str>,
    pub caffemodel: Option<&'a [u8]>,
    /// A `.caffemodel.h5`, which has weights only.
    pub h5: Option<&'a [u8]>,
    /// A `.binaryproto`.
    pub mean: Option<&'a [u8]>,
    /// A `.binaryproto` that may be another net's: it serves where the net states no mean and has as many channels.
    pub mean_beside: Option<&'a [u8]>,
}

impl<'a> Sources<'a> {
    /// The mean that was given, and whether it may be another net's.
    fn mean(&self) -> Result<Option<(MeanImage, bool)>, ImportError> {
        match (self.mean, self.mean_beside) {
            (Some(bytes), _) => Ok(Some((MeanImage::read(bytes)?, false))),
            (None, Some(bytes)) => Ok(MeanImage::read(bytes).ok().map(|mean| (mean, true))),
            (None, None) => Ok(None),
        }
    }
}

/// Reads a net. The description is the prototxt's where there is one, else the caffemodel's own.
pub fn read(sources: &Sources<'_>, options: &LoadOptions) -> Result<Imported, ImportError> {
    Ok(read_and_tell(sources, options)?.0)
}

/// As [`read`]; also whether the mean image served.
pub fn read_and_tell(sources: &Sources<'_>, options: &LoadOptions) -> Result<(Imported, bool), ImportError> {
    if sources.caffemodel.is_some_and(looks_like_solverstate) {
        return Err(ImportError::Unsupported(
            "it is the state of a solver, from which training goes on, not a net: give the .caffemodel beside it"
                .into(),
        ));
    }
    let text = sources.prototxt.map(text::parse).transpose()?;
    if let Some(text) = &text {
        refuse_solver(text)?;
    }
    let binary = sources.caffemodel.map(|bytes| schema::decode(bytes, schema::NET)).transpose()?;
    let trained = binary.as_ref().map(Net::new).transpose()?;
    let mut described = text.as_ref().map(Net::new).transpose()?;
    if let Some(net) = &mut described {
        net.deployed()?;
    }
    let Some(net) = described.as_ref().or(trained.as_ref()) else {
        return Err(ImportError::Needs(
            "the net's description is missing: put the net's prototxt beside its weights or give it too".into(),
        ));
    };
    if described.is_none() && !has_parameters(net) {
        return Err(ImportError::Needs(
            "the caffemodel has weights only, not how its layers work: put the net's prototxt beside it or give it too"
                .into(),
        ));
    }
    let weights = match (&trained, sources.h5) {
        (Some(trained), _) => Weights::of_net(trained),
        (None, Some(bytes)) => Weights::of_hdf5(bytes)?,
        (None, None) => {
            let name = net.name.trim();
            let file = if name.is_empty() {
                "its .caffemodel".into()
            } else {
                format!("{}.caffemodel", ImportError::brief(name))
            };
            return Err(ImportError::Needs(format!("the weights are missing: put {file} beside it or give it too")));
        }
    };
    let nets: Vec<&Net<'_>> = described.iter().chain(&trained).collect();
    import(net, &nets, &weights, sources.mean()?, options)
}

/// The description of a training run names the net's in one of its fields.
fn refuse_solver(text: &Message<'_>) -> Result<(), ImportError> {
    let net = text.text("net").or(text.text("train_net"));
    if text.has("layer") || text.has("layers") || (net.is_none() && !text.has("base_lr")) {
        return Ok(());
    }
    let net = net.map_or("the net's own".to_string(), |net| format!("`{}`", ImportError::brief(net)));
    Err(ImportError::Unsupported(format!("the prototxt describes a training run, not a net: give {net} instead")))
}

/// Whether some layer of weights tells how it works: some tools write caffemodels without that.
fn has_parameters(net: &Net<'_>) -> bool {
    let own = ["convolution_param", "inner_product_param"];
    net.layers.iter().any(|layer| own.iter().any(|name| layer.message.has(name)))
}

/// `nets` are those that may tell how pictures are prepared, the first one first.
fn import(
    net: &Net<'_>,
    nets: &[&Net<'_>],
    weights: &Weights<'_>,
    mean: Option<(MeanImage, bool)>,
    options: &LoadOptions,
) -> Result<(Imported, bool), ImportError> {
    let wiring = Wiring::new(net, layers::is_supported)?;
    let mut input = Described::new(net, &wiring.input)?;
    input.infer_channels(net, &wiring, weights)?;
    let mean = match mean {
        Some((mean, true)) => {
            let fits = input.channels.is_none_or(|channels| channels == mean.channels.len());
            (fits && !input::states_mean(nets)?).then_some(mean)
        }
        given => given.map(|(mean, _)| mean),
    };
    if let Some(mean) = &mean {
        input.channels = input.channels.or(Some(mean.channels.len()));
    }
    let plan = Plan { net, wiring: &wiring, weights, input: &input };
    let built = plan.build(input.size.or(options.size_px), mean.as_ref().map(|mean| mean.size))?;
    let mut notes = built.notes;
    if !wiring.heads.is_empty() {
        let heads: Vec<String> = wiring.heads.iter().take(8).map(|name| ImportError::brief(name)).collect();
        notes.push(format!("Outputs that serve training only are left out: {}.", heads.join(", ")));
    }
    for (layer, kind) in wiring.unsupported.iter().take(8) {
        let (layer, kind) = (ImportError::brief(layer), ImportError::brief(kind));
        notes
            .push(format!("The layer `{layer}` is left out, for its type {kind} is not supported; no other needs it."));
    }
    let preprocess = input::preprocess(nets, mean.as_ref(), input.channels.unwrap_or_default(), &mut notes)?;
    let mut imported = Imported::new(ImportError::brief(&net.name), built.net);
    imported.preprocess = preprocess;
    imported.notes = notes;
    Ok((imported, mean.is_some()))
}

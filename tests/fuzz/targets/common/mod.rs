use oneiric::formats::{ImportError, Imported};
use oneiric::nn::graph::{ChannelOrder, Preprocess};
use oneiric::nn::ops::Op;

/// Checks the net whole, as the program does.
pub fn build(imported: Result<Imported, ImportError>) {
    let Ok(imported) = imported else { return };
    let Some(Op::Input(input)) = imported.net.nodes().first().map(|node| &node.op) else { return };
    let channels = input.channels.min(3);
    let order = if channels == 1 { ChannelOrder::Gray } else { ChannelOrder::Rgb };
    let preprocess = Preprocess { order, mean: vec![0.0; channels], scale: vec![1.0; channels] };
    let _ = imported.net.finish("fuzzed", preprocess, imported.labels);
}

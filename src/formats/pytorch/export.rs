//! A net's weights as a PyTorch state dict in safetensors.

use std::collections::{BTreeMap, HashMap};

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::formats::ImportError;
use crate::nn::graph::{Graph, Node};
use crate::nn::ops::Op;

/// The bytes of a safetensors file that `safetensors.torch.load_file` reads into a state dict.
///
/// The parameters of a layer are called as PyTorch calls them, after the layer: `conv1.weight`, `conv1.bias`,
/// `bn1.running_mean`. Nets of the known architectures thus get torchvision's names. All numbers are f32, all shapes
/// PyTorch's. What a state dict cannot say (the graph, strides, the epsilon of batch norms) is not in it.
pub fn to_state_dict_safetensors(graph: &Graph) -> Result<Vec<u8>, ImportError> {
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for node in graph.nodes() {
        for (param_name, suffix) in node.params.iter().zip(suffixes(node)?) {
            let Some(param) = graph.params().get(param_name) else { continue };
            let stated = param_name.strip_suffix(suffix).is_some_and(|start| start.ends_with('.'));
            let name = if stated { param_name.clone() } else { format!("{}.{suffix}", node.name) };
            let bytes = param.data.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensors.insert(name, (param.shape.clone(), bytes));
        }
    }
    let wrong = |error| ImportError::Unsupported(format!("the weights cannot be written: {error}"));
    let mut views = Vec::with_capacity(tensors.len());
    for (name, (shape, bytes)) in &tensors {
        views.push((name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(wrong)?));
    }
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize(views, Some(metadata)).map_err(wrong)
}

/// What PyTorch calls the parameters of a layer, in the order in which the op has them.
fn suffixes(node: &Node) -> Result<&'static [&'static str], ImportError> {
    Ok(match node.op {
        Op::Conv2d(_) | Op::ConvTranspose2d(_) | Op::Linear(_) | Op::Scale(_) | Op::InstanceNorm(_) | Op::PRelu(_) => {
            &["weight", "bias"]
        }
        Op::BatchNorm(_) => &["weight", "bias", "running_mean", "running_var"],
        _ if node.params.is_empty() => &[],
        _ => {
            let reason =
                format!("PyTorch has no {} with parameters, so it has no place in a state dict", node.op.kind());
            return Err(ImportError::layer(&node.name, reason));
        }
    })
}

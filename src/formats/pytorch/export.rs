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
            let tensor = (param.shape.clone(), bytes);
            if tensors.get(&name).is_some_and(|other| *other != tensor) {
                return Err(ImportError::layer(&node.name, format!("two parameters would be called `{name}`")));
            }
            tensors.insert(name, tensor);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::architectures::{Architecture, RandomParams};
    use crate::formats::pytorch::safetensors_tensors;
    use crate::nn::graph::{ChannelOrder, GraphBuilder, Preprocess};
    use crate::nn::ops::batch_norm::BatchNorm;
    use crate::nn::ops::linear::Linear;

    #[test]
    fn a_known_architecture_keeps_torchvisions_names_and_all_numbers() {
        let graph = Architecture::SqueezeNet1_1.blueprint(5).build(&mut RandomParams::new(1), Vec::new()).unwrap();
        let dict = safetensors_tensors(&to_state_dict_safetensors(&graph).unwrap()).unwrap();
        assert_eq!(&dict.params, graph.params());
    }

    #[test]
    fn other_parameters_are_called_after_their_layer() {
        let mut net = GraphBuilder::new("data", 3, [1, 1]);
        for (name, value) in [("scale", 1.0), ("shift", 2.0), ("m", 3.0), ("v", 4.0)] {
            net.param(name, &[3], vec![value; 3]);
        }
        net.param("ip1/W", &[2, 3], vec![5.0; 6]);
        let bn = net.add("bn", Op::BatchNorm(BatchNorm { epsilon: 1e-5 }), &[0], &["scale", "shift", "m", "v"]);
        net.add("ip1", Op::Linear(Linear {}), &[bn], &["ip1/W"]);
        let preprocess = Preprocess { order: ChannelOrder::Rgb, mean: vec![0.0; 3], scale: vec![1.0; 3] };
        let graph = net.finish("net", preprocess, Vec::new()).unwrap();
        let dict = safetensors_tensors(&to_state_dict_safetensors(&graph).unwrap()).unwrap();
        let got: Vec<(&str, f32)> = dict.params.iter().map(|(name, param)| (name.as_str(), param.data[0])).collect();
        let expected = [
            ("bn.bias", 2.0),
            ("bn.running_mean", 3.0),
            ("bn.running_var", 4.0),
            ("bn.weight", 1.0),
            ("ip1.weight", 5.0),
        ];
        assert_eq!(got, expected);
    }
}

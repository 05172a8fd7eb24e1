//! What a net costs to run, counted from shapes alone.

use super::graph::{Graph, GraphError, Node, NodeId};
use super::ops::Op;
use crate::base::tensor::Shape;

/// The multiply-accumulates of one op's forward pass, as the definition of the op has them: taps in the padding count,
/// and a faster algorithm (Winograd) changes nothing. Only ops that are matrix products at heart count; the others take
/// little time beside them. The gradient with respect to the input takes as many again.
///
/// `params` are the shapes of the op's parameters.
pub fn macs(op: &Op, inputs: &[&Shape], params: &[&[usize]], output: &Shape) -> u64 {
    let Some(weight) = params.first() else { return 0 };
    let rest_of_weight = || weight.iter().skip(1).map(|&dim| dim as u64).product::<u64>();
    match op {
        // Every output element sums over one row of [out, in / groups, height, width] or [out, in].
        Op::Conv2d(_) | Op::Linear(_) => output.len() as u64 * rest_of_weight(),
        // Every input element is spread over one row of [in, out / groups, height, width].
        Op::ConvTranspose2d(_) => inputs.first().map_or(0, |input| input.len() as u64) * rest_of_weight(),
        _ => 0,
    }
}

impl Graph {
    /// The multiply-accumulates of each node for a given input; nought for nodes that `targets` do not need.
    pub fn macs_for(&self, input: &Shape, targets: &[NodeId]) -> Result<Vec<u64>, GraphError> {
        let shapes = self.shapes_for(input, targets)?;
        let of_node = |(node, output): (&Node, &Option<Shape>)| {
            let Some(output) = output else { return 0 };
            let inputs: Vec<&Shape> = node.inputs.iter().filter_map(|&id| shapes[id].as_ref()).collect();
            let params: Vec<&[usize]> = node.params.iter().map(|name| self.params()[name].shape.as_slice()).collect();
            macs(&node.op, &inputs, &params, output)
        };
        Ok(self.nodes().iter().zip(&shapes).map(of_node).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::activation::Activation;
    use crate::nn::ops::conv::Conv2d;
    use crate::nn::ops::conv_transpose::ConvTranspose2d;
    use crate::nn::ops::linear::Linear;
    use crate::nn::ops::window::Window;

    #[test]
    fn matrix_products_count_and_the_rest_does_not() {
        let conv = |groups| Op::Conv2d(Conv2d { window: Window::square(3, 1), groups });
        let window = Window::square(2, 2);
        let transposed = Op::ConvTranspose2d(ConvTranspose2d { window, groups: 1, output_padding: [0; 2] });
        let linear = Op::Linear(Linear {});
        let relu = Op::Activation(Activation::Relu);
        let maps = |channels, side| Shape::maps(2, channels, side, side);
        type Case<'a> = (&'a str, Op, Shape, &'a [&'a [usize]], Shape, u64);
        let cases: [Case; 5] = [
            ("conv", conv(1), maps(4, 8), &[&[5, 4, 3, 3], &[5]], maps(5, 6), 2 * 5 * 6 * 6 * 4 * 9),
            ("depthwise", conv(4), maps(4, 8), &[&[4, 1, 3, 3]], maps(4, 6), 2 * 4 * 6 * 6 * 9),
            ("transposed", transposed, maps(4, 3), &[&[4, 7, 2, 2]], maps(7, 6), 2 * 4 * 3 * 3 * 7 * 4),
            ("linear", linear, Shape::vector(2, 10), &[&[3, 10], &[3]], Shape::vector(2, 3), 2 * 3 * 10),
            ("relu", relu, maps(4, 8), &[], maps(4, 8), 0),
        ];
        for (name, op, input, params, output, expected) in cases {
            assert_eq!(macs(&op, &[&input], params, &output), expected, "{name}");
        }
    }
}

//! The operators, each as nodes of the net.

use super::super::ImportError;
use super::call::Call;
use super::importer::Importer;
use super::value::Value;

mod activation;
mod arithmetic;
mod cut;
mod join;
mod linear;
mod norm;
mod pool;
pub mod quantized;
pub mod reduce;
mod resize;
pub mod shape;
mod window;

/// Operators that do to integers that stand for numbers what they do to the numbers.
const THROUGH_QUANTIZATION: [&str; 18] = [
    "DequantizeLinear",
    "Identity",
    "Cast",
    "MaxPool",
    "Reshape",
    "Flatten",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Concat",
    "Slice",
    "Split",
    "Gather",
    "Shape",
    "Dropout",
    "GlobalMaxPool",
    "ConvInteger",
    "MatMulInteger",
];

/// The values of a node's outputs.
pub fn translate(importer: &mut Importer, call: &Call) -> Result<Vec<Value>, ImportError> {
    let op = call.node.op_type();
    let quantized = |value: &Value| matches!(value, Value::Computed(computed) if computed.quantization.is_some());
    if call.inputs.iter().any(quantized) && !THROUGH_QUANTIZATION.contains(&op) && !op.starts_with('Q') {
        return Err(call.unsupported("quantized input"));
    }
    match call.node.operator_set() {
        "" => standard(importer, call, op),
        "com.microsoft" => match op {
            "QuantizeLinear" | "DequantizeLinear" | "FusedConv" | "FusedGemm" => standard(importer, call, op),
            _ if op.starts_with("QLinear") || op == "QGemm" => quantized::translate(importer, call, op),
            _ => Err(call.unsupported("this operator of com.microsoft")),
        },
        domain => Err(call.unsupported(format!("this operator of {}", ImportError::brief(domain)))),
    }
}

fn standard(importer: &mut Importer, call: &Call, op: &str) -> Result<Vec<Value>, ImportError> {
    let output = match op {
        "Conv" | "FusedConv" => window::conv(importer, call)?,
        "ConvTranspose" => window::conv_transpose(importer, call)?,
        "Gemm" | "FusedGemm" => linear::gemm(importer, call)?,
        "MatMul" => linear::mat_mul(importer, call)?,
        "MaxPool" | "AveragePool" | "GlobalAveragePool" | "GlobalMaxPool" => pool::translate(importer, call, op)?,
        "ReduceMean" | "ReduceSum" | "ReduceMax" => reduce::translate(importer, call, op)?,
        "Add" | "Sub" | "Mul" | "Div" | "Sum" | "Mean" | "Max" | "Min" | "Pow" | "Neg" => {
            arithmetic::translate(importer, call, op)?
        }
        "BatchNormalization" => norm::batch(importer, call)?,
        "InstanceNormalization" => norm::instance(importer, call)?,
        "GroupNormalization" => norm::group(importer, call)?,
        "LayerNormalization" => norm::layer(importer, call)?,
        "LRN" => norm::lrn(importer, call)?,
        "Softmax" | "LogSoftmax" => norm::softmax(importer, call, op)?,
        "PRelu" => activation::prelu(importer, call)?,
        "Dropout" => activation::dropout(importer, call)?,
        "Reshape" => shape::reshape(importer, call)?,
        "Flatten" => shape::flatten(importer, call)?,
        "Transpose" => shape::transpose(importer, call)?,
        "Squeeze" | "Unsqueeze" => shape::squeeze(importer, call, op)?,
        "Expand" => shape::expand(importer, call)?,
        "Shape" | "Size" => shape::shape(importer, call, op)?,
        "Identity" => call.input(0).clone(),
        "Cast" | "CastLike" => shape::cast(call)?,
        "Tile" => join::tile(importer, call)?,
        "Concat" => join::concat(importer, call)?,
        "Slice" => cut::slice(importer, call)?,
        "Split" => return cut::split(importer, call),
        "Gather" => cut::gather(importer, call)?,
        "Pad" => cut::pad(importer, call)?,
        "Resize" | "Upsample" => resize::translate(importer, call, op)?,
        "DepthToSpace" | "SpaceToDepth" => shape::space(importer, call, op)?,
        "ArgMax" | "TopK" => norm::decision(importer, call)?,
        "QuantizeLinear"
        | "DequantizeLinear"
        | "DynamicQuantizeLinear"
        | "QLinearConv"
        | "QLinearMatMul"
        | "ConvInteger"
        | "MatMulInteger" => return quantized::translate(importer, call, op),
        _ => activation::translate(importer, call, op)?,
    };
    Ok(vec![output])
}

//! Statements as nodes, and the parameters that they ask for.

use std::collections::{HashMap, HashSet};

use super::EPSILON;
use super::parse::{Statement, wrong};
use super::words::{Syntax, Words};
use crate::base::tensor::Shape;
use crate::formats::architectures::{ParamRole, ParamSpec};
use crate::formats::{FoundPreprocess, ImportError};
use crate::nn::graph::{ChannelOrder, Node, NodeId};
use crate::nn::ops::activation::Activation;
use crate::nn::ops::batch_norm::BatchNorm;
use crate::nn::ops::concat::Concat;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::dropout::Dropout;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::linear::Linear;
use crate::nn::ops::lrn::{Lrn, LrnRegion};
use crate::nn::ops::pool::{AveragePool, Divisor, GlobalPool, GlobalPoolKind, MaxPool};
use crate::nn::ops::prelu::PRelu;
use crate::nn::ops::reshape::Reshape;
use crate::nn::ops::softmax::Softmax;
use crate::nn::ops::window::{Rounding, Window};
use crate::nn::ops::{Input, MapAxis, Op, Operator as _};

/// The name of the input's node.
pub(super) const INPUT: &str = "input";
/// Values of all parameters together: two gigabytes.
const MOST_VALUES: usize = 1 << 29;

const fn syntax(
    op: &'static str,
    most_plain: usize,
    options: &'static [&'static str],
    flags: &'static [&'static str],
) -> Syntax {
    Syntax { op, most_plain, options, flags }
}

/// All that a file may say, but for `repeat`.
const SYNTAX: [Syntax; 28] = [
    syntax("net", usize::MAX, &[], &[]),
    syntax("seed", 1, &[], &[]),
    syntax("input", usize::MAX, &["scale"], &["mean", "rgb", "bgr", "gray"]),
    syntax("labels", usize::MAX, &[], &[]),
    syntax("mark", 1, &[], &[]),
    syntax("from", 1, &[], &[]),
    syntax("conv", 2, &["stride", "pad", "groups", "dilation"], &["nobias"]),
    syntax("fc", 1, &[], &["nobias"]),
    syntax("maxpool", 1, &["stride", "pad"], &["ceil"]),
    syntax("avgpool", 1, &["stride", "pad"], &["ceil", "padded"]),
    syntax("globalpool", 0, &[], &["max"]),
    syntax("batchnorm", 0, &["epsilon"], &[]),
    syntax("lrn", 1, &["alpha", "beta", "bias"], &[]),
    syntax("relu", 0, &[], &[]),
    syntax("relu6", 0, &[], &[]),
    syntax("leaky", 1, &[], &[]),
    syntax("prelu", 0, &[], &[]),
    syntax("elu", 1, &[], &[]),
    syntax("sigmoid", 0, &[], &[]),
    syntax("tanh", 0, &[], &[]),
    syntax("silu", 0, &[], &[]),
    syntax("hardswish", 0, &[], &[]),
    syntax("dropout", 1, &[], &[]),
    syntax("flatten", 0, &[], &[]),
    syntax("add", usize::MAX, &[], &[]),
    syntax("mul", usize::MAX, &[], &[]),
    syntax("concat", usize::MAX, &[], &[]),
    syntax("softmax", 0, &[], &[]),
];

/// A net on paper.
#[derive(Default)]
pub(super) struct Drawing {
    pub name: String,
    pub seed: u64,
    pub nodes: Vec<Node>,
    shapes: Vec<Shape>,
    pub params: Vec<ParamSpec>,
    pub preprocess: FoundPreprocess,
    pub labels: Vec<String>,
    labels_line: usize,
    /// What names mean at this place of the file: nodes, and marks.
    meanings: HashMap<String, NodeId>,
    /// The lines of nodes.
    lines: Vec<usize>,
    /// Names that statements give, by the place of the statement: others must not be made up alike.
    given: HashMap<String, usize>,
    taken: HashSet<String>,
    /// For each stem of made-up names, the number of the last.
    numbers: HashMap<String, usize>,
    /// The node that the next layer takes.
    current: NodeId,
    values: usize,
}

impl Drawing {
    pub fn new(statements: &[Statement]) -> Result<Self, ImportError> {
        let mut drawing = Self::default();
        for statement in statements {
            let Some(name) = &statement.name else { continue };
            let place = *drawing.given.entry(name.clone()).or_insert(statement.place);
            if place != statement.place || name == INPUT {
                return Err(wrong(statement.line, format!("another layer is named `{}`", ImportError::brief(name))));
            }
        }
        for statement in statements {
            drawing.add(statement)?;
        }
        drawing.check_whole(statements.last().map_or(1, |statement| statement.line))?;
        Ok(drawing)
    }

    fn add(&mut self, statement: &Statement) -> Result<(), ImportError> {
        let op = statement.op.as_str();
        let Some(syntax) = SYNTAX.iter().find(|syntax| syntax.op == op) else {
            return Err(wrong(statement.line, unknown_op(op)));
        };
        let words = Words::new(statement, syntax)?;
        let is_layer = !matches!(op, "net" | "seed" | "input" | "labels" | "mark" | "from");
        if !is_layer && statement.name.is_some() {
            return Err(words.wrong(format!("`{op}` is not a layer and has no name")));
        }
        if self.nodes.is_empty() && !matches!(op, "net" | "seed" | "input" | "labels") {
            return Err(words.wrong(format!("the input comes before `{op}`: input 3x224x224")));
        }
        match op {
            "net" => self.name = words.plain().join(" "),
            "seed" => {
                let seed = words.plain().first().and_then(|word| word.parse().ok());
                self.seed = seed.ok_or_else(|| words.wrong("`seed` takes a whole number"))?;
            }
            "input" => self.add_input(statement.line, &words)?,
            "labels" => {
                self.labels.extend(words.plain().iter().map(|label| label.to_string()));
                self.labels_line = statement.line;
            }
            "mark" => {
                let &[name] = words.plain() else { return Err(words.wrong("`mark` takes a name")) };
                if self.given.contains_key(name) || self.taken.contains(name) {
                    return Err(words.wrong(format!("a layer is named `{}` already", ImportError::brief(name))));
                }
                self.meanings.insert(name.into(), self.current);
            }
            "from" => {
                let &[name] = words.plain() else { return Err(words.wrong("`from` takes a name")) };
                self.current = self.meaning(&words, name)?;
            }
            _ => self.current = self.add_layer(statement, &words)?,
        }
        Ok(())
    }

    fn meaning(&self, words: &Words<'_>, name: &str) -> Result<NodeId, ImportError> {
        let found = self.meanings.get(name).copied();
        found.ok_or_else(|| {
            let mut known: Vec<(f64, &String)> =
                self.meanings.keys().map(|known| (strsim::jaro_winkler(known, name), known)).collect();
            known.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
            let nearest: Vec<&str> = known.iter().take(3).map(|(_, known)| known.as_str()).collect();
            words.wrong(format!(
                "nothing before is named `{}`; there are {}",
                ImportError::brief(name),
                nearest.join(", ")
            ))
        })
    }

    /// `input 3x32x32 rgb mean 125 123 114 scale 1/60`.
    fn add_input(&mut self, line: usize, words: &Words<'_>) -> Result<(), ImportError> {
        if !self.nodes.is_empty() {
            return Err(words.wrong("there is another input already"));
        }
        let form = || words.wrong("`input` takes channels, height and width: input 3x224x224");
        let (size, mean) = words.plain().split_first().ok_or_else(form)?;
        let counts: Vec<usize> = size.split(['x', '×']).filter_map(|word| word.parse().ok()).collect();
        let &[channels, height, width] = counts.as_slice() else { return Err(form()) };
        let shape = Shape::new(&[1, channels, height, width]).filter(|shape| shape.len() > 0).ok_or_else(form)?;
        if words.flag("mean") == mean.is_empty() {
            return Err(words.wrong("`mean` is followed by its values: mean 104 117 123"));
        }
        let mean: Result<Vec<f32>, _> = mean.iter().map(|word| words.number("the mean", word)).collect();
        let mean = mean?;
        if ![0, 1, channels].contains(&mean.len()) {
            return Err(words.wrong(format!("the mean has {} values for {channels} channels", mean.len())));
        }
        let orders = [("rgb", ChannelOrder::Rgb, 3), ("bgr", ChannelOrder::Bgr, 3), ("gray", ChannelOrder::Gray, 1)];
        let mut stated = orders.iter().filter(|(flag, ..)| words.flag(flag));
        if let Some(&(flag, order, colours)) = stated.next() {
            if stated.next().is_some() || colours != channels {
                return Err(words.wrong(format!("`{flag}` does not fit {channels} channels")));
            }
            self.preprocess.order = Some(order);
        }
        self.preprocess.mean = Some(mean).filter(|mean| !mean.is_empty());
        if let Some(scale) = words.option("scale") {
            self.preprocess.scale = Some(vec![words.number("`scale`", scale)?]);
        }
        let op = Op::Input(Input { channels, size: [height, width] });
        self.nodes.push(Node { name: INPUT.into(), op, inputs: Vec::new(), params: Vec::new() });
        self.shapes.push(shape);
        self.lines.push(line);
        self.taken.insert(INPUT.into());
        self.meanings.insert(INPUT.into(), 0);
        Ok(())
    }

    fn shape(&self, id: NodeId) -> Vec<usize> {
        self.shapes.get(id).map(|shape| shape.dims().to_vec()).unwrap_or_default()
    }

    /// The name of a statement's node: its own, numbered where it is repeated, or one made up of its op.
    fn node_name(&mut self, statement: &Statement) -> String {
        let mut name = match &statement.name {
            Some(name) if statement.repetition == 0 => name.clone(),
            Some(name) => format!("{name}_{}", statement.repetition.saturating_add(1)),
            None => String::new(),
        };
        let stem = statement.name.clone().map_or_else(|| statement.op.clone(), |name| format!("{name}_"));
        while name.is_empty()
            || self.taken.contains(&name)
            || (self.given.contains_key(&name) && statement.name.as_ref() != Some(&name))
        {
            let number = self.numbers.entry(stem.clone()).or_default();
            *number = number.saturating_add(1);
            name = format!("{stem}{number}");
        }
        name
    }

    fn add_layer(&mut self, statement: &Statement, words: &Words<'_>) -> Result<NodeId, ImportError> {
        let name = self.node_name(statement);
        let dims = self.shape(self.current);
        let channels = dims.get(1).copied().unwrap_or(1);
        let mut inputs = vec![self.current];
        let mut params: Vec<(&str, Vec<usize>, ParamRole)> = Vec::new();
        let op = match statement.op.as_str() {
            "conv" => {
                let out = words.count_at(0, "the number of channels")?;
                let window = Window { dilation: words.size_option("dilation", [1; 2])?, ..window(words, 1, [1; 2])? };
                let groups = words.count_option("groups", 1)?;
                let [height, width] = window.kernel;
                params.push(("weight", vec![out, channels / groups, height, width], ParamRole::Weight));
                if !words.flag("nobias") {
                    params.push(("bias", vec![out], ParamRole::Bias));
                }
                Op::Conv2d(Conv2d { window, groups })
            }
            "fc" => {
                let out = words.count_at(0, "the number of outputs")?;
                if dims.iter().skip(2).any(|&dim| dim != 1) {
                    let flat = format!("{name}/flatten");
                    inputs = vec![self.push(statement.line, flat, Op::Reshape(Reshape::flatten()), inputs, &[])?];
                }
                let length = dims.iter().skip(1).copied().fold(1usize, usize::saturating_mul);
                params.push(("weight", vec![out, length], ParamRole::Weight));
                if !words.flag("nobias") {
                    params.push(("bias", vec![out], ParamRole::Bias));
                }
                Op::Linear(Linear {})
            }
            "batchnorm" => {
                let roles = [ParamRole::Gamma, ParamRole::Beta, ParamRole::Mean, ParamRole::Variance];
                let names = ["gamma", "beta", "mean", "variance"];
                params.extend(names.into_iter().zip(roles).map(|(name, role)| (name, vec![channels], role)));
                Op::BatchNorm(BatchNorm { epsilon: words.number_option("epsilon", EPSILON)? })
            }
            "prelu" => {
                params.push((super::SLOPE, vec![channels], ParamRole::Gamma));
                Op::PRelu(PRelu {})
            }
            "add" | "mul" | "concat" => {
                inputs = self.joined(words)?;
                match statement.op.as_str() {
                    "add" => Op::Elementwise(Elementwise::Add),
                    "mul" => Op::Elementwise(Elementwise::Mul),
                    _ => Op::Concat(Concat { axis: MapAxis::Channel }),
                }
            }
            op => simple(op, words)?,
        };
        let id = self.push(statement.line, name.clone(), op, inputs, &params)?;
        self.meanings.insert(name, id);
        if let Some(own) = &statement.name {
            self.meanings.insert(own.clone(), id);
        }
        Ok(id)
    }

    /// Two nodes or more that are named, or the current one and a named one.
    fn joined(&self, words: &Words<'_>) -> Result<Vec<NodeId>, ImportError> {
        let named: Result<Vec<NodeId>, _> = words.plain().iter().map(|name| self.meaning(words, name)).collect();
        match named?.as_slice() {
            [] => Err(words.wrong("what is to be joined is named: add NAME, or concat NAME NAME …")),
            &[one] => Ok(vec![self.current, one]),
            several => Ok(several.to_vec()),
        }
    }

    fn push(
        &mut self,
        line: usize,
        name: String,
        op: Op,
        inputs: Vec<NodeId>,
        params: &[(&str, Vec<usize>, ParamRole)],
    ) -> Result<NodeId, ImportError> {
        let input_shapes: Vec<&Shape> = inputs.iter().filter_map(|&id| self.shapes.get(id)).collect();
        let param_shapes: Vec<&[usize]> = params.iter().map(|(_, shape, _)| shape.as_slice()).collect();
        let located = |reason: &dyn std::fmt::Display| wrong(line, format!("the layer `{name}` {reason}"));
        let shape = op.output_shape(&input_shapes, &param_shapes).map_err(|error| located(&error))?;
        let shape = Shape::new(shape.dims()).ok_or_else(|| located(&"would be too large for any machine"))?;
        for (_, shape, _) in params {
            let values = shape.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
            let total = values.and_then(|values| self.values.checked_add(values)).filter(|&total| total <= MOST_VALUES);
            self.values = total.ok_or_else(|| located(&format!("gives the net more than {MOST_VALUES} weights")))?;
        }
        let specs = params.iter().map(|(suffix, shape, role)| ParamSpec {
            name: format!("{name}.{suffix}"),
            shape: shape.clone(),
            role: *role,
        });
        let first = self.params.len();
        self.params.extend(specs);
        let params = self.params.iter().skip(first).map(|spec| spec.name.clone()).collect();
        self.taken.insert(name.clone());
        self.nodes.push(Node { name, op, inputs, params });
        self.shapes.push(shape);
        self.lines.push(line);
        Ok(self.nodes.len().saturating_sub(1))
    }

    /// Every layer leads to the last one, and the labels fit it.
    fn check_whole(&self, end: usize) -> Result<(), ImportError> {
        if self.nodes.len() < 2 {
            return Err(wrong(end, "the net has no layers"));
        }
        let used: HashSet<NodeId> = self.nodes.iter().flat_map(|node| node.inputs.iter().copied()).collect();
        let last = self.nodes.len().saturating_sub(1);
        if let Some(dead) = (0..last).find(|id| !used.contains(id)) {
            let line = self.lines.get(dead).copied().unwrap_or(end);
            let name = self.nodes.get(dead).map_or("", |node| &node.name);
            return Err(wrong(line, format!("no other layer takes the output of `{name}`")));
        }
        let classes = self.shape(last).get(1).copied().unwrap_or(0);
        if !self.labels.is_empty() && self.labels.len() != classes {
            let reason = format!("there are {} labels, but the net has {classes} outputs", self.labels.len());
            return Err(wrong(self.labels_line, reason));
        }
        Ok(())
    }
}

fn unknown_op(op: &str) -> String {
    let known = SYNTAX.iter().map(|syntax| syntax.op).chain(["repeat"]);
    let mut known: Vec<(f64, &str)> = known.map(|known| (strsim::jaro_winkler(known, op), known)).collect();
    known.sort_by(|a, b| b.0.total_cmp(&a.0));
    let nearest: Vec<&str> = known.iter().take(3).map(|&(_, known)| known).collect();
    format!("there is no layer `{}`; the nearest are {}", ImportError::brief(op), nearest.join(", "))
}

/// Kernel, stride, padding and rounding.
fn window(words: &Words<'_>, place: usize, stride: [usize; 2]) -> Result<Window, ImportError> {
    Ok(Window {
        kernel: words.size_at(place, "the size of the window")?,
        stride: words.size_option("stride", stride)?,
        dilation: [1; 2],
        padding: words.padding()?,
        rounding: if words.flag("ceil") { Rounding::Ceil } else { Rounding::Floor },
    })
}

/// Layers of one input and without parameters.
fn simple(op: &str, words: &Words<'_>) -> Result<Op, ImportError> {
    // Pooling windows lie side by side unless a stride is stated.
    let pooled = || window(words, 0, words.size_at(0, "the size of the window")?);
    Ok(match op {
        "maxpool" => Op::MaxPool(MaxPool { window: pooled()? }),
        "avgpool" => {
            let divisor = if words.flag("padded") { Divisor::Padded } else { Divisor::Inside };
            Op::AveragePool(AveragePool { window: pooled()?, divisor })
        }
        "globalpool" => {
            let kind = if words.flag("max") { GlobalPoolKind::Max } else { GlobalPoolKind::Average };
            Op::GlobalPool(GlobalPool { kind })
        }
        "lrn" => Op::Lrn(Lrn {
            size: if words.plain().is_empty() { 5 } else { words.count_at(0, "the number of channels")? },
            alpha: words.number_option("alpha", 1e-4)?,
            beta: words.number_option("beta", 0.75)?,
            bias: words.number_option("bias", 1.0)?,
            region: LrnRegion::AcrossChannels,
        }),
        "relu" => Op::Activation(Activation::Relu),
        "relu6" => Op::Activation(Activation::Clip { low: 0.0, high: 6.0 }),
        "leaky" => Op::Activation(Activation::LeakyRelu { slope: words.number_at(0, "the slope", 0.01)? }),
        "elu" => Op::Activation(Activation::Elu { alpha: words.number_at(0, "alpha", 1.0)? }),
        "sigmoid" => Op::Activation(Activation::Sigmoid),
        "tanh" => Op::Activation(Activation::Tanh),
        "silu" => Op::Activation(Activation::Silu),
        "hardswish" => Op::Activation(Activation::HardSwish),
        "dropout" => Op::Dropout(Dropout { rate: words.number_at(0, "the rate", 0.5)? }),
        "flatten" => Op::Reshape(Reshape::flatten()),
        "softmax" => Op::Softmax(Softmax {}),
        other => return Err(words.wrong(unknown_op(other))),
    })
}

use super::*;
use crate::formats::architectures::ParamRole;
use crate::nn::graph::{ChannelOrder, Graph, Preprocess};
use crate::nn::ops::activation::Activation;
use crate::nn::ops::batch_norm::BatchNorm;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::dropout::Dropout;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::lrn::{Lrn, LrnRegion};
use crate::nn::ops::pool::{AveragePool, Divisor, MaxPool};
use crate::nn::ops::reshape::Reshape;
use crate::nn::ops::softmax::Softmax;
use crate::nn::ops::window::{Padding, Window};

/// The texts of this module's documentation.
fn documented() -> Vec<String> {
    let docs = include_str!("mod.rs").lines().map_while(|line| line.strip_prefix("//!"));
    let docs: Vec<&str> = docs.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    docs.join("\n").split("```").skip(1).step_by(2).map(|text| text.trim_start_matches("text\n").to_string()).collect()
}

fn finish(imported: Imported) -> Graph {
    let channels = imported.net.shape(0).unwrap().dims()[1];
    let order = if channels == 1 { ChannelOrder::Gray } else { ChannelOrder::Rgb };
    let preprocess = Preprocess { order, mean: vec![0.0; channels], scale: vec![1.0; channels] };
    imported.net.finish(&imported.name, preprocess, imported.labels).unwrap_or_else(|error| panic!("{error}"))
}

fn learnt(text: &str) -> usize {
    let learnt = |spec: &&ParamSpec| !matches!(spec.role, ParamRole::Mean | ParamRole::Variance);
    layers_needing_params(text).unwrap().iter().filter(learnt).map(ParamSpec::len).sum()
}

fn error(text: &str) -> String {
    read(text).err().map_or_else(|| "nothing wrong".into(), |error| error.to_string())
}

#[test]
fn the_documented_nets_load() {
    let texts = documented();
    assert_eq!(texts.len(), 3);
    let expected: [(usize, &[usize]); 3] = [
        (3 * 9 * 32 + 32 + 2 * (32 * 9 * 32 + 32) + 512 * 4 + 4, &[1, 4]),
        (448 + 136 + 136 + 8 * 9 * 12 + 12 + 68 + 4 * 25 * 6 + 6 + 102 + 330, &[1, 10]),
        (144 + 32 + 2 * 2 * (16 * 16 * 9 + 32) + 170, &[1, 10]),
    ];
    for (text, (params, output)) in texts.iter().zip(expected) {
        assert!(looks_like(text));
        assert_eq!(learnt(text), params, "{text}");
        let graph = finish(read(text).unwrap());
        assert_eq!(graph.shapes(&graph.native_input_shape(1)).unwrap().last().unwrap().dims(), output, "{text}");
    }
    let slide = read(&texts[0]).unwrap();
    assert_eq!((slide.name.as_str(), slide.labels.last().unwrap().as_str()), ("slide", "flying fish"));
    assert_eq!(slide.preprocess.order, Some(ChannelOrder::Rgb));
    assert_eq!(slide.preprocess.mean, Some(vec![125.0, 123.0, 114.0]));
    assert_eq!(slide.preprocess.scale, Some(vec![1.0 / 60.0]));
    assert!(slide.notes[0].contains("random (seed 0)"));
}

#[test]
fn the_example_files_are_the_known_nets() {
    // Caffe's LeNet and CIFAR-10 quick, and ResNet-20 with projections.
    let files = [
        (include_str!("../../../assets/nets/lenet.net"), 431_080, 10),
        (include_str!("../../../assets/nets/cifar10-quick.net"), 145_578, 10),
        (include_str!("../../../assets/nets/resnet20.net"), 272_474, 10),
    ];
    for (text, params, classes) in files {
        assert!(looks_like(text));
        let imported = read(text).unwrap();
        assert_eq!((learnt(text), imported.labels.len()), (params, classes), "{}", imported.name);
        let graph = finish(imported);
        assert_eq!(graph.shapes(&graph.native_input_shape(1)).unwrap().last().unwrap().dims()[1], classes);
    }
}

#[test]
fn repeated_names_are_numbered_and_mean_the_latest() {
    let text = "input 3x4x4\nrepeat 3 { mark in / a: conv 3 1x1 / relu / add in }\nlast: add a add3\nfc 3";
    let graph = finish(read(text).unwrap());
    let names: Vec<&str> = graph.nodes().iter().map(|node| node.name.as_str()).collect();
    let blocks = ["a", "relu1", "add1", "a_2", "relu2", "add2", "a_3", "relu3", "add3"];
    assert_eq!(names[1..10], blocks);
    assert_eq!(names[10..], ["last", "fc1/flatten", "fc1"]);
    assert_eq!(graph.node(10).inputs, [7, 9]);
    assert_eq!(graph.node(9).inputs, [8, 6]);
    // A made-up name avoids one that is given, even later.
    let graph = finish(read("input 1x2x2\nrelu\nrelu1: tanh").unwrap());
    assert_eq!(graph.nodes()[1].name, "relu2");
}

#[test]
fn parameters_come_in_the_order_of_layers() {
    let text = "input 4x5x5\nconv 6 3x2 groups 2 pad 1x0\nbatchnorm\nprelu\nfc 2 nobias";
    let specs = layers_needing_params(text).unwrap();
    let shown: Vec<String> = specs.iter().map(|spec| format!("{} {:?}", spec.name, spec.shape)).collect();
    let expected = [
        "conv1.weight [6, 2, 3, 2]",
        "conv1.bias [6]",
        "batchnorm1.gamma [6]",
        "batchnorm1.beta [6]",
        "batchnorm1.mean [6]",
        "batchnorm1.variance [6]",
        "prelu1.slope [6]",
        "fc1.weight [2, 120]",
    ];
    assert_eq!(shown, expected);
    let net = read(text).unwrap().net;
    assert_eq!(*net.param_named("prelu1.slope").unwrap().data, [0.25; 6]);
    assert_ne!(net.param_named("conv1.weight").unwrap().data[0], 0.0);
    let seeded = read(&format!("seed 7\n{text}")).unwrap().net;
    assert_ne!(seeded.param_named("fc1.weight").unwrap().data, net.param_named("fc1.weight").unwrap().data);
}

#[test]
fn words_become_attributes() {
    let text = "input 1x13x11 / conv 4 1
        conv 4 3x2 stride 2x1 dilation 1x2 groups 2 pad 1x0
        maxpool 2x3 stride 1 ceil / avgpool 2 stride 1 pad same / avgpool 2 stride 1 padded / maxpool 2
        relu / relu6 / leaky / leaky 1/8 / elu / elu 0.5 / sigmoid / tanh / silu / hardswish
        batchnorm / batchnorm epsilon 0.001 / lrn / lrn 3 alpha 0.5 beta 1 bias 2 / dropout / dropout 0.25
        a: relu / mul a / flatten / softmax";
    let graph = finish(read(text).unwrap());
    let window = |kernel, stride| Window { kernel, stride, ..Window::square(1, 1) };
    let sides = Padding::Explicit { top: 1, left: 0, bottom: 1, right: 0 };
    let lrn = |size, alpha, beta, bias| Op::Lrn(Lrn { size, alpha, beta, bias, region: LrnRegion::AcrossChannels });
    let average = |window, divisor| Op::AveragePool(AveragePool { window, divisor });
    let expected = [
        Op::Conv2d(Conv2d { window: Window::square(1, 1), groups: 1 }),
        Op::Conv2d(Conv2d { window: Window { dilation: [1, 2], ..window([3, 2], [2, 1]) }.padded(sides), groups: 2 }),
        Op::MaxPool(MaxPool { window: window([2, 3], [1, 1]).ceil() }),
        average(Window::square(2, 1).padded(Padding::SameUpper), Divisor::Inside),
        average(Window::square(2, 1), Divisor::Padded),
        Op::MaxPool(MaxPool { window: Window::square(2, 2) }),
        Op::Activation(Activation::Relu),
        Op::Activation(Activation::Clip { low: 0.0, high: 6.0 }),
        Op::Activation(Activation::LeakyRelu { slope: 0.01 }),
        Op::Activation(Activation::LeakyRelu { slope: 0.125 }),
        Op::Activation(Activation::Elu { alpha: 1.0 }),
        Op::Activation(Activation::Elu { alpha: 0.5 }),
        Op::Activation(Activation::Sigmoid),
        Op::Activation(Activation::Tanh),
        Op::Activation(Activation::Silu),
        Op::Activation(Activation::HardSwish),
        Op::BatchNorm(BatchNorm { epsilon: 1e-5 }),
        Op::BatchNorm(BatchNorm { epsilon: 0.001 }),
        lrn(5, 1e-4, 0.75, 1.0),
        lrn(3, 0.5, 1.0, 2.0),
        Op::Dropout(Dropout { rate: 0.5 }),
        Op::Dropout(Dropout { rate: 0.25 }),
        Op::Activation(Activation::Relu),
        Op::Elementwise(Elementwise::Mul),
        Op::Reshape(Reshape::flatten()),
        Op::Softmax(Softmax {}),
    ];
    let wrong: Vec<_> = graph.nodes()[1..].iter().zip(&expected).filter(|(node, op)| node.op != **op).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(graph.nodes().len(), 1 + expected.len());
}

#[test]
fn weights_can_be_poured_in() {
    struct Counter(f32);
    impl ParamSource for Counter {
        fn take(&mut self, wanted: &ParamSpec) -> Result<Arc<[f32]>, ArchitectureError> {
            self.0 += 1.0;
            Ok(vec![self.0; wanted.len()].into())
        }
    }
    let imported = build("input 1x2x2\nconv 3 1\nfc 2", &mut Counter(0.0)).unwrap();
    assert!(imported.notes.is_empty());
    assert_eq!(*imported.net.param_named("fc1.bias").unwrap().data, [4.0; 2]);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let cases = [
        ("", "line 1: the net has no layers"),
        ("conv 3 3", "line 1: the input comes before `conv`"),
        ("input 3x4", "line 1: `input` takes channels, height and width"),
        ("input 0x4x4", "line 1: `input` takes channels, height and width"),
        ("input 1x4x4 rgb", "line 1: `rgb` does not fit 1 channels"),
        ("input 3x4x4 mean 1 2", "line 1: the mean has 2 values for 3 channels"),
        ("input 3x4x4 5", "line 1: `mean` is followed by its values"),
        ("input 3x4x4 scale 1/0", "line 1: `scale` is a number"),
        ("input 3x4x4\ninput 3x4x4", "line 2: there is another input"),
        ("input 3x4x4\nmaxpol 2", "line 2: there is no layer `maxpol`; the nearest are maxpool"),
        ("input 3x4x4\nconv", "line 2: the number of channels is missing"),
        ("input 3x4x4\nconv 3", "line 2: the size of the window is missing"),
        ("input 3x4x4\nconv 3 3 strde 2", "line 2: `strde` means nothing to `conv`; its options are stride"),
        ("input 3x4x4\nconv 3 3 pad", "line 2: `pad` is followed by no value"),
        ("input 3x4x4\nconv 3 3 pad 1 pad 2", "line 2: `pad` is stated twice"),
        ("input 3x4x4\nconv 3 3 pad -1", "line 2: `pad` is a number of pixels"),
        ("input 3x4x4\nconv 4 5x5", "line 2: the layer `conv1` a window of 5 pixels does not fit"),
        ("input 3x4x4\nconv 4 3 groups 2", "line 2: the layer `conv1` attribute `groups`"),
        ("input 3x4x4\nrelu softly", "line 2: `softly` means nothing to `relu`; it takes no options"),
        ("input 3x4x4\na: relu\n\na: tanh", "line 4: another layer is named `a`"),
        ("input 3x4x4\nrelu\nadd rleu1", "line 3: nothing before is named `rleu1`; there are relu1"),
        ("input 3x4x4\nx: mark a", "line 2: `mark` is not a layer"),
        ("input 3x4x4\nrelu\nfrom input\ntanh", "line 2: no other layer takes the output of `relu1`"),
        ("input 3x4x4\nfc 2\nlabels a b c", "line 3: there are 3 labels, but the net has 2 outputs"),
        ("input 3x99x99\nfc 1000000", "line 2: the layer `fc1` gives the net more than"),
        ("input 3x4x4\ndropout 2", "line 2: the layer `dropout1` attribute `rate`"),
        (&format!("input 3x4x4\nrepeat 5000 {{ add{} }}", " input".repeat(300)), "line 2: the net is too long"),
        ("input 3x4x4\nconcat", "line 2: what is to be joined is named"),
    ];
    let wrong: Vec<_> = cases.iter().filter(|(text, expected)| !error(text).starts_with(expected)).collect();
    assert!(wrong.is_empty(), "{:#?}", wrong.iter().map(|(text, _)| error(text)).collect::<Vec<_>>());
}

#[test]
fn other_texts_do_not_look_like_net_files() {
    assert!(looks_like("net x / input 1x2x2 / fc 3"));
    assert!(looks_like("# a net\n\nnet x # named\ninput 3×2×2"));
    for text in
        ["", "net x", "name: \"LeNet\"\ninput: \"data\"", "input data", "input 3x4", "{\"layers\":[]}", "cat\ndog"]
    {
        assert!(!looks_like(text), "{text}");
    }
}

/// Nothing but an error may come of a text that was cut or changed.
#[test]
fn damaged_texts_are_refused() {
    let text = &documented()[1];
    for len in (0..text.len()).filter(|&len| text.is_char_boundary(len)) {
        _ = read(&text[..len]);
        for insert in ["{", "}", "/", "#", "\"", "9", "x", ":", "repeat 99 { ", "\n", "from in ", "concat a a a a "] {
            _ = Design::parse(&format!("{}{insert}{}", &text[..len], &text[len..]));
        }
    }
}

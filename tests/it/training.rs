//! The small nets that are learnt: gradients of a batch, and that a loss falls.

use std::sync::Arc;

use oneiric::base::tensor::Shape;
use oneiric::formats::netfile;
use oneiric::nn::exec::TrainingNet;
use oneiric::nn::exec::reference::Reference;
use oneiric::nn::graph::{ChannelOrder, Graph, Preprocess};
use oneiric::nn::loss::{Loss, Target};
use oneiric::nn::ops::{Mode, Run};
use oneiric::nn::optim::{Optimizer, Rates, Rule};

const NETS: [(&str, &str); 3] = [
    ("lenet", include_str!("../../assets/nets/lenet.net")),
    ("cifar10-quick", include_str!("../../assets/nets/cifar10-quick.net")),
    ("resnet20", include_str!("../../assets/nets/resnet20.net")),
];

fn graph(net_file: &str) -> Arc<Graph> {
    let imported = netfile::read(net_file).unwrap();
    let channels = imported.net.shape(0).unwrap().dims()[1];
    let order = if channels == 1 { ChannelOrder::Gray } else { ChannelOrder::Rgb };
    let preprocess = Preprocess { order, mean: vec![0.0; channels], scale: vec![1.0; channels] };
    Arc::new(imported.net.finish("net", preprocess, imported.labels).unwrap())
}

/// Numbers in −1…1 without a pattern that a net could be blind to.
fn pictures(shape: &Shape) -> Vec<f32> {
    (0..shape.len()).map(|i| ((i * i % 7919) as f32 * 0.618).sin()).collect()
}

fn labels(batch: usize) -> Vec<usize> {
    (0..batch).map(|sample| (sample * 7 + 3) % 10).collect()
}

#[test]
fn gradients_agree_with_the_plain_executor_in_double_precision() {
    for (name, net_file) in NETS {
        let graph = graph(net_file);
        let shape = graph.native_input_shape(3);
        let (pictures, labels) = (pictures(&shape), labels(3));
        let mut exact = Reference::<f64>::new(&graph);
        let precise: Vec<f64> = pictures.iter().map(|&p| f64::from(p)).collect();
        let training = Run { mode: Mode::Training, ..Run::default() };
        exact.forward(&shape, &precise, &[graph.logits()], training).unwrap();
        let output = exact.blob(graph.logits()).unwrap();
        let mut seed = vec![0.0; output.data.len()];
        let target = Target::Labels(&labels);
        let expected_loss = Loss::SoftmaxCrossEntropy.value_and_gradient(output, target, &mut seed).unwrap();
        exact.backward(&[(graph.logits(), seed)], |_| true);

        let mut net = TrainingNet::new(graph.clone(), graph.logits(), |_| true);
        let mut session = net.session(&shape).unwrap();
        session.input_mut().copy_from_slice(&pictures);
        session.forward(&mut net, Run::default());
        let (output, seed) = session.output_and_seed();
        let loss = Loss::SoftmaxCrossEntropy.value_and_gradient(output, Target::Labels(&labels), seed).unwrap();
        assert!((loss - expected_loss).abs() <= 1e-4 * expected_loss, "{name}: {loss} instead of {expected_loss}");
        session.backward(&mut net);
        for param in net.params().iter().filter(|param| param.learnt) {
            let expected = exact.d_param(&param.name).unwrap();
            // By the largest gradient of the parameter; a ReLU near its kink may turn out the other way.
            let scale = expected.iter().fold(1e-6f64, |max, d| max.max(d.abs()));
            let worst = param.gradient.iter().zip(expected).map(|(&got, want)| (f64::from(got) - want).abs());
            let worst = worst.fold(0.0, |max: f64, error| if error > max || error.is_nan() { error } else { max });
            assert!(worst <= 2e-3 * scale, "{name}: the gradient of {} is off by {worst} of {scale}", param.name);
        }
    }
}

#[test]
fn every_rule_learns_a_batch_by_heart() {
    let graph = graph(NETS[0].1);
    let shape = graph.native_input_shape(10);
    let (pictures, labels) = (pictures(&shape), labels(10));
    for (rule, learning) in [(Rule::Sgd { momentum: 0.9 }, 0.01), (Rule::ADAGRAD, 0.01), (Rule::ADAM, 1e-3)] {
        let mut net = TrainingNet::new(graph.clone(), graph.logits(), |_| true);
        let mut session = net.session(&shape).unwrap();
        let mut optimizer = Optimizer::new(rule);
        let mut losses = Vec::new();
        for step in 0..15 {
            session.input_mut().copy_from_slice(&pictures);
            session.forward(&mut net, Run { step, ..Run::default() });
            let (output, seed) = session.output_and_seed();
            let target = Target::Labels(&labels);
            losses.push(Loss::SoftmaxCrossEntropy.value_and_gradient(output, target, seed).unwrap());
            session.backward(&mut net);
            net.update(&mut optimizer, |_| Rates { learning, decay: 0.0 });
        }
        assert!(losses[14] < 0.5 * losses[0], "{rule:?}: {losses:?}");
        let learnt = net.to_graph().unwrap();
        assert_ne!(learnt.params()["ip2.bias"], graph.params()["ip2.bias"], "{rule:?}");
    }
}

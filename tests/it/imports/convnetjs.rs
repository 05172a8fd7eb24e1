//! ConvNetJS nets against the library itself (`tests/refs/convnetjs_nets.mjs`).

use oneiric::formats::LoadOptions;
use oneiric::formats::convnetjs::{looks_like, read};
use oneiric::nn::graph::{ChannelOrder, Graph, Preprocess};

use super::support::{check, data_path};

fn text(name: &str) -> String {
    std::fs::read_to_string(data_path(&format!("convnetjs/{name}.json"))).unwrap()
}

fn load(name: &str) -> Graph {
    let text = text(name);
    assert!(looks_like(&text), "{name}");
    let imported = read(&text, &LoadOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!((imported.preprocess.order, &imported.preprocess.mean, imported.notes.len()), (None, &None, 0));
    let channels = imported.net.shape(0).unwrap().dims()[1];
    let order = if channels == 1 { ChannelOrder::Gray } else { ChannelOrder::Rgb };
    let preprocess = Preprocess { order, mean: vec![0.0; channels], scale: vec![1.0; channels] };
    imported.net.finish(name, preprocess, Vec::new()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn nets_compute_what_convnetjs_does() {
    for name in ["digits", "maxout", "regression"] {
        check(&load(name), &data_path(&format!("convnetjs/{name}.safetensors")));
    }
}

#[test]
fn losses_that_pass_scores_on_leave_the_scores_last() {
    let graph = load("maxout");
    assert_eq!(graph.node(graph.output()).name, "fc2");
}

#[test]
fn damaged_files_are_refused() {
    for name in ["digits", "maxout"] {
        let text = text(name);
        for len in (0..text.len() - 1).step_by(text.len() / 200 + 1) {
            assert!(read(&text[..len], &LoadOptions::default()).is_err(), "{name} cut at {len}");
        }
        for at in (0..text.len()).step_by(text.len() / 250 + 1) {
            for digit in ["0", "9", "-", "\"", "e9"] {
                let changed = format!("{}{digit}{}", &text[..at], &text[at + 1..]);
                _ = read(&changed, &LoadOptions::default());
            }
        }
    }
}

//! The preset `google-2015` against the algorithm in PyTorch and scipy: same photo, net and shifts.
//!
//! `tests/refs/dream_google_2015.py` made the expected dreams.

use std::path::Path;
use std::sync::Arc;

use oneiric::imageio::Picture;
use oneiric::job;
use oneiric::nn::graph::{ChannelOrder, Graph, GraphBuilder, Preprocess};
use oneiric::nn::ops::Op;
use oneiric::nn::ops::activation::Activation;
use oneiric::nn::ops::conv::Conv2d;
use oneiric::nn::ops::window::{Padding, Window};
use oneiric::optvis::transform::{Jitter, Roll};
use oneiric::tasks::dream::{DreamSpec, Dreamer, Photo, Preset};
use safetensors::SafeTensors;

/// What the project promises; the algorithm itself agrees far better, rounding is all that differs.
const PROMISED_DB: f64 = 40.0;

fn floats(file: &SafeTensors<'_>, name: &str) -> (Vec<usize>, Vec<f32>) {
    let tensor = file.tensor(name).unwrap();
    let values = tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    (tensor.shape().to_vec(), values)
}

fn shifts(file: &SafeTensors<'_>) -> Jitter {
    let bytes = file.tensor("shifts").unwrap().data().to_vec();
    let values: Vec<i32> = bytes.as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect();
    Jitter::Offsets(values.as_chunks::<2>().0.iter().map(|&shift| Roll::from(shift)).collect())
}

fn net(file: &SafeTensors<'_>) -> Arc<Graph> {
    let mut net = GraphBuilder::new("data", 3, [64, 64]);
    let mut node = GraphBuilder::INPUT;
    for (name, stride) in [("first", 2), ("second", 1)] {
        let params = ["weight", "bias"].map(|param| format!("{name}.{param}"));
        for param in &params {
            let (shape, values) = floats(file, param);
            net.param(param, &shape, values);
        }
        let (shape, _) = floats(file, &params[0]);
        let window = Window { padding: Padding::all(shape[2] / 2), ..Window::square(shape[2], stride) };
        node = net.add(name, Op::Conv2d(Conv2d { window, groups: 1 }), &[node], &params.each_ref().map(String::as_str));
        node = net.add(&format!("{name}/relu"), Op::Activation(Activation::Relu), &[node], &[]);
    }
    let mean = vec![104.0, 117.0, 123.0];
    let preprocess = Preprocess { order: ChannelOrder::Bgr, mean, scale: vec![1.0; 3] };
    Arc::new(net.finish("small", preprocess, Vec::new()).unwrap())
}

fn psnr_db(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let square = |(a, b): (&f32, &f32)| f64::from(a - b) * f64::from(a - b);
    let mean_square = got.iter().zip(want).map(square).sum::<f64>() / got.len() as f64;
    10.0 * (255.0 * 255.0 / mean_square).log10()
}

#[test]
fn the_2015_preset_is_the_2015_algorithm() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dream_google_2015.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (shape, rgb) = floats(&file, "photo");
    let photo = Picture::from_rgb(shape[1], shape[0], rgb);
    for (octaves, expected) in [(1, "one_octave"), (3, "dream")] {
        let spec = DreamSpec {
            octaves,
            jitter: shifts(&file),
            layers: vec!["second/relu".parse().unwrap()],
            ..DreamSpec::preset(Preset::Google2015)
        };
        let start = Photo { path: "photo.png".into(), picture: photo.clone(), notes: Vec::new() };
        let job = Dreamer::new(spec, net(&file)).unwrap().dream(Some(start)).unwrap();
        let (link, _control, _events) = job::link();
        let dream = job::drive(job, &link).unwrap().output;
        assert_eq!(dream.steps_done, octaves * 10);
        let (_, expected) = floats(&file, expected);
        let agreement_db = psnr_db(&dream.picture.rgb, &expected);
        let moved_db = psnr_db(&dream.picture.rgb, &photo.rgb);
        assert!(agreement_db >= PROMISED_DB, "{octaves} octaves agree at {agreement_db:.1} dB");
        assert!(moved_db < 30.0, "the dream is not the photo ({moved_db:.1} dB)");
    }
}

//! The 2015 dream on the net that ships against PyTorch in f64: `tests/refs/google2015.py` made the expected pictures
//! and says why these layers and lengths.

use oneiric::imageio::{self, Limits, Picture};
use oneiric::job;
use oneiric::optvis::transform::{Jitter, Roll};
use oneiric::tasks::catalogue;
use oneiric::tasks::dream::{DreamSpec, Dreamer, LayerWeight, Photo, Preset};
use serde::Deserialize;

use crate::golden::golden_path;

#[derive(Deserialize)]
struct Run {
    layer: String,
    octaves: usize,
    steps: usize,
    jitter_px: Vec<Roll>,
    least_psnr_db: f64,
}

fn picture(name: &str) -> Picture {
    imageio::load(&golden_path(&format!("google2015_{name}.png")), &Limits::default()).unwrap().picture
}

fn psnr_db(a: &Picture, b: &Picture) -> f64 {
    assert_eq!(a.rgb.len(), b.rgb.len());
    let squares: f64 = a.rgb.iter().zip(&b.rgb).map(|(a, b)| f64::from(a - b) * f64::from(a - b)).sum();
    10.0 * (255.0 * 255.0 / (squares / a.rgb.len() as f64)).log10()
}

fn dream(run: &Run) -> Picture {
    let spec = DreamSpec {
        layers: vec![LayerWeight { name: run.layer.clone(), weight: 1.0 }],
        octaves: run.octaves,
        steps: run.steps,
        jitter: Jitter::Offsets(run.jitter_px.clone()),
        ..DreamSpec::preset(Preset::Google2015)
    };
    assert_eq!(run.jitter_px.len(), run.octaves * run.steps);
    let dreamer = Dreamer::new(spec, catalogue::open(catalogue::DEFAULT).unwrap()).unwrap();
    let photo = Photo { path: "google2015_input.png".into(), picture: picture("input"), notes: Vec::new() };
    let (link, _control, _events) = job::link();
    job::drive(dreamer.dream(Some(photo)).unwrap(), &link).unwrap().output.picture
}

fn agrees_with_pytorch(name: &str) {
    let text = std::fs::read_to_string(golden_path("google2015.json")).unwrap();
    let mut runs: std::collections::BTreeMap<String, Run> = serde_json::from_str(&text).unwrap();
    let (run, expected, photo) = (runs.remove(name).unwrap(), picture(name), picture("input"));
    let got = dream(&run);
    let (agreement_db, moved_db) = (psnr_db(&got, &expected), psnr_db(&got, &photo));
    println!("{name}: {agreement_db:.1} dB from PyTorch's dream, {moved_db:.1} dB from the photo");
    assert!(agreement_db >= run.least_psnr_db, "{name}: {agreement_db:.1} dB, not {}", run.least_psnr_db);
    assert!(psnr_db(&expected, &photo) <= run.least_psnr_db - 5.0, "{name}: the photo itself would almost pass");
}

#[test]
fn ten_steps_agree_with_pytorch() {
    agrees_with_pytorch("ten_steps");
}

#[test]
fn four_octaves_agree_with_pytorch() {
    agrees_with_pytorch("four_octaves");
}

#[test]
fn steps_at_a_deep_layer_agree_with_pytorch() {
    agrees_with_pytorch("deep_layer");
}

//! What a net takes a picture for.

use std::sync::Arc;

use serde::Serialize;

use crate::base::tensor::Shape;
use crate::imageio::{Filter, Picture};
use crate::nn::exec::{FrozenNet, Session};
use crate::nn::graph::{Graph, GraphError, NodeId};
use crate::optvis::preprocess::ToNet;

/// The share of the resized picture's shorter side that the net sees: 224 of 256 pixels, as ImageNet is evaluated since
/// Krizhevsky 2012.
const CROP_SHARE: f64 = 0.875;
/// Nets for smaller pictures than this (digits, CIFAR) see all of the shorter side.
const SMALL_NET_PX: usize = 128;
/// Longer strips than this are cut to it before they are resized; the net sees less than a square of them anyway.
const MAX_ASPECT: usize = 4;
/// What lies behind transparent pixels.
const GROUND: [f32; 3] = [255.0; 3];

/// One class and how sure the net is of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    pub index: usize,
    /// The class's name, or its number where the net has no names.
    pub label: String,
    pub probability: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum ClassifyError {
    #[error("the net `{net}` does not end in class scores, but in {shape}: choose a net that classifies")]
    NoClassScores { net: String, shape: Shape },
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// A net that is ready to classify one picture after another.
pub struct Classifier {
    net: FrozenNet,
    session: Session,
    logits: NodeId,
    /// `[height, width]` that the net was trained at.
    size_px: [usize; 2],
}

impl Classifier {
    /// Packs the net up to its class scores.
    ///
    /// # Errors
    /// Where the net does not end in one score a class.
    pub fn new(graph: Arc<Graph>) -> Result<Self, ClassifyError> {
        let input = graph.native_input_shape(1);
        let logits = graph.logits();
        let shape = graph.shapes(&input)?.swap_remove(logits);
        if !matches!(shape.as_maps(), Some([1, _, 1, 1])) {
            return Err(ClassifyError::NoClassScores { net: graph.name().to_string(), shape });
        }
        let size_px = graph.input().size;
        let net = FrozenNet::new(graph, &[logits]);
        let session = net.session(&input, false, None)?;
        Ok(Self { net, session, logits, size_px })
    }

    /// The `top` likeliest classes, the likeliest first; of equal ones the lower index first.
    pub fn classify(&mut self, picture: &Picture, top: usize) -> Vec<ClassScore> {
        let graph = self.net.graph().clone();
        let cropped = center_crop(&picture.flattened_onto(GROUND), self.size_px);
        ToNet::new(graph.preprocess()).apply(&cropped.rgb, self.session.input_mut());
        self.session.forward();
        let probabilities = softmax(self.session.blob(self.logits).data);
        let mut ranked: Vec<usize> = (0..probabilities.len()).collect();
        ranked.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
        let score = |index: usize| ClassScore {
            index,
            label: graph.labels().get(index).cloned().unwrap_or_else(|| index.to_string()),
            probability: probabilities[index],
        };
        ranked.into_iter().take(top).map(score).collect()
    }
}

/// The middle of the picture at `size_px` (`[height, width]`), after the shorter side was resized to a little more.
fn center_crop(picture: &Picture, size_px: [usize; 2]) -> Picture {
    let share = if size_px.iter().any(|&side| side < SMALL_NET_PX) { 1.0 } else { CROP_SHARE };
    let longest = MAX_ASPECT.saturating_mul(picture.width.min(picture.height));
    let picture = middle(picture, [picture.height.min(longest), picture.width.min(longest)]);
    let [height, width] = picture.size();
    let scale = (size_px[0] as f64 / height as f64).max(size_px[1] as f64 / width as f64) / share;
    let resized_side = |side: usize, crop: usize| ((side as f64 * scale).round() as usize).max(crop);
    let resized_px = [resized_side(height, size_px[0]), resized_side(width, size_px[1])];
    middle(&picture.resized(resized_px, Filter::CatmullRom), size_px)
}

/// The middle `[height, width]` pixels of an opaque picture that is no smaller.
fn middle(picture: &Picture, [height, width]: [usize; 2]) -> Picture {
    let (top, left) = ((picture.height - height) / 2, (picture.width - width) / 2);
    let row = |y: usize| {
        let start = 3 * ((top + y) * picture.width + left);
        &picture.rgb[start..start + 3 * width]
    };
    Picture::from_rgb(width, height, (0..height).flat_map(row).copied().collect())
}

/// Probabilities of class scores, in `f64`; they sum to one.
pub(in crate::tasks) fn softmax(scores: &[f32]) -> Vec<f64> {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut values: Vec<f64> = scores.iter().map(|&score| f64::from(score - highest).exp()).collect();
    let sum: f64 = values.iter().sum();
    values.iter_mut().for_each(|value| *value /= sum);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crop_is_the_middle_of_the_resized_picture() {
        // 512 × 256 with a gray ramp from left to right: nothing to resize, 16 rows and 144 columns are cut on a side.
        let rgb = (0..256).flat_map(|_| (0..512).flat_map(|x| [(x / 2) as f32; 3])).collect();
        let crop = center_crop(&Picture::from_rgb(512, 256, rgb), [224, 224]);
        assert_eq!((crop.size(), crop.rgb[0], crop.rgb[3 * 223]), ([224, 224], 72.0, 183.0));
    }

    #[test]
    fn any_picture_is_cropped_to_the_size_of_the_net() {
        for (width, height) in [(1, 1), (1, 100_000), (100_000, 1), (225, 224), (28, 28)] {
            for size_px in [[224, 224], [28, 28], [227, 321]] {
                let picture = Picture::filled(width, height, [7.0, 8.0, 9.0]);
                let crop = center_crop(&picture, size_px);
                assert_eq!(crop.size(), size_px, "{width}×{height}");
                let off = crop.rgb.as_chunks::<3>().0.iter().flat_map(|p| [p[0] - 7.0, p[1] - 8.0, p[2] - 9.0]);
                assert!(off.into_iter().all(|off| off.abs() < 1e-3), "{width}×{height} {size_px:?}");
            }
        }
    }

    #[test]
    fn a_small_net_sees_the_whole_shorter_side() {
        let rgb = (0..28).flat_map(|y| (0..28).flat_map(move |x| [(y + x) as f32; 3])).collect();
        let picture = Picture::from_rgb(28, 28, rgb);
        assert_eq!(center_crop(&picture, [28, 28]), picture);
    }

    #[test]
    fn probabilities_sum_to_one_even_for_huge_scores() {
        let probabilities = softmax(&[1000.0, 999.0, -1000.0]);
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((probabilities[0] - 1.0 / (1.0 + (-1f64).exp())).abs() < 1e-12, "{probabilities:?}");
    }
}

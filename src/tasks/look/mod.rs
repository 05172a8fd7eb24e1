//! What a net sees: the activations of a layer on a picture, the filters of the first layer, the net as a drawing, and
//! the lists to pick layers and classes from.
//!
//! What a net takes a picture for is told by [`super::classify::Classifier`].

mod activations;
mod classes;
mod filters;
mod layers;
mod layout;
mod looker;

pub use activations::{Activations, Firing, GrayMap, MapScale};
pub use classes::find_classes;
pub use filters::{Filters, first_layer_filters};
pub use layers::{LayerInfo, dreamable_layers};
pub use layout::{Edge, NetLayout, Placed, layout};
pub use looker::{LookError, Looker};

#[cfg(test)]
pub(in crate::tasks) mod testing;

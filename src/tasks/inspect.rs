//! Layers, shapes, parameters, cost.

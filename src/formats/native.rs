//! Oneiric's own net files: safetensors with the graph in the metadata.

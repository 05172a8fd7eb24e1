use super::super::ImportError;
use crate::nn::graph::Graph;
pub fn to_bytes(_graph: &Graph) -> Result<Vec<u8>, ImportError> { Err(ImportError::Needs(String::new())) }

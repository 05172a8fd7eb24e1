//! One Spec and one Job a feature.

pub mod bench;
pub mod catalogue;
pub mod classify;
pub mod destination;
pub mod dream;
mod error;
pub mod home;
pub mod inspect;
pub mod look;

pub use error::TaskError;

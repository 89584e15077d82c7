//! Room 7: where plugins come from, how one is loaded, and which one serves what.

pub(crate) mod catalog;
pub(crate) mod loader;
pub mod oci;
pub(crate) mod sources;

//! Where plugins come from, how one is loaded, and which plugin serves what.

pub(crate) mod admission;
pub(crate) mod catalog;
pub(crate) mod loader;
pub mod oci;
pub(crate) mod order;
pub(crate) mod settings;
pub(crate) mod sources;

#[cfg(test)]
mod tests;

//! Room 1: the contract between host and plugins: WIT on one side, Rust on the other.

pub(crate) mod bindings;
pub(crate) mod convert;
pub(crate) mod description;
pub(crate) mod json_text;

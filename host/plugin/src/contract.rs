//! The contract between host and plugins: WIT on one side, the host's data on the other.

pub(crate) mod convert;
pub(crate) mod data;
pub(crate) mod description;
pub(crate) mod errors;
pub(crate) mod interface_name;
pub(crate) mod json_text;
pub(crate) mod known_keys;
pub(crate) mod limits;
pub(crate) mod setting;
pub(crate) mod variation;
pub(crate) mod world;

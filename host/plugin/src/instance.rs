//! One instance of a plugin while it lives: its data in the host, its grants and limits, the calls
//! into it, and how those fail.

pub(crate) mod call;
pub(crate) mod context;
pub(crate) mod environment;
pub(crate) mod failure;
pub(crate) mod grants;
pub(crate) mod idle;
pub(crate) mod kept_bytes;
pub(crate) mod log;
pub(crate) mod memory;
pub(crate) mod state;
pub(crate) mod usage;
pub(crate) mod wasi;
pub(crate) mod workers;

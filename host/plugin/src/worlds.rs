//! The worlds of the contract, an adapter for each, and the loaded plugins that the adapters call.

pub(crate) mod adapters;
mod bindings;
pub(crate) mod describe;
pub(crate) mod linked;
pub(crate) mod lister;
pub(crate) mod plugin;
pub(crate) mod program_instances;
pub(crate) mod program_runner;
pub(crate) mod refused;
pub(crate) mod requirement_resolver;
pub(crate) mod resolver;
pub(crate) mod result_format;
pub(crate) mod runner;
pub(crate) mod runtime;
pub(crate) mod scheduler;
pub(crate) mod varianter;

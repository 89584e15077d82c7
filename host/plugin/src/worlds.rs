//! The worlds of the contract, a module for the calls of each, and the loaded plugins that are
//! called.

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

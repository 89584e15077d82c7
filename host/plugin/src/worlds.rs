//! Room 6: the adapters, one for each world of the contract, and the loaded plugins that they call.

pub(crate) mod linked;
pub(crate) mod plugin;
pub(crate) mod program;
pub(crate) mod requirement_resolver;
pub(crate) mod resolver;
pub(crate) mod result_format;
pub(crate) mod runner;
pub(crate) mod scheduler;
pub(crate) mod varianter;

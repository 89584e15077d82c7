//! Owns the plan: the tasks with their names and order, their requirements, and the graph of their
//! dependencies.
//!
//! May use the rooms below it: `input`.

pub(crate) mod again;
pub(crate) mod entry;
pub(crate) mod export;
pub(crate) mod fate;
pub(crate) mod graph;
pub(crate) mod history;
pub(crate) mod naming;
pub(crate) mod partition;
pub(crate) mod planner;
pub(crate) mod records;
pub(crate) mod requirements;
pub(crate) mod selection;
pub(crate) mod slot_pools;
pub(crate) mod stored;

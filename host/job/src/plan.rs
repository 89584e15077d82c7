//! Owns the plan: which tasks there are, their names and order, what they need, and the graph of all that.
//!
//! May use the rooms below it: `input`.

pub(crate) mod again;
pub(crate) mod export;
pub(crate) mod graph;
pub(crate) mod history;
pub(crate) mod naming;
pub(crate) mod partition;
pub(crate) mod planner;
pub(crate) mod requirements;

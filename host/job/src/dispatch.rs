//! Owns the state of all tasks while a job runs: who is ready, who gets a slot, who is tried again.
//!
//! May use the rooms below it: `input`, `plan`, `results`, `execute`, `undo`.

pub(crate) mod dispatcher;
pub(crate) mod queue;
pub(crate) mod slots;

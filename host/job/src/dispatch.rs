//! Owns the state of all tasks while a job runs: which tasks are ready, which slot runs each, and
//! which are retried.
//!
//! May use the rooms below it: `input`, `plan`, `results`, `execute`, `undo`.

pub(crate) mod beginning;
pub(crate) mod dispatcher;
pub(crate) mod error;
pub(crate) mod queue;
pub(crate) mod slots;
pub(crate) mod takeover;

//! Owns the execution of one task, batch or requirement: its environment, time limits, directory
//! and end.
//!
//! May use the rooms below it: `input`, `plan`, `results`.

pub(crate) mod batch;
pub(crate) mod batch_outputs;
pub(crate) mod cases;
pub(crate) mod clock;
pub(crate) mod context;
pub(crate) mod control;
pub(crate) mod executor;
pub(crate) mod interruption;
pub(crate) mod limit_means;
pub(crate) mod messages;
pub(crate) mod preparer;
pub(crate) mod slot;
pub(crate) mod supervise;
pub(crate) mod task_directory;
pub(crate) mod task_session;

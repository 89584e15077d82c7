//! Owns the job's directory and its reports.
//!
//! May use the rooms below it: `input`, `plan`.

pub(crate) mod directory;
pub(crate) mod leftovers;
pub(crate) mod recycled;
pub(crate) mod report;
pub(crate) mod running_reports;

//! Owns the release of what requirements have fulfilled, also after the host was killed.
//!
//! May use the rooms below it: `input`, `plan`, `results`, `execute`.

pub(crate) mod release;
pub(crate) mod unreleased;

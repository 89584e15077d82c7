//! The power `log`, which every plugin has: messages to the host's log.
//!
//! The macros of the crate `log` (feature `log`, on by default) and of the crate `tracing` (feature
//! `tracing`) write there too.

#[doc(inline)]
pub use crate::bindings::log::Level;

/// Writes one message. The host adds the plugin's name, the task and the time.
///
/// The host counts and drops messages over its limits: 20,000 messages and 1 MiB for each task or
/// instance by default (`plugins.limits.log_messages`, `plugins.limits.log_bytes`).
pub fn log(level: Level, message: &str) {
    crate::backend::log(level, message);
}

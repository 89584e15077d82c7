//! The power `log`, which every plugin has: messages to the host's log.
//!
//! The macros of the crates `log` (feature `log`, on without asking) and `tracing` (feature `tracing`) write there too.

#[doc(inline)]
pub use crate::bindings::log::Level;

/// Writes one message. The host adds the plugin's name, the task and the time, and keeps what is within its limits.
pub fn log(level: Level, message: &str) {
    crate::backend::log(level, message);
}

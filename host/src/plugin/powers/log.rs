//! The power `log`: a plugin's messages, up to a limit.

use crate::plugin::bindings;
use crate::plugin::state::{LastWords, State};

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// What helps to find a mistake.
    Debug,
    /// What is good to know.
    Info,
    /// What wants to be looked at.
    Warn,
    /// What went wrong.
    Error,
}

impl Level {
    /// Its name in capitals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// Takes the messages of one instance.
pub(in crate::plugin) type LogTarget = Box<dyn FnMut(Level, &str) + Send>;

/// The log of one instance.
pub(in crate::plugin) struct Log {
    target: LogTarget,
    bytes_left: u64,
    dropped: u64,
}

impl Log {
    pub(in crate::plugin) fn new(target: LogTarget, bytes: u64) -> Self {
        Self {
            target,
            bytes_left: bytes,
            dropped: 0,
        }
    }

    /// From now on so much may be written.
    pub(in crate::plugin) fn refill(&mut self, bytes: u64) {
        self.bytes_left = bytes;
    }

    pub(in crate::plugin) fn write(&mut self, level: Level, message: &str) {
        // A message costs something even when it is empty.
        let cost = message.len() as u64 + 16;
        if let Some(left) = self.bytes_left.checked_sub(cost) {
            self.bytes_left = left;
            (self.target)(level, message);
        } else {
            self.bytes_left = 0;
            self.dropped += 1;
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if self.dropped > 0 {
            let message = format!(
                "{} more messages are over the limit (`plugins.limits.log_bytes`)",
                self.dropped
            );
            (self.target)(Level::Warn, &message);
        }
    }
}

impl bindings::log::Host for State {
    fn log(&mut self, level: bindings::log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            bindings::log::Level::Trace => Level::Trace,
            bindings::log::Level::Debug => Level::Debug,
            bindings::log::Level::Info => Level::Info,
            bindings::log::Level::Warn => Level::Warn,
            bindings::log::Level::Error => Level::Error,
        };
        self.log.write(level, &message);
        Ok(())
    }

    fn panicked(&mut self, message: String, location: String) -> wasmtime::Result<()> {
        self.last_words = Some(LastWords { message, location });
        Ok(())
    }
}

//! The power `log`: a plugin's messages, up to a limit.

use std::sync::Arc;

use crate::contract::bindings;
use crate::engine::limits::{Limits, bytes};
use crate::instance::state::{LastWords, State};

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
pub(crate) type LogTarget = Box<dyn FnMut(Level, &str) + Send>;

/// The log of one instance.
pub(crate) struct Log {
    target: LogTarget,
    limits: Arc<Limits>,
    bytes_left: u64,
    messages_left: u64,
    dropped: u64,
    /// It was the limit on bytes that was reached first.
    over_bytes: bool,
}

impl Log {
    pub(crate) fn new(target: LogTarget, limits: &Arc<Limits>) -> Self {
        Self {
            target,
            limits: Arc::clone(limits),
            bytes_left: limits.log_bytes,
            messages_left: limits.log_messages,
            dropped: 0,
            over_bytes: false,
        }
    }

    /// The next task may write as much again.
    pub(crate) fn refill(&mut self) {
        self.bytes_left = self.limits.log_bytes;
        self.messages_left = self.limits.log_messages;
    }

    pub(crate) fn write(&mut self, level: Level, message: &str) {
        // A message costs something even when it is empty.
        let cost = message.len() as u64 + 16;
        let left = self.bytes_left.checked_sub(cost);
        if let (Some(bytes), Some(messages)) = (left, self.messages_left.checked_sub(1)) {
            self.bytes_left = bytes;
            self.messages_left = messages;
            (self.target)(level, message);
        } else {
            if self.dropped == 0 {
                self.over_bytes = left.is_none();
            }
            // What was over a limit is not followed by what would still fit.
            self.messages_left = 0;
            self.dropped += 1;
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if self.dropped > 0 {
            let limits = &self.limits;
            let reached = match self.over_bytes {
                true => limits.reached("its log", bytes(limits.log_bytes), "log_bytes"),
                false => {
                    let value = format!("{} messages", limits.log_messages);
                    limits.reached("its log", value, "log_messages")
                }
            };
            let dropped = self.dropped;
            let message = format!("{dropped} more messages are dropped: it has reached {reached}");
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

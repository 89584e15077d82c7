//! Owns the log of one instance, and its limits. Does not know where messages come from or where
//! they end up.

use std::sync::Arc;

use crate::engine::limits::{Limit, Limits};
use persea_model::names::printable;

/// The importance of a log message, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// What helps to find a mistake.
    Debug,
    /// What is good to know.
    Info,
    /// What somebody should look at.
    Warn,
    /// What went wrong.
    Error,
}

impl LogLevel {
    /// The level's name in capitals.
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
pub(crate) type LogTarget = Box<dyn FnMut(LogLevel, &str) + Send>;

/// The cost of a message in bytes apart from its text, so that empty messages are limited too.
const MESSAGE_COST: u64 = 16;

/// The log of one instance.
pub(crate) struct Log {
    target: LogTarget,
    limits: Arc<Limits>,
    bytes_left: u64,
    messages_left: u64,
    dropped: u64,
    /// The limit that was reached first, once messages are dropped.
    reached: Option<Limit>,
}

impl Log {
    pub(crate) fn new(target: LogTarget, limits: &Arc<Limits>) -> Self {
        Self {
            target,
            limits: Arc::clone(limits),
            bytes_left: limits.log_bytes,
            messages_left: limits.log_messages,
            dropped: 0,
            reached: None,
        }
    }

    /// A log that drops everything, for an instance that nobody calls.
    pub(crate) fn discarding(limits: &Arc<Limits>) -> Self {
        Self::new(Box::new(|_, _| {}), limits)
    }

    /// Gives the next task of the instance its own share of the limits.
    pub(crate) fn refill(&mut self) {
        self.bytes_left = self.limits.log_bytes;
        self.messages_left = self.limits.log_messages;
    }

    pub(crate) fn write(&mut self, level: LogLevel, message: &str) {
        let cost = message.len() as u64 + MESSAGE_COST;
        let bytes = self.bytes_left.checked_sub(cost);
        let messages = self.messages_left.checked_sub(1);
        if let (Some(bytes), Some(messages)) = (bytes, messages) {
            self.bytes_left = bytes;
            self.messages_left = messages;
            (self.target)(level, message);
        } else {
            let limit = match bytes {
                None => Limit::LogBytes,
                Some(_) => Limit::LogMessages,
            };
            self.reached.get_or_insert(limit);
            // A shorter message that still fits would appear after a gap that nobody sees.
            self.messages_left = 0;
            self.dropped += 1;
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(limit) = self.reached {
            let (dropped, reached) = (self.dropped, self.limits.reached(limit));
            let message = format!("{dropped} more messages are dropped: it has reached {reached}");
            (self.target)(LogLevel::Warn, &message);
        }
    }
}

/// Writes a plugin's message to the host's own log, as one line that begins with the plugin's
/// label.
pub(crate) fn write_to_host_log(label: &str, level: LogLevel, message: &str) {
    let message = printable(message);
    match level {
        LogLevel::Error | LogLevel::Warn => tracing::warn!("{label}: {message}"),
        LogLevel::Info => tracing::info!("{label}: {message}"),
        LogLevel::Trace | LogLevel::Debug => tracing::debug!("{label}: {message}"),
    }
}

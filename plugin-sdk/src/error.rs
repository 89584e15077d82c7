//! Owns the error type of plugins: an expected failure. A bug is a panic, which the host reports.

use crate::attributes::{Attributes, Value};
use crate::bindings::types;
use std::{fmt, io};

/// An expected failure, of the host or of the plugin.
///
/// It converts from and to [`io::Error`], so that `?` works on both in code that writes a
/// [`Report`](crate::report_output::Report).
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// The kind of failure, for programs: lower-case words with hyphens. The host uses `not-found`,
    /// `not-permitted`, `invalid`, `too-large`, `limit`, `timeout`, `interrupted`, `closed`,
    /// `unsupported` and `io`; the power [`fetch`](crate::fetch) also `checksum` and `offline`.
    pub code: String,
    /// What went wrong, for people: one lower-case sentence that names the thing, without a full
    /// stop.
    pub message: String,
    /// Details by name. The host sets `os-error` (integer) to the system's error number (errno)
    /// where there is one.
    pub detail: Attributes,
}

impl Error {
    /// Creates an error from a code and a message, without details.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            detail: Attributes::new(),
        }
    }

    /// Says that the environment is to blame and not the test or the requirement: another attempt
    /// may succeed. It is the detail `infrastructure` (boolean).
    #[must_use]
    pub fn infrastructure(self) -> Self {
        self.with("infrastructure", true)
    }

    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.detail.insert(name, value);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::other(error)
    }
}

/// An [`Error`] that was converted to an [`io::Error`] is restored unchanged. Any other error gets
/// the code `io`.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Error>() {
            Ok(own) => own,
            Err(other) => Self::new("io", other.to_string()),
        }
    }
}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        Self {
            code: error.code,
            message: error.message,
            detail: Attributes(error.detail),
        }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        Self {
            code: error.code,
            message: error.message,
            detail: error.detail.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_survives_the_conversion_to_io_error_and_back() {
        let limit =
            Error::new("limit", "the report is larger than 1 GiB").with("limit", 1_i64 << 30);
        let through: Error = io::Error::from(limit.clone()).into();
        assert_eq!(through, limit);
        let foreign: Error = io::Error::other("disk on fire").into();
        assert_eq!(
            (foreign.code.as_str(), foreign.to_string().as_str()),
            ("io", "disk on fire")
        );
    }
}

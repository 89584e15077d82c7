//! The failure that is to be expected. A bug is a panic, which the host reports as such.

use crate::attributes::{Attributes, Value};
use crate::bindings::types;
use std::{fmt, io};

/// What went wrong where that was to be expected.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// What kind of failure, for programs: lower case words with hyphens. The host's own are `not-found`,
    /// `not-permitted`, `invalid`, `too-large`, `limit`, `timeout`, `interrupted`, `closed`, `unsupported` and `io`.
    pub code: String,
    /// What went wrong, for people: one lower-case sentence that names the thing, without a full stop.
    pub message: String,
    /// More about it, by name; the host gives the system's errno as `os-error` (integer) where there is one.
    pub detail: Attributes,
}

impl Error {
    /// A failure of a kind, in words.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            detail: Attributes::new(),
        }
    }

    /// The same with one more detail.
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

/// The host's error that a [`Report`](crate::output::Report) was given comes back whole; any other becomes `io`.
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
    fn an_error_survives_the_way_through_std_io() {
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

//! Owns the errors that powers return to plugins. Does not know which power fails.

use crate::contract::data;

/// An error of the contract.
pub(crate) fn error(code: &str, message: impl Into<String>) -> data::Error {
    data::Error {
        code: code.to_owned(),
        message: message.into(),
        detail: Vec::new(),
    }
}

/// A system's error about a thing, with its errno.
pub(crate) fn io_error(what: &str, error: &std::io::Error) -> data::Error {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => "not-found",
        std::io::ErrorKind::PermissionDenied => "not-permitted",
        _ => "io",
    };
    let detail = error
        .raw_os_error()
        .map(|number| ("os-error".to_owned(), data::Value::Integer(number.into())))
        .into_iter()
        .collect();
    data::Error {
        code: code.to_owned(),
        message: format!("{what}: {error}"),
        detail,
    }
}

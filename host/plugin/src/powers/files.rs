//! Owns how powers read files of others: bounded pieces, checked names, errors of the contract.

use std::fs::File;
use std::io;

use crate::contract::convert::{error, io_error};
use crate::contract::data::Error;
use crate::contract::limits::ContractLimit;
use persea_model::names::is_artifact_name;
use persea_system::bounded_read;

/// Reads up to `length` bytes of an ordinary file from `offset`; fewer only at the file's end, and
/// at most what the limit of a read allows.
pub(crate) fn read_at(
    file: &File,
    offset: u64,
    length: u32,
    most: &ContractLimit,
) -> io::Result<Vec<u8>> {
    let most = u32::try_from(most.most).unwrap_or(u32::MAX);
    bounded_read::part(file, offset, length.min(most))
}

/// Checks that a name from a plugin can be the name of a task's file.
pub(crate) fn checked_name(name: &str) -> Result<&str, Error> {
    if is_artifact_name(name) {
        return Ok(name);
    }
    Err(error(
        "invalid",
        format!(
            "{name:?} cannot be the name of a file of a task: it must be one plain path component \
             that does not begin with a dot"
        ),
    ))
}

/// Returns the contract's error for a file of a task, which is `invalid` if the name belongs to
/// something that is not a file.
pub(crate) fn file_error(name: &str, failure: &io::Error) -> Error {
    match failure.kind() {
        io::ErrorKind::InvalidInput => error("invalid", format!("{name}: {failure}")),
        _ => io_error(name, failure),
    }
}

//! Owns the faked files of the project.

use super::{normal, not_found, power, slice, with};
use crate::attributes::Attributes;
use crate::error::Error;
use crate::testing::files::Entry;
use crate::workspace::{FileKind, FileStat};
use std::collections::BTreeMap;

fn outside(path: &str) -> Error {
    Error::new("not-permitted", format!("{path} leads out of the project"))
}

/// Returns a path without `.` and `..`; the project's own directory is the empty path.
fn resolved(files: &BTreeMap<String, Entry>, path: &str) -> Result<String, Error> {
    let normal = normal(path);
    let mut above: Vec<&str> = Vec::new();
    for part in normal.split('/') {
        match part {
            ".." if above.is_empty() || path.starts_with('/') => return Err(outside(path)),
            ".." => {
                // As in a file system, the directory that `..` leaves must exist.
                if !matches!(files.get(&above.join("/")), Some(Entry::Directory)) {
                    return Err(not_found(path));
                }
                above.pop();
            }
            part => above.push(part),
        }
    }
    Ok(above.join("/"))
}

fn entry<T>(path: &str, work: impl FnOnce(&Entry) -> T) -> Result<T, Error> {
    with(|state| match resolved(&state.files, path)?.as_str() {
        "" => Ok(work(&Entry::Directory)),
        normal => state
            .files
            .get(normal)
            .map(work)
            .ok_or_else(|| match path.starts_with('/') {
                // Elsewhere, a plugin sees the file that its reference names, and nothing else.
                true => outside(path),
                false => not_found(path),
            }),
    })
}

fn kind(entry: &Entry) -> FileKind {
    match entry {
        Entry::File { .. } => FileKind::File,
        Entry::Directory => FileKind::Directory,
        Entry::Other => FileKind::Other,
    }
}

pub(crate) fn stat(path: &str) -> Result<FileStat, Error> {
    power("workspace.stat")?;
    entry(path, |entry| {
        let (size, executable) = match entry {
            Entry::File { bytes, executable } => (bytes.len() as u64, *executable),
            _ => (0, false),
        };
        FileStat {
            kind: kind(entry),
            size,
            executable,
            more: Attributes::new(),
        }
    })
}

pub(crate) fn list_directory(path: &str) -> Result<Vec<(String, FileKind)>, Error> {
    power("workspace.list-directory")?;
    if entry(path, kind)? != FileKind::Directory {
        let message = format!("{path} is not a directory");
        return Err(Error::new("not-found", message).with("os-error", 20));
    }
    if path.starts_with('/') {
        return Err(outside(path));
    }
    let parent = match with(|state| resolved(&state.files, path))?.as_str() {
        "" => String::new(),
        path => format!("{path}/"),
    };
    with(|state| {
        let inside = state
            .files
            .iter()
            .filter_map(|(path, entry)| Some((path.strip_prefix(&parent)?, kind(entry))));
        let here = inside.filter(|(name, _)| !name.is_empty() && !name.contains('/'));
        let entries: Vec<_> = here.map(|(name, kind)| (name.to_owned(), kind)).collect();
        match entries.len() {
            length if length > state.limits.directory_entries => Err(Error::new(
                "too-large",
                format!("{path} has {length} entries"),
            )),
            _ => Ok(entries),
        }
    })
}

pub(crate) fn read(path: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    power("workspace.read")?;
    entry(path, |entry| match entry {
        Entry::File { bytes, .. } => Ok(slice(bytes, offset, length)),
        _ => Err(Error::new(
            "invalid",
            format!("{path} is not an ordinary file"),
        )),
    })?
}

//! Owns the faked files of the project.

use super::{normal, not_found, power, slice, with};
use crate::attributes::Attributes;
use crate::error::Error;
use crate::testing::files::Entry;
use crate::workspace::{FileKind, FileStat};

fn entry<T>(path: &str, work: impl FnOnce(&Entry) -> T) -> Result<T, Error> {
    if path.split('/').any(|part| part == "..") {
        return Err(Error::new(
            "not-permitted",
            format!("{path} leads out of the project"),
        ));
    }
    with(|state| match normal(path).as_str() {
        "" => Ok(work(&Entry::Directory)),
        normal => state
            .files
            .get(normal)
            .map(work)
            .ok_or_else(|| not_found(path)),
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
    let parent = match normal(path).as_str() {
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

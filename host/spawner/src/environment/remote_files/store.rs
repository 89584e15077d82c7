//! Owns how fetched files are stored. Trusts nothing that the other host sends: neither names nor
//! how much there is.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use persea_helper::protocol::Bytes;
use persea_helper::protocol::archive::{ArchiveItem, ArchiveReader, LeftOut, Record};
use persea_system::directory_handle::DirectoryHandle;

use super::Fetched;
use crate::error::SpawnError;

/// The error for an archive that cannot be right.
pub(super) fn invalid(why: String) -> SpawnError {
    SpawnError::Fetch { why }
}

/// Where fetched files are stored.
pub(super) struct Store<'a> {
    parent: &'a DirectoryHandle,
    name: &'a str,
    /// None until there is anything.
    directory: Option<DirectoryHandle>,
    file: Option<(File, PathBuf)>,
    /// The directories that were made, with the modes that they get in the end.
    directories: Vec<(PathBuf, u32)>,
    made: HashSet<Vec<u8>>,
    fetched: Fetched,
}

impl<'a> Store<'a> {
    pub(super) fn new(parent: &'a DirectoryHandle, name: &'a str) -> Self {
        Self {
            parent,
            name,
            directory: None,
            file: None,
            directories: Vec::new(),
            made: HashSet::new(),
            fetched: Fetched::default(),
        }
    }

    /// Stores what the reader has.
    pub(super) fn take(&mut self, reader: &mut ArchiveReader) -> Result<(), SpawnError> {
        loop {
            match reader.next_item() {
                Ok(None) => return Ok(()),
                Ok(Some(ArchiveItem::Record(record))) => self.add(record)?,
                Ok(Some(ArchiveItem::Content(content))) => {
                    self.fetched.size += content.len() as u64;
                    if let Some((file, path)) = &mut self.file {
                        let written = file.write_all(content);
                        written.map_err(|error| cannot_store(path, &error))?;
                    }
                }
                Err(error) => return Err(invalid(error.to_string())),
            }
        }
    }

    fn add(&mut self, record: Record) -> Result<(), SpawnError> {
        match record {
            Record::Directory { path, mode } => {
                let path = self.new_path(path)?;
                let made = self.directory()?.make_below(&path);
                made.map_err(|error| cannot_store(&path, &error))?;
                self.directories.push((path, mode));
            }
            Record::File { path, mode, .. } => {
                let path = self.new_path(path)?;
                let file = self.directory()?.continue_below(&path);
                let file = file.and_then(|file| {
                    file.set_permissions(Permissions::from_mode(mode))?;
                    Ok(file)
                });
                let file = file.map_err(|error| cannot_store(&path, &error))?;
                self.file = Some((file, path));
            }
            Record::FileEnd { is_whole, .. } => {
                if let Some((_, path)) = self.file.take()
                    && !is_whole
                {
                    let path = path.display();
                    self.leave_out(format!("the end of {path} (it became shorter meanwhile)"));
                }
            }
            Record::Link { path, target } => {
                let path = self.new_path(path)?;
                let target = Path::new(OsStr::from_bytes(&target.0));
                let made = self.directory()?.link_below(target, &path);
                made.map_err(|error| cannot_store(&path, &error))?;
            }
            Record::LeftOut { path, why } => {
                let path = String::from_utf8_lossy(&path.0);
                let why = match why {
                    LeftOut::Size(size) => format!("{size} bytes, over `files.max_fetched`"),
                    LeftOut::Kind => "neither a file, a directory nor a link".to_owned(),
                    LeftOut::Unreadable(why) => why,
                };
                self.leave_out(format!("{path} ({why})"));
            }
            Record::End { left_out: 0 } => {}
            Record::End { left_out } => {
                self.leave_out(format!(
                    "{left_out} more entries, because there are too many"
                ));
            }
        }
        Ok(())
    }

    /// Adds to what is said. The other host decides how much there is, so that has a limit.
    fn leave_out(&mut self, what: String) {
        const MOST: usize = 20;
        match self.fetched.left_out.len() {
            ..MOST => self.fetched.left_out.push(what),
            MOST => self.fetched.left_out.push("and more".to_owned()),
            _ => {}
        }
    }

    /// Checks that a path comes only once.
    fn new_path(&mut self, path: Bytes) -> Result<PathBuf, SpawnError> {
        let shown = PathBuf::from(OsStr::from_bytes(&path.0));
        match self.made.insert(path.0) {
            true => Ok(shown),
            false => Err(invalid(format!("{} comes twice", shown.display()))),
        }
    }

    fn directory(&mut self) -> Result<&DirectoryHandle, SpawnError> {
        if self.directory.is_none() {
            let made = match self.parent.create_directory(self.name) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                Ok(_) | Err(_) => self.parent.open_directory(self.name),
            };
            let made = made.map_err(|error| cannot_store(Path::new(self.name), &error))?;
            self.directory = Some(made);
        }
        let none = || invalid("its directory is missing".to_owned());
        self.directory.as_ref().ok_or_else(none)
    }

    /// Gives directories their modes: those below first, because one may deny to enter it.
    pub(super) fn finish(self) -> Result<Fetched, SpawnError> {
        if let Some(directory) = &self.directory {
            for (path, mode) in self.directories.iter().rev() {
                let set = directory.set_mode_below(path, *mode);
                set.map_err(|error| cannot_store(path, &error))?;
            }
        }
        Ok(self.fetched)
    }
}

fn cannot_store(path: &Path, error: &io::Error) -> SpawnError {
    SpawnError::Store {
        path: path.to_owned(),
        source: Arc::new(io::Error::new(error.kind(), error.to_string())),
    }
}

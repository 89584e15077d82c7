//! Owns the directory of a received project: makes its directories, links and files. Does not know
//! where their contents come from.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use persea_helper::protocol::archive::Digest;
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, fchmod, futimens, mkdirat, openat, symlinkat,
    unlinkat,
};
use sha2::{Digest as _, Sha256};

use super::ReceiveError;

/// The bits of a mode that are sent: permissions, and the sticky bit. Never a set-id bit.
const MODE: u32 = 0o1777;

/// The directory of a project.
pub(super) struct Tree {
    path: PathBuf,
    directory: OwnedFd,
    /// The path of the project on the host.
    origin: Vec<u8>,
}

fn failed(path: &Path, source: impl Into<io::Error>) -> ReceiveError {
    ReceiveError::File {
        path: path.display().to_string(),
        source: source.into(),
    }
}

/// Makes a directory, and its parents where they are missing.
pub(super) fn make_directories(path: &Path) -> Result<(), ReceiveError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o755).create(path);
    made.map_err(|error| failed(path, error))
}

impl Tree {
    /// Makes the directory, which must not exist.
    pub(super) fn make(path: &Path, origin: &[u8]) -> Result<Self, ReceiveError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = mkdirat(CWD, path, Mode::from_raw_mode(0o755))
            .and_then(|()| openat(CWD, path, flags, Mode::empty()));
        Ok(Self {
            directory: directory.map_err(|errno| failed(path, errno))?,
            path: path.to_owned(),
            origin: origin.to_vec(),
        })
    }

    fn failed(&self, name: &[u8], error: impl Into<io::Error>) -> ReceiveError {
        failed(&self.path.join(OsStr::from_bytes(name)), error)
    }

    /// Makes a directory, which can be written to until [`Tree::set_mode`].
    pub(super) fn add_directory(&self, name: &[u8]) -> Result<(), ReceiveError> {
        let made = mkdirat(&self.directory, name, Mode::RWXU);
        made.map_err(|errno| self.failed(name, errno))
    }

    /// Makes a link. One to the project on the host, by its absolute path, leads to this directory.
    pub(super) fn add_link(&self, name: &[u8], target: &[u8]) -> Result<(), ReceiveError> {
        let below = target.strip_prefix(&self.origin[..]);
        let below = below.filter(|rest| rest.is_empty() || rest.starts_with(b"/"));
        let here = below.map(|rest| [self.path.as_os_str().as_bytes(), rest].concat());
        let made = symlinkat(here.as_deref().unwrap_or(target), &self.directory, name);
        made.map_err(|errno| self.failed(name, errno))
    }

    pub(super) fn set_mode(&self, name: &[u8], mode: u32) -> Result<(), ReceiveError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let set = openat(&self.directory, name, flags, Mode::empty())
            .and_then(|directory| fchmod(directory, Mode::from_raw_mode(mode & MODE)));
        set.map_err(|errno| self.failed(name, errno))
    }

    /// Creates a file, which must not exist.
    pub(super) fn create<'a>(
        &'a self,
        name: &'a [u8],
        mode: u32,
    ) -> Result<NewFile<'a>, ReceiveError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(
            &self.directory,
            name,
            flags,
            Mode::from_raw_mode(mode & MODE),
        );
        Ok(NewFile {
            file: file.map_err(|errno| self.failed(name, errno))?.into(),
            digest: Sha256::new(),
            name,
            tree: self,
        })
    }

    /// Opens a file that was made.
    pub(super) fn open(&self, name: &[u8]) -> Result<File, ReceiveError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.directory, name, flags, Mode::empty());
        Ok(file.map_err(|errno| self.failed(name, errno))?.into())
    }
}

/// A file that is being written.
pub(super) struct NewFile<'a> {
    file: File,
    digest: Sha256,
    name: &'a [u8],
    tree: &'a Tree,
}

impl NewFile<'_> {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), ReceiveError> {
        self.digest.update(bytes);
        let written = self.file.write_all(bytes);
        written.map_err(|error| self.tree.failed(self.name, error))
    }

    /// The digest of what was written.
    pub(super) fn digest(&self) -> Digest {
        self.digest.clone().finalize().into()
    }

    /// Ends the file, whose content has this time.
    pub(super) fn finish(self, (seconds, nanoseconds): (i64, u32)) -> Result<(), ReceiveError> {
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds.into(),
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        let set = futimens(&self.file, &times);
        set.map_err(|errno| self.tree.failed(self.name, errno))
    }

    /// Removes the file.
    pub(super) fn discard(self) -> Result<(), ReceiveError> {
        let removed = unlinkat(&self.tree.directory, self.name, AtFlags::empty());
        removed.map_err(|errno| self.tree.failed(self.name, errno))
    }
}

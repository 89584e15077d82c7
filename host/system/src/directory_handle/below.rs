//! Owns access to paths below a directory, through no link.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, fchmod, mkdirat, openat, symlinkat};
use rustix::io::Errno;

use super::{DirectoryHandle, open_at, open_file_at};

impl DirectoryHandle {
    /// Creates a directory at a path below this one, that only the owner can enter. Does nothing if
    /// there is one.
    ///
    /// # Errors
    /// The path is that of something else, leads through a link, or the system refuses to create
    /// it.
    pub fn make_below(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent_of(path)?;
        match mkdirat(&parent, name, Mode::RWXU) {
            Err(Errno::EXIST) => open_at(&parent, Path::new(name)).map(drop),
            made => Ok(made?),
        }
    }

    /// Opens a file at a path below this directory for appending, and creates it if it does not
    /// exist.
    ///
    /// # Errors
    /// The path leads through a link, is not an ordinary file, or the system refuses to create it.
    pub fn continue_below(&self, path: &Path) -> io::Result<File> {
        let (parent, name) = self.parent_of(path)?;
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        open_file_at(parent, name, flags)
    }

    /// Creates a symbolic link at a path below this directory.
    ///
    /// # Errors
    /// The path exists, leads through a link, or the system refuses to create it.
    pub fn link_below(&self, target: &Path, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent_of(path)?;
        Ok(symlinkat(target, parent, name)?)
    }

    /// Sets the mode of a directory at a path below this one.
    ///
    /// # Errors
    /// The path leads through a link, or is no directory of this user.
    pub fn set_mode_below(&self, path: &Path, mode: u32) -> io::Result<()> {
        let (parent, name) = self.parent_of(path)?;
        let directory = open_at(parent, Path::new(name))?;
        Ok(fchmod(&directory.0, Mode::from_raw_mode(mode))?)
    }

    /// Opens the directory of a path below this one, through no link. Returns it with the last name
    /// of the path.
    fn parent_of<'a>(&self, path: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut directory = openat(&self.0, ".", flags, Mode::empty())?;
        let mut names = path.components().map(|component| match component {
            Component::Normal(name) => Ok(name),
            _ => Err(io::Error::from(Errno::INVAL)),
        });
        let name = names.next_back().unwrap_or(Err(Errno::INVAL.into()))?;
        for name in names {
            directory = openat(&directory, name?, flags, Mode::empty())?;
        }
        Ok((directory, name))
    }
}

//! Owns the work directory: creates it, checks it after each child, empties it after each task,
//! removes it. Does not know what a task is.

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use persea_helper::removal;
use rustix::fs::{
    CWD, FileType, Mode, OFlags, RawDir, SeekFrom, Stat, fstat, lstat, mkdirat, open, seek,
};
use rustix::io::{Errno, Result};

pub(crate) struct WorkDir {
    path: PathBuf,
    directory: OwnedFd,
    /// The identity and mode of the directory when it was opened, to notice if a test replaces it.
    opened: Stat,
}

impl WorkDir {
    /// Creates the directory, or opens an existing one if it is empty.
    pub(crate) fn new(path: &[u8]) -> std::result::Result<WorkDir, String> {
        let path = PathBuf::from(OsStr::from_bytes(path));
        let refuse =
            |why: String| format!("the work directory {} can't be used: {why}", path.display());
        if !path.is_absolute() {
            return Err(refuse("the path is not absolute".to_owned()));
        }
        match create(&path) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(refuse(e.to_string())),
        }
        let (directory, opened) = open_directory(&path).map_err(|e| refuse(e.to_string()))?;
        let work = WorkDir {
            path: path.clone(),
            directory,
            opened,
        };
        match work.has_entries() {
            Ok(false) => Ok(work),
            Ok(true) => Err(refuse(
                "it is not empty; name a directory that is empty or missing".to_owned(),
            )),
            Err(e) => Err(refuse(e.to_string())),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path still leads to the same directory, with the same mode and without entries.
    pub(crate) fn is_untouched(&self) -> bool {
        // Checks the path and not the descriptor, because tests use the path.
        lstat(&self.path).is_ok_and(|now| {
            (now.st_dev, now.st_ino, now.st_mode)
                == (self.opened.st_dev, self.opened.st_ino, self.opened.st_mode)
        }) && self.has_entries() == Ok(false)
    }

    fn has_entries(&self) -> Result<bool> {
        seek(&self.directory, SeekFrom::Start(0))?;
        let mut buffer = [MaybeUninit::uninit(); 512];
        let mut entries = RawDir::new(&self.directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if entry.file_name() != c"." && entry.file_name() != c".." {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Restores an empty directory at the path, whatever a test has left there.
    pub(crate) fn restore(&mut self) -> std::result::Result<(), String> {
        if self.is_untouched() {
            return Ok(());
        }
        self.recreate().map_err(|e| {
            format!(
                "the work directory {} can't be emptied: {e}",
                self.path.display()
            )
        })
    }

    fn recreate(&mut self) -> Result<()> {
        match lstat(&self.path) {
            Ok(now) if FileType::from_raw_mode(now.st_mode) == FileType::Directory => {
                removal::grant_owner_access(CWD, &self.path)?;
                removal::empty_directory(&self.path)?;
            }
            Ok(_) => {
                rustix::fs::unlink(&self.path)?;
                create(&self.path)?;
            }
            Err(Errno::NOENT) => create(&self.path)?,
            Err(e) => return Err(e),
        }
        (self.directory, self.opened) = open_directory(&self.path)?;
        Ok(())
    }

    /// Removes the directory with everything in it.
    pub(crate) fn remove(&self) -> std::result::Result<(), String> {
        // Has no effect if a test has replaced the directory by a link.
        let _ = removal::grant_owner_access(CWD, &self.path);
        removal::remove_tree(&self.path).map_err(|e| {
            format!(
                "the work directory {} can't be removed: {e}",
                self.path.display()
            )
        })
    }
}

/// Creates a directory with mode 0700, whatever the umask.
fn create(path: &Path) -> Result<()> {
    mkdirat(CWD, path, Mode::RWXU)?;
    removal::grant_owner_access(CWD, path)
}

fn open_directory(path: &Path) -> Result<(OwnedFd, Stat)> {
    let directory = open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let opened = fstat(&directory)?;
    Ok((directory, opened))
}

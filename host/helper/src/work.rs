//! The work directory: made, looked at after each test, emptied after each task, removed. It must not know what a task is.

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use persea_helper::sweep;
use rustix::fs::{
    CWD, FileType, Mode, OFlags, RawDir, SeekFrom, Stat, fstat, lstat, mkdirat, open, seek,
};
use rustix::io::{Errno, Result};

pub(crate) struct WorkDir {
    path: PathBuf,
    directory: OwnedFd,
    /// What the directory was when it was opened, to notice when a test has put another in its place.
    was: Stat,
}

impl WorkDir {
    /// Makes the directory, or takes an empty one.
    pub(crate) fn new(path: &[u8]) -> std::result::Result<WorkDir, String> {
        let path = PathBuf::from(OsStr::from_bytes(path));
        let refuse =
            |why: String| format!("the work directory {} can't be used: {why}", path.display());
        if !path.is_absolute() {
            return Err(refuse("the path is not absolute".to_owned()));
        }
        match make(&path) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(refuse(e.to_string())),
        }
        let (directory, was) = open_directory(&path).map_err(|e| refuse(e.to_string()))?;
        let work = WorkDir {
            path: path.clone(),
            directory,
            was,
        };
        match work.has_entries() {
            Ok(false) => Ok(work),
            Ok(true) => Err(refuse(
                "something is in it; name a directory that is empty or missing".to_owned(),
            )),
            Err(e) => Err(refuse(e.to_string())),
        }
    }

    /// Whether it's still the directory that it was, with nothing in it.
    pub(crate) fn is_untouched(&self) -> bool {
        // The path is looked at, not the descriptor: tests know the path.
        lstat(&self.path).is_ok_and(|now| {
            (now.st_dev, now.st_ino, now.st_mode)
                == (self.was.st_dev, self.was.st_ino, self.was.st_mode)
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

    /// Makes it an empty directory again, whatever has become of it.
    pub(crate) fn restore(&mut self) -> std::result::Result<(), String> {
        if self.is_untouched() {
            return Ok(());
        }
        self.make_anew().map_err(|e| {
            format!(
                "the work directory {} can't be emptied: {e}",
                self.path.display()
            )
        })
    }

    fn make_anew(&mut self) -> Result<()> {
        match lstat(&self.path) {
            Ok(now) if FileType::from_raw_mode(now.st_mode) == FileType::Directory => {
                sweep::allow_owner(CWD, &self.path)?;
                sweep::empty(&self.path)?;
            }
            Ok(_) => {
                rustix::fs::unlink(&self.path)?;
                make(&self.path)?;
            }
            Err(Errno::NOENT) => make(&self.path)?,
            Err(e) => return Err(e),
        }
        (self.directory, self.was) = open_directory(&self.path)?;
        Ok(())
    }

    /// Removes it with all that is in it.
    pub(crate) fn remove(&self) -> std::result::Result<(), String> {
        // Where a test has put a link in its place, this changes nothing.
        let _ = sweep::allow_owner(CWD, &self.path);
        sweep::remove(&self.path).map_err(|e| {
            format!(
                "the work directory {} can't be removed: {e}",
                self.path.display()
            )
        })
    }
}

/// Makes a directory with this very mode, whatever the umask, which is that of the tests.
fn make(path: &Path) -> Result<()> {
    mkdirat(CWD, path, Mode::RWXU)?;
    sweep::allow_owner(CWD, path)
}

fn open_directory(path: &Path) -> Result<(OwnedFd, Stat)> {
    let directory = open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let was = fstat(&directory)?;
    Ok((directory, was))
}

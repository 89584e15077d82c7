//! Owns access to a directory by its file descriptor: what is created, read, written and renamed
//! stays in that directory, even if a test moves it or replaces names in it meanwhile. Follows no
//! link, and does not block on a pipe or device. Does not know whose directory it is.
//!
//! `cap_std::fs::Dir` would not do. It follows links that stay in the directory, unless each single
//! call forbids that; it does not block only where each call sets the flag; and it can neither
//! rename without replacing, nor create a file in one system call, nor remove a tree whose
//! directories have lost their permissions.

mod below;
mod privileges;

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use persea_helper::removal;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, RenameFlags, fchmod, fstat, mkdirat, mknodat,
    openat, renameat, renameat_with, statat, symlinkat,
};
use rustix::io::Errno;

use crate::private::{READABLE, READABLE_FILE};

/// The most files that [`DirectoryHandle::ordinary_files`] returns: 262,144. Their names take up to
/// 64 MiB.
pub const MOST_LISTED_FILES: usize = 1 << 18;

/// An open directory.
#[derive(Debug)]
pub struct DirectoryHandle(OwnedFd);

impl DirectoryHandle {
    /// Opens the directory at a path.
    ///
    /// # Errors
    /// It does not exist, or the last component of the path is a link or no directory.
    pub fn open(path: &Path) -> io::Result<DirectoryHandle> {
        open_at(CWD, path)
    }

    /// Opens a directory in this one.
    ///
    /// # Errors
    /// As for [`DirectoryHandle::open`].
    pub fn open_directory(&self, name: &str) -> io::Result<DirectoryHandle> {
        open_at(&self.0, Path::new(name))
    }

    /// Creates a directory in this one that nobody but the owner can write to. Returns its mode,
    /// for [`DirectoryHandle::has_only_empty_files`]: the umask may leave less than is asked for.
    ///
    /// # Errors
    /// The name exists already, or the system refuses to create it.
    pub fn create_directory(&self, name: &str) -> io::Result<Mode> {
        mkdirat(&self.0, name, Mode::from_raw_mode(READABLE))?;
        let made = statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Mode::from_raw_mode(made.st_mode))
    }

    /// Opens a file in this directory for reading.
    ///
    /// # Errors
    /// It does not exist, or is not an ordinary file.
    pub fn open_file(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::RDONLY)
    }

    /// Opens a file in this directory for reading and writing.
    ///
    /// # Errors
    /// It does not exist, or is not an ordinary file.
    pub fn open_update(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::RDWR)
    }

    /// Opens a file in this directory for appending, and creates it if it does not exist.
    ///
    /// # Errors
    /// It is not an ordinary file, or the system refuses to create it.
    pub fn open_append(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE)
    }

    /// Creates an empty file at a path below this directory, in one system call. Follows links in
    /// the path, but not at its end.
    ///
    /// # Errors
    /// The name exists already, or the system refuses to create it.
    pub fn create_file(&self, path: &str) -> io::Result<()> {
        let mode = Mode::from_raw_mode(READABLE_FILE);
        Ok(mknodat(&self.0, path, FileType::RegularFile, mode, 0)?)
    }

    fn file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        open_file_at(&self.0, OsStr::new(name), flags)
    }

    /// Returns the name and the size in bytes of each ordinary file in this directory whose name
    /// is UTF-8 and `is_wanted`, sorted by name.
    ///
    /// # Errors
    /// The directory cannot be read, or has more than [`MOST_LISTED_FILES`] such files.
    pub fn ordinary_files(
        &self,
        is_wanted: impl Fn(&str) -> bool,
    ) -> io::Result<Vec<(String, u64)>> {
        // A descriptor of its own, because reading moves the position of the open directory.
        let directory = open_at(&self.0, Path::new("."))?;
        let mut files = Vec::new();
        let mut buffer = Vec::with_capacity(4096);
        let mut entries = RawDir::new(&directory.0, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            let Some(wanted) = name.to_str().ok().filter(|name| is_wanted(name)) else {
                continue;
            };
            let found = match statat(&directory.0, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => found,
                // The task has removed it meanwhile.
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno.into()),
            };
            if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
                continue;
            }
            if files.len() == MOST_LISTED_FILES {
                let message = format!("it has more than {MOST_LISTED_FILES} files");
                return Err(io::Error::other(message));
            }
            files.push((wanted.to_owned(), found.st_size.try_into().unwrap_or(0)));
        }
        files.sort_unstable();
        Ok(files)
    }

    /// Creates a symbolic link in this directory.
    ///
    /// # Errors
    /// The name exists already, or the system refuses to create it.
    pub fn create_link(&self, target: &Path, name: &str) -> io::Result<()> {
        Ok(symlinkat(target, &self.0, name)?)
    }

    /// Moves an entry of this directory into the directory `to`, under the name `new`. Replaces a
    /// file or an empty directory of that name.
    ///
    /// # Errors
    /// The entry does not exist, or the system refuses to move it.
    pub fn rename(&self, name: &str, to: &DirectoryHandle, new: &str) -> io::Result<()> {
        let rename = || renameat(&self.0, name, &to.0, new);
        let moved = match rename() {
            // Moving a directory changes its `..`, so the directory itself must be writable.
            Err(Errno::ACCESS) => {
                removal::grant_owner_access(&self.0, name).and_then(|()| rename())
            }
            moved => moved,
        };
        Ok(moved?)
    }

    /// Renames an entry of this directory to a name that does not exist yet.
    ///
    /// # Errors
    /// The new name exists, or the file system cannot rename without replacing.
    pub fn rename_without_replacing(&self, name: &str, new: &str) -> io::Result<()> {
        Ok(renameat_with(
            &self.0,
            name,
            &self.0,
            new,
            RenameFlags::NOREPLACE,
        )?)
    }

    /// Whether this directory contains nothing but empty files with the given names, and mode and
    /// owner are unchanged: the directory has `mode` and the owner of `like`, and a file has what
    /// [`DirectoryHandle::create_file`] or a process gives it.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn has_only_empty_files(
        &self,
        names: &[String],
        mode: Mode,
        like: &DirectoryHandle,
    ) -> io::Result<bool> {
        let (own, like) = (fstat(&self.0)?, fstat(&like.0)?);
        let has_mode = Mode::from_raw_mode(own.st_mode) == mode;
        if !has_mode || (own.st_uid, own.st_gid) != (like.st_uid, like.st_gid) {
            return Ok(false);
        }
        let permitted = mode & Mode::from_raw_mode(READABLE_FILE);
        let is_new = |name: &CStr| -> io::Result<bool> {
            let file = statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_plain = FileType::from_raw_mode(file.st_mode) == FileType::RegularFile
                && Mode::from_raw_mode(file.st_mode) == permitted
                && (file.st_uid, file.st_gid) == (own.st_uid, own.st_gid);
            Ok(is_plain && file.st_size == 0 && file.st_nlink == 1)
        };
        let mut buffer = Vec::with_capacity(1024);
        let mut entries = RawDir::new(&self.0, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            let bytes = name.to_bytes();
            if bytes == b"." || bytes == b".." {
                continue;
            }
            if !names.iter().any(|known| known.as_bytes() == bytes) || !is_new(name)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the entry with this name exists and is a directory.
    pub fn has_directory(&self, name: &str) -> bool {
        let found = statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW);
        found.is_ok_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::Directory)
    }

    /// Sets the directory's mode to 0700.
    ///
    /// # Errors
    /// The directory belongs to another user.
    pub fn restrict_to_owner(&self) -> io::Result<()> {
        Ok(fchmod(&self.0, Mode::RWXU)?)
    }

    /// Removes an entry of this directory, and everything in it if it is a directory. Does nothing
    /// if the entry does not exist.
    ///
    /// # Errors
    /// The error of the first file that cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(removal::remove_tree_in(&self.0, name)?)
    }
}

/// Opens an ordinary file, and no link.
fn open_file_at(parent: impl AsFd, name: &OsStr, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(parent, name, flags, Mode::from_raw_mode(READABLE_FILE));
    let file = file.map_err(|errno| match errno {
        Errno::LOOP => io::Error::new(io::ErrorKind::InvalidInput, "it is a link"),
        // Opening a pipe for writing fails so while nobody reads it.
        Errno::NXIO => not_a_file(),
        errno => errno.into(),
    })?;
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file.into()),
        _ => Err(not_a_file()),
    }
}

fn open_at(parent: impl AsFd, path: &Path) -> io::Result<DirectoryHandle> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(DirectoryHandle(openat(parent, path, flags, Mode::empty())?))
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not an ordinary file")
}

#[cfg(test)]
mod tests;

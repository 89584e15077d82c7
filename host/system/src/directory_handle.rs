//! Owns access to a directory by its file descriptor: what is created, read, written and renamed
//! stays in that directory, even if a test moves it or replaces names in it meanwhile. Follows no
//! link, and does not block on a pipe or device. Does not know whose directory it is.
//!
//! `cap_std::fs::Dir` would not do. It follows links that stay in the directory, unless each single
//! call forbids that; it does not block only where each call sets the flag; and it can neither
//! rename without replacing, nor create a file in one system call, nor remove a tree whose
//! directories have lost their permissions.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path};

use persea_helper::removal;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, chmod, fchmod, fstat,
    lremovexattr, mkdirat, mknodat, openat, openat2, renameat, renameat_with, statat, symlinkat,
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

    /// Removes set-user-id bits, set-group-id bits and capabilities from all files in this
    /// directory tree.
    ///
    /// # Errors
    /// The error of the first file that keeps its privileges. All other files are still processed.
    pub fn remove_privileges(&self) -> io::Result<()> {
        let mut failed = Ok(());
        // Paths and not descriptors, because a tree may have more directories than the limit of
        // open files allows.
        let mut directories = vec![CString::from(c".")];
        while let Some(path) = directories.pop() {
            if let Err(error) = self.remove_privileges_in(&path, &mut directories) {
                failed = failed.and(Err(error));
            }
        }
        failed
    }

    fn remove_privileges_in(&self, path: &CStr, below: &mut Vec<CString>) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let directory = openat2(&self.0, path, flags, Mode::empty(), within)?;
        let mut failed = Ok(());
        let mut buffer = Vec::with_capacity(4096);
        let mut entries = RawDir::new(&directory, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let found = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory => {
                    let path = [path.to_bytes(), b"/", name.to_bytes()].concat();
                    below.extend(CString::new(path));
                }
                FileType::RegularFile => {
                    let mode = Mode::from_raw_mode(found.st_mode);
                    if let Err(error) = remove_privileges_of(&directory, name, mode) {
                        failed = Err(error.into());
                    }
                }
                _ => {}
            }
        }
        failed
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

fn remove_privileges_of(directory: &OwnedFd, name: &CStr, mode: Mode) -> rustix::io::Result<()> {
    // lremovexattr takes a path only. It does not follow the last component, should that be a link
    // by now.
    let within = format!("/proc/self/fd/{}/", directory.as_raw_fd());
    let path = [within.as_bytes(), name.to_bytes()].concat();
    match lremovexattr(&*path, c"security.capability") {
        // Nearly always NODATA: the file has no capabilities.
        Ok(()) | Err(Errno::NODATA | Errno::NOTSUP | Errno::NOENT) => {}
        Err(e) => return Err(e),
    }
    let bits = Mode::SUID | Mode::SGID;
    if !mode.intersects(bits) {
        return Ok(());
    }
    let file = openat(
        directory,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    // fchmod refuses a descriptor that is open for its path only (O_PATH).
    chmod(format!("/proc/self/fd/{}", file.as_raw_fd()), mode - bits)
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not an ordinary file")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_pipes_and_directories_are_not_opened_as_files() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "secret").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let handle = DirectoryHandle::open(dir.path()).unwrap();
        symlink(outside.path().join("file"), dir.path().join("link")).unwrap();
        symlink(outside.path(), dir.path().join("way")).unwrap();
        mknodat(&handle.0, "pipe", FileType::Fifo, Mode::RWXU, 0).unwrap();
        handle.create_directory("directory").unwrap();
        for name in ["link", "pipe", "directory", "way"] {
            assert!(handle.open_append(name).is_err(), "{name}");
            assert!(handle.open_file(name).is_err(), "{name}");
        }
        assert!(handle.open_directory("way").is_err());
        assert!(DirectoryHandle::open(&dir.path().join("way")).is_err());
        handle
            .open_append("new")
            .unwrap()
            .write_all(b"own")
            .unwrap();
        let mut text = String::new();
        handle
            .open_file("new")
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "own");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_wanted_ordinary_files_are_listed_and_every_time() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().unwrap();
        let handle = DirectoryHandle::open(dir.path()).unwrap();
        fs::write(dir.path().join("b"), "12345").unwrap();
        fs::write(dir.path().join("a"), "").unwrap();
        fs::write(dir.path().join(".hidden"), "").unwrap();
        let bytes = std::ffi::OsStr::from_bytes(b"\xff");
        fs::write(dir.path().join(bytes), "").unwrap();
        symlink("/etc/passwd", dir.path().join("link")).unwrap();
        mknodat(&handle.0, "pipe", FileType::Fifo, Mode::RWXU, 0).unwrap();
        handle.create_directory("directory").unwrap();
        for _ in 0..2 {
            let files = handle.ordinary_files(|name| !name.starts_with('.'));
            let expected = [("a".to_owned(), 0), ("b".to_owned(), 5)];
            assert_eq!(files.unwrap(), expected);
        }
    }

    #[test]
    fn privileges_are_removed_from_all_files_of_the_tree_and_nothing_else_changes() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        let outside = tempfile::tempdir().unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let files = [
            (dir.path().join("suid"), 0o4755, 0o755),
            (dir.path().join("a/sgid"), 0o2711, 0o711),
            (dir.path().join("a/b/both"), 0o6644, 0o644),
            (dir.path().join("plain"), 0o640, 0o640),
            (outside.path().join("others"), 0o4755, 0o4755),
        ];
        for (file, before, _) in &files {
            fs::write(file, "").unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(*before)).unwrap();
        }
        symlink(&files[4].0, dir.path().join("link")).unwrap();
        symlink(outside.path(), dir.path().join("way")).unwrap();
        DirectoryHandle::open(dir.path())
            .unwrap()
            .remove_privileges()
            .unwrap();
        for (file, _, after) in &files {
            assert_eq!(mode(file), *after, "{}", file.display());
        }
    }

    #[test]
    fn handle_stays_with_its_directory_when_the_name_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("own")).unwrap();
        fs::create_dir(path("other")).unwrap();
        let handle = DirectoryHandle::open(&path("own")).unwrap();
        fs::rename(path("own"), path("moved")).unwrap();
        symlink(path("other"), path("own")).unwrap();
        handle.open_append("file").unwrap();
        handle.create_directory("made").unwrap();
        assert!(path("moved/file").exists() && handle.has_directory("made"));
        assert_eq!(fs::read_dir(path("other")).unwrap().count(), 0);
    }

    #[test]
    fn path_below_leads_through_no_link() {
        let outside = tempfile::tempdir().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let handle = DirectoryHandle::open(dir.path()).unwrap();
        symlink(outside.path(), dir.path().join("way")).unwrap();
        let below = Path::new("way/new");
        assert!(handle.make_below(below).is_err());
        assert!(handle.continue_below(below).is_err());
        assert!(handle.link_below(Path::new("x"), below).is_err());
        assert!(handle.set_mode_below(Path::new("way"), 0o700).is_err());
        for path in ["../new", "/new", "", "a/../new"] {
            assert!(handle.continue_below(Path::new(path)).is_err(), "{path}");
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        handle.make_below(Path::new("a")).unwrap();
        handle.make_below(Path::new("a")).unwrap();
        for text in ["one", "two"] {
            let mut file = handle.continue_below(Path::new("a/file")).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(
            fs::read_to_string(dir.path().join("a/file")).unwrap(),
            "onetwo"
        );
        assert!(handle.make_below(Path::new("a/file")).is_err());
    }

    #[test]
    fn link_itself_is_moved_and_removed_and_not_its_target() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "kept").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let handle = DirectoryHandle::open(dir.path()).unwrap();
        symlink(outside.path(), dir.path().join("link")).unwrap();
        handle.create_directory("to").unwrap();
        handle
            .rename("link", &handle.open_directory("to").unwrap(), "new")
            .unwrap();
        let to = handle.open_directory("to").unwrap();
        assert!(!to.has_directory("new"));
        to.remove("new").unwrap();
        to.remove("new").unwrap();
        handle.create_directory("full").unwrap();
        symlink(outside.path(), dir.path().join("full/link")).unwrap();
        handle.remove("full").unwrap();
        assert!(!dir.path().join("full").exists());
        assert!(outside.path().join("file").exists());
    }
}

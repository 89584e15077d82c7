//! A directory that is held open: what is made, read, written and moved in it stays in it, whatever tests put in the place of its names
//! meanwhile. No link is followed, and no pipe or device is waited for. It must not know whose directory it is.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use persea_helper::removal;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, chmod, fchmod, fstat,
    lremovexattr, mkdirat, mknodat, openat, openat2, renameat, renameat_with, statat, symlinkat,
};
use rustix::io::Errno;

/// A directory.
#[derive(Debug)]
pub struct Held(OwnedFd);

impl Held {
    /// The directory at a path. The last part of that may be no link.
    pub fn open(path: &Path) -> io::Result<Held> {
        enter(CWD, path)
    }

    /// A directory in it.
    pub fn enter(&self, name: &str) -> io::Result<Held> {
        enter(&self.0, Path::new(name))
    }

    /// Makes a directory in it.
    pub fn make(&self, name: &str) -> io::Result<()> {
        Ok(mkdirat(&self.0, name, Mode::from_raw_mode(0o777))?)
    }

    /// A file in it to be read.
    pub fn read(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::RDONLY)
    }

    /// A file in it to be written to at its end. It is made where it is missing.
    pub fn append(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE)
    }

    /// Makes an empty file of this path below the directory, in one system call.
    ///
    /// # Errors
    /// Something has that name, or the system refuses to make the file.
    pub fn make_file(&self, path: &str) -> io::Result<()> {
        let mode = Mode::from_raw_mode(0o644);
        Ok(mknodat(&self.0, path, FileType::RegularFile, mode, 0)?)
    }

    fn file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(&self.0, name, flags, Mode::from_raw_mode(0o666));
        let file = file.map_err(|errno| match errno {
            Errno::LOOP => io::Error::new(io::ErrorKind::InvalidInput, "it is a link"),
            // A pipe that nobody reads.
            Errno::NXIO => no_file(),
            errno => errno.into(),
        })?;
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(file.into()),
            _ => Err(no_file()),
        }
    }

    /// Makes a link in it.
    pub fn link(&self, target: &Path, name: &str) -> io::Result<()> {
        Ok(symlinkat(target, &self.0, name)?)
    }

    /// Moves what has a name here to another place and name.
    pub fn rename(&self, name: &str, to: &Held, new: &str) -> io::Result<()> {
        let rename = || renameat(&self.0, name, &to.0, new);
        let moved = match rename() {
            // Moving a directory writes its `..`, for which it must be writable itself.
            Err(Errno::ACCESS) => {
                removal::grant_owner_access(&self.0, name).and_then(|()| rename())
            }
            moved => moved,
        };
        Ok(moved?)
    }

    /// Gives what has a name here another one that nothing has.
    pub fn rename_to_new(&self, name: &str, new: &str) -> io::Result<()> {
        Ok(renameat_with(
            &self.0,
            name,
            &self.0,
            new,
            RenameFlags::NOREPLACE,
        )?)
    }

    /// Whether nothing is in it but empty files of these names, and all is as it was made: as the directory `like`, and its files.
    pub fn has_only_empty(&self, names: &[String], like: &Held) -> io::Result<bool> {
        let (own, like) = (fstat(&self.0)?, fstat(&like.0)?);
        if (own.st_mode, own.st_uid, own.st_gid) != (like.st_mode, like.st_uid, like.st_gid) {
            return Ok(false);
        }
        let permitted = Mode::from_raw_mode(own.st_mode) & Mode::from_raw_mode(0o644);
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

    /// Whether a name is that of a directory.
    pub fn has_directory(&self, name: &str) -> bool {
        let found = statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW);
        found.is_ok_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::Directory)
    }

    /// Lets nobody but its owner in.
    pub fn keep_others_out(&self) -> io::Result<()> {
        Ok(fchmod(&self.0, Mode::RWXU)?)
    }

    /// Takes set-user-id and set-group-id bits and capabilities from all files in it and below. Links are not followed. The error is that
    /// of the first file that keeps something; the rest is done all the same.
    pub fn disarm(&self) -> io::Result<()> {
        let mut failed = Ok(());
        // By their paths, and not held open: there may be more of them than descriptors.
        let mut directories = vec![CString::from(c".")];
        while let Some(path) = directories.pop() {
            if let Err(error) = self.disarm_in(&path, &mut directories) {
                failed = failed.and(Err(error));
            }
        }
        failed
    }

    fn disarm_in(&self, path: &CStr, below: &mut Vec<CString>) -> io::Result<()> {
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
                    if let Err(error) = disarm_file(&directory, name, mode) {
                        failed = Err(error.into());
                    }
                }
                _ => {}
            }
        }
        failed
    }

    /// Removes what has a name here, with all that is in it. It is no error when there is nothing.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(removal::remove_tree_in(&self.0, name)?)
    }
}

fn enter(parent: impl AsFd, path: &Path) -> io::Result<Held> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(Held(openat(parent, path, flags, Mode::empty())?))
}

fn disarm_file(directory: &OwnedFd, name: &CStr, mode: Mode) -> rustix::io::Result<()> {
    // The last part is not followed where it is a link by now.
    let within = format!("/proc/self/fd/{}/", directory.as_raw_fd());
    let path = [within.as_bytes(), name.to_bytes()].concat();
    match lremovexattr(&*path, c"security.capability") {
        // As nearly always, or where the file system has no attributes.
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
    // What is open for its path only has no other way to be changed.
    chmod(format!("/proc/self/fd/{}", file.as_raw_fd()), mode - bits)
}

fn no_file() -> io::Error {
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
    fn what_is_no_file_is_neither_followed_nor_waited_for() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "secret").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let held = Held::open(dir.path()).unwrap();
        symlink(outside.path().join("file"), dir.path().join("link")).unwrap();
        symlink(outside.path(), dir.path().join("way")).unwrap();
        mknodat(&held.0, "pipe", FileType::Fifo, Mode::RWXU, 0).unwrap();
        held.make("directory").unwrap();
        for name in ["link", "pipe", "directory", "way"] {
            assert!(held.append(name).is_err(), "{name}");
            assert!(held.read(name).is_err(), "{name}");
        }
        assert!(held.enter("way").is_err());
        assert!(Held::open(&dir.path().join("way")).is_err());
        held.append("new").unwrap().write_all(b"own").unwrap();
        let mut text = String::new();
        held.read("new").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "own");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn set_user_id_bits_are_taken_from_all_files_and_nothing_else_is() {
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
        Held::open(dir.path()).unwrap().disarm().unwrap();
        for (file, _, after) in &files {
            assert_eq!(mode(file), *after, "{}", file.display());
        }
    }

    #[test]
    fn it_stays_the_same_when_its_name_is_anothers() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("own")).unwrap();
        fs::create_dir(path("other")).unwrap();
        let held = Held::open(&path("own")).unwrap();
        fs::rename(path("own"), path("moved")).unwrap();
        symlink(path("other"), path("own")).unwrap();
        held.append("file").unwrap();
        held.make("made").unwrap();
        assert!(path("moved/file").exists() && held.has_directory("made"));
        assert_eq!(fs::read_dir(path("other")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_removed_or_moved_is_the_name_and_not_what_it_leads_to() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "kept").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let held = Held::open(dir.path()).unwrap();
        symlink(outside.path(), dir.path().join("link")).unwrap();
        held.make("to").unwrap();
        held.rename("link", &held.enter("to").unwrap(), "new")
            .unwrap();
        let to = held.enter("to").unwrap();
        assert!(!to.has_directory("new"));
        to.remove("new").unwrap();
        to.remove("new").unwrap();
        held.make("full").unwrap();
        symlink(outside.path(), dir.path().join("full/link")).unwrap();
        held.remove("full").unwrap();
        assert!(!dir.path().join("full").exists());
        assert!(outside.path().join("file").exists());
    }
}

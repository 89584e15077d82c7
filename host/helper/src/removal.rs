//! Owns recursive removal: removes a directory tree, whatever a test has left in it. Does not know
//! whose tree it is.
//!
//! A tree is taken apart from the top: a subdirectory that is not empty is moved up beside its
//! parent, and then entered there. So the depth of a tree and the length of its paths do not
//! matter, no link is followed, and two descriptors are enough. (`std::fs::remove_dir_all` keeps a
//! descriptor open for each level and fails for a directory without permissions.)

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, chmod, fchmod, openat, renameat, unlinkat,
};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

/// Removes everything in a directory, and keeps the directory.
///
/// # Errors
/// The error of the first entry that cannot be removed. Everything else is removed all the same.
pub fn empty_directory(directory: &Path) -> Result<()> {
    let top = openat(CWD, directory, flags(), Mode::empty())?;
    empty_fd(top.as_fd())
}

/// Removes the file or directory tree at a path. Of a link, removes the link itself. Does nothing
/// if the path does not exist.
///
/// # Errors
/// As for [`empty_directory`].
pub fn remove_tree(path: &Path) -> Result<()> {
    remove_tree_in(CWD, path)
}

/// Removes the file or directory tree with a name in the directory `parent`, as [`remove_tree`]
/// does.
///
/// # Errors
/// As for [`empty_directory`].
pub fn remove_tree_in(parent: impl AsFd, name: impl Arg) -> Result<()> {
    let parent = parent.as_fd();
    name.into_with_c_str(|name| remove_named(parent, name))
}

fn remove_named(parent: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    match openat(parent, name, flags(), Mode::empty()) {
        Ok(directory) => empty_fd(directory.as_fd())?,
        Err(Errno::ACCESS) => {
            empty_fd(open_writable(parent, name)?.as_fd())?;
        }
        Err(Errno::NOTDIR | Errno::LOOP) => {
            return match unlinkat(parent, name, AtFlags::empty()) {
                Err(Errno::NOENT) => Ok(()),
                done => done,
            };
        }
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(e),
    }
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        done => done,
    }
}

/// Sets the mode of a directory to 0700.
///
/// # Errors
/// Fails for anything but a directory; a link is not followed.
pub fn grant_owner_access(parent: impl AsFd, name: impl Arg) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, name, flags, Mode::empty())?;
    // fchmod refuses a descriptor that is open for its path only.
    chmod(
        format!("/proc/self/fd/{}", directory.as_raw_fd()),
        Mode::RWXU,
    )
}

fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn empty_fd(top: BorrowedFd<'_>) -> Result<()> {
    let mut failed = None;
    let mut moved: u64 = 0;
    let mut stuck: Vec<CString> = Vec::new();
    loop {
        // Terminates: each round removes one level of every tree, and skips what could not be
        // removed.
        let (names, directories) = entries(top)?;
        for name in names {
            if let Err(e) = unlinkat(top, &name, AtFlags::empty()) {
                failed.get_or_insert(e);
            }
        }
        let mut progress = false;
        for name in directories {
            if stuck.contains(&name) {
                continue;
            }
            match take_apart(top, &name, &mut moved) {
                Ok(()) => progress = true,
                Err(Errno::NOENT) => {}
                Err(e) => {
                    failed.get_or_insert(e);
                    stuck.push(name);
                }
            }
        }
        if !progress {
            return failed.map_or(Ok(()), Err);
        }
    }
}

/// Removes a subdirectory of `top`, after moving its own subdirectories that are not empty into
/// `top`.
fn take_apart(top: BorrowedFd<'_>, name: &CStr, moved: &mut u64) -> Result<()> {
    match unlinkat(top, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        done => return done,
    }
    let directory = open_writable(top, name)?;
    let (names, directories) = entries(directory.as_fd())?;
    for inner in names {
        unlinkat(&directory, &inner, AtFlags::empty())?;
    }
    for inner in directories {
        if unlinkat(&directory, &inner, AtFlags::REMOVEDIR).is_ok() {
            continue;
        }
        loop {
            *moved += 1;
            let place = format!(".persea-removed-{moved}");
            match renameat(&directory, &inner, top, place.as_str()) {
                Ok(()) => break,
                // A test may have created that name.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                // To move a directory changes its "..", so it must be writable itself.
                Err(Errno::ACCESS) => {
                    open_writable(directory.as_fd(), &inner)?;
                    renameat(&directory, &inner, top, place.as_str())?;
                    break;
                }
                Err(e) => return Err(e),
            }
        }
    }
    unlinkat(top, name, AtFlags::REMOVEDIR)
}

/// Opens a directory, and sets its mode to 0700.
fn open_writable(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let opened = match openat(parent, name, flags(), Mode::empty()) {
        Err(Errno::ACCESS) => {
            grant_owner_access(parent, name)?;
            openat(parent, name, flags(), Mode::empty())?
        }
        opened => opened?,
    };
    // Without permission, the operation that needs the mode fails and reports that.
    let _ = fchmod(&opened, Mode::RWXU);
    Ok(opened)
}

type Names = Vec<CString>;

/// Lists a directory: the names of all entries but directories, and the names of the directories.
fn entries(directory: BorrowedFd<'_>) -> Result<(Names, Names)> {
    let (mut names, mut directories) = (Vec::new(), Vec::new());
    // Opens the directory again, to read it from the beginning.
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => FileType::from_raw_mode(
                rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode,
            ),
            kind => kind,
        };
        if kind == FileType::Directory {
            directories.push(name.to_owned());
        } else {
            names.push(name.to_owned());
        }
    }
    Ok((names, directories))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn files_and_links_are_removed_and_no_link_is_followed() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "x").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("place");
        for (target, is_link) in [
            (outside.path(), true),
            (outside.path().join("kept").as_path(), true),
            (Path::new("/no/such"), true),
            (Path::new(""), false),
        ] {
            match is_link {
                true => symlink(target, &place).unwrap(),
                false => fs::write(&place, "x").unwrap(),
            }
            assert!(empty_directory(&place).is_err(), "{target:?}");
            remove_tree(&place).unwrap();
            assert!(place.symlink_metadata().is_err(), "{target:?}");
        }
        assert!(outside.path().join("kept").exists());
    }

    #[test]
    fn deep_and_inaccessible_directories_are_removed_without_following_links() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "x").unwrap();
        let dir = tempfile::tempdir().unwrap();
        symlink(outside.path(), dir.path().join("link")).unwrap();
        fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        fs::create_dir(dir.path().join(".persea-removed-1")).unwrap();
        fs::write(dir.path().join(".persea-removed-1/x"), "x").unwrap();
        fs::write(dir.path().join(".persea-removed-2"), "x").unwrap();
        symlink(outside.path(), dir.path().join("a/b/link")).unwrap();
        fs::write(dir.path().join("a/b/c/file"), "x").unwrap();
        for part in ["a/b", "a"] {
            fs::set_permissions(dir.path().join(part), fs::Permissions::from_mode(0o000)).unwrap();
        }
        // Deeper than the longest path.
        let mut at: OwnedFd = openat(CWD, dir.path(), flags(), Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = openat(&at, "d", flags(), Mode::empty()).unwrap();
        }
        empty_directory(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(outside.path().join("kept").exists());
        remove_tree(dir.path()).unwrap();
        remove_tree(dir.path()).unwrap();
        assert!(!dir.path().exists());
    }
}

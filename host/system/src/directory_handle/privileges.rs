//! Owns the removal of privileges from the files of a directory tree: set-user-id bits,
//! set-group-id bits and capabilities.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, chmod, lremovexattr, openat, openat2,
    statat,
};
use rustix::io::Errno;

use super::DirectoryHandle;

impl DirectoryHandle {
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

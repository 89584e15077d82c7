//! Owns that nobody but the user can write to the host's own files: the modes of new files and
//! directories, and the check of a directory. Does not know what is in them.
//!
//! The umask is no help: it may be 000. It can only take permissions away from the modes here.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid};

/// The mode of a directory that only the user enters.
pub const ONLY_OWNER: u32 = 0o700;

/// The mode of a directory that others may read.
pub const READABLE: u32 = 0o755;

/// The mode of a file that others may read.
pub const READABLE_FILE: u32 = 0o644;

/// Creates a directory, and those above it, with this mode or what the umask leaves of it. An
/// existing directory keeps its mode.
///
/// # Errors
/// A directory cannot be created.
pub fn create_directory(path: &Path, mode: u32) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(mode).create(path)
}

/// Creates a file for writing that others may read at most.
///
/// # Errors
/// The file exists, or cannot be created.
pub fn create_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    let options = options.write(true).create_new(true).mode(READABLE_FILE);
    options.open(path)
}

/// Whether a file belongs to this user, and neither its group nor others can write to it.
pub fn is_own(meta: &Metadata) -> bool {
    meta.uid() == geteuid().as_raw() && meta.mode() & 0o022 == 0
}

/// Whether others can replace what is in a directory.
fn is_open(meta: &Metadata) -> bool {
    let mode = meta.mode();
    // In a sticky directory such as /tmp, users can only rename and remove their own files.
    let sticky = mode & 0o1000 != 0;
    // Some distributions give each user a group of the same number, with no other member.
    let own_group = meta.gid() == getegid().as_raw() && getegid().as_raw() == geteuid().as_raw();
    !sticky && (mode & 0o002 != 0 || mode & 0o020 != 0 && !own_group)
}

/// Returns the path, without links, of a directory for caches, which is created if it does not
/// exist. Returns none if it cannot be created, and none with a warning if others could write to
/// it or replace it.
pub fn directory(path: &Path) -> Option<PathBuf> {
    let made = create_directory(path, ONLY_OWNER);
    let real = made.and_then(|()| path.canonicalize());
    let real = real
        .inspect_err(|error| tracing::debug!("the cache {} is not used: {error}", path.display()))
        .ok()?;
    // The ancestors of the path with links count too: others could replace a link.
    let mut above = real.ancestors().chain(path.ancestors());
    let open = above.find(|directory| directory.metadata().is_ok_and(|meta| is_open(&meta)));
    let foreign = || {
        let meta = real.metadata();
        (!meta.is_ok_and(|meta| meta.uid() == geteuid().as_raw())).then_some(&*real)
    };
    match open.or_else(foreign) {
        None => Some(real),
        Some(open) => {
            tracing::warn!(
                "the cache {} is not used: {} must belong to you, and nobody else may write to it",
                path.display(),
                open.display()
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn directory_below_one_that_others_can_write_to_is_not_used() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (above, elsewhere) = (root.join("above"), root.join("elsewhere"));
        let cache = above.join("persea");
        assert_eq!(directory(&cache).unwrap(), cache);
        std::fs::create_dir(&elsewhere).unwrap();
        symlink(&above, elsewhere.join("link")).unwrap();
        let linked = elsewhere.join("link/persea");
        assert_eq!(directory(&linked).unwrap(), cache);
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for open in [&cache, &above, &elsewhere] {
            set(open, 0o757);
            assert_eq!(directory(&linked), None, "{}", open.display());
            // As /tmp is.
            set(open, 0o1757);
            assert!(directory(&linked).is_some());
            set(open, 0o755);
        }
        std::fs::write(root.join("file"), "").unwrap();
        assert_eq!(directory(&root.join("file/persea")), None);
    }
}

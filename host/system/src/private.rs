//! Directories in which nobody but the user can have put anything. Knows nothing of what is in them.

use std::fs::Metadata;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid};

/// Whether nobody but this user can have written it.
pub fn is_own(meta: &Metadata) -> bool {
    meta.uid() == geteuid().as_raw() && meta.mode() & 0o022 == 0
}

/// Whether others can put something in the place of what is in this directory.
fn is_open(meta: &Metadata) -> bool {
    let mode = meta.mode();
    // As in /tmp, where each can only move his own.
    let sticky = mode & 0o1000 != 0;
    // A user's own group has his number, where distributions give him one, and nobody else is in it.
    let own_group = meta.gid() == getegid().as_raw() && getegid().as_raw() == geteuid().as_raw();
    !sticky && (mode & 0o002 != 0 || mode & 0o020 != 0 && !own_group)
}

/// A directory for what is kept, which is made if need be: its path without links. None where it cannot be had; or where others could put
/// something in it or in its place, which is said.
pub fn directory(path: &Path) -> Option<PathBuf> {
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(path);
    let real = made.and_then(|()| path.canonicalize());
    let real = real
        .inspect_err(|error| tracing::debug!("nothing is kept in {}: {error}", path.display()))
        .ok()?;
    // Also by the way that leads there through links.
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
                "nothing is kept in {}: {} must belong to you, and nobody else may write to it",
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
    fn what_others_can_write_to_on_the_way_is_not_used() {
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

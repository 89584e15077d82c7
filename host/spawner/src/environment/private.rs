//! Owns the private directory of an environment: a directory on the host's disk that is removed
//! when its last reference is dropped. Does not know how it is mounted.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use persea_helper::removal;
use persea_system::directory_handle::DirectoryHandle;
use tokio::task::JoinSet;

/// The removals that run in the background; the spawner waits for them before it closes.
pub(crate) type PendingRemovals = Arc<Mutex<JoinSet<()>>>;

/// A directory that a sandbox sees in place of one of the host.
#[derive(Debug)]
pub(crate) struct PrivateDirectory {
    /// The path in the sandbox.
    pub(crate) shown: PathBuf,
    /// The path on the host.
    pub(crate) path: PathBuf,
    pub(crate) handle: DirectoryHandle,
    removals: PendingRemovals,
}

impl PrivateDirectory {
    /// Creates a private directory with this name in `storage`, which is created too. Nobody but
    /// the owner may enter `storage`: until a task ends, its files may have set-user-id bits. The
    /// modes do not depend on the umask.
    pub(crate) fn make(
        shown: &Path,
        storage: &Path,
        name: &str,
        removals: &PendingRemovals,
    ) -> io::Result<PrivateDirectory> {
        std::fs::create_dir_all(storage)?;
        std::fs::set_permissions(storage, Permissions::from_mode(0o700))?;
        let path = storage.join(name);
        std::fs::create_dir(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(PrivateDirectory {
            shown: shown.to_path_buf(),
            handle: DirectoryHandle::open(&path)?,
            path,
            removals: Arc::clone(removals),
        })
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        remove(std::mem::take(&mut self.path), &self.removals);
    }
}

/// Removes a directory tree in the background, or at once if no runtime is there any more.
pub(crate) fn remove(directory: PathBuf, removals: &PendingRemovals) {
    let remove = move || {
        if let Err(e) = removal::remove_tree(&directory) {
            tracing::debug!("cannot remove {}: {e}", directory.display());
        }
    };
    let mut removals = removals.lock().unwrap_or_else(PoisonError::into_inner);
    while removals.try_join_next().is_some() {}
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(removals.spawn_blocking_on(remove, &runtime)),
        Err(_) => remove(),
    }
}

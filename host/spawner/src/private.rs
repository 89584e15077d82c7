//! Owns the files of a sandbox on the host's disk: the layer that takes its writes, and its private
//! directory. Each is removed when its last reference is dropped. Does not know how they are
//! mounted in the sandbox.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use persea_helper::removal;
use tokio::task::JoinSet;

use super::hidden::{Mask, copy_directory, white_out};
use super::mounts::Layout;
use persea_system::directory_handle::DirectoryHandle;

/// The removals that run in the background; the spawner waits for them before it closes.
pub(super) type PendingRemovals = Arc<Mutex<JoinSet<()>>>;

/// The files written in one sandbox, as the upper directories of its overlays.
#[derive(Debug)]
pub(super) struct SandboxLayer {
    pub(super) directory: PathBuf,
    /// The name of `directory` in the directory of all layers.
    pub(super) name: String,
    /// The layers of the snapshot below this one, the lowest first.
    pub(super) below: Vec<Arc<SandboxLayer>>,
    removals: PendingRemovals,
}

impl SandboxLayer {
    /// Creates a layer over those of a snapshot, with the directories for each overlay of the
    /// layout. The lowest layer gets the whiteouts of `masks`, which hide paths from it and from
    /// every layer above.
    pub(super) fn make(
        layers: &Path,
        name: String,
        below: Vec<Arc<SandboxLayer>>,
        (layout, masks): (&Layout, &[Mask]),
        removals: &PendingRemovals,
    ) -> io::Result<SandboxLayer> {
        let layer = SandboxLayer {
            directory: layers.join(&name),
            name,
            below,
            removals: Arc::clone(removals),
        };
        make(&layer.directory, 0o700)?;
        make(&layer.work_parent(), 0o700)?;
        make(&layer.directory.join("seen"), 0o700)?;
        make(&layer.directory.join("empty"), 0o755)?;
        for (number, part) in layout.layered() {
            for name in ["work", "root"] {
                make(&layer.directory.join(format!("{name}{number}")), 0o700)?;
            }
            let upper = layer.directory.join(format!("upper{number}"));
            // The overlay takes mode and owner of its root from the upper directory.
            copy_directory(&upper, &part.path)?;
            for mask in masks.iter().filter(|_| layer.below.is_empty()) {
                match mask {
                    Mask::Whiteout(of, path) if *of == number => {
                        white_out(&upper, &part.path, path)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(layer)
    }

    /// The parent of the work directory. It is not in an overlay, so a snapshot does not keep it.
    pub(super) fn work_parent(&self) -> PathBuf {
        self.directory.join("tmp")
    }
}

impl Drop for SandboxLayer {
    fn drop(&mut self) {
        remove(std::mem::take(&mut self.directory), &self.removals);
    }
}

/// A directory that a sandbox sees in place of one of the host.
#[derive(Debug)]
pub(super) struct PrivateDirectory {
    /// The path in the sandbox.
    pub(super) shown: PathBuf,
    /// The path on the host.
    pub(super) path: PathBuf,
    pub(super) handle: DirectoryHandle,
    removals: PendingRemovals,
}

impl PrivateDirectory {
    /// Creates a private directory with this name in `storage`, which is created too.
    pub(super) fn make(
        shown: &Path,
        storage: &Path,
        name: &str,
        removals: &PendingRemovals,
    ) -> io::Result<PrivateDirectory> {
        std::fs::create_dir_all(storage)?;
        let path = storage.join(name);
        std::fs::create_dir(&path)?;
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

/// Creates a directory with exactly this mode, whatever the umask is.
fn make(directory: &Path, mode: u32) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(mode).create(directory)?;
    std::fs::set_permissions(directory, PermissionsExt::from_mode(mode))
}

fn remove(directory: PathBuf, removals: &PendingRemovals) {
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

//! What a sandbox has for itself on the host's disk: the layer that takes what is written, and the directory that it has in place of one
//! of the host's. Each is removed with the last who holds it. It must not know how they come into the sandbox.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use persea_helper::removal;
use tokio::task::JoinSet;

use super::hidden::{Mask, copy_directory, white_out};
use super::mounts::Layout;
use persea_system::directory_handle::DirectoryHandle;

/// What is being removed. Two that remove the same files would be in each other's way.
pub(super) type PendingRemovals = Arc<Mutex<JoinSet<()>>>;

/// What was written in a sandbox, over the layers below.
#[derive(Debug)]
pub(super) struct SandboxLayer {
    pub(super) directory: PathBuf,
    /// Its directory's name among the layers.
    pub(super) name: String,
    pub(super) below: Vec<Arc<SandboxLayer>>,
    removals: PendingRemovals,
}

impl SandboxLayer {
    /// Makes one of this name over those below, for the overlays of a layout. What `masks` takes away is missing from it and from those
    /// over it.
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
        make(&layer.place(), 0o700)?;
        make(&layer.directory.join("seen"), 0o700)?;
        make(&layer.directory.join("empty"), 0o755)?;
        for (number, part) in layout.layered() {
            for name in ["work", "root"] {
                make(&layer.directory.join(format!("{name}{number}")), 0o700)?;
            }
            let upper = layer.directory.join(format!("upper{number}"));
            // The overlay takes from it who may enter, and who it belongs to.
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

    /// Where the work directory is made; not among the files of the sandbox, which a snapshot would keep.
    pub(super) fn place(&self) -> PathBuf {
        self.directory.join("tmp")
    }
}

impl Drop for SandboxLayer {
    fn drop(&mut self) {
        remove(std::mem::take(&mut self.directory), &self.removals);
    }
}

/// The directory that a sandbox has in place of one of the host's.
#[derive(Debug)]
pub(super) struct PrivateDirectory {
    /// Where the sandbox has it.
    pub(super) shown: PathBuf,
    /// Where it is.
    pub(super) path: PathBuf,
    pub(super) handle: DirectoryHandle,
    removals: PendingRemovals,
}

impl PrivateDirectory {
    /// Makes one of this name in `place`, which is made too.
    pub(super) fn make(
        shown: &Path,
        place: &Path,
        name: &str,
        removals: &PendingRemovals,
    ) -> io::Result<PrivateDirectory> {
        std::fs::create_dir_all(place)?;
        let path = place.join(name);
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

/// Makes a directory with this very mode: of the mode that is asked for the umask takes its part.
fn make(directory: &Path, mode: u32) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(mode).create(directory)?;
    std::fs::set_permissions(directory, PermissionsExt::from_mode(mode))
}

fn remove(directory: PathBuf, removals: &PendingRemovals) {
    let remove = move || {
        if let Err(e) = removal::remove_tree(&directory) {
            tracing::debug!("{} can't be removed: {e}", directory.display());
        }
    };
    let mut removals = removals.lock().unwrap_or_else(PoisonError::into_inner);
    while removals.try_join_next().is_some() {}
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(removals.spawn_blocking_on(remove, &runtime)),
        Err(_) => remove(),
    }
}

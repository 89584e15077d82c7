//! Owns the layer of a sandbox: the directories on the host's disk that take its writes. Does not
//! know how they are mounted.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hidden::{Mask, copy_directory, white_out};
use super::mounts::Layout;
use crate::environment::private::{PendingRemovals, remove};

/// The files written in one sandbox, as the upper directories of its overlays.
#[derive(Debug)]
pub(crate) struct SandboxLayer {
    pub(crate) directory: PathBuf,
    /// The name of `directory` in the directory of all layers.
    pub(crate) name: String,
    /// The layers of the snapshot below this one, the lowest first.
    pub(crate) below: Vec<Arc<SandboxLayer>>,
    removals: PendingRemovals,
}

impl SandboxLayer {
    /// Creates a layer over those of a snapshot, with the directories for each overlay of the
    /// layout. The lowest layer gets the whiteouts of `masks`, which hide paths from it and from
    /// every layer above.
    pub(crate) fn make(
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
    pub(crate) fn work_parent(&self) -> PathBuf {
        self.directory.join("tmp")
    }
}

impl Drop for SandboxLayer {
    fn drop(&mut self) {
        remove(std::mem::take(&mut self.directory), &self.removals);
    }
}

/// Creates a directory with exactly this mode, whatever the umask is.
fn make(directory: &Path, mode: u32) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(mode).create(directory)?;
    std::fs::set_permissions(directory, PermissionsExt::from_mode(mode))
}

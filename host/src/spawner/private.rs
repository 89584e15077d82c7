//! What a sandbox has for itself on the host's disk: the layer that takes what is written, and the directory that it has in place of one
//! of the host's. Each is removed with the last who holds it. It must not know how they come into the sandbox.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use persea_helper::sweep;
use tokio::task::JoinSet;

use crate::held::Held;

/// What is being removed. Two that remove the same files would be in each other's way.
pub(super) type Removals = Arc<Mutex<JoinSet<()>>>;

/// What was written in a sandbox, over the layers below.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) directory: PathBuf,
    /// Its directory's name among the layers.
    pub(super) name: String,
    pub(super) below: Vec<Arc<Layer>>,
    removals: Removals,
}

impl Layer {
    /// Makes one of this name, for so many file systems, over those below.
    pub(super) fn make(
        layers: &Path,
        name: String,
        (count, below): (usize, Vec<Arc<Layer>>),
        removals: &Removals,
    ) -> io::Result<Layer> {
        let layer = Layer {
            directory: layers.join(&name),
            name,
            below,
            removals: Arc::clone(removals),
        };
        let mut private = std::fs::DirBuilder::new();
        private.mode(0o700);
        private.create(&layer.directory)?;
        private.create(layer.place())?;
        for number in 0..count {
            for part in ["work", "root"] {
                private.create(layer.directory.join(format!("{part}{number}")))?;
            }
            // It becomes the root of what is seen, so everybody may enter.
            let mut public = std::fs::DirBuilder::new();
            let upper = layer.directory.join(format!("upper{number}"));
            public.mode(0o755).create(upper)?;
        }
        Ok(layer)
    }

    /// Where the work directory is made; not among the files of the sandbox, which a snapshot would keep.
    pub(super) fn place(&self) -> PathBuf {
        self.directory.join("tmp")
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        remove(std::mem::take(&mut self.directory), &self.removals);
    }
}

/// The directory that a sandbox has in place of one of the host's.
#[derive(Debug)]
pub(super) struct Private {
    /// Where the sandbox has it.
    pub(super) shown: PathBuf,
    /// Where it is.
    pub(super) path: PathBuf,
    pub(super) held: Held,
    removals: Removals,
}

impl Private {
    /// Makes one of this name in `place`, which is made too.
    pub(super) fn make(
        shown: &Path,
        place: &Path,
        name: &str,
        removals: &Removals,
    ) -> io::Result<Private> {
        std::fs::create_dir_all(place)?;
        let path = place.join(name);
        std::fs::create_dir(&path)?;
        Ok(Private {
            shown: shown.to_path_buf(),
            held: Held::open(&path)?,
            path,
            removals: Arc::clone(removals),
        })
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        remove(std::mem::take(&mut self.path), &self.removals);
    }
}

fn remove(directory: PathBuf, removals: &Removals) {
    let remove = move || {
        if let Err(e) = sweep::remove(&directory) {
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

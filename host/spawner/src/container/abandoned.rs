//! Owns how containers and images are labelled with the host that made them, and the removal of
//! those whose host was killed. Does not know what they are for.
//!
//! Usually a container ends by itself when its host is killed. What stays is a container that was
//! not started yet, one that a killed engine has left, and snapshots.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use persea_system::temporary;
use rustix::process::geteuid;

use super::engine::Engine;

/// The label with the machine, user and view of the file system of the host that made the
/// container.
pub(super) const HOST: &str = "persea.host";

/// The label with the host's directory for temporary files, which tells whether the host runs.
const TEMPORARY: &str = "persea.temporary";

/// The host that makes containers.
#[derive(Debug)]
pub(crate) struct Owner {
    /// Equal for hosts that see the same files, on the same machine since its start.
    host: String,
    temporary: PathBuf,
}

impl Owner {
    /// The owner of what is made by the host with this directory for temporary files.
    pub(super) fn new(temporary: &Path) -> Owner {
        let kernels = |name: &str| {
            let text = std::fs::read_to_string(Path::new("/proc/sys/kernel").join(name));
            text.unwrap_or_default().trim().to_owned()
        };
        let (machine, boot) = (kernels("hostname"), kernels("random/boot_id"));
        let files = std::fs::metadata("/proc/self/ns/mnt").map_or(0, |found| found.ino());
        let user = geteuid().as_raw();
        Owner {
            host: format!("{machine}/{boot}/{files}/{user}"),
            temporary: temporary.to_path_buf(),
        }
    }

    /// The labels of a container or image.
    pub(super) fn labels(&self) -> HashMap<String, String> {
        let temporary = self.temporary.to_string_lossy().into_owned();
        HashMap::from([
            (HOST.to_owned(), self.host.clone()),
            (TEMPORARY.to_owned(), temporary),
        ])
    }

    /// Whether something with these labels was left by a killed host that shares this host's view
    /// of the files.
    fn has_abandoned(&self, labels: &HashMap<String, String>) -> bool {
        let is_near = labels.get(HOST) == Some(&self.host);
        let directory = labels.get(TEMPORARY).map(Path::new);
        is_near && directory.is_some_and(temporary::is_abandoned)
    }
}

/// Removes the containers and images that killed hosts have left, and returns their number.
/// Failures are logged.
pub(super) async fn remove(engine: &Engine, owner: &Owner) -> usize {
    let mut removed = 0;
    for (container, labels) in engine.labelled_containers().await {
        if owner.has_abandoned(&labels) {
            tracing::info!("removing the container {container} of a host that was killed");
            engine.remove(&container).await;
            removed += 1;
        }
    }
    let images = engine.labelled_images().await.into_iter();
    let abandoned = images.filter(|(_, labels)| owner.has_abandoned(labels));
    let abandoned: Vec<String> = abandoned.map(|(image, _)| image).collect();
    if !abandoned.is_empty() {
        tracing::info!("removing snapshots of a host that was killed: {abandoned:?}");
        removed += abandoned.len();
        engine.remove_images(abandoned).await;
    }
    removed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_labels_of_this_host_without_its_directory_are_abandoned() {
        let root = tempfile::tempdir().unwrap();
        let gone = Owner::new(&root.path().join("gone"));
        let owner = Owner::new(root.path());
        assert!(owner.has_abandoned(&gone.labels()));
        // Without a lock file the directory is none of a host.
        assert!(!owner.has_abandoned(&owner.labels()));
        let mut other = gone.labels();
        other.insert(HOST.to_owned(), "other/boot/1/0".to_owned());
        assert!(!owner.has_abandoned(&other));
        assert!(!owner.has_abandoned(&HashMap::new()));
    }
}

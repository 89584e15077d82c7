//! Owns how things outside of this process, such as containers and jobs of a cluster, are labelled
//! with the host that made them, and which of them a killed host has left. Does not know what they
//! are for.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use persea_system::temporary;
use rustix::process::geteuid;

/// The label with the machine, user and view of the file system of the host that made something.
pub(crate) const HOST: &str = "persea.host";

/// The label with the host's directory for temporary files, which tells whether the host runs.
const TEMPORARY: &str = "persea.temporary";

/// The host that makes things outside of itself.
#[derive(Debug)]
pub(crate) struct Owner {
    /// Equal for hosts that see the same files, on the same machine since its start.
    host: String,
    temporary: PathBuf,
}

impl Owner {
    /// The owner of what is made by the host with this directory for temporary files.
    pub(crate) fn new(temporary: &Path) -> Owner {
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

    /// The labels of something that this host makes.
    pub(crate) fn labels(&self) -> HashMap<String, String> {
        let temporary = self.temporary.to_string_lossy().into_owned();
        HashMap::from([
            (HOST.to_owned(), self.host.clone()),
            (TEMPORARY.to_owned(), temporary),
        ])
    }

    /// Whether something with these labels was left by a killed host that shares this host's view
    /// of the files.
    pub(crate) fn has_abandoned(&self, labels: &HashMap<String, String>) -> bool {
        let is_near = labels.get(HOST) == Some(&self.host);
        let directory = labels.get(TEMPORARY).map(Path::new);
        is_near && directory.is_some_and(temporary::is_abandoned)
    }

    /// The labels in one line.
    pub(crate) fn line(&self) -> String {
        format!(
            "{HOST}={};{TEMPORARY}={}",
            self.host,
            self.temporary.display()
        )
    }

    /// [`Owner::has_abandoned`] for labels in one line.
    pub(crate) fn has_abandoned_line(&self, line: &str) -> bool {
        let labels = line.split(';').filter_map(|label| {
            let (name, value) = label.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        self.has_abandoned(&labels.collect())
    }
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
        assert!(owner.has_abandoned_line(&gone.line()));
        assert!(!owner.has_abandoned_line(&owner.line()));
        assert!(!owner.has_abandoned_line("(null)"));
    }
}

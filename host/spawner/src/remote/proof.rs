//! Owns what another host must see if it shares the files of this one: a file in the directory of
//! results that was written just now, and the project's directory. Does not know how it is asked.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use persea_helper::protocol::{Bytes, SharedFiles};

use super::bootstrap::random;
use crate::launch::private_dir;

/// What hosts must see.
#[derive(Debug)]
pub(super) struct Proof {
    /// A directory of this job beside the results.
    shared: PathBuf,
    project: PathBuf,
    /// The file that proves it, and its content; none before the first question.
    written: Mutex<Option<(PathBuf, String)>>,
}

impl Proof {
    pub(super) fn new(shared: PathBuf, project: PathBuf) -> Self {
        Self {
            shared,
            project,
            written: Mutex::default(),
        }
    }

    /// Describes what hosts must see now. The first call writes the file.
    pub(super) fn describe(&self) -> io::Result<SharedFiles> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let (proof, content) = match &*written {
            Some(written) => written.clone(),
            None => {
                let proof = private_dir(&self.shared, "proof-")?.join("proof");
                let content = random()?;
                std::fs::write(&proof, &content)?;
                written.insert((proof, content)).clone()
            }
        };
        // Opened, because a network file system may answer without that from what it saw before.
        let found = std::fs::File::open(&self.project)?.metadata()?;
        let bytes = |path: &Path| Bytes(path.as_os_str().as_bytes().to_vec());
        Ok(SharedFiles {
            proof: bytes(&proof),
            content: Bytes(content.into_bytes()),
            directory: bytes(&self.project),
            inode: found.ino(),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

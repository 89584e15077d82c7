//! Which jobs may have left something to be released: a link to each in a directory of the user's, there from before the first
//! change until all is undone. It must not know what was changed.

use std::io;
use std::path::{Path, PathBuf};

/// The links of all jobs of a user.
#[derive(Clone, Debug)]
pub struct Pending {
    directory: PathBuf,
}

impl Pending {
    /// In the user's directory for state.
    pub fn new(state: &Path) -> Self {
        Self {
            directory: state.join("unreleased"),
        }
    }

    /// From now on a job may have something to release.
    pub(super) fn add(&self, job_dir: &Path) -> io::Result<()> {
        let Some(name) = job_dir.file_name() else {
            return Ok(());
        };
        std::fs::create_dir_all(&self.directory)?;
        match std::os::unix::fs::symlink(job_dir, self.directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// It has not any more.
    pub(super) fn remove(&self, job_dir: &Path) {
        if let Some(name) = job_dir.file_name() {
            let _ = std::fs::remove_file(self.directory.join(name));
        }
    }

    /// Whether this job is one of them.
    pub fn has(&self, job_dir: &Path) -> bool {
        let same = |job: PathBuf| job.canonicalize().is_ok_and(|job| job == job_dir);
        self.jobs().into_iter().any(same)
    }

    /// The directories of these jobs, by name. Those that were removed since are forgotten.
    pub fn jobs(&self) -> Vec<PathBuf> {
        let mut jobs = Vec::new();
        for entry in std::fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            match std::fs::read_link(entry.path()) {
                Ok(job) if job.join(crate::journal::FILE_NAME).is_file() => jobs.push(job),
                _ => {
                    let _ = std::fs::remove_file(entry.path());
                }
            }
        }
        jobs.sort();
        jobs
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_job_is_pending_until_it_says_otherwise_or_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let pending = Pending::new(&root.path().join("state"));
        assert!(pending.jobs().is_empty());
        let jobs = ["a", "b"].map(|name| root.path().join(name));
        for job in &jobs {
            std::fs::create_dir(job).unwrap();
            std::fs::write(job.join(crate::journal::FILE_NAME), "").unwrap();
            pending.add(job).unwrap();
            pending.add(job).unwrap();
        }
        assert_eq!(pending.jobs(), jobs);
        let [first, second] = jobs;
        pending.remove(&first);
        std::fs::remove_dir_all(&second).unwrap();
        assert!(pending.jobs().is_empty());
    }
}

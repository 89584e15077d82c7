//! Owns the list of the user's jobs that may have requirements to release: a link to each job in a
//! directory of the user's, from before the first change until all is released. Does not know what
//! was changed.

use std::io;
use std::path::{Path, PathBuf};

use persea_system::private::{ONLY_OWNER, create_directory};

/// The jobs of a user that may have requirements to release.
#[derive(Clone, Debug)]
pub struct UnreleasedJobs {
    directory: PathBuf,
}

impl UnreleasedJobs {
    /// Uses the directory `unreleased` in the user's directory for state.
    pub fn new(state: &Path) -> Self {
        Self {
            directory: state.join("unreleased"),
        }
    }

    /// Adds a job.
    pub(crate) fn add(&self, job_dir: &Path) -> io::Result<()> {
        let Some(name) = job_dir.file_name() else {
            return Ok(());
        };
        // Whoever could add a link would choose what a release runs.
        create_directory(&self.directory, ONLY_OWNER)?;
        let mut link = self.directory.join(name);
        // Jobs in other results directories may have the same name.
        for copy in 2.. {
            match std::os::unix::fs::symlink(job_dir, &link) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Err(_) if std::fs::read_link(&link).is_ok_and(|job| job != job_dir) => {}
                _ => break,
            }
            let mut other = name.to_owned();
            other.push(format!(".{copy}"));
            link = self.directory.join(other);
        }
        Ok(())
    }

    /// Removes a job.
    pub(crate) fn remove(&self, job_dir: &Path) {
        for link in self.links() {
            if std::fs::read_link(&link).is_ok_and(|job| job == job_dir) {
                let _ = std::fs::remove_file(link);
            }
        }
    }

    fn links(&self) -> impl Iterator<Item = PathBuf> {
        let entries = std::fs::read_dir(&self.directory).into_iter();
        entries.flatten().flatten().map(|entry| entry.path())
    }

    /// Whether this job is in the list.
    pub fn has(&self, job_dir: &Path) -> bool {
        let same = |job: PathBuf| job.canonicalize().is_ok_and(|job| job == job_dir);
        self.jobs().into_iter().any(same)
    }

    /// The directories of the jobs in the list, sorted. Jobs that no longer exist are removed from
    /// it.
    pub fn jobs(&self) -> Vec<PathBuf> {
        let mut jobs = Vec::new();
        for link in self.links() {
            match std::fs::read_link(&link) {
                Ok(job) if job.join(persea_journal::FILE_NAME).is_file() => jobs.push(job),
                _ => {
                    let _ = std::fs::remove_file(link);
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
    fn job_is_listed_until_it_is_removed_or_deleted() {
        let root = tempfile::tempdir().unwrap();
        let unreleased = UnreleasedJobs::new(&root.path().join("state"));
        assert!(unreleased.jobs().is_empty());
        let jobs = ["a", "b"].map(|name| root.path().join(name));
        for job in &jobs {
            std::fs::create_dir(job).unwrap();
            std::fs::write(job.join(persea_journal::FILE_NAME), "").unwrap();
            unreleased.add(job).unwrap();
            unreleased.add(job).unwrap();
        }
        assert_eq!(unreleased.jobs(), jobs);
        // A job of the same name in another results directory.
        let same_name = root.path().join("elsewhere/a");
        std::fs::create_dir_all(&same_name).unwrap();
        std::fs::write(same_name.join(persea_journal::FILE_NAME), "").unwrap();
        unreleased.add(&same_name).unwrap();
        let [first, second] = jobs;
        let all = [first.clone(), second.clone(), same_name.clone()];
        assert_eq!(unreleased.jobs(), all);
        unreleased.remove(&same_name);
        assert_eq!(unreleased.jobs(), [first.clone(), second.clone()]);
        unreleased.remove(&first);
        std::fs::remove_dir_all(&second).unwrap();
        assert!(unreleased.jobs().is_empty());
    }
}

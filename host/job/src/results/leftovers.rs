//! Owns the files that a host has left in the job's directory when it was killed: they are kept as
//! those of an attempt without a result, and are out of the way of the next attempt. Does not know
//! why an attempt has no result.

use std::collections::HashSet;
use std::io;

use crate::results::directory::{JobDirectory, RUNNING};
use persea_system::directory_handle::DirectoryHandle;
use rustix::process::geteuid;

/// The prefix of the names of batches' directories. A number follows.
const BATCH: &str = "batch.";

/// The directories of tests that a host has left.
pub(crate) struct Leftovers {
    names: HashSet<String>,
}

impl Leftovers {
    /// Looks at the directories of tests. Those of tests that ran in environments with a directory
    /// of their own are moved to the others first; `is_task` tells the names of such tests.
    ///
    /// # Errors
    /// The directory of results cannot be read or changed.
    pub(crate) fn gather(
        directory: &JobDirectory,
        is_task: impl Fn(&str) -> bool,
    ) -> io::Result<Self> {
        let job = DirectoryHandle::open(directory.path())?;
        let results = directory.test_results().handle()?;
        if job.has_directory(RUNNING) {
            let path = directory.path().join(RUNNING);
            let running = job.open_directory(RUNNING)?;
            for environment in names_in(&path)? {
                // Nothing but directories is the host's. Tests cannot reach this one.
                let Ok(private) = running.open_directory(&environment) else {
                    continue;
                };
                for name in names_in(&path.join(&environment))? {
                    let is_output = is_task(&name) || name.starts_with(BATCH);
                    if is_output && !results.has_directory(&name) {
                        take_over(&private, results, &name)?;
                    }
                }
            }
            job.remove(RUNNING)?;
        }
        let names = names_in(directory.test_results().path())?;
        Ok(Self {
            names: names.into_iter().collect(),
        })
    }

    /// Whether there is a directory of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The largest number of a batch's directory.
    pub(crate) fn last_batch(&self) -> usize {
        let numbers = self
            .names
            .iter()
            .filter_map(|name| name.strip_prefix(BATCH));
        let numbers = numbers.filter_map(|number| number.parse().ok());
        numbers.max().unwrap_or_default()
    }

    /// Removes a directory in which nothing was written. Returns whether it was removed.
    pub(crate) fn remove_empty(&self, directory: &JobDirectory, name: &str) -> io::Result<bool> {
        let results = directory.test_results().handle()?;
        let is_empty = has_only_empty_files(&directory.test_results().path().join(name))?;
        if is_empty {
            results.remove(name)?;
        }
        Ok(is_empty)
    }
}

/// Moves a directory out of that of an environment. Anything else that a test has put in its place
/// is removed.
fn take_over(from: &DirectoryHandle, to: &DirectoryHandle, name: &str) -> io::Result<()> {
    from.rename(name, to, name)?;
    if !to.has_directory(name) {
        return to.remove(name);
    }
    match geteuid().is_root() {
        // Other users could use what root's processes have left outside of the sandbox.
        true => to.open_directory(name)?.remove_privileges(),
        false => Ok(()),
    }
}

fn names_in(path: &std::path::Path) -> io::Result<Vec<String>> {
    let entries = std::fs::read_dir(path)?;
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let names: io::Result<Vec<Option<String>>> = names.collect();
    Ok(names?.into_iter().flatten().collect())
}

/// Whether a directory contains nothing but empty files.
fn has_only_empty_files(path: &std::path::Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(path)? {
        let found = entry?.metadata()?;
        if !found.is_file() || found.len() > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
#[path = "leftovers_tests.rs"]
mod tests;

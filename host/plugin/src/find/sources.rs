//! Owns where the host looks for plugins: in the program, in directories, and in locks. Does not
//! know how a component is loaded, or whether it may be used.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::error::PluginError;
use crate::instance::grants::Grants;
use crate::trust::entry::LockEntry;
use crate::trust::lock::Lock;
use crate::trust::locks::Locks;

/// A plugin that is part of the program.
#[derive(Clone, Copy)]
pub struct BuiltIn {
    /// The plugin's name.
    pub name: &'static str,
    /// SHA-256 of the component, in hexadecimal digits.
    pub digest: &'static str,
    /// The component.
    pub bytes: &'static [u8],
}

impl std::fmt::Debug for BuiltIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Where the host looks for plugins.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The plugins that are part of the program.
    pub built_in: &'static [BuiltIn],
    /// The directories that the user has named for this run, the most preferred first. Each must
    /// exist. A component there that no lock binds is used with `grants`.
    pub named: Vec<PathBuf>,
    /// The directories of the settings. Each must exist. A component there that no lock binds is
    /// only listed.
    pub dirs: Vec<PathBuf>,
    /// The user's own directory, which need not exist. A component there that no lock binds is only
    /// listed.
    pub user_dir: Option<PathBuf>,
    /// The lock files.
    pub locks: Locks,
    /// What components of `named` that no lock binds are granted.
    pub grants: Grants,
    /// The directory of plugins from registries.
    pub store: Option<PathBuf>,
    /// The directory of compiled code, downloads and plugins' files that are kept from job to job;
    /// none to keep nothing.
    pub cache: Option<PathBuf>,
}

/// What may be a plugin.
#[derive(Clone, Debug)]
pub(crate) enum Candidate {
    /// A plugin of the program.
    BuiltIn(&'static BuiltIn),
    /// A file.
    File(FileCandidate),
}

/// A file that may be a plugin.
#[derive(Clone, Debug)]
pub(crate) struct FileCandidate {
    pub(crate) path: PathBuf,
    /// Whether the user has named the file's directory for this run.
    pub(crate) is_named: bool,
    /// The reference in a registry from which the file can be installed.
    pub(crate) registry: Option<String>,
    /// The id of the lock entry that names the file, whatever the file's bytes are now.
    pub(crate) entry: Option<String>,
}

impl Candidate {
    /// Returns the candidate's name in messages.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::BuiltIn(built_in) => built_in.name.to_owned(),
            Self::File(candidate) => candidate.label(),
        }
    }
}

impl FileCandidate {
    /// Returns the candidate's name in messages.
    pub(crate) fn label(&self) -> String {
        self.path.display().to_string()
    }
}

/// The candidates so far, the most preferred first.
#[derive(Default)]
struct Candidates {
    all: Vec<Candidate>,
    files: HashSet<PathBuf>,
}

impl Candidates {
    fn add(&mut self, candidate: FileCandidate) {
        self.files.insert(canonical(&candidate.path));
        self.all.push(Candidate::File(candidate));
    }

    fn has(&self, file: &Path) -> bool {
        self.files.contains(&canonical(file))
    }
}

/// Returns one path for one file, if the file exists.
fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

impl Sources {
    /// Returns all candidates, the most preferred first.
    pub(crate) fn candidates(&self) -> Result<Vec<Candidate>, PluginError> {
        let entries = self.entries_by_file();
        let mut candidates = Candidates::default();
        let add = |candidates: &mut Candidates, dir: &Path, is_named: bool| {
            for path in files(dir)? {
                candidates.add(FileCandidate {
                    is_named,
                    registry: None,
                    entry: entries.get(&canonical(&path)).cloned(),
                    path,
                });
            }
            Ok::<(), PluginError>(())
        };
        for dir in &self.named {
            add(&mut candidates, dir, true)?;
        }
        for dir in &self.dirs {
            add(&mut candidates, dir, false)?;
        }
        if let Some(lock) = self.locks.of_project() {
            self.add_locked(lock, &mut candidates);
        }
        if let Some(dir) = self.user_dir.as_deref().filter(|dir| dir.is_dir()) {
            add(&mut candidates, dir, false)?;
        }
        if let Some(lock) = self.locks.of_user() {
            self.add_locked(lock, &mut candidates);
        }
        let mut all = candidates.all;
        all.extend(self.built_in.iter().map(Candidate::BuiltIn));
        Ok(all)
    }

    /// Adds the files of a lock's entries that are no candidates yet.
    fn add_locked(&self, lock: &Lock, candidates: &mut Candidates) {
        for entry in lock.entries() {
            if let Some(path) = self.file_of(lock, entry)
                && !candidates.has(&path)
            {
                candidates.add(FileCandidate {
                    path,
                    is_named: false,
                    registry: entry.registry().map(str::to_owned),
                    entry: lock.file_of(entry).map(|_| entry.id()),
                });
            }
        }
    }

    /// Returns the ids of lock entries by the files that they name. Of several entries for a file
    /// the most preferred counts.
    fn entries_by_file(&self) -> HashMap<PathBuf, String> {
        let mut entries = HashMap::new();
        for (lock, entry) in self.locks.entries() {
            if let Some(path) = lock.file_of(entry) {
                entries
                    .entry(canonical(&path))
                    .or_insert_with(|| entry.id());
            }
        }
        entries
    }

    /// Returns the file of a lock's entry; none if it is from a registry and nothing is stored.
    pub fn file_of(&self, lock: &Lock, entry: &LockEntry) -> Option<PathBuf> {
        let stored = || Some(stored(self.store.as_deref()?, &entry.sha256));
        lock.file_of(entry).or_else(stored)
    }
}

/// Returns the file in which a store keeps the plugin with this digest.
pub fn stored(store: &Path, sha256: &str) -> PathBuf {
    store.join(format!("{sha256}.wasm"))
}

/// Returns the files of a directory whose names end with `.wasm`, sorted by name.
fn files(dir: &Path) -> Result<Vec<PathBuf>, PluginError> {
    let failed = |source| PluginError::Directory {
        path: dir.to_path_buf(),
        source,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

//! Where plugins are looked for, and which of those found may be used: what is built in, what a lock binds, and what the user named for
//! this one run.
//!
//! Owns that choice. Knows nothing of how a component is loaded, nor of what it's granted beyond that.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::PluginError;
use crate::trust::grants::{Grants, Power};
use crate::trust::lock::{Entry, Lock};
use crate::worlds::plugin::Origin;

/// A plugin that is embedded in the program.
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

/// Where plugins are looked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The plugins that are embedded in the program.
    pub built_in: &'static [BuiltIn],
    /// Directories that the user named for this run, the most preferred first. Each must exist. What no lock binds is used all the
    /// same, with `grants`.
    pub named: Vec<PathBuf>,
    /// Directories of the settings. Each must exist. What no lock binds is only listed.
    pub dirs: Vec<PathBuf>,
    /// The user's own directory, which need not exist. What no lock binds is only listed.
    pub user_dir: Option<PathBuf>,
    /// The lock files, the most preferred first.
    pub locks: Vec<Lock>,
    /// What plugins are granted that the user named for this run and no lock binds.
    pub grants: Grants,
    /// Where plugins from registries are, by their digests.
    pub store: Option<PathBuf>,
    /// Where compiled code, downloads and what plugins keep are kept from job to job; none to keep none.
    pub cache: Option<PathBuf>,
}

/// Why a plugin may be used; the most trusted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// It is part of the host.
    BuiltIn,
    /// A lock binds its bytes, and says what it may do.
    Locked,
    /// The user named its directory for this run; of processes it is given only those in isolated environments.
    Unlocked,
}

/// Something that may be a plugin.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) origin: Origin,
    pub(crate) label: String,
    /// The user named its directory for this run.
    pub(crate) named: bool,
    /// Where it comes from, when it's not there.
    pub(crate) registry: Option<String>,
    /// The entry that names its file, whatever its bytes are now.
    pub(crate) entry: Option<String>,
}

/// What was found so far, with its files.
#[derive(Default)]
struct Found {
    candidates: Vec<Candidate>,
    files: HashSet<PathBuf>,
}

impl Candidate {
    pub(crate) fn file(path: &Path) -> Self {
        Self {
            origin: Origin::File(path.to_path_buf()),
            label: path.display().to_string(),
            named: false,
            registry: None,
            entry: None,
        }
    }
}

impl Found {
    fn add(&mut self, candidate: Candidate) {
        if let Origin::File(path) = &candidate.origin {
            self.files.insert(real(path));
        }
        self.candidates.push(candidate);
    }
}

/// The same path for the same file, if it's there.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

impl Sources {
    /// The built-in plugin with this name.
    pub(crate) fn built_in(&self, name: &str) -> Option<&'static BuiltIn> {
        self.built_in.iter().find(|built_in| built_in.name == name)
    }

    /// What may be a plugin, the most preferred first.
    pub(crate) fn candidates(&self) -> Result<Vec<Candidate>, PluginError> {
        let entries = self.entries();
        let mut found = Found::default();
        let add = |found: &mut Found, dir: &Path, named: bool| {
            for file in files(dir)? {
                let entry = entries.get(&real(&file)).cloned();
                found.add(Candidate {
                    named,
                    entry,
                    ..Candidate::file(&file)
                });
            }
            Ok::<(), PluginError>(())
        };
        for dir in &self.named {
            add(&mut found, dir, true)?;
        }
        for dir in &self.dirs {
            add(&mut found, dir, false)?;
        }
        // The project's lock before the user's directory, and that before the user's lock.
        let mut locks = self.locks.iter();
        self.locked(locks.next(), &mut found);
        if let Some(dir) = self.user_dir.as_deref().filter(|dir| dir.is_dir()) {
            add(&mut found, dir, false)?;
        }
        for lock in locks {
            self.locked(Some(lock), &mut found);
        }
        for built_in in self.built_in {
            found.add(Candidate {
                origin: Origin::BuiltIn,
                label: built_in.name.to_owned(),
                named: false,
                registry: None,
                entry: None,
            });
        }
        Ok(found.candidates)
    }

    /// The files that a lock names, but for those that were found already.
    fn locked(&self, lock: Option<&Lock>, found: &mut Found) {
        for (lock, entry) in all(lock) {
            let Some(path) = self.file_of(lock, entry) else {
                continue;
            };
            if !found.files.contains(&real(&path)) {
                found.add(Candidate {
                    registry: entry.registry().map(str::to_owned),
                    entry: lock.file_of(entry).map(|_| entry.id()),
                    ..Candidate::file(&path)
                });
            }
        }
    }

    /// The names of the entries by the files that they name; of several the most preferred.
    fn entries(&self) -> HashMap<PathBuf, String> {
        let mut entries = HashMap::new();
        for (lock, entry) in all(&self.locks) {
            if let Some(path) = lock.file_of(entry) {
                entries.entry(real(&path)).or_insert_with(|| entry.id());
            }
        }
        entries
    }

    /// Where the file of a lock's entry is; none for one from a registry where nothing is stored.
    pub fn file_of(&self, lock: &Lock, entry: &Entry) -> Option<PathBuf> {
        let stored = || Some(stored(self.store.as_deref()?, &entry.sha256));
        lock.file_of(entry).or_else(stored)
    }

    /// The entry that binds these bytes, with its lock.
    pub fn bound_to(&self, sha256: &str) -> Option<(&Lock, &Entry)> {
        let mut locks = self.locks.iter();
        locks.find_map(|lock| Some((lock, lock.bound_to(sha256)?)))
    }

    /// A directory that a lock grants without having it to grant: the project's one out of the project. Whoever gets a project with its
    /// lock has not agreed to that; but if the user's own lock grants these bytes the same, it holds.
    pub fn overreach<'a>(&self, lock: &Lock, entry: &'a Entry) -> Option<&'a str> {
        let (project, own) = self.locks.split_first()?;
        if lock.path() != project.path() {
            return None;
        }
        let mut agreed = own.iter().filter_map(|own| own.bound_to(&entry.sha256));
        let beyond = entry.grants.beyond_project()?;
        let same = |own: &Entry| {
            let directories = own.grants.of(Power::Directories);
            let mut granted = entry.grants.of(Power::Directories).iter();
            granted.all(|directory| directories.contains(directory))
        };
        (!agreed.any(same)).then_some(beyond)
    }
}

/// All entries, each with its lock.
fn all<'a>(
    locks: impl IntoIterator<Item = &'a Lock>,
) -> impl Iterator<Item = (&'a Lock, &'a Entry)> {
    let locks = locks.into_iter();
    locks.flat_map(|lock| lock.entries().iter().map(move |entry| (lock, entry)))
}

/// The file of a plugin from a registry.
pub fn stored(store: &Path, sha256: &str) -> PathBuf {
    store.join(format!("{sha256}.wasm"))
}

/// The files of a directory whose names end with `.wasm`, by name.
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

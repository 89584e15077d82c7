//! Owns the lock file, which binds plugins to their bytes, with the grants and limits of each. Does
//! not know about components, or where they come from. The format is TOML: `version = 1` and a
//! `[[plugin]]` for each plugin; see docs/trust.md.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::trust::entry::LockEntry;
use persea_config::{ConfigError, Foreign, OpenError, SafeDirectories};
use persea_system::bounded_read::{self, MAX_SMALL_FILE};
use persea_system::private::{ONLY_OWNER, READABLE_FILE, create_directory};

/// The name of a project's lock file, and of a user's.
pub const LOCK_FILE: &str = "persea.lock";

/// The version of the file's format.
const VERSION: u32 = 1;

/// Why a lock file cannot be used or written.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file cannot be read or written.
    #[error("cannot {} {}: {source}", operation.verb(), path.display())]
    Io {
        /// What the host has tried.
        operation: FileOperation,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not TOML, or not of this format.
    #[error(transparent)]
    Syntax(#[from] ConfigError),
    /// A newer host has written the file.
    #[error(
        "{} has version {found} of the format, and this host reads version {VERSION}: use a newer \
         persea",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: u32,
    },
    /// The project's file belongs to another user.
    #[error("{0}")]
    Foreign(Box<Foreign>),
    /// An entry is invalid.
    #[error("{}: plugin `{name}`: {message}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry's name, as it stands in the file.
        name: String,
        /// What is wrong.
        message: String,
    },
}

/// An operation on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileOperation {
    /// Reading it.
    Read,
    /// Writing it.
    Write,
}

impl FileOperation {
    const fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// A lock file's path and entries.
#[derive(Clone, Debug, Default)]
pub struct Lock {
    path: PathBuf,
    entries: Vec<LockEntry>,
    /// The index of the first entry for a component's digest.
    bound: HashMap<String, usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockFile {
    version: u32,
    #[serde(default, rename = "plugin")]
    plugins: Vec<LockEntry>,
}

impl Lock {
    /// Reads a user's lock file. Without a file, the lock is empty.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        Self::read_opened(path, bounded_read::open(path))
    }

    /// Reads a project's lock file. Without a file, the lock is empty.
    ///
    /// # Errors
    /// [`LockError::Foreign`] if it belongs to another user, or another error if it cannot be read.
    pub fn read_project(path: &Path, safe: &SafeDirectories) -> Result<Self, LockError> {
        match safe.open(path) {
            Err(OpenError::Foreign(foreign)) => Err(LockError::Foreign(foreign)),
            Err(OpenError::Io(error)) => Self::read_opened(path, Err(error)),
            Ok(file) => Self::read_opened(path, Ok(file)),
        }
    }

    /// A lock without entries, whose file is `path`.
    pub fn empty(path: &Path) -> Self {
        Self::new(path, Vec::new())
    }

    fn read_opened(path: &Path, opened: std::io::Result<std::fs::File>) -> Result<Self, LockError> {
        match opened.and_then(|file| bounded_read::text_of(file, MAX_SMALL_FILE)) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self::new(path, Vec::new()))
            }
            Err(source) => Err(LockError::Io {
                operation: FileOperation::Read,
                path: path.to_path_buf(),
                source,
            }),
        }
    }

    /// Reads the text of a lock file. `path` is its path, for its entries and for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, LockError> {
        // The version comes first: a newer format would be reported as an unknown field.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = persea_config::parse(path, text)?;
        if version != VERSION {
            return Err(LockError::Version {
                path: path.to_path_buf(),
                found: version,
            });
        }
        let file: LockFile = persea_config::parse(path, text)?;
        let wrong = |entry: &LockEntry, message: String| LockError::Entry {
            path: path.to_path_buf(),
            name: entry.name.clone(),
            message,
        };
        let mut ids = HashSet::new();
        for entry in &file.plugins {
            entry.check().map_err(|message| wrong(entry, message))?;
            for id in entry.ids() {
                if !ids.insert(id.clone()) {
                    return Err(wrong(entry, format!("there are two of {id}")));
                }
            }
        }
        Ok(Self::new(path, file.plugins))
    }

    fn new(path: &Path, entries: Vec<LockEntry>) -> Self {
        let mut lock = Self {
            path: path.to_path_buf(),
            entries,
            bound: HashMap::new(),
        };
        lock.find_bound();
        lock
    }

    fn find_bound(&mut self) {
        self.bound.clear();
        for (index, entry) in self.entries.iter().enumerate() {
            self.bound.entry(entry.sha256.clone()).or_insert(index);
        }
    }

    /// Returns the file's text.
    pub fn text(&self) -> Result<String, toml::ser::Error> {
        let file = LockFile {
            version: VERSION,
            plugins: self.entries.clone(),
        };
        let body = toml::to_string_pretty(&file)?;
        Ok(format!(
            "# Which plugins of others this host loads, and what each may do. `persea plugin` \
             writes it; keep it with the project.\n{body}"
        ))
    }

    /// Writes the whole file, or leaves it as it is.
    pub fn write(&self) -> Result<(), LockError> {
        let failed = |source| LockError::Io {
            operation: FileOperation::Write,
            path: self.path.clone(),
            source,
        };
        let text = self
            .text()
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let directory = match self.directory() {
            directory if directory.as_os_str().is_empty() => Path::new("."),
            directory => directory,
        };
        create_directory(directory, ONLY_OWNER).map_err(failed)?;
        let mut new = tempfile::Builder::new();
        // Readable for others, as any file of a project, and not writable whatever the umask:
        // whoever could write to it would choose the plugins.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(READABLE_FILE);
        let mut new = new
            .prefix(".persea-lock-")
            .permissions(mode)
            .tempfile_in(directory)
            .map_err(failed)?;
        new.write_all(text.as_bytes()).map_err(failed)?;
        new.persist(&self.path)
            .map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory to which the paths of entries are relative.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Returns all entries, in the file's order.
    pub fn entries(&self) -> &[LockEntry] {
        &self.entries
    }

    /// Returns the entry that binds a component with this digest.
    pub fn bound_to(&self, sha256: &str) -> Option<&LockEntry> {
        self.entries.get(*self.bound.get(sha256)?)
    }

    /// Returns the file that an entry names; none if the plugin is from a registry.
    pub fn file_of(&self, entry: &LockEntry) -> Option<PathBuf> {
        let local = entry.registry().is_none();
        local.then(|| self.directory().join(&entry.source))
    }

    /// Returns the entries with a name, written `greet` or `runner.greet`.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a LockEntry> {
        self.entries
            .iter()
            .filter(move |entry| entry.name == name || entry.ids().any(|id| id == name))
    }

    /// Returns the entries that have a role and name in common with one.
    pub fn like<'a>(&'a self, entry: &'a LockEntry) -> impl Iterator<Item = &'a LockEntry> {
        self.entries.iter().filter(|it| is_like(it, entry))
    }

    /// Adds an entry, in place of those with its name and one of its roles.
    pub fn put(&mut self, entry: LockEntry) {
        self.entries.retain(|it| !is_like(it, &entry));
        self.entries.push(entry);
        self.entries.sort_by_key(LockEntry::id);
        self.find_bound();
    }

    /// Removes the entry with this id.
    pub fn remove(&mut self, id: &str) {
        self.entries.retain(|entry| entry.id() != id);
        self.find_bound();
    }
}

/// Whether two entries have a role and name in common.
fn is_like(one: &LockEntry, other: &LockEntry) -> bool {
    let mut roles = one.roles.keys();
    one.name == other.name && roles.any(|role| other.roles.contains_key(role))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;
    use crate::contract::world::World;
    use crate::instance::grants::Grants;
    use proptest::prelude::*;
    use serde_json::Value;

    fn entry(name: &str) -> LockEntry {
        LockEntry {
            name: name.to_owned(),
            version: "1.2.3".into(),
            contract: "0.2.0".into(),
            roles: BTreeMap::from([(World::Runner, vec!["greet".into()])]),
            source: "plugins/greet.wasm".into(),
            sha256: "0".repeat(64),
            signature: None,
            grants: Grants::parse(&["process", "environment=CI"]).unwrap(),
            limits: BTreeMap::from([("memory_mb".to_owned(), 512.into())]),
        }
    }

    fn parse(text: &str) -> Result<Lock, String> {
        Lock::parse(Path::new("p/persea.lock"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn written_lock_is_read_again() {
        let mut lock = parse("version = 1").unwrap();
        lock.put(entry("greet"));
        lock.put(entry("a"));
        lock.put(entry("greet"));
        let again = parse(&lock.text().unwrap()).unwrap();
        assert_eq!(again.entries(), lock.entries());
        assert_eq!(
            again.file_of(&entry("a")).unwrap(),
            Path::new("p/plugins/greet.wasm")
        );
        assert_eq!(again.named("runner.greet").count(), 1);
        assert_eq!(again.named("resolver.greet").count(), 0);
    }

    #[test]
    fn lock_file_has_the_mode_of_a_new_file_that_others_cannot_write_to() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/persea.lock");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        let other = dir.path().join("other");
        std::fs::write(&other, "").unwrap();
        let mut lock = Lock::read(&path).unwrap();
        lock.put(entry("greet"));
        lock.write().unwrap();
        assert_eq!(mode(&path), mode(&other) & READABLE_FILE);
        // No temporary file stays in the directory.
        let directory = std::fs::read_dir(path.parent().unwrap()).unwrap();
        assert_eq!(directory.count(), 1);
        assert_eq!(Lock::read(&path).unwrap().entries(), lock.entries());
    }

    #[test]
    fn first_entry_binds_bytes_that_two_entries_have() {
        let mut lock = parse("version = 1").unwrap();
        let with = |name: &str, sha256: &str| LockEntry {
            sha256: sha256.repeat(64),
            ..entry(name)
        };
        lock.put(with("b", "1"));
        lock.put(with("c", "2"));
        lock.put(with("a", "1"));
        let bound = |lock: &Lock, digit: &str| {
            let entry = lock.bound_to(&digit.repeat(64));
            entry.map(|entry| entry.name.clone())
        };
        let (one, two) = (Some("a".to_owned()), Some("c".to_owned()));
        assert_eq!((bound(&lock, "1"), bound(&lock, "2")), (one, two.clone()));
        lock.remove("runner.a");
        let one = Some("b".to_owned());
        assert_eq!((bound(&lock, "1"), bound(&lock, "2")), (one, two.clone()));
        lock.remove("runner.b");
        assert_eq!((bound(&lock, "1"), bound(&lock, "2")), (None, two));
        assert_eq!(bound(&lock, "3"), None);
    }

    #[test]
    fn lock_of_the_book_is_as_the_host_writes_it() {
        let text = include_str!("../../../../docs/examples/trust/persea.lock");
        assert_eq!(parse(text).unwrap().text().unwrap(), text);
    }

    #[test]
    fn invalid_entry_is_reported_with_its_name() {
        let whole = |change: &dyn Fn(&mut LockEntry)| {
            let mut lock = parse("version = 1").unwrap();
            let mut entry = entry("greet");
            change(&mut entry);
            lock.put(entry);
            parse(&lock.text().unwrap()).unwrap_err()
        };
        let start = "p/persea.lock: plugin `greet`: ";
        assert_eq!(
            whole(&|entry| entry.sha256 = "../x".into()),
            format!("{start}`sha256` has 64 digits from 0 to f")
        );
        let granted = |text: &str| {
            whole(&|entry| {
                entry.grants = serde_json::from_str(text).unwrap();
            })
        };
        assert_eq!(
            granted(r#"{"environment": ["A=B"]}"#),
            format!("{start}`environment=A=B`: that is no variable's name, and `*` alone is any")
        );
        let limit = |name: &str, value: Value| {
            whole(&|entry| {
                entry.limits = BTreeMap::from([(name.to_owned(), value.clone())]);
            })
        };
        assert!(
            limit("memory", 1.into()).starts_with(&format!("{start}there is no limit `memory`"))
        );
        assert_eq!(
            limit("memory_mb", "much".into()),
            format!("{start}limit `memory_mb`: expected a whole number, found `\"much\"`")
        );
        assert!(
            parse("version = 2\nnews = 1")
                .unwrap_err()
                .contains("use a newer persea")
        );
        assert!(
            parse("version = 1\nnews = 1")
                .unwrap_err()
                .starts_with("p/persea.lock:2:1: unknown field `news`")
        );
        assert!(parse("").unwrap_err().contains("missing field `version`"));
        let mut twice = parse("version = 1").unwrap();
        twice.entries = vec![entry("greet"), entry("greet")];
        assert_eq!(
            parse(&twice.text().unwrap()).unwrap_err(),
            format!("{start}there are two of runner.greet")
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(
            text in "(version = 1\n)?(\\[\\[plugin\\]\\]|[a-z0-9]+ ?= ?\
                     [\"{\\[a-z0-9\\]}]*|\\PC|\n){0,40}"
        ) {
            if let Ok(lock) = parse(&text) {
                let again = parse(&lock.text().unwrap()).unwrap();
                prop_assert_eq!(again.entries(), lock.entries());
            }
        }
    }
}

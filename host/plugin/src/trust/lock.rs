//! The lock file: which plugins of others may be loaded, bound to their bytes, with what each may do and use.
//!
//! Owns the file's format, reading, checking and writing it. Knows nothing of components or of how they are got. The format is TOML:
//! `version = 1` and a `[[plugin]]` for each, see docs/trust.md.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::limits;
use crate::trust::grants::Grants;
use crate::trust::manifest::World;
use persea_config as config;
use persea_config::{ConfigError, Foreign, OpenError, SafeDirectories};
use persea_system::small_file::{self, SMALL};

/// The name of a project's lock file, and of a user's.
pub const FILE: &str = "persea.lock";

/// The version of the format.
const VERSION: u32 = 1;

/// What a source that is no file begins with.
const REGISTRY: &str = "oci://";

/// A lock file that cannot be used, or not be written.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It cannot be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no TOML, or not of this format.
    #[error(transparent)]
    Syntax(#[from] ConfigError),
    /// A newer host has written it.
    #[error("{} has version {found} of the format, and this host reads version {VERSION}: use a newer persea", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It is a project's, and belongs to another user.
    #[error("{0}")]
    Foreign(Box<Foreign>),
    /// An entry says something that cannot be.
    #[error("{}: plugin `{name}`: {message}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry's name, as it stands there.
        name: String,
        /// What is wrong.
        message: String,
    },
}

/// A plugin, as a lock binds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its own name.
    pub name: String,
    /// Its world.
    pub world: World,
    /// Its own version.
    pub version: String,
    /// The version of the contract that it was built for.
    pub contract: String,
    /// The kinds that it serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// Where it came from: a path, from the lock's directory; or `oci://REGISTRY/REPOSITORY:TAG`.
    pub source: String,
    /// The SHA-256 of the component, as 64 hexadecimal digits.
    pub sha256: String,
    /// The minisign signature by which it was accepted, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// What it may do.
    #[serde(default, skip_serializing_if = "Grants::is_empty")]
    pub grants: Grants,
    /// Limits that are its own, by their names below `plugins.limits`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Value>,
}

/// A lock file.
#[derive(Clone, Debug, Default)]
pub struct Lock {
    path: PathBuf,
    entries: Vec<Entry>,
    /// The place of the first entry for a component's bytes.
    bound: HashMap<String, usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default, rename = "plugin")]
    plugins: Vec<Entry>,
}

impl Entry {
    /// The name by which it is spoken of: `runner.greet`.
    pub fn id(&self) -> String {
        format!("{}.{}", self.world.name(), self.name)
    }

    /// Where in a registry it came from, if it did.
    pub fn registry(&self) -> Option<&str> {
        self.source.strip_prefix(REGISTRY)
    }

    fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return Err("`name` has lower case letters, digits and hyphens only".into());
        }
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if self.sha256.len() != 64 || !self.sha256.chars().all(hex) {
            return Err("`sha256` has 64 digits from 0 to f".into());
        }
        if self.source.is_empty() || self.source.contains('\0') {
            return Err("`source` is a path or begins with `oci://`".into());
        }
        self.grants.check()?;
        for (name, value) in &self.limits {
            limits::check(name, value)?;
        }
        Ok(())
    }
}

impl Lock {
    /// Reads a lock file; where there is none it is empty.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        Self::read_opened(path, small_file::open(path))
    }

    /// Reads a project's lock file. Where there is none, the lock is empty.
    ///
    /// # Errors
    /// [`LockError::Foreign`] where it belongs to another user; or it cannot be read, or is no lock.
    pub fn read_project(path: &Path, safe: &SafeDirectories) -> Result<Self, LockError> {
        match safe.open(path) {
            Err(OpenError::Foreign(foreign)) => Err(LockError::Foreign(foreign)),
            Err(OpenError::Io(error)) => Self::read_opened(path, Err(error)),
            Ok(file) => Self::read_opened(path, Ok(file)),
        }
    }

    /// A lock without entries that is to be at `path`.
    pub fn empty(path: &Path) -> Self {
        Self::new(path, Vec::new())
    }

    fn read_opened(path: &Path, opened: std::io::Result<std::fs::File>) -> Result<Self, LockError> {
        match opened.and_then(|file| small_file::text_of(file, SMALL)) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self::new(path, Vec::new()))
            }
            Err(source) => Err(LockError::Io {
                doing: "read",
                path: path.to_path_buf(),
                source,
            }),
        }
    }

    /// The text of a lock file, which is at `path` for what it says of paths and for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, LockError> {
        // First what a newer host would write, so that it is not told as an unknown field.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = config::parse(path, text)?;
        if version != VERSION {
            return Err(LockError::Version {
                path: path.to_path_buf(),
                found: version,
            });
        }
        let file: File = config::parse(path, text)?;
        let wrong = |entry: &Entry, message: String| LockError::Entry {
            path: path.to_path_buf(),
            name: entry.name.clone(),
            message,
        };
        let mut ids = HashSet::new();
        for entry in &file.plugins {
            entry.check().map_err(|message| wrong(entry, message))?;
            if !ids.insert(entry.id()) {
                return Err(wrong(entry, format!("there are two of {}", entry.id())));
            }
        }
        Ok(Self::new(path, file.plugins))
    }

    fn new(path: &Path, entries: Vec<Entry>) -> Self {
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
        for (place, entry) in self.entries.iter().enumerate() {
            self.bound.entry(entry.sha256.clone()).or_insert(place);
        }
    }

    /// The file's text.
    pub fn text(&self) -> Result<String, toml::ser::Error> {
        let file = File {
            version: VERSION,
            plugins: self.entries.clone(),
        };
        let body = toml::to_string_pretty(&file)?;
        Ok(format!(
            "# Which plugins of others this host loads, and what each may do. `persea plugin` writes it; keep it with the project.\n{body}"
        ))
    }

    /// Writes the file, whole or not at all.
    pub fn write(&self) -> Result<(), LockError> {
        let failed = |source| LockError::Io {
            doing: "write",
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
        std::fs::create_dir_all(directory).map_err(failed)?;
        let mut new = tempfile::Builder::new();
        // For others to read, as any file of a project; less what the umask takes.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
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

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory from which its paths are meant.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// All entries, in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry for these bytes.
    pub fn bound_to(&self, sha256: &str) -> Option<&Entry> {
        self.entries.get(*self.bound.get(sha256)?)
    }

    /// The file that an entry names; none for one from a registry.
    pub fn file_of(&self, entry: &Entry) -> Option<PathBuf> {
        let local = entry.registry().is_none();
        local.then(|| self.directory().join(&entry.source))
    }

    /// The entries with a name, written `greet` or `runner.greet`.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.name == name || entry.id() == name)
    }

    /// Puts an entry in, in place of the one of that world and name.
    pub fn put(&mut self, entry: Entry) {
        self.remove(&entry.id());
        self.entries.push(entry);
        self.entries.sort_by_key(Entry::id);
        self.find_bound();
    }

    /// Takes an entry out.
    pub fn remove(&mut self, id: &str) {
        self.entries.retain(|entry| entry.id() != id);
        self.find_bound();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn entry(name: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            world: World::Runner,
            version: "1.2.3".into(),
            contract: "0.1.0".into(),
            kinds: vec!["greet".into()],
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
    fn what_is_written_is_read_again() {
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
    fn a_lock_file_is_for_all_to_read_and_for_its_owner_to_write() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/persea.lock");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        // As any new file: what the umask leaves.
        let other = dir.path().join("other");
        std::fs::write(&other, "").unwrap();
        let mut lock = Lock::read(&path).unwrap();
        lock.put(entry("greet"));
        lock.write().unwrap();
        assert_eq!(mode(&path), mode(&other));
        assert_eq!(mode(&path) & 0o6111, 0);
        // Nothing but the file stays in its directory.
        let directory = std::fs::read_dir(path.parent().unwrap()).unwrap();
        assert_eq!(directory.count(), 1);
        assert_eq!(Lock::read(&path).unwrap().entries(), lock.entries());
    }

    #[test]
    fn of_two_entries_for_the_same_bytes_the_first_one_is_bound() {
        let mut lock = parse("version = 1").unwrap();
        let with = |name: &str, sha256: &str| Entry {
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
    fn the_books_lock_is_as_it_would_be_written() {
        let text = include_str!("../../../../docs/examples/trust/persea.lock");
        assert_eq!(parse(text).unwrap().text().unwrap(), text);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let whole = |change: &dyn Fn(&mut Entry)| {
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
        fn any_text_is_a_lock_or_an_error(text in "(version = 1\n)?(\\[\\[plugin\\]\\]|[a-z0-9]+ ?= ?[\"{\\[a-z0-9\\]}]*|\\PC|\n){0,40}") {
            if let Ok(lock) = parse(&text) {
                let again = parse(&lock.text().unwrap()).unwrap();
                prop_assert_eq!(again.entries(), lock.entries());
            }
        }
    }
}

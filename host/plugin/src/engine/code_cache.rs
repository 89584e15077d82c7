//! Owns the cache of compiled code, and whether an entry may be trusted: loading an entry is as
//! good as running it. Does not know about components or plugins.
//!
//! An entry is `KEY.cwasm`; its key names the component's bytes and the compiler. `KEY.sum` has the
//! entry's SHA-256 and the identity of its file. `KEY.json` has the description of a built-in
//! component, which saves calling the component. Each file is written under a temporary name and
//! then renamed, so that hosts that run at once see a whole file or none. Nothing is synced to the
//! disk: an identity is valid until the next boot, and after it an entry is read and compared with
//! its checksum.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::digest::digest;
use persea_system::private::is_own;

/// The file in which the kernel names the current boot; see random(4).
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// The size that no file of a checksum reaches, in bytes. It has some numbers.
const SUM_BOUND: u64 = 1024;

/// The size that no file of a description reaches, in bytes. It has some hundred bytes.
const DESCRIPTION_BOUND: u64 = 16 << 10;

/// A directory of compiled code that only this user can write to.
#[derive(Debug)]
pub(crate) struct CodeCache {
    path: PathBuf,
    boot: String,
}

impl CodeCache {
    /// Opens the cache in a directory, which is made if it does not exist.
    ///
    /// Returns none, and logs why, where the directory cannot be made or somebody else may write to
    /// it.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path);
        if let Err(error) = made {
            tracing::debug!("no cache of compiled code: {}: {error}", path.display());
            return None;
        }
        let meta = path.symlink_metadata().ok()?;
        if !meta.is_dir() || !is_own(&meta) {
            tracing::warn!(
                "compiled code is not cached: {} must belong to you, and nobody else may write \
                 to it",
                path.display()
            );
            return None;
        }
        let boot = std::fs::read_to_string(BOOT).unwrap_or_default();
        Some(Self {
            path: path.to_path_buf(),
            boot: boot.trim().to_owned(),
        })
    }

    fn entry_path(&self, key: &str) -> PathBuf {
        self.path.join(format!("{key}.cwasm"))
    }

    fn sum_path(&self, key: &str) -> PathBuf {
        self.path.join(format!("{key}.sum"))
    }

    fn description_path(&self, key: &str) -> PathBuf {
        self.path.join(format!("{key}.json"))
    }

    /// Identifies the content of a file without reading it: any write changes the time of change.
    fn identity(&self, meta: &std::fs::Metadata) -> String {
        let (size, inode) = (meta.size(), meta.ino());
        let (seconds, nanoseconds) = (meta.ctime(), meta.ctime_nsec());
        format!("{size} {inode} {seconds}.{nanoseconds} {}", self.boot)
    }

    /// Whether there is an entry.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entry_path(key).exists()
    }

    /// Loads an entry that is as the host has written it. Any other entry is removed.
    pub(crate) fn load(&self, engine: &Engine, key: &str) -> Option<Component> {
        let entry = self.entry_path(key);
        let meta = entry.symlink_metadata().ok()?;
        if !meta.is_file() || !is_own(&meta) || !self.is_whole(key, &meta) {
            tracing::debug!("compiled code is not used: {}", entry.display());
            self.forget(key);
            return None;
        }
        // SAFETY: only this user can write to the directory and to the file, and by its checksum
        // the file is what this program has written there as its own output. Wasmtime checks that
        // the same version with the same settings has made it.
        #[allow(unsafe_code)]
        match unsafe { Component::deserialize_file(engine, &entry) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::debug!(
                    "compiled code cannot be used: {}: {error:#}",
                    entry.display()
                );
                self.forget(key);
                None
            }
        }
    }

    /// Whether an entry is as it was written. The file is read only if its identity has changed.
    fn is_whole(&self, key: &str, meta: &std::fs::Metadata) -> bool {
        let path = self.sum_path(key);
        let Some(text) = read_own(&path, SUM_BOUND) else {
            return false;
        };
        let Some((sum, known)) = text.trim_end().split_once(' ') else {
            return false;
        };
        if known == self.identity(meta) && !self.boot.is_empty() {
            return true;
        }
        let entry = self.entry_path(key);
        let same = std::fs::read(&entry).is_ok_and(|bytes| digest(&bytes) == sum);
        if same {
            // The file was copied here, for instance from a backup, or the machine was booted
            // since.
            let _ = self.put(&path, format!("{sum} {}\n", self.identity(meta)).as_bytes());
        }
        same
    }

    /// Returns the cached description of a component, as text.
    pub(crate) fn description(&self, key: &str) -> Option<String> {
        read_own(&self.description_path(key), DESCRIPTION_BOUND)
    }

    /// Caches the description of a component. A failure is logged only.
    pub(crate) fn store_description(&self, key: &str, text: &str) {
        let path = self.description_path(key);
        if let Err(error) = self.put(&path, text.as_bytes()) {
            tracing::debug!("a description is not cached: {}: {error}", path.display());
        }
    }

    fn forget(&self, key: &str) {
        // The checksum goes first: an entry without checksum is never used.
        let _ = std::fs::remove_file(self.sum_path(key));
        let _ = std::fs::remove_file(self.entry_path(key));
    }

    /// Caches compiled code. A failure is logged only.
    pub(crate) fn store(&self, key: &str, code: &[u8]) {
        let entry = self.entry_path(key);
        let put = || -> std::io::Result<()> {
            // An entry is replaced and never written to: another host may have it mapped.
            self.put(&entry, code)?;
            let identity = self.identity(&entry.symlink_metadata()?);
            self.put(
                &self.sum_path(key),
                format!("{} {identity}\n", digest(code)).as_bytes(),
            )
        };
        if let Err(error) = put() {
            tracing::debug!("compiled code is not cached: {}: {error}", entry.display());
        }
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.path)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// Reads a file that only this user can have written, and that is smaller than `bound` bytes.
fn read_own(path: &Path, bound: u64) -> Option<String> {
    let mut options = std::fs::File::options();
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = options.read(true).custom_flags(flags).open(path).ok()?;
    let meta = file.metadata().ok()?;
    let is_good = meta.is_file() && is_own(&meta) && meta.len() < bound;
    is_good.then(|| std::io::read_to_string(file).ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Case {
        dir: tempfile::TempDir,
        engine: Engine,
        cache: CodeCache,
    }

    fn case() -> Case {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let code = engine
            .precompile_component(&wat::parse_str("(component)").unwrap())
            .unwrap();
        let cache = CodeCache::open(&dir.path().join("c")).unwrap();
        cache.store("key", &code);
        Case { dir, engine, cache }
    }

    impl Case {
        fn loads(&self) -> bool {
            self.cache.load(&self.engine, "key").is_some()
        }
    }

    #[test]
    fn entry_is_loaded_until_its_file_changes() {
        let case = case();
        assert!(case.loads());
        assert!(case.loads());
        let entry = case.cache.entry_path("key");
        for at in [0, 100, 5000] {
            let whole = case
                .engine
                .precompile_component(&wat::parse_str("(component)").unwrap())
                .unwrap();
            case.cache.store("key", &whole);
            let mut bytes = std::fs::read(&entry).unwrap();
            *bytes.get_mut(at).unwrap() ^= 1;
            std::fs::write(&entry, bytes).unwrap();
            assert!(!case.loads(), "{at}");
            assert!(!entry.exists());
        }
    }

    #[test]
    fn copied_entry_is_loaded() {
        let case = case();
        let entry = case.cache.entry_path("key");
        let copy = case.dir.path().join("copy");
        std::fs::copy(&entry, &copy).unwrap();
        std::fs::rename(copy, &entry).unwrap();
        assert!(case.loads());
    }

    #[test]
    fn entry_is_read_before_use_after_a_boot() {
        let mut case = case();
        let sum = case.cache.sum_path("key");
        let before = std::fs::read_to_string(&sum).unwrap();
        case.cache.boot = "another".to_owned();
        assert!(case.loads());
        let after = std::fs::read_to_string(&sum).unwrap();
        assert!(after != before && after.ends_with(" another\n"), "{after}");
        // A machine that fails can leave a file of the right name and size without content.
        let entry = case.cache.entry_path("key");
        let size = entry.metadata().unwrap().len();
        std::fs::write(&entry, vec![0; usize::try_from(size).unwrap()]).unwrap();
        let meta = entry.metadata().unwrap();
        let found = after.split_once(' ').unwrap().0.to_owned();
        let forged = format!("{found} {}\n", case.cache.identity(&meta));
        std::fs::write(&sum, forged).unwrap();
        case.cache.boot = "a third".to_owned();
        assert!(!case.loads());
    }

    #[test]
    fn entry_that_others_can_write_or_that_is_a_link_is_not_loaded() {
        let case = case();
        let entry = case.cache.entry_path("key");
        std::fs::set_permissions(&entry, PermissionsExt::from_mode(0o666)).unwrap();
        assert!(!case.loads());
        // A link to a valid entry is not an entry.
        let case = self::case();
        let entry = case.cache.entry_path("key");
        let away = case.dir.path().join("away");
        std::fs::rename(&entry, &away).unwrap();
        std::os::unix::fs::symlink(&away, &entry).unwrap();
        assert!(!case.loads());
        assert!(away.exists());
    }

    #[test]
    fn entry_without_a_checksum_file_is_not_loaded() {
        let case = case();
        let sum = case.cache.sum_path("key");
        std::fs::remove_file(&sum).unwrap();
        assert!(!case.loads());
        let case = self::case();
        let sum = case.cache.sum_path("key");
        std::fs::remove_file(&sum).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &sum, rustix::fs::Mode::RWXU).unwrap();
        assert!(!case.loads());
    }

    #[test]
    fn directory_that_others_can_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(CodeCache::open(&path).is_none());
        std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).unwrap();
        assert!(CodeCache::open(&dir.path().join("link")).is_none());
    }
}

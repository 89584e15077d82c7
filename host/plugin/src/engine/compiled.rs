//! The cache of compiled code: a trust boundary, because loading an entry is as good as running it.
//!
//! Owns who may have written an entry and whether it is what was written. Knows nothing of what is compiled or of plugins. An entry is
//! `KEY.cwasm`, whose key names the component's bytes and the compiler; beside it `KEY.sum` has its SHA-256 and the file's identity. Both are
//! made aside and renamed, so that hosts that run at once see all of an entry or nothing. `KEY.json` has what the host's own component says of
//! itself, so that it needn't be asked. Nothing waits for the disk: what a machine
//! that failed may have left is read once before it's trusted, because an identity counts until the next boot.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::compiler::digest;
use persea_system::private::is_own;

/// What the kernel calls the time since it was booted; see random(4).
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// A sum's file has fewer bytes: it's some numbers.
const SUM: u64 = 1024;

/// A description's file has fewer bytes: it's some hundreds.
const DESCRIPTION: u64 = 16 << 10;

/// A directory of compiled code that only this user can write to.
#[derive(Debug)]
pub(crate) struct Compiled {
    path: PathBuf,
    boot: String,
}

impl Compiled {
    /// The cache in this directory, which is made if need be; none where it cannot be this user's alone.
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
                "compiled code is not kept: {} must belong to you, and nobody else may write to it",
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

    fn entry(&self, key: &str) -> PathBuf {
        self.path.join(format!("{key}.cwasm"))
    }

    fn sum(&self, key: &str) -> PathBuf {
        self.path.join(format!("{key}.sum"))
    }

    fn about(&self, key: &str) -> PathBuf {
        self.path.join(format!("{key}.json"))
    }

    /// What says that a file has not been written to since it was looked at: any write changes the time.
    fn identity(&self, meta: &std::fs::Metadata) -> String {
        let (size, inode) = (meta.size(), meta.ino());
        let (seconds, nanoseconds) = (meta.ctime(), meta.ctime_nsec());
        format!("{size} {inode} {seconds}.{nanoseconds} {}", self.boot)
    }

    /// Whether there is an entry.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entry(key).exists()
    }

    /// An entry, if it is there and is what was put there. One that isn't is taken away.
    pub(crate) fn load(&self, engine: &Engine, key: &str) -> Option<Component> {
        let entry = self.entry(key);
        let meta = entry.symlink_metadata().ok()?;
        if !meta.is_file() || !is_own(&meta) || !self.is_whole(key, &meta) {
            tracing::debug!("compiled code is not used: {}", entry.display());
            self.forget(key);
            return None;
        }
        // SAFETY: the file is in a directory that only this user can write to, belongs to this user, nobody else may write to it, and it is, by
        // its checksum, what this program has put there as its own output. Wasmtime checks that it was made by the same version with the same settings.
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

    /// Whether an entry is as it was written. As long as it's the same file, which nobody has written to, it isn't read for that.
    fn is_whole(&self, key: &str, meta: &std::fs::Metadata) -> bool {
        let path = self.sum(key);
        let Some(text) = read_own(&path, SUM) else {
            return false;
        };
        let Some((sum, known)) = text.trim_end().split_once(' ') else {
            return false;
        };
        if known == self.identity(meta) && !self.boot.is_empty() {
            return true;
        }
        let entry = self.entry(key);
        let same = std::fs::read(&entry).is_ok_and(|bytes| digest(&bytes) == sum);
        if same {
            // It was copied here, say from a backup, or the machine was booted since.
            let _ = self.put(&path, format!("{sum} {}\n", self.identity(meta)).as_bytes());
        }
        same
    }

    /// What a component says of itself, as it was put there.
    pub(crate) fn description(&self, key: &str) -> Option<String> {
        read_own(&self.about(key), DESCRIPTION)
    }

    /// Puts what a component says of itself into the cache, if that can be done.
    pub(crate) fn store_description(&self, key: &str, text: &str) {
        let path = self.about(key);
        if let Err(error) = self.put(&path, text.as_bytes()) {
            tracing::debug!("a description is not kept: {}: {error}", path.display());
        }
    }

    fn forget(&self, key: &str) {
        // The sum first: an entry without one is no entry.
        let _ = std::fs::remove_file(self.sum(key));
        let _ = std::fs::remove_file(self.entry(key));
    }

    /// Puts compiled code into the cache, if that can be done.
    pub(crate) fn store(&self, key: &str, code: &[u8]) {
        let entry = self.entry(key);
        let put = || -> std::io::Result<()> {
            // An entry is never written over, only replaced: another host may have it mapped.
            self.put(&entry, code)?;
            let identity = self.identity(&entry.symlink_metadata()?);
            self.put(
                &self.sum(key),
                format!("{} {identity}\n", digest(code)).as_bytes(),
            )
        };
        if let Err(error) = put() {
            tracing::debug!("compiled code is not kept: {}: {error}", entry.display());
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

/// The text of a file with fewer bytes than this, which only this user can have written.
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
        cache: Compiled,
    }

    fn case() -> Case {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let code = engine
            .precompile_component(&wat::parse_str("(component)").unwrap())
            .unwrap();
        let cache = Compiled::open(&dir.path().join("c")).unwrap();
        cache.store("key", &code);
        Case { dir, engine, cache }
    }

    impl Case {
        fn is_there(&self) -> bool {
            self.cache.load(&self.engine, "key").is_some()
        }
    }

    #[test]
    fn what_was_put_is_there_until_it_is_changed() {
        let case = case();
        assert!(case.is_there());
        assert!(case.is_there());
        let entry = case.cache.entry("key");
        for at in [0, 100, 5000] {
            let whole = case
                .engine
                .precompile_component(&wat::parse_str("(component)").unwrap())
                .unwrap();
            case.cache.store("key", &whole);
            let mut bytes = std::fs::read(&entry).unwrap();
            *bytes.get_mut(at).unwrap() ^= 1;
            std::fs::write(&entry, bytes).unwrap();
            assert!(!case.is_there(), "{at}");
            assert!(!entry.exists());
        }
    }

    #[test]
    fn a_copy_is_as_good() {
        let case = case();
        let entry = case.cache.entry("key");
        let copy = case.dir.path().join("copy");
        std::fs::copy(&entry, &copy).unwrap();
        std::fs::rename(copy, &entry).unwrap();
        assert!(case.is_there());
    }

    #[test]
    fn after_a_boot_an_entry_is_read_before_it_is_trusted() {
        let mut case = case();
        let sum = case.cache.sum("key");
        let before = std::fs::read_to_string(&sum).unwrap();
        case.cache.boot = "another".to_owned();
        assert!(case.is_there());
        let after = std::fs::read_to_string(&sum).unwrap();
        assert!(after != before && after.ends_with(" another\n"), "{after}");
        // What a machine leaves that failed: the name and the size, and nothing written.
        let entry = case.cache.entry("key");
        let size = entry.metadata().unwrap().len();
        std::fs::write(&entry, vec![0; usize::try_from(size).unwrap()]).unwrap();
        let meta = entry.metadata().unwrap();
        let found = after.split_once(' ').unwrap().0.to_owned();
        let forged = format!("{found} {}\n", case.cache.identity(&meta));
        std::fs::write(&sum, forged).unwrap();
        case.cache.boot = "a third".to_owned();
        assert!(!case.is_there());
    }

    #[test]
    fn what_others_can_write_or_have_named_is_not_loaded() {
        let case = case();
        let entry = case.cache.entry("key");
        std::fs::set_permissions(&entry, PermissionsExt::from_mode(0o666)).unwrap();
        assert!(!case.is_there());
        // A link to a good one is not one.
        let case = self::case();
        let entry = case.cache.entry("key");
        let away = case.dir.path().join("away");
        std::fs::rename(&entry, &away).unwrap();
        std::os::unix::fs::symlink(&away, &entry).unwrap();
        assert!(!case.is_there());
        assert!(away.exists());
    }

    #[test]
    fn without_its_sum_or_with_a_pipe_for_one_an_entry_is_none() {
        let case = case();
        let sum = case.cache.sum("key");
        std::fs::remove_file(&sum).unwrap();
        assert!(!case.is_there());
        let case = self::case();
        let sum = case.cache.sum("key");
        std::fs::remove_file(&sum).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &sum, rustix::fs::Mode::RWXU).unwrap();
        assert!(!case.is_there());
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_no_cache() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(Compiled::open(&path).is_none());
        std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).unwrap();
        assert!(Compiled::open(&dir.path().join("link")).is_none());
    }
}

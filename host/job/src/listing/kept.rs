//! Owns the answers of listers that are kept from job to job: an answer is used again until the
//! content of a file on which it depends changes. Does not know how tests are listed.
//!
//! Each answer is a file in the user's cache: a line of JSON with the files on which it depends,
//! and then the tests in a binary form, see `encoded`.

use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::listing::encoded::{EncodedRunnable, decode_all};
use persea_model::{Attributes, Runnable};
use persea_system::bounded_read;
use persea_system::private::{ONLY_OWNER, create_directory};

/// The most files on which an answer may depend; others are not kept.
const MOST_FILES: usize = 1_000;

/// The largest answer that is kept, in bytes: 256 MiB.
const LARGEST_ANSWER: u64 = 256 << 20;

/// The most answers that are kept; the oldest are removed.
const MOST_ANSWERS: usize = 1_000;

/// The time that passes between two readings of the clock with which a file system marks changes,
/// with a margin: 20 ms. A file that was changed this shortly before the listing began may change
/// again without a new mark.
const CLOCK_STEP: Duration = Duration::from_millis(20);

/// Identifies a question to a lister.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListingKey(String);

impl ListingKey {
    /// The key of a question to the lister with this digest.
    pub(super) fn new(
        lister: &str,
        runnable: &Runnable,
        settings: &Attributes,
        spawner: &str,
    ) -> Self {
        let project = std::env::current_dir().unwrap_or_default();
        let question = (lister, runnable, settings, spawner, project);
        // Plain data of the model always has a JSON form.
        let json = serde_json::to_vec(&question).unwrap_or_default();
        Self(persea_plugin::digest(&json))
    }
}

/// An answer that was just given.
pub(super) struct NewListing {
    pub(super) tests: Vec<Arc<Runnable>>,
    /// The files from which it was made; none where the lister does not say.
    pub(super) depends_on: Option<Vec<String>>,
    /// When its lister was called.
    pub(super) begun: SystemTime,
}

/// The first line of an answer's file.
#[derive(Serialize, Deserialize)]
struct Head {
    /// The version of the host, because another one may have another binary form.
    host: String,
    depends_on: Vec<Dependency>,
}

/// The version of this host.
const HOST: &str = env!("CARGO_PKG_VERSION");

/// A file on which an answer depends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Dependency {
    path: String,
    mark: FileMark,
    sha256: String,
}

/// What the file system says about a file's content. Two equal marks mean the same content, because
/// a program cannot set the time of the last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileMark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileMark {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether the file was last changed clearly before a time.
    fn is_before(&self, time: SystemTime) -> bool {
        let Ok(time) = time.duration_since(UNIX_EPOCH) else {
            return false;
        };
        let (seconds, nanoseconds) = self.changed;
        let changed = u64::try_from(seconds)
            .ok()
            .zip(u32::try_from(nanoseconds).ok());
        changed.is_some_and(|(seconds, nanoseconds)| {
            Duration::new(seconds, nanoseconds) + CLOCK_STEP < time
        })
    }
}

/// Why an answer is not kept.
#[derive(Debug, thiserror::Error)]
enum NotKept {
    #[error("it does not say on which files it depends")]
    NoDependencies,
    #[error("it depends on {0} files, and at most {MOST_FILES} are looked at")]
    TooMany(usize),
    #[error("it depends on {0:?}, which is not a path in the project")]
    Outside(String),
    #[error("{0} was changed while its tests were listed")]
    Changed(String),
    #[error("{0}: {1}")]
    Io(String, io::Error),
}

/// The answers that are kept.
#[derive(Clone)]
pub(super) struct KeptListings {
    directory: Arc<Path>,
}

impl KeptListings {
    /// The answers in the user's cache directory.
    pub(super) fn new(cache: &Path) -> Self {
        Self {
            directory: cache.join("listings").into(),
        }
    }

    fn path(&self, key: &ListingKey) -> PathBuf {
        self.directory.join(format!("{}.tests", key.0))
    }

    /// Returns the answer to a question; none if it is not kept or no longer true.
    pub(super) fn get(&self, key: &ListingKey) -> Option<Vec<Arc<Runnable>>> {
        let path = self.path(key);
        // An ordinary file of the user: the cache directory belongs to nobody else.
        let bytes = bounded_read::bytes(&path, LARGEST_ANSWER).ok()?;
        let (head, rest) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n')?);
        let mut head: Head = serde_json::from_slice(head).ok()?;
        if head.host != HOST {
            return None;
        }
        let mut is_renewed = false;
        for dependency in &mut head.depends_on {
            is_renewed |= is_unchanged(dependency)?;
        }
        let tests = decode_all(rest.get(1..)?)?;
        if is_renewed {
            // Next time the marks are enough again.
            let _ = self.write(&path, head.depends_on, &tests);
        }
        Some(tests)
    }

    /// Keeps an answer, if it says on which files it depends.
    pub(super) fn put(&self, key: &ListingKey, listing: &NewListing) {
        let written = dependencies(listing).and_then(|dependencies| {
            let path = self.path(key);
            self.write(&path, dependencies, &listing.tests)
                .map_err(|error| NotKept::Io(path.display().to_string(), error))
        });
        match written {
            Ok(()) => self.remove_oldest(),
            Err(why @ (NotKept::NoDependencies | NotKept::Changed(_))) => {
                tracing::debug!("a list of tests is not kept: {why}");
            }
            Err(why) => tracing::warn!("a list of tests is not kept: {why}"),
        }
    }

    fn write(
        &self,
        path: &Path,
        depends_on: Vec<Dependency>,
        tests: &[Arc<Runnable>],
    ) -> io::Result<()> {
        let head = Head {
            host: HOST.to_owned(),
            depends_on,
        };
        let tests: Vec<EncodedRunnable<'_>> = tests.iter().map(|test| (&**test).into()).collect();
        create_directory(&self.directory, ONLY_OWNER)?;
        // Under a name of its own until it is whole: other hosts may read or write the same answer.
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        let mut out = io::BufWriter::new(file.as_file_mut());
        serde_json::to_writer(&mut out, &head)?;
        out.write_all(b"\n")?;
        let mut out = postcard::to_io(&tests, out).map_err(io::Error::other)?;
        out.flush()?;
        drop(out);
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes the oldest answers when there are too many.
    fn remove_oldest(&self) {
        let entries = fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        let mut answers: Vec<(SystemTime, PathBuf)> = entries
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        let Some(surplus) = answers.len().checked_sub(MOST_ANSWERS) else {
            return;
        };
        answers.sort();
        for (_, path) in answers.iter().take(surplus) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether a dependency has the content that it had, which is an error-free `Some`; true inside if
/// its mark had to be renewed.
fn is_unchanged(dependency: &mut Dependency) -> Option<bool> {
    let before = FileMark::of(&fs::metadata(&dependency.path).ok()?);
    if before == dependency.mark {
        return Some(false);
    }
    if before.size != dependency.mark.size || sha256(&dependency.path).ok()? != dependency.sha256 {
        return None;
    }
    let is_settled = before.is_before(SystemTime::now());
    if is_settled {
        dependency.mark = before;
    }
    Some(is_settled)
}

/// Looks at the files on which an answer depends.
fn dependencies(listing: &NewListing) -> Result<Vec<Dependency>, NotKept> {
    let paths = listing.depends_on.as_ref().ok_or(NotKept::NoDependencies)?;
    match paths.len() {
        0 => return Err(NotKept::NoDependencies),
        count if count > MOST_FILES => return Err(NotKept::TooMany(count)),
        _ => {}
    }
    let dependency = |path: &String| {
        if !is_in_project(Path::new(path)) {
            return Err(NotKept::Outside(path.clone()));
        }
        let failed = |error| NotKept::Io(path.clone(), error);
        let mark = FileMark::of(&fs::metadata(path).map_err(failed)?);
        if !mark.is_before(listing.begun) {
            return Err(NotKept::Changed(path.clone()));
        }
        Ok(Dependency {
            path: path.clone(),
            mark,
            sha256: sha256(path).map_err(failed)?,
        })
    };
    paths.iter().map(dependency).collect()
}

/// Whether a path leads nowhere but into the project, as it is written.
fn is_in_project(path: &Path) -> bool {
    let inside = match std::env::current_dir() {
        Ok(project) => path.strip_prefix(project).unwrap_or(path),
        Err(_) => path,
    };
    let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    inside.components().next().is_some() && inside.components().all(is_plain)
}

/// The SHA-256 of an ordinary file. Anything else is an error.
fn sha256(path: &str) -> io::Result<String> {
    let file: File = bounded_read::open(Path::new(path))?;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut hash = Sha256::new();
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            let digest = hash.finalize();
            return Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hash.update(bytes);
        let length = bytes.len();
        reader.consume(length);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// A time after every change that a test has made.
    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(60)
    }

    /// A directory inside the working directory of the tests, which is their project.
    fn project() -> tempfile::TempDir {
        tempfile::tempdir_in(".").unwrap()
    }

    fn test(name: &str) -> Arc<Runnable> {
        Arc::new(Runnable {
            kind: "k".to_owned(),
            identifier: Some(name.to_owned()),
            ..Runnable::default()
        })
    }

    fn listing(depends_on: Option<Vec<String>>) -> NewListing {
        NewListing {
            tests: vec![test("one"), test("two")],
            depends_on,
            begun: later(),
        }
    }

    fn key(name: &str) -> ListingKey {
        ListingKey::new("digest", &test(name), &Attributes::new(), "process")
    }

    fn text(path: &Path) -> String {
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn answer_is_used_until_a_file_changes() {
        let project = project();
        let program = project.path().join("program");
        fs::write(&program, "one").unwrap();
        let kept = KeptListings::new(project.path());
        assert_eq!(kept.get(&key("a")), None);
        kept.put(&key("a"), &listing(Some(vec![text(&program)])));
        assert_eq!(kept.get(&key("a")).unwrap(), [test("one"), test("two")]);
        assert_eq!(kept.get(&key("b")), None, "another question");
        // The same bytes in a new file.
        fs::remove_file(&program).unwrap();
        fs::write(&program, "one").unwrap();
        assert_eq!(kept.get(&key("a")).unwrap().len(), 2);
        fs::write(&program, "two").unwrap();
        assert_eq!(kept.get(&key("a")), None);
        fs::remove_file(&program).unwrap();
        assert_eq!(kept.get(&key("a")), None);
    }

    #[test]
    fn answer_without_dependencies_is_not_kept() {
        let project = project();
        let kept = KeptListings::new(project.path());
        for depends_on in [None, Some(Vec::new())] {
            kept.put(&key("a"), &listing(depends_on));
            assert_eq!(kept.get(&key("a")), None);
        }
    }

    #[test]
    fn answer_that_depends_on_a_file_outside_of_the_project_is_not_kept() {
        let project = project();
        let kept = KeptListings::new(project.path());
        for outside in ["/etc/passwd", "../Cargo.toml", ""] {
            kept.put(&key("a"), &listing(Some(vec![outside.to_owned()])));
            assert_eq!(kept.get(&key("a")), None, "{outside}");
        }
    }

    #[test]
    fn answer_is_not_kept_when_a_file_was_changed_meanwhile() {
        let project = project();
        let program = project.path().join("program");
        fs::write(&program, "one").unwrap();
        let kept = KeptListings::new(project.path());
        let listing = NewListing {
            begun: SystemTime::now(),
            ..listing(Some(vec![text(&program)]))
        };
        kept.put(&key("a"), &listing);
        assert_eq!(kept.get(&key("a")), None);
    }

    #[test]
    fn broken_answer_is_a_miss() {
        let project = project();
        let program = project.path().join("program");
        fs::write(&program, "one").unwrap();
        let kept = KeptListings::new(project.path());
        kept.put(&key("a"), &listing(Some(vec![text(&program)])));
        let path = kept.path(&key("a"));
        let whole = fs::read(&path).unwrap();
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert_eq!(kept.get(&key("a")), None, "cut at {end}");
        }
    }

    #[test]
    fn oldest_answers_are_removed() {
        let project = project();
        let program = project.path().join("program");
        fs::write(&program, "one").unwrap();
        let kept = KeptListings::new(project.path());
        for index in 0..MOST_ANSWERS + 3 {
            let path = kept.directory.join(format!("{index}.tests"));
            fs::create_dir_all(&kept.directory).unwrap();
            fs::write(&path, "").unwrap();
        }
        kept.put(&key("a"), &listing(Some(vec![text(&program)])));
        assert_eq!(fs::read_dir(&kept.directory).unwrap().count(), MOST_ANSWERS);
        assert!(kept.get(&key("a")).is_some(), "the newest one stays");
    }
}

//! Owns the search for what is sent of a project: its files, directories and links, without what
//! the user leaves out and without results of jobs. Does not send anything.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use persea_helper::protocol::Bytes;
use persea_helper::protocol::archive::{Digest, MAX_PATH};
use persea_helper::protocol::project::{MAX_PROJECT_ENTRIES, ProjectEntry, ProjectEntryKind};
use rustix::fs::OFlags;

use super::Manifest;
use super::digests::{Digests, FileKey, digest_of};
use crate::SpawnError;

/// The most paths that a message names.
const SHOWN: usize = 5;

/// What identifies the state of a file.
pub(super) type FileState = FileKey;

/// Returns the state of a file.
pub(super) fn state_of(meta: &Metadata) -> FileState {
    FileKey::of(meta)
}

/// What is sent of a project.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    directory: PathBuf,
    exclude: Arc<Gitignore>,
    /// Results of jobs and files of Persea, by their real paths.
    private: Vec<PathBuf>,
    /// The most bytes that are sent.
    limit: u64,
}

impl Rules {
    pub(super) fn new(
        directory: &Path,
        exclude: &[String],
        private: &[PathBuf],
        limit: u64,
    ) -> Result<Self, SpawnError> {
        let mut builder = GitignoreBuilder::new(directory);
        for pattern in exclude {
            builder.add_line(None, pattern).map_err(|error| {
                SpawnError::Invalid(format!(
                    "`{pattern}` in the setting `files.exclude`: {error}"
                ))
            })?;
        }
        let exclude = builder.build().map_err(|error| {
            SpawnError::Invalid(format!("the setting `files.exclude`: {error}"))
        })?;
        let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        Ok(Self {
            directory: directory.to_owned(),
            exclude: Arc::new(exclude),
            private: private.iter().map(real).collect(),
            limit,
        })
    }

    /// Finds everything that is sent, with the digests of all files. `known` is the file with the
    /// digests of earlier jobs.
    pub(super) fn scan(&self, known: &Path) -> Result<Manifest, SpawnError> {
        let now = SystemTime::now();
        let mut search = Search::new(self);
        search.enter(&self.directory)?;
        search.found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let digests = digests(self, &search.found, &Digests::read(known))?;
        let mut states = Vec::with_capacity(search.found.len());
        let mut changed = Vec::new();
        let mut entries = Vec::with_capacity(search.found.len());
        for (found, digest) in search.found.into_iter().zip(digests) {
            // A file that vanished has no digest.
            let Some((kind, state)) = kind_of(&found, digest) else {
                continue;
            };
            states.push(state);
            changed.push((found.meta.ctime(), found.meta.ctime_nsec()));
            let path = Bytes(found.path);
            entries.push(ProjectEntry { path, kind });
        }
        let files = entries.iter().zip(&states).zip(&changed);
        let files = files.filter_map(|((entry, state), changed)| match &entry.kind {
            ProjectEntryKind::File { digest, .. } => Some((state.as_ref()?, *changed, digest)),
            ProjectEntryKind::Directory { .. } | ProjectEntryKind::Link(_) => None,
        });
        if let Err(error) = Digests::write(known, now, files) {
            tracing::debug!("cannot keep the digests of the project: {error}");
        }
        Ok(Manifest {
            entries,
            size: search.size,
            left_out: search.left_out.words(),
            states,
        })
    }

    /// Whether a path is never sent: results of jobs, or files of Persea.
    fn is_private(&self, path: &Path) -> bool {
        let is_of_job = |name: &OsStr| {
            let name = name.as_bytes();
            let prefixes: [&[u8]; 4] = [b"job-", b".latest-", b"latest", b"persea-"];
            prefixes.iter().any(|prefix| name.starts_with(prefix))
        };
        self.private.iter().any(|private| {
            // The project itself may be the directory of results.
            path == private && *private != self.directory
                || path.parent() == Some(private) && path.file_name().is_some_and(is_of_job)
        })
    }
}

/// Something in the project.
struct Found {
    /// The path in the project.
    path: Vec<u8>,
    meta: Metadata,
    /// The target of a link.
    target: Option<PathBuf>,
}

/// What is not sent.
#[derive(Default)]
struct LeftOut {
    private: Vec<String>,
    excluded: Vec<String>,
    special: Vec<String>,
}

impl LeftOut {
    fn words(&self) -> Vec<String> {
        let kinds = [
            (&self.private, "results of jobs and files of Persea"),
            (&self.excluded, "by `files.exclude`"),
            (&self.special, "neither files, directories nor links"),
        ];
        let some = kinds.into_iter().filter(|(paths, _)| !paths.is_empty());
        let words = some.map(|(paths, why)| {
            let shown: Vec<&str> = paths.iter().take(SHOWN).map(String::as_str).collect();
            let more = match paths.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{}{more} ({why})", shown.join(", "))
        });
        words.collect()
    }
}

/// The search through the project's directories.
struct Search<'a> {
    rules: &'a Rules,
    found: Vec<Found>,
    size: u64,
    left_out: LeftOut,
}

impl<'a> Search<'a> {
    fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            found: Vec::new(),
            size: 0,
            left_out: LeftOut::default(),
        }
    }

    fn enter(&mut self, directory: &Path) -> Result<(), SpawnError> {
        let mut directories = vec![directory.to_owned()];
        while let Some(directory) = directories.pop() {
            let entries = match std::fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(unreadable(&directory, &error)),
            };
            for entry in entries {
                let entry = entry.map_err(|error| unreadable(&directory, &error))?;
                let path = entry.path();
                if self.add(&path)? {
                    directories.push(path);
                }
            }
        }
        Ok(())
    }

    /// Adds a path, and returns whether it is a directory to enter.
    fn add(&mut self, path: &Path) -> Result<bool, SpawnError> {
        let meta = match path.symlink_metadata() {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(unreadable(path, &error)),
        };
        let kind = meta.file_type();
        let below = path.strip_prefix(&self.rules.directory).unwrap_or(path);
        let shown = || below.display().to_string();
        if self.rules.is_private(path) {
            self.left_out.private.push(shown());
            return Ok(false);
        }
        if self.rules.exclude.matched(path, kind.is_dir()).is_ignore() {
            self.left_out.excluded.push(shown());
            return Ok(false);
        }
        if !kind.is_file() && !kind.is_dir() && !kind.is_symlink() {
            self.left_out.special.push(shown());
            return Ok(false);
        }
        let bytes = below.as_os_str().as_bytes().to_vec();
        if bytes.len() > MAX_PATH {
            let why = io::Error::new(io::ErrorKind::InvalidFilename, "its path is too long");
            return Err(unreadable(path, &why));
        }
        let target = match kind.is_symlink() {
            true => match std::fs::read_link(path) {
                Ok(target) => Some(target),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(unreadable(path, &error)),
            },
            false => None,
        };
        if kind.is_file() {
            self.size = self.size.saturating_add(meta.len());
        }
        if self.size > self.rules.limit || self.found.len() >= MAX_PROJECT_ENTRIES {
            return Err(too_large(&self.rules.directory, self.rules.limit));
        }
        self.found.push(Found {
            path: bytes,
            meta,
            target,
        });
        Ok(kind.is_dir())
    }
}

/// What an entry is, with the state of a file; none for a file without a digest.
fn kind_of(found: &Found, digest: Option<Digest>) -> Option<(ProjectEntryKind, Option<FileState>)> {
    let meta = &found.meta;
    let mode = meta.mode() & 0o7777;
    if let Some(target) = &found.target {
        let target = Bytes(target.as_os_str().as_bytes().to_vec());
        return Some((ProjectEntryKind::Link(target), None));
    }
    if meta.is_dir() {
        return Some((ProjectEntryKind::Directory { mode }, None));
    }
    let kind = ProjectEntryKind::File {
        mode,
        size: meta.len(),
        modified: (meta.mtime(), u32::try_from(meta.mtime_nsec()).unwrap_or(0)),
        digest: digest?,
    };
    Some((kind, Some(state_of(meta))))
}

fn unreadable(path: &Path, error: &io::Error) -> SpawnError {
    SpawnError::Invalid(format!(
        "the project cannot be sent to other hosts, {} cannot be read: {error}; leave it out with \
         the setting `files.exclude`",
        path.display()
    ))
}

fn too_large(directory: &Path, limit: u64) -> SpawnError {
    SpawnError::Invalid(format!(
        "the project {} is too large to be sent to other hosts: the limits are {limit} bytes \
         (`files.max_sent`) and {MAX_PROJECT_ENTRIES} files; leave out what tests do not need with \
         the setting `files.exclude`, start in another directory, or share the files",
        directory.display()
    ))
}

/// Opens a file of the project. It may have become something else meanwhile.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = File::options();
    options.read(true).custom_flags(flags.bits().cast_signed());
    options.open(path)
}

/// Returns the digests of the files among what was found, by several threads where files have to
/// be read. A file that has changed since has the digest of its earlier state, which is noticed
/// when the file is sent. None for anything else than a file, and for a file that has vanished.
fn digests(
    rules: &Rules,
    found: &[Found],
    known: &Digests,
) -> Result<Vec<Option<Digest>>, SpawnError> {
    let mut digests: Vec<Option<Digest>> = Vec::with_capacity(found.len());
    let mut unknown = Vec::new();
    for (index, entry) in found.iter().enumerate() {
        let is_file = entry.meta.is_file();
        let digest = is_file.then(|| known.get(&state_of(&entry.meta))).flatten();
        if is_file && digest.is_none() {
            unknown.push((index, entry));
        }
        digests.push(digest);
    }
    let threads = std::thread::available_parallelism().map_or(1, |it| it.get().min(8));
    let next = AtomicUsize::new(0);
    let read: Mutex<Result<Vec<(usize, Digest)>, SpawnError>> = Mutex::new(Ok(Vec::new()));
    let work = || {
        while let Some((index, entry)) = unknown.get(next.fetch_add(1, Ordering::Relaxed)) {
            let path = rules.directory.join(OsStr::from_bytes(&entry.path));
            let digest = open(&path).and_then(|file| digest_of(&file));
            let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
            match digest {
                Ok(digest) => {
                    if let Ok(all) = &mut *read {
                        all.push((*index, digest));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => *read = Err(unreadable(&path, &error)),
            }
            if read.is_err() {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(unknown.len()) {
            scope.spawn(work);
        }
        work();
    });
    for (index, digest) in read.into_inner().unwrap_or_else(PoisonError::into_inner)? {
        if let Some(place) = digests.get_mut(index) {
            *place = Some(digest);
        }
    }
    Ok(digests)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(manifest: &Manifest) -> Vec<String> {
        let names = manifest.entries.iter();
        names
            .map(|it| String::from_utf8_lossy(&it.path.0).into_owned())
            .collect()
    }

    fn rules(directory: &Path, exclude: &[&str], private: &[PathBuf]) -> Rules {
        let exclude: Vec<String> = exclude.iter().map(|&it| it.to_owned()).collect();
        Rules::new(directory, &exclude, private, 1 << 20).unwrap()
    }

    #[test]
    fn project_is_found_without_results_excluded_paths_and_pipes() {
        let root = tempfile::tempdir().unwrap();
        let project = root.path().canonicalize().unwrap();
        for path in ["a/empty", "results/job-1", "target/x", "sub/target"] {
            fs::create_dir_all(project.join(path)).unwrap();
        }
        fs::write(project.join("a/file"), "content").unwrap();
        fs::write(project.join("a/x.log"), "log").unwrap();
        symlink("file", project.join("a/link")).unwrap();
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            project.join("pipe"),
            rustix::fs::Mode::RWXU,
        )
        .unwrap();
        fs::write(project.join(OsStr::from_bytes(b"\xff")), "").unwrap();
        let rules = rules(&project, &["/target/", "*.log"], &[project.join("results")]);
        let manifest = rules.scan(&project.join("results/known")).unwrap();
        let expected = [
            "a",
            "a/empty",
            "a/file",
            "a/link",
            "sub",
            "sub/target",
            "\u{fffd}",
        ];
        assert_eq!(names(&manifest), expected);
        let said = manifest.left_out.join("; ");
        for part in [
            "results (results of jobs",
            "target, ",
            "x.log",
            "pipe (neither",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn jobs_beside_the_files_of_a_project_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let project = root.path().canonicalize().unwrap();
        fs::create_dir_all(project.join("job-2026/test-results")).unwrap();
        symlink("job-2026", project.join("latest")).unwrap();
        fs::write(project.join("test.sh"), "").unwrap();
        let rules = rules(&project, &[], std::slice::from_ref(&project));
        let elsewhere = tempfile::tempdir().unwrap();
        let manifest = rules.scan(&elsewhere.path().join("known")).unwrap();
        assert_eq!(names(&manifest), ["test.sh"]);
    }

    #[test]
    fn changed_file_has_another_digest_than_the_known_one() {
        let root = tempfile::tempdir().unwrap();
        let known = root.path().join("known");
        let project = root.path().join("project");
        fs::create_dir(&project).unwrap();
        let file = project.join("file");
        let scan = || rules(&project, &[], &[]).scan(&known).unwrap();
        fs::write(&file, "one").unwrap();
        let first = scan();
        // As large, and perhaps at the same time.
        fs::write(&file, "two").unwrap();
        assert_ne!(first.entries, scan().entries);
        assert_eq!(scan().entries, scan().entries);
    }

    #[test]
    fn known_digest_is_used_only_for_a_file_that_has_not_changed() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "one").unwrap();
        let key = state_of(&file.metadata().unwrap());
        let known = root.path().join("known");
        let write = |now| {
            let meta = file.metadata().unwrap();
            let changed = (meta.ctime(), meta.ctime_nsec());
            Digests::write(&known, now, [(&key, changed, &[7; 32])].into_iter()).unwrap();
        };
        let now = SystemTime::now();
        write(now);
        assert_eq!(Digests::read(&known).get(&key), None, "it may change again");
        write(now + std::time::Duration::from_secs(10));
        assert_eq!(Digests::read(&known).get(&key), Some([7; 32]));
        fs::write(&file, "two").unwrap();
        let key = state_of(&file.metadata().unwrap());
        assert_eq!(Digests::read(&known).get(&key), None);
        fs::write(&known, "no digests").unwrap();
        assert_eq!(Digests::read(&known).get(&key), None);
    }

    #[test]
    fn project_beyond_the_limit_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), [0; 100]).unwrap();
        let rules = Rules::new(root.path(), &[], &[], 99).unwrap();
        let error = rules.scan(Path::new("/none")).unwrap_err().to_string();
        assert!(error.contains("files.max_sent"), "{error}");
    }
}

//! Owns the reading of an archive of a job, which may be anybody's. Writes nothing outside of the
//! directory of the new job, and nothing but directories and plain files. Does not know how an
//! archive is written.
//!
//! The crate `tar` only finds the members; names and kinds are judged here, member by member, with
//! limits. Its own unpacking would make links, and keeps long names in memory whole.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use flate2::bufread::GzDecoder;
use persea_journal::FILE_NAME;
use persea_model::names::is_artifact_name;
use persea_system::bounded_read;
use persea_system::directory_handle::DirectoryHandle;
use persea_system::private::{ONLY_OWNER, READABLE, create_directory, create_file};
use rustix::fs::{FlockOperation, flock};
use tar::EntryType;

use crate::export::Manifest;
use crate::record::JobRecord;
use crate::retention::STAGING;
use crate::scan::PREFIX;
use crate::{ARCHIVE_FORMAT, IMPORTED, MANIFEST};

/// The longest first member, in bytes.
const LONGEST_MANIFEST: u64 = 64 << 10;

/// The longest path, in bytes: that of Linux.
const LONGEST_PATH: u64 = 4096;

/// How much an archive may have.
#[derive(Clone, Copy, Debug)]
pub struct ImportLimits {
    /// The size of everything in it, unpacked, in bytes.
    pub bytes: u64,
    /// The number of files and directories.
    pub members: u64,
}

/// A job that was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The job's directory.
    pub directory: PathBuf,
    /// The job's id.
    pub id: String,
    /// The number of files.
    pub files: u64,
    /// Their size together, in bytes.
    pub bytes: u64,
}

/// Why an archive is not imported. Nothing of it is left then.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The archive cannot be opened.
    #[error("cannot open the archive: {0}")]
    Open(#[source] io::Error),
    /// The bytes are no archive, or not a whole one.
    #[error("the archive is damaged or not whole: {0}")]
    Damaged(#[source] io::Error),
    /// The archive was made by something else.
    #[error("this is not an archive of `persea export`: {0}")]
    Foreign(String),
    /// The archive was made by a later version.
    #[error(
        "the archive has the format {0}, and this version of Persea reads the format {known}",
        known = ARCHIVE_FORMAT
    )]
    Format(u32),
    /// A name leads out of the job's directory, or cannot be that of a file.
    #[error("the archive has the name {name:?}, which {why}")]
    Name {
        /// The name.
        name: String,
        /// Why it is refused.
        why: &'static str,
    },
    /// A member is neither a file nor a directory.
    #[error("the archive has {kind} with the name {name:?}; only files and directories are taken")]
    Kind {
        /// The name.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// The archive would take too much space.
    #[error("the archive has more than {} MiB, unpacked", limit >> 20)]
    Large {
        /// The limit in bytes.
        limit: u64,
    },
    /// The archive has too many members.
    #[error("the archive has more than {limit} files and directories")]
    Many {
        /// The limit.
        limit: u64,
    },
    /// Members are missing, or there are others.
    #[error("the archive should have {expected}, and has {found}")]
    Incomplete {
        /// What the first member says.
        expected: String,
        /// What there is.
        found: String,
    },
    /// The journal or the file `id` is missing, or they are those of different jobs.
    #[error("the archive has no job: {0}")]
    NoJob(String),
    /// The job is there already.
    #[error("the job {id} is in {} already", path.display())]
    Exists {
        /// The job's id.
        id: String,
        /// The directory of the job that is there.
        path: PathBuf,
    },
    /// Files cannot be written.
    #[error("cannot write to {}: {source}", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Whether a job's directory was made by [`import`], so that its journal may be anybody's.
pub fn is_imported(directory: &Path) -> bool {
    std::fs::symlink_metadata(directory.join(IMPORTED)).is_ok()
}

/// Imports the archive at a path into the results directory `root`, which is made if it is missing.
///
/// # Errors
/// The archive is refused, the job is there already, or files cannot be written.
pub fn import(archive: &Path, root: &Path, limits: ImportLimits) -> Result<Imported, ImportError> {
    let file = bounded_read::open(archive).map_err(ImportError::Open)?;
    create_directory(root, READABLE).map_err(writing(root))?;
    let root = root.canonicalize().map_err(writing(root))?;
    let staging = Staging::new(&root)?;
    // Buffered here, so that what follows the compressed data can be seen.
    let mut input = BufReader::new(file);
    let manifest = unpack_counted(GzDecoder::new(&mut input), &staging.path, limits)?;
    let mut rest = [0; 1];
    if input.read(&mut rest).map_err(ImportError::Damaged)? > 0 {
        let message = "something follows the end of the archive";
        return Err(ImportError::Damaged(io::Error::other(message)));
    }
    check_job(&staging.path, &manifest)?;
    refuse_existing(&root, &manifest)?;
    let source = archive.file_name().unwrap_or_default().to_string_lossy();
    let marker = staging.path.join(IMPORTED);
    let marked = create_file(&marker).and_then(|mut file| writeln!(file, "{source}"));
    match marked {
        // The archive has a file of that name, which marks the job as well.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        marked => marked.map_err(writing(&marker))?,
    }
    let directory = staging.publish(&root, &manifest)?;
    Ok(Imported {
        directory,
        id: manifest.id,
        files: manifest.files,
        bytes: manifest.bytes,
    })
}

fn writing(path: &Path) -> impl Fn(io::Error) -> ImportError {
    move |source| ImportError::Write {
        path: path.to_path_buf(),
        source,
    }
}

/// The directory in which an archive is unpacked: private, beside the jobs, and removed unless it
/// becomes a job.
struct Staging {
    path: PathBuf,
    name: String,
    /// Holds the lock that keeps a prune from removing the directory.
    lock: File,
}

impl Staging {
    fn new(root: &Path) -> Result<Self, ImportError> {
        let name = format!("{STAGING}{:016x}", fastrand::u64(..));
        let path = root.join(&name);
        let made = std::fs::DirBuilder::new().mode(ONLY_OWNER).create(&path);
        made.map_err(writing(&path))?;
        let lock = File::open(&path).map_err(writing(&path))?;
        // Without locks a prune at the same time could remove it, and the import would fail.
        let _ = flock(&lock, FlockOperation::NonBlockingLockExclusive);
        Ok(Self { path, name, lock })
    }

    /// Gives the directory the name of the job.
    fn publish(self, root: &Path, manifest: &Manifest) -> Result<PathBuf, ImportError> {
        let directory = root.join(&manifest.job);
        let readable = std::fs::Permissions::from_mode(READABLE);
        let published = self.lock.set_permissions(readable).and_then(|()| {
            let root = DirectoryHandle::open(root)?;
            root.rename_without_replacing(&self.name, &manifest.job)
        });
        match published {
            Ok(()) => Ok(directory),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(ImportError::Exists {
                    id: manifest.id.clone(),
                    path: directory,
                })
            }
            Err(error) => Err(writing(&directory)(error)),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let Some(root) = self.path.parent() else {
            return;
        };
        if let Ok(root) = DirectoryHandle::open(root) {
            let _ = root.remove(&self.name);
        }
    }
}

/// Fails unless the files are those of the job that the first member names.
fn check_job(directory: &Path, manifest: &Manifest) -> Result<(), ImportError> {
    let id = bounded_read::text(&directory.join("id"), bounded_read::MAX_SMALL_FILE);
    let id = id.map_err(|error| ImportError::NoJob(format!("its file `id`: {error}")))?;
    if !directory.join(FILE_NAME).is_file() {
        return Err(ImportError::NoJob("it has no journal".to_owned()));
    }
    let record = JobRecord::read(directory);
    let is_id = |id: &str| id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id(&manifest.id) || id.trim() != manifest.id || record.id != manifest.id {
        let why = "its journal, its file `id` and its first member name different jobs";
        return Err(ImportError::NoJob(why.to_owned()));
    }
    Ok(())
}

/// Fails if a job with this id is in the results directory.
fn refuse_existing(root: &Path, manifest: &Manifest) -> Result<(), ImportError> {
    let entries = std::fs::read_dir(root).map_err(writing(root))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if !crate::is_job_directory(&path) {
            continue;
        }
        let id = bounded_read::text(&path.join("id"), bounded_read::MAX_SMALL_FILE);
        if id.is_ok_and(|id| id.trim().eq_ignore_ascii_case(&manifest.id)) {
            return Err(ImportError::Exists {
                id: manifest.id.clone(),
                path,
            });
        }
    }
    Ok(())
}

/// A reader that fails after a number of bytes.
struct Limited<R> {
    inner: R,
    left: u64,
    is_over: Rc<Cell<bool>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !buffer.is_empty() {
            // Only more than the limit is too much.
            let mut one = [0; 1];
            if self.inner.read(&mut one)? == 0 {
                return Ok(0);
            }
            self.is_over.set(true);
            return Err(io::Error::other("the limit of bytes"));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let read = self
            .inner
            .read(buffer.get_mut(..most).unwrap_or_default())?;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Unpacks a tar stream into a directory, which is empty and that nobody else can write to. Fails
/// unless everything is there that the first member names.
///
/// # Errors
/// As for [`import`].
pub fn unpack(tar: impl Read, into: &Path, limits: ImportLimits) -> Result<(), ImportError> {
    unpack_counted(tar, into, limits).map(drop)
}

fn unpack_counted(
    tar: impl Read,
    into: &Path,
    limits: ImportLimits,
) -> Result<Manifest, ImportError> {
    let is_over = Rc::new(Cell::new(false));
    let mut limited = Limited {
        inner: tar,
        left: limits.bytes,
        is_over: Rc::clone(&is_over),
    };
    unpack_all(&mut limited, into, limits).map_err(|error| match error {
        ImportError::Damaged(_) if is_over.get() => ImportError::Large {
            limit: limits.bytes,
        },
        error => error,
    })
}

/// The number of members so far, and their bytes.
#[derive(Default)]
struct Counts {
    directories: u64,
    files: u64,
    bytes: u64,
}

fn unpack_all(
    tar: &mut impl Read,
    into: &Path,
    limits: ImportLimits,
) -> Result<Manifest, ImportError> {
    let mut counts = Counts::default();
    let mut manifest: Option<Manifest> = None;
    let mut long_name: Option<Vec<u8>> = None;
    let mut archive = tar::Archive::new(&mut *tar);
    let entries = archive.entries().map_err(ImportError::Damaged)?;
    for entry in entries.raw(true) {
        let mut entry = entry.map_err(ImportError::Damaged)?;
        let kind = entry.header().entry_type();
        if kind == EntryType::GNULongName {
            long_name = Some(read_name(&mut entry)?);
            continue;
        }
        let name = match long_name.take() {
            Some(name) => name,
            None => entry.header().path_bytes().into_owned(),
        };
        let shown = || String::from_utf8_lossy(&name).into_owned();
        let Some(manifest) = &manifest else {
            manifest = Some(read_manifest(&name, kind, &mut entry)?);
            continue;
        };
        let path = path_in(&manifest.job, &name)?;
        let path = into.join(path);
        match kind {
            EntryType::Directory => {
                let mut builder = std::fs::DirBuilder::new();
                let made = builder.mode(READABLE).create(&path);
                made.map_err(|error| not_made(error, &path, shown()))?;
                counts.directories += 1;
            }
            EntryType::Regular => {
                let changed = entry.header().mtime().unwrap_or(0);
                let file = create_file(&path);
                let file = file.map_err(|error| not_made(error, &path, shown()))?;
                counts.bytes += write_file(file, &path, &mut entry, changed)?;
                counts.files += 1;
            }
            other => {
                return Err(ImportError::Kind {
                    name: shown(),
                    kind: kind_name(other),
                });
            }
        }
        if counts.directories + counts.files > limits.members {
            return Err(ImportError::Many {
                limit: limits.members,
            });
        }
    }
    // To the end of the compressed data, which has their checksum.
    let mut rest = [0; 4096];
    while tar.read(&mut rest).map_err(ImportError::Damaged)? > 0 {}
    let Some(manifest) = manifest else {
        return Err(ImportError::Foreign("it is empty".to_owned()));
    };
    let in_words = |directories, files, bytes| {
        format!("{files} files, {directories} directories and {bytes} bytes")
    };
    let found = (counts.directories, counts.files, counts.bytes);
    if found != (manifest.directories, manifest.files, manifest.bytes) {
        let Counts {
            directories,
            files,
            bytes,
        } = counts;
        return Err(ImportError::Incomplete {
            expected: in_words(manifest.directories, manifest.files, manifest.bytes),
            found: in_words(directories, files, bytes),
        });
    }
    Ok(manifest)
}

/// Reads the name of the next member, which is too long for its header.
fn read_name(entry: &mut impl Read) -> Result<Vec<u8>, ImportError> {
    let mut name = Vec::new();
    let mut limited = entry.take(LONGEST_PATH + 1);
    limited
        .read_to_end(&mut name)
        .map_err(ImportError::Damaged)?;
    if name.len() as u64 > LONGEST_PATH {
        return Err(ImportError::Name {
            name: String::from_utf8_lossy(&name).into_owned(),
            why: "is longer than any path",
        });
    }
    // Ends with a zero byte.
    let end = name.iter().position(|byte| *byte == 0);
    name.truncate(end.unwrap_or(name.len()));
    Ok(name)
}

fn read_manifest(
    name: &[u8],
    kind: EntryType,
    entry: &mut impl Read,
) -> Result<Manifest, ImportError> {
    let foreign = |why: &str| ImportError::Foreign(why.to_owned());
    if name != MANIFEST.as_bytes() || kind != EntryType::Regular {
        return Err(foreign(&format!("its first member is not `{MANIFEST}`")));
    }
    let mut text = Vec::new();
    let mut limited = entry.take(LONGEST_MANIFEST);
    limited
        .read_to_end(&mut text)
        .map_err(ImportError::Damaged)?;
    /// The part of the first member that every format has.
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let format = serde_json::from_slice::<Format>(&text);
    match format {
        Ok(Format { format }) if format != ARCHIVE_FORMAT => {
            return Err(ImportError::Format(format));
        }
        Ok(_) => {}
        Err(error) => return Err(foreign(&format!("`{MANIFEST}`: {error}"))),
    }
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| foreign(&format!("`{MANIFEST}`: {error}")))?;
    if !manifest.job.starts_with(PREFIX) || !is_artifact_name(&manifest.job) {
        return Err(ImportError::Name {
            name: manifest.job,
            why: "is not that of a job's directory",
        });
    }
    Ok(manifest)
}

/// The path of a member in the directory of its job.
fn path_in(job: &str, name: &[u8]) -> Result<PathBuf, ImportError> {
    let refuse = |why| {
        Err(ImportError::Name {
            name: String::from_utf8_lossy(name).into_owned(),
            why,
        })
    };
    if name.contains(&0) {
        return refuse("has a zero byte");
    }
    let path = Path::new(std::ffi::OsStr::from_bytes(name));
    let mut components = path.components();
    for component in path.components() {
        match component {
            Component::Normal(_) => {}
            Component::RootDir | Component::Prefix(_) => {
                return refuse("is an absolute path");
            }
            Component::ParentDir | Component::CurDir => {
                return refuse("leads out of the job's directory");
            }
        }
    }
    if components.next().map(Component::as_os_str) != Some(job.as_ref()) {
        return refuse("is not in the directory of the job");
    }
    let inside = components.as_path();
    if inside.as_os_str().is_empty() {
        return refuse("is that of the job's directory itself");
    }
    Ok(inside.to_path_buf())
}

/// Why a file or directory could not be made.
fn not_made(error: io::Error, path: &Path, name: String) -> ImportError {
    use io::ErrorKind::{AlreadyExists, InvalidFilename, NotADirectory, NotFound};
    let why = match error.kind() {
        AlreadyExists => "comes twice",
        NotFound | NotADirectory => "is in no directory of the archive",
        InvalidFilename => "is longer than any file name",
        _ => return writing(path)(error),
    };
    ImportError::Name { name, why }
}

/// Writes a new file. Returns its size.
fn write_file(
    mut file: File,
    path: &Path,
    entry: &mut impl Read,
    changed: u64,
) -> Result<u64, ImportError> {
    let failed = writing(path);
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        // An error of its own: a full disk says nothing about the archive.
        let read = entry.read(&mut buffer).map_err(ImportError::Damaged)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        file.write_all(bytes).map_err(&failed)?;
        size += read as u64;
    }
    // The host sorts jobs by the time of their journals' last change.
    let changed = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(changed));
    if let Some(changed) = changed {
        let _ = file.set_modified(changed);
    }
    Ok(size)
}

/// What a member is, for people.
const fn kind_name(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Symlink => "a symbolic link",
        EntryType::Link => "a hard link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a named pipe",
        EntryType::GNUSparse => "a sparse file",
        _ => "something unknown",
    }
}

#[cfg(test)]
mod tests;

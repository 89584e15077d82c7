//! Owns the writing of an archive of a job: a tar in gzip, which every machine's `tar` reads. Does
//! not know how an archive is read.
//!
//! The first member says what the archive has, so that a reader notices what is missing. Links,
//! pipes and devices that tests have left are not written: nobody could say where they lead
//! elsewhere. All files get one mode and one owner.

use std::fs::{File, Metadata, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use persea_journal::FILE_NAME;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::record::JobRecord;
use crate::{ARCHIVE_FORMAT, IMPORTED, MANIFEST};

/// What the first member of an archive says of the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The format of the archive.
    pub(crate) format: u32,
    /// The name of the job's directory.
    pub(crate) job: String,
    /// The job's id.
    pub(crate) id: String,
    /// The number of directories.
    pub(crate) directories: u64,
    /// The number of files.
    pub(crate) files: u64,
    /// The size of all files together, in bytes.
    pub(crate) bytes: u64,
}

/// What an archive has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The number of files.
    pub files: u64,
    /// Their size together, in bytes.
    pub bytes: u64,
    /// The number of links, pipes, sockets and devices that were left out.
    pub left_out: u64,
    /// The files that were left out because they cannot be read, relative to the job's directory.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Why a job cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A host works on the job, so its files change.
    #[error("the job in {} is still running", path.display())]
    Running {
        /// The job's directory.
        path: PathBuf,
    },
    /// The journal does not say which job this is.
    #[error("{}: the journal has no job id", path.display())]
    NoId {
        /// The job's directory.
        path: PathBuf,
    },
    /// A file of the job cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("cannot write the archive: {0}")]
    Write(#[source] io::Error),
}

/// The mode of files in an archive.
const FILE_MODE: u32 = 0o644;

/// The mode of directories in an archive.
const DIRECTORY_MODE: u32 = 0o755;

/// What the host can make again, or removes itself: links by status, files of running tests, and
/// the name of the archive that the job itself comes from.
const NOT_EXPORTED: [&str; 3] = ["test-results/by-status", ".running", IMPORTED];

/// A member of an archive.
struct Member {
    /// The path in the job's directory.
    path: PathBuf,
    /// The open file; none for a directory.
    file: Option<PathBuf>,
    size: u64,
    /// The time of the last change, in seconds of Unix time.
    changed: u64,
}

/// Writes the archive of a job. `directory` is the job's directory: a path without links. No host
/// can resume the job meanwhile; to others it looks as if it ran.
///
/// # Errors
/// The job runs, a directory cannot be read, a file shrinks while it is read, or the archive cannot
/// be written.
pub fn export(directory: &Path, out: impl Write) -> Result<Exported, ExportError> {
    let _lock = lock(directory)?;
    let record = JobRecord::read(directory);
    let name = directory.file_name().and_then(|name| name.to_str());
    let (false, Some(name)) = (record.id.is_empty(), name) else {
        return Err(ExportError::NoId {
            path: directory.to_path_buf(),
        });
    };
    let mut exported = Exported::default();
    let members = members(directory, &mut exported)?;
    let files = members.iter().filter(|member| member.file.is_some());
    let manifest = Manifest {
        format: ARCHIVE_FORMAT,
        job: name.to_owned(),
        id: record.id,
        directories: (members.len() - files.clone().count()) as u64,
        files: files.clone().count() as u64,
        bytes: files.map(|member| member.size).sum(),
    };
    (exported.files, exported.bytes) = (manifest.files, manifest.bytes);
    let manifest = serde_json::to_vec(&manifest);
    let manifest = manifest.map_err(|error| ExportError::Write(error.into()))?;
    let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::default()));
    let mut header = header(
        FILE_MODE,
        manifest.len() as u64,
        record.started / 1_000_000_000,
    );
    archive
        .append_data(&mut header, MANIFEST, manifest.as_slice())
        .map_err(ExportError::Write)?;
    for member in &members {
        append(&mut archive, Path::new(name), member)?;
    }
    let finished = archive.into_inner().and_then(GzEncoder::finish);
    let flushed = finished.and_then(|mut out| out.flush());
    flushed.map_err(ExportError::Write)?;
    Ok(exported)
}

/// Takes the shared lock of a job's journal: no host can begin to work on the job as long as the
/// file is open, and others can export it as well. On a file system without locks nobody is kept
/// out, as when jobs run.
fn lock(directory: &Path) -> Result<File, ExportError> {
    let path = directory.join(FILE_NAME);
    let (journal, _) = open(&path).map_err(|source| ExportError::Read { path, source })?;
    match journal.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Err(ExportError::Running {
            path: directory.to_path_buf(),
        }),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(journal),
    }
}

fn header(mode: u32, size: u64, changed: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(changed);
    header
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    name: &Path,
    member: &Member,
) -> Result<(), ExportError> {
    let path = name.join(&member.path);
    let Some(file) = &member.file else {
        let mut header = header(DIRECTORY_MODE, 0, member.changed);
        header.set_entry_type(tar::EntryType::Directory);
        let appended = archive.append_data(&mut header, path, io::empty());
        return appended.map_err(ExportError::Write);
    };
    let failed = |source| ExportError::Read {
        path: file.clone(),
        source,
    };
    let (open, meta) = open(file).map_err(failed)?;
    if meta.len() != member.size {
        return Err(failed(io::Error::other("its size has changed meanwhile")));
    }
    let mut header = header(FILE_MODE, member.size, member.changed);
    let mut content = Content {
        file: open.take(member.size),
        failure: None,
    };
    let appended = archive.append_data(&mut header, path, &mut content);
    match content.failure {
        Some(failure) => Err(failed(failure)),
        None => appended.map_err(ExportError::Write),
    }
}

/// The bytes of a file up to the size that the archive says; what a file has grown by is left out.
struct Content {
    file: io::Take<File>,
    /// Why the file could not be read to that size. Kept apart from errors of the archive.
    failure: Option<io::Error>,
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let error = match self.file.read(buffer) {
            Ok(0) if self.file.limit() > 0 && !buffer.is_empty() => {
                io::Error::other("its size has changed meanwhile")
            }
            Err(error) if error.kind() != io::ErrorKind::Interrupted => error,
            read => return read,
        };
        let kind = error.kind();
        self.failure = Some(error);
        Err(kind.into())
    }
}

/// Opens an ordinary file, and no link, without blocking on a pipe.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let mut options = File::options();
    let options = options.read(true).custom_flags(flags.cast_signed());
    let file = options.open(path)?;
    let meta = file.metadata()?;
    match meta.is_file() {
        true => Ok((file, meta)),
        false => Err(io::Error::other("it is not an ordinary file")),
    }
}

/// Everything in a job's directory that is exported: each directory before what is in it, sorted by
/// name, the files of the job before those of its tests.
fn members(directory: &Path, exported: &mut Exported) -> Result<Vec<Member>, ExportError> {
    let mut members = Vec::new();
    let mut below = vec![PathBuf::new()];
    while let Some(inside) = below.pop() {
        let path = directory.join(&inside);
        let failed = |source| ExportError::Read {
            path: path.clone(),
            source,
        };
        let entries = std::fs::read_dir(&path).map_err(failed)?;
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(failed)?.file_name());
        }
        names.sort();
        let mut directories = Vec::new();
        for name in names {
            let inside = inside.join(&name);
            if NOT_EXPORTED.iter().any(|it| Path::new(it) == inside) {
                continue;
            }
            let path = directory.join(&inside);
            let meta = match std::fs::symlink_metadata(&path) {
                Ok(meta) => meta,
                Err(error) => {
                    exported.unreadable.push((inside, error.to_string()));
                    continue;
                }
            };
            let changed = meta.mtime().try_into().unwrap_or(0);
            if meta.is_dir() {
                directories.push(inside.clone());
                members.push(Member {
                    path: inside,
                    file: None,
                    size: 0,
                    changed,
                });
            } else if !meta.is_file() {
                exported.left_out += 1;
            } else if let Err(error) = open(&path) {
                exported.unreadable.push((inside, error.to_string()));
            } else {
                members.push(Member {
                    path: inside,
                    file: Some(path),
                    size: meta.len(),
                    changed,
                });
            }
        }
        below.extend(directories.into_iter().rev());
    }
    Ok(members)
}

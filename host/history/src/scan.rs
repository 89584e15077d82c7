//! Owns which directories in a results directory are those of jobs, and how a change of a journal
//! is noticed. Does not read journals.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use persea_journal::FILE_NAME;

/// The prefix of the names of jobs' directories.
pub(crate) const PREFIX: &str = "job-";

/// Identifies one state of a journal file. ctime, because a change of the mode counts too: a
/// journal becomes readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) size: i64,
    /// The time of the last change, in nanoseconds of Unix time.
    pub(crate) changed: i64,
    pub(crate) inode: i64,
}

impl Signature {
    fn of(meta: &Metadata) -> Self {
        let seconds = meta.ctime().saturating_mul(1_000_000_000);
        Self {
            size: meta.size().cast_signed(),
            changed: seconds.saturating_add(meta.ctime_nsec()),
            inode: meta.ino().cast_signed(),
        }
    }
}

/// Signature of the journal in a job's directory; none for anything else, also for a link such as
/// `latest`, whose target is listed itself.
///
/// # Errors
/// Something is there, and nobody can tell whether it is a job: its directory cannot be searched,
/// for example.
pub(crate) fn signature(directory: &Path) -> io::Result<Option<Signature>> {
    if !metadata(directory)?.is_some_and(|meta| meta.is_dir()) {
        return Ok(None);
    }
    let journal = metadata(&directory.join(FILE_NAME))?;
    let journal = journal.filter(Metadata::is_file);
    Ok(journal.as_ref().map(Signature::of))
}

/// The metadata of a path, whose last component is not followed if it is a link; none if nothing is
/// there.
fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match std::fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a path is the directory of a job: it has the name of one, is no link, and has a journal.
pub fn is_job_directory(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let has_journal = || signature(path).is_ok_and(|signature| signature.is_some());
    name.is_some_and(|name| name.starts_with(PREFIX)) && has_journal()
}

/// The jobs of a results directory, by the names of their directories.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    pub(crate) readable: BTreeMap<String, Signature>,
    /// What has the name of a job and cannot be looked into, with the reason.
    pub(crate) unreadable: BTreeMap<String, io::Error>,
}

/// The jobs in a results directory. Names that are not UTF-8 are no jobs: no host makes them.
///
/// # Errors
/// The directory exists, and cannot be read.
pub(crate) fn jobs_in(root: &Path) -> io::Result<Jobs> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Jobs::default()),
        entries => entries?,
    };
    let mut jobs = Jobs::default();
    for entry in entries {
        let name = entry?.file_name().into_string();
        let Some(name) = name.ok().filter(|name| name.starts_with(PREFIX)) else {
            continue;
        };
        match signature(&root.join(&name)) {
            Ok(None) => {}
            Ok(Some(signature)) => {
                jobs.readable.insert(name, signature);
            }
            Err(error) => {
                jobs.unreadable.insert(name, error);
            }
        }
    }
    Ok(jobs)
}

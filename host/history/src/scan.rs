//! Owns which directories in a results directory are those of jobs, and how a change of a journal
//! is noticed. Does not read journals.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use persea_journal::FILE_NAME;

/// The prefix of the names of jobs' directories.
const PREFIX: &str = "job-";

/// What tells one state of a journal from another. The time is that of the last change of the file
/// or of its mode: a journal that could not be read is read again once it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) size: i64,
    /// The time of the last change, in nanoseconds of Unix time.
    pub(crate) changed: i64,
    pub(crate) inode: i64,
}

impl Signature {
    fn of(meta: &std::fs::Metadata) -> Self {
        let seconds = meta.ctime().saturating_mul(1_000_000_000);
        Self {
            size: meta.size().cast_signed(),
            changed: seconds.saturating_add(meta.ctime_nsec()),
            inode: meta.ino().cast_signed(),
        }
    }
}

/// The signature of the journal in a directory; none if it is no job's directory. A link is none:
/// the job is listed where it lies.
fn signature(directory: &Path) -> Option<Signature> {
    let meta = std::fs::symlink_metadata(directory).ok()?;
    let journal = std::fs::symlink_metadata(directory.join(FILE_NAME)).ok()?;
    (meta.is_dir() && journal.is_file()).then(|| Signature::of(&journal))
}

/// Whether a path is the directory of a job: it has the name of one, is no link, and has a journal.
pub fn is_job_directory(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(PREFIX)) && signature(path).is_some()
}

/// The jobs in a results directory by the names of their directories. Names that are not UTF-8 are
/// no jobs: no host makes them.
///
/// # Errors
/// The directory exists, and cannot be read.
pub(crate) fn jobs_in(root: &Path) -> io::Result<BTreeMap<String, Signature>> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries?,
    };
    let mut jobs = BTreeMap::new();
    for entry in entries {
        let name = entry?.file_name().into_string();
        let Some(name) = name.ok().filter(|name| name.starts_with(PREFIX)) else {
            continue;
        };
        if let Some(signature) = signature(&root.join(&name)) {
            jobs.insert(name, signature);
        }
    }
    Ok(jobs)
}

//! Owns which jobs are too many or too old, and their removal. Does not know whether a job has left
//! something that must be released: the caller does.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use persea_journal::FILE_NAME;
use persea_system::bounded_read;
use persea_system::directory_handle::DirectoryHandle;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::geteuid;

use crate::index::JobEntry;
use crate::scan::is_job_directory;

/// The prefix of a job's directory that is being removed: it is no job any more.
const REMOVED: &str = ".pruned-";

/// The prefix of the directory of a job that is being imported.
pub(crate) const STAGING: &str = ".import-";

/// Which jobs stay. A job goes only if every rule that is set lets it go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The number of newest jobs that stay.
    pub keep: Option<usize>,
    /// The age up to which jobs stay.
    pub older_than: Option<Duration>,
}

/// Why a job stays that the rules would let go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The link `latest` leads to it.
    Latest,
    /// A host works on it.
    Running,
    /// It belongs to another user.
    Foreign,
    /// Its journal and its file `id` do not say that it is a job's directory.
    NotAJob,
    /// The caller has a reason.
    Reason(String),
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Latest => "it is the latest job",
            Self::Running => "it is still running",
            Self::Foreign => "it belongs to another user",
            Self::NotAJob => "its journal and its file `id` are not those of one job",
            Self::Reason(reason) => reason,
        })
    }
}

/// A job that the rules let go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surplus {
    /// The name of the job's directory.
    pub name: String,
    /// Why it stays all the same, if it does.
    pub kept: Option<Kept>,
}

/// Why a job was not removed.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// A host has begun to work on it.
    #[error("the job in {} is still running", path.display())]
    Running {
        /// The job's directory.
        path: PathBuf,
    },
    /// It is no job's directory any more.
    #[error("{} is not the directory of a job", path.display())]
    NotAJob {
        /// The path.
        path: PathBuf,
    },
    /// Something in it cannot be removed.
    #[error("cannot remove {}: {source}", path.display())]
    Remove {
        /// The job's directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The jobs that the rules let go. `jobs` are all jobs of the results directory `root`, the newest
/// first; `now` is in nanoseconds of Unix time; `reason` returns why a job must stay, if it must.
pub fn surplus(
    root: &Path,
    jobs: &[JobEntry],
    rules: Retention,
    now: u64,
    reason: impl Fn(&Path) -> Option<String>,
) -> Vec<Surplus> {
    let latest = std::fs::read_link(root.join("latest")).ok();
    let latest = latest.as_deref().and_then(Path::file_name);
    let is_old = |job: &JobEntry| match rules.older_than {
        Some(age) => u128::from(now.saturating_sub(job.started)) > age.as_nanos(),
        None => true,
    };
    let too_many = jobs.iter().skip(rules.keep.unwrap_or(0));
    let surplus = too_many.filter(|job| is_old(job)).map(|job| {
        let path = root.join(&job.name);
        let kept = || {
            if latest.is_some_and(|latest| *latest == *job.name) {
                return Some(Kept::Latest);
            }
            if !is_of_job(&path, &job.id) {
                return Some(Kept::NotAJob);
            }
            if !is_own(&path) {
                return Some(Kept::Foreign);
            }
            if persea_journal::is_in_use(&path) {
                return Some(Kept::Running);
            }
            reason(&path).map(Kept::Reason)
        };
        Surplus {
            name: job.name.clone(),
            kept: kept(),
        }
    });
    surplus.collect()
}

/// Whether a directory is that of the job with this id.
fn is_of_job(path: &Path, id: &str) -> bool {
    let written = bounded_read::text(&path.join("id"), bounded_read::MAX_SMALL_FILE);
    is_job_directory(path) && !id.is_empty() && written.is_ok_and(|written| written.trim() == id)
}

fn is_own(path: &Path) -> bool {
    let meta = std::fs::symlink_metadata(path);
    meta.is_ok_and(|meta| meta.uid() == geteuid().as_raw())
}

/// The space that a directory takes, in bytes. Follows no link. What cannot be read counts nothing.
pub fn size_of(directory: &Path) -> u64 {
    let mut size = 0;
    let mut below = vec![directory.to_path_buf()];
    while let Some(path) = below.pop() {
        let Ok(meta) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        size += meta.blocks() * 512;
        if meta.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            below.extend(entries.map(|entry| entry.path()));
        }
    }
    size
}

/// Removes the directory of the job `name` in a results directory. The directory is renamed first,
/// so nobody finds half a job. No host can begin to work on it meanwhile.
///
/// # Errors
/// A host works on the job, or something cannot be removed.
pub fn remove(root: &Path, name: &str) -> Result<(), PruneError> {
    let path = root.join(name);
    let failed = |source| PruneError::Remove {
        path: path.clone(),
        source,
    };
    if !is_job_directory(&path) {
        return Err(PruneError::NotAJob { path });
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = File::options();
    let journal = options.read(true).custom_flags(flags);
    let journal = journal.open(path.join(FILE_NAME)).map_err(failed)?;
    // On a file system without locks nobody is kept out, as when jobs run.
    if matches!(journal.try_lock(), Err(std::fs::TryLockError::WouldBlock)) {
        return Err(PruneError::Running { path });
    }
    let removed = format!("{REMOVED}{name}");
    let all = DirectoryHandle::open(root).map_err(failed)?;
    // An earlier removal may have been killed.
    all.remove(&removed).map_err(failed)?;
    all.rename(name, &all, &removed).map_err(failed)?;
    all.remove(&removed).map_err(failed)
}

/// Removes what a killed removal or import has left in a results directory. Returns the number of
/// directories.
pub fn remove_leftovers(root: &Path) -> usize {
    let Ok(all) = DirectoryHandle::open(root) else {
        return 0;
    };
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let left = names.filter(|name| {
        let path = root.join(name);
        let is_left = name.starts_with(REMOVED) || name.starts_with(STAGING);
        is_left && path.is_dir() && is_own(&path) && !is_locked(&path)
    });
    let left: Vec<String> = left.collect();
    left.iter().filter(|name| all.remove(name).is_ok()).count()
}

/// Whether another process has a directory, or the journal in it, locked.
fn is_locked(directory: &Path) -> bool {
    let open = |path: &Path| File::open(path).ok();
    let files = [directory.to_path_buf(), directory.join(FILE_NAME)];
    let mut files = files.iter().filter_map(|path| open(path));
    files.any(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::os::unix::fs::symlink;

    const DAY: u64 = 24 * 60 * 60 * 1_000_000_000;

    /// A results directory with jobs of these ages in days, the newest first.
    fn root(ages: &[u64]) -> (tempfile::TempDir, Vec<JobEntry>) {
        let root = tempfile::tempdir().unwrap();
        let jobs = ages.iter().enumerate().map(|(at, age)| {
            let name = format!("job-{at}");
            let id = format!("{at:040}");
            let path = root.path().join(&name);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("id"), format!("{id}\n")).unwrap();
            std::fs::write(path.join(FILE_NAME), "").unwrap();
            JobEntry {
                name,
                id,
                started: 100 * DAY - age * DAY,
                elapsed: None,
                interrupted_by: None,
                total: 0,
                tally: persea_model::Tally::default(),
                flaky: 0,
                project: String::new(),
                revision: None,
                fault: None,
            }
        });
        let jobs = jobs.collect();
        (root, jobs)
    }

    fn names(root: &Path, jobs: &[JobEntry], rules: Retention) -> Vec<String> {
        let surplus = surplus(root, jobs, rules, 100 * DAY, |_| None);
        let gone = surplus.into_iter().filter(|it| it.kept.is_none());
        gone.map(|it| it.name).collect()
    }

    #[test]
    fn job_goes_only_if_each_rule_lets_it_go() {
        let (root, jobs) = root(&[0, 1, 5, 10, 20]);
        let days = |days: u64| Some(Duration::from_nanos(days * DAY));
        for (keep, older_than, expected) in [
            (Some(3), None, &["job-3", "job-4"][..]),
            (None, days(5), &["job-3", "job-4"]),
            (Some(4), days(5), &["job-4"]),
            (Some(1), days(15), &["job-4"]),
            (Some(9), None, &[]),
            (Some(0), days(0), &["job-1", "job-2", "job-3", "job-4"]),
        ] {
            let rules = Retention { keep, older_than };
            assert_eq!(names(root.path(), &jobs, rules), expected, "{rules:?}");
        }
    }

    #[test]
    fn what_is_not_surely_an_own_idle_job_stays() {
        let (root, mut jobs) = root(&[1, 2, 3, 4, 5, 6]);
        let path = |name: &str| root.path().join(name);
        let all = Retention {
            keep: Some(0),
            older_than: None,
        };
        symlink("job-0", path("latest")).unwrap();
        let lock = File::open(path("job-1/events.jsonl")).unwrap();
        lock.lock().unwrap();
        std::fs::write(path("job-2/id"), "another").unwrap();
        std::fs::rename(path("job-3"), path("elsewhere")).unwrap();
        symlink("elsewhere", path("job-3")).unwrap();
        jobs[4].id.clear();
        let kept = |job: &Path| job.ends_with("job-5").then(|| "so it is".to_owned());
        let surplus = surplus(root.path(), &jobs, all, 100 * DAY, kept);
        let kept: Vec<Kept> = surplus.into_iter().map(|it| it.kept.unwrap()).collect();
        let expected = [
            Kept::Latest,
            Kept::Running,
            Kept::NotAJob,
            Kept::NotAJob,
            Kept::NotAJob,
            Kept::Reason("so it is".to_owned()),
        ];
        assert_eq!(kept, expected);
        let running = remove(root.path(), "job-1");
        assert!(matches!(running, Err(PruneError::Running { .. })));
        let link = remove(root.path(), "job-3");
        assert!(matches!(link, Err(PruneError::NotAJob { .. })));
        assert!(path("job-1/id").exists() && path("elsewhere/id").exists());
    }

    #[test]
    fn removal_follows_no_link_and_leaves_no_half_job() {
        let (root, _) = root(&[1, 2]);
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("file"), "kept").unwrap();
        symlink(outside.path(), root.path().join("job-0/link")).unwrap();
        remove(root.path(), "job-0").unwrap();
        assert!(outside.path().join("file").exists());
        // A removal that was killed, an import that was, and one that goes on.
        let names = [".pruned-job-9", ".import-1", ".import-2"];
        for name in names {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        let held = File::open(root.path().join(".import-2")).unwrap();
        flock(&held, FlockOperation::LockExclusive).unwrap();
        assert_eq!(remove_leftovers(root.path()), 2);
        let mut left: Vec<_> = std::fs::read_dir(root.path()).unwrap().collect();
        left.sort_by_key(|it| it.as_ref().unwrap().file_name());
        let left = left.into_iter().map(|it| it.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), [".import-2", "job-1"]);
    }

    #[test]
    fn size_counts_each_file_once_and_no_target_of_a_link() {
        let (root, _) = root(&[1]);
        let job = root.path().join("job-0");
        let before = size_of(&job);
        std::fs::write(job.join("large"), vec![1; 1 << 20]).unwrap();
        symlink(job.join("large"), job.join("link")).unwrap();
        let more = size_of(&job) - before;
        assert!((1 << 20..1 << 21).contains(&more), "{more}");
    }
}

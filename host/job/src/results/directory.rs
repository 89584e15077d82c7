//! Owns a job's directory of results: where it is, how it is named, and the link to the latest. The
//! layout is Avocado's.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::process::geteuid;

use crate::plan::planner::Plan;
use crate::results::recycled::RecycledDirectories;
use persea_config::settings;
use persea_config::{Config, UserDirs};
use persea_display::JobView;
use persea_model::names::TEST_RESULTS;
use persea_model::{JobId, Status, Task, TaskIndex};
use persea_system::directory_handle::DirectoryHandle;
use persea_system::private::{READABLE, create_directory, create_file};

/// The directory for the files of requirements.
pub(crate) const DEPENDENCIES: &str = "dependencies";

/// The directory for the files of tests while they run in sandboxes.
pub(crate) const RUNNING: &str = ".running";

/// The prefix of the names of jobs' directories.
const PREFIX: &str = "job-";

/// The directory for links to tests by status.
const BY_STATUS: &str = "by-status";

/// A directory of results cannot be made or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write results to {}: {source}{}", path.display(), way_out(source))]
pub struct DirectoryError {
    /// The path that could not be made.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

fn way_out(error: &io::Error) -> &'static str {
    match persea_system::ulimit::hint(error) {
        "" => "; choose another place with `--results-dir DIR`",
        limit => limit,
    }
}

/// The directory of one job.
#[derive(Clone, Debug)]
pub struct JobDirectory {
    path: PathBuf,
    test_results: Arc<Section>,
}

/// A directory of a job in which the tests, or the requirements, have their own. It is made when it
/// is needed and then kept open, so that the host's later work there reaches this very directory,
/// whatever tests do to its name.
#[derive(Debug)]
pub(crate) struct Section {
    path: PathBuf,
    reused: bool,
    handle: OnceLock<DirectoryHandle>,
    recycled: RecycledDirectories,
}

impl Section {
    /// The section of the tests.
    pub(crate) fn of_tests(job: &Path) -> Arc<Self> {
        Self::new(job.join(TEST_RESULTS), false)
    }

    /// The section of the requirements. A release uses the directory of its `fulfil` again.
    pub(crate) fn of_requirements(job: &Path) -> Arc<Self> {
        Self::new(job.join(DEPENDENCIES), true)
    }

    fn new(path: PathBuf, reused: bool) -> Arc<Self> {
        Arc::new(Self {
            path,
            reused,
            handle: OnceLock::new(),
            recycled: RecycledDirectories::default(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_reused(&self) -> bool {
        self.reused
    }

    pub(crate) fn handle(&self) -> io::Result<&DirectoryHandle> {
        if let Some(handle) = self.handle.get() {
            return Ok(handle);
        }
        create_directory(&self.path, READABLE)?;
        let handle = DirectoryHandle::open(&self.path)?;
        Ok(self.handle.get_or_init(|| handle))
    }

    /// Makes the directory. Where tests run as root in sandboxes only root can enter it: a program
    /// that they leave there with a set-user-id bit or file capabilities is useless to other users.
    pub(crate) fn restrict_to_owner(&self) -> io::Result<()> {
        let handle = self.handle()?;
        match geteuid().is_root() {
            true => handle.restrict_to_owner(),
            false => Ok(()),
        }
    }

    /// The directories of tests that have left nothing.
    pub(crate) fn recycled(&self) -> &RecycledDirectories {
        &self.recycled
    }

    /// Removes the recycled directories that were not used again.
    pub(crate) fn tidy(&self) {
        if let Some(handle) = self.handle.get() {
            self.recycled.clear(handle);
        }
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        self.tidy();
    }
}

/// The display's view of a job.
pub(crate) struct PlanView {
    pub(crate) plan: Arc<Plan>,
    pub(crate) test_results: Arc<Section>,
}

impl JobView for PlanView {
    fn task(&self, index: TaskIndex) -> Option<&Task> {
        self.plan.entry(index).map(|entry| &entry.task)
    }

    fn file(&self, directory: &str, name: &str) -> io::Result<File> {
        self.test_results
            .handle()?
            .open_directory(directory)?
            .open_file(name)
    }
}

/// The directory in which the directories of jobs are made.
pub fn results_root(config: &Config, dirs: &UserDirs) -> PathBuf {
    config
        .get(settings::RUN_RESULTS_DIR)
        .map_or_else(|| default_results(dirs), PathBuf::from)
}

/// The default of [`results_root`].
pub fn default_results(dirs: &UserDirs) -> PathBuf {
    dirs.home.join("persea/job-results")
}

impl JobDirectory {
    /// Makes `job-<time>-<first digits of the id>` below `root`, with what every job has in it.
    pub(crate) fn create(root: &Path, id: &JobId) -> Result<Self, DirectoryError> {
        let failed = |path: &Path, source| DirectoryError {
            path: path.to_path_buf(),
            source,
        };
        create_directory(root, READABLE).map_err(|error| failed(root, error))?;
        let root = root.canonicalize().map_err(|error| failed(root, error))?;
        // The journal, reports and variables of tests hold paths as text.
        if root.to_str().is_none() {
            let why = "the path is not UTF-8, and reports could not name what is in it";
            return Err(failed(
                &root,
                io::Error::new(io::ErrorKind::InvalidInput, why),
            ));
        }
        let time = persea_journal::date_and_time().to_zoned(persea_journal::time_zone());
        let time = time.strftime("%Y-%m-%dT%H.%M");
        let mut path = PathBuf::new();
        // More digits where a directory of that name exists.
        for digits in 7..=40 {
            path = root.join(format!("{PREFIX}{time}-{}", id.short(digits)));
            let made = std::fs::DirBuilder::new().mode(READABLE).create(&path);
            match made {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && digits < 40 => {}
                Err(error) => return Err(failed(&path, error)),
            }
        }
        let test_results = Section::of_tests(&path);
        let directory = Self { path, test_results };
        let id_file = directory.path.join("id");
        let written = create_file(&id_file).and_then(|mut file| writeln!(file, "{id}"));
        written.map_err(|error| failed(&id_file, error))?;
        let results = &directory.test_results;
        let made = results.handle().map(drop);
        made.map_err(|error| failed(results.path(), error))?;
        directory.point_latest(&root);
        Ok(directory)
    }

    /// Opens the directory of a job whose host has ended, which is an absolute path without links.
    pub(crate) fn reopen(path: &Path) -> Result<Self, DirectoryError> {
        let test_results = Section::of_tests(path);
        let failed = |source| DirectoryError {
            path: path.to_path_buf(),
            source,
        };
        test_results.handle().map(drop).map_err(failed)?;
        let directory = Self {
            path: path.to_path_buf(),
            test_results,
        };
        if let Some(root) = path.parent() {
            // A host that was killed while it made the link has left it.
            let _ = std::fs::remove_file(root.join(format!(".latest-{}", directory.name())));
            directory.point_latest(root);
        }
        Ok(directory)
    }

    fn point_latest(&self, root: &Path) {
        if let Err(error) = self.make_latest(root) {
            tracing::warn!(
                "cannot update the link `latest` in {}: {error}",
                root.display()
            );
        }
    }

    /// Points the link `latest` to this job, without a moment in which it is missing. A file or
    /// directory of that name is the user's and is left alone.
    fn make_latest(&self, root: &Path) -> io::Result<()> {
        let Some(name) = self.path.file_name() else {
            return Ok(());
        };
        let latest = root.join("latest");
        if std::fs::symlink_metadata(&latest).is_ok_and(|meta| !meta.is_symlink()) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file or directory of that name is in the way; rename it to get the link",
            ));
        }
        // Named after the job, so that the name is free.
        let new = root.join(format!(".latest-{}", name.to_string_lossy()));
        std::os::unix::fs::symlink(name, &new)?;
        let renamed = std::fs::rename(&new, latest);
        if renamed.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        renamed
    }

    /// The paths that sandboxed tests in `project` must not see: this directory, and those of other
    /// jobs beside it.
    pub(crate) fn not_for_tests(&self, project: &Path) -> Vec<PathBuf> {
        let root = self.path.parent().unwrap_or(&self.path);
        if !project.starts_with(root) {
            return vec![root.to_path_buf()];
        }
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        let jobs = entries.filter(|it| it.file_name().as_bytes().starts_with(PREFIX.as_bytes()));
        jobs.map(|it| it.path())
            .chain([self.path.clone()])
            .collect()
    }

    /// The absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last component of the path.
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    /// The section of the tests.
    pub(crate) fn test_results(&self) -> &Arc<Section> {
        &self.test_results
    }

    /// Creates the job's log, or opens that of an earlier host to add to it.
    pub(crate) fn log(&self) -> Result<File, DirectoryError> {
        let path = self.path.join("job.log");
        let opened = match create_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                File::options().append(true).open(&path)
            }
            created => created,
        };
        opened.map_err(|source| DirectoryError { path, source })
    }

    /// Renames the directory of a test's earlier attempt.
    pub(crate) fn set_aside(&self, directory: &str, name: &str) {
        let renamed = self
            .test_results
            .handle()
            .and_then(|all| all.rename(directory, all, name));
        if let Err(error) = renamed {
            let all = self.test_results.path().display();
            tracing::warn!("cannot rename {directory} in {all}: {error}");
        }
    }

    /// Links a test by its status: `test-results/by-status/<STATUS>/<directory>`. Only for tests
    /// that did not pass: a link costs up to a tenth of a short test.
    pub(crate) fn link_by_status(&self, status: Status, directory: &str) {
        let linked = || {
            let by_status = make_in(self.test_results.handle()?, BY_STATUS)?;
            let same = make_in(&by_status, status.name())?;
            same.create_link(&Path::new("../..").join(directory), directory)
        };
        if let Err(error) = linked() {
            let all = self.test_results.path().display();
            tracing::debug!("no link by status for {directory} in {all}: {error}");
        }
    }
}

/// Opens a directory in another one, and makes it where it is missing.
fn make_in(parent: &DirectoryHandle, name: &str) -> io::Result<DirectoryHandle> {
    match parent.open_directory(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            parent.create_directory(name)?;
            parent.open_directory(name)
        }
        entered => entered,
    }
}

/// Finds the directory of a job by a path, `latest`, or the beginning of its id or of its
/// directory's name.
///
/// # Errors
/// No job or several jobs match.
pub fn find(root: &Path, job: &str) -> Result<PathBuf, String> {
    let direct = Path::new(job);
    if direct.join(persea_journal::FILE_NAME).is_file() {
        return Ok(direct.to_path_buf());
    }
    let below = root.join(job);
    if below.join(persea_journal::FILE_NAME).is_file() {
        return Ok(below);
    }
    let mut found = Vec::new();
    let begins_name = job.starts_with(PREFIX) && job.len() > PREFIX.len();
    if begins_name {
        for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            let is_named = entry.file_name().as_bytes().starts_with(job.as_bytes());
            if is_named && !is_link && path.join(persea_journal::FILE_NAME).is_file() {
                found.push(path);
            }
        }
    }
    if job.len() >= 4 && job.bytes().all(|b| b.is_ascii_hexdigit()) {
        for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if !is_link
                && persea_system::bounded_read::text(
                    &path.join("id"),
                    persea_system::bounded_read::MAX_SMALL_FILE,
                )
                .is_ok_and(|id| id.starts_with(&job.to_ascii_lowercase()))
            {
                found.push(path);
            }
        }
    }
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(format!(
            "no job `{job}`: give the path of a job's directory, `latest`, or at least 4 digits \
             of the id of a job in {}",
            root.display()
        )),
        many if begins_name => Err(format!(
            "`{job}` is the beginning of the names of {} jobs: give more of the name",
            many.len()
        )),
        many => Err(format!(
            "`{job}` is the beginning of the ids of {} jobs: give more digits",
            many.len()
        )),
    }
}

//! `persea release`.

use std::path::Path;
use std::sync::Arc;

use clap::Args;

use super::{Context, Failure, Place, exit, listen, say, warn};
use persea_job as job;
use persea_job::{JobRelease, UnreleasedJobs, results_root};
use persea_model::SpawnerKind;

#[derive(Debug, Args)]
pub(super) struct Release {
    /// The job: its directory, `latest`, or the beginning of its id; without one, all that have left something
    job: Option<String>,
    /// Release also what a job has left that is not known as yours: its journal says which commands that runs
    #[arg(long, requires = "job")]
    trust_journal: bool,
}

impl Release {
    pub(super) async fn run(self, context: &Context) -> Result<u8, Failure> {
        let unreleased = UnreleasedJobs::new(&context.dirs.state);
        let jobs = match &self.job {
            None => unreleased.jobs(),
            Some(job) => {
                let root = results_root(&context.config, &context.dirs);
                let found = job::find(&root, job)
                    .and_then(|job| job.canonicalize().map_err(|error| error.to_string()))
                    .map_err(|error| Failure::new(exit::FAIL, miette::miette!("{error}")))?;
                if !self.trust_journal && !unreleased.has(&found) {
                    refuse_strangers(&found)?;
                }
                vec![found]
            }
        };
        let catalog = context.catalog().await?;
        catalog.load_requirement_resolvers().await;
        let config = Arc::new(context.config.clone());
        let mut code = exit::OK;
        let mut signals = listen()?;
        for directory in jobs {
            if is_elsewhere(&directory) {
                warn(format_args!(
                    "error: {} was run in another project, whose plugins and files it takes to release it: `{}`",
                    directory.display(),
                    release_line(&directory)
                ));
                code = exit::JOB_FAIL;
                continue;
            }
            let Place {
                spawner,
                common,
                outer: _outer,
            } = Place::new(SpawnerKind::Process, context).await?;
            let release = JobRelease {
                config: Arc::clone(&config),
                catalog: Arc::clone(&catalog),
                spawner,
                temp_dir: common,
            };
            let released = tokio::select! {
                biased;
                () = signals.end() => {
                    return Err(Failure::new(exit::INTERRUPTED, miette::miette!("interrupted")));
                }
                released = release.run(&directory, &unreleased) => released,
            };
            let released = released.map_err(|error| Failure::with(exit::JOB_FAIL, error))?;
            for (requirement, done) in released {
                match done {
                    Ok(()) => say(format_args!("requirement {requirement}: released")),
                    Err(why) => {
                        warn(format_args!(
                            "error: requirement {requirement} could not be released: {why}"
                        ));
                        code = exit::JOB_FAIL;
                    }
                }
            }
        }
        Ok(code)
    }
}

/// Whether a job was run in another project than this one.
fn is_elsewhere(job: &Path) -> bool {
    let here = std::env::current_dir().ok();
    job::project_of(job).is_some_and(|project| Some(project) != here)
}

/// What to type here to release a job.
pub(super) fn release_line(job: &Path) -> String {
    let release = format!("persea release {}", quoted(job));
    match job::project_of(job).filter(|_| is_elsewhere(job)) {
        Some(project) => format!("cd {} && {release}", quoted(&project)),
        None => release,
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    match text.chars().all(plain) {
        true => text.into_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// A journal says what is to be run, so not every directory that looks like a job's is one whose journal is followed: only those that jobs of
/// this user have noted down.
fn refuse_strangers(job: &Path) -> Result<(), Failure> {
    let left = job::unreleased_of(job).map_err(|error| Failure::with(exit::JOB_FAIL, error))?;
    if left.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        exit::FAIL,
        miette::miette!(
            help = "`--trust-journal` follows it all the same",
            "{} is not known as a job of yours that has left something, and what its journal says would be run",
            job.display()
        ),
    ))
}

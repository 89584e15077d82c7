//! Owns `persea release`.

use std::path::Path;
use std::sync::Arc;

use clap::Args;

use super::output::{eprint_line, print_line};
use super::session::{SpawnerSession, listen_to_signals};
use super::shell::quoted;
use super::{Context, Failure, exit};
use persea_job as job;
use persea_job::{JobRelease, UnreleasedJobs, results_root};
use persea_model::SpawnerKind;

#[derive(Debug, Args)]
pub(super) struct Release {
    /// The job: its directory, `latest`, or the beginning of its id; by default all jobs with
    /// unreleased requirements
    job: Option<String>,
    /// Also follow the journal of a job that is not known as yours. The journal decides which
    /// commands the release runs
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
        let mut signals = listen_to_signals()?;
        for directory in jobs {
            if is_elsewhere(&directory) {
                eprint_line(format_args!(
                    "error: {} ran in another project, whose plugins and files the release needs: \
                     `{}`",
                    directory.display(),
                    release_line(&directory)
                ));
                code = exit::JOB_FAIL;
                continue;
            }
            // What a job has changed on another host is undone there.
            let mut own = context.config.clone();
            let places = job::places_of(&directory);
            let places = places.map_err(|error| Failure::with(exit::JOB_FAIL, error))?;
            for (name, value) in places.hosts {
                own.set_raw(name, value);
            }
            let SpawnerSession {
                spawners,
                temporary: _temporary,
            } = SpawnerSession::with(&places.spawners, context, &own).await?;
            let release = JobRelease {
                config: Arc::clone(&config),
                catalog: Arc::clone(&catalog),
                spawners,
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
                    Ok(()) => print_line(format_args!("requirement {requirement}: released")),
                    Err(why) => {
                        eprint_line(format_args!(
                            "error: cannot release requirement {requirement}: {why}"
                        ));
                        code = exit::JOB_FAIL;
                    }
                }
            }
        }
        if self.job.is_none() {
            remove_abandoned(context).await;
        }
        Ok(code)
    }
}

/// Removes what killed hosts have left of environments. A spawner that does not work here has left
/// nothing here that could be found.
async fn remove_abandoned(context: &Context) {
    for kind in SpawnerKind::ALL {
        let Ok(session) = SpawnerSession::new(kind, context).await else {
            continue;
        };
        let Ok(spawner) = session.spawners.get(kind) else {
            continue;
        };
        match spawner.remove_abandoned().await {
            Ok(0) => {}
            Ok(removed) => print_line(format_args!(
                "spawner {kind}: removed {removed} containers, images and cgroups of killed jobs"
            )),
            Err(error) => eprint_line(format_args!("warning: {error}")),
        }
    }
}

/// Whether a job ran in another project than this one.
fn is_elsewhere(job: &Path) -> bool {
    let here = std::env::current_dir().ok();
    job::project_of(job).is_some_and(|project| Some(project) != here)
}

/// The command, to be typed in this directory, that releases a job.
pub(super) fn release_line(job: &Path) -> String {
    let release = format!("persea release {}", quoted(&job.to_string_lossy()));
    match job::project_of(job).filter(|_| is_elsewhere(job)) {
        Some(project) => format!("cd {} && {release}", quoted(&project.to_string_lossy())),
        None => release,
    }
}

/// Fails if a job that left something is not noted as this user's. A journal decides which commands
/// a release runs, so anybody could prepare a directory that looks like a job's.
fn refuse_strangers(job: &Path) -> Result<(), Failure> {
    let left = job::unreleased_of(job).map_err(|error| Failure::with(exit::JOB_FAIL, error))?;
    if left.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        exit::FAIL,
        miette::miette!(
            help = "if you trust the commands in its journal: `persea release --trust-journal JOB`",
            "{} is not known as a job of yours with unreleased requirements, and a release runs \
             commands from its journal",
            job.display()
        ),
    ))
}

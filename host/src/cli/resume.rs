//! Owns `persea run --resume`: whether a job can be resumed by this host, and the settings and
//! plugins with which it began. Does not know how a job goes on.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::execution::{JobInput, execute};
use super::release::release_line;
use super::session::listen_to_signals;
use super::{Context, Failure, exit};
use persea_job as job;
use persea_job::{
    CommandPlugins, Resolutions, ResumeError, ResumedJob, Selection, StoredJob, results_root,
};
use persea_journal::{JobStarted, Journal, JournalError, TakeOverData};
use persea_model::{Attribute, Attributes, JobId};
use persea_system::{filesystem, private, process};
use serde_json::Value;

/// Goes on with a job whose host has ended.
pub(super) async fn run(name: &str, mut context: Context) -> Result<u8, Failure> {
    let directory = find("--resume", name, &context)?;
    refuse_strangers("--resume", &directory, &context)?;
    // The former host has ended if its lock is free.
    let journal = Journal::take_over(&directory).map_err(refusal)?;
    let since = Instant::now();
    let stored = StoredJob::read(&directory).map_err(|error| failure(&directory, error))?;
    stored
        .check(env!("CARGO_PKG_VERSION"))
        .map_err(|error| failure(&directory, error))?;
    refuse_elsewhere(&stored, &directory)?;
    let id = JobId::parse(&stored.started().job_id).ok_or_else(|| {
        let error = miette::miette!("{}: the journal has no job id", directory.display());
        Failure::new(exit::FAIL, error)
    })?;
    restore(&mut context, &stored)?;
    let catalog = context.catalog().await?;
    let signals = listen_to_signals()?;
    let input = JobInput {
        id,
        spawners: stored.spawners(&context.config),
        references: stored.started().references.clone(),
        job_file: stored.started().job_file.clone(),
        resolutions: Resolutions::default(),
        // The plan is that of the job.
        selection: Selection::default(),
        resumed: Some(ResumedJob {
            directory,
            journal,
            stored,
            since,
        }),
    };
    Box::pin(execute(context, catalog, input, signals)).await
}

/// The directory of the job that an option names: an absolute path without links.
pub(super) fn find(option: &str, name: &str, context: &Context) -> Result<PathBuf, Failure> {
    let root = results_root(&context.config, &context.dirs);
    let found = job::find(&root, name);
    let real = found.and_then(|job| job.canonicalize().map_err(|error| error.to_string()));
    real.map_err(|why| Failure::new(exit::FAIL, miette::miette!("{option}: {why}")))
}

/// Fails for a job that this user may not have run: its journal decides what runs, and with which
/// settings.
pub(super) fn refuse_strangers(
    option: &str,
    directory: &Path,
    context: &Context,
) -> Result<(), Failure> {
    let root = results_root(&context.config, &context.dirs);
    let is_in_root = root
        .canonicalize()
        .is_ok_and(|root| directory.parent() == Some(&root));
    if !is_in_root {
        let parent = directory.parent().unwrap_or(directory);
        return Err(Failure::new(
            exit::FAIL,
            miette::miette!(
                help = format!(
                    "if the job is yours: `persea run --results-dir {} {option} {}`",
                    parent.display(),
                    directory.display()
                ),
                "the job {} is not in your directory of results, {}, and its journal decides what \
                 runs",
                directory.display(),
                root.display()
            ),
        ));
    }
    if persea_history::is_imported(directory) {
        return Err(Failure::new(
            exit::FAIL,
            miette::miette!(
                help = "name the references: `persea run REFERENCES`, with `--failed JOB` to run \
                        only what failed there",
                "`{option} {}`: the job was imported, and its journal decides what runs",
                directory.display()
            ),
        ));
    }
    let journal = directory.join(persea_journal::FILE_NAME);
    let is_own = [directory, &journal]
        .iter()
        .all(|path| std::fs::symlink_metadata(path).is_ok_and(|it| private::is_own(&it)));
    match is_own {
        true => Ok(()),
        false => Err(Failure::new(
            exit::FAIL,
            miette::miette!(
                help = "run the tests in a new job",
                "`{option} {}`: the job belongs to another user, or others may write to it, \
                 and its journal decides what runs",
                directory.display()
            ),
        )),
    }
}

fn refusal(error: JournalError) -> Failure {
    match error {
        JournalError::Busy { .. } => Failure::new(
            exit::FAIL,
            miette::miette!(
                help = "wait for its end, or end it with Ctrl-C or SIGTERM first",
                "{error}: two hosts never work on one job"
            ),
        ),
        error => Failure::of(error),
    }
}

/// The error for a job that cannot be resumed, with what to type instead.
pub(super) fn failure(directory: &Path, error: ResumeError) -> Failure {
    let name = directory.display();
    let help = match &error {
        ResumeError::Journal(_) => return Failure::of(error),
        ResumeError::NotBegun | ResumeError::OldJournal { .. } => {
            "run the tests in a new job".to_owned()
        }
        ResumeError::Whole { .. } => format!(
            "to run tests that failed again: `persea run --failed {name}`; to write a \
             report again: `persea report {name} --format json`"
        ),
        ResumeError::Version { before, .. } => {
            format!("resume the job with Persea {before}, or run the tests in a new job")
        }
        ResumeError::Plugin(_) => "put the plugin back, or run the tests in a new job".to_owned(),
    };
    let code = match &error {
        ResumeError::Whole { .. } => exit::JOB_FAIL,
        _ => exit::FAIL,
    };
    Failure::new(code, miette::miette!(help = help, "{name}: {error}"))
}

/// Fails for a job of another project.
pub(super) fn refuse_other_project(
    option: &str,
    started: &JobStarted,
    directory: &Path,
) -> Result<(), Failure> {
    let here = std::env::current_dir().map_err(Failure::of)?;
    if Path::new(&started.project_dir) == here {
        return Ok(());
    }
    let (project, job) = (&started.project_dir, directory.display());
    Err(Failure::new(
        exit::FAIL,
        miette::miette!(
            help = format!("cd {project} && persea run {option} {job}"),
            "{job}: the job ran in another project, {project}"
        ),
    ))
}

/// Fails for a job of another project or another machine.
fn refuse_elsewhere(stored: &StoredJob, directory: &Path) -> Result<(), Failure> {
    let started = stored.started();
    let refuse = |help: String, why: String| {
        let name = directory.display();
        Err(Failure::new(
            exit::FAIL,
            miette::miette!(help = help, "{name}: {why}"),
        ))
    };
    if Path::new(&started.job_dir) != directory {
        return refuse(
            format!("move it back to {}", started.job_dir),
            format!(
                "the job's directory was {} and has been moved",
                started.job_dir
            ),
        );
    }
    refuse_other_project("--resume", started, directory)?;
    let machine = process::machine_name();
    let host = stored.host();
    if host.machine != machine && !filesystem::is_of_this_machine(directory) {
        return refuse(
            format!("resume it on {}", host.machine),
            format!(
                "the job ran on the machine {}, this is {machine}, and a lock on this file system \
                 does not tell whether that host still runs",
                host.machine
            ),
        );
    }
    Ok(())
}

/// Takes over the settings and the plugins with which the job began.
fn restore(context: &mut Context, stored: &StoredJob) -> Result<(), Failure> {
    let started = stored.started();
    let Some(data) = &started.take_over else {
        return Ok(());
    };
    let resumed = context.config.resumed(
        recorded(&started.settings),
        &data.origins,
        &data.secret_settings,
    );
    context.config = resumed.map_err(|error| {
        let help = "leave the option out, or run the tests in a new job";
        Failure::new(exit::FAIL, miette::miette!(help = help, "{error}"))
    })?;
    let missing = data.secret_settings.iter();
    if let Some(missing) = missing
        .clone()
        .find(|name| context.config.raw(name).is_none())
    {
        return Err(Failure::new(
            exit::FAIL,
            miette::miette!(
                help = format!("`--set {missing}=…`, as when the job began"),
                "the setting `{missing}` is secret, so the journal does not have it, and it is not \
                 set now"
            ),
        ));
    }
    context.config.check().map_err(Failure::of)?;
    restore_plugins(context, data)
}

/// Adds the plugins of a job's command line to those of this one.
pub(super) fn restore_plugins(context: &mut Context, data: &TakeOverData) -> Result<(), Failure> {
    context.add_command_plugins(CommandPlugins {
        dirs: data.plugin_dirs.clone(),
        grants: data.grants.clone(),
    })
}

/// The settings of a job, as its journal has them.
pub(super) fn recorded(settings: &Attributes) -> impl Iterator<Item = (String, Value)> {
    let value = |value: &Attribute| serde_json::to_value(value).unwrap_or_default();
    settings
        .iter()
        .map(move |(name, setting)| (name.clone(), value(setting)))
}

/// The command, to be typed in this directory, that resumes a job.
pub(super) fn resume_line(job: &Path) -> String {
    release_line(job).replacen("persea release ", "persea run --resume ", 1)
}

//! Owns `persea run`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::execution::{JobInput, execute};
use super::filters::{Filters, selection};
use super::listing::{Input, Listers, default_references, kind_rules, note_unlisted, resolve};
use super::references::{refuse_unresolved, refuse_warnings, show_warnings};
use super::session::listen_to_signals;
use super::{Context, Failure, again, exit, resume};
use persea_config::{Config, Flag, Key, Kind, settings};
use persea_job::{JobError, JobFile, Partition, results_root, spawners_of};
use persea_model::{JobId, SpawnerKind};

#[derive(Debug, Args)]
pub(super) struct Run {
    /// References to run: files, directories, `file.py:Class.test`, recipes
    /// [default: the files of the kinds by pattern]
    #[arg(value_name = "REF")]
    references: Vec<String>,
    /// Run the suites of this job file (TOML)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["references", "recipe"])]
    job: Option<PathBuf>,
    /// Also run this JSON recipe, after all references (repeatable)
    #[arg(long, value_name = "FILE")]
    recipe: Vec<String>,
    /// Run this number of tasks at once [default: the number of processors]
    #[arg(long, value_name = "N")]
    max_parallel_tasks: Option<u64>,
    /// Start no more tasks after the first one, or after N, that ended FAIL, ERROR or INTERRUPTED;
    /// 0 means never
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1"
    )]
    failfast: Option<u64>,
    /// Retry a task that ends FAIL, ERROR or INTERRUPTED, up to N times
    #[arg(long, value_name = "N")]
    retries: Option<u64>,
    /// Run only one part of the tasks: `2/5` is the second of five parts, `hash:2/5` divides the
    /// tasks by name
    #[arg(long, value_name = "PART")]
    partition: Option<String>,
    /// Run tests here: `process` is this machine as it is, `sandbox` gives them namespaces and a
    /// file system of their own, `container` runs them in containers of an image, `ssh` runs them
    /// on other hosts, `slurm` on nodes of a cluster
    #[arg(long, value_name = "NAME")]
    spawner: Option<String>,
    /// Run tests that name no image of their own in containers of this one
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Run tests on these hosts, as one would type them for `ssh`: `a,b=4` runs one at once on `a`
    /// and four on `b`
    #[arg(long, value_name = "HOST,…", value_delimiter = ',')]
    hosts: Vec<String>,
    #[command(flatten)]
    filters: Filters,
    /// Run the tasks in a random order, and print its seed
    #[arg(long)]
    shuffle: bool,
    /// Run the tasks in the random order of this seed
    #[arg(long, value_name = "SEED")]
    shuffle_seed: Option<u64>,
    /// Time limit of each task: `90` (seconds), or a text such as `5m`
    #[arg(long, value_name = "TIME")]
    task_timeout: Option<String>,
    /// Time limit of the job
    #[arg(long, value_name = "TIME")]
    job_timeout: Option<String>,
    /// Create the job's directory in this directory
    #[arg(long, visible_alias = "job-results-dir", value_name = "DIR")]
    results_dir: Option<PathBuf>,
    /// Run the other tests if a reference cannot be resolved
    #[arg(long)]
    ignore_missing_references: bool,
    /// Of these tests, run only those that did not pass in this job: its directory, `latest`, or
    /// the beginning of its id. Without references, with those of the job, its settings and its
    /// plugins
    #[arg(long, value_name = "JOB")]
    failed: Option<String>,
    /// Go on with this job, whose host was killed or interrupted: its directory, `latest`, or the
    /// beginning of its id. Tests that have a result keep it, and the others run
    #[arg(
        long,
        value_name = "JOB",
        conflicts_with_all = ["references", "recipe", "job", "failed", "dry_run", "force_job_id"]
    )]
    resume: Option<String>,
    /// Show only failing tests and the totals
    #[arg(short, long)]
    quiet: bool,
    /// Run nothing if there are warnings about references, such as a file that may hold tests that
    /// were not found
    #[arg(long)]
    strict: bool,
    /// Plan the job, but cancel every task instead of running it
    #[arg(long)]
    dry_run: bool,
    /// Give the job this id: 40 hexadecimal digits
    #[arg(long, value_name = "ID")]
    force_job_id: Option<String>,
    /// Also write results.json to this file; `-` is the standard output
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    /// Also write results.xml to this file; `-` is the standard output
    #[arg(long, value_name = "FILE")]
    xunit: Option<String>,
    /// Also write results.tap to this file; `-` is the standard output
    #[arg(long, value_name = "FILE")]
    tap: Option<String>,
    /// Write results.html, a page for browsers, to this file; `-` is the standard output
    #[arg(long, value_name = "FILE")]
    html: Option<String>,
}

/// Sets a setting to an option's value, if the option was given.
fn set<K: Kind>(config: &mut Config, key: Key<K>, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        config.set_option(key, value);
    }
}

/// Turns a setting on, if its option was given.
fn set_flag(config: &mut Config, key: Key<Flag>, is_on: bool) {
    set(config, key, is_on.then_some(true));
}

impl Run {
    /// Sets the options' settings.
    fn configure(&self, config: &mut Config) -> Result<(), Failure> {
        let is_shuffled = self.shuffle || self.shuffle_seed.is_some();
        let missing = self.ignore_missing_references;
        set_flag(config, settings::RUN_SHUFFLE, is_shuffled);
        set_flag(config, settings::RUN_IGNORE_MISSING_REFERENCES, missing);
        set_flag(config, settings::RUN_DRY_RUN_ENABLED, self.dry_run);
        set_flag(config, settings::HUMAN_OUTPUT_QUIET, self.quiet);
        set_flag(config, settings::RUN_STRICT, self.strict);
        set(config, settings::RUN_PARTITION, self.partition.clone());
        self.filters.configure(config);
        set(config, settings::RUN_SPAWNER, self.spawner.clone());
        let image = self.image.clone();
        set(config, settings::SPAWNER_CONTAINER_IMAGE, image);
        if !self.hosts.is_empty() {
            config.set_option(settings::SPAWNER_SSH_HOSTS, self.hosts.clone());
        }
        let (task, job) = (self.task_timeout.clone(), self.job_timeout.clone());
        set(config, settings::TASK_TIMEOUT_RUNNING, task);
        set(config, settings::JOB_RUN_TIMEOUT, job);
        for (key, output) in [
            (settings::JOB_RUN_RESULT_JSON_OUTPUT, &self.json),
            (settings::JOB_RUN_RESULT_XUNIT_OUTPUT, &self.xunit),
            (settings::JOB_RUN_RESULT_TAP_OUTPUT, &self.tap),
            (settings::JOB_RUN_RESULT_HTML_OUTPUT, &self.html),
        ] {
            set(config, key, output.clone());
        }
        let parallel = self.max_parallel_tasks;
        set(config, settings::RUN_MAX_PARALLEL_TASKS, parallel);
        set(config, settings::RUN_SHUFFLE_SEED, self.shuffle_seed);
        set(config, settings::RUN_RETRIES, self.retries);
        match self.failfast {
            Some(0) => config.set_option(settings::RUN_FAILFAST, false),
            Some(failures) => config.set_option(settings::RUN_FAILFAST, failures),
            None => {}
        }
        if let Some(dir) = &self.results_dir {
            let text = dir.to_str().ok_or_else(|| {
                Failure::new(
                    exit::FAIL,
                    miette::miette!(
                        help = "choose a directory whose path is UTF-8",
                        "--results-dir {}: the path is not UTF-8, and reports could not name \
                         files in it",
                        dir.display()
                    ),
                )
            })?;
            config.set_option(settings::RUN_RESULTS_DIR, text);
        }
        Ok(())
    }

    pub(super) async fn run(mut self, mut context: Context) -> Result<u8, Failure> {
        if let Some(job) = &self.resume {
            self.configure(&mut context.config)?;
            return Box::pin(resume::run(job, context)).await;
        }
        self.configure(&mut context.config)?;
        let former = match &self.failed {
            Some(job) if self.has_no_input() => Some(again::begin_of(job, &context)?),
            Some(_) | None => None,
        };
        if let Some(former) = &former {
            match &former.job_file {
                Some(file) => self.job = Some(file.into()),
                None => self.references.clone_from(&former.references),
            }
        }
        let file = read_job(self.job.as_deref(), &mut context)?;
        // The options win over the settings of the job file.
        self.configure(&mut context.config)?;
        let again = self.failed.as_deref();
        let again = again
            .map(|job| again::failed_in(&results_root(&context.config, &context.dirs), job))
            .transpose()?;
        if let Some(former) = &former {
            again::restore(&mut context, former)?;
        }
        context.warn_about_project();
        context.config.check().map_err(Failure::of)?;
        if let Some(part) = context.config.get(settings::RUN_PARTITION) {
            Partition::parse(part)
                .map_err(|why| Failure::new(exit::FAIL, miette::miette!("{why}")))?;
        }
        refuse_unnameable_directory()?;
        let id = self.job_id(context.config.get(settings::RUN_DRY_RUN_ENABLED))?;
        let mut selection = selection(&context.config)?;
        selection.again = again;
        let catalog = context.catalog().await?;
        let mut references = self.references;
        references.extend(self.recipe);
        let rules = kind_rules(&context)?;
        if references.is_empty() && self.job.is_none() {
            references = default_references(&rules, "run")?;
        }
        let job_file = self.job.map(|path| path.to_string_lossy().into_owned());
        references.extend(job_file.clone());
        let input = match &file {
            Some(file) => Input::File(file),
            None => Input::Typed(&references),
        };
        let mut signals = listen_to_signals()?;
        let listers = match context.config.get(settings::RUN_DRY_RUN_ENABLED) {
            true => Listers::UseKept,
            false => Listers::Run,
        };
        let resolved = resolve(
            &context,
            &catalog,
            &rules,
            input,
            listers,
            Some(&mut signals),
        )
        .await?;
        let Some(resolutions) = resolved else {
            return Err(Failure::with(exit::INTERRUPTED, JobError::Interrupted));
        };
        show_warnings(&resolutions, context.is_verbose);
        note_unlisted(&resolutions);
        refuse_unresolved(
            &resolutions.resolved,
            context.config.get(settings::RUN_IGNORE_MISSING_REFERENCES),
        )?;
        refuse_warnings(&resolutions, &context.config)?;

        let spawners = spawners_of(&resolutions.resolved, &context.config);
        refuse_unused(self.image.as_deref(), &self.hosts, &spawners)?;
        let input = JobInput {
            id,
            references,
            job_file,
            resolutions,
            spawners,
            selection,
            resumed: None,
        };
        Box::pin(execute(context, catalog, input, signals)).await
    }

    /// Whether the command line names nothing to run.
    fn has_no_input(&self) -> bool {
        self.references.is_empty() && self.recipe.is_empty() && self.job.is_none()
    }

    fn job_id(&self, dry_run: bool) -> Result<JobId, Failure> {
        match &self.force_job_id {
            Some(id) => JobId::parse(id).ok_or_else(|| {
                Failure::new(
                    exit::FAIL,
                    miette::miette!("`--force-job-id {id}`: a job id has 40 hexadecimal digits"),
                )
            }),
            None if dry_run => Ok(JobId::from_bytes([0; 20])),
            None => {
                let mut bytes = [0; 20];
                fastrand::Rng::new().fill(&mut bytes);
                Ok(JobId::from_bytes(bytes))
            }
        }
    }
}

/// Fails if the path of the working directory is not UTF-8: tests would get another path.
fn refuse_unnameable_directory() -> Result<(), Failure> {
    match std::env::current_dir() {
        Ok(directory) if directory.to_str().is_none() => Err(Failure::new(
            exit::FAIL,
            miette::miette!(
                help = "run persea in a directory whose path is UTF-8",
                "the path of the working directory is not UTF-8: {}",
                directory.display()
            ),
        )),
        // A directory that does not exist is an error of its own, later.
        _ => Ok(()),
    }
}

/// Refuses an option that says where tests run if none of them would run there.
fn refuse_unused(
    image: Option<&str>,
    hosts: &[String],
    kinds: &[SpawnerKind],
) -> Result<(), Failure> {
    let names: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
    let names = names.join(" and ");
    let (subject, makes, uses) = match kinds {
        [_] => ("the spawner", "makes", "uses"),
        _ => ("the spawners", "make", "use"),
    };
    if let (Some(image), false) = (image, kinds.contains(&SpawnerKind::Container)) {
        return Err(Failure::new(
            exit::FAIL,
            miette::miette!(
                help = "add `--spawner container`",
                "`--image {image}`: {subject} {names} {makes} no containers, so the tests would \
                 run without the image"
            ),
        ));
    }
    if !hosts.is_empty() && !kinds.contains(&SpawnerKind::Ssh) {
        return Err(Failure::new(
            exit::FAIL,
            miette::miette!(
                help = "add `--spawner ssh`",
                "`--hosts {}`: {subject} {names} {uses} no other hosts, so the tests would run on \
                 this one",
                hosts.join(",")
            ),
        ));
    }
    Ok(())
}

/// Reads a job file, and applies its settings to the configuration.
pub(super) fn read_job(
    path: Option<&Path>,
    context: &mut Context,
) -> Result<Option<JobFile>, Failure> {
    let Some(path) = path else {
        return Ok(None);
    };
    let file = JobFile::read(path, &context.safe_directories()).map_err(Failure::of)?;
    file.configure(&mut context.config);
    Ok(Some(file))
}

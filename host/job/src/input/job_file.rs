//! Owns the job file: a job's suites with their references, tasks, requirements, variants and
//! dependencies. Turns them into runnables that carry all of that, so that nothing after this needs
//! the file. The format is TOML 1.0; the book has a page on job files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::input::provenance::Provenance;
use crate::input::resolve::{Answer, Resolutions, Resolved, TestLister, TypedBy, resolve};
use crate::input::variants::{VariantSource, Variants, VariantsError};
use crate::input::{own_limits, own_settings, own_spawner};
use persea_config::{
    Config, ConfigError, Foreign, OpenError, SafeDirectories, Settings, Shape, duration, parse,
};
use persea_model::names::printable;
use persea_model::weight;
use persea_model::{Attribute, Attributes, Requirement, Runnable, SpawnerKind};
use persea_plugin::{Catalog, ReachedLimit};
use persea_system::bounded_read::{self, MAX_JOB_FILE};
use serde::Deserialize;

/// What is wrong with a job file.
#[derive(Debug, thiserror::Error)]
pub enum JobFileError {
    /// The file cannot be read.
    #[error("cannot read the job file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file belongs to another user.
    #[error("{0}")]
    Foreign(Box<Foreign>),
    /// The file is not TOML, or does not have the format of a job file.
    #[error(transparent)]
    Syntax(#[from] ConfigError),
    /// A suite is invalid.
    #[error("{}: suite `{suite}`: {message}", path.display())]
    Suite {
        /// The file.
        path: PathBuf,
        /// The suite's name.
        suite: String,
        /// What is wrong.
        message: String,
    },
    /// The variants of a suite's tests cannot be made.
    #[error("{}: suite `{suite}`: {}", path.display(), printable(&error.to_string()))]
    Variants {
        /// The file.
        path: PathBuf,
        /// The suite's name.
        suite: String,
        /// What is wrong.
        error: Box<VariantsError>,
    },
    /// The tests of a suite need too much memory.
    #[error(
        "{}: the tests of suite `{suite}` reach {reached}; or give the suite fewer variants, or \
         requirements to fewer tests",
        path.display()
    )]
    TooMuch {
        /// The file.
        path: PathBuf,
        /// The suite's name.
        suite: String,
        /// The limit.
        reached: ReachedLimit,
    },
    /// The file has no suites.
    #[error(
        "{}: no suites; a job file has at least one `[[suite]]` with `references` or \
         `[[suite.task]]`",
        path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// A job as its file describes it.
#[derive(Debug)]
pub struct JobFile {
    path: PathBuf,
    content: JobFileContent,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
struct JobFileContent {
    #[serde(default)]
    settings: Settings,
    /// The spawner and the image of every task.
    spawner: Option<SpawnerKind>,
    image: Option<String>,
    /// The requirements of every task.
    #[serde(default)]
    requirements: Vec<JobFileRequirement>,
    #[serde(default, rename = "suite")]
    suites: Vec<JobFileSuite>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
struct JobFileSuite {
    name: String,
    #[serde(default)]
    references: Vec<String>,
    #[serde(default, rename = "task")]
    tasks: Vec<JobFileTask>,
    #[serde(default)]
    requirements: Vec<JobFileRequirement>,
    setup: Option<String>,
    teardown: Option<String>,
    /// The names of the variables that the setup sets for the tests.
    #[serde(default)]
    exports: Vec<String>,
    #[cfg_attr(test, serde(skip_serializing))]
    variants: Option<Variants>,
    #[serde(flatten)]
    conditions: TaskConditions,
}

/// Dependencies, claims, timeout, environment and limits of a task, or of all tasks of a suite.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
struct TaskConditions {
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    mutexes: Vec<String>,
    #[serde(default)]
    resources: BTreeMap<String, ResourceClaim>,
    timeout: Option<Attribute>,
    /// The spawner in whose environments the tasks run.
    spawner: Option<SpawnerKind>,
    /// The image in whose containers the tasks run.
    image: Option<String>,
    /// What the processes of a task may use.
    #[serde(default)]
    limits: Attributes,
}

/// What a task takes of a resource.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(untagged, expecting = "expected a whole number or a list of instances")]
enum ResourceClaim {
    Amount(u64),
    /// The instances of these names.
    Instances(Vec<String>),
}

/// A requirement, in the format of Avocado's dependencies.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
struct JobFileRequirement {
    #[serde(rename = "type")]
    kind: String,
    uri: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(flatten)]
    kwargs: Attributes,
}

/// A runnable in the format of a recipe, but with requirements, tags and variables beside its
/// keyword arguments.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
struct JobFileTask {
    kind: String,
    uri: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    kwargs: Attributes,
    identifier: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    tags: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    config: Attributes,
    #[serde(default)]
    requirements: Vec<JobFileRequirement>,
    #[serde(flatten)]
    conditions: TaskConditions,
}

impl JobFile {
    /// Reads and checks a job file.
    ///
    /// # Errors
    /// The file cannot be read, belongs to another user, is not TOML (with line and column), or is
    /// invalid.
    pub fn read(path: &Path, safe: &SafeDirectories) -> Result<Self, JobFileError> {
        let failed = |source| JobFileError::Read {
            path: path.to_path_buf(),
            source,
        };
        let file = safe.open(path).map_err(|error| match error {
            OpenError::Foreign(foreign) => JobFileError::Foreign(foreign),
            OpenError::Io(source) => failed(source),
        })?;
        let text = bounded_read::text_of(file, MAX_JOB_FILE).map_err(failed)?;
        let content: JobFileContent = parse(path, &text)?;
        if content.suites.is_empty() {
            return Err(JobFileError::Empty {
                path: path.to_path_buf(),
            });
        }
        let mut names = BTreeSet::new();
        for suite in &content.suites {
            let message = match suite.check() {
                Ok(()) if names.insert(&suite.name) => continue,
                Ok(()) => "there is another one of that name".to_owned(),
                Err(message) => message,
            };
            return Err(JobFileError::Suite {
                path: path.to_path_buf(),
                suite: suite.name.clone(),
                message,
            });
        }
        Ok(Self {
            path: path.to_path_buf(),
            content,
        })
    }

    /// Adds the file's settings to the configuration.
    pub fn configure(&self, config: &mut Config) {
        config.take(&self.path, self.content.settings.clone());
    }

    /// Resolves the references of all suites, and turns them and the file's tasks into runnables,
    /// in their variants. `lister` lists the tests before they are varied.
    ///
    /// # Errors
    /// A varianter plugin is missing, fails, or returns invalid variants.
    pub async fn resolve(
        &self,
        catalog: &Arc<Catalog>,
        config: &Config,
        lister: &mut impl TestLister,
    ) -> Result<Resolutions, JobFileError> {
        let mut all = Resolutions::default();
        for suite in &self.content.suites {
            let failed = |error| JobFileError::Variants {
                path: self.path.clone(),
                suite: suite.name.clone(),
                error: Box::new(error),
            };
            let count = |bytes: u64| {
                let counted = catalog.memory().add(bytes);
                counted.map_err(|reached| JobFileError::TooMuch {
                    path: self.path.clone(),
                    suite: suite.name.clone(),
                    reached,
                })
            };
            let mut source = match &suite.variants {
                Some(it) => {
                    let begun = it.begin(catalog, config, &suite.name);
                    Some(begun.await.map_err(failed)?)
                }
                None => None,
            };
            let typed_by = TypedBy::Project;
            let mut resolutions = resolve(catalog, config, &suite.references, typed_by).await;
            if !suite.tasks.is_empty() {
                resolutions.resolved.push(Resolved {
                    reference: format!("{}: suite {}", self.path.display(), suite.name),
                    answer: Answer::Found {
                        resolver: "job file".to_owned(),
                        runnables: suite.tasks.iter().map(|it| it.runnable().into()).collect(),
                        provenance: Provenance::default(),
                    },
                });
            }
            self.place(suite, &mut resolutions);
            lister.list(&mut resolutions).await;
            for Resolved { answer, .. } in &mut resolutions.resolved {
                let Answer::Found {
                    runnables,
                    provenance,
                    ..
                } = answer
                else {
                    continue;
                };
                if let Some(plugin) = source.as_ref().and_then(VariantSource::plugin) {
                    provenance.add(plugin);
                }
                provenance.set_foreign_requirements(self.requirements_of(suite).len());
                for own in std::mem::take(runnables) {
                    let own = self.in_suite(suite, Arc::unwrap_or_clone(own));
                    let weight = weight::of_runnable(&own);
                    match &mut source {
                        Some(source) => {
                            let variants = source.of(&own).await.map_err(failed)?;
                            count(variants.weight(weight))?;
                            runnables.extend(variants.each(&own).into_iter().map(Arc::new));
                        }
                        None => {
                            count(weight)?;
                            runnables.push(Arc::new(own));
                        }
                    }
                }
            }
            all.append(resolutions);
        }
        Ok(all)
    }

    /// Adds to the runnables of a suite where they run, because listers run there too.
    fn place(&self, suite: &JobFileSuite, resolutions: &mut Resolutions) {
        let JobFileContent { spawner, image, .. } = &self.content;
        let TaskConditions {
            spawner: of_suite,
            image: image_of_suite,
            ..
        } = &suite.conditions;
        if [spawner, of_suite] == [&None; 2] && [image, image_of_suite] == [&None; 2] {
            // Tests that are equal stay shared.
            return;
        }
        for Resolved { answer, .. } in &mut resolutions.resolved {
            let Answer::Found { runnables, .. } = answer else {
                continue;
            };
            for runnable in runnables {
                let more = &mut Arc::make_mut(runnable).more;
                own_spawner::add(more, *of_suite, image_of_suite.as_deref());
                own_spawner::add(more, *spawner, image.as_deref());
            }
        }
    }

    /// The requirements that all tasks of a suite share.
    fn requirements_of(&self, suite: &JobFileSuite) -> Vec<Requirement> {
        let shared = self.content.requirements.iter().chain(&suite.requirements);
        let shared = shared.map(JobFileRequirement::requirement);
        shared.chain(suite.setup()).collect()
    }

    /// Adds to a runnable what its suite specifies.
    fn in_suite(&self, suite: &JobFileSuite, mut runnable: Runnable) -> Runnable {
        let mut requirements = self.requirements_of(suite);
        requirements.append(&mut runnable.requirements);
        runnable.requirements = requirements;
        let name = suite.name.clone();
        runnable.more.insert("suite".into(), name.into());
        suite.conditions.add_to(&mut runnable.more);
        runnable
    }
}

impl JobFileSuite {
    fn check(&self) -> Result<(), String> {
        let wrong = |message: &str| Err(message.to_owned());
        if self.name.is_empty() || self.name.contains(['/', ';', ':']) {
            return wrong("its name is a text without `/`, `;` and `:`");
        }
        if self.references.is_empty() && self.tasks.is_empty() {
            return wrong("it has neither `references` nor a `[[suite.task]]`");
        }
        if self.setup.is_none() && (self.teardown.is_some() || !self.exports.is_empty()) {
            return wrong(
                "`teardown` and `exports` are for what a `setup` has done, and it has none",
            );
        }
        self.conditions.check()?;
        let mut own = Attributes::new();
        self.conditions.add_to(&mut own);
        own_settings::check(&own)?;
        for (number, task) in (1..).zip(&self.tasks) {
            let checked = task.conditions.check();
            let checked = checked.and_then(|()| own_settings::check(&task.more()));
            checked.map_err(|why| format!("its {number}. task (`{}`): {why}", task.label()))?;
        }
        self.variants.as_ref().map_or(Ok(()), Variants::check)
    }

    /// The suite's setup and teardown, as a requirement of all its tasks.
    fn setup(&self) -> Option<Requirement> {
        let (mut kwargs, mut more) = (Attributes::new(), Attributes::new());
        let label = format!("setup of suite {}", self.name);
        more.insert("label".into(), label.into());
        kwargs.insert("setup".into(), self.setup.clone()?.into());
        if let Some(teardown) = &self.teardown {
            kwargs.insert("teardown".into(), teardown.clone().into());
        }
        if !self.exports.is_empty() {
            kwargs.insert("env".into(), self.exports.clone().into());
        }
        more.insert("scope".into(), "suite".into());
        Some(Requirement {
            kind: "command".to_owned(),
            kwargs,
            more,
            ..Requirement::default()
        })
    }
}

/// Reads a time as a job file has it: a number of seconds, or a text such as `5m`.
fn written_duration(written: &Attribute) -> Option<Duration> {
    duration(&written.to_scalar()?)
}

impl TaskConditions {
    /// Checks the values that other parts of the host read in another form.
    ///
    /// # Errors
    /// What is wrong.
    fn check(&self) -> Result<(), String> {
        own_limits::check_limits(&self.limits)?;
        if let (Some(spawner), Some(image)) = (self.spawner, &self.image)
            && spawner != SpawnerKind::Container
        {
            return Err(format!(
                "`image`: the spawner `{spawner}` makes no containers of `{image}`; `image` goes \
                 with `spawner = \"{}\"`",
                SpawnerKind::Container
            ));
        }
        let is_wrong = |timeout: &&Attribute| written_duration(timeout).is_none();
        match self.timeout.as_ref().filter(is_wrong) {
            None => Ok(()),
            Some(timeout) => Err(format!(
                "`timeout`: expected {}, found `{timeout}`",
                Shape::Duration.expected()
            )),
        }
    }

    /// Adds the conditions to a task's own; where only one value is possible, the task's wins.
    fn add_to(&self, more: &mut Attributes) {
        let lists = [
            ("needs", &self.needs),
            ("after", &self.after),
            ("mutexes", &self.mutexes),
        ];
        for (key, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
            // A value that is not a list is rejected where it is used.
            let own = more.get(key).map_or(Some(Vec::new()), Attribute::items);
            if let Some(mut own) = own {
                own.extend(names.iter().cloned().map(Attribute::from));
                more.insert(key.into(), own.into());
            }
        }
        let own = more.get("resources");
        let own = own.map_or(Some(Attributes::new()), Attribute::members);
        if let Some(mut own) = own.filter(|_| !self.resources.is_empty()) {
            for (name, claim) in &self.resources {
                own.entry(name.clone()).or_insert_with(|| match claim {
                    ResourceClaim::Amount(amount) => (*amount).into(),
                    ResourceClaim::Instances(names) => names.clone().into(),
                });
            }
            more.insert("resources".into(), own.into());
        }
        if let Some(timeout) = &self.timeout
            && !own_settings::has_timeout(more)
        {
            // A value of another form is refused by `check`.
            let timeout =
                written_duration(timeout).map_or(Attribute::Null, own_settings::nanoseconds);
            more.insert("timeout".into(), timeout);
        }
        own_spawner::add(more, self.spawner, self.image.as_deref());
        own_limits::add_limits(more, &self.limits);
    }
}

impl JobFileRequirement {
    fn requirement(&self) -> Requirement {
        let mut kwargs = self.kwargs.clone();
        let more = ["scope", "label"].into_iter();
        let more = more.filter_map(|name| kwargs.remove_entry(name)).collect();
        Requirement {
            kind: self.kind.clone(),
            uri: self.uri.clone(),
            args: self.args.clone(),
            kwargs,
            more,
        }
    }
}

impl JobFileTask {
    /// The runnable's `more`.
    fn more(&self) -> Attributes {
        let mut more = Attributes::new();
        self.conditions.add_to(&mut more);
        if !self.config.is_empty() {
            more.insert("config".into(), self.config.clone().into());
        }
        more
    }

    /// The task's name for people.
    fn label(&self) -> &str {
        let name = self.identifier.as_ref().or(self.uri.as_ref());
        name.unwrap_or(&self.kind)
    }

    fn runnable(&self) -> Runnable {
        let more = self.more();
        let env = self.env.iter();
        Runnable {
            kind: self.kind.clone(),
            uri: self.uri.clone(),
            args: self.args.clone(),
            kwargs: self.kwargs.clone(),
            env: env
                .map(|(name, value)| (name.clone(), Some(value.clone())))
                .collect(),
            tags: self.tags.clone().into_iter().collect(),
            requirements: self
                .requirements
                .iter()
                .map(JobFileRequirement::requirement)
                .collect(),
            identifier: self.identifier.clone(),
            more,
        }
    }
}

#[cfg(test)]
#[path = "job_file_tests.rs"]
mod tests;

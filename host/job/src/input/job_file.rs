//! Owns the job file: a job's suites with their references, tasks, requirements, variants and
//! dependencies. Turns them into runnables that carry all of that, so that nothing after this needs
//! the file. The format is TOML 1.0; the book has a page on job files.

mod format;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::input::conditions::TaskConditions;
use crate::input::kind_rules::KindRules;
use crate::input::own_spawner;
use crate::input::provenance::Provenance;
use crate::input::resolve::{Answer, Resolutions, Resolved, TestLister, TypedBy, resolve};
use crate::input::variants::{VariantSource, VariantsError};
use format::{JobFileContent, JobFileRequirement, JobFileSuite};
use persea_config::{Config, ConfigError, Foreign, OpenError, SafeDirectories, parse, settings};
use persea_model::names::printable;
use persea_model::weight;
use persea_model::{Requirement, Runnable};
use persea_plugin::{Catalog, ReachedLimit};
use persea_system::bounded_read::{self, MAX_JOB_FILE};

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
        let mut settings = self.content.settings.clone();
        if !self.content.kinds.is_empty() {
            let own = settings::KIND.name().to_owned();
            settings.insert(own, self.content.kinds.clone().into());
        }
        config.take(&self.path, settings);
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
        rules: &Arc<KindRules>,
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
            let mut resolutions =
                resolve(catalog, config, rules, &suite.references, typed_by).await;
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

#[cfg(test)]
#[path = "job_file_tests.rs"]
mod tests;

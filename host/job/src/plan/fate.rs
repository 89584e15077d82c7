//! Owns the decision what happens to each task: it runs, or its result is known before. Does not
//! know the order of the tasks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::input::own_settings;
use crate::input::own_spawner::SpawnerChoice;
use crate::input::provenance::Restrictions;
use crate::plan::entry::TaskFate;
use persea_config::Config;
use persea_config::settings;
use persea_model::{Attributes, Outcome, Runnable, SpawnerKind, Status, Task};
use persea_plugin::{Catalog, PluginError};
use persea_spawner::descriptor;

/// What decides about the tasks of a job.
pub(super) struct Fates<'a> {
    catalog: &'a Catalog,
    config: &'a Config,
    choice: SpawnerChoice,
    /// By digest of a runner: the settings that it receives. Computed once for each runner, not for
    /// each task.
    settings: HashMap<String, Arc<Attributes>>,
    /// The settings of tasks of which a warning was given.
    unknown: HashSet<String>,
}

impl<'a> Fates<'a> {
    pub(super) fn new(catalog: &'a Catalog, config: &'a Config) -> Self {
        Self {
            catalog,
            config,
            choice: SpawnerChoice::new(config),
            settings: HashMap::new(),
            unknown: HashSet::new(),
        }
    }

    /// The spawner of a task: that of the job if the runnable names one that it may not have.
    pub(super) fn spawner(&self, runnable: &Runnable) -> SpawnerKind {
        let own = self.choice.of(&runnable.more);
        own.unwrap_or(self.choice.of_job())
    }

    /// What happens to a task, which may have `ended` already.
    pub(super) fn of(
        &mut self,
        task: &Task,
        ended: Option<Box<Outcome>>,
        restrictions: Option<&Restrictions>,
    ) -> TaskFate {
        let config = self.config;
        let runnable = &task.runnable;
        let fate = match ended {
            Some(outcome) => TaskFate::Ended(outcome),
            None if config.get(settings::RUN_DRY_RUN_ENABLED) => {
                let why = "Test cancelled due to --dry-run";
                TaskFate::Ended(Outcome::new(Status::Cancel, why).into())
            }
            None => match self.checked_spawner(runnable) {
                Err(why) => TaskFate::Refused(Outcome::new(Status::Error, why).into()),
                Ok(spawner) => fate(
                    runnable,
                    restrictions,
                    self.catalog,
                    spawner,
                    &mut self.settings,
                    config,
                ),
            },
        };
        if let TaskFate::Run(runner, _) = &fate {
            for name in own_settings::unknown(&runnable.more, runner) {
                if self.unknown.insert(name.clone()) {
                    tracing::warn!(
                        "unknown setting `{name}` in the `config` of {}: {} has none of that name",
                        task.id,
                        runner.label()
                    );
                }
            }
        }
        fate
    }

    /// The spawner of a runnable that can run with it.
    ///
    /// # Errors
    /// The runnable may not have the spawner that it names, or would run without its requirements
    /// or its image.
    fn checked_spawner(&self, runnable: &Runnable) -> Result<SpawnerKind, String> {
        let spawner = self.choice.of(&runnable.more)?;
        can_be_met(runnable, spawner, self.config)?;
        self.choice.check_image(&runnable.more, spawner)?;
        Ok(spawner)
    }
}

/// Checks whether the requirements of a task are fulfilled on the machine on which the task runs.
///
/// # Errors
/// The task may run on another machine than its requirements are met on.
fn can_be_met(runnable: &Runnable, spawner: SpawnerKind, config: &Config) -> Result<(), String> {
    if runnable.requirements.is_empty() || (descriptor(spawner).is_one_machine)(config) {
        return Ok(());
    }
    Err(format!(
        "the test has requirements, and with the spawner `{spawner}` on several hosts they would \
         be met on one of them only: name one host for tests with requirements, or set the hosts \
         up before"
    ))
}

fn fate(
    runnable: &Runnable,
    restrictions: Option<&Restrictions>,
    catalog: &Catalog,
    spawner: SpawnerKind,
    settings: &mut HashMap<String, Arc<Attributes>>,
    config: &Config,
) -> TaskFate {
    let Some(runner) = catalog.runner(&runnable.kind) else {
        let reason = no_runner(&runnable.kind, catalog.failures());
        return TaskFate::Refused(Outcome::new(Status::Error, reason).into());
    };
    let held = || {
        restrictions.map_or(Ok(()), |restrictions| {
            restrictions.check(runnable, runner, catalog)
        })
    };
    let own = || own_settings::check(&runnable.more);
    let allowed = runner.may_use(spawner.name()).and_then(|()| held());
    let of_runner = || own_settings::check_for(&runnable.more, runner);
    let checked = allowed.and_then(|()| own()).and_then(|()| of_runner());
    if let Err(reason) = checked {
        return TaskFate::Refused(Outcome::new(Status::Error, reason).into());
    }
    let settings = match settings.get(&runner.digest) {
        Some(known) => Arc::clone(known),
        None => {
            let own = Arc::new(runner.configured(config));
            settings.insert(runner.digest.clone(), Arc::clone(&own));
            own
        }
    };
    TaskFate::Run(Arc::clone(runner), settings)
}

/// The error for a kind without a runner: a plugin that was not loaded may have been it.
fn no_runner(kind: &str, refused: &[PluginError]) -> String {
    /// The number of refused plugins that are named.
    const NAMED: usize = 3;
    let reasons: Vec<String> = refused
        .iter()
        .take(NAMED)
        .map(PluginError::to_string)
        .collect();
    let reasons = reasons.join("; ");
    match refused.len().saturating_sub(NAMED) {
        0 if reasons.is_empty() => format!(
            "no runner for kind `{kind}`: add a plugin that runs it with `persea plugin add FILE`; \
             `persea plugin list` shows those there are"
        ),
        0 => {
            format!(
                "no runner for kind `{kind}`; it may be in a plugin that is not loaded: {reasons}"
            )
        }
        more => format!(
            "no runner for kind `{kind}`; it may be in a plugin that is not loaded: {reasons}; and \
             {more} more"
        ),
    }
}

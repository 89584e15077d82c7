//! Owns what the journal has at the beginning of a job: the settings, the plan and its plugins, and
//! the same plan made of them again. Does not know how the job runs.

use std::borrow::Cow;
use std::path::Path;

use crate::dispatch::error::JobError;
use crate::dispatch::takeover::this_host;
use crate::plan::planner::Plan;
use crate::plan::records::{self, ChangedPlugin};
use crate::plan::selection::Selection;
use crate::plan::stored::{ResumeError, StoredJob};
use persea_config::{Config, settings};
use persea_journal::{
    Event, Journal, JournalError, Revision, TakeOverData, TaskPlanned, Warning, WarningCause,
};
use persea_model::Attributes;
use persea_plugin::Catalog;
use persea_system::git;

/// The number of tests that a message names.
const NAMED: usize = 5;

/// The plugins of the command line.
#[derive(Clone, Debug, Default)]
pub struct CommandPlugins {
    /// The directories of plugins.
    pub dirs: Vec<String>,
    /// The grants.
    pub grants: Vec<String>,
}

/// The plan of a job whose host has ended, with the same plugins.
pub(crate) async fn same_plan(
    stored: &StoredJob,
    catalog: &Catalog,
    config: &Config,
) -> Result<Plan, ResumeError> {
    let mut planned = stored.tasks.iter().map(|task| &task.planned.runnable);
    if planned.any(|runnable| !runnable.requirements.is_empty()) {
        catalog.load_requirement_resolvers().await;
    }
    let plan = stored.plan(catalog, config)?;
    let before = stored.started.take_over.as_ref();
    let before = before.map(|data| &data.plugins);
    let now = records::plugins_of(&plan, catalog, config);
    match before.and_then(|before| ChangedPlugin::first(before, &now)) {
        Some(changed) => Err(changed.into()),
        None => Ok(plan),
    }
}

/// Fails if the user's choice of tests leaves none, or with `run.strict` not all.
pub(crate) fn check_selection(
    plan: &Plan,
    selection: &Selection,
    config: &Config,
) -> Result<(), JobError> {
    let gone = || some_of(&plan.gone);
    match (plan.entries.is_empty(), plan.unfiltered) {
        (true, _) if selection.again.is_some() && !plan.gone.is_empty() => {
            Err(JobError::NoneAgain { gone: gone() })
        }
        (true, Some(of)) if of > 0 => Err(JobError::NoneSelected { of }),
        (true, _) if selection.again.is_some() => Err(JobError::NoneAgainHere),
        _ if config.get(settings::RUN_STRICT) && !plan.gone.is_empty() => {
            Err(JobError::FailedTestGone { gone: gone() })
        }
        _ => Ok(()),
    }
}

/// A warning about failed tests that are not there any more.
pub(crate) fn warning_of_gone(plan: &Plan) -> Option<Warning> {
    (!plan.gone.is_empty()).then(|| Warning {
        cause: WarningCause::FailedTestGone,
        reference: None,
        plugin: None,
        message: format!(
            "{} failed in the earlier job and is not among the tests, so it does not run again",
            some_of(&plan.gone)
        ),
    })
}

/// The first of these names, and the number of the others.
fn some_of(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).map(|name| format!("`{name}`"));
    let shown = shown.collect::<Vec<String>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Records the tasks of a plan.
pub(crate) fn record_plan(journal: &mut Journal, plan: &Plan) -> Result<(), JournalError> {
    for entry in &plan.entries {
        let planned = TaskPlanned {
            index: entry.task.index.number(),
            name: Some(Cow::Borrowed(&entry.task.name)),
            title: (entry.task.title != entry.task.name)
                .then_some(Cow::Borrowed(&entry.task.title)),
            runnable: Cow::Borrowed(&entry.task.runnable),
            made_by: entry.made_by.as_deref().map(Cow::Borrowed),
            known_result: entry.known_result.as_deref().cloned(),
        };
        let event = Event::TaskPlanned(Cow::Owned(planned));
        journal.record(Some(&entry.task.id), &event)?;
    }
    Ok(())
}

/// What another host needs to take the job over.
pub(crate) fn take_over_data(
    plan: &Plan,
    catalog: &Catalog,
    config: &Config,
    CommandPlugins { dirs, grants }: CommandPlugins,
) -> TakeOverData {
    let secret = catalog.secret_settings();
    let (secret, public): (Vec<_>, Vec<_>) = config.iter().partition(|(name, ..)| secret.has(name));
    let origins = public.into_iter().filter_map(|(name, _, origin)| {
        let origin = origin.record()?;
        Some((name.to_owned(), origin))
    });
    TakeOverData {
        host: this_host(),
        plugins: records::plugins_of(plan, catalog, config),
        origins: origins.collect(),
        secret_settings: secret
            .into_iter()
            .map(|(name, ..)| name.to_owned())
            .collect(),
        plugin_dirs: dirs,
        grants,
    }
}

/// The commit of the project that a job runs in.
pub(crate) fn revision_of(project: &Path) -> Option<Revision> {
    let git::Checkout { commit, branch } = git::checkout_of(project)?;
    Some(Revision { commit, branch })
}

/// Returns the settings for the journal. Settings that plugins declare secret are left out.
pub(crate) fn recorded_settings(catalog: &Catalog, config: &Config) -> Attributes {
    let secret = catalog.secret_settings();
    let recorded = config.iter().filter(|(name, ..)| !secret.has(name));
    recorded
        .map(|(name, value, _)| (name.to_owned(), value.clone().into()))
        .collect()
}

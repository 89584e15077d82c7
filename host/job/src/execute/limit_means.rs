//! Owns the check, before a job starts, whether the limits of its tests can be kept. Does not keep
//! them.

use std::collections::BTreeMap;

use crate::input::own_limits::{TaskLimits, setting_of};
use crate::plan::entry::TaskFate;
use crate::plan::planner::Plan;
use persea_journal::{Warning, WarningCause};
use persea_model::Limit;
use persea_spawner::{LimitMeans, Spawner};

/// A limit of a test cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error(
    "the limit of {limit} (`{}`, or `limits` of {task}) can't be kept by the spawner \
     `{spawner}`: {why}",
    setting_of(*limit)
)]
pub struct LimitError {
    limit: Limit,
    /// The first test with the limit.
    task: String,
    spawner: &'static str,
    why: String,
}

/// Checks the limits of all tasks that will run. Returns a warning for each limit that is kept by
/// something that limits another thing.
///
/// # Errors
/// A limit cannot be kept at all.
pub(crate) fn check(
    plan: &Plan,
    limits: &TaskLimits,
    spawner: &dyn Spawner,
) -> Result<Vec<Warning>, LimitError> {
    let mut used: BTreeMap<&'static str, (Limit, &str)> = BTreeMap::new();
    for entry in &plan.entries {
        match &entry.fate {
            TaskFate::Run(runner, _) if runner.starts_processes() => {}
            TaskFate::Run(..) | TaskFate::Ended(_) | TaskFate::Refused(_) => continue,
        }
        for limit in limits.of(&entry.task.runnable.more).set() {
            let first = used.entry(limit.name());
            first.or_insert((limit, &entry.task.id));
        }
    }
    let mut warnings = Vec::new();
    for (limit, task) in used.into_values() {
        match spawner.limit_means(limit) {
            LimitMeans::Exact(_) => {}
            LimitMeans::Approximate(how) => warnings.push(Warning {
                cause: WarningCause::Limit,
                reference: None,
                plugin: None,
                message: format!("the limit of {limit} is approximate: {how}"),
            }),
            LimitMeans::None(why) => {
                return Err(LimitError {
                    limit,
                    task: task.to_owned(),
                    spawner: spawner.name(),
                    why,
                });
            }
        }
    }
    Ok(warnings)
}

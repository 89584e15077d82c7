//! Owns the check, before a job starts, whether the limits of its tests can be kept. Does not keep
//! them.

use std::collections::BTreeMap;

use crate::input::own_limits::{TaskLimits, setting_of};
use crate::plan::planner::Plan;
use persea_journal::{Warning, WarningCause};
use persea_model::{Limit, SpawnerKind};
use persea_spawner::{LimitMeans, SpawnError, Spawners};

/// The limits of tests cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// One of them.
    #[error(transparent)]
    NotKept(#[from] LimitNotKept),
    /// The spawner cannot say how it keeps limits.
    #[error(transparent)]
    Spawner(#[from] SpawnError),
}

/// A limit of a test cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error(
    "the limit of {limit} (`{}`, or `limits` of {task}) can't be kept by the spawner \
     `{spawner}`: {why}",
    setting_of(*limit)
)]
pub struct LimitNotKept {
    limit: Limit,
    /// The first test with the limit.
    task: String,
    spawner: SpawnerKind,
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
    spawners: &Spawners,
) -> Result<Vec<Warning>, LimitError> {
    let mut used: BTreeMap<(&'static str, SpawnerKind), (Limit, &str)> = BTreeMap::new();
    for entry in plan.entries.iter().filter(|it| it.starts_processes()) {
        for limit in limits.of(&entry.task.runnable.more).set() {
            let first = used.entry((limit.name(), entry.spawner));
            first.or_insert((limit, &entry.task.id));
        }
    }
    let mut warnings: Vec<Warning> = Vec::new();
    for ((_, spawner), (limit, task)) in used {
        match spawners.limit_means(spawner, limit)? {
            LimitMeans::Exact(_) => {}
            LimitMeans::Approximate(how) => {
                let warning = Warning {
                    cause: WarningCause::Limit,
                    reference: None,
                    plugin: None,
                    message: format!("the limit of {limit} is approximate: {how}"),
                };
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
            LimitMeans::None(why) => {
                return Err(LimitError::NotKept(LimitNotKept {
                    limit,
                    task: task.to_owned(),
                    spawner,
                    why,
                }));
            }
        }
    }
    Ok(warnings)
}

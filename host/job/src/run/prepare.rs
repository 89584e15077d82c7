//! Owns the preparation of a job: its plan, its graph, its slots and its spawners, before anything
//! of the job is written.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::dispatch::beginning::{check_selection, same_plan};
use crate::dispatch::dispatcher::Policy;
use crate::dispatch::error::JobError;
use crate::dispatch::takeover::Remains;
use crate::input;
use crate::input::resolve::{Answer, Resolved};
use crate::plan::graph::Graph;
use crate::plan::history::History;
use crate::plan::planner::{self, Plan};
use crate::plan::slot_pools::SlotPools;
use crate::run::{Job, ResumedJob};
use persea_config::{Config, settings};
use persea_display::Screen;
use persea_model::SpawnerKind;
use persea_plugin::Catalog;
use persea_spawner::Spawners;

/// A job whose tasks can start.
pub(super) struct PreparedJob {
    pub(super) plan: Arc<Plan>,
    pub(super) graph: Graph,
    pub(super) pools: SlotPools,
    pub(super) policy: Policy,
}

/// Prepares a job. A signal ends the preparation, also while plugins are compiled, which may take
/// seconds.
///
/// # Errors
/// The plan cannot be made, a spawner cannot be prepared, or a signal has arrived. The job's
/// spawners are closed then.
pub(super) async fn prepare(job: &mut Job, screen: &mut Screen) -> Result<PreparedJob, JobError> {
    let Job {
        config,
        catalog,
        spawners,
        resolved,
        resumed,
        selection,
        results_root,
        signals,
        ..
    } = job;
    let remains = resumed.as_ref();
    let remains = remains.map(|resumed| Remains::new(&resumed.stored, resumed.since));
    let leases = remains.as_ref().map(Remains::leases).unwrap_or_default();
    if !leases.is_zero() {
        screen.notice(&format!(
            "Waiting up to {} s until tests of the killed host have ended on other machines \
             (the lease of their helpers).",
            leases.as_secs() + 1
        ));
    }
    let mut waits = spawners.waits();
    let prepared = async {
        let plan = match &*resumed {
            None => {
                let resolved = std::mem::take(resolved);
                load_requirement_resolvers(catalog, &resolved).await;
                planner::plan(resolved, catalog, config, results_root, selection)
            }
            Some(resumed) => same_plan(&resumed.stored, catalog, config).await?,
        };
        check_selection(&plan, selection, config)?;
        let graph = plan.graph(config)?;
        let pools = prepare_spawners(&plan, resumed.as_ref(), config, spawners).await?;
        let planned = (&plan, &graph, pools.at_once);
        let policy = policy(catalog, config, planned, results_root).await?;
        if let Some(remains) = remains {
            remains.end().await?;
        }
        Ok(PreparedJob {
            plan: Arc::new(plan),
            graph,
            pools,
            policy,
        })
    };
    let prepared = {
        let mut preparing = std::pin::pin!(prepared);
        loop {
            tokio::select! {
                biased;
                () = signals.end() => break Err(JobError::Interrupted),
                prepared = &mut preparing => break prepared,
                line = waits.next() => screen.notice(&line),
            }
        }
    };
    if prepared.is_err() {
        // Some may have been prepared already.
        spawners.close().await;
    }
    prepared
}

/// Loads the requirement resolvers if any runnable has requirements.
pub async fn load_requirement_resolvers(catalog: &Catalog, resolved: &[Resolved]) {
    let some = resolved.iter().any(|resolved| match &resolved.answer {
        Answer::Found { runnables, .. } => runnables.iter().any(|it| !it.requirements.is_empty()),
        _ => false,
    });
    if some {
        catalog.load_requirement_resolvers().await;
    }
}

/// Divides the slots among the spawners of the tasks that have no result yet, and prepares those
/// that start processes.
async fn prepare_spawners(
    plan: &Plan,
    resumed: Option<&ResumedJob>,
    config: &Config,
    spawners: &mut Spawners,
) -> Result<SlotPools, JobError> {
    let stored = resumed.map(|resumed| &resumed.stored);
    let open = || {
        plan.entries
            .iter()
            .filter(move |it| stored.is_none_or(|job| job.is_open(it.task.index)))
    };
    let pools = SlotPools::new(open(), config);
    let starting = open().filter(|entry| entry.starts_processes());
    let kinds: BTreeSet<SpawnerKind> = starting.map(|entry| entry.spawner).collect();
    for kind in kinds {
        let slots = pools.slots(kind);
        spawners.set_first_slot(kind, slots.map_or(0, |slots| slots.first));
        let count = slots.map_or(0, |slots| slots.count);
        spawners.prepare(kind, count).await?;
    }
    Ok(pools)
}

/// Instantiates the configured scheduler, if there is one.
async fn policy(
    catalog: &Catalog,
    config: &Config,
    (plan, graph, slots): (&Plan, &Graph, usize),
    results_root: &Path,
) -> Result<Policy, JobError> {
    let Some(name) = config.get(settings::RUN_SCHEDULER) else {
        return Ok(Policy::none());
    };
    let found = catalog.schedulers().find(|plugin| plugin.name == name);
    let plugin = found.ok_or_else(|| JobError::NoScheduler {
        name: name.to_owned(),
        known: input::known_plugins(catalog.schedulers()),
    })?;
    let history = History::read(results_root);
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    let begun = Policy::begin(plugin, config, (plan, graph), &history, slots).await;
    begun.map_err(JobError::Scheduler)
}

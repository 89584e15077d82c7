//! Converts what the dispatcher knows of a task into the journal's record of its end, and its
//! leases into variables. Pure functions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::execute::messages::FinishedTask;
use persea_journal::{PeakMemoryOf, TaskFinished};
use persea_model::names::TEST_RESULTS;
use persea_model::{Attribute, Attributes, Outcome, Task};
use persea_spawner::PeakOf;

/// Variables that name the instances of resources that a task has leased, such as
/// `PERSEA_RESOURCE_DB=orders-2`.
pub(super) fn lease_variables(leases: &BTreeMap<&str, Vec<&str>>) -> Vec<(String, String)> {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_uppercase(),
        _ => '_',
    };
    let variable = |(name, instances): (&&str, &Vec<&str>)| {
        let name: String = name.chars().map(plain).collect();
        (format!("PERSEA_RESOURCE_{name}"), instances.join(","))
    };
    leases.iter().map(variable).collect()
}

/// The leases of a task for its runner, as `leases`; empty for a task without leases.
pub(super) fn lease_data(leases: &BTreeMap<&str, Vec<&str>>) -> Attributes {
    if leases.is_empty() {
        return Attributes::new();
    }
    let all = leases.iter().map(|(resource, instances)| {
        let instances = instances.iter().map(|it| Attribute::from(*it));
        let instances: Vec<Attribute> = instances.collect();
        ((*resource).to_owned(), instances.into())
    });
    let all: BTreeMap<String, Attribute> = all.collect();
    Attributes::from([(LEASES.to_owned(), all.into())])
}

/// The name of a task's leases in the data for its plugins.
const LEASES: &str = "leases";

/// Leases as events of the journal have them.
pub(super) fn journal_leases<'a>(
    leases: BTreeMap<&'a str, Vec<&'a str>>,
) -> BTreeMap<Cow<'a, str>, Vec<Cow<'a, str>>> {
    let leases = leases.into_iter().map(|(resource, instances)| {
        let instances = instances.into_iter().map(Cow::Borrowed);
        (Cow::Borrowed(resource), instances.collect())
    });
    leases.collect()
}

/// Returns the journal's record of a task that has ended. `before` is the number of earlier
/// attempts.
pub(super) fn record(
    task: &Task,
    outcome: &Outcome,
    ran: Option<&FinishedTask>,
    before: usize,
) -> TaskFinished {
    let mut more = outcome.more.clone();
    // A runner's data does not replace the host's.
    more.retain(|name, _| !TaskFinished::RESERVED.contains(&name.as_str()));
    let usage = ran.and_then(|ran| ran.usage);
    TaskFinished {
        title: (task.title != task.name).then(|| task.title.to_string()),
        reason: outcome.reason.clone(),
        started: ran.map(|ran| ran.started),
        elapsed: ran.map_or(0, |ran| nanoseconds(ran.elapsed)),
        has_directory: ran.is_some_and(|ran| ran.has_directory),
        whiteboard: ran.and_then(|ran| ran.whiteboard.clone()),
        left_behind: ran.map_or(0, |ran| ran.left_behind),
        cpu_user: usage.map(|usage| nanoseconds(usage.user)),
        cpu_system: usage.map(|usage| nanoseconds(usage.system)),
        peak_memory: usage.map(|usage| usage.peak_memory),
        peak_memory_of: usage.map(|usage| match usage.peak_of {
            PeakOf::LargestProcess => PeakMemoryOf::LargestProcess,
            PeakOf::Tree => PeakMemoryOf::Tree,
        }),
        attempts: if before > 0 { before + 1 } else { 0 },
        flaky: before > 0 && outcome.status.has_passed(),
        cases: ran.and_then(|ran| ran.cases.tally),
        unnumbered_cases: ran.map_or(0, |ran| ran.cases.unnumbered),
        failed_cases: ran.map_or_else(Vec::new, |ran| ran.cases.failed.clone()),
        more,
        ..TaskFinished::new(
            task.index.number(),
            task.name.to_string(),
            &task.runnable,
            outcome.status,
            format!("{TEST_RESULTS}/{}", task.directory),
        )
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

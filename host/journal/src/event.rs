//! Owns the events of a journal: their kinds and their data, for writing and for reading. The
//! book's page on the journal describes the same data for other programs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::case::{CaseFinished, CaseStarted};
use crate::requirement::{
    RequirementAbsent, RequirementFinished, RequirementReleased, RequirementRetried,
    RequirementStarted,
};
use crate::takeover::{EnvironmentChanged, JobTakenOver, KnownResult, MadeBy, TakeOverData};
use crate::task_end::{TaskEnvironment, TaskFinished, is_zero};
use persea_model::{Attributes, Runnable, Tally};

/// The job has begun: the first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobStarted {
    /// The job's id: 40 hexadecimal digits.
    pub job_id: String,
    /// The job's directory, as an absolute path.
    pub job_dir: String,
    /// The last part of that path.
    pub name: String,
    /// The working directory of the host, as an absolute path. Empty in journals of older hosts.
    #[serde(default)]
    pub project_dir: String,
    /// The commit of the project. None outside of a git repository, and in journals of older hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The number of planned tasks.
    pub total: usize,
    /// The version of the host.
    pub persea_version: String,
    /// The references and recipes, as the user gave them.
    pub references: Vec<String>,
    /// The job file whose suites run. It is the only reference then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_file: Option<String>,
    /// The seed of the tasks' order, if they were shuffled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffle_seed: Option<u64>,
    /// The settings in force, by name.
    pub settings: Attributes,
    /// What another host needs to take the job over. Journals of older hosts have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_over: Option<Box<TakeOverData>>,
}

/// The commit of a git repository in which a job ran. Whether files differed from it is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Revision {
    /// The commit's id: 40 or 64 hexadecimal digits.
    pub commit: String,
    /// The branch; none if no branch was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// A task is part of the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TaskPlanned<'a> {
    /// The task's position in the plan, from 1.
    pub index: usize,
    /// The runnable's identifier. Journals of older hosts have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'a, str>>,
    /// The title that people know the task by, unique in its job, where it differs from the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Cow<'a, str>>,
    /// The runnable.
    pub runnable: Cow<'a, Runnable>,
    /// The plugins that have made the task; none where all of them are built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<Cow<'a, MadeBy>>,
    /// The result, if it is known before the task could run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_result: Option<KnownResult>,
}

/// What a warning is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningCause {
    /// A resolver warned about the reference: it may hold tests that were not found.
    Incomplete,
    /// A resolver answered with an error, and the others were asked.
    ResolverError,
    /// A file or directory in a directory cannot be read or named.
    Unreadable,
    /// The scheduler failed, and the job goes on in the order of the plan.
    Scheduler,
    /// A limit of tests is kept by something that limits another thing.
    Limit,
    /// Another host stays away, and no task is run there any more.
    Host,
    /// A test that failed in the earlier job is not among the tests that could run again.
    FailedTestGone,
}

/// Something that went wrong, or may have, and ends no task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Warning {
    /// The cause.
    pub cause: WarningCause,
    /// The reference that the warning is about, as typed or as found in a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The label of the plugin that warns or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// What is wrong, for people.
    pub message: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in [&self.reference, &self.plugin].into_iter().flatten() {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// The job has ended: the last line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobFinished {
    /// The number of tasks for each status.
    #[serde(flatten)]
    pub tally: Tally,
    /// The number of tasks.
    pub total: usize,
    /// How long the job took, in nanoseconds.
    pub elapsed: u64,
    /// Why the job was cut short, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted_by: Option<String>,
    /// How often an environment was switched to another snapshot.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub switches: usize,
}

/// A task has been given to its runner.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TaskStarted<'a> {
    /// The leases that the task holds: instances of resources, by the resource's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leases: BTreeMap<Cow<'a, str>, Vec<Cow<'a, str>>>,
    /// The task's environment; none for this machine itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<TaskEnvironment<'a>>,
}

/// A runner reports the progress of its task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskProgress<'a> {
    /// The runner's text, for people.
    pub message: Cow<'a, str>,
}

/// Declares the events once: [`EventKind`] with its names, [`Event`] with its data, and how a
/// line's data is written and read.
macro_rules! events {
    ($($(#[$doc:meta])* $kind:ident($data:ty) = $name:literal,)*) => {
        /// The kind of an event, as a line of the journal names it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $kind,)*
        }

        impl EventKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The name in the journal.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// The kind with this name; none for a kind that this host does not know.
            pub fn of(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$kind),)*
                    _ => None,
                }
            }
        }

        /// An event with its data.
        #[derive(Clone, Debug)]
        pub enum Event<'a> {
            $($(#[$doc])* $kind(Cow<'a, $data>),)*
        }

        impl Event<'_> {
            /// The event's kind.
            pub const fn kind(&self) -> EventKind {
                match self {
                    $(Self::$kind(_) => EventKind::$kind,)*
                }
            }

            /// Reads an event's data from JSON.
            pub(crate) fn read(
                kind: EventKind,
                data: &RawValue,
            ) -> serde_json::Result<Event<'static>> {
                let data = data.get();
                Ok(match kind {
                    $(EventKind::$kind => Event::$kind(Cow::Owned(serde_json::from_str(data)?)),)*
                })
            }
        }

        /// The event's data.
        impl Serialize for Event<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$kind(data) => data.serialize(serializer),)*
                }
            }
        }
    };
}

events! {
    /// The job has begun: the first line.
    JobStarted(JobStarted) = "job-started",
    /// A task is part of the plan.
    TaskPlanned(TaskPlanned<'a>) = "task-planned",
    /// A task has been given to its runner.
    TaskStarted(TaskStarted<'a>) = "task-started",
    /// A runner reports progress, for whoever watches the job.
    TaskProgress(TaskProgress<'a>) = "task-progress",
    /// A case of a task runs.
    CaseStarted(CaseStarted<'a>) = "case-started",
    /// A case of a task has ended.
    CaseFinished(CaseFinished<'a>) = "case-finished",
    /// An attempt of a task has failed, and another attempt follows.
    TaskRetried(TaskFinished) = "task-retried",
    /// A task has ended.
    TaskFinished(TaskFinished) = "task-finished",
    /// A requirement resolver begins; with the task that has the requirement for itself, if one
    /// has.
    RequirementStarted(RequirementStarted<'a>) = "requirement-started",
    /// A requirement is absent and is about to be fulfilled.
    RequirementAbsent(RequirementAbsent<'a>) = "requirement-absent",
    /// An attempt to fulfil a requirement has failed, and another attempt follows.
    RequirementRetried(RequirementRetried) = "requirement-retried",
    /// A requirement resolver has ended.
    RequirementFinished(RequirementFinished) = "requirement-finished",
    /// A requirement was released, or could not be.
    RequirementReleased(RequirementReleased) = "requirement-released",
    /// An environment has changed its state.
    EnvironmentChanged(EnvironmentChanged<'a>) = "environment-changed",
    /// Something is wrong, or may be, that ends no task.
    Warning(Warning) = "warning",
    /// The job is stopped (Ctrl-Z).
    JobPaused(NoData) = "job-paused",
    /// The job goes on after a stop.
    JobResumed(NoData) = "job-resumed",
    /// Another host goes on with the job.
    JobTakenOver(JobTakenOver) = "job-taken-over",
    /// The job has ended: the last line.
    JobFinished(JobFinished) = "job-finished",
}

/// The data of an event that has none.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct NoData {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn book_describes_every_event() {
        let docs = include_str!("../../../docs/journal.md");
        for kind in EventKind::ALL {
            let name = format!("`{}`", kind.name());
            assert!(docs.contains(&name), "docs/journal.md lacks {name}");
        }
    }
}

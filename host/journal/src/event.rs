//! What the lines of the journal hold, for each kind of event. Plain data; the book's page on the journal describes it for readers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use persea_model::{Attributes, Requirement, Runnable, Scope, Status, Tally};

/// The job has begun: the first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobStarted {
    /// The job's id: 40 hexadecimal digits.
    pub job_id: String,
    /// Its directory, as an absolute path.
    pub job_dir: String,
    /// The last part of that path.
    pub name: String,
    /// The working directory of the host, as an absolute path. Empty in journals of older hosts.
    #[serde(default)]
    pub project_dir: String,
    /// How many tasks are planned.
    pub total: usize,
    /// The version of the host.
    pub persea_version: String,
    /// The references and recipes, as the user gave them.
    pub references: Vec<String>,
    /// The seed with which the tasks were shuffled, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffle_seed: Option<u64>,
    /// The settings in force, by name.
    pub settings: Attributes,
}

/// A task is part of the plan.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TaskPlanned<'a> {
    /// Its place in the plan, from 1.
    pub index: usize,
    /// The runnable's identifier.
    pub name: &'a str,
    /// What people call it, unique in its job, where that is not the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<&'a str>,
    /// What is to be run.
    pub runnable: &'a Runnable,
}

/// A task has ended. Holds all that a report needs, so that a reader need not keep the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TaskFinished {
    /// Its place in the plan, from 1.
    pub index: usize,
    /// The runnable's identifier.
    pub name: String,
    /// What people call it, unique in its job, where that is not the name: with its suite and its variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The runnable's kind.
    pub kind: String,
    /// The runnable's uri.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// How it ended.
    pub status: Status,
    /// Why, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it started, in nanoseconds of Unix time; none if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// How long it ran, in nanoseconds, without the time for which the job was stopped.
    pub elapsed: u64,
    /// Its directory, relative to the job's.
    pub directory: String,
    /// The runnable's tags.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub tags: Attributes,
    /// The suite that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// The variant that it was run with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<serde_json::Value>,
    /// What the runner wrote on its whiteboard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whiteboard: Option<String>,
    /// Processes that it left behind and that were ended.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_behind: usize,
    /// How often it was run, where that was more than once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: usize,
    /// It passed, but not the first time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flaky: bool,
    /// It cannot run for a reason of the configuration, which the display has shown before: not in the journal.
    #[serde(skip)]
    pub is_refused: bool,
    /// Open data from the runner.
    #[serde(flatten)]
    pub more: Attributes,
}

impl TaskFinished {
    /// What people call it.
    pub fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }
}

// serde asks for a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A requirement is looked into.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequirementStarted<'a> {
    /// Unique in its job: `2-package-jq`.
    pub id: &'a str,
    /// What people call it.
    pub name: &'a str,
    /// What is wanted.
    pub requirement: &'a Requirement,
    /// For how long.
    pub scope: Scope,
    /// The name of the requirement resolver that sees to it.
    pub resolver: &'a str,
    /// Who makes the environment in which it is met, where that is not this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spawner: Option<&'a str>,
}

/// A requirement has been seen to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequirementFinished {
    /// Which.
    pub id: String,
    /// `present` (it was there), `fulfilled` (it was brought about), `failed` (it is not met) or `unknown` (it is not met, and nobody knows how far it has come).
    pub state: String,
    /// Why it is not met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long that took, in nanoseconds.
    pub elapsed: u64,
    /// What it takes to undo that.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub fulfilled: Attributes,
    /// The name by which the environment has been kept in which it is there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
}

/// A requirement was released, or could not be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequirementReleased {
    /// Which.
    pub id: String,
    /// Why it could not be released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long that took, in nanoseconds.
    pub elapsed: u64,
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
}

/// Something that went wrong, or may have, and ends no task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Warning {
    /// What it is about.
    pub cause: WarningCause,
    /// The reference that it is about, as typed or as found in a directory.
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
    /// How many tasks ended with which status.
    #[serde(flatten)]
    pub tally: Tally,
    /// How many tasks there were.
    pub total: usize,
    /// How long it took, in nanoseconds.
    pub elapsed: u64,
    /// Why it was cut short, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted_by: Option<String>,
    /// How often an environment was brought to another state.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub switches: usize,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The job has begun.
    JobStarted(&'a JobStarted),
    /// A task is part of the plan.
    TaskPlanned(&'a str, TaskPlanned<'a>),
    /// A task has been given to its runner.
    TaskStarted(&'a str, &'a TaskStarted<'a>),
    /// A runner said something for whoever looks at the job.
    TaskProgress(&'a str, &'a str),
    /// A task has ended, not well, and is tried again: how it ended.
    TaskRetried(&'a str, &'a TaskFinished),
    /// A task has ended.
    TaskFinished(&'a str, &'a TaskFinished),
    /// A requirement is looked into; with the task that has it for itself, if one has.
    RequirementStarted(Option<&'a str>, &'a RequirementStarted<'a>),
    /// The requirement with this id is not there, and is about to be brought about.
    RequirementAbsent(Option<&'a str>, &'a str),
    /// A requirement has been seen to.
    RequirementFinished(Option<&'a str>, &'a RequirementFinished),
    /// A requirement was released, or could not be.
    RequirementReleased(Option<&'a str>, &'a RequirementReleased),
    /// Something went wrong, or may have, and ends no task.
    Warning(&'a Warning),
    /// The job stands still (Ctrl-Z).
    JobPaused,
    /// It goes on.
    JobResumed,
    /// The job has ended.
    JobFinished(&'a JobFinished),
}

/// Where a task was given.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TaskStarted<'a> {
    /// The instances of resources that it has, by their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub leases: BTreeMap<&'a str, Vec<&'a str>>,
    /// Its environment, where that is not this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<TaskEnvironment<'a>>,
}

/// The environment in which a task runs.
#[derive(Clone, Debug, Serialize)]
pub struct TaskEnvironment<'a> {
    /// Who has made it.
    pub spawner: &'a str,
    /// The snapshot to which it was brought back: the id of the last requirement that was met in it. None is how the spawner makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<&'a str>,
}

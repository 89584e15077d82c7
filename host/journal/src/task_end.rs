//! Owns the record of a task's end, and of each attempt that another one follows: its result, its
//! environment and what it used. Does not know what decides on another attempt.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::case::ShownCase;
use persea_model::{Attribute, Attributes, Runnable, Status, Tally};

/// Why an attempt of a task is followed by another one, where that is not a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptCause {
    /// The environment of the attempt was lost.
    EnvironmentLost,
    /// The host of the attempt has ended, and another one has taken the job over.
    JobTakenOver,
}

/// A task has ended. Holds everything that a report needs, so that a reader need not keep the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TaskFinished {
    /// The task's position in the plan, from 1.
    pub index: usize,
    /// The runnable's identifier.
    pub name: String,
    /// The title that people know the task by, with its suite and its variant, where it differs
    /// from the name. Unique in its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The runnable's kind.
    pub kind: String,
    /// The runnable's uri.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The result.
    pub status: Status,
    /// Why an attempt follows that is none of the task's retries, such as a lost environment. None
    /// for a retry and for the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<AttemptCause>,
    /// The reason for the result, on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The time of the start, in nanoseconds of Unix time; none if the task never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// The duration in nanoseconds, without the time for which the job was stopped (Ctrl-Z).
    pub elapsed: u64,
    /// The task's directory, relative to the job's.
    pub directory: String,
    /// Whether the directory exists. It does not if the test has left nothing.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub has_directory: bool,
    /// The runnable's tags.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub tags: Attributes,
    /// The task's suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// The task's variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Attribute>,
    /// The environment of the task's last attempt; none for this machine itself, and for a task
    /// that has not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<TaskEnvironment<'static>>,
    /// The text that the runner wrote on the task's whiteboard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whiteboard: Option<String>,
    /// The number of processes that the task left behind and that the host ended.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_behind: usize,
    /// The processor time of its processes in user mode, in nanoseconds. None of the four about
    /// usage is there for a task without processes, or that shared its processes with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_user: Option<u64>,
    /// The processor time that the kernel spent for its processes, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_system: Option<u64>,
    /// The peak of the memory of its processes, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// What that peak is the peak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_of: Option<PeakMemoryOf>,
    /// The number of attempts, if there was more than one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: usize,
    /// Whether the task passed on a retry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flaky: bool,
    /// Whether this is no result of its own, because the job was stopped. A host that takes the job
    /// over runs the task.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_short: bool,
    /// The number of its cases by their status, if it has reported any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cases: Option<Tally>,
    /// The number of cases whose path was not compared with those before it, because the task has
    /// reported too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unnumbered_cases: usize,
    /// The first of its cases that have failed. The journal has each in an event of its own.
    #[serde(skip)]
    pub failed_cases: Vec<ShownCase>,
    /// Whether the configuration keeps the task from running. The display has shown the reason
    /// before. Not in the journal.
    #[serde(skip)]
    pub is_refused: bool,
    /// Open data from the runner.
    #[serde(flatten)]
    pub more: Attributes,
}

impl TaskFinished {
    /// The names of `task-finished` that belong to the host. A runner's data under these names is
    /// dropped.
    pub const RESERVED: [&'static str; 27] = [
        "index",
        "name",
        "title",
        "kind",
        "uri",
        "status",
        "cause",
        "reason",
        "started",
        "elapsed",
        "directory",
        "has-directory",
        "tags",
        "suite",
        "variant",
        "environment",
        "whiteboard",
        "left-behind",
        "cpu-user",
        "cpu-system",
        "peak-memory",
        "peak-memory-of",
        "attempts",
        "flaky",
        "cut-short",
        "cases",
        "unnumbered-cases",
    ];

    /// The end of a task that has not run: it took no time, has no directory and no case.
    pub fn new(
        index: usize,
        name: String,
        runnable: &Runnable,
        status: Status,
        directory: String,
    ) -> Self {
        let tags = runnable.tags.iter().map(|(tag, values)| {
            let value = match values.is_empty() {
                true => Attribute::Null,
                false => values.clone().into(),
            };
            (tag.clone(), value)
        });
        Self {
            index,
            name,
            title: None,
            kind: runnable.kind.clone(),
            uri: runnable.uri.clone(),
            status,
            cause: None,
            reason: None,
            started: None,
            elapsed: 0,
            directory,
            has_directory: false,
            tags: tags.collect(),
            suite: runnable.suite().map(str::to_owned),
            variant: runnable.more.get("variant").cloned(),
            environment: None,
            whiteboard: None,
            left_behind: 0,
            cpu_user: None,
            cpu_system: None,
            peak_memory: None,
            peak_memory_of: None,
            attempts: 0,
            flaky: false,
            cut_short: false,
            cases: None,
            unnumbered_cases: 0,
            failed_cases: Vec::new(),
            is_refused: false,
            more: Attributes::new(),
        }
    }

    /// The title that people know the task by.
    pub fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }
}

/// The environment in which a task runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskEnvironment<'a> {
    /// The spawner that has made the environment.
    pub spawner: Cow<'a, str>,
    /// The image of the container; none for an environment of another spawner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Cow<'a, str>>,
    /// The other host on which the environment is; none for this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Cow<'a, str>>,
    /// The snapshot that the environment was reset to: the id of the last requirement that was
    /// fulfilled in it. None for an environment as the spawner makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Cow<'a, str>>,
}

/// What a peak of memory is the peak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeakMemoryOf {
    /// The resident memory of the largest process.
    LargestProcess,
    /// The memory of all processes together, with what they have in the page cache.
    Tree,
}

// serde asks for a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
pub(crate) fn is_zero(number: &usize) -> bool {
    *number == 0
}

const fn yes() -> bool {
    true
}

// serde asks for a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_yes(is: &bool) -> bool {
    *is
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_field_of_the_host_is_reserved() {
        let text = || Some("x".to_owned());
        let number = Some(1);
        let record = TaskFinished {
            title: text(),
            uri: text(),
            cause: Some(AttemptCause::JobTakenOver),
            reason: text(),
            started: number,
            tags: Attributes::from_iter([("fast".to_owned(), Attribute::Null)]),
            suite: text(),
            variant: Some(Attribute::Null),
            environment: Some(TaskEnvironment {
                spawner: "sandbox".into(),
                host: None,
                image: None,
                snapshot: None,
            }),
            whiteboard: text(),
            left_behind: 1,
            cpu_user: number,
            cpu_system: number,
            peak_memory: number,
            peak_memory_of: Some(PeakMemoryOf::Tree),
            attempts: 2,
            flaky: true,
            cut_short: true,
            cases: Some(Tally::default()),
            unnumbered_cases: 1,
            ..TaskFinished::new(
                1,
                String::new(),
                &Runnable::default(),
                Status::Pass,
                String::new(),
            )
        };
        let written = serde_json::to_value(&record).unwrap();
        let written = written.as_object().unwrap();
        let names: BTreeSet<&str> = written.keys().map(String::as_str).collect();
        assert_eq!(names, TaskFinished::RESERVED.into_iter().collect());
    }
}

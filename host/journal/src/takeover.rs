//! Owns the events of environments, and what a host records so that another one can take its job
//! over. Does not know how a job is resumed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use persea_model::Status;

/// The state of an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvironmentPhase {
    /// The environment waits for something outside of the host, which `reason` names.
    Queued,
    /// The spawner makes the environment.
    Starting,
    /// Tasks can run in the environment.
    Ready,
    /// The environment has ended by itself, or cannot be reached any more.
    Lost,
    /// The host has ended the environment, or could not make it.
    Closed,
}

impl EnvironmentPhase {
    /// The name in the journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Lost => "lost",
            Self::Closed => "closed",
        }
    }

    /// Whether no state follows this one.
    pub const fn is_last(self) -> bool {
        match self {
            Self::Lost | Self::Closed => true,
            Self::Queued | Self::Starting | Self::Ready => false,
        }
    }
}

/// An environment has changed its state.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EnvironmentChanged<'a> {
    /// The number of the environment, unique in its job.
    pub environment: usize,
    /// The new state.
    pub state: EnvironmentPhase,
    /// What the environment waits for, or why it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// The spawner.
    pub spawner: Cow<'a, str>,
    /// The slot that the environment is for.
    pub slot: usize,
    /// What identifies the environment from outside; nothing before it is ready.
    #[serde(flatten)]
    pub remote_id: Cow<'a, RemoteId>,
}

/// What identifies an environment from outside of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RemoteId {
    /// The name of the other host that the environment is on; none for this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The id of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The process number, on this machine, of the process that ends with the environment or with
    /// the connection to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<u32>,
    /// When that process started, in ticks of the kernel since the machine's start. With the
    /// number it identifies the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_start: Option<u64>,
    /// The process number of the helper in the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helper: Option<u32>,
    /// How long the helper lives without a word from its host, in nanoseconds; none where it ends
    /// at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<u64>,
}

/// A running instance of Persea.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostRecord {
    /// The name of the machine.
    pub machine: String,
    /// The kernel's id of the machine's last start.
    pub boot: String,
    /// The process number.
    pub process: u32,
    /// The number of the user.
    pub user: u32,
    /// The version of Persea.
    pub persea_version: String,
}

/// A plugin that takes part in a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// The plugin's name for people.
    pub label: String,
    /// The plugin's version.
    pub version: String,
    /// The SHA-256 of the component.
    pub digest: String,
    /// What the plugin may do, as options of the command line; empty for one that is built in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub grants: String,
}

/// What another host needs, beside the plan and the settings, to take the job over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TakeOverData {
    /// The host that runs the job.
    pub host: HostRecord,
    /// The plugins that take part, by what they do: `runner exec-test`.
    #[serde(default)]
    pub plugins: BTreeMap<String, PluginRecord>,
    /// By setting that has not its default: where the value comes from.
    #[serde(default)]
    pub origins: BTreeMap<String, String>,
    /// The settings that are set and secret, so that their values are not in the journal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_settings: Vec<String>,
    /// The plugin directories that the command line names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugin_dirs: Vec<String>,
    /// The grants of the command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
}

/// The provenance of a task: the plugins that are not built in and have made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MadeBy {
    /// The name and the SHA-256 of each: `resolver.mine 0123…`.
    pub plugins: Vec<String>,
    /// The number of the task's leading requirements that others have added.
    #[serde(default)]
    pub foreign_requirements: usize,
}

/// A result that is known before the task could run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownResult {
    /// The status.
    pub status: Status,
    /// The reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Another host goes on with the job (`persea run --resume`). This event voids every earlier
/// `task-finished` with `cut-short`, and an earlier `job-finished`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobTakenOver {
    /// The new host.
    pub host: HostRecord,
    /// The number of tasks that keep their results.
    pub kept: usize,
    /// The number of tasks that have been started and run again.
    pub again: usize,
    /// The number of tasks that have never been started.
    pub left: usize,
}

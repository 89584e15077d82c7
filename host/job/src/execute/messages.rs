//! Owns the messages between the dispatcher and executors: assignments one way, events and results
//! the other. Plain data.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::execute::cases::{CaseBatch, CaseSummary};
use crate::execute::slot::{Slot, SlotIndex};
use crate::plan::graph::NodeIndex;
use crate::plan::requirements::StepIndex;
use persea_journal::EnvironmentPhase;
use persea_model::{Attributes, Limits, Outcome, SpawnerKind, TaskIndex};
use persea_plugin::Fulfilled;
use persea_spawner::{EnvironmentId, EnvironmentState, PipelinePosition, Usage};

/// The messages of executors to the dispatcher.
pub(crate) enum ExecutorMessage {
    /// The process of a queued task has started.
    Started { task: TaskIndex, slot: SlotIndex },
    /// A progress message of the task.
    Progress {
        task: TaskIndex,
        slot: SlotIndex,
        text: String,
    },
    /// Cases of the task. The batch may hold more by the time that it is taken.
    Cases {
        task: TaskIndex,
        slot: SlotIndex,
        batch: Arc<CaseBatch>,
    },
    /// A progress message of a requirement resolver.
    RequirementProgress { step: StepIndex, text: String },
    /// The helper has returned the queued process of a task unstarted: the dispatcher requeues the
    /// task.
    Returned {
        task: TaskIndex,
        slot: SlotIndex,
        /// Whether the helper died.
        helper_died: bool,
    },
    /// The task has ended, and its slot is free.
    Finished(Box<FinishedTask>),
    /// The batch in this slot is ready for its next task; it ends when `give` is dropped.
    BatchReady {
        slot: SlotIndex,
        give: oneshot::Sender<(TaskIndex, Assignment)>,
    },
    /// The batch in this slot is over.
    BatchEnded { slot: SlotIndex },
    /// An environment has changed its state.
    Environment(Box<EnvironmentNews>),
    /// A requirement is absent and about to be fulfilled. The executor waits for `proceed`, which
    /// is sent once the journal has the event.
    RequirementAbsent {
        step: StepIndex,
        proceed: oneshot::Sender<()>,
    },
    /// The host of this slot can be used again, or is given up for the reason in `failed`.
    HostRecovered {
        slot: SlotIndex,
        failed: Option<String>,
    },
    /// A requirement has been checked, and fulfilled where it was absent.
    RequirementPrepared(Box<PreparedRequirement>),
    /// A requirement has been released, or could not be for the reason in `failed`.
    RequirementReleased {
        /// The node of the graph that the release belongs to; none at the end of the job.
        node: Option<NodeIndex>,
        step: StepIndex,
        slot: SlotIndex,
        failed: Option<String>,
        elapsed: Duration,
    },
}

/// The new state of an environment.
#[derive(Debug)]
pub(crate) struct EnvironmentNews {
    /// The number of the environment, unique in its job.
    pub(crate) number: usize,
    pub(crate) spawner: SpawnerKind,
    pub(crate) slot: SlotIndex,
    pub(crate) state: EnvironmentPhase,
    /// Why it has ended.
    pub(crate) reason: Option<String>,
    pub(crate) id: EnvironmentId,
    /// Whoever opens the environment waits for this, which is sent once the journal has the event.
    pub(crate) proceed: Option<oneshot::Sender<()>>,
}

/// The result of fulfilling a requirement.
#[derive(Debug)]
pub(crate) struct PreparedRequirement {
    /// The requirement's node in the graph.
    pub(crate) node: NodeIndex,
    pub(crate) step: StepIndex,
    pub(crate) slot: SlotIndex,
    pub(crate) fulfilment: Fulfilment,
    pub(crate) elapsed: Duration,
}

/// How a requirement was fulfilled, or that it was not.
#[derive(Debug)]
pub(crate) enum Fulfilment {
    /// It was present before.
    Present,
    /// It was fulfilled.
    Fulfilled(Fulfilled),
    /// It was fulfilled, and its environment was kept as a snapshot under the requirement's id.
    Snapshot(Fulfilled),
    /// It is not fulfilled.
    Failed {
        reason: String,
        /// Its resolver was cut off while it changed something, and how much is unknown.
        unknown: bool,
        /// The environment is to blame, so another attempt may succeed.
        is_infrastructure: bool,
    },
}

/// The result of a task, with its measurements.
#[derive(Debug)]
pub(crate) struct FinishedTask {
    pub(crate) task: TaskIndex,
    pub(crate) slot: SlotIndex,
    pub(crate) outcome: Outcome,
    /// Whether the task has no result of its own, because its environment was lost.
    pub(crate) is_lost: bool,
    /// Whether the task has no result of its own, because the job was stopped.
    pub(crate) is_stopped: bool,
    /// When it started, in nanoseconds of Unix time.
    pub(crate) started: u64,
    pub(crate) elapsed: Duration,
    pub(crate) left_behind: usize,
    /// What its processes have used; none if it had none of its own.
    pub(crate) usage: Option<Usage>,
    pub(crate) whiteboard: Option<String>,
    /// The run time of a queued task's process, as its helper measured it.
    pub(crate) took: Option<Duration>,
    pub(crate) has_directory: bool,
    pub(crate) cases: CaseSummary,
}

/// The slot and environment of a task, and the channel to the dispatcher.
pub(crate) struct Assignment {
    pub(crate) slot: Arc<Slot>,
    /// The position in the slot's pipeline, for a task that is one process. Any other task has the
    /// slot exclusively and starts at once.
    pub(crate) position: Option<PipelinePosition>,
    /// Whether the task is requeued, rather than failed, when the helper dies before its process
    /// starts.
    pub(crate) can_requeue: bool,
    /// The state in which the task needs its environment.
    pub(crate) state: EnvironmentState,
    /// The task leaves the environment dirty: it is not reused.
    pub(crate) leaves_dirty: bool,
    /// What the task's processes may use.
    pub(crate) limits: Limits,
    /// The directory in which the task's processes start, on this machine; none for that of the
    /// project.
    pub(crate) cwd: Option<String>,
    /// Variables for the task from its requirements and leases.
    pub(crate) variables: Vec<(String, String)>,
    /// Data for the plugin in addition to paths and times: `leases`, and for a requirement of one
    /// task `variant`.
    pub(crate) more: Attributes,
    pub(crate) messages: mpsc::UnboundedSender<ExecutorMessage>,
}

//! Owns the supervision of one plugin call in an environment, of a task, a batch or a requirement:
//! its timeout, its stop on request, and the end of its processes. Every call ends, whatever the
//! plugin or its processes do, and no process outlives it. Does not know what the plugin does.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::execute::clock::Clock;
use crate::execute::control::{Control, changed};
use crate::execute::slot::Slot;
use crate::execute::task_session::TaskSession;
use persea_config::Config;
use persea_config::settings;
use persea_plugin::{PluginError, TaskHost as _};
use persea_spawner::{Environment, ReachedLimit, SpawnError, Usage};

/// The grace period between SIGTERM and SIGKILL, as configured.
pub(crate) fn grace(config: &Config) -> Duration {
    config.get(settings::RUNNER_TASK_GRACE)
}

/// How long a plugin may run after all its processes were killed: 1 s.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// The most time that a helper has to answer when it is to end processes: 10 s.
const HELPER_TIMEOUT: Duration = Duration::from_secs(10);

/// The reason of a task that reached its timeout, in Avocado's words.
pub(crate) const TIMEOUT_REASON: &str = "Test interrupted: Timeout reached";

/// SIGTERM, as the helper's protocol has it.
const TERMINATE: i32 = 15;

/// How a call is ended: by a stop request, SIGTERM, SIGKILL, and then without its answer.
pub(crate) struct StopLimits<'a> {
    pub(crate) clock: &'a Clock,
    /// The reason when the timeout is reached.
    pub(crate) timeout_reason: &'static str,
    /// How long the call may continue after a stop request before SIGTERM is sent.
    pub(crate) patience: Duration,
    /// The grace period between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
}

/// The time limits of one plugin call for a task or a requirement.
pub(crate) struct TimeLimits<'a> {
    /// When the call started, by the job's clock. A task that queued counts from the start of its
    /// process instead.
    pub(crate) begun: Duration,
    pub(crate) timeout: Option<Duration>,
    pub(crate) stop: StopLimits<'a>,
}

/// A plugin call that can be ended from outside.
pub(crate) trait Stoppable: Sync {
    /// When the call reaches its timeout, by the job's clock. It may move while the call runs.
    fn deadline(&self) -> Option<Duration>;

    /// Waits until the deadline has moved, or it is clear that the call never starts.
    fn changed(&self) -> impl Future<Output = CallChange> + Send;

    /// Called once, before the call is ended for this reason.
    fn stopping(&self, _reason: &'static str) {}

    /// Sends SIGTERM to all processes of the call.
    fn terminate(&self) -> impl Future<Output = ()> + Send;

    /// Kills all processes of the call, and returns their number.
    fn kill(&self) -> impl Future<Output = usize> + Send;
}

/// What has changed about a call.
pub(crate) enum CallChange {
    /// Its deadline has moved.
    Deadline,
    /// The helper has returned the task's process unstarted.
    Returned,
}

/// How a call ended.
pub(crate) struct EndedCall<T> {
    /// The plugin's answer; none where its sandbox is to be dropped because it never answered.
    pub(crate) answer: Option<Result<T, PluginError>>,
    /// Why its processes were sent a signal, if they were.
    interrupted: Option<&'static str>,
    /// The number of processes that were killed while it ran.
    killed: usize,
}

/// How the call of a task or a requirement ended.
pub(crate) struct SupervisedCall<T> {
    /// The plugin's answer; none where its sandbox was dropped because it never answered.
    pub(crate) answer: Option<Result<T, PluginError>>,
    /// Why its processes were sent a signal, if they were.
    pub(crate) interrupted: Option<&'static str>,
    /// The number of processes that it left running, which were killed.
    pub(crate) left_behind: usize,
    /// What its processes have used; none if there were none.
    pub(crate) usage: Option<Usage>,
    /// The limits that it has reached.
    pub(crate) reached: Vec<ReachedLimit>,
    /// Why the environment was lost, if it was.
    pub(crate) lost: Option<SpawnError>,
}

/// The phase of a supervised call.
enum CallPhase {
    Running,
    /// Asked to end for this reason; it may still end by itself.
    StopRequested(&'static str),
    /// SIGTERM was sent.
    Terminating(&'static str),
    /// SIGKILL was sent.
    Killed(&'static str),
}

/// Waits until `running` ends, and ends it at its deadline or on request. None if it never starts.
pub(crate) async fn run_to_end<T>(
    call: &impl Stoppable,
    limits: &StopLimits<'_>,
    control: &mut watch::Receiver<Control>,
    mut running: Pin<&mut impl Future<Output = Result<T, PluginError>>>,
) -> Option<EndedCall<T>> {
    let clock = limits.clock;
    let mut phase = CallPhase::Running;
    // When the present phase ends; while the call runs, that is its own deadline.
    let mut phase_end = Duration::ZERO;
    let mut killed = 0;
    let answer = loop {
        let deadline = match phase {
            CallPhase::Running => call.deadline(),
            _ => Some(phase_end),
        };
        let time_is_up = async {
            match deadline {
                Some(deadline) => clock.until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let (reason, asked, kill) = tokio::select! {
            biased;
            answer = &mut running => break Some(answer),
            asked = changed(control) => match asked.stop {
                Some(stop) => (stop.reason(), true, asked.kill),
                None => continue,
            },
            change = call.changed() => match change {
                CallChange::Deadline => continue,
                CallChange::Returned => return None,
            },
            () = time_is_up => {
                if matches!(phase, CallPhase::Running) && call.deadline() != deadline {
                    continue;
                }
                (limits.timeout_reason, false, false)
            }
        };
        if matches!(phase, CallPhase::Running) {
            call.stopping(reason);
        }
        phase = match phase {
            CallPhase::Running if asked && !kill && !limits.patience.is_zero() => {
                phase_end = clock.now() + limits.patience;
                CallPhase::StopRequested(reason)
            }
            CallPhase::Running if !kill => {
                call.terminate().await;
                phase_end = clock.now() + limits.grace;
                CallPhase::Terminating(reason)
            }
            CallPhase::StopRequested(first) if !kill => {
                call.terminate().await;
                phase_end = clock.now() + limits.grace;
                CallPhase::Terminating(first)
            }
            CallPhase::Running => {
                killed += call.kill().await;
                phase_end = clock.now() + KILL_GRACE;
                CallPhase::Killed(reason)
            }
            CallPhase::StopRequested(first) | CallPhase::Terminating(first) => {
                killed += call.kill().await;
                phase_end = clock.now() + KILL_GRACE;
                CallPhase::Killed(first)
            }
            // The plugin does not return although its processes are dead. The caller drops its
            // sandbox with the pinned future.
            CallPhase::Killed(reason) => {
                phase = CallPhase::Killed(reason);
                break None;
            }
        };
    };
    let interrupted = match phase {
        // It ended by itself.
        CallPhase::Running | CallPhase::StopRequested(_) => None,
        CallPhase::Terminating(reason) | CallPhase::Killed(reason) => Some(reason),
    };
    Some(EndedCall {
        answer,
        interrupted,
        killed,
    })
}

/// The call of a task or a requirement.
struct SessionCall<'a> {
    session: &'a TaskSession,
    limits: &'a TimeLimits<'a>,
}

impl Stoppable for SessionCall<'_> {
    fn deadline(&self) -> Option<Duration> {
        let start = self.session.start.get();
        let begun = start.map_or(self.limits.begun, |(_, begun)| begun);
        self.limits.timeout.map(|timeout| begun + timeout)
    }

    async fn changed(&self) -> CallChange {
        process_returned(self.session).await;
        CallChange::Returned
    }

    fn stopping(&self, _reason: &'static str) {
        self.session.interruption.interrupt();
    }

    async fn terminate(&self) {
        terminate(self.session).await;
    }

    async fn kill(&self) -> usize {
        kill_processes(self.session).await.unwrap_or(0)
    }
}

/// Supervises the call of a task or a requirement, and ends all its processes. None if the helper
/// has returned the task's process unstarted.
pub(crate) async fn supervise<T>(
    session: &Arc<TaskSession>,
    limits: &TimeLimits<'_>,
    control: &mut watch::Receiver<Control>,
    running: Pin<&mut impl Future<Output = Result<T, PluginError>>>,
) -> Option<SupervisedCall<T>> {
    if let Some(timeout) = limits.timeout {
        session.set_timeout(limits.begun, timeout);
    }
    let call = SessionCall { session, limits };
    let EndedCall {
        answer,
        interrupted,
        killed,
    } = run_to_end(&call, &limits.stop, control, running).await?;
    let mut left_behind = killed;
    let mut lost = None;
    if let Some(environment) = session.opened() {
        environment.measure_disk().await;
    }
    match kill_processes(session).await {
        // Processes of a call that was stopped do not count as left behind.
        Ok(left) if interrupted.is_none() => left_behind += left,
        Ok(_) => left_behind = 0,
        Err(error) => {
            if let Some(environment) = session.opened() {
                session.slot.give_up(environment);
            }
            lost = Some(error);
        }
    }
    session.log_left_behind(left_behind);
    let limits = session.opened().and_then(Environment::lift_limits);
    let usage = session.take_usage();
    let (usage, reached) = match limits {
        Some(report) => (report.complete(usage), report.reached),
        None => (usage, Vec::new()),
    };
    Some(SupervisedCall {
        answer,
        interrupted,
        left_behind,
        usage,
        reached,
        lost,
    })
}

/// Waits until the helper has returned the task's queued process unstarted. Never returns for a
/// task without one.
async fn process_returned(session: &TaskSession) {
    match session.queued_process() {
        Some(process) => process.returned().await,
        None => std::future::pending().await,
    }
}

/// Sends SIGTERM to all processes of the task.
async fn terminate(session: &TaskSession) {
    match (session.queued_process(), session.opened()) {
        (Some(process), _) => {
            let _ = tokio::time::timeout(HELPER_TIMEOUT, process.signal_all(TERMINATE)).await;
        }
        (None, Some(environment)) => terminate_in(environment).await,
        (None, None) => {}
    }
}

/// Sends SIGTERM to all processes of the environment's current task.
pub(crate) async fn terminate_in(environment: &Environment) {
    let _ = tokio::time::timeout(HELPER_TIMEOUT, environment.signal_all(TERMINATE)).await;
}

/// Kills all processes of the task, and returns their number.
async fn kill_processes(session: &TaskSession) -> Result<usize, SpawnError> {
    let Some(environment) = session.opened() else {
        return Ok(0);
    };
    match session.queued_process() {
        Some(process) => within(&session.slot, environment, process.end()).await,
        None => kill_in(&session.slot, environment).await,
    }
}

/// Kills all processes in the environment of a slot, and returns their number.
pub(crate) async fn kill_in(slot: &Slot, environment: &Environment) -> Result<usize, SpawnError> {
    within(slot, environment, environment.end_task()).await
}

async fn within(
    slot: &Slot,
    environment: &Environment,
    ending: impl Future<Output = Result<usize, SpawnError>>,
) -> Result<usize, SpawnError> {
    match tokio::time::timeout(HELPER_TIMEOUT, ending).await {
        Ok(ended) => ended,
        Err(_) => {
            // The helper hangs. When its channel closes, it kills everything in the environment and
            // exits.
            slot.give_up(environment);
            environment.close().await;
            Ok(0)
        }
    }
}

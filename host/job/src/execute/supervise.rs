//! Owns the supervision of one plugin call in an environment: its timeout, its stop on request, and
//! the end of its processes. Every call ends, whatever the plugin or its processes do, and no
//! process outlives it. Does not know what the plugin does.

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
use persea_spawner::{Environment, SpawnError};

/// The grace period between SIGTERM and SIGKILL unless configured: 1 s.
const DEFAULT_GRACE: Duration = Duration::from_secs(1);

/// The grace period between SIGTERM and SIGKILL, as configured.
pub(crate) fn grace(config: &Config) -> Duration {
    config
        .get(settings::RUNNER_TASK_GRACE)
        .unwrap_or(DEFAULT_GRACE)
}

/// How long a plugin may run after all its processes were killed: 1 s.
pub(crate) const KILL_GRACE: Duration = Duration::from_secs(1);

/// The most time that a helper has to answer when it is to end processes: 10 s.
const HELPER_TIMEOUT: Duration = Duration::from_secs(10);

/// The reason of a task that reached its timeout, in Avocado's words.
pub(crate) const TIMEOUT_REASON: &str = "Test interrupted: Timeout reached";

/// SIGTERM, as the helper's protocol has it.
const TERMINATE: i32 = 15;

/// The time limits of one plugin call.
pub(crate) struct TimeLimits<'a> {
    pub(crate) clock: &'a Clock,
    /// When the call started, by the job's clock. A task that queued counts from the start of its
    /// process instead.
    pub(crate) begun: Duration,
    pub(crate) timeout: Option<Duration>,
    /// The reason when the timeout is reached.
    pub(crate) timeout_reason: &'static str,
    /// How long the call may continue after a stop request before SIGTERM is sent.
    pub(crate) stop_patience: Duration,
    /// The grace period between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
}

/// How a supervised call ended.
pub(crate) struct SupervisedCall<T> {
    /// The plugin's answer; none where its sandbox was dropped because it never answered.
    pub(crate) answer: Option<Result<T, PluginError>>,
    /// Why its processes were sent a signal, if they were.
    pub(crate) interrupted: Option<&'static str>,
    /// The number of processes that it left running, which were killed.
    pub(crate) left_behind: usize,
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

/// Waits until `running` ends, and ends it at its timeout or on request. None if the helper has
/// returned the task's process unstarted.
pub(crate) async fn supervise<T>(
    host: &Arc<TaskSession>,
    times: &TimeLimits<'_>,
    control: &mut watch::Receiver<Control>,
    mut running: Pin<&mut impl Future<Output = Result<T, PluginError>>>,
) -> Option<SupervisedCall<T>> {
    // A queued task's timeout counts from the start of its process.
    let time_out = || {
        let begun = host.start.get().map_or(times.begun, |(_, begun)| begun);
        times.timeout.map(|timeout| begun + timeout)
    };
    let clock = times.clock;
    let mut deadline = time_out();
    let mut phase = CallPhase::Running;
    let mut left_behind = 0;
    let answer = loop {
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
            () = process_returned(host) => return None,
            () = time_is_up => {
                if matches!(phase, CallPhase::Running) && time_out() > deadline {
                    deadline = time_out();
                    continue;
                }
                (times.timeout_reason, false, false)
            }
        };
        phase = match phase {
            CallPhase::Running if asked && !kill && !times.stop_patience.is_zero() => {
                deadline = Some(clock.now() + times.stop_patience);
                CallPhase::StopRequested(reason)
            }
            CallPhase::Running if !kill => {
                terminate(host).await;
                deadline = Some(clock.now() + times.grace);
                CallPhase::Terminating(reason)
            }
            CallPhase::StopRequested(first) if !kill => {
                terminate(host).await;
                deadline = Some(clock.now() + times.grace);
                CallPhase::Terminating(first)
            }
            CallPhase::Running => {
                kill_all(host, reason, &mut left_behind, &mut deadline, clock).await
            }
            CallPhase::StopRequested(first) | CallPhase::Terminating(first) => {
                kill_all(host, first, &mut left_behind, &mut deadline, clock).await
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
    let mut lost = None;
    match kill_processes(host).await {
        // Processes of a call that was stopped do not count as left behind.
        Ok(left) if interrupted.is_none() => left_behind += left,
        Ok(_) => left_behind = 0,
        Err(error) => {
            if let Some(environment) = host.opened() {
                host.slot.give_up(environment);
            }
            lost = Some(error);
        }
    }
    host.log_left_behind(left_behind);
    Some(SupervisedCall {
        answer,
        interrupted,
        left_behind,
        lost,
    })
}

async fn kill_all(
    host: &TaskSession,
    reason: &'static str,
    left_behind: &mut usize,
    deadline: &mut Option<Duration>,
    clock: &Clock,
) -> CallPhase {
    *left_behind += kill_processes(host).await.unwrap_or(0);
    *deadline = Some(clock.now() + KILL_GRACE);
    CallPhase::Killed(reason)
}

/// Waits until the helper has returned the task's queued process unstarted. Never returns for a
/// task without one.
async fn process_returned(host: &TaskSession) {
    match host.queued_process() {
        Some(process) => process.returned().await,
        None => std::future::pending().await,
    }
}

/// Sends SIGTERM to all processes of the task.
async fn terminate(host: &TaskSession) {
    match (host.queued_process(), host.opened()) {
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
async fn kill_processes(host: &TaskSession) -> Result<usize, SpawnError> {
    let Some(environment) = host.opened() else {
        return Ok(0);
    };
    match host.queued_process() {
        Some(process) => within(&host.slot, environment, process.end()).await,
        None => kill_in(&host.slot, environment).await,
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

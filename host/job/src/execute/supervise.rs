//! Whatever a plugin does in an environment: its time-out, its end when that is asked for, and the end of its processes. It must not
//! know what that is. Whatever a plugin or its processes do, this ends, and nothing that was started outlives it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::execute::clock::Clock;
use crate::execute::control::{Control, changed};
use crate::execute::task_host::{Host, Slot};
use persea_config::Config;
use persea_config::settings;
use persea_plugin::{PluginError, TaskHost as _};
use persea_spawner::{Environment, SpawnError};

/// The wait between SIGTERM and SIGKILL where none is set: 1 s.
const GRACE: Duration = Duration::from_secs(1);

/// The wait between SIGTERM and SIGKILL.
pub(crate) fn grace(config: &Config) -> Duration {
    config.get(settings::RUNNER_TASK_GRACE).unwrap_or(GRACE)
}

/// How long a plugin may take after all its processes were killed: 1 s.
pub(crate) const LAST_GRACE: Duration = Duration::from_secs(1);

/// The longest that a helper may take to answer when processes are to be ended: 10 s.
const HELPER: Duration = Duration::from_secs(10);

/// What is said of a task whose time is up.
pub(crate) const TOO_LONG: &str = "Test interrupted: Timeout reached";

/// SIGTERM.
const TERMINATE: i32 = 15;

/// How long something may take.
pub(crate) struct Times<'a> {
    pub(crate) clock: &'a Clock,
    /// By the job's clock: when it was begun, unless the host knows better.
    pub(crate) begun: Duration,
    pub(crate) timeout: Option<Duration>,
    /// What is said when that is over.
    pub(crate) too_long: &'static str,
    /// After it was asked to end and before SIGTERM: so long it may go on to come to an end of its own.
    pub(crate) patience: Duration,
    /// Between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
}

/// How it went.
pub(crate) struct Supervised<T> {
    /// What the plugin answered; none where it was dropped because it did not.
    pub(crate) answer: Option<Result<T, PluginError>>,
    /// Why it was ended, where it was.
    pub(crate) interrupted: Option<&'static str>,
    /// How many processes it has left behind.
    pub(crate) left_behind: usize,
    /// The environment is lost.
    pub(crate) lost: Option<SpawnError>,
}

/// How far the end has come.
enum Phase {
    Running,
    /// It is to end, for this reason, and may do so by itself.
    Asked(&'static str),
    /// SIGTERM was sent.
    Ending(&'static str),
    /// SIGKILL was sent.
    Killed(&'static str),
}

/// Waits for the end of `running`, or brings it about. None if the helper has returned the task's
/// process unstarted.
pub(crate) async fn supervise<T>(
    host: &Arc<Host>,
    times: &Times<'_>,
    control: &mut watch::Receiver<Control>,
    mut running: Pin<&mut impl Future<Output = Result<T, PluginError>>>,
) -> Option<Supervised<T>> {
    // The time of a queued task counts from the start of its process.
    let time_out = || {
        let begun = host.beginning.get().map_or(times.begun, |(_, begun)| begun);
        times.timeout.map(|timeout| begun + timeout)
    };
    let clock = times.clock;
    let mut deadline = time_out();
    let mut phase = Phase::Running;
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
                if matches!(phase, Phase::Running) && time_out() > deadline {
                    deadline = time_out();
                    continue;
                }
                (times.too_long, false, false)
            }
        };
        phase = match phase {
            Phase::Running if asked && !kill && !times.patience.is_zero() => {
                deadline = Some(clock.now() + times.patience);
                Phase::Asked(reason)
            }
            Phase::Running if !kill => {
                terminate(host).await;
                deadline = Some(clock.now() + times.grace);
                Phase::Ending(reason)
            }
            Phase::Asked(first) if !kill => {
                terminate(host).await;
                deadline = Some(clock.now() + times.grace);
                Phase::Ending(first)
            }
            Phase::Running => killed(host, reason, &mut left_behind, &mut deadline, clock).await,
            Phase::Asked(first) | Phase::Ending(first) => {
                killed(host, first, &mut left_behind, &mut deadline, clock).await
            }
            // Even without processes the plugin does not return: its sandbox is given up, and dropped with what the caller has pinned.
            Phase::Killed(reason) => {
                phase = Phase::Killed(reason);
                break None;
            }
        };
    };

    let interrupted = match phase {
        // It has come to an end of its own.
        Phase::Running | Phase::Asked(_) => None,
        Phase::Ending(reason) | Phase::Killed(reason) => Some(reason),
    };
    let mut lost = None;
    match end(host).await {
        // What is ended because it was cut short has not been left behind.
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
    Some(Supervised {
        answer,
        interrupted,
        left_behind,
        lost,
    })
}

async fn killed(
    host: &Host,
    reason: &'static str,
    left_behind: &mut usize,
    deadline: &mut Option<Duration>,
    clock: &Clock,
) -> Phase {
    *left_behind += end(host).await.unwrap_or(0);
    *deadline = Some(clock.now() + LAST_GRACE);
    Phase::Killed(reason)
}

/// Waits until the helper has returned the task's queued process unstarted. Never returns for a
/// task without one.
async fn process_returned(host: &Host) {
    match host.queued_process() {
        Some(process) => process.returned().await,
        None => std::future::pending().await,
    }
}

/// Asks all processes of the task to end.
async fn terminate(host: &Host) {
    match (host.queued_process(), host.opened()) {
        (Some(process), _) => {
            let _ = tokio::time::timeout(HELPER, process.signal_all(TERMINATE)).await;
        }
        (None, Some(environment)) => terminate_in(environment).await,
        (None, None) => {}
    }
}

/// Asks all processes there to end.
pub(crate) async fn terminate_in(environment: &Environment) {
    let _ = tokio::time::timeout(HELPER, environment.signal_all(TERMINATE)).await;
}

/// Ends all processes of the task, and says how many there were.
async fn end(host: &Host) -> Result<usize, SpawnError> {
    let Some(environment) = host.opened() else {
        return Ok(0);
    };
    match host.queued_process() {
        Some(process) => within(&host.slot, environment, process.end()).await,
        None => end_in(&host.slot, environment).await,
    }
}

/// Ends all processes in the environment of a slot, and says how many there were.
pub(crate) async fn end_in(slot: &Slot, environment: &Environment) -> Result<usize, SpawnError> {
    within(slot, environment, environment.end_task()).await
}

async fn within(
    slot: &Slot,
    environment: &Environment,
    ending: impl Future<Output = Result<usize, SpawnError>>,
) -> Result<usize, SpawnError> {
    match tokio::time::timeout(HELPER, ending).await {
        Ok(ended) => ended,
        Err(_) => {
            // It cannot be relied on any more: without its channel the helper ends everything and itself.
            slot.give_up(environment);
            environment.close().await;
            Ok(0)
        }
    }
}

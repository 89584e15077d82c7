//! One requirement being met or released: the resolver's sandbox, its environment, its time-out. What happens is told to the
//! dispatcher. It must not know which tasks need it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::execute::control::Control;
use crate::execute::executor::Shared;
use crate::execute::supervise::{Supervised, Times, supervise};
use crate::execute::task_directory::TaskDirectory;
use crate::execute::task_host::{Assignment, Host, Met};
use crate::plan::requirements::Step;
use persea_model::Attributes;
use persea_plugin::{LogLevel, PluginError, Presence, RequirementResolver, TaskHost};

/// How long what is being brought about may go on when the job is to end: 10 s. What is cut off may leave half of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Meets a requirement. `absent` is called when it is about to be brought about, and what it returns is waited for.
pub(crate) async fn fulfil(
    shared: &Arc<Shared>,
    index: usize,
    step: &Step,
    assignment: Assignment,
    mut control: watch::Receiver<Control>,
    absent: impl FnOnce() -> oneshot::Receiver<()>,
) -> Met {
    let host = host(shared, index, step, assignment);
    let mut begun = false;
    let running = async {
        let mut resolver = resolver(&host, step).await?;
        match resolver.check().await? {
            Presence::Present => Ok(Some(Met::Present)),
            Presence::Impossible => Ok(None),
            Presence::Absent => {
                // A dispatcher that is gone has ended the job.
                if absent().await.is_err() {
                    std::future::pending::<()>().await;
                }
                begun = true;
                resolver.fulfil().await.map(Met::Fulfilled).map(Some)
            }
        }
    };
    let times = times(shared, step);
    let done = supervise(&host, &times, &mut control, pin!(running)).await;
    let failed = |reason: String, unknown| Met::Failed { reason, unknown };
    let Some(done) = done else {
        return failed("it was not begun".to_owned(), false);
    };
    let met = match outcome(step, done) {
        Ok(Some(met)) => met,
        Ok(None) => failed("it cannot be met in this environment".to_owned(), false),
        // What the resolver says of itself it has undone.
        Err(Failure::Said(reason)) => failed(reason, false),
        Err(Failure::Cut(reason)) => failed(reason, begun),
    };
    let met = match step.stacked {
        true => keep(&host, step, met).await,
        false => met,
    };
    if let Met::Failed { reason, .. } = &met {
        host.log(LogLevel::Error, reason);
    }
    if step.stacked {
        host.directory.disarm();
        // It was made before anything went into it.
        host.directory.remove_empty();
    }
    met
}

/// Keeps the environment in which a requirement was brought about. In any case it's not used again as it is.
async fn keep(host: &Host, step: &Step, met: Met) -> Met {
    let Some(environment) = host.slot.take() else {
        // Whoever starts no process changes nothing there.
        return met;
    };
    match met {
        Met::Fulfilled(fulfilled) => {
            let slot = host.slot.index;
            let kept = host.shared.spawner.snapshot(slot, environment, &step.id);
            match kept.await {
                Ok(()) => Met::Kept(fulfilled),
                Err(error) => Met::Failed {
                    reason: error.to_string(),
                    unknown: false,
                },
            }
        }
        met => {
            environment.close().await;
            met
        }
    }
}

/// Undoes what was done for a requirement; why not, where that fails.
pub(crate) async fn release(
    shared: &Arc<Shared>,
    index: usize,
    step: &Step,
    assignment: Assignment,
    mut control: watch::Receiver<Control>,
    fulfilled: &Attributes,
) -> Result<(), String> {
    let host = host(shared, index, step, assignment);
    let running = async {
        let mut resolver = resolver(&host, step).await?;
        resolver.release(fulfilled).await
    };
    let times = times(shared, step);
    let done = supervise(&host, &times, &mut control, pin!(running)).await;
    let failed = match done.map(|done| outcome(step, done)) {
        Some(Ok(())) => return Ok(()),
        Some(Err(Failure::Said(reason) | Failure::Cut(reason))) => reason,
        None => "it was not begun".to_owned(),
    };
    host.log(LogLevel::Error, &failed);
    Err(failed)
}

fn host(shared: &Arc<Shared>, index: usize, step: &Step, assignment: Assignment) -> Arc<Host> {
    let directory = TaskDirectory::new(&shared.dependencies, &step.directory);
    Arc::new(Host::new(Arc::clone(shared), index, directory, assignment))
}

fn times<'a>(shared: &'a Shared, step: &Step) -> Times<'a> {
    Times {
        clock: &shared.clock,
        begun: shared.clock.now(),
        timeout: step.resolver.limits().wall,
        too_long: TOO_LONG,
        patience: PATIENCE,
        grace: shared.grace,
    }
}

async fn resolver(host: &Arc<Host>, step: &Step) -> Result<RequirementResolver, PluginError> {
    if step.resolver.manifest.starts_processes()
        && let Err(error) = host.environment().await
    {
        return Err(PluginError::Answer {
            plugin: step.resolver.label().to_owned(),
            code: error.code().to_owned(),
            message: error.to_string(),
        });
    }
    let as_host: Arc<dyn TaskHost> = Arc::clone(host) as Arc<dyn TaskHost>;
    RequirementResolver::new(
        &step.resolver,
        &step.requirement,
        &step.settings,
        &host.surroundings(),
        as_host,
    )
    .await
}

/// What is told of one whose time is up; how it is said is up to whose limit that was.
const TOO_LONG: &str = "it took too long";

enum Failure {
    /// The resolver says so.
    Said(String),
    /// It did not come to its end.
    Cut(String),
}

fn outcome<T>(step: &Step, done: Supervised<T>) -> Result<T, Failure> {
    match (done.answer, done.interrupted, done.lost) {
        // Also where it came to its end only when it was to be cut short.
        (Some(Ok(answer)), _, None) => Ok(answer),
        (
            Some(Err(PluginError::Answer {
                plugin,
                code,
                message,
            })),
            None,
            None,
        ) => {
            // That a stranger has reached a limit is the host's to say, and of whom.
            let is_limit = ["limit", "too-large"].contains(&&*code);
            Err(Failure::Said(
                match is_limit && !step.resolver.is_built_in() {
                    true => format!("{plugin}: {message}"),
                    false => message,
                },
            ))
        }
        (_, Some(TOO_LONG), _) => Err(Failure::Cut(format!(
            "{} has reached {}",
            step.resolver.label(),
            step.resolver.limits().reached_wall()
        ))),
        (_, Some(reason), _) => Err(Failure::Cut(reason.to_owned())),
        (_, None, Some(error)) => Err(Failure::Cut(error.to_string())),
        (Some(Err(error)), None, None) => Err(Failure::Cut(error.to_string())),
        (None, None, None) => Err(Failure::Cut("it did not answer".to_owned())),
    }
}

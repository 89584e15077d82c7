//! Owns one call of a requirement resolver, to fulfil or to release a requirement: its sandbox,
//! environment and timeout. Does not know which tasks need the requirement.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::execute::context::ExecutionContext;
use crate::execute::control::Control;
use crate::execute::messages::{Assignment, Fulfilment};
use crate::execute::supervise::{StopLimits, SupervisedCall, TimeLimits, supervise};
use crate::execute::task_directory::TaskDirectory;
use crate::execute::task_session::{SessionSubject, TaskSession};
use crate::plan::requirements::{RequirementStep, StepIndex};
use persea_model::Attributes;
use persea_plugin::{LogLevel, PluginError, Presence, RequirementResolver, TaskHost};

/// How long a resolver may continue after the job was stopped: 10 s. Cut off at once, it could
/// leave a requirement half fulfilled.
const PATIENCE: Duration = Duration::from_secs(10);

/// The reason of a requirement that is impossible, where its resolver gives none.
const IMPOSSIBLE: &str = "it cannot be met in this environment";

/// What a release needs to know about what it undoes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Undo {
    /// The answer of the resolver that fulfilled the requirement; none where it never came.
    pub(crate) data: Option<Attributes>,
    /// The version of that resolver.
    pub(crate) by: Option<String>,
}

/// Checks a requirement and fulfils it where it is absent. `absent` is called before anything is
/// changed, and its receiver is awaited, so that the journal has the event first.
pub(crate) async fn fulfil(
    execution: &Arc<ExecutionContext>,
    index: StepIndex,
    step: &RequirementStep,
    assignment: Assignment,
    mut control: watch::Receiver<Control>,
    absent: impl FnOnce() -> oneshot::Receiver<()>,
) -> Fulfilment {
    let session = session(execution, index, step, assignment);
    let mut begun = false;
    let running = async {
        let mut resolver = resolver(&session, step).await?;
        match resolver.check().await? {
            Presence::Present => Ok(Fulfilment::Present),
            Presence::Impossible(reason) => {
                let reason = reason.unwrap_or_else(|| IMPOSSIBLE.to_owned());
                Ok(Fulfilment::Failed {
                    reason,
                    unknown: false,
                    is_infrastructure: false,
                })
            }
            Presence::Absent => {
                // The dispatcher is gone only when the job has ended.
                if absent().await.is_err() {
                    std::future::pending::<()>().await;
                }
                begun = true;
                resolver.fulfil().await.map(Fulfilment::Fulfilled)
            }
        }
    };
    let limits = limits(execution, step);
    let done = supervise(&session, &limits, &mut control, pin!(running)).await;
    fetch_files(&session).await;
    let failed = |reason: String, unknown, is_infrastructure| Fulfilment::Failed {
        reason,
        unknown,
        is_infrastructure,
    };
    let Some(done) = done else {
        return failed("it was not started".to_owned(), false, false);
    };
    let met = match outcome(step, done) {
        Ok(met) => met,
        // A resolver that answers with an error has undone its changes.
        Err(CallFailure::Answered {
            reason,
            is_infrastructure,
        }) => failed(reason, false, is_infrastructure),
        Err(CallFailure::CutOff(reason)) => failed(reason, begun, false),
    };
    let met = match step.stacked {
        true => keep(&session, step, met).await,
        false => met,
    };
    if let Fulfilment::Failed { reason, .. } = &met {
        session.log(LogLevel::Error, reason);
    }
    if step.stacked {
        session.directory.disarm();
        // The directory was made before anything was written to it.
        session.directory.remove_empty();
    }
    met
}

/// Keeps the environment of a fulfilled requirement as a snapshot. Any other environment is closed,
/// because its state is unknown.
async fn keep(session: &TaskSession, step: &RequirementStep, fulfilment: Fulfilment) -> Fulfilment {
    let Some(environment) = session.slot.take() else {
        // A resolver without processes cannot have changed the environment.
        return fulfilment;
    };
    match fulfilment {
        Fulfilment::Fulfilled(fulfilled) => {
            let slot = session.slot.index.0;
            let kept =
                session
                    .execution
                    .spawners
                    .snapshot(step.spawner, slot, environment, &step.id);
            match kept.await {
                Ok(()) => Fulfilment::Snapshot(fulfilled),
                Err(error) => Fulfilment::Failed {
                    reason: error.to_string(),
                    unknown: false,
                    is_infrastructure: true,
                },
            }
        }
        fulfilment => {
            environment.close().await;
            fulfilment
        }
    }
}

/// Releases a requirement.
///
/// # Errors
/// Why it could not be released.
pub(crate) async fn release(
    execution: &Arc<ExecutionContext>,
    index: StepIndex,
    step: &RequirementStep,
    assignment: Assignment,
    mut control: watch::Receiver<Control>,
    undo: &Undo,
) -> Result<(), String> {
    let session = session(execution, index, step, assignment);
    let running = async {
        let mut resolver = resolver(&session, step).await?;
        resolver
            .release(undo.data.as_ref(), undo.by.as_deref())
            .await
    };
    let limits = limits(execution, step);
    let done = supervise(&session, &limits, &mut control, pin!(running)).await;
    fetch_files(&session).await;
    let failed = match done.map(|done| outcome(step, done)) {
        Some(Ok(())) => return Ok(()),
        Some(Err(CallFailure::Answered { reason, .. } | CallFailure::CutOff(reason))) => reason,
        None => "it was not started".to_owned(),
    };
    session.log(LogLevel::Error, &failed);
    Err(failed)
}

/// Fetches what the requirement's processes have written on another host. The requirement is as it
/// is without that, too.
async fn fetch_files(session: &TaskSession) {
    if let Err(error) = session.fetch_files().await {
        session.log(LogLevel::Warn, &error.to_string());
    }
}

fn session(
    execution: &Arc<ExecutionContext>,
    index: StepIndex,
    step: &RequirementStep,
    assignment: Assignment,
) -> Arc<TaskSession> {
    let directory = TaskDirectory::new(&execution.dependencies, &step.directory);
    Arc::new(TaskSession::new(
        Arc::clone(execution),
        SessionSubject::Requirement(index),
        directory,
        assignment,
    ))
}

fn limits<'a>(execution: &'a ExecutionContext, step: &RequirementStep) -> TimeLimits<'a> {
    TimeLimits {
        begun: execution.clock.now(),
        timeout: step.resolver.limits().wall,
        stop: StopLimits {
            clock: &execution.clock,
            timeout_reason: TIMEOUT_REASON,
            patience: PATIENCE,
            grace: execution.grace,
        },
    }
}

async fn resolver(
    session: &Arc<TaskSession>,
    step: &RequirementStep,
) -> Result<RequirementResolver, PluginError> {
    if step.resolver.starts_processes()
        && let Err(error) = session.environment().await
    {
        return Err(PluginError::Answer {
            plugin: step.resolver.label().to_owned(),
            code: error.code().to_owned(),
            message: error.to_string(),
            is_infrastructure: true,
        });
    }
    let as_host: Arc<dyn TaskHost> = Arc::clone(session) as Arc<dyn TaskHost>;
    RequirementResolver::new(
        &step.resolver,
        &step.requirement,
        &step.settings,
        &session.surroundings(),
        as_host,
    )
    .await
}

/// Reason for a timeout; [`outcome`] replaces it by the limit that was reached.
const TIMEOUT_REASON: &str = "it took too long";

enum CallFailure {
    /// The resolver answered with this error.
    Answered {
        reason: String,
        /// The environment is to blame.
        is_infrastructure: bool,
    },
    /// The call was cut off, so how much was changed is unknown.
    CutOff(String),
}

fn outcome<T>(step: &RequirementStep, done: SupervisedCall<T>) -> Result<T, CallFailure> {
    match (done.answer, done.interrupted, done.lost) {
        // Also an answer that came only after the resolver was asked to end.
        (Some(Ok(answer)), _, None) => Ok(answer),
        (
            Some(Err(PluginError::Answer {
                plugin,
                code,
                message,
                is_infrastructure,
            })),
            None,
            None,
        ) => {
            // The limit of a third-party plugin is named with the plugin.
            let is_limit = ["limit", "too-large"].contains(&&*code);
            Err(CallFailure::Answered {
                reason: match is_limit && !step.resolver.is_built_in() {
                    true => format!("{plugin}: {message}"),
                    false => message,
                },
                is_infrastructure,
            })
        }
        (_, Some(TIMEOUT_REASON), _) => Err(CallFailure::CutOff(format!(
            "{} has reached {}",
            step.resolver.label(),
            step.resolver.limits().reached_wall()
        ))),
        (_, Some(reason), _) => Err(CallFailure::CutOff(reason.to_owned())),
        (_, None, Some(error)) => Err(CallFailure::CutOff(error.to_string())),
        (Some(Err(error)), None, None) => Err(CallFailure::CutOff(error.to_string())),
        (None, None, None) => Err(CallFailure::CutOff("it did not answer".to_owned())),
    }
}

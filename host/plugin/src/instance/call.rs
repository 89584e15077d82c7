//! Owns the time limit of a call into a plugin. Does not know about what is called.

use crate::error::PluginError;
use crate::instance::context::PluginContext;
use crate::instance::idle::IdleClock;

/// Waits for a call, at most for the plugin's time for one answer. A guest yields at each tick of
/// the engine, so that a guest that computes is stopped too: its call is dropped.
///
/// # Errors
/// The time is over.
pub(crate) async fn call_in_time<T>(
    context: &PluginContext,
    call: impl Future<Output = T>,
) -> Result<T, PluginError> {
    let Some(limit) = context.limits.wall else {
        return Ok(call.await);
    };
    let ended = tokio::time::timeout(limit, call).await;
    ended.map_err(|_| context.end_at(context.limits.reached_wall()))
}

/// Waits for a call for any time, as long as the instance waits for others: its processes, its
/// environment, the next task.
///
/// # Errors
/// The instance has waited for nobody for longer than the plugin's time.
pub(crate) async fn call_unless_idle<T>(
    context: &PluginContext,
    idle: &IdleClock,
    call: impl Future<Output = T>,
) -> Result<T, PluginError> {
    let Some(limit) = context.limits.wall else {
        return Ok(call.await);
    };
    tokio::select! {
        biased;
        answer = call => Ok(answer),
        () = idle.reaches(limit) => Err(context.end_at(context.limits.reached_wall())),
    }
}

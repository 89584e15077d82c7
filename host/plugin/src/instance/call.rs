//! A call into a plugin with its time limit. Knows nothing of what is called.

use crate::PluginError;
use crate::instance::idle::Idle;
use crate::instance::terms::Terms;

/// What comes of a call that must end within the plugin's limit, if there is one. A guest gives way at each tick, so that the limit is
/// noticed whatever it does; the call is dropped then.
pub(crate) async fn within<T>(
    terms: &Terms,
    call: impl Future<Output = T>,
) -> Result<T, PluginError> {
    let Some(limit) = terms.limits.wall else {
        return Ok(call.await);
    };
    let ended = tokio::time::timeout(limit, call).await;
    ended.map_err(|_| too_long(terms))
}

/// The same of one that may take its time as long as it waits for others.
pub(crate) async fn unless_idle<T>(
    terms: &Terms,
    idle: &Idle,
    call: impl Future<Output = T>,
) -> Result<T, PluginError> {
    let Some(limit) = terms.limits.wall else {
        return Ok(call.await);
    };
    tokio::select! {
        biased;
        answer = call => Ok(answer),
        () = idle.for_so_long(limit) => Err(too_long(terms)),
    }
}

fn too_long(terms: &Terms) -> PluginError {
    terms.died();
    PluginError::Limit {
        plugin: terms.label.clone(),
        reached: Box::new(terms.limits.reached_wall()),
    }
}

//! A call into a plugin with its time limit. Knows nothing of what is called.

use std::time::Duration;

use super::PluginError;

/// What comes of a call that must end within `limit`, if there is one. A guest gives way at each tick, so that the limit is
/// noticed whatever it does; the call is dropped then.
pub(super) async fn within<T>(
    plugin: &str,
    limit: Option<Duration>,
    call: impl Future<Output = T>,
) -> Result<T, PluginError> {
    let Some(limit) = limit else {
        return Ok(call.await);
    };
    tokio::time::timeout(limit, call)
        .await
        .map_err(|_| PluginError::Timeout {
            plugin: plugin.to_owned(),
            limit,
        })
}

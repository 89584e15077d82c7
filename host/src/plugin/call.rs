//! A call into a plugin with its time limit. Knows nothing of what is called.

use super::PluginError;
use super::limits::Reached;
use super::terms::Terms;

/// What comes of a call that must end within the plugin's limit, if there is one. A guest gives way at each tick, so that the limit is
/// noticed whatever it does; the call is dropped then.
pub(super) async fn within<T>(
    terms: &Terms,
    call: impl Future<Output = T>,
) -> Result<T, PluginError> {
    let Some(limit) = terms.limits.wall else {
        return Ok(call.await);
    };
    tokio::time::timeout(limit, call).await.map_err(|_| {
        terms.died();
        PluginError::Limit {
            plugin: terms.label.clone(),
            reached: Box::new(Reached {
                what: "the time for one answer",
                value: format!("{} s", limit.as_secs_f64()),
                setting: terms.limits.wall_setting.clone(),
                own: None,
            }),
        }
    })
}

//! Owns the removal of containers and images whose host was killed. Does not know what they are
//! for.
//!
//! Usually a container ends by itself when its host is killed. What stays is a container that was
//! not started yet, one that a killed engine has left, and snapshots.

use crate::owner::Owner;

use super::engine::Engine;

/// Removes the containers and images that killed hosts have left, and returns their number.
/// Failures are logged.
pub(super) async fn remove(engine: &Engine, owner: &Owner) -> usize {
    let mut removed = 0;
    for (container, labels) in engine.labelled_containers().await {
        if owner.has_abandoned(&labels) {
            tracing::info!("removing the container {container} of a host that was killed");
            engine.remove(&container).await;
            removed += 1;
        }
    }
    let images = engine.labelled_images().await.into_iter();
    let abandoned = images.filter(|(_, labels)| owner.has_abandoned(labels));
    let abandoned: Vec<String> = abandoned.map(|(image, _)| image).collect();
    if !abandoned.is_empty() {
        tracing::info!("removing snapshots of a host that was killed: {abandoned:?}");
        removed += abandoned.len();
        engine.remove_images(abandoned).await;
    }
    removed
}

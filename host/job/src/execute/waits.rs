//! Owns the stream of what the spawner waits for, such as nodes of a cluster. Does not know
//! the display.

use std::sync::Arc;

use persea_spawner::Spawner;
use tokio::sync::watch;

/// What a spawner waits for, line by line.
pub(crate) struct Waits {
    /// None if the spawner never waits for long.
    lines: Option<watch::Receiver<Arc<str>>>,
}

impl Waits {
    pub(crate) fn of(spawner: &dyn Spawner) -> Self {
        Self {
            lines: spawner.waits(),
        }
    }

    /// Waits for the next line. A dropped future loses nothing.
    pub(crate) async fn next(&mut self) -> Arc<str> {
        if let Some(lines) = &mut self.lines
            && lines.changed().await.is_ok()
        {
            return Arc::clone(&lines.borrow_and_update());
        }
        std::future::pending().await
    }
}

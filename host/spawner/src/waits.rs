//! Owns the stream of what the spawners wait for, such as nodes of a cluster. Does not know
//! the display.

use std::sync::Arc;

use futures_util::future::select_all;
use tokio::sync::watch;

/// What the spawners of a job wait for, line by line.
pub struct Waits {
    /// Those of the spawners that may wait for long.
    lines: Vec<watch::Receiver<Arc<str>>>,
}

impl Waits {
    pub(crate) fn new(lines: Vec<watch::Receiver<Arc<str>>>) -> Self {
        Self { lines }
    }

    /// Waits for the next line. A dropped future loses nothing.
    pub async fn next(&mut self) -> Arc<str> {
        while !self.lines.is_empty() {
            let all = self.lines.iter_mut().map(|line| Box::pin(line.changed()));
            let (changed, index, _) = select_all(all).await;
            match (changed, self.lines.get_mut(index)) {
                (Ok(()), Some(line)) => return Arc::clone(&line.borrow_and_update()),
                (Err(_), Some(_)) => drop(self.lines.swap_remove(index)),
                (_, None) => break,
            }
        }
        std::future::pending().await
    }
}

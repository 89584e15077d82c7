//! Owns what a helper writes to its standard error: it is logged, and its end is kept for the error
//! message. Does not know how the helper was started.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use persea_helper::ENDED_LINE;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;

/// How much of the helper's standard error is kept for the error message: the last 2000 bytes.
const KEPT: usize = 2000;

/// The last lines that a helper has written to its standard error. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastWords {
    kept: Arc<Mutex<String>>,
    is_quiet: bool,
    /// A guard has said that everything has ended.
    has_ended: Arc<AtomicBool>,
    /// Slurm has said that it takes the processes away.
    have_warned: Arc<AtomicBool>,
}

impl LastWords {
    /// Returns the last words of a program whose lines are logged as information, not as warnings.
    pub(crate) fn quiet() -> Self {
        Self {
            is_quiet: true,
            ..Self::default()
        }
    }

    /// Logs the helper's standard error, and keeps its end. Returns when the helper has ended: its
    /// processes do not inherit this pipe.
    pub(crate) async fn keep(self, stderr: Option<OwnedFd>, name: Arc<str>) {
        let Some(Ok(stderr)) = stderr.map(pipe::Receiver::from_owned_fd) else {
            return;
        };
        // Bounded, because a line may have no end.
        let mut lines = BufReader::new(stderr);
        loop {
            let mut line = Vec::new();
            match (&mut lines)
                .take(KEPT as u64)
                .read_until(b'\n', &mut line)
                .await
            {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim();
            if line == ENDED_LINE {
                self.has_ended.store(true, Ordering::Release);
                continue;
            }
            // slurmstepd writes `*** STEP 3.1 ON n1 CANCELLED AT … ***` before it sends a signal.
            if line.contains("*** ") && line.contains(" CANCELLED AT ") {
                self.have_warned.store(true, Ordering::Release);
            }
            match self.is_quiet {
                false => tracing::warn!(environment = &*name, "{line}"),
                true => tracing::info!(environment = &*name, "{line}"),
            }
            let mut words = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if words.len() + line.len() > KEPT {
                words.clear();
            }
            if !words.is_empty() {
                words.push_str("; ");
            }
            words.push_str(line);
        }
    }

    /// Whether a guard has said that everything has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Whether a cluster has said that it takes the processes away.
    pub(crate) fn have_warned(&self) -> bool {
        self.have_warned.load(Ordering::Acquire)
    }

    /// The last words.
    pub(crate) fn text(&self) -> String {
        let words = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        words.clone()
    }

    /// Appends the last words to how the helper has ended.
    pub(crate) fn after(&self, reason: impl Into<String>) -> String {
        let mut reason = reason.into();
        let words = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !words.is_empty() {
            reason.push_str("; its last words: ");
            reason.push_str(&words);
        }
        reason
    }
}

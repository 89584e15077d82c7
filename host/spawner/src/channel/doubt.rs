//! Owns the question whether a process has ended because its environment is being taken away. Does
//! not know who takes it away.
//!
//! A cluster sends SIGTERM to all processes of a job before it kills them. The helper survives
//! that, and would report the ends of tests as if they had failed by themselves.

use std::pin::Pin;
use std::sync::Arc;

use persea_helper::protocol::{Ending, Reply};
use rustix::process::Signal;

use crate::launch::last_words::LastWords;

/// Asks whether the environment is being taken away.
pub(crate) type AskLost = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// The exit code with which shells and many programs say that SIGTERM has ended something.
const CODE_OF_SIGTERM: i32 = 128 + Signal::TERM.as_raw();

/// The doubt about what a helper reports.
pub(crate) struct Doubt {
    pub(crate) ask: AskLost,
    /// What came from the environment beside the channel.
    pub(crate) words: LastWords,
}

impl Doubt {
    /// Whether a reply may be an effect of the loss. To ask costs a request to the cluster, so that
    /// only ends by SIGTERM are doubtful, or any failure after a warning.
    pub(crate) fn is_about(&self, reply: &Reply) -> bool {
        let Reply::Exited { exit, .. } = reply else {
            return false;
        };
        match exit.ending {
            Ending::Code(0) => false,
            Ending::Code(code) if code == CODE_OF_SIGTERM => true,
            Ending::Signal(signal) if signal == Signal::TERM.as_raw() => true,
            Ending::Code(_) | Ending::Signal(_) | Ending::Unknown => self.words.have_warned(),
        }
    }

    /// Whether the environment is being taken away.
    pub(crate) async fn is_lost(&self) -> bool {
        (self.ask)().await
    }
}

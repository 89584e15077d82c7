//! Owns the waiters of requests, to which the channel delivers the replies. Does not know which
//! requests these are.

use persea_helper::protocol::{Exit, Reply};
use tokio::sync::{oneshot, watch};

use super::OnStart;

/// The waiter of a request.
pub(crate) enum Waiter {
    /// Gets one reply.
    Reply(oneshot::Sender<Reply>),
    /// Gets `Started` or `StartFailed`, and then the exit.
    Child(Option<oneshot::Sender<Reply>>, watch::Sender<Option<Exit>>),
    /// A queued process: a call when it has started, and then one reply.
    Queued(Option<OnStart>, oneshot::Sender<Reply>),
}

impl Waiter {
    /// Delivers the last reply of the request. Fails silently if the caller has gone.
    pub(crate) fn finish(self, reply: Reply) {
        match (self, &reply) {
            (Waiter::Child(_, exit), Reply::Exited { exit: ended, .. }) => {
                exit.send_replace(Some(*ended));
            }
            (Waiter::Child(None, _), _) => {}
            (
                Waiter::Reply(waiting)
                | Waiter::Queued(_, waiting)
                | Waiter::Child(Some(waiting), _),
                _,
            ) => {
                let _ = waiting.send(reply);
            }
        }
    }
}

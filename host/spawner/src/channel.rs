//! Owns the connection to a helper: numbers and sends requests, and delivers each reply to its
//! caller. Works over any pair of byte streams. Does not know how the helper was started, or what
//! the requests are for.
//!
//! Every method can be called from anywhere at once, and dropping its future at any point leaves
//! the connection sound: what is sent is sent whole, and a reply that nobody waits for any more is
//! dropped. When the connection ends, every waiting caller, now or later, gets an error.

pub(crate) mod doubt;
mod greeting;
pub(crate) mod pipe;
mod reader;
mod waiter;
mod writer;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use persea_helper::pending_requests::PendingRequests;
use persea_helper::protocol::{
    Exit, FrameReader, Hello, Id, MAX_REPLY, Reply, Request, Start, Usage,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, oneshot, watch};

use crate::error::SpawnError;
use doubt::Doubt;
use greeting::greet;
use waiter::Waiter;

/// Awaited once when the connection has ended and both streams are dropped. It cleans up at the
/// helper's end within bounded time, and returns what happened, for people.
pub(crate) type CleanUp = Pin<Box<dyn Future<Output = String> + Send>>;

/// Called when a queued process has started.
pub(crate) type OnStart = Box<dyn FnOnce() + Send>;

/// An exit that several callers can wait for.
pub(crate) type ExitWatch = watch::Receiver<Option<Exit>>;

/// How long a closed helper may take to close its end: 5 s. Then the connection counts as broken.
pub(crate) const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// How long the helper may take to end its processes and itself: 20 s. The helper itself gives up
/// on a process that hangs in the kernel after half of that.
pub(crate) const END_WITHIN: Duration = Duration::from_secs(20);

/// How long the greeting may take: 20 s. A helper greets at once.
const GREETING_TIMEOUT: Duration = Duration::from_secs(20);

type Writer = Box<dyn AsyncWrite + Send + Unpin>;

pub(crate) struct Channel {
    environment: Arc<str>,
    /// The helper's process number, in its environment.
    helper: u32,
    /// The helper's clock when it answered the greeting.
    clock: u64,
    state: Mutex<ChannelState>,
    /// Wakes the writer: bytes could not be sent at once, or the connection is closing.
    wake_writer: Notify,
    /// Wakes the reader: nothing can be sent any more, so it reads what is left and ends.
    broken: Notify,
    dead: watch::Sender<bool>,
}

struct ChannelState {
    /// None when the connection has ended or is being closed.
    writer: Option<Writer>,
    unsent: Vec<u8>,
    pending: PendingRequests<Waiter>,
    last_id: Id,
    /// The running time of the queued process that ended last.
    last_queued_run: Duration,
    /// The last exit left neither a process nor a file behind.
    clean: bool,
    /// What processes have used that were not queued, since it was taken last.
    usage: Usage,
    /// A process was ended because a file became too large, since this was taken last.
    file_size_signal: bool,
    /// The host is closing the connection.
    closing: bool,
    reason: Option<Arc<str>>,
}

impl Channel {
    /// Greets the helper, and starts the connection's reader and writer on the current runtime.
    pub(crate) async fn open<R, W>(
        environment: Arc<str>,
        mut reader: R,
        mut writer: W,
        hello: Hello,
        doubt: Option<Doubt>,
        clean_up: CleanUp,
    ) -> Result<Arc<Channel>, SpawnError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let mut frames = FrameReader::with_limit(MAX_REPLY);
        let greeting = greet(&mut reader, &mut writer, &mut frames, &hello);
        let greeted = tokio::time::timeout(GREETING_TIMEOUT, greeting).await;
        let welcome = match greeted.unwrap_or(Err(None)) {
            Ok(welcome) => welcome,
            Err(failure) => {
                drop((reader, writer));
                let reason = clean_up.await.into();
                return Err(match failure {
                    Some(source) => SpawnError::Protocol {
                        environment,
                        source,
                    },
                    None => SpawnError::HelperDied {
                        environment,
                        reason,
                    },
                });
            }
        };
        let channel = Arc::new(Channel {
            environment,
            helper: welcome.pid,
            clock: welcome.clock,
            state: Mutex::new(ChannelState {
                writer: Some(Box::new(writer)),
                unsent: Vec::new(),
                pending: PendingRequests::default(),
                last_id: 0,
                last_queued_run: Duration::ZERO,
                clean: true,
                usage: Usage::default(),
                file_size_signal: false,
                closing: false,
                reason: None,
            }),
            wake_writer: Notify::new(),
            broken: Notify::new(),
            dead: watch::Sender::new(false),
        });
        tokio::spawn(Arc::clone(&channel).write_rest());
        tokio::spawn(Arc::clone(&channel).listen(reader, frames, doubt, clean_up));
        Ok(channel)
    }

    fn state(&self) -> MutexGuard<'_, ChannelState> {
        // The state is consistent even if a thread panicked with the lock: no change is partial.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request, and returns the receiver of its reply.
    pub(crate) fn request(
        &self,
        make: impl FnOnce(Id) -> Request,
    ) -> Result<oneshot::Receiver<Reply>, SpawnError> {
        let (sender, receiver) = oneshot::channel();
        self.send_with(make, Waiter::Reply(sender))?;
        Ok(receiver)
    }

    /// Sends a request, stores the waiter for its replies, and returns its id.
    fn send_with(
        &self,
        make: impl FnOnce(Id) -> Request,
        waiter: Waiter,
    ) -> Result<Id, SpawnError> {
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        let request = make(id);
        self.send(&mut state, &request)?;
        state.pending.insert(&request, waiter);
        Ok(id)
    }

    /// Waits for the reply of a request. Separate from [`Channel::request`], so that a caller can
    /// keep the receiver when this future is dropped.
    pub(crate) async fn reply(
        &self,
        receiver: &mut oneshot::Receiver<Reply>,
    ) -> Result<Reply, SpawnError> {
        receiver.await.map_err(|_| self.ended())
    }

    /// Sends a request, and waits for its reply.
    pub(crate) async fn ask(&self, make: impl FnOnce(Id) -> Request) -> Result<Reply, SpawnError> {
        let mut receiver = self.request(make)?;
        self.reply(&mut receiver).await
    }

    /// Starts a process. The reply is `StartFailed` or, for a quiet start, `Exited`. Otherwise the
    /// reply is `Started`, and the exit comes through the watch.
    pub(crate) fn start(
        &self,
        start: Start,
    ) -> Result<(Id, oneshot::Receiver<Reply>, Option<ExitWatch>), SpawnError> {
        let (sender, receiver) = oneshot::channel();
        let (waiter, exit) = if start.quiet {
            (Waiter::Reply(sender), None)
        } else {
            let (ended, exit) = watch::channel(None);
            (Waiter::Child(Some(sender), ended), Some(exit))
        };
        let id = self.send_with(|id| Request::Start { id, start }, waiter)?;
        Ok((id, receiver, exit))
    }

    /// Queues a process. The reply is `StartFailed` or `Exited`.
    pub(crate) fn start_queued(
        &self,
        start: Start,
        on_start: OnStart,
    ) -> Result<(Id, oneshot::Receiver<Reply>), SpawnError> {
        let (sender, receiver) = oneshot::channel();
        let waiter = Waiter::Queued(Some(on_start), sender);
        let id = self.send_with(|id| Request::Start { id, start }, waiter)?;
        Ok((id, receiver))
    }

    /// Sends a request that has no reply. Does nothing if the connection has ended.
    pub(crate) fn send_unanswered(&self, request: &Request) {
        let _ = self.send(&mut self.state(), request);
    }

    /// Whether no process runs and the last exit left nothing behind, so that the end of the task
    /// needs no request.
    pub(crate) fn is_clean(&self) -> bool {
        let state = self.state();
        state.pending.live_children() == 0
            && state.clean
            && state.reason.is_none()
            && !state.closing
    }

    /// Takes what processes have used that were not queued, since the previous call.
    pub(crate) fn take_usage(&self) -> Usage {
        std::mem::take(&mut self.state().usage)
    }

    /// Takes whether a process was ended because a file became too large.
    pub(crate) fn take_file_size_signal(&self) -> bool {
        std::mem::take(&mut self.state().file_size_signal)
    }

    pub(crate) fn is_alive(&self) -> bool {
        let state = self.state();
        state.reason.is_none() && !state.closing
    }

    /// Whether the connection has ended without the host's doing.
    pub(crate) fn is_lost(&self) -> bool {
        let state = self.state();
        state.reason.is_some() && !state.closing
    }

    /// The helper's process number, in its environment.
    pub(crate) fn helper(&self) -> u32 {
        self.helper
    }

    /// The helper's clock when it answered the greeting, in nanoseconds.
    pub(crate) fn clock(&self) -> u64 {
        self.clock
    }

    /// Waits until the connection and its clean-up have ended.
    pub(crate) async fn closed(&self) {
        // Cannot fail: the sender is in `self`.
        let _ = self.dead.subscribe().wait_for(|dead| *dead).await;
    }

    /// Ends the connection after all bytes are sent. The helper then ends all its processes.
    pub(crate) fn close(&self) {
        self.state().closing = true;
        self.wake_writer.notify_one();
    }

    /// Ends the connection at once, because the helper does not answer any more.
    pub(crate) fn give_up(&self) {
        self.broken.notify_one();
    }

    /// Returns the error of a call that gets no reply.
    pub(crate) fn ended(&self) -> SpawnError {
        let state = self.state();
        Self::why(&state, &self.environment)
    }

    fn why(state: &ChannelState, environment: &Arc<str>) -> SpawnError {
        if state.closing {
            return SpawnError::Closed("the environment");
        }
        let reason = state.reason.clone();
        SpawnError::HelperDied {
            environment: Arc::clone(environment),
            reason: reason.unwrap_or_else(|| "its channel was closed".into()),
        }
    }
}

#[cfg(test)]
mod tests;

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
mod waiter;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use persea_helper::pending_requests::{Matched, PendingRequests, UnexpectedReply};
use persea_helper::protocol::{
    Ending, Exit, FrameReader, Hello, Id, MAX_REPLY, ProtocolError, Reply, Request, Start, Usage,
    decode, encode,
};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
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

/// How long the host still reads from a helper that it can no longer write to: 1 s. The output of a
/// dead helper is read to its end at once.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the host reads from a helper whose queue is long: every 4 ms, from all helpers at the
/// same time.
const READ_INTERVAL: Duration = Duration::from_millis(4);

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

/// A message of the helper that ends the connection.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("{0}; what comes from there is not taken for results any more")]
    Unexpected(#[from] UnexpectedReply),
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

    fn send(&self, state: &mut ChannelState, request: &Request) -> Result<(), SpawnError> {
        if state.closing || state.reason.is_some() {
            return Err(Self::why(state, &self.environment));
        }
        let idle = state.unsent.is_empty();
        encode(request, &mut state.unsent).map_err(|e| SpawnError::Invalid(e.to_string()))?;
        // Nearly always the bytes can be sent at once, which saves waking the writer. If bytes are
        // waiting already, the writer is awake or will be woken, and its waker must stay registered
        // with the stream.
        if idle {
            let mut no_waker = Context::from_waker(Waker::noop());
            if !matches!(state.flush(&mut no_waker), Poll::Ready(Ok(()))) {
                self.wake_writer.notify_one();
            }
        }
        Ok(())
    }

    /// Sends bytes that could not be sent at once, and closes the stream when the connection ends.
    async fn write_rest(self: Arc<Self>) {
        loop {
            self.wake_writer.notified().await;
            let flushed = poll_fn(|cx| self.state().flush(cx)).await;
            let closing = self.state().closing;
            if flushed.is_err() || closing {
                let writer = self.state().writer.take();
                if let Some(mut writer) = writer {
                    let _ = writer.shutdown().await;
                }
                if flushed.is_ok() {
                    // The helper has seen the end of its input. The host gives up if the helper
                    // does not end.
                    let _ = tokio::time::timeout(END_WITHIN, self.closed()).await;
                }
                self.broken.notify_one();
                return;
            }
        }
    }

    async fn listen<R>(
        self: Arc<Self>,
        mut reader: R,
        mut frames: FrameReader,
        doubt: Option<Doubt>,
        clean_up: CleanUp,
    ) where
        R: AsyncRead + Send + Unpin,
    {
        let mut buffer = vec![0; 1 << 16];
        let mut helper_error = None;
        let mut over_at = None;
        let failure = loop {
            match self.dispatch(&mut frames, &mut helper_error, doubt.as_ref()) {
                Ok(None) => {}
                Ok(Some((reply, doubt))) => {
                    if doubt.is_lost().await {
                        break Some("the environment is being taken away".to_owned());
                    }
                    if let Err(failure) = self.deliver(reply, &mut helper_error) {
                        break Some(failure.to_string());
                    }
                    continue;
                }
                Err(failure) => break Some(failure.to_string()),
            }
            let is_over = async {
                match over_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let received = async {
                if over_at.is_none()
                    && let Some(later) = self.read_at()
                {
                    tokio::time::sleep_until(later).await;
                }
                // Yields even if there is always something to read.
                tokio::task::consume_budget().await;
                reader.read(&mut buffer).await
            };
            tokio::select! {
                biased;
                () = is_over => break None,
                // Replies that were sent before the connection broke still count for their tasks.
                () = self.broken.notified() => {
                    over_at.get_or_insert_with(|| tokio::time::Instant::now() + DRAIN_TIMEOUT);
                }
                received = received => match received {
                    Ok(0) => break None,
                    Ok(n) => frames.push(buffer.get(..n).unwrap_or_default()),
                    Err(e) => break Some(e.to_string()),
                },
            }
        };
        drop(reader);
        // The writer may own the stream; then `close` wakes it.
        let writer = self.state().writer.take();
        drop(writer);
        let mut reason = clean_up.await;
        for more in [helper_error, failure].into_iter().flatten() {
            reason = format!("{reason}; {more}");
        }
        let waiting = {
            let mut state = self.state();
            state.reason = Some(reason.into());
            state.pending.take()
        };
        // Dropping the waiters wakes their callers.
        drop(waiting);
        self.dead.send_replace(true);
        self.wake_writer.notify_one();
    }

    /// The time at which the host reads from the helper again, while the helper's queue is long;
    /// none to read at once. To read several exits at once, and from several helpers, takes much
    /// less processor time than to wake up for each, and the tests need that time.
    fn read_at(&self) -> Option<tokio::time::Instant> {
        let enough = {
            let state = self.state();
            let waiting = u32::try_from(state.pending.queued_starts()).unwrap_or(u32::MAX);
            state.last_queued_run.saturating_mul(waiting) > READ_INTERVAL + READ_INTERVAL / 2
        };
        enough.then(|| {
            // By the wall clock, so that all channels wake up together.
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let since = now.as_nanos() % READ_INTERVAL.as_nanos();
            let left =
                READ_INTERVAL.saturating_sub(Duration::from_nanos(since.try_into().unwrap_or(0)));
            tokio::time::Instant::now() + left
        })
    }

    /// Delivers the replies that were received completely, until one is doubtful. Returns that one.
    fn dispatch<'a>(
        &self,
        frames: &mut FrameReader,
        helper_error: &mut Option<String>,
        doubt: Option<&'a Doubt>,
    ) -> Result<Option<(Reply, &'a Doubt)>, Broken> {
        while let Some(frame) = frames.next_frame()? {
            let reply: Reply = decode(frame)?;
            if let Some(doubt) = doubt
                && doubt.is_about(&reply)
            {
                return Ok(Some((reply, doubt)));
            }
            self.deliver(reply, helper_error)?;
        }
        Ok(None)
    }

    /// Delivers a reply. Stores a message with which the helper announces its own failure in
    /// `helper_error`.
    fn deliver(&self, reply: Reply, helper_error: &mut Option<String>) -> Result<(), Broken> {
        let mut state = self.state();
        // Sending fails if the future of the waiter was dropped; then nobody needs the reply.
        match state.pending.accept(&reply)? {
            Matched::HelperFailed => {
                if let Reply::Failed { message, .. } = reply {
                    *helper_error = Some(message);
                }
            }
            Matched::Started(Waiter::Child(waiting, _)) => {
                if let Some(waiting) = waiting.take() {
                    let _ = waiting.send(reply);
                }
            }
            Matched::Started(Waiter::Queued(on_start, _)) => {
                let on_start = on_start.take();
                drop(state);
                if let Some(on_start) = on_start {
                    on_start();
                }
            }
            Matched::Started(Waiter::Reply(_)) => {}
            Matched::Final(waiter) => {
                let is_queued = matches!(waiter, Waiter::Queued(..));
                state.update(&reply, is_queued);
                drop(state);
                waiter.finish(reply);
            }
        }
        Ok(())
    }
}

impl ChannelState {
    /// Updates the state from the last reply of a request. What a queued process has used belongs
    /// to its own task, and is only in the reply.
    fn update(&mut self, reply: &Reply, is_queued: bool) {
        match reply {
            Reply::Exited { exit, .. } => {
                self.clean = exit.clean;
                self.last_queued_run = Duration::from_nanos(exit.duration_ns);
                self.file_size_signal |= exit.ending == Ending::Signal(Signal::XFSZ.as_raw());
                if !is_queued {
                    self.usage.add(exit.usage);
                }
            }
            Reply::TaskEnded { usage, .. } => {
                self.clean = true;
                self.usage.add(*usage);
            }
            Reply::Started { .. }
            | Reply::StartFailed { .. }
            | Reply::Data { .. }
            | Reply::Files { .. }
            | Reply::Done { .. }
            | Reply::Renewed { .. }
            | Reply::Failed { .. } => {}
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writer) = &mut self.writer else {
            self.unsent.clear();
            return Poll::Ready(Ok(()));
        };
        while !self.unsent.is_empty() {
            match Pin::new(&mut *writer).poll_write(cx, &self.unsent) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => drop(self.unsent.drain(..n)),
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Pin::new(writer).poll_flush(cx)
    }
}

#[cfg(test)]
mod tests;

//! Owns what a channel receives: reads the helper's replies and delivers each to its caller, until
//! the connection ends.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use persea_helper::pending_requests::{Matched, UnexpectedReply};
use persea_helper::protocol::{Ending, FrameReader, ProtocolError, Reply, decode};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::doubt::Doubt;
use super::waiter::Waiter;
use super::{Channel, ChannelState, CleanUp};

/// How long the host still reads from a helper that it can no longer write to: 1 s. The output of a
/// dead helper is read to its end at once.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the host reads from a helper whose queue is long: every 4 ms, from all helpers at the
/// same time.
const READ_INTERVAL: Duration = Duration::from_millis(4);

/// A message of the helper that ends the connection.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("{0}; what comes from there is not taken for results any more")]
    Unexpected(#[from] UnexpectedReply),
}

impl Channel {
    /// Reads replies until the connection ends, and cleans up then.
    pub(super) async fn listen<R>(
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
}

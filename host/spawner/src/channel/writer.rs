//! Owns what a channel sends: encodes requests, and sends what the stream does not take at once as
//! soon as it does.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use persea_helper::protocol::{Request, encode};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{Channel, ChannelState, END_WITHIN};
use crate::error::SpawnError;

impl Channel {
    /// Sends a request, at once if the stream takes it.
    pub(super) fn send(
        &self,
        state: &mut ChannelState,
        request: &Request,
    ) -> Result<(), SpawnError> {
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
    pub(super) async fn write_rest(self: Arc<Self>) {
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
}

impl ChannelState {
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

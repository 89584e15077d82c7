//! Owns what the poll loop waits for, and the bytes of the channel to the host. Does not know what
//! a request means.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use persea_helper::protocol::Id;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};

use super::{STREAMS, ServeError, Server};
use crate::lease::Lease;
use crate::start::terminal::Terminal;

/// How often the helper receives requests while its queue is long: every 4 ms. To wake up for each
/// request would take processor time from the tests.
const RECEIVE_INTERVAL: Duration = Duration::from_millis(4);

/// The size of unsent replies at which the helper stops to receive requests until the host reads,
/// in bytes.
const MAX_UNSENT: usize = 4 << 20;

/// What a polled descriptor is for.
#[derive(Clone, Copy)]
pub(super) enum EventSource {
    Requests,
    Replies,
    ChildSignals,
    Stdin(Id),
    Stream(Id, usize),
    Terminal(Id),
    ReportSocket(Id),
}

impl Server {
    /// Waits until a descriptor is ready or a deadline of the pipeline has come.
    pub(super) fn poll_events(&self) -> Result<Vec<EventSource>, ServeError> {
        let count = 3 + self.children.len() * (1 + STREAMS);
        let mut fds = Vec::with_capacity(count);
        let mut sources = Vec::with_capacity(count);
        let mut watch = |fd, flags, source| {
            fds.push(PollFd::from_borrowed_fd(fd, flags));
            sources.push(source);
        };
        let receive_in = self.receive_in();
        if self.unsent.len() < MAX_UNSENT && receive_in.is_none() {
            watch(self.input.as_fd(), PollFlags::IN, EventSource::Requests);
        }
        // Watched even without anything to send: an error means that the host has closed the
        // channel.
        let sending = if self.unsent.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::OUT
        };
        watch(self.output.as_fd(), sending, EventSource::Replies);
        // Before the pipes of children: reaping a child also reads its pipes.
        watch(
            self.child_signals.as_fd(),
            PollFlags::IN,
            EventSource::ChildSignals,
        );
        for (id, child) in &self.children {
            if let (Some(fd), Some(_)) = (&child.stdin, &child.writing) {
                watch(fd.as_fd(), PollFlags::OUT, EventSource::Stdin(*id));
            }
            for (n, (fd, reading)) in child.streams.iter().zip(&child.reading).enumerate() {
                if let (Some(fd), Some(_)) = (fd, reading) {
                    watch(fd.as_fd(), PollFlags::IN, EventSource::Stream(*id, n));
                }
            }
            if let Some(Terminal {
                copied: Some((from, _)),
                ..
            }) = &child.terminal
            {
                watch(from.as_fd(), PollFlags::IN, EventSource::Terminal(*id));
            }
            if let (Some(socket), true) = (&child.report_socket, child.is_running) {
                for fd in socket.sources() {
                    watch(fd, PollFlags::IN, EventSource::ReportSocket(*id));
                }
            }
        }
        let lease = self.lease.as_ref().map(Lease::left);
        let timeouts = [self.pipeline.return_in(), receive_in, lease];
        let timeout = timeouts.into_iter().flatten().min();
        let timeout = timeout.map(|time| Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let mut ready = Vec::with_capacity(2);
        for (fd, source) in fds.iter().zip(sources) {
            let got = fd.revents();
            if got.is_empty() {
                continue;
            }
            if matches!(source, EventSource::Replies) && got.contains(PollFlags::ERR) {
                return Err(Errno::PIPE.into());
            }
            // A socket has many descriptors, and one event is enough for them.
            let is_known = match (source, ready.last()) {
                (EventSource::ReportSocket(id), Some(EventSource::ReportSocket(last))) => {
                    id == *last
                }
                _ => false,
            };
            if !is_known {
                ready.push(source);
            }
        }
        Ok(ready)
    }

    /// The time until requests are received again, while the queue is long; none to receive at
    /// once.
    fn receive_in(&self) -> Option<Duration> {
        let left = RECEIVE_INTERVAL.checked_sub(self.last_received.elapsed())?;
        self.pipeline.has_enough().then_some(left)
    }

    /// Receives bytes. Returns false at the end of the channel.
    pub(super) fn receive(&mut self) -> Result<bool, ServeError> {
        self.last_received = Instant::now();
        match read(&self.input, &mut self.buffer) {
            Ok(0) => Ok(false),
            Ok(n) => {
                self.frames.push(self.buffer.get(..n).unwrap_or_default());
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(true),
            Err(e) => Err(e.into()),
        }
    }

    pub(super) fn send(&mut self) -> Result<(), ServeError> {
        while !self.unsent.is_empty() {
            match write(&self.output, &self.unsent) {
                Ok(n) if n == self.unsent.len() => self.unsent.clear(),
                Ok(n) => drop(self.unsent.drain(..n)),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

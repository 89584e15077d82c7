//! Owns the host's requests that have had no last reply, and checks each reply against them: whatever writes on the channel
//! cannot report what was not asked for. Does not know about bytes or descriptors; a waiter is what the host keeps with a
//! request.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::protocol::{Exit, Id, MAX_READ, MAX_TEXT, Reply, Request, Stage};

/// How much longer than the host has waited a process may claim to have run: 1 s. Both read the same clock, where helper
/// and host are on one machine.
pub const CLOCK_SLACK: Duration = Duration::from_secs(1);

/// The largest process number of Linux (PID_MAX_LIMIT): no more processes can exist at once.
pub const MAX_PROCESSES: u32 = 1 << 22;

/// A reply that the helper cannot have given to what the host asked for. The environment that it comes from is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnexpectedReply {
    /// No request of this id waits for a reply.
    #[error("it answered `{reply}` to request {id}, which waits for no reply")]
    Unknown {
        /// The reply's id.
        id: Id,
        /// The reply's kind.
        reply: &'static str,
    },
    /// The request waits for a reply of another kind.
    #[error("it answered `{reply}` to request {id}, which asked for something else")]
    Kind {
        /// The reply's id.
        id: Id,
        /// The reply's kind.
        reply: &'static str,
    },
    /// The reply has the right kind and an impossible value.
    #[error("it answered request {id} with an impossible value: {what}")]
    Value {
        /// The reply's id.
        id: Id,
        /// Which value, and its bound.
        what: String,
    },
}

/// What an expected reply is to its request.
#[derive(Debug)]
pub enum Answer<'a, W> {
    /// A child has started, and another reply will follow.
    Started(&'a mut W),
    /// The request's last reply.
    Last(W),
    /// No reply to a request: the helper says why it gives up.
    GivesUp,
}

#[derive(Debug)]
enum Expected {
    Child {
        asked: Instant,
        is_quiet: bool,
        in_turn: bool,
        has_started: bool,
    },
    Data {
        max: u32,
    },
    Done,
    Ended,
}

/// The requests of one connection that wait for a reply, each with its waiter.
#[derive(Debug)]
pub struct Outstanding<W> {
    requests: HashMap<Id, (Expected, W)>,
    children: usize,
    queued: usize,
    gave_up: bool,
}

impl<W> Default for Outstanding<W> {
    fn default() -> Self {
        Self {
            requests: HashMap::new(),
            children: 0,
            queued: 0,
            gave_up: false,
        }
    }
}

impl<W> Outstanding<W> {
    /// Adds a request that was sent now. The waiter of a request without a reply is dropped.
    pub fn ask(&mut self, request: &Request, waiter: W) {
        let (id, expected) = match request {
            Request::Start { id, start } => {
                let in_turn = start.in_turn.is_some();
                self.children += 1;
                self.queued += usize::from(in_turn);
                let expected = Expected::Child {
                    asked: Instant::now(),
                    is_quiet: start.quiet,
                    in_turn,
                    has_started: false,
                };
                (id, expected)
            }
            Request::Read { id, max, .. } => {
                let max = (*max).clamp(1, MAX_READ);
                (id, Expected::Data { max })
            }
            Request::EndTask { id, .. } => (id, Expected::Ended),
            Request::Write { id, .. }
            | Request::CloseStdin { id, .. }
            | Request::Signal { id, .. }
            | Request::SignalAll { id, .. }
            | Request::Pause { id }
            | Request::Resume { id } => (id, Expected::Done),
            Request::Forget { .. } => return,
        };
        self.requests.insert(*id, (expected, waiter));
    }

    /// Checks a reply. A last reply removes its request.
    ///
    /// # Errors
    /// The helper cannot have given this reply; the request stays.
    pub fn answer(&mut self, reply: &Reply) -> Result<Answer<'_, W>, UnexpectedReply> {
        let (id, kind) = id_and_kind(reply);
        if let Reply::Failed { id: 0, message, .. } = reply {
            check_text(id, message)?;
            // It ends after its last words.
            if std::mem::replace(&mut self.gave_up, true) {
                return Err(UnexpectedReply::Unknown { id, reply: kind });
            }
            return Ok(Answer::GivesUp);
        }
        let (expected, _) = self
            .requests
            .get_mut(&id)
            .ok_or(UnexpectedReply::Unknown { id, reply: kind })?;
        match (&mut *expected, reply) {
            (
                Expected::Child {
                    is_quiet: false,
                    has_started,
                    in_turn,
                    ..
                },
                Reply::Started { pid, .. },
            ) if !*has_started => {
                check(id, (1..=MAX_PROCESSES).contains(pid), || {
                    format!("process number {pid}")
                })?;
                *has_started = true;
                self.queued -= usize::from(*in_turn);
                return match self.requests.get_mut(&id) {
                    Some((_, waiter)) => Ok(Answer::Started(waiter)),
                    None => Err(UnexpectedReply::Unknown { id, reply: kind }),
                };
            }
            (
                Expected::Child {
                    in_turn,
                    has_started: false,
                    ..
                },
                Reply::StartFailed { failure, .. },
            ) if *in_turn || failure.stage != Stage::NotNow => {
                check_text(id, &failure.message)?;
                self.queued -= usize::from(*in_turn);
                self.children -= 1;
            }
            (
                Expected::Child {
                    asked,
                    is_quiet,
                    in_turn,
                    has_started,
                },
                Reply::Exited { exit, .. },
            ) if *has_started || *is_quiet => {
                check_exit(id, exit, asked.elapsed(), *in_turn)?;
                self.children -= 1;
            }
            (Expected::Data { max }, Reply::Data { bytes, .. }) => {
                let count = bytes.0.len();
                check(id, count <= *max as usize, || {
                    format!("{count} bytes, where at most {max} were asked for")
                })?;
            }
            (Expected::Done, Reply::Done { .. }) => {}
            (Expected::Ended, Reply::Ended { left, .. }) => check_left(id, *left)?,
            (
                Expected::Data { .. } | Expected::Done | Expected::Ended,
                Reply::Failed { message, .. },
            ) => check_text(id, message)?,
            (
                Expected::Child { .. } | Expected::Data { .. } | Expected::Done | Expected::Ended,
                _,
            ) => return Err(UnexpectedReply::Kind { id, reply: kind }),
        }
        match self.requests.remove(&id) {
            Some((_, waiter)) => Ok(Answer::Last(waiter)),
            None => Err(UnexpectedReply::Unknown { id, reply: kind }),
        }
    }

    /// How many processes were asked for and have neither failed nor ended.
    pub fn children(&self) -> usize {
        self.children
    }

    /// How many processes wait for their turn.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Drops all requests with their waiters, for instance because the connection has ended.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

fn id_and_kind(reply: &Reply) -> (Id, &'static str) {
    match reply {
        Reply::Started { id, .. } => (*id, "started"),
        Reply::StartFailed { id, .. } => (*id, "start failed"),
        Reply::Exited { id, .. } => (*id, "exited"),
        Reply::Data { id, .. } => (*id, "data"),
        Reply::Done { id } => (*id, "done"),
        Reply::Failed { id, .. } => (*id, "failed"),
        Reply::Ended { id, .. } => (*id, "ended"),
    }
}

fn check(id: Id, holds: bool, what: impl FnOnce() -> String) -> Result<(), UnexpectedReply> {
    if holds {
        return Ok(());
    }
    Err(UnexpectedReply::Value { id, what: what() })
}

fn check_text(id: Id, text: &str) -> Result<(), UnexpectedReply> {
    check(id, text.len() <= MAX_TEXT, || {
        format!(
            "a text of {} bytes, where {MAX_TEXT} are the most",
            text.len()
        )
    })
}

fn check_left(id: Id, left: u32) -> Result<(), UnexpectedReply> {
    check(id, left <= MAX_PROCESSES, || {
        format!("{left} processes left")
    })
}

fn check_exit(id: Id, exit: &Exit, waited: Duration, in_turn: bool) -> Result<(), UnexpectedReply> {
    let ran = Duration::from_nanos(exit.duration_ns);
    check(id, ran <= waited.saturating_add(CLOCK_SLACK), || {
        format!("a process that ran for {ran:?} and was asked for {waited:?} ago")
    })?;
    let is_end = match (exit.code, exit.signal) {
        (Some(code), None) => (0..=255).contains(&code),
        (None, Some(signal)) => (1..=64).contains(&signal),
        (Some(_), Some(_)) | (None, None) => false,
    };
    check(id, is_end, || {
        format!("exit code {:?} and signal {:?}", exit.code, exit.signal)
    })?;
    check_left(id, exit.left)?;
    check(id, in_turn || exit.left == 0, || {
        format!("{} processes left before the task's end", exit.left)
    })
}

#[cfg(test)]
#[path = "outstanding_tests.rs"]
mod tests;

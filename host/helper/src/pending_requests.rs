//! Owns the host's requests that wait for a reply, and checks each reply against them, so that
//! whatever writes to the channel can report only what the host asked for. Does not know about
//! bytes or descriptors.
//!
//! A waiter is the value that the host stores with a request, for instance the sender of a channel.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::protocol::{
    Ending, Exit, Id, MAX_LISTED, MAX_READ, MAX_TEXT, Reply, Request, StartFailureKind,
};

/// By how much the reported running time of a process may exceed the time since the host sent the
/// request: 1 s. Helper and host read the same clock if they are on one machine.
pub const CLOCK_SLACK: Duration = Duration::from_secs(1);

/// The largest process number on Linux (PID_MAX_LIMIT), and so the largest number of processes.
pub const MAX_PROCESSES: u32 = 1 << 22;

/// A reply that does not fit the host's requests. The environment that it comes from can no longer
/// be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnexpectedReply {
    /// No request with this id waits for a reply.
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
    /// The reply has the expected kind and an impossible value.
    #[error("it answered request {id} with an impossible value: {what}")]
    Value {
        /// The reply's id.
        id: Id,
        /// The value, and its limit.
        what: String,
    },
}

/// The request that an accepted reply belongs to.
#[derive(Debug)]
pub enum Matched<'a, W> {
    /// A child has started; the request stays, because another reply will follow.
    Started(&'a mut W),
    /// The reply is the last one; the request was removed.
    Final(W),
    /// None: the helper reports why it gives up.
    HelperFailed,
}

/// The replies that a request may get.
#[derive(Debug)]
enum Expected {
    Child {
        sent: Instant,
        is_quiet: bool,
        is_queued: bool,
        has_started: bool,
    },
    Data {
        max: u32,
    },
    Files,
    Done,
    Renewed,
    TaskEnded,
}

/// The pending requests of one connection, each with its waiter.
#[derive(Debug)]
pub struct PendingRequests<W> {
    requests: HashMap<Id, (Expected, W)>,
    live_children: usize,
    queued_starts: usize,
    has_helper_failed: bool,
}

impl<W> Default for PendingRequests<W> {
    fn default() -> Self {
        Self {
            requests: HashMap::new(),
            live_children: 0,
            queued_starts: 0,
            has_helper_failed: false,
        }
    }
}

impl<W> PendingRequests<W> {
    /// Adds a request that was just sent. A request that gets no reply is not added, and its waiter
    /// is dropped.
    pub fn insert(&mut self, request: &Request, waiter: W) {
        let (id, expected) = match request {
            Request::Start { id, start } => {
                let is_queued = start.queue_position.is_some();
                self.live_children += 1;
                self.queued_starts += usize::from(is_queued);
                let expected = Expected::Child {
                    sent: Instant::now(),
                    is_quiet: start.quiet,
                    is_queued,
                    has_started: false,
                };
                (id, expected)
            }
            Request::Read { id, max, .. }
            | Request::ReadFile { id, max, .. }
            | Request::Fetch { id, max, .. }
            | Request::FetchMore { id, max, .. } => {
                let max = (*max).clamp(1, MAX_READ);
                (id, Expected::Data { max })
            }
            Request::ListFiles { id, .. } => (id, Expected::Files),
            Request::EndTask { id, .. } => (id, Expected::TaskEnded),
            Request::Renew { id, .. } => (id, Expected::Renewed),
            Request::Write { id, .. }
            | Request::CloseStdin { id, .. }
            | Request::Signal { id, .. }
            | Request::SignalAll { id, .. }
            | Request::Pause { id }
            | Request::Resume { id }
            | Request::MakeDirectory { id, .. }
            | Request::RemoveDirectory { id, .. }
            | Request::Enter { id, .. } => (id, Expected::Done),
            Request::Forget { .. } => return,
        };
        self.requests.insert(*id, (expected, waiter));
    }

    /// Checks a reply, and returns the request that it belongs to. The last reply to a request
    /// removes it.
    ///
    /// # Errors
    /// The reply does not fit any pending request. No request is removed.
    pub fn accept(&mut self, reply: &Reply) -> Result<Matched<'_, W>, UnexpectedReply> {
        let (id, kind) = id_and_kind(reply);
        if let Reply::Failed { id: 0, message, .. } = reply {
            check_text(id, message)?;
            // The helper exits after this reply, so there is at most one.
            if std::mem::replace(&mut self.has_helper_failed, true) {
                return Err(UnexpectedReply::Unknown { id, reply: kind });
            }
            return Ok(Matched::HelperFailed);
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
                    is_queued,
                    ..
                },
                Reply::Started { pid, .. },
            ) if !*has_started => {
                check(id, (1..=MAX_PROCESSES).contains(pid), || {
                    format!("process number {pid}")
                })?;
                *has_started = true;
                self.queued_starts -= usize::from(*is_queued);
                return match self.requests.get_mut(&id) {
                    Some((_, waiter)) => Ok(Matched::Started(waiter)),
                    None => Err(UnexpectedReply::Unknown { id, reply: kind }),
                };
            }
            (
                Expected::Child {
                    is_queued,
                    has_started: false,
                    ..
                },
                Reply::StartFailed { failure, .. },
            ) if *is_queued || failure.kind != StartFailureKind::Returned => {
                check_text(id, &failure.message)?;
                self.queued_starts -= usize::from(*is_queued);
                self.live_children -= 1;
            }
            (
                Expected::Child {
                    sent,
                    is_quiet,
                    is_queued,
                    has_started,
                },
                Reply::Exited { exit, .. },
            ) if *has_started || *is_quiet => {
                check_exit(id, exit, sent.elapsed(), *is_queued)?;
                self.live_children -= 1;
            }
            (Expected::Data { max }, Reply::Data { bytes, .. }) => {
                let count = bytes.0.len();
                check(id, count <= *max as usize, || {
                    format!("{count} bytes, more than the {max} that were requested")
                })?;
            }
            (Expected::Files, Reply::Files { files, is_all, .. }) => {
                check_files(id, files, *is_all)?;
            }
            (Expected::Done, Reply::Done { .. }) | (Expected::Renewed, Reply::Renewed { .. }) => {}
            (Expected::TaskEnded, Reply::TaskEnded { leftovers, .. }) => {
                check_leftovers(id, *leftovers)?;
            }
            (
                Expected::Data { .. } | Expected::Files | Expected::Done | Expected::TaskEnded,
                Reply::Failed { message, .. },
            ) => check_text(id, message)?,
            (
                Expected::Child { .. }
                | Expected::Data { .. }
                | Expected::Files
                | Expected::Done
                | Expected::Renewed
                | Expected::TaskEnded,
                _,
            ) => return Err(UnexpectedReply::Kind { id, reply: kind }),
        }
        match self.requests.remove(&id) {
            Some((_, waiter)) => Ok(Matched::Final(waiter)),
            None => Err(UnexpectedReply::Unknown { id, reply: kind }),
        }
    }

    /// The number of children that have not ended, including those that have not started yet.
    pub fn live_children(&self) -> usize {
        self.live_children
    }

    /// The number of queued children that have not started yet.
    pub fn queued_starts(&self) -> usize {
        self.queued_starts
    }

    /// Removes and returns all requests with their waiters, for instance because the connection has
    /// ended.
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
        Reply::Files { id, .. } => (*id, "files"),
        Reply::Done { id } => (*id, "done"),
        Reply::Failed { id, .. } => (*id, "failed"),
        Reply::Renewed { id, .. } => (*id, "renewed"),
        Reply::TaskEnded { id, .. } => (*id, "task ended"),
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
            "a text of {} bytes, more than the limit of {MAX_TEXT}",
            text.len()
        )
    })
}

/// Checks that files are listed in order, that a list which goes on has some, and that their names
/// are no longer than the limit.
fn check_files(id: Id, files: &[(String, u64)], is_all: bool) -> Result<(), UnexpectedReply> {
    let length: usize = files.iter().map(|(name, _)| name.len()).sum();
    let is_sorted = files.is_sorted_by(|(one, _), (next, _)| one < next);
    let is_possible = length <= MAX_LISTED && is_sorted && (is_all || !files.is_empty());
    check(id, is_possible, || {
        format!("a list of {} files that is none", files.len())
    })
}

fn check_leftovers(id: Id, leftovers: u32) -> Result<(), UnexpectedReply> {
    check(id, leftovers <= MAX_PROCESSES, || {
        format!("{leftovers} processes left behind")
    })
}

fn check_exit(
    id: Id,
    exit: &Exit,
    waited: Duration,
    is_queued: bool,
) -> Result<(), UnexpectedReply> {
    let ran = Duration::from_nanos(exit.duration_ns);
    check(id, ran <= waited.saturating_add(CLOCK_SLACK), || {
        format!("a process that ran for {ran:?} and was requested {waited:?} ago")
    })?;
    let is_possible = match exit.ending {
        Ending::Code(code) => (0..=255).contains(&code),
        Ending::Signal(signal) => (1..=64).contains(&signal),
        Ending::Unknown => true,
    };
    check(id, is_possible, || {
        format!("a process that ended by {:?}", exit.ending)
    })?;
    check_leftovers(id, exit.leftovers)?;
    check(id, is_queued || exit.leftovers == 0, || {
        format!(
            "{} processes ended by a child that was not queued",
            exit.leftovers
        )
    })
}

#[cfg(test)]
#[path = "pending_requests_tests.rs"]
mod tests;

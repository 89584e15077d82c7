//! Owns the queue of processes, each of which is a task of its own: the helper starts the next one
//! when nothing is left of the previous one, without asking the host in between (pipelining). Does
//! not know how a process is started or ended.
//!
//! Quick tasks thus follow each other without a round trip to the host. Behind a slow task the
//! queue is returned to the host, which finds another environment for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use persea_helper::protocol::{
    Exit, Id, QueuePosition, RETURN_AFTER, Reply, Start, StartFailure, StartFailureKind,
};

use super::Server;

/// The length from which the queue is long enough that the next requests need not be received at
/// once.
const ENOUGH: usize = 8;

#[derive(Default)]
pub(super) struct Pipeline {
    queue: VecDeque<(Id, Start)>,
    /// The queued process that runs, and when it started.
    current: Option<(Id, Instant)>,
    /// The queue was returned, so every process behind it is returned too, until a new queue
    /// begins.
    is_broken: bool,
    /// The task is paused, so no process is started.
    is_paused: bool,
}

impl Pipeline {
    pub(super) fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// Lets the next process start.
    pub(super) fn finish_current(&mut self) {
        self.current = None;
    }

    /// Whether a process runs, and enough processes are queued behind it.
    pub(super) fn has_enough(&self) -> bool {
        self.current.is_some() && self.queue.len() >= ENOUGH
    }

    /// The time until the queue is returned to the host; none if it is empty or no process runs.
    pub(super) fn return_in(&self) -> Option<Duration> {
        let (_, started) = self.current.filter(|_| !self.queue.is_empty())?;
        Some(RETURN_AFTER.saturating_sub(started.elapsed()))
    }
}

impl Server {
    pub(super) fn enqueue(&mut self, id: Id, start: Start, position: QueuePosition) {
        self.pipeline.is_broken &= position == QueuePosition::Following;
        if self.pipeline.is_broken {
            self.return_to_host(id);
        } else {
            self.pipeline.queue.push_back((id, start));
        }
    }

    /// Starts the next process if none runs, or returns the queue if the current process runs for
    /// too long.
    pub(super) fn advance_pipeline(&mut self) {
        while self.pipeline.current.is_none()
            && !self.pipeline.is_paused
            && self.children.values().all(|child| !child.is_running)
        {
            let Some((id, start)) = self.pipeline.queue.pop_front() else {
                return;
            };
            if self.start(id, &start) {
                self.pipeline.current = Some((id, Instant::now()));
            }
        }
        if self.pipeline.return_in().is_some_and(|left| left.is_zero()) {
            self.pipeline.is_broken = true;
            for (id, _) in std::mem::take(&mut self.pipeline.queue) {
                self.return_to_host(id);
            }
        }
    }

    /// Whether a request applies to the current task: it names no queued child, or the one that
    /// runs. Returns the child to the host if it is still queued.
    pub(super) fn applies_to_current_task(&mut self, only_for: Option<Id>) -> bool {
        let Some(child) = only_for else { return true };
        !self.withdraw(child) && self.pipeline.current.is_some_and(|(id, _)| id == child)
    }

    /// Returns a child to the host if it is still queued. Returns whether it was.
    pub(super) fn withdraw(&mut self, child: Id) -> bool {
        let position = self.pipeline.queue.iter().position(|(id, _)| *id == child);
        let Some((id, _)) = position.and_then(|at| self.pipeline.queue.remove(at)) else {
            return false;
        };
        self.return_to_host(id);
        true
    }

    fn return_to_host(&mut self, id: Id) {
        self.reply(&Reply::StartFailed {
            id,
            failure: StartFailure {
                kind: StartFailureKind::Returned,
                errno: 0,
                message: "the queued process was returned before its start".to_owned(),
            },
        });
    }

    /// Ends what a queued process left behind, and completes its exit. The exit of any other child
    /// stays as it is.
    pub(super) fn finish_queued(&mut self, id: Id, mut exit: Exit) -> Exit {
        if self
            .pipeline
            .current
            .is_none_or(|(current, _)| current != id)
        {
            return exit;
        }
        if !exit.clean {
            let (leftovers, cleared) = self.clear();
            exit.leftovers = leftovers;
            exit.clean = cleared.is_ok();
        }
        // Otherwise the process stays the current one, so that nothing starts here any more. The
        // host sends `EndTask`, whose reply has the reason.
        if exit.clean {
            self.pipeline.finish_current();
        }
        exit
    }
}

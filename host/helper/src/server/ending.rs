//! Stopping and ending everything below the helper. It must not know what was asked for, nor by whom.

use std::time::{Duration, Instant};

use persea_helper::protocol::{Id, Reply, cut};
use persea_helper::tree::{self, Process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, kill_process, pidfd_open};

use super::{Below, Server};
use crate::work::WorkDir;

/// How long processes that were killed may take to end. Longer takes only what hangs in the kernel.
const END_WITHIN: Duration = Duration::from_secs(10);

impl Server {
    /// Stops what isn't stopped, until nothing new turns up.
    pub(super) fn stop_all(&mut self) {
        loop {
            let before = self.paused.len();
            for process in tree::descendants(getpid()) {
                let known = |p: &Process| (p.pid, p.started) == (process.pid, process.started);
                if process.is_alive()
                    && !process.is_stopped()
                    && !self.paused.iter().any(known)
                    && tree::signal(&process, Signal::STOP)
                {
                    self.paused.push(process);
                }
            }
            if self.paused.len() == before {
                return;
            }
        }
    }

    pub(super) fn end_task(&mut self, id: Id) {
        let (left, cleared) = self.clear();
        let ids: Vec<Id> = self.children.keys().copied().collect();
        for child in ids {
            self.forget(child);
        }
        let reply = match cleared {
            Ok(()) => {
                self.turns.over();
                Reply::Ended { id, left }
            }
            Err(message) => Reply::Failed {
                id,
                errno: Errno::BUSY.raw_os_error(),
                message: cut(message),
            },
        };
        self.reply(&reply);
    }

    /// Ends all processes and empties the work directory, and says how many processes there were.
    pub(super) fn clear(&mut self) -> (u32, Result<(), String>) {
        let (left, ended) = self.end_everything();
        let restored = self.work.as_mut().map_or(Ok(()), WorkDir::restore);
        (left, ended.and(restored))
    }

    /// Kills until nothing is left, and says how many there were.
    pub(super) fn end_everything(&mut self) -> (u32, Result<(), String>) {
        self.paused.clear();
        let mut seen: Vec<Process> = Vec::new();
        let until = Instant::now() + END_WITHIN;
        let own = getpid();
        for round in 1.. {
            if self.below == Below::Something {
                self.reap();
            }
            if self.below == Below::Nothing {
                break;
            }
            let all = tree::descendants(own);
            for process in all {
                let known = |p: &Process| (p.pid, p.started) == (process.pid, process.started);
                if process.is_alive() && !seen.iter().any(known) {
                    seen.push(process);
                }
            }
            if round % 16 == 0 {
                // It forks faster than it is killed; what is stopped doesn't fork.
                self.stop_all();
                self.paused.clear();
            }
            // Direct children only: nobody else reaps them, so their numbers are still theirs. When they are dead, their
            // children are ours, and this comes round again.
            let mut direct = tree::children(own);
            // What was started is known even without /proc.
            direct.extend(self.children.values().filter(|c| c.running).map(|c| c.pid));
            for pid in &direct {
                let _ = kill_process(*pid, Signal::KILL);
            }
            if Instant::now() > until {
                return (count(&seen), Err(stuck(own)));
            }
            wait_for_end(direct.first().copied());
        }
        (count(&seen), Ok(()))
    }
}

fn count(seen: &[Process]) -> u32 {
    seen.len().try_into().unwrap_or(u32::MAX)
}

fn stuck(own: Pid) -> String {
    let pids: Vec<String> = tree::descendants(own)
        .iter()
        .take(10)
        .map(|p| format!("{} (state {})", p.pid, p.state))
        .collect();
    format!(
        "processes don't end although they were killed, so the kernel holds them: {}",
        pids.join(", ")
    )
}

/// Waits a moment, no longer than until this child has ended.
fn wait_for_end(child: Option<Pid>) {
    let fd = child.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let mut fds: Vec<PollFd<'_>> = fd.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let moment = Timespec {
        tv_sec: 0,
        tv_nsec: 5_000_000,
    };
    let _ = poll(&mut fds, Some(&moment));
}

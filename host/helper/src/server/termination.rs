//! Owns stopping and ending every process below the helper. Does not know about requests.

use std::time::{Duration, Instant};

use persea_helper::protocol::{Id, Reply, truncate_text};
use persea_helper::tree::{self, Process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, kill_process, pidfd_open};

use super::{Descendants, Server};
use crate::work_dir::WorkDir;

/// How long killed processes may take to end: 10 s. Only a process that hangs in the kernel takes
/// longer.
const END_TIMEOUT: Duration = Duration::from_secs(10);

impl Server {
    /// Stops every process that is not stopped yet, and repeats until no new process appears.
    pub(super) fn stop_all(&mut self) {
        loop {
            let before = self.paused.len();
            for process in tree::descendants(getpid()) {
                if process.is_alive()
                    && !process.is_stopped()
                    && !self.paused.iter().any(|known| known.is_same(&process))
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

    /// Ends the task, forgets all children and replies.
    pub(super) fn end_task(&mut self, id: Id) {
        let (leftovers, cleared) = self.clear();
        let ids: Vec<Id> = self.children.keys().copied().collect();
        for child in ids {
            self.forget(child);
        }
        let reply = match cleared {
            Ok(()) => {
                self.pipeline.finish_current();
                Reply::TaskEnded {
                    id,
                    leftovers,
                    usage: std::mem::take(&mut self.unreported_usage),
                }
            }
            Err(message) => Reply::Failed {
                id,
                errno: Errno::BUSY.raw_os_error(),
                message: truncate_text(message),
            },
        };
        self.reply(&reply);
    }

    /// Ends all processes and empties the work directory. Returns how many processes there were.
    pub(super) fn clear(&mut self) -> (u32, Result<(), String>) {
        let (leftovers, ended) = self.end_everything();
        let restored = self.work_dir.as_mut().map_or(Ok(()), WorkDir::restore);
        (leftovers, ended.and(restored))
    }

    /// Kills processes until none is left. Returns how many there were.
    pub(super) fn end_everything(&mut self) -> (u32, Result<(), String>) {
        self.paused.clear();
        let mut seen: Vec<Process> = Vec::new();
        let deadline = Instant::now() + END_TIMEOUT;
        let own = getpid();
        for round in 1.. {
            if self.descendants == Descendants::Possible {
                self.reap();
            }
            if self.descendants == Descendants::None {
                break;
            }
            for process in tree::descendants(own) {
                if process.is_alive() && !seen.iter().any(|known| known.is_same(&process)) {
                    seen.push(process);
                }
            }
            if round % 16 == 0 {
                // The tree forks faster than it is killed. Stopped processes cannot fork.
                self.stop_all();
                self.paused.clear();
            }
            // Only direct children, because nobody else reaps them and so their numbers are still
            // their own. Their orphans become children of the helper, and the next round kills
            // those.
            let mut direct = tree::children(own);
            // These children are known even without /proc.
            direct.extend(
                self.children
                    .values()
                    .filter(|c| c.is_running)
                    .map(|c| c.pid),
            );
            for pid in &direct {
                let _ = kill_process(*pid, Signal::KILL);
            }
            if Instant::now() > deadline {
                return (count(&seen), Err(stuck_message(own)));
            }
            wait_for_end(direct.first().copied());
        }
        (count(&seen), Ok(()))
    }
}

fn count(seen: &[Process]) -> u32 {
    seen.len().try_into().unwrap_or(u32::MAX)
}

fn stuck_message(own: Pid) -> String {
    let pids: Vec<String> = tree::descendants(own)
        .iter()
        .take(10)
        .map(|p| format!("{} (state {})", p.pid, p.state))
        .collect();
    format!(
        "killed processes do not end, because the kernel holds them: {}",
        pids.join(", ")
    )
}

/// Waits until this child ends, at most 5 ms.
fn wait_for_end(child: Option<Pid>) {
    let fd = child.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let mut fds: Vec<PollFd<'_>> = fd.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: 5_000_000,
    };
    let _ = poll(&mut fds, Some(&timeout));
}

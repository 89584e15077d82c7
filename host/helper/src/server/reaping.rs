//! Owns the reaping of processes: how each has ended, what it has used, and the report of those
//! that the host started. Does not know how a process is started.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::libc;
use persea_helper::protocol::{Ending, Exit, Id, Reply, Usage};
use rustix::io::Errno;
use rustix::process::Pid;

use super::{Child, Descendants, STREAMS, Server};
use crate::work_dir::WorkDir;

impl Server {
    /// Reaps all ended processes, and sends the host an exit for each that it has started.
    pub(super) fn reap(&mut self) {
        let mut exited: Vec<(Id, Exit)> = Vec::new();
        loop {
            match reap_one() {
                Ok(Some(reaped)) => {
                    self.unreported_usage.add(reaped.usage);
                    exited.extend(self.take_exit(&reaped));
                }
                Ok(None) => break,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.descendants = Descendants::None;
                    break;
                }
            }
        }
        if exited.is_empty() {
            return;
        }
        let clean = self.descendants == Descendants::None
            && self.work_dir.as_ref().is_none_or(WorkDir::is_untouched);
        for (id, exit) in exited {
            for stream in 0..STREAMS {
                self.continue_read(id, stream);
            }
            let exit = Exit { clean, ..exit };
            let exit = self.finish_queued(id, exit);
            let usage = std::mem::take(&mut self.unreported_usage);
            let exit = Exit { usage, ..exit };
            self.reply(&Reply::Exited { id, exit });
        }
    }

    fn take_exit(&mut self, reaped: &Reaped) -> Option<(Id, Exit)> {
        let status = reaped.status;
        let ended = |(_, child): &(&Id, &mut Child)| child.pid == reaped.pid && child.is_running;
        let (id, child) = self.children.iter_mut().find(ended)?;
        let id = *id;
        let exit = Exit {
            ending: match (status.code(), status.signal()) {
                (Some(code), None) => Ending::Code(code),
                (None, Some(signal)) => Ending::Signal(signal),
                (Some(_), Some(_)) | (None, None) => Ending::Unknown,
            },
            duration_ns: child
                .started
                .elapsed()
                .as_nanos()
                .try_into()
                .unwrap_or(u64::MAX),
            clean: false,
            leftovers: 0,
            usage: Usage::default(),
        };
        child.is_running = false;
        self.finish_streams(id);
        Some((id, exit))
    }
}

/// A process that has ended.
struct Reaped {
    pid: Pid,
    status: ExitStatus,
    /// What the process has used, together with those of its children that it has waited for.
    usage: Usage,
}

/// Reaps one ended child process: a process that the host has started, or an adopted orphan. None
/// if every child process still runs.
///
/// # Errors
/// `CHILD` if there are no children.
fn reap_one() -> Result<Option<Reaped>, Errno> {
    let mut status = 0;
    // SAFETY: all fields are integers, for which zero is a value.
    #[allow(unsafe_code)]
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for writes, and the kernel keeps neither.
    #[allow(unsafe_code)]
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
    if pid < 0 {
        let error = nix::Error::last_raw();
        return Err(Errno::from_raw_os_error(error));
    }
    let Some(pid) = Pid::from_raw(pid) else {
        return Ok(None);
    };
    Ok(Some(Reaped {
        pid,
        status: ExitStatus::from_raw(status),
        usage: Usage {
            user_ns: nanoseconds(usage.ru_utime),
            system_ns: nanoseconds(usage.ru_stime),
            largest_process: u64::try_from(usage.ru_maxrss)
                .unwrap_or(0)
                .saturating_mul(1024),
        },
    }))
}

fn nanoseconds(time: libc::timeval) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(micros.saturating_mul(1000))
}

//! Owns the list of the host's child processes, all of which are started here. When a helper is
//! killed, the host inherits its orphans, as their nearest subreaper: the children that are not in
//! the list, which are then killed. Does not know what a child is for.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use persea_helper::tree;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid,
};

/// The process ids of the children. Locked while a child is started, so that
/// [`kill_orphans`] never takes it for an orphan.
static KNOWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// How long killed orphans are waited for: 5 s. Longer takes only a process that hangs in the
/// kernel.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(5);

/// Starts a child process, which inherits the given descriptors under their numbers. The caller
/// calls [`forget`] after it has waited for the child.
pub(crate) fn start(command: &mut Command, inherited: &[BorrowedFd<'_>]) -> io::Result<Child> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.is_empty() {
        // Before the first child, so that it applies to every descendant.
        set_child_subreaper(Some(getpid()))?;
    }
    // No other child can inherit them meanwhile, as all are started under the lock.
    for fd in inherited {
        fcntl_setfd(fd, FdFlags::empty())?;
    }
    let child = command.spawn();
    for fd in inherited {
        fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    }
    let child = child?;
    known.insert(Pid::from_child(&child).as_raw_nonzero().get());
    Ok(child)
}

/// Removes a child that was waited for from the list: its process id may be reused.
pub(crate) fn forget(pid: Pid) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.remove(&pid.as_raw_nonzero().get());
}

/// Kills and reaps all orphans of the host, and the orphans that these leave. Blocks, usually for
/// milliseconds. Returns their number.
pub(crate) fn kill_orphans() -> usize {
    let deadline = Instant::now() + ORPHAN_TIMEOUT;
    let own = getpid();
    let mut killed = 0;
    loop {
        let orphans = {
            let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
            let mut orphans = tree::children(own);
            orphans.retain(|pid| !known.contains(&pid.as_raw_nonzero().get()));
            orphans
        };
        if orphans.is_empty() || Instant::now() > deadline {
            return killed;
        }
        for pid in orphans {
            // Only this function waits for an orphan, so its process id is not reused before.
            let _ = kill_process(pid, Signal::KILL);
            if let Ok(Some(_)) = waitpid(Some(pid), WaitOptions::NOHANG) {
                killed += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

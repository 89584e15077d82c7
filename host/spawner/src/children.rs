//! The host's own child processes: every one is started here and is known here. So when a helper is killed and its
//! orphans come to the host (their nearest subreaper), the orphans are those children that are not known, and are ended.
//! It must not know what a child is for.

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

/// Held while one is started, so that it's known before anybody looks for strays.
static KNOWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Strays that were killed are waited for so long; more takes only what hangs in the kernel.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Starts a child of the host, which inherits these descriptors by their numbers. [`forget`] it when it was waited for.
pub(super) fn start(command: &mut Command, inherited: &[BorrowedFd<'_>]) -> io::Result<Child> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.is_empty() {
        // Idempotent, and before the first child, so that it holds for all that come from it.
        set_child_subreaper(Some(getpid()))?;
    }
    // Every child is started under the lock, so no other one inherits them.
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

/// The child was waited for; its number may become another's.
pub(super) fn forget(pid: Pid) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.remove(&pid.as_raw_nonzero().get());
}

/// Ends all children of the host that it doesn't know, and what they leave in turn. It blocks, for milliseconds as a rule.
/// Returns how many there were.
pub(super) fn end_strays() -> usize {
    let until = Instant::now() + END_WITHIN;
    let own = getpid();
    let mut ended = 0;
    loop {
        let strays = {
            let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
            let mut strays = tree::children(own);
            strays.retain(|pid| !known.contains(&pid.as_raw_nonzero().get()));
            strays
        };
        if strays.is_empty() || Instant::now() > until {
            return ended;
        }
        for pid in strays {
            // Nobody else waits for it, so the number is its own until it's reaped here.
            let _ = kill_process(pid, Signal::KILL);
            if let Ok(Some(_)) = waitpid(Some(pid), WaitOptions::NOHANG) {
                ended += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

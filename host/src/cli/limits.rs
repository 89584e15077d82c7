//! The limits of the system (`ulimit`) under which the host works: those that are too low to begin with are said. Does not know
//! about the limits of plugins.

use rustix::process::{Resource, Signal, getrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, exit};

/// Descriptors for a job of one task at a time: runtime, journal, reports, plugins and one helper.
const DESCRIPTORS: u64 = 64;

/// Says which limit keeps the host from working at all.
pub(super) fn check() -> Result<(), Failure> {
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < DESCRIPTORS => Err(Failure::new(
            exit::FAIL,
            miette::miette!(
                help = "`ulimit -n 1024` raises the limit",
                "too many open files: the limit is {limit} (`ulimit -n`), and persea needs {DESCRIPTORS} at least"
            ),
        )),
        _ => Ok(()),
    }
}

/// Why there is no runtime to begin with.
pub(super) fn no_runtime(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::WouldBlock => Failure::of(persea_system::threads::NoThread::of(error)),
        _ => Failure::of(error),
    }
}

/// Takes a file that has become too large (`ulimit -f`) for an error of whoever writes it, as a full disk: otherwise the signal
/// ends the host. What it starts has the default again.
pub(super) fn outlive_file_size() {
    // It can only fail where no signal can be handled at all; the job says so.
    let _ = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()));
}

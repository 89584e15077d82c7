//! Owns the check of the system's limits (`ulimit`) that the host needs. Does not know about the
//! limits of plugins.

use rustix::process::{Resource, Signal, getrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, exit};

/// File descriptors for a job of one task at a time: runtime, journal, reports, plugins and one
/// helper.
const DESCRIPTORS: u64 = 64;

/// Checks the limits without which no command works.
///
/// # Errors
/// A limit is too low.
pub(super) fn check() -> Result<(), Failure> {
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < DESCRIPTORS => Err(Failure::new(
            exit::FAIL,
            miette::miette!(
                help = "raise the limit: `ulimit -n 1024`",
                "too many open files: the limit is {limit} (`ulimit -n`), and persea needs at \
                 least \
                 {DESCRIPTORS}"
            ),
        )),
        _ => Ok(()),
    }
}

/// The failure to start the runtime.
pub(super) fn no_runtime(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::WouldBlock => Failure::of(persea_system::threads::NoThread::of(error)),
        _ => Failure::of(error),
    }
}

/// Handles SIGXFSZ, so that a file over the limit (`ulimit -f`) is a write error like a full disk.
/// The signal's default action would end the host. Child processes have the default action.
pub(super) fn outlive_file_size() {
    // This fails only if no signal can be handled at all, and then the job reports that.
    let _ = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()));
}

//! Owns the hints that name the limit (`ulimit`) behind an error of the system. Does not know which
//! operation failed.

use std::io;

use rustix::io::Errno;

/// Returns the hint for an error that a limit can cause, as a suffix that begins with a semicolon;
/// an empty text for any other error.
pub fn hint(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::FBIG) => "; `ulimit -f` limits the size of files",
        Some(Errno::MFILE) => "; `ulimit -n` limits how many files are open",
        Some(Errno::AGAIN) => {
            "; `ulimit -u` limits the processes and threads of a user, and a container may have a \
             limit of its own"
        }
        Some(Errno::NOMEM) => "; `ulimit -v` limits the address space of a process",
        _ => "",
    }
}

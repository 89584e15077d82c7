//! Names the limit of the system (`ulimit`) that an error comes from. Does not know what was being done.

use std::io;

use rustix::io::Errno;

/// What to add to an error that a limit can be the cause of, beginning with a semicolon; nothing for others.
pub fn hint(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::FBIG) => "; `ulimit -f` limits the size of files",
        Some(Errno::MFILE) => "; `ulimit -n` limits how many files are open",
        Some(Errno::AGAIN) => {
            "; `ulimit -u` limits the processes and threads of a user, and a container may have a limit of its own"
        }
        Some(Errno::NOMEM) => "; `ulimit -v` limits the address space, where there is memory",
        _ => "",
    }
}

//! Owns the keeper of a directory on another host: it removes the directory when the connection to
//! the host ends or is not used for too long. Does not know what is in the directory.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use persea_helper::removal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::stdio::stdin;

use crate::lease::Lease;

/// Keeps the directory of the first argument for the lease of the second one, in milliseconds.
pub(crate) fn run(arguments: &[OsString]) -> io::Result<()> {
    let [directory, lease] = arguments else {
        return Err(io::Error::other("the directory or the lease is missing"));
    };
    let lease = lease.to_str().and_then(|lease| lease.parse().ok());
    let lease = lease.ok_or_else(|| io::Error::other("the lease is not a number"))?;
    let directory = Path::new(directory);
    let kept = wait(Duration::from_millis(lease), directory);
    // At once, because whoever takes this machine away may kill the keeper. Fails if something is
    // written there meanwhile.
    let _ = removal::remove_tree(directory);
    // What still runs there ends with the connection, too, and may have written in spite of that.
    let deadline = Instant::now() + END_TIMEOUT;
    while is_in_use(directory) && Instant::now() < deadline {
        std::thread::sleep(END_INTERVAL);
    }
    removal::remove_tree(directory)?;
    kept
}

/// How long programs of the directory may take to end with the connection: 15 s. A helper gives its
/// processes 10 s.
const END_TIMEOUT: Duration = Duration::from_secs(15);

/// How often the keeper looks whether they have ended: 50 times a second.
const END_INTERVAL: Duration = Duration::from_millis(20);

/// How often the keeper looks for helpers when its lease is over: each second.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Whether a program of the directory runs, other than this one. Helpers outlive their lease only
/// while their tasks are paused.
fn is_in_use(directory: &Path) -> bool {
    let own = std::process::id();
    let program = [directory.as_os_str().as_bytes(), b"/"].concat();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    // `self` is there, too.
    let number = |name: &OsStr| name.to_str()?.parse::<u32>().ok();
    let mut others = processes.filter(|process| {
        let number = number(&process.file_name());
        number.is_some_and(|number| number != own)
    });
    others.any(|process| {
        let line = std::fs::read(process.path().join("cmdline"));
        line.is_ok_and(|line| line.starts_with(&program))
    })
}

/// Waits for the end of the connection, or of the lease if nobody uses the directory any more.
fn wait(duration: Duration, directory: &Path) -> io::Result<()> {
    let mut lease = Lease::new(duration);
    let mut buffer = [0; 64];
    loop {
        let left = lease.left();
        if left.is_zero() {
            if is_in_use(directory) {
                lease = Lease::new(LOOK_INTERVAL);
                continue;
            }
            return Err(io::Error::other("the host has not renewed the lease"));
        }
        let timeout = Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(
            &mut [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)],
            Some(&timeout),
        ) {
            Err(Errno::INTR) | Ok(0) => continue,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let count = io::stdin().lock().read(&mut buffer)?;
        let Some(received @ [_, ..]) = buffer.get(..count) else {
            return Ok(());
        };
        lease = Lease::new(duration);
        let mut output = io::stdout().lock();
        output.write_all(received)?;
        output.flush()?;
    }
}

//! Owns the guard of one sandbox: it runs the program that creates the sandbox, and ends every
//! process that is left when that program ends or the host dies. Does not know about messages.
//!
//! While bubblewrap creates a sandbox, its processes wait for each other and for the host. If the
//! host is killed in the meantime, some of them would wait for ever.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use persea_helper::tree;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, getppid, kill_process, pidfd_open, wait,
};
use rustix::stdio::{dup2_stdout, stdin};

/// How long the helper in the sandbox may take to end by itself after the host's death: 3 s, of
/// which it usually needs milliseconds. While the host lives, the host itself sees to the end of
/// the sandbox.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// How often the guard checks whether the host lives, once the channel is closed.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// How long killed processes may take to end: 10 s. Only a process that hangs in the kernel takes
/// longer.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the guard. `args` are the host's process number and a command; with the number 0 the host
/// is elsewhere, and counts as dead when it closes the input. The guard then says on the standard
/// error that everything has ended: the exit code may not get there. Returns the exit code of the
/// command, or 128 plus the number of the signal that ended it.
pub(crate) fn run(args: &[OsString]) -> io::Result<ExitCode> {
    let [host, program, args @ ..] = args else {
        return Err(io::Error::other(
            "the host's process number or the command is missing",
        ));
    };
    let host = host.to_str().and_then(|number| number.parse().ok());
    let host = host.ok_or_else(|| io::Error::other("the host's process number is not a number"))?;
    let mut child = Command::new(program).args(args).spawn()?;
    // The program has inherited the channel and all other descriptors. The guard keeps its standard
    // input, to notice when the host closes it.
    crate::close_inherited();
    dup2_stdout(open(
        "/dev/null",
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?)?;

    let ended = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    // Poll reports in any case that the other end is closed, and with this flag also that a
    // socket's other end will not write any more.
    let input = PollFd::from_borrowed_fd(stdin(), PollFlags::RDHUP);
    wait_for(&mut [input, PollFd::new(&ended, PollFlags::IN)], None)?;
    let mut host_died = None;
    loop {
        let mut fds = [PollFd::new(&ended, PollFlags::IN)];
        if wait_for(&mut fds, Some(CHECK_INTERVAL))? {
            break;
        }
        if getppid().map(|parent| parent.as_raw_nonzero().get()) != Some(host) {
            let died = host_died.get_or_insert_with(Instant::now);
            if died.elapsed() > END_TIMEOUT {
                break;
            }
        }
    }
    let status = child.try_wait()?;
    let has_ended = end_all();
    if has_ended && host == 0 {
        // Fails if the host is gone, and then nobody can be told.
        let _ = writeln!(io::stderr(), "{}", persea_helper::ENDED_LINE);
    }
    Ok(status.map_or(ExitCode::FAILURE, code))
}

fn code(status: ExitStatus) -> ExitCode {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, signal) => 128 + signal.unwrap_or_default(),
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Waits until one of the descriptors is ready. Returns false after a time-out.
fn wait_for(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<bool> {
    let timeout = timeout.map(|time| Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    loop {
        match poll(fds, timeout.as_ref()) {
            Err(Errno::INTR) => {}
            done => return Ok(done? > 0),
        }
    }
}

/// Kills processes until none is left, and returns whether that was possible. The guard adopts
/// orphans, so every process below it becomes its child sooner or later.
fn end_all() -> bool {
    let deadline = Instant::now() + KILL_TIMEOUT;
    while Instant::now() < deadline {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                // There is no child.
                Err(_) => return true,
            }
        }
        for pid in tree::children(getpid()) {
            // Only the guard reaps it, so the process number is still its own.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

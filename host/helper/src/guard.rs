//! Owns the processes of one sandbox from outside: starts the program that makes it, and ends all that is left when that
//! program has ended or the host is gone. Does not know about the channel's messages.
//!
//! bubblewrap's processes wait for each other and for the host while they make a sandbox. Where the host is killed in
//! between, some of them would wait for ever.

use std::ffi::OsString;
use std::io;
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

/// After the host's death the helper in the sandbox ends by itself, as a rule within milliseconds. It may take 3 s. A host that
/// lives and has closed the channel sees to the end itself.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// How often is looked whether the host lives, once the channel is closed.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

/// How long processes that were killed may take to end. Longer takes only what hangs in the kernel.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

/// Runs what follows the host's process number, and ends with its exit code, or with 128 and the number of the signal that
/// ended it.
pub(crate) fn run(args: &[OsString]) -> io::Result<ExitCode> {
    let [host, program, args @ ..] = args else {
        return Err(io::Error::other("no host or no program is named"));
    };
    let host = host.to_str().and_then(|number| number.parse().ok());
    let host = host.ok_or_else(|| io::Error::other("the host's process number is none"))?;
    let mut child = Command::new(program).args(args).spawn()?;
    // The program has the channel and all other descriptors now. The input stays, to see when the host closes it.
    crate::close_inherited();
    dup2_stdout(open(
        "/dev/null",
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?)?;

    let ended = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    // Without anything to wait for, it still tells that the other end is closed.
    let input = PollFd::from_borrowed_fd(stdin(), PollFlags::empty());
    wait_for(&mut [input, PollFd::new(&ended, PollFlags::IN)], None)?;
    let mut is_dead_since = None;
    loop {
        let mut fds = [PollFd::new(&ended, PollFlags::IN)];
        if wait_for(&mut fds, Some(LOOKS_EVERY))? {
            break;
        }
        if getppid().map(|parent| parent.as_raw_nonzero().get()) != Some(host) {
            let since = is_dead_since.get_or_insert_with(Instant::now);
            if since.elapsed() > ENDS_WITHIN {
                break;
            }
        }
    }
    let status = child.try_wait()?;
    end_all();
    Ok(status.map_or(ExitCode::FAILURE, code))
}

fn code(status: ExitStatus) -> ExitCode {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, signal) => 128 + signal.unwrap_or_default(),
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Waits until something happens at one of the descriptors. False where nothing has in that time.
fn wait_for(fds: &mut [PollFd<'_>], within: Option<Duration>) -> io::Result<bool> {
    let within = within.map(|time| Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    loop {
        match poll(fds, within.as_ref()) {
            Err(Errno::INTR) => {}
            done => return Ok(done? > 0),
        }
    }
}

/// Kills what is left until nothing is: orphans come here, so all that is below is a child sooner or later.
fn end_all() {
    let until = Instant::now() + KILLED_WITHIN;
    while Instant::now() < until {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        for pid in tree::children(getpid()) {
            // Nobody else waits for it, so the number is its own until it is reaped here.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

//! Owns the creation of processes: like posix_spawn, with a child that shares this process's memory
//! until it executes its program. Does not know how the program was found or what becomes of the
//! process.
//!
//! The C library's posix_spawn sets the actions of 64 signals and maps a stack for each process, a
//! tenth of the time of a quick test. Here the ignored signals are known in advance, and all
//! children use one stack, one after the other, because this process is suspended until the child
//! has executed (CLONE_VFORK; see clone(2)).

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::libc;
use nix::sched::{CloneFlags, clone};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, setpgid, setsid};
use persea_helper::protocol::ProcessLimits;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, write};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

/// The size of the stack of a child until it executes, in bytes. The child makes a few system
/// calls.
const STACK: usize = 64 << 10;

/// Creates processes, each in a process group of its own and with the default actions of all
/// signals.
pub(crate) struct Spawner {
    stack: Vec<u8>,
    /// The signals that this process ignores. Executing a program resets all others.
    ignored: Vec<libc::c_int>,
}

/// Signals that C libraries reserve. They refuse to change these, and glibc's posix_spawn makes
/// each child ignore two of them, which tests would inherit.
const INTERNAL_SIGNALS: [libc::c_int; 3] = [32, 33, 34];

/// Resets the reserved signals to their default actions. This program has one thread, and needs
/// none of them.
fn restore_internal_signals() {
    // The structure of the kernel. The default action, no flags and an empty mask are all zeros, in
    // any order.
    let default = [0_u64; 4];
    for signal in INTERNAL_SIGNALS {
        // SAFETY: the kernel reads at most 32 bytes, the size of `default`, and writes nothing.
        #[allow(unsafe_code)]
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null_mut::<u64>(),
                8_usize,
            );
        }
    }
}

/// Limits what this process, and with it the program that it executes, may use. Allocates nothing.
fn confine(limits: &ProcessLimits) -> Result<(), Errno> {
    for (resource, value) in [
        (Resource::As, limits.address_space),
        (Resource::Nproc, limits.processes),
        (Resource::Fsize, limits.file_size),
    ] {
        let Some(value) = value else { continue };
        // A limit that is there already may be lower, and cannot be raised.
        let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let limit = Some(value.min(most));
        setrlimit(
            resource,
            Rlimit {
                current: limit,
                maximum: limit,
            },
        )?;
    }
    if limits.dies_first {
        // Without /proc, the kernel chooses by size. The value is that of this process alone,
        // although it shares its memory with the helper: see __set_oom_adj in Linux' fs/proc.
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        if let Ok(file) = open(c"/proc/self/oom_score_adj", flags, Mode::empty()) {
            write(&file, b"1000")?;
        }
    }
    Ok(())
}

impl Spawner {
    /// `ignored` has one bit for each signal that this process ignores, the lowest for signal 1.
    pub(crate) fn new(ignored: u64) -> Spawner {
        restore_internal_signals();
        Spawner {
            stack: vec![0; STACK],
            ignored: (1..=64)
                .filter(|signal| ignored & (1 << (signal - 1)) != 0)
                .collect(),
        }
    }

    /// Starts a program with these descriptors as standard input, output and error. None of the
    /// three may be descriptor 0, 1 or 2 of this process. With `has_terminal`, they are a terminal,
    /// which becomes the controlling one of a new session. On an error no process is left.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn spawn(
        &mut self,
        program: &CStr,
        args: &[CString],
        variables: &[Cow<'_, CStr>],
        streams: [BorrowedFd<'_>; 3],
        has_terminal: bool,
        limits: Option<&ProcessLimits>,
    ) -> nix::Result<Pid> {
        // Everything is allocated before the child exists.
        let args: Vec<_> = args.iter().map(|arg| arg.as_ptr()).collect();
        let args = [&*args, &[ptr::null()]].concat();
        let variables: Vec<_> = variables.iter().map(|entry| entry.as_ptr()).collect();
        let variables = [&*variables, &[ptr::null()]].concat();
        let failed = AtomicI32::new(0);
        let ignored = &self.ignored;
        let child = || {
            let [stdin, stdout, stderr] = streams;
            let prepare = || -> nix::Result<()> {
                if has_terminal {
                    setsid()?;
                } else {
                    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
                }
                let done = dup2_stdin(stdin)
                    .and_then(|()| dup2_stdout(stdout))
                    .and_then(|()| dup2_stderr(stderr));
                done.map_err(|e| nix::Error::from_raw(e.raw_os_error()))?;
                if has_terminal {
                    // SAFETY: the call reads no memory.
                    #[allow(unsafe_code)]
                    nix::Error::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) })?;
                }
                for signal in ignored {
                    // SAFETY: the default action runs no code of this process.
                    #[allow(unsafe_code)]
                    unsafe {
                        libc::signal(*signal, libc::SIG_DFL);
                    }
                }
                if let Some(limits) = limits {
                    confine(limits).map_err(|e| nix::Error::from_raw(e.raw_os_error()))?;
                }
                SigSet::empty().thread_set_mask()
            };
            if let Err(e) = prepare() {
                failed.store(e as i32, Ordering::Relaxed);
                return 127;
            }
            // SAFETY: both lists end with a null pointer, and the caller, who waits, keeps the
            // strings alive.
            #[allow(unsafe_code)]
            unsafe {
                libc::execve(program.as_ptr(), args.as_ptr(), variables.as_ptr());
            }
            failed.store(nix::Error::last_raw(), Ordering::Relaxed);
            127
        };
        // No signal handler of this process may run in the child.
        let mut before = SigSet::empty();
        nix::sys::signal::sigprocmask(
            SigmaskHow::SIG_SETMASK,
            Some(&SigSet::all()),
            Some(&mut before),
        )?;
        let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
        // SAFETY: the child has a stack of its own. Nobody else uses it, because the only thread of
        // this process is suspended until the child has executed or ended. Until then the child
        // allocates nothing, does not panic, and changes no memory but `failed` and errno. It
        // returns into the C library, which ends it.
        #[allow(unsafe_code)]
        let started =
            unsafe { clone(Box::new(child), &mut self.stack, flags, Some(libc::SIGCHLD)) };
        // Cannot fail: the mask was valid before.
        let _ = before.thread_set_mask();
        let pid = started?;
        match failed.load(Ordering::Relaxed) {
            0 => Ok(pid),
            errno => {
                let _ = waitpid(pid, None);
                Err(nix::Error::from_raw(errno))
            }
        }
    }
}

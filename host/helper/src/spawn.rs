//! Makes a process out of a program, as posix_spawn does and with as little: a child that has this process's memory until it executes. It
//! must not know where the program was found, nor what becomes of the process.
//!
//! posix_spawn of the C library sets what each of 64 signals does, and maps a stack, for each process: a tenth of the time of a quick test. What
//! is ignored here does not change, and the stack can be the same, because nothing else runs here until the child has executed (CLONE_VFORK;
//! see clone(2)).

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::libc;
use nix::sched::{CloneFlags, clone};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, setpgid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

/// What the child needs until it executes: it makes some system calls.
const STACK: usize = 64 << 10;

/// Makes processes with a group of their own, and signals as a program expects them.
pub(crate) struct Spawner {
    stack: Vec<u8>,
    /// The signals that are ignored here: others have their defaults in a program anyway.
    ignored: Vec<libc::c_int>,
}

/// Signals that C libraries keep for themselves: they refuse to change them, and glibc's posix_spawn has each child ignore
/// two of them. Tests would inherit that.
const INTERNAL_SIGNALS: [libc::c_int; 3] = [32, 33, 34];

/// Gives the signals of C libraries their default actions again. This program has one thread, and needs none of them.
fn restore_internal_signals() {
    // The kernel's structure, whose default action and empty flags and mask are zeros whatever the order of its fields.
    let default = [0_u64; 4];
    for signal in INTERNAL_SIGNALS {
        // SAFETY: the kernel reads 32 bytes at most, which `default` has, and writes nothing.
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

impl Spawner {
    /// With a bit for each signal that is ignored here, the lowest for signal 1.
    pub(crate) fn new(ignored: u64) -> Spawner {
        restore_internal_signals();
        Spawner {
            stack: vec![0; STACK],
            ignored: (1..=64)
                .filter(|signal| ignored & (1 << (signal - 1)) != 0)
                .collect(),
        }
    }

    /// Starts a program with standard input, output and error; none of the three may have such a number here. On an error nothing runs.
    pub(crate) fn spawn(
        &mut self,
        program: &CStr,
        args: &[CString],
        variables: &[Cow<'_, CStr>],
        streams: [BorrowedFd<'_>; 3],
    ) -> nix::Result<Pid> {
        // All that is allocated is so before there's a child.
        let args: Vec<_> = args.iter().map(|arg| arg.as_ptr()).collect();
        let args = [&*args, &[ptr::null()]].concat();
        let variables: Vec<_> = variables.iter().map(|entry| entry.as_ptr()).collect();
        let variables = [&*variables, &[ptr::null()]].concat();
        let failed = AtomicI32::new(0);
        let ignored = &self.ignored;
        let child = || {
            let [stdin, stdout, stderr] = streams;
            let prepare = || -> nix::Result<()> {
                setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
                let done = dup2_stdin(stdin)
                    .and_then(|()| dup2_stdout(stdout))
                    .and_then(|()| dup2_stderr(stderr));
                done.map_err(|e| nix::Error::from_raw(e.raw_os_error()))?;
                for signal in ignored {
                    // SAFETY: the default is no code of ours.
                    #[allow(unsafe_code)]
                    unsafe {
                        libc::signal(*signal, libc::SIG_DFL);
                    }
                }
                SigSet::empty().thread_set_mask()
            };
            if let Err(e) = prepare() {
                failed.store(e as i32, Ordering::Relaxed);
                return 127;
            }
            // SAFETY: both lists end with a null, and what they point to lives in `args` and `variables` of the caller, who waits.
            #[allow(unsafe_code)]
            unsafe {
                libc::execve(program.as_ptr(), args.as_ptr(), variables.as_ptr());
            }
            failed.store(nix::Error::last_raw(), Ordering::Relaxed);
            127
        };
        // A handler of ours must not run in the child.
        let mut before = SigSet::empty();
        nix::sys::signal::sigprocmask(
            SigmaskHow::SIG_SETMASK,
            Some(&SigSet::all()),
            Some(&mut before),
        )?;
        let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
        // SAFETY: the child has a stack of its own, which nobody else uses, because this process has one thread and that goes on only when the
        // child has executed or ended. Until then the child allocates nothing, does not panic, and changes no memory but `failed` and the
        // number of the last error. It returns into the C library, which ends it.
        #[allow(unsafe_code)]
        let started =
            unsafe { clone(Box::new(child), &mut self.stack, flags, Some(libc::SIGCHLD)) };
        // It can't fail: the mask was one.
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

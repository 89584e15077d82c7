//! The helper: a small program that starts and ends the processes of one task at a time, controlled
//! over a pipe. This file owns the set-up: signals, session and descriptors. Does not know about
//! messages.
#![deny(unsafe_code)]

mod copy;
mod fetch;
mod guard;
mod handover;
mod interpreter;
mod isolate;
mod keep;
mod lease;
mod project;
mod report_socket;
mod server;
mod shared;
mod spawn;
mod start;
mod variables;
mod work_dir;

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{
    DumpableBehavior, getpid, set_child_subreaper, set_dumpable_behavior, setsid,
};
use rustix::stdio::{dup2_stdin, dup2_stdout, stdin, stdout};

/// The lowest number of descriptors that stay open: above the numbers that children use (0 to 3).
const ABOVE_WELL_KNOWN: i32 = 10;

fn main() -> ExitCode {
    if let Some(argument) = std::env::args_os().nth(1) {
        if argument == "--version" {
            let version = env!("CARGO_PKG_VERSION");
            let _ = writeln!(std::io::stdout(), "persea-helper {version}");
            return ExitCode::SUCCESS;
        }
        if argument == persea_helper::GUARD_ARGUMENT {
            return guard_sandbox();
        }
        if argument == persea_helper::KEEP_ARGUMENT {
            return keep_directory();
        }
        if argument == persea_helper::PROJECT_ARGUMENT {
            return receive_project();
        }
        if argument != persea_helper::CONNECT_ARGUMENT {
            return fail(
                "unexpected argument: the helper takes messages on its standard input only",
                2,
            );
        }
        let socket = std::env::args_os().nth(2).unwrap_or_default();
        if let Err(e) = handover::receive(Path::new(&socket)) {
            let socket = socket.display();
            return fail(&format!("the host can't be reached at {socket}: {e}"), 1);
        }
    }
    if std::io::stdin().is_terminal() {
        return fail(
            "standard input is a terminal: only persea can use this program",
            2,
        );
    }
    close_inherited();
    match set_up() {
        Err(e) => fail(&format!("the helper's set-up failed: {e}"), 1),
        Ok(server) => match server.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(&e.to_string(), 1),
        },
    }
}

fn guard_sandbox() -> ExitCode {
    let command: Vec<_> = std::env::args_os().skip(2).collect();
    match detach().and_then(|()| guard::run(&command)) {
        Ok(code) => code,
        Err(e) => fail(&format!("the guard of the sandbox failed: {e}"), 1),
    }
}

fn keep_directory() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(2).collect();
    match detach().and_then(|()| keep::run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&format!("the keeper failed: {e}"), 1),
    }
}

fn receive_project() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(2).collect();
    match project::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&format!("the project was not received: {e}"), 1),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    // Fails if the reader is gone, and then nobody can be told.
    let _ = writeln!(std::io::stderr(), "persea-helper: {message}");
    ExitCode::from(code)
}

/// Closes every descriptor but the three standard ones, before the helper opens any of its own. A
/// shell or a job server may have left others open, perhaps on the number where children expect
/// their report pipe.
fn close_inherited() {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let numbers: Vec<i32> = open
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for number in numbers {
        if number > 2 {
            // Fails for the descriptor of the directory itself, which is closed by now.
            let _ = nix::unistd::close(number);
        }
    }
}

/// Sets up what helper and guard have in common: no signal ends them, and they adopt all orphans
/// below them.
fn detach() -> std::io::Result<()> {
    // Tests run as the same user, and in a sandbox the helper is their process 1. If the helper
    // were dumpable, they could open the channel as /proc/PID/fd/N, copy it with pidfd_getfd, or
    // trace the helper.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    survive_signals()?;
    // Fails if the helper already leads a process group, which is then its own.
    let _ = setsid();
    set_child_subreaper(Some(getpid()))?;
    // A helper that runs from a memory file would have a number as its name.
    let _ = rustix::thread::set_name(c"persea-helper");
    Ok(())
}

fn set_up() -> std::io::Result<server::Server> {
    detach()?;

    // Occupies number 3, the first free one, so that no other descriptor gets the number of the
    // report pipe.
    let report_slot = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let null = fcntl_dupfd_cloexec(&report_slot, ABOVE_WELL_KNOWN)?;
    let input = channel_end(fcntl_dupfd_cloexec(stdin(), ABOVE_WELL_KNOWN)?)?;
    let output = channel_end(fcntl_dupfd_cloexec(stdout(), ABOVE_WELL_KNOWN)?)?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    let spawner = spawn::Spawner::new(ignored_signals());
    let starter = start::Starter::new(null, report_slot, spawner)?;
    Ok(server::Server::new(
        input,
        output,
        child_signals()?,
        starter,
    ))
}

fn channel_end(fd: OwnedFd) -> std::io::Result<OwnedFd> {
    fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
    Ok(fd)
}

/// Opens a descriptor that is readable when a child has ended, or an orphan that the helper has
/// adopted.
fn child_signals() -> std::io::Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    // `spawn` unblocks it for children.
    signals.thread_block()?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    Ok(SignalFd::with_flags(&signals, flags)?)
}

/// Makes the helper survive every signal that can be handled, so that only the end of the channel
/// ends it.
///
/// The signals get a handler that does nothing. They are not ignored, because children would
/// inherit that; a handler is reset to the default action when a program is executed. SIGPIPE is
/// ignored by the standard library, and `spawn` resets it for children.
fn survive_signals() -> std::io::Result<()> {
    use signal_hook::consts::signal as s;
    let unused = Arc::new(AtomicBool::new(false));
    let deadly = [
        s::SIGHUP,
        s::SIGINT,
        s::SIGQUIT,
        s::SIGTERM,
        s::SIGUSR1,
        s::SIGUSR2,
        s::SIGALRM,
        s::SIGVTALRM,
        s::SIGPROF,
        s::SIGIO,
        s::SIGXCPU,
        s::SIGXFSZ,
    ];
    // The parent's ignored signals (nohup, a shell's background job) would be ignored in every
    // test. With SIGCHLD ignored, the helper could not wait for exits.
    let inherited = ignored_signals();
    let others = [
        s::SIGCHLD,
        s::SIGTSTP,
        s::SIGTTIN,
        s::SIGTTOU,
        s::SIGWINCH,
        s::SIGURG,
        s::SIGCONT,
    ];
    let ignored = others
        .into_iter()
        .filter(|signal| inherited & (1 << (signal - 1)) != 0);
    for signal in deadly.into_iter().chain(ignored) {
        signal_hook::flag::register(signal, Arc::clone(&unused))?;
    }
    Ok(())
}

/// Returns the ignored signals, one bit each, the lowest for signal 1.
fn ignored_signals() -> u64 {
    File::open("/proc/self/status")
        .and_then(std::io::read_to_string)
        .ok()
        .and_then(|status| {
            let line = status.lines().find_map(|l| l.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        })
        .unwrap_or(0)
}

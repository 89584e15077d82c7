//! The helper: a small program that starts and ends the processes of one task at a time, at the end of a pipe. This file
//! owns what is set up once: signals, the session, descriptors. It must not know what the messages ask for.
#![deny(unsafe_code)]

mod guard;
mod interpreter;
mod isolate;
mod server;
mod spawn;
mod start;
mod variables;
mod work;

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::OwnedFd;
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

/// Descriptors that stay open are kept above those that children know by number.
const ABOVE_WELL_KNOWN: i32 = 10;

fn main() -> ExitCode {
    if let Some(argument) = std::env::args_os().nth(1) {
        if argument == "--version" {
            let version = env!("CARGO_PKG_VERSION");
            let _ = writeln!(std::io::stdout(), "persea-helper {version}");
            return ExitCode::SUCCESS;
        }
        if argument == persea_helper::GUARD {
            return guard_sandbox();
        }
        return fail(
            "it takes no arguments, but messages on its standard input",
            2,
        );
    }
    if std::io::stdin().is_terminal() {
        return fail(
            "it is not for people: persea starts it and talks to it on its standard input",
            2,
        );
    }
    close_inherited();
    match set_up() {
        Err(e) => fail(&format!("it can't set itself up: {e}"), 1),
        Ok(server) => match server.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(&e.to_string(), 1),
        },
    }
}

fn guard_sandbox() -> ExitCode {
    let command: Vec<_> = std::env::args_os().skip(2).collect();
    match stand_apart().and_then(|()| guard::run(&command)) {
        Ok(code) => code,
        Err(e) => fail(&format!("the sandbox can't be guarded: {e}"), 1),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    // Whoever read this may be gone.
    let _ = writeln!(std::io::stderr(), "persea-helper: {message}");
    ExitCode::from(code)
}

/// Nothing but the three standard descriptors is meant for us, nor for tests: a shell or a job server may have left others
/// open, perhaps on the very number where children look for their report pipe. Nothing of our own is open yet.
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
            // The directory that was read is among them, and closed already.
            let _ = nix::unistd::close(number);
        }
    }
}

/// What a helper and a guard have in common: nobody's signal ends them, and what is orphaned below comes to them.
fn stand_apart() -> std::io::Result<()> {
    // Tests run as the same user, and in a sandbox the helper is their process 1. Without this they could open the
    // channel as /proc/PID/fd/N, copy it with pidfd_getfd, or trace the helper and speak for it.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    survive_signals()?;
    // It fails where the helper leads a process group already; then whoever started it gave it one of its own.
    let _ = setsid();
    set_child_subreaper(Some(getpid()))?;
    // Run from a memory file it would be listed under a number.
    let _ = rustix::thread::set_name(c"persea-helper");
    Ok(())
}

fn set_up() -> std::io::Result<server::Server> {
    stand_apart()?;

    // The first free number is 3, unless something was inherited. It stays occupied, so that nothing else gets it.
    let report_slot = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let null = fcntl_dupfd_cloexec(&report_slot, ABOVE_WELL_KNOWN)?;
    let input = channel_end(fcntl_dupfd_cloexec(stdin(), ABOVE_WELL_KNOWN)?)?;
    let output = channel_end(fcntl_dupfd_cloexec(stdout(), ABOVE_WELL_KNOWN)?)?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    let spawner = spawn::Spawner::new(ignored_signals());
    let starter = start::Starter::new(null, report_slot, spawner)?;
    Ok(server::Server::new(input, output, ends()?, starter))
}

fn channel_end(fd: OwnedFd) -> std::io::Result<OwnedFd> {
    fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
    Ok(fd)
}

/// Where it's told that something below has ended, be it a child or what has become one because its parent has ended.
fn ends() -> std::io::Result<SignalFd> {
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGCHLD);
    // Children begin without it blocked.
    ends.thread_block()?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    Ok(SignalFd::with_flags(&ends, flags)?)
}

/// A signal to the helper must not leave its processes without it: only the end of the channel ends it. And a child must
/// start with default actions. So signals are not ignored (that is inherited) but handled, by doing nothing: a handler is
/// reset when a program is executed. SIGPIPE is ignored by the standard library; `spawn` resets it for children.
fn survive_signals() -> std::io::Result<()> {
    use signal_hook::consts::signal as s;
    let nothing = Arc::new(AtomicBool::new(false));
    let ends_us = [
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
    // Those that whoever started us ignores would be ignored in every test. (nohup; a shell's background job.) With
    // SIGCHLD ignored there would be no exit to wait for.
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
    for signal in ends_us.into_iter().chain(ignored) {
        signal_hook::flag::register(signal, Arc::clone(&nothing))?;
    }
    Ok(())
}

/// A bit for each, the lowest for signal 1.
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

//! Owns the words for exits of processes and for failures to start them. The numbers are Linux's.

use persea_plugin_sdk::Outcome;
use persea_plugin_sdk::process::{Ending, Exit};

/// The names of signals 1 to 31 (signal(7)).
const SIGNALS: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// Returns the C library's message for an errno of a failed start (errno(3)).
pub(crate) fn errno(number: i64) -> Option<&'static str> {
    Some(match number {
        1 => "Operation not permitted",
        2 => "No such file or directory",
        7 => "Argument list too long",
        8 => "Exec format error",
        12 => "Cannot allocate memory",
        13 => "Permission denied",
        20 => "Not a directory",
        26 => "Text file busy",
        36 => "File name too long",
        40 => "Too many levels of symbolic links",
        _ => return None,
    })
}

/// Returns Python's return code of an exit: the exit code, or the negative number of the signal.
/// None where the environment cannot say how the process ended.
pub fn return_code(exit: &Exit) -> Option<i64> {
    match exit.ending {
        Ending::Code(code) => Some(code.into()),
        Ending::Signal(number) => Some(-i64::from(number)),
        Ending::Unknown => None,
    }
}

/// Adds the return code of an exit to an outcome, as `returncode`.
pub fn with_return_code(outcome: Outcome, exit: &Exit) -> Outcome {
    match return_code(exit) {
        Some(code) => outcome.with("returncode", code),
        None => outcome,
    }
}

/// Describes an exit: `exited with code 3`, `ended by signal 11 (SIGSEGV)`.
pub fn describe_exit(exit: &Exit) -> String {
    match exit.ending {
        Ending::Code(code) => format!("exited with code {code}"),
        Ending::Signal(number) => {
            let index = usize::try_from(number)
                .ok()
                .and_then(|number| number.checked_sub(1));
            match index.and_then(|index| SIGNALS.get(index)) {
                Some(name) => format!("ended by signal {number} ({name})"),
                None => format!("ended by signal {number}"),
            }
        }
        Ending::Unknown => "ended, and its environment cannot say how".to_owned(),
    }
}

/// Returns the result of a test whose program ended in an unknown way: another attempt may succeed.
pub fn unknown_ending(exit: &Exit) -> Outcome {
    Outcome::infrastructure(format!("the program {}", describe_exit(exit)))
}

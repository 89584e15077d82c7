//! Owns the words for exits of processes and for failures to start them. The numbers are Linux's.

use persea_plugin_sdk::process::Exit;

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
pub fn return_code(exit: &Exit) -> i64 {
    match (exit.code, exit.signal) {
        (Some(code), _) => code.into(),
        (None, signal) => -i64::from(signal.unwrap_or_default()),
    }
}

/// Describes an exit: `exited with code 3`, `ended by signal 11 (SIGSEGV)`.
pub fn describe_exit(exit: &Exit) -> String {
    let Some(code) = exit.code else {
        let number = exit.signal.unwrap_or_default();
        let index = usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_sub(1));
        return match index.and_then(|index| SIGNALS.get(index)) {
            Some(name) => format!("ended by signal {number} ({name})"),
            None => format!("ended by signal {number}"),
        };
    };
    format!("exited with code {code}")
}

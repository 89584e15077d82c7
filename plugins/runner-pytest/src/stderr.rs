//! Owns what the standard error of a task says: the message of pytest or of an interpreter, and the
//! place of a crash, which Python's faulthandler writes before a signal ends the process.

use persea_plugin_sdk::artifacts;

/// How much of the standard error is read for the message of an error, in bytes.
const MAX_STDERR: u32 = 64 << 10;

/// Limit for a message of pytest in a reason, in characters.
const MAX_MESSAGE: usize = 500;

/// How much of the end of the standard error is read for a crash, in bytes.
const MAX_TAIL: u32 = 256 << 10;

/// The beginning of a dump.
const FATAL: &str = "Fatal Python error: ";

/// Parts of the paths of files that call tests.
const CALLERS: [&str; 3] = ["/_pytest/", "/pluggy/", "/unittest/case.py"];

/// A line of a traceback.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Frame<'a> {
    file: &'a str,
    line: &'a str,
    function: &'a str,
}

/// The message in the file `stderr` of the task, after a colon; empty where there is none.
pub(crate) fn message_of_stderr() -> String {
    let stderr = artifacts::read("stderr", 0, MAX_STDERR).unwrap_or_default();
    let message = error_message(&String::from_utf8_lossy(&stderr));
    match message.is_empty() {
        true => message,
        false => format!(": {message}"),
    }
}

/// The error message of pytest or of an interpreter in one line: the lines that look like errors,
/// or the last line where none does.
fn error_message(stderr: &str) -> String {
    let lines = stderr.lines().map(str::trim_end);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let error = |line: &&str| {
        let (kind, _) = line.split_once(':').unwrap_or((line, ""));
        let is_exception = kind == "Fatal Python error"
            || (kind.ends_with("Error") && !kind.contains(' '))
            || line.starts_with("ImportError while loading conftest");
        is_exception || line.starts_with("ERROR: ") || line.starts_with("E   ")
    };
    // What argparse says comes after a long text on usage.
    let mut chosen: Vec<&str> = Vec::new();
    for line in &lines {
        chosen.extend(line.split_once(": error: ").map(|(_, message)| message));
    }
    if chosen.is_empty() {
        chosen.extend(lines.iter().copied().filter(error));
    }
    if chosen.is_empty() {
        chosen.extend(lines.last());
    }
    let trimmed = chosen.iter().map(|line| {
        let line = line.trim_start_matches("ERROR: ");
        line.strip_prefix("E ").unwrap_or(line).trim()
    });
    let message = trimmed.collect::<Vec<_>>().join("; ");
    match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}\u{2026}", message.get(..end).unwrap_or_default()),
        None => message,
    }
}

/// The place of a crash, from the file `stderr` of the task, as `, at test_a.py:3`. Empty where
/// there is no dump. `project` is the directory that paths are relative to.
pub(crate) fn crash_place(project: &str) -> String {
    let size = artifacts::size("stderr").unwrap_or_default();
    let start = size.saturating_sub(u64::from(MAX_TAIL));
    let tail = artifacts::read("stderr", start, MAX_TAIL).unwrap_or_default();
    place_in(&String::from_utf8_lossy(&tail), project).unwrap_or_default()
}

/// The frame of the test, which is the last one before those of pytest, and the innermost frame
/// where it is another.
fn place_in(stderr: &str, project: &str) -> Option<String> {
    let (_, dump) = stderr.rsplit_once(FATAL)?;
    let mut lines = dump.lines();
    let is_begin = |line: &str| line.ends_with("(most recent call first):");
    // Other threads come before the one that has crashed.
    if dump.contains("\nCurrent thread") {
        lines.find(|line| line.starts_with("Current thread") && is_begin(line))?;
    } else {
        lines.find(|line| is_begin(line))?;
    }
    let frames = lines.map_while(frame);
    let own = frames.take_while(|frame| !CALLERS.iter().any(|caller| frame.file.contains(caller)));
    let own: Vec<Frame<'_>> = own.filter(|frame| !frame.file.starts_with('<')).collect();
    let (inner, test) = (own.first()?, own.last()?);
    let shown = |frame: &Frame<'_>| {
        let within = frame.file.strip_prefix(project);
        let file = within.and_then(|file| file.strip_prefix('/'));
        format!("{}:{}", file.unwrap_or(frame.file), frame.line)
    };
    let at = shown(test);
    Some(match inner == test {
        true => format!(", at {at}"),
        false => format!(", at {at}, in {} ({})", inner.function, shown(inner)),
    })
}

/// Reads `  File "PATH", line 3 in test_a`.
fn frame(line: &str) -> Option<Frame<'_>> {
    let rest = line.trim_start().strip_prefix("File \"")?;
    let (file, rest) = rest.rsplit_once("\", line ")?;
    let (line, function) = rest.split_once(" in ")?;
    Some(Frame {
        file,
        line,
        function,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "noise\nFatal Python error: Segmentation fault\n\n\
        Thread 0x01 (most recent call first):\n  File \"/lib/socket.py\", line 294 in accept\n\n\
        Current thread 0x02 (most recent call first):\n  \
        File \"/lib/ctypes/__init__.py\", line 519 in string_at\n  \
        File \"/p/t/test_a.py\", line 3 in helper\n  \
        File \"/p/t/test_a.py\", line 9 in test_a\n  \
        File \"/lib/_pytest/python.py\", line 187 in pytest_pyfunc_call\n  \
        File \"<string>\", line 791 in <module>\n\nExtension modules: x (total: 1)\n";

    #[test]
    fn broken_conftest_has_its_place_and_its_exception() {
        let stderr = "ImportError while loading conftest '/p/conftest.py'.\n\
                      conftest.py:1: in <module>\n    import nope\n\
                      E   ModuleNotFoundError: No module named 'nope'\n";
        assert_eq!(
            error_message(stderr),
            "ImportError while loading conftest '/p/conftest.py'.; \
             ModuleNotFoundError: No module named 'nope'"
        );
    }

    #[test]
    fn place_of_a_crash_is_that_of_the_test() {
        let expected = ", at t/test_a.py:9, in string_at (/lib/ctypes/__init__.py:519)";
        assert_eq!(place_in(DUMP, "/p").as_deref(), Some(expected));
        let direct = "Fatal Python error: Aborted\n\nStack (most recent call first):\n  \
                      File \"/q/a.py\", line 1 in test_a\n  \
                      File \"/lib/unittest/case.py\", line 2 in run\n";
        assert_eq!(place_in(direct, "/p").as_deref(), Some(", at /q/a.py:1"));
        let import = "Fatal Python error: Aborted\n\nCurrent thread 0x1 [python] (most recent \
                      call first):\n  File \"/p/a.py\", line 1 in <module>\n  \
                      File \"<frozen importlib>\", line 2 in exec\n  \
                      File \"/lib/_pytest/assertion/rewrite.py\", line 2 in exec_module\n";
        assert_eq!(place_in(import, "/p").as_deref(), Some(", at a.py:1"));
    }

    #[test]
    fn standard_error_without_a_dump_has_no_place() {
        for text in [
            "",
            "Segmentation fault\n",
            "Fatal Python error: Aborted\n",
            "Fatal Python error: Aborted\n\nCurrent thread 0x1 (most recent call first):\n  \
             <no Python frame>\n",
            "Fatal Python error: Aborted\n\nCurrent thread 0x1 (most recent call first):\n  \
             File \"/lib/_pytest/main.py\", line 2 in main\n",
            "Timeout (0:00:01)!\nThread 0x1 (most recent call first):\n  \
             File \"/p/a.py\", line 1 in test_a\n",
        ] {
            assert_eq!(place_in(text, "/p"), None, "{text}");
        }
    }
}

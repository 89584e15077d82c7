//! Owns the place of a crash: what Python's faulthandler writes to the standard error before a
//! signal ends the process. Does not know what the process was to do.

use persea_plugin_sdk::artifacts;

/// How much of the end of the standard error is read, in bytes.
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

/// The place of a crash, from the file `stderr` of the task, as `, at test_a.py:3`. Empty where
/// there is no dump. `project` is the directory that paths are relative to.
pub(crate) fn place(project: &str) -> String {
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

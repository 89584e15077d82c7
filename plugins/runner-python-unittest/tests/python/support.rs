//! Builders and checks that the tests of the script share.

use serde_json::Value;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const SCRIPT: &str = include_str!("../../src/persea_unittest.py");

/// The report and the output of one run of the script.
pub(crate) struct Ran {
    /// The report lines, without the empty first one.
    pub(crate) lines: Vec<BTreeMap<String, Value>>,
    pub(crate) output: Output,
}

impl Ran {
    /// A member of the first report line; empty where it has none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.lines
            .first()
            .and_then(|line| line.get(name)?.as_str())
            .unwrap_or_default()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

/// Runs tests of a directory.
pub(crate) fn run(directory: &Path, tests: &[&str]) -> Ran {
    run_with(directory, tests, &[])
}

/// Runs tests of a directory with further environment variables.
///
/// The report is a file and not a pipe, so that a test can see whether another process wrote to it.
pub(crate) fn run_with(directory: &Path, tests: &[&str], env: &[(&str, &str)]) -> Ran {
    let report = tempfile::NamedTempFile::new().unwrap();
    let descriptor: OwnedFd = report.reopen().unwrap().into();
    // std passes no descriptor but the standard ones: the shell moves standard input to 3.
    let output = Command::new("sh")
        .args([
            "-c",
            "exec \"${PYTHON:-python3}\" \"$@\" 3<&0 0</dev/null",
            "sh",
            "-c",
            SCRIPT,
        ])
        .args(tests)
        .current_dir(directory)
        .env("PERSEA_REPORT_FD", "3")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(env.iter().copied())
        .stdin(Stdio::from(descriptor))
        .output()
        .unwrap();
    let text = std::fs::read_to_string(report.path()).unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some(""),
        "the report begins with an empty line"
    );
    let parse = |line: &str| -> BTreeMap<String, Value> { serde_json::from_str(line).expect(line) };
    Ran {
        lines: lines.map(parse).collect(),
        output,
    }
}

/// Runs `t.py:T.test`, where `body` is the body of the class T.
pub(crate) fn test(body: &str) -> Ran {
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    module(&format!(
        "import os, sys, unittest\nclass T(unittest.TestCase):\n{body}"
    ))
}

/// Runs `t.py:T.test`, where `text` is the whole file.
pub(crate) fn module(text: &str) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("t.py"), text).unwrap();
    run(directory.path(), &["t.py:T.test"])
}

/// Checks status and reason of the only report line, and that the interpreter exited with code 0.
#[track_caller]
pub(crate) fn check(ran: &Ran, status: &str, reason: &str) {
    assert_eq!(
        (ran.get("status"), ran.get("reason")),
        (status, reason),
        "{}",
        ran.stderr()
    );
    assert_eq!(ran.lines.len(), 1);
    assert_eq!(ran.output.status.code(), Some(0));
}

/// A temporary directory with these files.
pub(crate) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

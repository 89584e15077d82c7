//! Runs a command as the book shows it, and compares what it prints. Knows nothing of pages.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Sandbox, finish};

/// Runs a command as a reader would, after one that ended with `before`: its exit code, and all that it prints.
pub fn shell(sandbox: &Sandbox, directory: &str, before: i32, command: &str) -> (i32, String) {
    let script = format!("exec 2>&1; (exit {before}); {command}");
    let bin = Path::new(env!("CARGO_BIN_EXE_persea")).parent().unwrap();
    let mut path = std::ffi::OsString::from(bin);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    // What the binary would be given, for a shell.
    let given = sandbox.persea(&[]);
    let mut shell = Command::new("sh");
    for (name, value) in given.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
        .args(["-c", &script])
        .env("PATH", path)
        .current_dir(sandbox.project().join(directory));
    shell
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let ran = finish(shell.spawn().unwrap());
    (ran.code.unwrap_or(-1), ran.stdout)
}

/// Whether a command printed what the page shows. Blank lines at the end do not count.
pub fn matches(expected: &str, shown: &str) -> Result<(), String> {
    let lines: Vec<&str> = shown.trim_end().lines().map(str::trim_end).collect();
    let mut at = 0;
    let mut any = false;
    for wanted in expected.trim_end().lines() {
        if wanted == "..." {
            any = true;
            continue;
        }
        let rest = lines.get(at..).unwrap_or_default();
        let reach = if any { rest.len() } else { rest.len().min(1) };
        let found = rest
            .iter()
            .take(reach)
            .position(|line| line_matches(wanted, line));
        at += found
            .ok_or_else(|| format!("should print {wanted:?} after {:?}", lines.get(..at)))?
            + 1;
        any = false;
    }
    match lines.get(at) {
        Some(more) if !any => Err(format!("printed also {more:?}")),
        _ => Ok(()),
    }
}

fn line_matches(wanted: &str, line: &str) -> bool {
    let mut parts = wanted.split("[..]");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn output_matcher_rejects_missing_and_extra_lines() {
    assert!(matches("a\n...\nz [..] (0.[..] s)\n", "a\nb\nc\nz x (0.01 s)\n").is_ok());
    assert!(matches("a\n...\n", "a\n").is_ok());
    for (expected, shown) in [
        ("a\n", "a\nb\n"),
        ("a\nb\n", "a\n"),
        ("a\n", "b\n"),
        ("...\nz\n", "a\n"),
        ("[..]b\n", "abc\n"),
        ("", "x\n"),
    ] {
        assert!(matches(expected, shown).is_err(), "{expected:?} {shown:?}");
    }
}

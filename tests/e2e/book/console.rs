//! Owns running a command as the book shows it, and comparing its output. Does not know about
//! pages.

use std::path::Path;
use std::process::Command;

use crate::support::engine::Engine;
use crate::support::slurm::Cluster;
use crate::support::tools::pytests;
use crate::support::{Fixture, finish};

/// Runs a command in a shell whose `$?` is `last_code`, with the binary on its path and a container
/// engine. Returns the exit code, and both outputs together.
pub fn shell(
    fixture: &Fixture,
    (engine, cluster): (&Engine, &Cluster),
    (directory, last_code, command): (&str, i32, &str),
) -> (i32, String) {
    let script = format!("exec 2>&1; (exit {last_code}); {command}");
    let bin = Path::new(env!("CARGO_BIN_EXE_persea")).parent().unwrap();
    let mut path = std::ffi::OsString::from(bin);
    // The reader of that page has an environment with pytest.
    if directory.ends_with("pytest-project") {
        path.push(":");
        path.push(pytests().join("pytest/bin"));
    }
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]);
    fixture.equip(&mut shell);
    shell
        .env("PATH", path)
        .env("CONTAINER_HOST", engine.url())
        .current_dir(fixture.project().join(directory));
    cluster.of(&mut shell);
    let ran = finish(shell.spawn().unwrap());
    (ran.code.unwrap_or(-1), ran.stdout)
}

/// The output of a command is what the page shows; otherwise the first difference. Blank lines at
/// the end are ignored.
pub fn matches(expected: &str, output: &str) -> Result<(), String> {
    let lines: Vec<&str> = output.trim_end().lines().map(str::trim_end).collect();
    let mut matched = 0;
    let mut skips_lines = false;
    for pattern in expected.trim_end().lines() {
        if pattern == "..." {
            skips_lines = true;
            continue;
        }
        let rest = lines.get(matched..).unwrap_or_default();
        let candidates = match skips_lines {
            true => rest.len(),
            false => rest.len().min(1),
        };
        let found = rest
            .iter()
            .take(candidates)
            .position(|line| line_matches(pattern, line));
        matched += found
            .ok_or_else(|| format!("should print {pattern:?} after {:?}", lines.get(..matched)))?
            + 1;
        skips_lines = false;
    }
    match lines.get(matched) {
        Some(extra) if !skips_lines => Err(format!("printed also {extra:?}")),
        _ => Ok(()),
    }
}

fn line_matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("[..]");
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
    for (expected, output) in [
        ("a\n", "a\nb\n"),
        ("a\nb\n", "a\n"),
        ("a\n", "b\n"),
        ("...\nz\n", "a\n"),
        ("[..]b\n", "abc\n"),
        ("", "x\n"),
    ] {
        assert!(
            matches(expected, output).is_err(),
            "{expected:?} {output:?}"
        );
    }
}

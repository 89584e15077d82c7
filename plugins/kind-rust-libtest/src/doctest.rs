//! Owns the judgement of the documentation tests of a package, which are one task: rustdoc compiles
//! and runs them all. Each becomes a case of the task.

use persea_exec_command::{describe_exit, unknown_ending, with_return_code};
use persea_plugin_sdk::cases::{self, Case};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::Exit;

use crate::verdict::Summary;
use persea_exec_command::files;

/// The longest output that is read, in bytes: 16 MiB.
const LONGEST: usize = 16 << 20;

/// The most failed tests that a reason names.
const NAMED: usize = 3;

/// Judges the documentation tests of a package by cargo's exit and what rustdoc has printed.
///
/// # Errors
/// Those of reading the output.
pub(crate) fn judge(exit: &Exit) -> Result<Outcome, Error> {
    let stdout = files::whole("stdout", LONGEST)?;
    let stdout = String::from_utf8_lossy(&stdout);
    let cases = read(&stdout);
    let has_summary = stdout.lines().any(|line| Summary::read(line).is_some());
    let of = |status| cases.iter().filter(move |case| case.status == status);
    let failed: Vec<&str> = of(Status::Fail)
        .filter_map(|case| case.path.first())
        .map(String::as_str)
        .collect();
    let total = cases.len();
    let outcome = match (failed.as_slice(), exit.success(), has_summary) {
        ([], true, true) if of(Status::Pass).next().is_some() => Outcome::pass(),
        ([], true, true) if total > 0 => Outcome::skip("all documentation tests are ignored"),
        ([], true, true) => Outcome::skip("the package has no documentation tests"),
        ([], true, false) => Outcome::error("cargo printed no result of documentation tests"),
        ([], false, _) if exit.code().is_none() && exit.signal().is_none() => unknown_ending(exit),
        ([], false, _) => {
            let stderr = files::tail("stderr", 64 << 10)?;
            let summary = crate::cargo::summary(&stderr);
            Outcome::error(summary.unwrap_or_else(|| format!("cargo {}", describe_exit(exit))))
        }
        (failed, _, _) => {
            let named: Vec<&str> = failed.iter().take(NAMED).copied().collect();
            let more = match failed.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let count = failed.len();
            Outcome::fail(format!(
                "{count} of {total} failed: {}{more}",
                named.join(", ")
            ))
        }
    };
    if let Err(error) = cases::finish(cases) {
        // The result does not depend on the cases.
        log::warn!("the documentation tests are not cases: {error}");
    }
    Ok(with_return_code(outcome, exit))
}

/// Reads the results in an output: `test src/lib.rs - f (line 3) ... ok`.
fn read(stdout: &str) -> Vec<Case> {
    let result = |line: &str| {
        let (name, result) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        let case = |status| Case::new([name.trim()], status);
        match result {
            "ok" => Some(case(Status::Pass)),
            "FAILED" => {
                let reason = reason(stdout, name);
                let failed = case(Status::Fail);
                Some(
                    reason
                        .into_iter()
                        .fold(failed, |failed, reason| failed.reason(reason)),
                )
            }
            "ignored" => Some(case(Status::Skip).reason("ignored")),
            other => {
                let why = other.strip_prefix("ignored, ")?;
                Some(case(Status::Skip).reason(format!("ignored: {why}")))
            }
        }
    };
    stdout.lines().filter_map(result).collect()
}

/// The first line that tells why a documentation test failed.
fn reason(stdout: &str, name: &str) -> Option<String> {
    // The heading has the name without what the list adds to it, such as ` - compile`.
    let place = name
        .find(")")
        .and_then(|end| name.get(..=end))
        .unwrap_or(name);
    let head = format!("---- {place} stdout ----");
    let section = stdout.lines().skip_while(|line| *line != head).skip(1);
    let mut section = section.take_while(|line| !line.starts_with("---- "));
    let mut first = None;
    while let Some(line) = section.next() {
        if line.contains("panicked at ") {
            return section.next().map(|message| message.trim().to_owned());
        }
        if first.is_none() && (line.starts_with("error") || line.starts_with("Test ")) {
            first = Some(line.trim_end().to_owned());
        }
    }
    first
}

#[cfg(test)]
mod tests;

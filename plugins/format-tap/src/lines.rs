//! Owns the text of the report: turns the data of an event into lines of TAP.
//! Does not know about the host.

use std::fmt::Write;

use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::{Attributes, Status, TaskCases};

/// Adds the plan, `1..N`.
pub(crate) fn plan(out: &mut String, total: i64) {
    // Writing to a String can't fail.
    let _ = writeln!(out, "1..{total}");
}

/// The indentation of a subtest.
const INDENT: &str = "    ";

/// Adds the cases of a test as a subtest, if it has some.
pub(crate) fn subtest(out: &mut String, data: &Attributes, cases: &TaskCases) {
    if cases.is_empty() {
        return;
    }
    let title = data.text("title").or(data.text("name"));
    out.push_str("# Subtest: ");
    escape(out, title.unwrap_or("Unknown"));
    out.push('\n');
    let is_failing = !matches!(
        data.text("status"),
        Some("PASS" | "WARN" | "SKIP" | "CANCEL")
    );
    for (number, case) in (1_u64..).zip(&cases.cases) {
        add_case(out, number, case, is_failing);
    }
    if cases.left_out > 0 {
        let _ = writeln!(
            out,
            "{INDENT}# {} more cases: the journal has them",
            cases.left_out
        );
    }
    let _ = writeln!(out, "{INDENT}1..{}", cases.cases.len());
}

/// Adds the test point of a case. `is_failing` is whether its test fails.
fn add_case(out: &mut String, number: u64, case: &Case, is_failing: bool) {
    let reason = case.reason.as_deref().map(str::trim);
    let reason = reason.filter(|reason| !reason.is_empty());
    let (word, directive) = match case.status {
        Status::Pass | Status::Warn => ("ok", None),
        Status::Skip | Status::Cancel => ("ok", Some("SKIP")),
        // Readers fail a test with a failed subtest. TODO keeps the result that the test has.
        Status::Fail | Status::Error | Status::Interrupted => {
            ("not ok", (!is_failing).then_some("TODO"))
        }
    };
    let _ = write!(out, "{INDENT}{word} {number} ");
    for (index, name) in case.path.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { " > " });
        escape(out, name);
    }
    match (directive, reason) {
        (Some(directive), Some(reason)) => {
            let _ = write!(out, "  # {directive} ");
            escape(out, reason);
            out.push('\n');
        }
        (Some(directive), None) => {
            let _ = writeln!(out, "  # {directive}");
        }
        (None, Some(reason)) => {
            let _ = write!(out, "\n{INDENT}# {}: ", case.status.name());
            out.extend(reason.chars().map(printable));
            out.push('\n');
        }
        (None, None) => out.push('\n'),
    }
}

/// Adds the test point of a test, and its reason as a directive or a comment.
pub(crate) fn test(out: &mut String, number: i64, data: &Attributes) {
    let reason = data
        .text("reason")
        .map(str::trim)
        .filter(|reason| !reason.is_empty());
    let status = data.text("status").unwrap_or("ERROR");
    let (word, directive) = match status {
        "PASS" => ("ok", ""),
        "WARN" => ("ok", "  # Warnings were printed into warn log"),
        "SKIP" | "CANCEL" => ("ok", "  # SKIP"),
        _ => ("not ok", ""),
    };
    let _ = write!(out, "{word} {number} ");
    let title = data.text("title").or(data.text("name"));
    escape(out, title.unwrap_or("Unknown"));
    out.push_str(directive);
    match (status, reason) {
        ("SKIP" | "CANCEL", Some(reason)) => {
            out.push(' ');
            escape(out, reason);
            out.push('\n');
        }
        ("SKIP" | "CANCEL" | "PASS", _) | (_, None) => out.push('\n'),
        (_, Some(reason)) => {
            out.push('\n');
            comment(out, &format!("{status}: {reason}"));
        }
    }
    if let Some(directory) = data.text("batch-directory") {
        comment(
            out,
            &format!("output of its batch while no test ran: {directory}"),
        );
    }
}

/// Adds a warning of the job as a comment.
pub(crate) fn warning(out: &mut String, data: &Attributes) {
    let parts = ["reference", "plugin", "message"];
    let parts: Vec<&str> = parts.iter().filter_map(|name| data.text(name)).collect();
    comment(out, &format!("WARNING: {}", parts.join(": ")));
}

/// Adds a comment where tests are missing.
pub(crate) fn end(out: &mut String, planned: i64, finished: i64) {
    if finished != planned {
        comment(out, &format!("{finished} of {planned} tests have finished"));
    }
}

/// Adds `Bail out!`, with why the job ended before all its tests.
pub(crate) fn bail_out(out: &mut String, reason: &str) {
    out.push_str("Bail out! ");
    escape(out, reason);
    out.push('\n');
}

/// Adds a comment, with a `#` before each of its lines.
fn comment(out: &mut String, text: &str) {
    for line in text.lines() {
        out.push_str("# ");
        out.extend(line.chars().map(printable));
        out.push('\n');
    }
}

/// Adds a text on one line, with each `#` escaped so that it does not begin a directive.
/// Backslashes are doubled only before a `#`, where they would cancel the escape of the `#`.
/// Elsewhere they stay single: readers of TAP 12 and 13 do not decode `\\`, and would show both.
fn escape(out: &mut String, text: &str) {
    let mut backslashes = 0;
    for character in text.chars() {
        match character {
            '\\' => backslashes += 1,
            '#' => {
                out.extend(std::iter::repeat_n('\\', backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        out.push(printable(character));
    }
}

/// Replaces by a space any character that ends a line or moves a terminal's cursor.
fn printable(character: char) -> char {
    if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
        ' '
    } else {
        character
    }
}

//! The lines of the report: from what is known to text, and nothing else.

use std::fmt::Write;

use persea_plugin_sdk::Attributes;

/// `1..N`
pub(crate) fn plan(out: &mut String, total: i64) {
    // Writing to a String can't fail.
    let _ = writeln!(out, "1..{total}");
}

/// The test point of a test, and what else is to be said of it.
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
}

/// A warning, which belongs to no test.
pub(crate) fn warning(out: &mut String, data: &Attributes) {
    let parts = ["reference", "plugin", "message"];
    let parts: Vec<&str> = parts.iter().filter_map(|name| data.text(name)).collect();
    comment(out, &format!("WARNING: {}", parts.join(": ")));
}

/// What is to be said of the job.
pub(crate) fn end(out: &mut String, planned: i64, finished: i64, data: &Attributes) {
    if finished != planned {
        comment(out, &format!("{finished} of {planned} tests have finished"));
    }
    if let Some(reason) = data.text("interrupted-by") {
        out.push_str("Bail out! ");
        escape(out, reason);
        out.push('\n');
    }
}

/// A comment, a `#` before each of its lines.
fn comment(out: &mut String, text: &str) {
    for line in text.lines() {
        out.push_str("# ");
        out.extend(line.chars().map(printable));
        out.push('\n');
    }
}

/// Text on one line in which no `#` begins a directive. A backslash is doubled only before a `#`, where it would undo the
/// `#`'s own: readers of TAP 12 and 13 know no other escapes, and show them.
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

/// No character ends the line or moves a terminal's cursor.
fn printable(character: char) -> char {
    if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
        ' '
    } else {
        character
    }
}

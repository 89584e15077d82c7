//! Owns how a command writes lines and errors. Control characters in texts of others are printed as
//! text. Does not know what is written.

use persea_display as display;
use persea_model::names::{printable, printable_json, printable_lines};

/// Writes a line to the standard output. A line that cannot be written does not stop the command:
/// it is reported at the end.
pub(super) fn print_line(line: impl std::fmt::Display) {
    display::out(&format!("{}\n", printable(&line.to_string())));
}

/// Writes a JSON value to the standard output, on one line.
pub(super) fn print_json(value: &serde_json::Value) {
    display::out(&format!("{}\n", printable_json(&value.to_string())));
}

/// Writes a JSON value of the host's own to the standard output, laid out for people.
pub(super) fn print_pretty_json(value: &serde_json::Value) {
    display::out(&format!("{value:#}\n"));
}

/// Writes a line to the standard error.
pub(super) fn eprint_line(line: impl std::fmt::Display) {
    display::err(&format!("{}\n", printable(&line.to_string())));
}

/// Writes an error and its help to the standard error. The layout may colour them; escapes within
/// the texts are printed as text.
pub(super) fn eprint_error(error: &miette::Report) {
    let message = printable_lines(&error.to_string()).into_owned();
    let report = match error.help() {
        Some(help) => {
            let help = printable_lines(&help.to_string()).into_owned();
            miette::miette!(help = help, "{message}")
        }
        None => miette::miette!("{message}"),
    };
    display::err(&format!("{report:?}\n"));
}

/// Lays errors out as plain lines: a long path must stay in one piece to be copied.
pub(super) fn set_error_layout() {
    let _ = miette::set_hook(Box::new(|_| {
        Box::new(
            miette::MietteHandlerOpts::new()
                .wrap_lines(false)
                .terminal_links(false)
                .unicode(false)
                .build(),
        )
    }));
}

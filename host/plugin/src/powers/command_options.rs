//! Owns the further data of a command (`command.more`): what the host understands of it. Does not
//! know how a process gets it.

use serde::Deserialize;

use crate::contract::convert::error;
use crate::contract::data::{Attributes, Error, Value};
use persea_model::names::{printable, shortened};

/// The most unknown names in a warning.
const MOST_NAMED: usize = 8;

/// The longest unknown name in a warning, in bytes.
const LONGEST_NAMED: usize = 64;

/// What the host understands of a command's further data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CommandOptions {
    /// Whether the process finds a socket for its report.
    pub(crate) report_socket: bool,
    /// The size of the terminal that the process gets; none for no terminal.
    pub(crate) terminal: Option<TerminalSize>,
    /// A warning about the names that the host does not know; none where it knows all.
    pub(crate) warning: Option<String>,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct TerminalSize {
    pub(crate) rows: u16,
    pub(crate) columns: u16,
}

impl CommandOptions {
    /// Reads the further data of a command.
    ///
    /// # Errors
    /// `invalid`: a value has the wrong type.
    pub(crate) fn new(more: Attributes) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut unknown = Vec::new();
        for (name, value) in more {
            match (&*name, value) {
                ("report-socket", Value::Boolean(value)) => options.report_socket = value,
                ("report-socket", Value::Null) => options.report_socket = false,
                ("report-socket", _) => return Err(invalid(&name, "a boolean")),
                ("terminal", Value::Json(text)) => {
                    let size: Option<TerminalSize> = serde_json::from_str(&text).ok();
                    let size = size.filter(|size| size.rows > 0 && size.columns > 0);
                    let expected = "an object with `rows` and `columns`, from 1 to 65535 each";
                    options.terminal = Some(size.ok_or_else(|| invalid(&name, expected))?);
                }
                ("terminal", Value::Null) => options.terminal = None,
                ("terminal", _) => return Err(invalid(&name, "a JSON object")),
                _ => unknown.push(name),
            }
        }
        options.warning = warning(unknown);
        Ok(options)
    }
}

fn invalid(name: &str, expected: &str) -> Error {
    error("invalid", format!("`{name}` of a command is {expected}"))
}

/// Returns a warning that names what the host does not know.
fn warning(mut unknown: Vec<String>) -> Option<String> {
    unknown.sort_unstable();
    unknown.dedup();
    let count = unknown.len();
    let rest = count.checked_sub(MOST_NAMED).filter(|rest| *rest > 0);
    let names = unknown.into_iter().take(MOST_NAMED);
    let names: Vec<String> = names
        .map(|name| format!("`{}`", printable(&shortened(name, LONGEST_NAMED))))
        .collect();
    let names = names.join(", ");
    let more = rest.map_or_else(String::new, |rest| format!(" and {rest} more"));
    (count > 0)
        .then(|| format!("this host does not know {names}{more} in the further data of a command"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn options(more: Vec<(&str, Value)>) -> Result<CommandOptions, Error> {
        let more = more.into_iter();
        CommandOptions::new(more.map(|(name, value)| (name.to_owned(), value)).collect())
    }

    #[test]
    fn known_names_are_read() {
        let size = r#"{"rows": 24, "columns": 80, "pixels": 1}"#;
        let more = vec![
            ("report-socket", Value::Boolean(true)),
            ("terminal", Value::Json(size.to_owned())),
        ];
        let expected = CommandOptions {
            report_socket: true,
            terminal: Some(TerminalSize {
                rows: 24,
                columns: 80,
            }),
            warning: None,
        };
        assert_eq!(options(more).unwrap(), expected);
    }

    #[test]
    fn unknown_names_are_in_one_warning() {
        let more = vec![("priority", Value::Integer(1)), ("Terminal", Value::Null)];
        let warning = options(more).unwrap().warning.unwrap();
        assert!(warning.contains("`Terminal`, `priority`"), "{warning}");
        let many: Vec<String> = (0..1000).map(|number| format!("{number:0100}")).collect();
        let many = many.iter().map(|name| (&**name, Value::Null)).collect();
        let warning = options(many).unwrap().warning.unwrap();
        assert!(warning.contains("and 992 more"), "{warning}");
        assert!(warning.len() < 2000, "{}", warning.len());
    }

    #[test]
    fn values_of_wrong_types_are_invalid() {
        for (name, value) in [
            ("report-socket", Value::Integer(1)),
            ("terminal", Value::Boolean(true)),
            ("terminal", Value::Json("[]".to_owned())),
            ("terminal", Value::Json(r#"{"rows": 24}"#.to_owned())),
            (
                "terminal",
                Value::Json(r#"{"rows": 0, "columns": 80}"#.to_owned()),
            ),
            (
                "terminal",
                Value::Json(r#"{"rows": 24, "columns": 70000}"#.to_owned()),
            ),
        ] {
            let refused = options(vec![(name, value.clone())]).unwrap_err();
            assert_eq!(refused.code, "invalid", "{name} {value:?}");
        }
    }
}

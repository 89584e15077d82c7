//! Owns reading and checking the arguments of a requirement of kind `pip`.
//! Does not know how pip is run.

use std::fmt;

use persea_plugin_sdk::prelude::*;
use persea_requirement_tool::arguments::Arguments;

use crate::distributions::Answer;

/// The URL of the index that pip uses, instead of pip's own.
pub(crate) const INDEX: OptionalSetting<Text> =
    Setting::text("requirement.pip.index-url").summary("The URL of the index that pip asks");

const KNOWN: [&str; 5] = [
    "name",
    "version",
    "action",
    "python",
    "break-system-packages",
];

/// Values of the argument `action`, which are Avocado's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Install,
    Check,
    Uninstall,
}

/// Whether a requirement is met, with the reason where it may not be.
#[derive(Debug, PartialEq)]
pub(crate) enum Met {
    Yes,
    No(String),
    /// Only pip can tell.
    Unknown(String),
}

/// Arguments of a requirement of kind `pip`.
#[derive(Debug)]
pub(crate) struct PipSpec<'a> {
    /// Requirement specifiers in pip's syntax: `attrs`, `attrs==23.1`, `attrs>=22`.
    pub(crate) specifiers: Vec<String>,
    pub(crate) action: Action,
    pub(crate) python: &'a str,
    pub(crate) break_system_packages: bool,
}

impl<'a> PipSpec<'a> {
    pub(crate) fn read(request: &'a RequirementRequest) -> Result<Self, Error> {
        let arguments = Arguments::read(&request.requirement, &KNOWN)?;
        let mut specifiers: Vec<String> = match arguments.value("name") {
            Some(Value::Json(_)) => arguments.texts("name")?,
            _ => {
                let names = arguments.uri_or("name")?.unwrap_or_default();
                split(names)
            }
        };
        if let Some(wrong) = specifiers.iter().find(|it| name(it).is_empty()) {
            return Err(arguments.invalid(format!("{wrong:?} is not a valid distribution name")));
        }
        let version = arguments.text("version")?;
        match (&mut *specifiers, version) {
            ([], _) => return Err(arguments.invalid("it needs a `name`: the distribution")),
            (_, None) => {}
            ([one], Some(version)) if name(one) == *one => one.push_str(&format!("=={version}")),
            _ => {
                let message = "a `version` needs a single plain `name`";
                return Err(arguments.invalid(message));
            }
        }
        let action = match arguments.text("action")? {
            None | Some("install") => Action::Install,
            Some("check") => Action::Check,
            Some("uninstall" | "remove") => Action::Uninstall,
            Some(_) => return Err(arguments.wrong("action", "install, check or uninstall")),
        };
        Ok(Self {
            specifiers,
            action,
            python: arguments.text("python")?.unwrap_or("python3"),
            break_system_packages: arguments.flag("break-system-packages")?,
        })
    }

    /// Returns the names of the distributions, without versions, extras and markers.
    pub(crate) fn names(&self) -> Vec<String> {
        self.specifiers
            .iter()
            .map(|it| normalize(name(it)))
            .collect()
    }

    /// Decides whether the requirement is met, given the interpreter's answer for each specifier.
    pub(crate) fn evaluate(&self, answers: &[Answer]) -> Met {
        let uninstall = self.action == Action::Uninstall;
        let mut unknown = None;
        for (specifier, answer) in self.specifiers.iter().zip(answers) {
            match answer {
                Answer::Ignored => {}
                Answer::Yes if uninstall => return Met::No(format!("{specifier} is installed")),
                Answer::No(why) if !uninstall => return Met::No(why.clone()),
                Answer::Yes | Answer::No(_) => {}
                Answer::Unknown(why) => {
                    unknown.get_or_insert(why);
                }
            }
        }
        match unknown {
            Some(why) => Met::Unknown(why.clone()),
            None => Met::Yes,
        }
    }
}

/// Writes the specifiers for messages.
impl fmt::Display for PipSpec<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.specifiers.join(", "))
    }
}

/// Splits specifiers at blanks. A specifier may have blanks around its operators. A `;` begins the
/// marker of the last specifier.
fn split(names: &str) -> Vec<String> {
    let (names, marker) = match names.split_once(';') {
        Some((names, marker)) => (names, Some(marker.trim())),
        None => (names, None),
    };
    let mut specifiers: Vec<String> = Vec::new();
    for word in names.split_whitespace() {
        match specifiers.last_mut() {
            Some(last) if word.starts_with(OPERATORS) || last.ends_with(CONTINUED) => {
                // A URL may end with an operator's character, so the blank beside it must stay.
                if word.starts_with('@') || last.ends_with('@') {
                    last.push(' ');
                }
                last.push_str(word);
            }
            _ => specifiers.push(word.to_owned()),
        }
    }
    if let (Some(marker), Some(last)) = (marker, specifiers.last_mut()) {
        last.push_str(&format!(" ; {marker}"));
    }
    specifiers
}

/// First characters of a word that continues the specifier before it.
const OPERATORS: [char; 9] = ['<', '>', '=', '!', '~', ',', '[', ']', '@'];

/// Last characters of a word whose specifier continues after it.
const CONTINUED: [char; 8] = ['<', '>', '=', '!', '~', ',', '[', '@'];

/// Returns the name at the beginning of a specifier (PEP 508), or an empty text.
fn name(specifier: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let end = specifier.find(|c| !plain(c)).unwrap_or(specifier.len());
    let name = specifier.get(..end).unwrap_or_default();
    match name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        true => name,
        false => "",
    }
}

/// Normalizes a name by PEP 503.
fn normalize(name: &str) -> String {
    let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

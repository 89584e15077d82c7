//! What a requirement of kind `pip` asks for, read from its arguments. It must not know how pip is asked.

use std::fmt;

use persea_plugin_sdk::prelude::*;
use persea_requirement_tool::arguments::Arguments;

use crate::distributions::Answer;

/// The configuration key with the index that pip is to ask.
pub(crate) const INDEX: &str = "requirement.pip.index-url";

const KNOWN: [&str; 5] = [
    "name",
    "version",
    "action",
    "python",
    "break-system-packages",
];

/// What is to be done, in Avocado's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Install,
    Check,
    Uninstall,
}

/// Whether all is as wanted.
#[derive(Debug, PartialEq)]
pub(crate) enum Met {
    Yes,
    No(String),
    /// Only pip can tell.
    Unknown(String),
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// As pip takes them: `attrs`, `attrs==23.1`, `attrs>=22`.
    pub(crate) specifiers: Vec<String>,
    pub(crate) action: Action,
    pub(crate) python: &'a str,
    pub(crate) break_system_packages: bool,
}

impl<'a> Wanted<'a> {
    pub(crate) fn read(request: &'a Request) -> Result<Self, Error> {
        let arguments = Arguments::read(&request.requirement, &KNOWN)?;
        let mut specifiers: Vec<String> = match arguments.value("name") {
            Some(Value::Json(_)) => arguments.texts("name")?,
            _ => {
                let names = arguments.thing("name")?.unwrap_or_default();
                split(names)
            }
        };
        if let Some(wrong) = specifiers.iter().find(|it| name(it).is_empty()) {
            return Err(arguments.invalid(format!("{wrong:?} is no name of a distribution")));
        }
        let version = arguments.text("version")?;
        match (&mut *specifiers, version) {
            ([], _) => return Err(arguments.invalid("it needs a `name`: the distribution")),
            (_, None) => {}
            ([one], Some(version)) if name(one) == *one => one.push_str(&format!("=={version}")),
            _ => {
                let message = "a `version` is for one plain `name`";
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

    /// The names without conditions.
    pub(crate) fn names(&self) -> Vec<String> {
        self.specifiers.iter().map(|it| normal(name(it))).collect()
    }

    /// Whether all is as wanted, by the answers for the specifiers.
    pub(crate) fn met(&self, answers: &[Answer]) -> Met {
        let uninstall = self.action == Action::Uninstall;
        let mut unknown = None;
        for (specifier, answer) in self.specifiers.iter().zip(answers) {
            match answer {
                Answer::Ignored => {}
                Answer::Yes if uninstall => return Met::No(format!("{specifier} is there")),
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

/// As people call it.
impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.specifiers.join(", "))
    }
}

/// Several requirements with blanks between them, which may also have some around their operators. What follows a `;` is the
/// marker of the last one.
fn split(names: &str) -> Vec<String> {
    let (names, marker) = match names.split_once(';') {
        Some((names, marker)) => (names, Some(marker.trim())),
        None => (names, None),
    };
    let mut specifiers: Vec<String> = Vec::new();
    for word in names.split_whitespace() {
        match specifiers.last_mut() {
            Some(last) if word.starts_with(OPERATORS) || last.ends_with(CONTINUED) => {
                // A URL ends where a blank is.
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

/// What a word continues the requirement before it with.
const OPERATORS: [char; 9] = ['<', '>', '=', '!', '~', ',', '[', ']', '@'];

/// What is at the end of a word after which its requirement goes on.
const CONTINUED: [char; 8] = ['<', '>', '=', '!', '~', ',', '[', '@'];

/// The name at the beginning of a specifier (PEP 508).
fn name(specifier: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let end = specifier.find(|c| !plain(c)).unwrap_or(specifier.len());
    let name = specifier.get(..end).unwrap_or_default();
    match name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        true => name,
        false => "",
    }
}

/// As PEP 503 has names, so that each has one.
fn normal(name: &str) -> String {
    let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

//! Owns the query of an interpreter for its distributions and for the requirements that they meet.
//! A script in the interpreter itself compares versions, extras and markers with `packaging`, pip's
//! own library: markers are about that interpreter, and pip decides by the same code.
//! `tests/python.rs` tests the script with a real Python.
//! Does not know about installing or uninstalling.

use std::collections::BTreeMap;

use persea_plugin_sdk::Error;
use persea_requirement_tool::{program, query_ok};

/// Versions of distributions, by names normalized as in PEP 503.
pub(crate) type Distributions = BTreeMap<String, String>;

/// Python script that prints the distributions and the answers as JSON. It does not need pip, which
/// may not be installed.
const SCRIPT: &str = include_str!("distributions.py");

/// Distributions of an interpreter.
#[derive(Debug, PartialEq)]
pub(crate) struct Installed {
    pub(crate) distributions: Distributions,
    /// An answer for each requirement, in the same order.
    pub(crate) answers: Vec<Answer>,
}

/// Whether the distributions meet a requirement.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Yes,
    /// Not met, with the reason.
    No(String),
    /// The requirement's marker excludes this interpreter.
    Ignored,
    /// Only pip can tell, with the reason.
    Unknown(String),
}

/// Queries an interpreter.
///
/// # Errors
/// Where the interpreter cannot be run, or `invalid` where a requirement has a syntax error.
pub(crate) fn query_python(python: &str, requirements: &[String]) -> Result<Installed, Error> {
    let args = ["-c", SCRIPT].map(str::to_owned);
    let list = query_ok(program(python, args).args(requirements.iter().cloned()))?;
    let unreadable = |why: &dyn std::fmt::Display| {
        let message = format!("cannot read the list of distributions of {python}: {why}");
        Error::new("failed", message)
    };
    let read: (Distributions, Vec<(String, String)>) =
        serde_json::from_str(&list).map_err(|error| unreadable(&error))?;
    let (distributions, answers) = read;
    if answers.len() != requirements.len() {
        return Err(unreadable(&"the number of answers is wrong"));
    }
    let answers = requirements.iter().zip(answers);
    let answers = answers.map(|(requirement, (answer, why))| match answer.as_str() {
        "yes" => Ok(Answer::Yes),
        "no" => Ok(Answer::No(why)),
        "ignored" => Ok(Answer::Ignored),
        "unknown" => Ok(Answer::Unknown(why)),
        "invalid" => {
            let message = format!("`{requirement}` is not a valid requirement of pip: {why}");
            Err(Error::new("invalid", message))
        }
        other => Err(unreadable(&format!("unknown answer `{other}`"))),
    });
    Ok(Installed {
        distributions,
        answers: answers.collect::<Result<_, _>>()?,
    })
}

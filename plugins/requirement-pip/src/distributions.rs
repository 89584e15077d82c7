//! Owns what an interpreter says of its distributions: which there are, and which requirements they meet. Versions, extras and
//! markers are compared by `packaging`, pip's own library, in the interpreter itself: markers are about that interpreter, and
//! what pip would install is decided by the same code. The script is tried on a real Python in `tests/python.rs`.
//! Does not know what is to be done about them.

use std::collections::BTreeMap;

use persea_plugin_sdk::Error;
use persea_requirement_tool::{ask_surely, program};

/// Distributions with their versions; their names as PEP 503 normalizes them.
pub(crate) type Distributions = BTreeMap<String, String>;

/// Lists what is installed, without pip: that may not be there.
const SCRIPT: &str = include_str!("distributions.py");

/// What an interpreter has.
#[derive(Debug, PartialEq)]
pub(crate) struct Installed {
    pub(crate) distributions: Distributions,
    /// For each requirement, in their order.
    pub(crate) answers: Vec<Answer>,
}

/// Whether a requirement is met.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Yes,
    No(String),
    /// Its marker says that it is not for this interpreter.
    Ignored,
    /// Only pip can tell, for this reason.
    Unknown(String),
}

/// Asks an interpreter.
///
/// # Errors
/// Where it can't be run, or `invalid` where a requirement can't be read.
pub(crate) fn ask_python(python: &str, requirements: &[String]) -> Result<Installed, Error> {
    let args = ["-c", SCRIPT].map(str::to_owned);
    let list = ask_surely(program(python, args).args(requirements.iter().cloned()))?;
    let unreadable = |why: &dyn std::fmt::Display| {
        let message = format!("what {python} says of its distributions can't be read: {why}");
        Error::new("failed", message)
    };
    let read: (Distributions, Vec<(String, String)>) =
        serde_json::from_str(&list).map_err(|error| unreadable(&error))?;
    let (distributions, answers) = read;
    if answers.len() != requirements.len() {
        return Err(unreadable(&"it has another number of answers"));
    }
    let answers = requirements.iter().zip(answers);
    let answers = answers.map(|(requirement, (answer, why))| match answer.as_str() {
        "yes" => Ok(Answer::Yes),
        "no" => Ok(Answer::No(why)),
        "ignored" => Ok(Answer::Ignored),
        "unknown" => Ok(Answer::Unknown(why)),
        "invalid" => {
            let message = format!("`{requirement}` is no requirement as pip takes it: {why}");
            Err(Error::new("invalid", message))
        }
        other => Err(unreadable(&format!("`{other}` is no answer"))),
    });
    Ok(Installed {
        distributions,
        answers: answers.collect::<Result<_, _>>()?,
    })
}

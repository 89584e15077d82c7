//! The command that runs the failures of a job again: what was typed, with `--failed`.

use std::collections::HashSet;
use std::path::Path;

use super::{Failure, exit};
use persea_job as job;
use persea_model::names::printable;

/// The options that are not repeated: which tests are run is said anew, and a job has an id of its own.
const DROPPED: [&str; 2] = ["--failed", "--force-job-id"];

/// The command line of this program, as it would be typed in a shell, with `--failed` for the name of a job at its end.
pub(super) fn command_line() -> String {
    let args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    with_failed(args)
}

fn with_failed(args: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut references: Vec<String> = Vec::new();
    let mut args = args;
    while let Some(arg) = args.next() {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (arg.as_str(), None),
        };
        if arg == "--" {
            // What follows is no option, whatever it looks like.
            references.extend(args.by_ref());
        } else if DROPPED.contains(&name) {
            if value.is_none() {
                args.next();
            }
        } else {
            words.push(arg);
        }
    }
    // The name of the job stands last, behind its option, so nothing can stand behind a `--`.
    words.extend(
        references
            .into_iter()
            .map(|word| match word.starts_with('-') {
                true => format!("./{word}"),
                false => word,
            }),
    );
    words.push("--failed".to_owned());
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_./:=,@%+-".contains(c);
    let word = printable(word);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.into_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The titles of the tests that did not pass in a job.
pub(super) fn failed_in(root: &Path, job: &str) -> Result<HashSet<String>, Failure> {
    let directory = job::find(root, job)
        .map_err(|error| Failure::new(exit::FAIL, miette::miette!("--failed: {error}")))?;
    let titles = job::failed_in(&directory).map_err(Failure::of)?;
    match titles.is_empty() {
        false => Ok(titles),
        true => Err(Failure::new(
            exit::JOB_FAIL,
            miette::miette!(
                help = "leave `--failed` out to run all tests",
                "no test of the job {} has failed",
                directory.display()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_what_was_typed_with_other_tests() {
        let line = |words: &[&str]| with_failed(words.iter().map(|word| (*word).to_owned()));
        for (words, expected) in [
            (
                &["persea", "run", "a", "b c"][..],
                "persea run a 'b c' --failed",
            ),
            (
                &["p", "run", "--failed", "x", "--force-job-id=1", "it's", ""],
                r"p run 'it'\''s' '' --failed",
            ),
            (
                &["p", "run", "--failed=x", "--", "-a", "b"],
                "p run ./-a b --failed",
            ),
        ] {
            assert_eq!(line(words), expected);
        }
    }
}

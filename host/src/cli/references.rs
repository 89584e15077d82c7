//! Owns the messages of `run` and `list` about references: which are errors, and where tests of the
//! job may be lost.

use super::output::eprint_line;
use super::{Failure, exit};
use persea_config::Config;
use persea_config::settings;
use persea_job::{Answer, Resolutions, Resolved};
use persea_journal::WarningCause;
use persea_model::names::printable;

/// The number of warnings that are shown one by one without `-v`.
const SHOWN: usize = 10;

/// Prints the warnings about references to the standard error. Without `verbose` the warnings about
/// tests that may not have been found are only counted.
pub(super) fn show_warnings(resolutions: &Resolutions, verbose: bool) {
    let mut incomplete: Vec<&str> = Vec::new();
    let mut shown = 0;
    let mut more = 0;
    for warning in &resolutions.warnings {
        let is_shown = match warning.cause {
            WarningCause::Incomplete => {
                let reference = warning.reference.as_deref().unwrap_or_default();
                if incomplete.last() != Some(&reference) {
                    incomplete.push(reference);
                }
                verbose
            }
            WarningCause::ResolverError
            | WarningCause::Unreadable
            | WarningCause::Scheduler
            | WarningCause::Limit
            | WarningCause::Host
            | WarningCause::FailedTestGone => {
                let is_shown = verbose || shown < SHOWN;
                shown += usize::from(is_shown);
                more += usize::from(!is_shown);
                is_shown
            }
        };
        if is_shown {
            eprint_line(format_args!("warning: {warning}"));
        }
    }
    if more > 0 {
        eprint_line(format_args!(
            "warning: {more} more warnings about references; `-v` shows them"
        ));
    }
    let hint = if verbose { "" } else { "; `-v` names them" };
    match incomplete.len() {
        0 => {}
        1 => eprint_line(format_args!(
            "warning: 1 file may hold tests that were not found{hint}"
        )),
        files => {
            eprint_line(format_args!(
                "warning: {files} files may hold tests that were not found{hint}"
            ));
        }
    }
    match resolutions.untaken {
        0 => {}
        1 => eprint_line(format_args!(
            "note: no resolver recognizes 1 file in a directory{hint}"
        )),
        files => eprint_line(format_args!(
            "note: no resolver recognizes {files} files in directories{hint}"
        )),
    }
    match resolutions.excluded {
        0 => {}
        1 => eprint_line(format_args!(
            "note: `{}` leaves out 1 file",
            settings::REFERENCES_EXCLUDE
        )),
        files => eprint_line(format_args!(
            "note: `{}` leaves out {files} files",
            settings::REFERENCES_EXCLUDE
        )),
    }
    match resolutions.results.as_slice() {
        [] => {}
        [results] => eprint_line(format_args!(
            "note: results of a job are skipped: {results}"
        )),
        [first, ..] => {
            let jobs = resolutions.results.len();
            eprint_line(format_args!(
                "note: results of {jobs} jobs are skipped: {first} and others"
            ));
        }
    }
}

/// Fails if there are warnings about references and `run.strict` is on.
pub(super) fn refuse_warnings(resolutions: &Resolutions, config: &Config) -> Result<(), Failure> {
    let warnings = match resolutions.warnings.len() {
        0 => return Ok(()),
        1 => "1 warning".to_owned(),
        warnings => format!("{warnings} warnings"),
    };
    if !config.get(settings::RUN_STRICT) {
        return Ok(());
    }
    Err(Failure::new(
        exit::JOB_FAIL,
        miette::miette!(
            help = "to see each warning: `-v`; to run the job anyway: leave out `--strict` \
                    (`run.strict`)",
            "{warnings} about references, an error with `--strict`"
        ),
    ))
}

/// Fails if a reference is unresolved, in Avocado's words; with `ignore` only if all are. The empty
/// list of a resolver is an answer: a job without tests is then no error.
pub(super) fn refuse_unresolved(resolved: &[Resolved], ignore: bool) -> Result<(), Failure> {
    let mut missing = Vec::new();
    let mut is_answered = false;
    for Resolved { reference, answer } in resolved {
        match answer {
            Answer::Found { .. } | Answer::Failed { .. } => is_answered = true,
            Answer::Missing { reasons } => {
                missing.push(reference.as_str());
                if ignore {
                    let reasons = reasons.join("; ");
                    eprint_line(format_args!(
                        "warning: no test found for {reference}: {reasons}"
                    ));
                }
            }
            Answer::Corrupt { resolver, what } => {
                eprint_line(format_args!(
                    "Reference {reference} might be resolved by {resolver} resolver, but the file \
                     is \
                     corrupted: {what}"
                ));
                missing.push(reference.as_str());
            }
        }
    }
    if !missing.is_empty() && !ignore {
        let names = printable(&missing.join(" ")).into_owned();
        return Err(Failure::new(
            exit::JOB_FAIL,
            miette::miette!(
                help = "to run the other tests: `--ignore-missing-references`",
                "No tests found for given test references: {names}\n\
                 Try 'persea list {names}' for details"
            ),
        ));
    }
    if !is_answered {
        return Err(Failure::new(
            exit::JOB_FAIL,
            miette::miette!(
                "No test references provided nor any other arguments resolved into tests"
            ),
        ));
    }
    Ok(())
}

//! Owns what `run` and `list` say about references: which are refused, and what may be lost of the job's tests.

use super::{Failure, exit, warn};
use persea_config::Config;
use persea_config::settings;
use persea_job::{Answer, Resolutions, Resolved};
use persea_journal::WarningCause;
use persea_model::names::printable;

/// How many warnings of one sort are shown one by one without `-v`.
const SHOWN: usize = 10;

/// Shows on the standard error what the answers to the references do not say. With `verbose` each warning is shown, else those about
/// tests that were perhaps not found are counted.
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
            WarningCause::ResolverError | WarningCause::Unreadable | WarningCause::Scheduler => {
                let is_shown = verbose || shown < SHOWN;
                shown += usize::from(is_shown);
                more += usize::from(!is_shown);
                is_shown
            }
        };
        if is_shown {
            warn(format_args!("warning: {warning}"));
        }
    }
    if more > 0 {
        warn(format_args!(
            "warning: {more} more warnings of this sort; `-v` shows them"
        ));
    }
    let hint = if verbose { "" } else { "; `-v` names them" };
    match incomplete.len() {
        0 => {}
        1 => warn(format_args!(
            "warning: 1 file may hold tests that were not found{hint}"
        )),
        files => {
            warn(format_args!(
                "warning: {files} files may hold tests that were not found{hint}"
            ));
        }
    }
    match resolutions.untaken {
        0 => {}
        1 => warn(format_args!(
            "note: no resolver takes 1 file of a directory{hint}"
        )),
        files => warn(format_args!(
            "note: no resolver takes {files} files of directories{hint}"
        )),
    }
    match resolutions.results.as_slice() {
        [] => {}
        [results] => warn(format_args!(
            "note: results of a job are left out: {results}"
        )),
        [first, ..] => {
            let jobs = resolutions.results.len();
            warn(format_args!(
                "note: results of {jobs} jobs are left out: {first} and others"
            ));
        }
    }
}

/// Makes warnings about references an error where the user wants that (`run.strict`).
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
            help = "`-v` shows each warning; without `--strict` (`run.strict`) the job runs",
            "{warnings} about references, which `--strict` makes an error"
        ),
    ))
}

/// Refuses a job with references that nobody takes, in Avocado's words; with `ignore` only one of which nothing is left. A resolver's
/// empty list is an answer: a job of nothing else has no test, and is none of the user's errors.
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
                    warn(format_args!(
                        "warning: no test is found for {reference}: {reasons}"
                    ));
                }
            }
            Answer::Corrupt { resolver, what } => {
                warn(format_args!(
                    "Reference {reference} might be resolved by {resolver} resolver, but the file is corrupted: {what}"
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
                help = "`--ignore-missing-references` runs the rest",
                "No tests found for given test references: {names}\nTry 'persea list {names}' for details"
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

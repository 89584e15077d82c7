//! Owns the command line that runs the failures of a job again: the present one with `--failed`.

use std::path::Path;

use super::shell::quoted;
use super::{Context, Failure, exit, resume};
use persea_job as job;
use persea_job::FailedTests;
use persea_journal::JobStarted;

/// The options that are left out: `--failed` is added with the new job, and each job has its own
/// id.
const DROPPED: [&str; 2] = ["--failed", "--force-job-id"];

/// The command line of this process, quoted for a shell, ending in `--failed`. The name of the job
/// goes after it.
pub(super) fn command_line() -> String {
    let args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    with_failed(args)
}

/// The command line that runs the failures of any job of this project again, with the job's own
/// references, settings and plugins.
pub(super) const COMMAND: &str = "persea run --failed";

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
            // Everything after `--` is a reference.
            references.extend(args.by_ref());
        } else if DROPPED.contains(&name) {
            if value.is_none() {
                args.next();
            }
        } else {
            words.push(arg);
        }
    }
    // The job's name comes last, after its option. So no `--` can protect references; `./` does.
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

/// The beginning of the job that `--failed` names, whose references run again.
pub(super) fn begin_of(job: &str, context: &Context) -> Result<JobStarted, Failure> {
    let directory = resume::find("--failed", job, context)?;
    resume::refuse_strangers("--failed", &directory, context)?;
    let begin = job::begin(&directory);
    let begin = begin.filter(|begin| begin.take_over.is_some());
    let begin = begin.ok_or_else(|| {
        Failure::new(
            exit::FAIL,
            miette::miette!(
                help = "name the references: `persea run REFERENCES --failed JOB`",
                "the journal of {} does not have the job's command line",
                directory.display()
            ),
        )
    })?;
    resume::refuse_other_project("--failed", &begin, &directory)?;
    Ok(begin)
}

/// Takes the settings and plugins of an earlier job. Those of this command line win.
pub(super) fn restore(context: &mut Context, begin: &JobStarted) -> Result<(), Failure> {
    let Some(data) = &begin.take_over else {
        return Ok(());
    };
    let settings = resume::recorded(&begin.settings);
    context.config = context
        .config
        .again(settings, &data.origins, &data.secret_settings);
    resume::restore_plugins(context, data)
}

/// The tests of a job that did not pass.
pub(super) fn failed_in(root: &Path, job: &str) -> Result<FailedTests, Failure> {
    let directory = job::find(root, job)
        .map_err(|error| Failure::new(exit::FAIL, miette::miette!("--failed: {error}")))?;
    let failed = FailedTests::read(&directory).map_err(Failure::of)?;
    match failed.is_empty() {
        false => Ok(failed),
        true => Err(Failure::new(
            exit::JOB_FAIL,
            miette::miette!(
                help = "to run all tests, leave out `--failed`",
                "no test of the job {} failed",
                directory.display()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_keeps_options_and_references() {
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

//! Owns `persea jobs show`.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::super::output::{eprint_line, print_line, print_pretty_json};
use super::super::past::{ResultsDir, commit, revision_json, seconds, state, tally, when};
use super::super::{Context, Failure, exit};
use persea_history::{JobRecord, TestRun, Verdict};

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// The job: its directory, `latest`, or the beginning of its id or of its directory's name
    job: String,
    /// Print one JSON object, with the results of all tests
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    results: ResultsDir,
}

impl Show {
    pub(super) fn run(self, context: &Context) -> Result<u8, Failure> {
        let directory = self.results.find(&self.job, context)?;
        let job = JobRecord::read_with_plan(&directory);
        if let Some(fault) = &job.fault {
            eprint_line(format_args!("warning: {fault}"));
        }
        match self.json {
            true => print_pretty_json(&to_json(&job, &directory)),
            false => print(&job, &directory),
        }
        Ok(exit::OK)
    }
}

fn state_of(job: &JobRecord, directory: &Path) -> &'static str {
    let reason = job
        .end
        .as_ref()
        .and_then(|end| end.interrupted_by.as_deref());
    state(job.end.is_some(), reason, job.fault.as_deref(), directory)
}

/// A line with a name.
fn field(name: &str, value: impl std::fmt::Display) {
    print_line(format_args!("{name:<11}: {value}"));
}

fn print(job: &JobRecord, directory: &Path) {
    field("JOB ID", &job.id);
    field("DIRECTORY", directory.display());
    if persea_history::is_imported(directory) {
        field("IMPORTED", "by `persea import`");
    }
    let reason = job
        .end
        .as_ref()
        .and_then(|end| end.interrupted_by.as_deref());
    let state = state_of(job, directory);
    match reason {
        Some(reason) => field("STATE", format_args!("{state}: {reason}")),
        None => field("STATE", state),
    }
    field("STARTED", when(job.started));
    if let Some(end) = &job.end {
        field("DURATION", seconds(end.elapsed));
    }
    field("PROJECT", &job.project);
    field("COMMIT", commit(job.revision.as_ref()));
    field("REFERENCES", job.references.join(" "));
    field("RESULTS", tally(&job.tally));
    if job.flaky > 0 {
        field("FLAKY", job.flaky);
    }
    if !job.open.is_empty() {
        field("NO RESULT", job.open.len());
    }
    for run in job.runs.iter().filter(|run| is_shown(run)) {
        let reason = run.reason.as_deref().unwrap_or_default();
        let colon = if reason.is_empty() { "" } else { ": " };
        print_line(format_args!(
            " {}: {}{colon}{reason}",
            run.title, run.status
        ));
    }
}

/// Whether a test did not pass.
fn is_shown(run: &TestRun) -> bool {
    Verdict::of(run.status) == Verdict::Failed
}

fn to_json(job: &JobRecord, directory: &Path) -> Value {
    let tests = job.runs.iter().map(|run| {
        json!({
            "test": run.title,
            "status": run.status,
            "reason": run.reason,
            "elapsed": run.has_started.then_some(run.elapsed),
            "attempts": run.attempts,
            "flaky": run.is_flaky,
        })
    });
    let end = job.end.as_ref();
    json!({
        "job-id": job.id,
        "directory": directory.to_string_lossy(),
        "state": state_of(job, directory),
        "started": job.started,
        "elapsed": end.map(|end| end.elapsed),
        "interrupted-by": end.and_then(|end| end.interrupted_by.as_deref()),
        "total": job.total,
        "tally": job.tally,
        "flaky": job.flaky,
        "project-dir": job.project,
        "revision": revision_json(job.revision.as_ref()),
        "references": job.references,
        "imported": persea_history::is_imported(directory),
        "fault": job.fault,
        "tests": tests.collect::<Vec<_>>(),
        "without-result": job.open,
    })
}

//! Owns `persea jobs list`.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::super::output::{eprint_line, print_json, print_line};
use super::super::past::{
    ResultsDir, ask, columns, commit, limit, revision_json, seconds, state, tally, when,
};
use super::super::{Context, Failure, exit};
use persea_history::JobEntry;

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Show this number of jobs; 0 means all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print one JSON object for each job, each on its own line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    results: ResultsDir,
}

impl List {
    pub(super) fn run(self, context: &Context) -> Result<u8, Failure> {
        let root = self.results.root(context);
        let most = limit(self.limit);
        let (jobs, all) = ask(&root, context, |index| index.jobs(most))?;
        if self.json {
            for job in &jobs {
                print_json(&to_json(job, &root));
            }
            return Ok(exit::OK);
        }
        let rows = jobs.iter().map(|job| row(job, &root));
        for line in columns(&rows.collect::<Vec<_>>()) {
            print_line(line);
        }
        if all == 0 {
            eprint_line(format_args!(
                "note: there are no jobs in {}",
                root.display()
            ));
        } else if all > jobs.len() {
            eprint_line(format_args!(
                "note: {} older jobs are not shown; `--limit 0` shows all",
                all - jobs.len()
            ));
        }
        Ok(exit::OK)
    }
}

fn state_of(job: &JobEntry, root: &Path) -> &'static str {
    state(
        job.elapsed.is_some(),
        job.interrupted_by.as_deref(),
        job.fault.as_deref(),
        &root.join(&job.name),
    )
}

fn row(job: &JobEntry, root: &Path) -> [String; 6] {
    [
        job.name.clone(),
        when(job.started),
        state_of(job, root).to_owned(),
        job.elapsed.map_or_else(|| "-".to_owned(), seconds),
        commit(job.revision.as_ref()),
        tally(&job.tally),
    ]
}

fn to_json(job: &JobEntry, root: &Path) -> Value {
    json!({
        "name": job.name,
        "job-id": job.id,
        "directory": root.join(&job.name).to_string_lossy(),
        "state": state_of(job, root),
        "started": job.started,
        "elapsed": job.elapsed,
        "interrupted-by": job.interrupted_by,
        "total": job.total,
        "tally": job.tally,
        "flaky": job.flaky,
        "project-dir": job.project,
        "revision": revision_json(job.revision.as_ref()),
        "fault": job.fault,
    })
}

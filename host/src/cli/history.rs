//! Owns `persea history`.

use clap::Args;
use serde_json::{Value, json};

use super::output::{eprint_line, print_line, print_pretty_json};
use super::past::{ResultsDir, ask, columns, commit, limit, revision_json, seconds, when};
use super::{Context, Failure, exit};
use persea_history::{RunEntry, Trend};

/// The number of tests that an ambiguous name lists.
const LISTED: usize = 20;

/// The rules, for `--help`.
const RULES: &str = "\
A run passed with PASS or WARN, and failed with FAIL, ERROR or INTERRUPTED; SKIP and CANCEL count \
for neither. A run is flaky if the test passed on a retry, or if it passed and the run before, in \
a job of the same commit, failed, or the other way round. Changes that are not committed are not \
known. The flake rate is the number of flaky runs divided by that of runs that passed or failed.";

#[derive(Debug, Args)]
#[command(after_help = RULES)]
pub(super) struct History {
    /// The test: its name as reports have it, or a part of one name
    test: String,
    /// Show this number of runs, and count in these; 0 means all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Also count jobs that ran in other directories than this one
    #[arg(long)]
    all_projects: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    results: ResultsDir,
}

/// What the index answers.
enum Answer {
    /// The text names this test: its title, its runs, and the number of its runs elsewhere.
    One(String, Vec<RunEntry>, u64),
    /// The text names no test of this project, or several.
    Titles(Vec<String>),
}

impl History {
    pub(super) fn run(self, context: &Context) -> Result<u8, Failure> {
        let root = self.results.root(context);
        let project = match self.all_projects {
            true => None,
            false => Some(std::env::current_dir().map_err(Failure::of)?),
        };
        let project = project.map(|path| path.to_string_lossy().into_owned());
        let project = project.as_deref();
        let answer = ask(&root, context, |index| {
            let titles = index.titles(&self.test, project, LISTED + 1)?;
            let [title] = titles.as_slice() else {
                return Ok(Answer::Titles(titles));
            };
            let runs = index.runs(title, project)?;
            let elsewhere = match project {
                Some(project) => index.runs_elsewhere(title, project)?,
                None => 0,
            };
            Ok(Answer::One(title.clone(), runs, elsewhere))
        })?;
        let (title, runs, elsewhere) = match answer {
            Answer::One(title, runs, elsewhere) => (title, runs, elsewhere),
            Answer::Titles(titles) => return Err(self.not_one(&titles, &root)),
        };
        if elsewhere > 0 {
            let (runs, are) = if elsewhere == 1 {
                ("run", "is")
            } else {
                ("runs", "are")
            };
            eprint_line(format_args!(
                "note: {elsewhere} {runs} in other projects {are} left out; `--all-projects` \
                 counts them too"
            ));
        }
        let trend = Trend::new(runs, limit(self.limit));
        match self.json {
            true => print_pretty_json(&to_json(&title, &trend)),
            false => print(&title, &trend),
        }
        Ok(exit::OK)
    }

    /// The error of a text that does not name one test.
    fn not_one(&self, titles: &[String], root: &std::path::Path) -> Failure {
        let test = &self.test;
        if titles.is_empty() {
            let (help, place) = match self.all_projects {
                true => ("`persea jobs list` shows the jobs", ""),
                false => (
                    "`--all-projects` looks at jobs of other directories too; `persea jobs list` \
                     shows the jobs",
                    " that ran in this directory",
                ),
            };
            return Failure::new(
                exit::FAIL,
                miette::miette!(
                    help = help,
                    "no job in {}{place} has a test whose name contains `{test}`",
                    root.display()
                ),
            );
        }
        let mut text = format!("several tests have names that contain `{test}`:");
        for title in titles.iter().take(LISTED) {
            text.push_str("\n  ");
            text.push_str(&persea_model::names::printable(title));
        }
        if titles.len() > LISTED {
            text.push_str("\n  and more");
        }
        let help = "give the whole name of one, or a part that only one has";
        Failure::new(exit::FAIL, miette::miette!(help = help, "{text}"))
    }
}

fn print(title: &str, trend: &Trend) {
    print_line(format_args!("TEST     : {title}"));
    let shown = trend.runs.len();
    print_line(format_args!(
        "RUNS     : {shown} of {}, the newest first",
        trend.all
    ));
    let rows = trend.runs.iter().map(|run| {
        let elapsed = match run.has_started {
            true => seconds(run.elapsed),
            false => "not started".to_owned(),
        };
        [
            run.job.clone(),
            when(run.job_started),
            commit(run.revision.as_ref()),
            run.status.to_string(),
            match run.attempts {
                0 | 1 => elapsed,
                attempts => format!("{elapsed}, attempt {attempts}"),
            },
        ]
    });
    for line in columns(&rows.collect::<Vec<_>>()) {
        print_line(format_args!(" {line}"));
    }
    let judged = trend.judged();
    print_line(format_args!("PASSED   : {} of {judged}", trend.passed));
    print_line(format_args!(
        "FLAKY    : {} of {judged} ({}): {} passed on a retry, {} changed at the same commit",
        trend.flaky(),
        percent(trend.flaky(), judged),
        trend.retried,
        trend.changed
    ));
    if let Some(streak) = &trend.streak {
        let runs = if streak.length == 1 { "run" } else { "runs" };
        print_line(format_args!(
            "FAILING  : for {} {runs}, since {}, {}, commit {}",
            streak.length,
            streak.first.job,
            when(streak.first.job_started),
            commit(streak.first.revision.as_ref())
        ));
    }
    if let (Some(p50), Some(p95)) = (trend.p50, trend.p95) {
        print_line(format_args!(
            "DURATION : p50 {}, p95 {}",
            seconds(p50),
            seconds(p95)
        ));
    }
}

#[allow(clippy::cast_precision_loss)] // numbers of jobs
fn rate(part: usize, all: usize) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

fn percent(part: usize, all: usize) -> String {
    rate(part, all).map_or_else(|| "-".to_owned(), |rate| format!("{:.0} %", rate * 100.0))
}

fn run_json(run: &RunEntry) -> Value {
    json!({
        "job": run.job,
        "job-id": run.job_id,
        "job-started": run.job_started,
        "revision": revision_json(run.revision.as_ref()),
        "status": run.status,
        "elapsed": run.has_started.then_some(run.elapsed),
        "attempts": run.attempts,
        "flaky": run.is_flaky,
    })
}

fn to_json(title: &str, trend: &Trend) -> Value {
    let failing = trend
        .streak
        .as_ref()
        .map(|streak| json!({ "runs": streak.length, "since": run_json(&streak.first) }));
    json!({
        "test": title,
        "all-runs": trend.all,
        "runs": trend.runs.iter().map(run_json).collect::<Vec<_>>(),
        "passed": trend.passed,
        "failed": trend.failed,
        "flaky": {
            "passed-on-retry": trend.retried,
            "changed-at-same-commit": trend.changed,
            "rate": rate(trend.flaky(), trend.judged()),
        },
        "failing": failing,
        "p50": trend.p50,
        "p95": trend.p95,
    })
}

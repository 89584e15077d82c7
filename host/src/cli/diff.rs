//! Owns `persea diff`.

use std::path::Path;

use clap::Args;
use serde_json::{Map, Value, json};

use super::output::{eprint_line, print_line, print_pretty_json};
use super::past::{ResultsDir, seconds};
use super::{Context, Failure, exit};
use persea_history::{Change, Compared, Comparison, Difference, JobRecord};

/// The rules, for `--help`.
const RULES: &str = "\
A regression is a test, or a case of a test, that ended FAIL, ERROR or INTERRUPTED in the second \
job and not in the first; also one that the first job does not have. A test is slower if it passed \
in both, took more than 1.5 times as long, and more than half a second longer; that is no \
regression. Tests are compared by their names in reports. A test without a result, in a job whose \
host was killed, counts as ERROR; tests that a running job has not ended yet are left out.

The exit code is 0 without regressions, and 1 with them.";

#[derive(Debug, Args)]
#[command(after_help = RULES)]
pub(super) struct Diff {
    /// The first job: its directory, `latest`, or the beginning of its id or of its directory's
    /// name
    before: String,
    /// The job that is compared with it
    after: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    results: ResultsDir,
}

impl Diff {
    pub(super) fn run(self, context: &Context) -> Result<u8, Failure> {
        let before = self.results.find(&self.before, context)?;
        let after = self.results.find(&self.after, context)?;
        let (first, first_runs) = read(&before)?;
        let (second, second_runs) = read(&after)?;
        let comparison = Comparison::of((&first, first_runs), (&second, second_runs));
        match self.json {
            true => print_pretty_json(&to_json(&comparison, &before, &after)),
            false => print(&comparison),
        }
        Ok(match comparison.has_regressions() {
            true => exit::TESTS_FAIL,
            false => exit::OK,
        })
    }
}

/// Reads a job, with whether it runs. A damaged journal is an error: what is missing in it would
/// look like tests that are gone.
fn read(directory: &Path) -> Result<(JobRecord, bool), Failure> {
    // Asked first: a job that ends meanwhile has its whole journal then.
    let is_running = persea_journal::is_in_use(directory);
    let job = JobRecord::read_with_plan(directory);
    if let Some(fault) = job.fault {
        return Err(Failure::new(exit::FAIL, miette::miette!("{fault}")));
    }
    if !job.open.is_empty() {
        let tests = if job.open.len() == 1 {
            "test has"
        } else {
            "tests have"
        };
        let why = match is_running {
            true => "the job is still running; they are left out",
            false => "its host was killed; they count as ERROR",
        };
        eprint_line(format_args!(
            "note: {} {tests} no result in {}: {why}",
            job.open.len(),
            directory.display()
        ));
    }
    Ok((job, is_running))
}

fn print(comparison: &Comparison) {
    for change in Change::ALL {
        for difference in comparison.with(change) {
            print_line(format_args!("{}", line(difference)));
            for case in &difference.newly_failed_cases {
                print_line(format_args!("    newly failing case: {case}"));
            }
        }
    }
    let counts = Change::ALL.iter().filter_map(|change| {
        let count = comparison.with(*change).count();
        (count > 0).then(|| format!("{count} {}", change.name()))
    });
    let unchanged = format!("{} unchanged", comparison.unchanged);
    let counts: Vec<String> = counts.chain([unchanged]).collect();
    print_line(format_args!("TESTS: {}", counts.join(", ")));
}

/// What people see of a difference.
fn line(difference: &Difference) -> String {
    let Difference {
        change,
        title,
        before,
        after,
        ..
    } = difference;
    let head = format!("{}: {title}", change.name().to_uppercase());
    let status = |it: &Option<Compared>| {
        let status = it.as_ref().map(|it| it.status.name());
        status.unwrap_or("-").to_owned()
    };
    match (change, before, after) {
        (Change::Slower, Some(before), Some(after)) => {
            format!(
                "{head}: {} -> {}",
                seconds(before.elapsed),
                seconds(after.elapsed)
            )
        }
        (_, _, after) => {
            let reason = after.as_ref().and_then(|it| it.reason.as_deref());
            let reason = reason.map(|reason| format!(": {reason}"));
            let reason = reason.unwrap_or_default();
            format!("{head}: {} -> {}{reason}", status(before), status(after))
        }
    }
}

fn to_json(comparison: &Comparison, before: &Path, after: &Path) -> Value {
    let compared = |it: &Option<Compared>| {
        it.as_ref()
            .map(|it| json!({ "status": it.status, "elapsed": it.elapsed, "reason": it.reason }))
    };
    let test = |it: &Difference| {
        json!({
            "test": it.title,
            "before": compared(&it.before),
            "after": compared(&it.after),
            "newly-failing-cases": it.newly_failed_cases,
        })
    };
    let changes = Change::ALL.iter().map(|change| {
        let tests: Vec<Value> = comparison.with(*change).map(test).collect();
        (change.name().replace(' ', "-"), Value::from(tests))
    });
    let mut object: Map<String, Value> = changes.collect();
    object.insert("unchanged".into(), comparison.unchanged.into());
    object.insert("regressions".into(), comparison.has_regressions().into());
    object.insert("before".into(), before.to_string_lossy().into());
    object.insert("after".into(), after.to_string_lossy().into());
    Value::Object(object)
}

//! Owns what the commands about jobs that were run share: where they look, the questions to the
//! index, and how a time, a duration and a commit are shown.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::output::eprint_line;
use super::{Context, Failure, exit};
use persea_history::{Index, Update};
use persea_job as job;
use persea_journal::Revision;
use persea_model::{Status, Tally};

/// The number of damaged journals that are named.
const NAMED_FAULTS: usize = 5;

/// The number of digits of a commit that people see.
const COMMIT_DIGITS: usize = 10;

/// Where jobs are.
#[derive(Debug, Args)]
pub(super) struct ResultsDir {
    /// The directory with the directories of jobs [default: the setting `run.results_dir`]
    #[arg(long, visible_alias = "job-results-dir", value_name = "DIR")]
    results_dir: Option<PathBuf>,
}

impl ResultsDir {
    /// The directory with the directories of jobs.
    pub(super) fn root(&self, context: &Context) -> PathBuf {
        match &self.results_dir {
            Some(directory) => directory.clone(),
            None => job::results_root(&context.config, &context.dirs),
        }
    }

    /// The directory of a job, as an absolute path without links.
    pub(super) fn find(&self, name: &str, context: &Context) -> Result<PathBuf, Failure> {
        let found = job::find(&self.root(context), name);
        let real = found.and_then(|job| job.canonicalize().map_err(|error| error.to_string()));
        real.map_err(|why| Failure::new(exit::FAIL, miette::miette!("{why}")))
    }
}

/// Brings the index of a results directory up to date, warns of damaged journals, and asks.
pub(super) fn ask<T>(
    root: &Path,
    context: &Context,
    question: impl Fn(&Index) -> Answered<T>,
) -> Result<T, Failure> {
    let asked = persea_history::query(root, context.cache.as_deref(), question);
    let (answer, Update { faults, .. }) = asked.map_err(Failure::of)?;
    for fault in faults.iter().take(NAMED_FAULTS) {
        eprint_line(format_args!("warning: {}", fault.what));
    }
    let more = faults.len().saturating_sub(NAMED_FAULTS);
    if more > 0 {
        let journals = if more == 1 { "journal" } else { "journals" };
        eprint_line(format_args!(
            "warning: {more} more damaged {journals}; `persea jobs list --limit 0` marks each"
        ));
    }
    Ok(answer)
}

/// The answer of the index.
pub(super) type Answered<T> = persea_history::Answered<T>;

/// A number of entries, where 0 means all.
pub(super) const fn limit(number: usize) -> usize {
    match number {
        0 => usize::MAX,
        number => number,
    }
}

/// The local date and time for people.
pub(super) fn when(nanoseconds: u64) -> String {
    match nanoseconds {
        0 => "unknown time".to_owned(),
        time => {
            let time = persea_journal::local_time(time);
            time.strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
    }
}

/// A duration for people.
#[allow(clippy::cast_precision_loss)] // shown in milliseconds
pub(super) fn seconds(nanoseconds: u64) -> String {
    format!("{:.3} s", nanoseconds as f64 / 1e9)
}

/// A commit for people: its first digits, and the branch.
pub(super) fn commit(revision: Option<&Revision>) -> String {
    let Some(revision) = revision else {
        return "-".to_owned();
    };
    let digits = revision.commit.get(..COMMIT_DIGITS);
    let digits = digits.unwrap_or(&revision.commit);
    match &revision.branch {
        Some(branch) => format!("{digits} ({branch})"),
        None => digits.to_owned(),
    }
}

/// The numbers of tests by status for people, without those that are 0.
pub(super) fn tally(tally: &Tally) -> String {
    let counts = Status::ALL.iter().filter_map(|status| {
        let count = tally.get(*status);
        (count > 0).then(|| format!("{status} {count}"))
    });
    match counts.collect::<Vec<_>>().join(", ") {
        counts if counts.is_empty() => "no test ended".to_owned(),
        counts => counts,
    }
}

/// The state of a job for people and for JSON.
pub(super) fn state(
    has_end: bool,
    interrupted_by: Option<&str>,
    fault: Option<&str>,
    directory: &Path,
) -> &'static str {
    if fault.is_some() {
        return "damaged";
    }
    match (has_end, interrupted_by) {
        (true, None) => "finished",
        (true, Some(_)) => "interrupted",
        (false, _) if persea_journal::is_in_use(directory) => "running",
        (false, _) => "killed",
    }
}

/// The members of JSON that say what a project had checked out.
pub(super) fn revision_json(revision: Option<&Revision>) -> Value {
    match revision {
        Some(Revision { commit, branch }) => json!({ "commit": commit, "branch": branch }),
        None => Value::Null,
    }
}

/// Lays rows out in columns, two spaces apart. The last column is not padded. Widths count
/// characters, after control characters were replaced.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let printable = |text: &String| persea_model::names::printable(text).into_owned();
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(printable))
        .collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |a: &str, b: &str, c: &str| [a, b, c].map(str::to_owned);
        let rows = [
            row("a", "ü\u{1b}", "x"),
            row("abc", "b", ""),
            row("", "", "long text"),
        ];
        let expected = ["a    ü\\x1b  x", "abc  b", "            long text"];
        assert_eq!(columns(&rows), expected);
    }
}

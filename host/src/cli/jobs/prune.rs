//! Owns `persea jobs prune`.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::super::output::{eprint_line, print_line};
use super::super::past::{ResultsDir, ask};
use super::super::{Context, Failure, exit};
use persea_history::Retention;
use persea_job as job;
use persea_job::UnreleasedJobs;

/// The rules, for `--help`.
const RULES: &str = "\
With both rules, a job goes only if both let it go. These stay in any case: the job that `latest` \
names, a job that runs, a job with requirements that are not released, a job whose journal is \
damaged, a directory of another user, and whatever is not the directory of a job.";

#[derive(Debug, Args)]
#[command(after_help = RULES)]
#[group(id = "rules", required = true, multiple = true, args = ["keep", "older_than"])]
pub(in crate::cli) struct Prune {
    /// Keep the newest N jobs
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    /// Keep jobs that started within this time, such as `30d`, `12h` or `1d 6h`
    #[arg(long, value_name = "TIME", value_parser = age)]
    older_than: Option<Duration>,
    /// Remove nothing, and say what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    results: ResultsDir,
}

/// Reads an age: a number of seconds, or a text such as `30d`.
fn age(text: &str) -> Result<Duration, String> {
    let mut days = 0_u64;
    let mut rest = Vec::new();
    for part in text.split_whitespace() {
        // The library reads no unit above hours: a day may have 23 of them. Here it has 24.
        let units = [("d", 1), ("w", 7)];
        let found = units.iter().find_map(|(unit, factor)| {
            let number: u64 = part.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(*factor)
        });
        match found {
            Some(number) => days = days.saturating_add(number),
            None => rest.push(part),
        }
    }
    let rest = match rest.as_slice() {
        [] if days > 0 => Some(Duration::ZERO),
        rest => persea_config::duration(&Value::from(rest.join(" "))),
    };
    let days = Duration::from_secs(days.saturating_mul(24 * 60 * 60));
    let age = rest.and_then(|rest| days.checked_add(rest));
    age.ok_or_else(|| "write a time such as `30d`, `12h`, `1d 6h`, or a number of seconds".into())
}

impl Prune {
    pub(super) fn run(self, context: &Context) -> Result<u8, Failure> {
        let root = self.results.root(context);
        let (jobs, _) = ask(&root, context, |index| index.jobs(usize::MAX))?;
        let Ok(root) = root.canonicalize() else {
            print_line(format_args!("there are no jobs in {}", root.display()));
            return Ok(exit::OK);
        };
        let rules = Retention {
            keep: self.keep,
            older_than: self.older_than,
        };
        let unreleased = UnreleasedJobs::new(&context.dirs.state);
        let reason = |job: &Path| reason_to_keep(job, &unreleased);
        let now = persea_journal::now();
        let surplus = persea_history::surplus(&root, &jobs, rules, now, reason);
        let (mut removed, mut freed, mut kept) = (0_usize, 0, 0_usize);
        let mut code = exit::OK;
        let verb = if self.dry_run {
            "would remove"
        } else {
            "removed"
        };
        for job in &surplus {
            if let Some(why) = &job.kept {
                kept += 1;
                eprint_line(format_args!("note: {} stays: {why}", job.name));
                continue;
            }
            let size = persea_history::size_of(&root.join(&job.name));
            if !self.dry_run
                && let Err(error) = persea_history::remove(&root, &job.name)
            {
                eprint_line(format_args!("error: {error}"));
                code = exit::JOB_FAIL;
                continue;
            }
            print_line(format_args!("{verb} {} ({})", job.name, mebibytes(size)));
            removed += 1;
            freed += size;
        }
        if !self.dry_run {
            persea_history::remove_leftovers(&root);
        }
        let stay = jobs.len() - removed;
        let total = if self.dry_run { "would free" } else { "freed" };
        print_line(format_args!(
            "{total} {}: {verb} {removed} of {} jobs, {stay} stay{}",
            mebibytes(freed),
            jobs.len(),
            match kept {
                0 => String::new(),
                kept => format!(" ({kept} of them against the rules)"),
            }
        ));
        Ok(code)
    }
}

#[allow(clippy::cast_precision_loss)] // shown with one digit
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Why a job must stay for the sake of what it has left on this machine.
fn reason_to_keep(directory: &Path, unreleased: &UnreleasedJobs) -> Option<String> {
    let release = || format!("`persea release {}`", directory.display());
    if unreleased.has(directory) {
        return Some(format!("it has requirements to release: {}", release()));
    }
    // What an imported job has left is on another machine.
    if persea_history::is_imported(directory) {
        return None;
    }
    match job::unreleased_of(directory) {
        Ok(left) if left.is_empty() => None,
        Ok(_) => Some(format!("it has requirements to release: {}", release())),
        Err(error) => Some(format!(
            "nobody can tell whether it has requirements to release: {error}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_a_time_with_units_or_seconds() {
        let hours = |hours: u64| Ok(Duration::from_secs(hours * 3600));
        assert_eq!(age("30d"), hours(720));
        assert_eq!(age("1d 6h"), hours(30));
        assert_eq!(age("2w 1d"), hours(360));
        assert_eq!(age("90m"), Ok(Duration::from_secs(5400)));
        assert_eq!(age("3600"), hours(1));
        for text in ["", "x", "30 fortnights", "-1d"] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}

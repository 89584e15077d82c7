//! Owns the list of failures at the end of a job: where their files are, and the command that runs
//! only them again.

use std::path::{Path, PathBuf};

use super::{beginning, shown_reason, style};
use persea_journal::TaskFinished;
use persea_model::Status;
use persea_model::names::printable;

/// The number of failures that are listed. All of them are in the reports and below
/// `test-results/by-status`.
const LISTED: usize = 100;

/// The longest reason in the list, in bytes: enough for a cause and the command that helps.
const REASON: usize = 1000;

/// A failure in the list.
#[derive(Debug)]
struct Failure {
    index: usize,
    title: String,
    status: Status,
    reason: Option<String>,
    /// The task's directory, relative to the job's, if it exists.
    directory: Option<String>,
}

/// The failures of a job.
#[derive(Debug)]
pub(super) struct Failures {
    listed: Vec<Failure>,
    count: usize,
    total: usize,
    job_dir: PathBuf,
    /// The command line that runs the failures again, except for the job's name at its end.
    again: String,
}

impl Failures {
    pub(super) fn new(again: String) -> Self {
        Self {
            listed: Vec::new(),
            count: 0,
            total: 0,
            job_dir: PathBuf::new(),
            again,
        }
    }

    pub(super) fn begin(&mut self, job_dir: &Path, total: usize) {
        self.job_dir = job_dir.to_path_buf();
        self.total = total;
    }

    pub(super) fn add(&mut self, record: &TaskFinished, has_directory: bool) {
        self.count += 1;
        if self.listed.len() < LISTED {
            self.listed.push(Failure {
                index: record.index,
                title: record.title().to_owned(),
                status: record.status,
                reason: shown_reason(record).map(str::to_owned),
                directory: has_directory.then(|| record.directory.clone()),
            });
        }
    }

    /// The list with the command below it; empty if no test has failed.
    pub(super) fn text(&self) -> String {
        if self.count == 0 {
            return String::new();
        }
        let mut text = format!("FAILURES   : {} of {}\n", self.count, self.total);
        let width = self.total.to_string().len();
        for failure in &self.listed {
            let (style, status) = (style(failure.status), failure.status);
            let (index, total) = (failure.index, self.total);
            let title = printable(&failure.title);
            text.push_str(&format!(
                " ({index:0width$}/{total}) {title}: {style}{status}{style:#}"
            ));
            if let Some(reason) = &failure.reason {
                text.push_str(": ");
                text.push_str(&beginning(reason, REASON));
            }
            text.push('\n');
            if let Some(directory) = &failure.directory {
                let path = self.job_dir.join(directory);
                text.push_str(&format!("   {}\n", printable(&path.to_string_lossy())));
            }
        }
        if self.count > self.listed.len() {
            let by_status = self.job_dir.join("test-results/by-status");
            text.push_str(&format!(
                " and {} more: {}\n",
                self.count - self.listed.len(),
                printable(&by_status.to_string_lossy())
            ));
        }
        let job = self.job_dir.file_name().unwrap_or_default();
        let job = job.to_string_lossy();
        text.push_str(&format!("RUN AGAIN  : {} {job}\n", self.again));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_reason_is_cut_with_a_mark() {
        let mut failures = Failures::new("persea run --failed".to_owned());
        failures.total = 1;
        failures.count = 1;
        let failure = |reason: String| Failure {
            index: 1,
            title: "t".to_owned(),
            status: Status::Error,
            reason: Some(reason),
            directory: None,
        };
        failures.listed = vec![failure("x".repeat(REASON))];
        assert!(
            failures
                .text()
                .contains(&format!("{}\n", "x".repeat(REASON)))
        );
        failures.listed = vec![failure("x".repeat(REASON + 1))];
        let cut = format!(": {}...\n", "x".repeat(REASON));
        assert!(failures.text().contains(&cut));
    }
}

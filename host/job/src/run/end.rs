//! Owns the end of a job: its last reports and what its directory keeps.

use std::sync::Arc;

use crate::dispatch::dispatcher::Totals;
use crate::dispatch::error::JobError;
use crate::run::Summary;
use crate::run::start::OpenedJob;
use persea_display as display;
use persea_display::Screen;

/// Ends the reports, also those of a job that has failed, and tidies the job's directory.
///
/// # Errors
/// That of the job's tasks. Reports that could not be made are in the summary, or in the log of a
/// job that has failed.
pub(super) async fn end(
    opened: OpenedJob,
    ran: Result<Totals, JobError>,
    screen: &mut Screen,
) -> Result<Summary, JobError> {
    let OpenedJob {
        directory,
        journal,
        reports,
    } = opened;
    if ran.is_err() {
        display::hurry();
    }
    // Reports end when the journal's writer is closed.
    drop(journal);
    // Runs beside the reports, because a file system may take long to remove a directory.
    let test_results = Arc::clone(directory.test_results());
    let tidying = tokio::task::spawn_blocking(move || test_results.tidy());
    let failed_reports = reports.end().await;
    let _ = tidying.await;
    let totals = match ran {
        Ok(totals) => totals,
        Err(error) => {
            for report in failed_reports {
                screen.log(format!("error: {report}"));
            }
            return Err(error);
        }
    };
    screen.log("the job has ended".to_owned());
    Ok(Summary {
        tally: totals.tally,
        directory: directory.path().to_path_buf(),
        elapsed: totals.elapsed,
        flaky: totals.flaky,
        switches: totals.switches,
        ran: totals.ran,
        warnings: totals.warnings,
        interrupted: totals.interrupted,
        is_cut_short: totals.is_cut_short,
        unreleased: totals.unreleased,
        failed_reports,
    })
}

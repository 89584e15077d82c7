//! Owns the reports of a running job: each on a thread of its own, which follows the journal. Does
//! not know how a report is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use persea_config::Config;
use persea_journal::{Journal, Reader};
use persea_plugin::Catalog;
use persea_system::threads::{self, NoThread};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::results::report::{ReportDestination, ReportError, ReportOrder, make, orders};

/// The name of a report's format, and the result of its thread.
type RunningReport = (String, oneshot::Receiver<Result<usize, ReportError>>);

/// The reports of a running job.
pub(crate) struct RunningReports {
    running: Vec<RunningReport>,
    /// The reports for which no thread could be started.
    waiting: Vec<Arc<ReportOrder>>,
    config: Config,
    job_dir: PathBuf,
}

impl RunningReports {
    /// Starts the reports that the configuration asks for. Those that an earlier host has begun in
    /// the job's directory are made anew.
    pub(crate) fn start(
        catalog: &Catalog,
        config: &Config,
        journal: &Journal,
        job_dir: &Path,
        is_taken_over: bool,
    ) -> Result<Self, ReportError> {
        let mut reports = Self {
            running: Vec::new(),
            waiting: Vec::new(),
            config: config.clone(),
            job_dir: job_dir.to_path_buf(),
        };
        let mut followed = Vec::new();
        for order in orders(catalog, config, job_dir) {
            followed.push((order, journal.follow()?));
        }
        // From here on nothing fails: a thread that runs must be waited for.
        for (order, reader) in followed {
            if let ReportDestination::InJob(path) = &order.destination
                && is_taken_over
            {
                // If it cannot be removed, it cannot be replaced, and making it fails.
                let _ = std::fs::remove_file(path);
            }
            let order = Arc::new(order);
            if reports.make(&order, reader).is_err() {
                reports.waiting.push(order);
            }
        }
        Ok(reports)
    }

    /// Makes a report on a thread of its own: it may wait as long as the job runs.
    fn make(&mut self, order: &Arc<ReportOrder>, reader: Reader) -> Result<(), NoThread> {
        let name = order.plugin.name.clone();
        let made = threads::spawn("persea-report", self.work(Arc::clone(order), reader))?;
        self.running.push((name, made));
        Ok(())
    }

    fn work(
        &self,
        order: Arc<ReportOrder>,
        reader: Reader,
    ) -> impl FnOnce() -> Result<usize, ReportError> + Send + use<> {
        let (config, job_dir) = (self.config.clone(), self.job_dir.clone());
        let runtime = Handle::current();
        move || make(&config, &order, reader, &job_dir, &runtime)
    }

    /// Waits for all reports. Those without a thread are made now, one after the other, on a thread
    /// of the runtime.
    pub(crate) async fn end(mut self) -> Vec<ReportError> {
        let mut failed = Vec::new();
        for order in std::mem::take(&mut self.waiting) {
            let name = order.plugin.name.clone();
            let made = match Reader::open(&self.job_dir) {
                Err(error) => Err(error.into()),
                Ok(reader) => {
                    let made = tokio::task::spawn_blocking(self.work(order, reader));
                    made.await.unwrap_or(Err(ReportError::Bug { name }))
                }
            };
            failed.extend(made.err());
        }
        failed.extend(end_reports(self.running).await);
        failed
    }
}

async fn end_reports(running: Vec<RunningReport>) -> Vec<ReportError> {
    let mut failed = Vec::new();
    for (name, made) in running {
        match made.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => failed.push(error),
            Err(_) => failed.push(ReportError::Bug { name }),
        }
    }
    failed
}

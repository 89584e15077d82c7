//! Owns `persea report`.

use clap::Args;

use super::output::eprint_line;
use super::{Context, Failure, exit};
use persea_job as job;
use persea_job::{ReportDestination, ReportError, ReportOrder, results_root};
use persea_journal::Reader;

#[derive(Debug, Args)]
pub(super) struct Report {
    /// The job: its directory, `latest`, or the beginning of its id
    job: String,
    /// The result format: json, xunit, tap, html, or the name of a result format plugin
    #[arg(long, value_name = "NAME")]
    format: String,
    /// Write the report to this file instead of the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<std::path::PathBuf>,
}

impl Report {
    pub(super) async fn run(self, context: Context) -> Result<u8, Failure> {
        let root = results_root(&context.config, &context.dirs);
        let directory = job::find(&root, &self.job)
            .map_err(|error| Failure::new(exit::FAIL, miette::miette!("{error}")))?;
        let catalog = context.catalog().await?;
        let Some(plugin) = catalog.format(&self.format).cloned() else {
            let known: Vec<&str> = catalog
                .formats()
                .map(|plugin| plugin.name.as_str())
                .collect();
            return Err(Failure::of(ReportError::Unknown {
                name: self.format,
                known: known.join(", "),
            }));
        };
        let order = ReportOrder {
            plugin,
            destination: self
                .output
                .map_or(ReportDestination::Stdout, ReportDestination::File),
        };
        let journal = Reader::open(&directory).map_err(Failure::of)?;
        let runtime = tokio::runtime::Handle::current();
        let config = context.config;
        let made = tokio::task::spawn_blocking(move || {
            job::make_report(&config, &order, journal, &directory, &runtime)
        });
        let unfinished = made
            .await
            .map_err(Failure::of)?
            .map_err(|error| Failure::with(exit::JOB_FAIL, error))?;
        match unfinished {
            0 => Ok(exit::OK),
            count => {
                let (tests, them) = match count {
                    1 => ("test", "it"),
                    _ => ("tests", "them"),
                };
                eprint_line(format_args!(
                    "error: {count} {tests} of this job did not finish; the report has {them} as \
                     ERROR"
                ));
                Ok(exit::JOB_FAIL)
            }
        }
    }
}

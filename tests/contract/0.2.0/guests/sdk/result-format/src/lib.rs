//! Owns a result format; the README of the corpus says what it does.
use common::{WORD, description};
use persea_plugin_sdk::artifacts;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::report_output::{self, Report};

/// The open report, and how many tests it has.
struct Corpus {
    report: Report,
    tests: u32,
}

impl Plugin for Corpus {
    fn describe() -> Description {
        description().role(Role::result_format().with("file", "results.corpus"))
    }
}

impl ResultFormat for Corpus {
    fn start_report(job: &ReportJob) -> Result<Self, Error> {
        let report = report_output::open()?;
        report.append(format!("0 tests, {}\n", WORD.get(&job.settings)).as_bytes())?;
        Ok(Self { report, tests: 0 })
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        let mut line = event.kind.clone();
        if let Some(task) = &event.task {
            self.tests += 1;
            let status = event.data.text("status").unwrap_or_default();
            line.push_str(&format!(" {task} {status}"));
            if let Ok(printed) = artifacts::of_task(task).read("stdout", 0, 100) {
                line.push_str(&format!(" {}", String::from_utf8_lossy(&printed).trim()));
            }
        }
        self.report.append(format!("{line}\n").as_bytes())
    }

    fn finish_report(&mut self, end: &JobEnd) -> Result<(), Error> {
        self.report
            .overwrite(0, self.tests.to_string().as_bytes())?;
        self.report
            .append(format!("complete: {}\n", end.complete).as_bytes())
    }
}

export!(Corpus: result_format);

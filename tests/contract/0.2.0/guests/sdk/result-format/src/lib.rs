//! Owns a result format; the README of the corpus says what it does.
use common::{WORD, description};
use persea_plugin_sdk::artifacts;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::report_output::{self, Report};

/// The open report, how many tests it has, and whether it names the files of each.
struct Corpus {
    report: Report,
    tests: u32,
    names_files: bool,
}

impl Plugin for Corpus {
    fn describe() -> Description {
        description().role(Role::result_format().with("file", "results.corpus"))
    }
}

impl ResultFormat for Corpus {
    fn start_report(job: &ReportJob) -> Result<Self, Error> {
        let report = report_output::open()?;
        let word = WORD.get(&job.settings);
        report.append(format!("0 tests, {word}\n").as_bytes())?;
        Ok(Self {
            report,
            tests: 0,
            names_files: word == "files",
        })
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
            if self.names_files {
                let files = artifacts::of_task(task).list()?.into_iter();
                let files = files.filter(|file| file.name != "debug.log");
                let files = files.map(|file| format!(" {}:{}", file.name, file.size));
                line.extend(files);
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

//! Owns a result format that writes a line for each task, and traps at the second.
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::report_output::{self, Report};

struct Hostile {
    report: Report,
    tasks: u32,
}

impl Plugin for Hostile {
    fn describe() -> Description {
        Description::new("halfway", "traps in the middle")
            .role(Role::result_format().with("file", "results.half"))
    }
}

impl ResultFormat for Hostile {
    fn start_report(_: &ReportJob) -> Result<Self, Error> {
        let report = report_output::open()?;
        Ok(Self { report, tasks: 0 })
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        if event.kind == "task-finished" {
            self.tasks += 1;
            assert!(self.tasks < 2, "no more than one");
            self.report.append(b"one\n")?;
        }
        Ok(())
    }
}

export!(Hostile: result_format);

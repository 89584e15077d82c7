//! Owns a result format that writes a line for each task, and traps at the second.
use persea_plugin_sdk::output::{self, Report};
use persea_plugin_sdk::prelude::*;

#[derive(Default)]
struct Hostile {
    report: Option<Report>,
    tasks: u32,
}

impl ResultFormat for Hostile {
    fn describe() -> Description {
        Description::new("halfway", "traps in the middle").with("file", "results.half")
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        if self.report.is_none() {
            self.report = Some(output::open()?);
        }
        if event.kind == "task-finished" {
            self.tasks += 1;
            assert!(self.tasks < 2, "no more than one");
            if let Some(report) = &self.report {
                report.write(b"one\n")?;
            }
        }
        Ok(())
    }
}

export!(result_format: Hostile);

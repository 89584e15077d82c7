//! Owns a result format that writes `results.csv`, with the first line of the output of failed
//! tests.
use persea_plugin_sdk::artifacts;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::report_output::{self, Report};

struct Csv {
    report: Report,
}

impl Plugin for Csv {
    fn describe() -> Description {
        let role = Role::result_format().with("file", "results.csv");
        Description::new("csv", "writes results.csv").role(role.with("streams", true))
    }
}

impl ResultFormat for Csv {
    fn start_report(_: &ReportJob) -> Result<Self, Error> {
        let csv = Self {
            report: report_output::open()?,
        };
        csv.line(["id", "status", "reason", "printed"])?;
        Ok(csv)
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        if event.kind != "task-finished" {
            return Ok(());
        }
        let id = event.task.as_deref().unwrap_or_default();
        let status = event.data.text("status").unwrap_or_default();
        let reason = event.data.text("reason").unwrap_or_default();
        let printed = match status {
            "FAIL" => first_line(id)?,
            _ => String::new(),
        };
        self.line([id, status, reason, &printed])
    }
}

impl Csv {
    fn line(&self, fields: [&str; 4]) -> Result<(), Error> {
        let quoted = fields.map(|field| format!("\"{}\"", field.replace('"', "\"\"")));
        self.report
            .append(format!("{}\n", quoted.join(",")).as_bytes())
    }
}

/// The first line of a test's standard output; empty where it has none.
fn first_line(task: &str) -> Result<String, Error> {
    let bytes = match artifacts::of_task(task).read("stdout", 0, 4096) {
        Err(error) if error.code == "not-found" => return Ok(String::new()),
        read => read?,
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

export!(Csv: result_format);

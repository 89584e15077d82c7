//! Owns the world `result-format`: its trait, its data, and the adapter to the generated code.

use crate::attributes::{Attributes, Value};
use crate::bindings::result_format as raw;
use crate::bindings::types;
use crate::error::Error;
use crate::export::{Adapter, start};
use std::cell::RefCell;

/// Turns a job's events into a report. It is a pure function of the journal, so that every report
/// can be made again later.
///
/// Powers: [`log`](crate::log), [`report_output`](crate::report_output),
/// [`artifacts`](crate::artifacts).
///
/// ```
/// use persea_plugin_sdk::prelude::*;
/// use persea_plugin_sdk::report_output::{self, Report};
/// use std::io::Write as _;
///
/// struct Lines(Report);
///
/// impl Plugin for Lines {
///     fn describe() -> Description {
///         let role = Role::result_format().with("file", "results.txt").with("streams", true);
///         Description::new("lines", "one line for each task").role(role)
///     }
/// }
///
/// impl ResultFormat for Lines {
///     fn start_report(_: &ReportJob) -> Result<Self, Error> {
///         report_output::open().map(Self)
///     }
///
///     fn handle(&mut self, event: &Event) -> Result<(), Error> {
///         if let ("task-finished", Some(task)) = (&*event.kind, &event.task) {
///             let status = event.data.text("status").unwrap_or("ERROR");
///             writeln!(self.0, "{status} {task}")?;
///         }
///         Ok(())
///     }
/// }
///
/// export!(Lines: result_format);
/// # let host = persea_plugin_sdk::testing::Host::new().install();
/// # let event = Event::new("task-finished").task("1-a").with("status", "PASS");
/// # Lines::start_report(&ReportJob::new())?.handle(&event)?;
/// # assert_eq!(host.report().as_deref(), Some(&b"PASS 1-a\n"[..]));
/// # Ok::<(), Error>(())
/// ```
///
/// The host understands in [`Role::more`](crate::Role::more):
///
/// * `file` (text): the report's file name in the job's directory, for instance `results.json`.
/// * `enabled` (boolean; default true): whether the file is written unless the setting
///   `job.run.result.NAME.enabled` says otherwise.
/// * `streams` (boolean; default false): the format only ever appends to its report, which may
///   therefore go to a pipe while the job runs.
/// * `events` (json, a list of texts; default `job-started`, `task-finished` and `job-finished`):
///   the kinds of events that the format receives.
pub trait ResultFormat: Sized + 'static {
    /// Starts a report. The value that it returns lives for the whole job.
    ///
    /// # Errors
    /// After an error or a panic the format is not called again, and the host reports that its
    /// report is incomplete.
    fn start_report(job: &ReportJob) -> Result<Self, Error>;

    /// Handles the next event, in the order of the journal.
    ///
    /// # Errors
    /// As for [`start_report`](Self::start_report).
    fn handle(&mut self, event: &Event) -> Result<(), Error>;

    /// Writes buffered output to the report, so that somebody who follows the report sees it. The
    /// SDK calls this after each page of events that the host has sent. Does nothing by default.
    ///
    /// # Errors
    /// As for [`start_report`](Self::start_report).
    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Completes the report: there are no more events. Does nothing by default.
    ///
    /// # Errors
    /// As for [`start_report`](Self::start_report).
    fn finish_report(&mut self, end: &JobEnd) -> Result<(), Error> {
        let _ = end;
        Ok(())
    }
}

/// One event: one line of the job's journal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// The kind of event: `job-started`, `task-finished`, `job-finished`, …. A format must ignore
    /// kinds that it does not know.
    pub kind: String,
    /// The time of the event, in nanoseconds since 1970-01-01T00:00:00Z.
    pub time: u64,
    /// The id of the task, if the event is about one.
    pub task: Option<String>,
    /// The event's data. The book's page on the journal documents it for each kind.
    pub data: Attributes,
}

impl Event {
    /// Creates an event at time 0, without a task and data, for unit tests.
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            ..Self::default()
        }
    }

    /// Sets the time, in nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn time(mut self, nanoseconds: u64) -> Self {
        self.time = nanoseconds;
        self
    }

    /// Sets the id of the task.
    #[must_use]
    pub fn task(mut self, id: impl Into<String>) -> Self {
        self.task = Some(id.into());
        self
    }

    /// Sets an entry of [`data`](Self::data).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.data.insert(name, value);
        self
    }

    /// The number of attempts before the one that a `task-finished` event is the result of. There
    /// may be one `task-retried` event more: a retry that was announced may not happen, and then
    /// the result comes from the last announced attempt.
    #[must_use]
    pub fn earlier_attempts(&self) -> usize {
        let attempts = self.data.integer("attempts").unwrap_or(1).max(1);
        usize::try_from(attempts - 1).unwrap_or_default()
    }
}

/// The job whose report is to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportJob {
    /// The plugin's settings.
    pub settings: Attributes,
    /// Further data; no names are defined yet.
    pub more: Attributes,
}

impl ReportJob {
    /// Creates a job without settings, for unit tests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of a setting.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.insert(name, value);
        self
    }
}

/// The end of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct JobEnd {
    /// Whether the job came to its end; false for one whose host was killed, and for one that still
    /// runs.
    pub complete: bool,
    /// Further data; no names are defined yet.
    pub more: Attributes,
}

impl JobEnd {
    /// Creates an end, for unit tests.
    pub fn new(complete: bool) -> Self {
        Self {
            complete,
            more: Attributes::new(),
        }
    }
}

/// A [`ResultFormat`] as a trait object.
trait Writer {
    fn handle(&mut self, event: &Event) -> Result<(), Error>;
    fn flush(&mut self) -> Result<(), Error>;
    fn finish(&mut self, end: &JobEnd) -> Result<(), Error>;
}

impl<F: ResultFormat> Writer for F {
    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        ResultFormat::handle(self, event)
    }

    fn flush(&mut self) -> Result<(), Error> {
        ResultFormat::flush(self)
    }

    fn finish(&mut self, end: &JobEnd) -> Result<(), Error> {
        ResultFormat::finish_report(self, end)
    }
}

thread_local! {
    /// The value of the format that this component exports, from `start-report` on.
    static FORMAT: RefCell<Option<Box<dyn Writer>>> = const { RefCell::new(None) };
}

/// Calls a function with the format's value.
fn with_format(
    call: impl FnOnce(&mut dyn Writer) -> Result<(), Error>,
) -> Result<types::Done, types::Error> {
    FORMAT.with_borrow_mut(|format| match format {
        Some(format) => {
            call(&mut **format)?;
            Ok(types::Done { more: Vec::new() })
        }
        None => Err(Error::new("invalid", "the report has not started").into()),
    })
}

impl<P: ResultFormat> raw::Guest for Adapter<P> {
    fn start_report(job: raw::Job) -> Result<types::Done, types::Error> {
        start();
        let format = P::start_report(&ReportJob {
            settings: Attributes(job.settings),
            more: Attributes(job.more),
        })?;
        FORMAT.set(Some(Box::new(format)));
        Ok(types::Done { more: Vec::new() })
    }

    fn handle(page: raw::EventPage) -> Result<types::Done, types::Error> {
        with_format(|format| {
            for event in page.events {
                format.handle(&Event {
                    kind: event.kind,
                    time: event.time,
                    task: event.task,
                    data: Attributes(event.data),
                })?;
            }
            format.flush()
        })
    }

    fn finish_report(end: raw::JobEnd) -> Result<types::Done, types::Error> {
        let end = JobEnd {
            complete: end.complete,
            more: Attributes(end.more),
        };
        with_format(|format| format.finish(&end))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::report_output::{self, Report};
    use crate::testing::Host;
    use raw::Guest as _;

    struct Kinds(Report);

    impl ResultFormat for Kinds {
        fn start_report(job: &ReportJob) -> Result<Self, Error> {
            let report = report_output::open()?;
            report.append(job.settings.text("head").unwrap_or("no head").as_bytes())?;
            Ok(Self(report))
        }

        fn handle(&mut self, event: &Event) -> Result<(), Error> {
            self.0.append(event.kind.as_bytes())
        }

        fn flush(&mut self) -> Result<(), Error> {
            self.0.append(b";")
        }

        fn finish_report(&mut self, end: &JobEnd) -> Result<(), Error> {
            self.0.append(if end.complete { b"end" } else { b"cut" })
        }
    }

    fn page(kinds: &[&str]) -> raw::EventPage {
        let event = |kind: &&str| raw::Event {
            kind: (*kind).to_owned(),
            time: 0,
            task: None,
            data: Vec::new(),
        };
        let events = kinds.iter().map(event).collect();
        raw::EventPage {
            events,
            more: Vec::new(),
        }
    }

    #[test]
    fn attempt_of_the_result_is_not_an_earlier_one() {
        let earlier = |attempts: i64| {
            let event = Event::new("task-finished").with("attempts", attempts);
            event.earlier_attempts()
        };
        assert_eq!(Event::new("task-finished").earlier_attempts(), 0);
        assert_eq!([-1, 0, 1, 2, 3].map(earlier), [0, 0, 0, 1, 2]);
    }

    #[test]
    fn format_is_flushed_after_each_page_and_finished_once() {
        type Exported = Adapter<Kinds>;
        let host = Host::new().install();
        assert_eq!(Exported::handle(page(&["a"])).unwrap_err().code, "invalid");
        let settings = Attributes::new().with("head", "<").0;
        Exported::start_report(raw::Job {
            settings,
            more: Vec::new(),
        })
        .unwrap();
        Exported::handle(page(&["a", "b"])).unwrap();
        Exported::handle(page(&["c"])).unwrap();
        Exported::finish_report(raw::JobEnd {
            complete: true,
            more: Vec::new(),
        })
        .unwrap();
        assert_eq!(host.report().unwrap(), b"<ab;c;end");
    }
}

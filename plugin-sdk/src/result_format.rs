//! Owns the world `result-format`: its trait, its data, and the adapter to the generated code.

use crate::attributes::{Attributes, Value};
use crate::bindings::result_format as raw;
use crate::error::Error;
use crate::export::{Adapter, Exported, start};
use crate::model::Description;
use std::cell::RefCell;

/// Turns a job's events into a report. It is a pure function of the journal, so that every report
/// can be made again later.
///
/// Powers: [`log`](crate::log), [`output`](crate::output).
///
/// ```
/// use persea_plugin_sdk::output::{self, Report};
/// use persea_plugin_sdk::prelude::*;
/// use std::io::Write as _;
///
/// #[derive(Default)]
/// struct Lines(Option<Report>);
///
/// impl ResultFormat for Lines {
///     fn describe() -> Description {
///         Description::new("lines", "one line for each task")
///             .with("file", "results.txt")
///             .with("streams", true)
///     }
///
///     fn handle(&mut self, event: &Event) -> Result<(), Error> {
///         let report = match &mut self.0 {
///             Some(report) => report,
///             closed => closed.insert(output::open()?),
///         };
///         if let ("task-finished", Some(task)) = (&*event.kind, &event.task) {
///             let status = event.data.text("status").unwrap_or("ERROR");
///             writeln!(report, "{status} {task}")?;
///         }
///         Ok(())
///     }
/// }
///
/// export!(result_format: Lines);
/// # let host = persea_plugin_sdk::testing::Host::new().install();
/// # let event = Event::new("task-finished").task("1-a").with("status", "PASS");
/// # Lines::default().handle(&event)?;
/// # assert_eq!(host.report().as_deref(), Some(&b"PASS 1-a\n"[..]));
/// # Ok::<(), Error>(())
/// ```
///
/// The host understands in [`Description::more`]:
///
/// * `file` (text): the report's file name in the job's directory, for instance `results.json`.
/// * `streams` (boolean; default false): the format only ever appends to its report, which may
///   therefore go to a pipe while the job runs.
/// * `events` (json, a list of texts; default `job-started`, `task-finished` and `job-finished`):
///   the kinds of events that the format receives.
pub trait ResultFormat: Default {
    /// Describes the plugin. The host calls this in an instance of its own when it loads the
    /// plugin. It must be pure and quick (10 s by default), and may use no power but
    /// [`log`](crate::log).
    fn describe() -> Description;

    /// Handles the next event, in the order of the journal. One value, created by [`Default`],
    /// lives for the whole job.
    ///
    /// # Errors
    /// After an error or a panic the format receives no more events, and the host reports that its
    /// report is incomplete.
    fn handle(&mut self, event: &Event) -> Result<(), Error>;

    /// Writes buffered output to the report. The host calls this when the format has received all
    /// events that exist so far, so that somebody who follows the report sees them. Does nothing by
    /// default.
    ///
    /// # Errors
    /// As for [`handle`](Self::handle).
    fn flush(&mut self) -> Result<(), Error> {
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
}

/// The plugin's value behind a type that a thread-local can have. None instead of an event means
/// `flush`.
type Handler = Box<dyn FnMut(Option<&Event>) -> Result<(), Error>>;

thread_local! {
    /// The value of the format that this component exports.
    static FORMAT: RefCell<Option<Handler>> = const { RefCell::new(None) };
}

impl<E: Exported> raw::Guest for Adapter<E>
where
    E::Plugin: ResultFormat + 'static,
{
    fn handle(events: Vec<raw::Event>) -> Result<(), raw::Error> {
        start();
        FORMAT.with_borrow_mut(|format| {
            let handler = format.get_or_insert_with(|| {
                let mut format = E::Plugin::default();
                Box::new(move |event| match event {
                    Some(event) => format.handle(event),
                    None => format.flush(),
                })
            });
            for event in events {
                handler(Some(&Event {
                    kind: event.kind,
                    time: event.time,
                    task: event.task,
                    data: Attributes(event.data),
                }))?;
            }
            Ok(handler(None)?)
        })
    }
}

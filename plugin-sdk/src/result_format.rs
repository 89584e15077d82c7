//! The world `result-format`: its trait, its data, and the adapter between them and the generated code.

use crate::attributes::{Attributes, Value};
use crate::bindings::result_format as raw;
use crate::error::Error;
use crate::export::{Adapter, Exported, start};
use crate::model::Description;
use std::cell::RefCell;

/// Turns a job's events into a report.
///
/// Powers: [`log`](crate::log), [`output`](crate::output).
///
/// The host understands in [`Description::more`]: `file` (text): the report's name in the job's directory, as
/// `results.json`; `streams` (boolean, false without it): it only ever adds at the end; `events` (json, a list of
/// strings): the kinds of events that it wants to be given.
pub trait ResultFormat: Default {
    /// Says what the plugin is. Pure and quick: no power may be used but [`log`](crate::log).
    fn describe() -> Description;

    /// Takes the next event, in the journal's order. One value, made by [`Default`], lives for the whole job.
    ///
    /// # Errors
    /// The format is given no more events, and its report is said to be incomplete.
    fn handle(&mut self, event: &Event) -> Result<(), Error>;

    /// Called when it has been given all events that there are by now: a format that gathers what it writes puts it into
    /// its report here, so that whoever reads along sees it.
    ///
    /// # Errors
    /// As for `handle`.
    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// One line of the job's journal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// What happened: `job-started`, `task-finished`, `job-finished`, …. Kinds that are not known are to be ignored.
    pub kind: String,
    /// When, in nanoseconds since 1970-01-01T00:00:00Z.
    pub time: u64,
    /// The id of the task that it's about.
    pub task: Option<String>,
    /// What is known of it.
    pub data: Attributes,
}

impl Event {
    /// An event as a test of a format makes it, at the beginning of 1970.
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            ..Self::default()
        }
    }

    /// Sets when it happened.
    #[must_use]
    pub fn time(mut self, nanoseconds: u64) -> Self {
        self.time = nanoseconds;
        self
    }

    /// Sets the task that it's about.
    #[must_use]
    pub fn task(mut self, id: impl Into<String>) -> Self {
        self.task = Some(id.into());
        self
    }

    /// Sets a name of what is known of it.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.data.insert(name, value);
        self
    }
}

/// The author's value, whatever its type; none asks it to flush.
type Handler = Box<dyn FnMut(Option<&Event>) -> Result<(), Error>>;

thread_local! {
    /// The one value of the one format that this component exports.
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

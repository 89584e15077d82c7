//! Owns lines of a journal that are made before the journal takes them, by whoever reports the
//! events. Does not know about the file.

use serde::Serialize as _;

use super::{Event, WrittenLine};

/// Events as lines, ready to be appended to a journal. Lines take less memory than their events,
/// and the owner of the journal spends no time on encoding them.
#[derive(Debug, Default)]
pub struct EventLines(pub(super) Vec<u8>);

impl EventLines {
    /// Adds an event that happened at `time`, in nanoseconds of Unix time; `task` is the id of the
    /// task that the event is about.
    ///
    /// # Errors
    /// The event cannot be written as JSON. Its line is left out.
    pub fn push(
        &mut self,
        time: u64,
        task: Option<&str>,
        event: &Event<'_>,
    ) -> serde_json::Result<()> {
        let before = self.0.len();
        let line = WrittenLine {
            event: event.kind().name(),
            time,
            task,
            data: event,
        };
        let written = line.serialize(&mut serde_json::Serializer::new(&mut self.0));
        match written {
            Ok(()) => self.0.push(b'\n'),
            Err(_) => self.0.truncate(before),
        }
        written
    }

    /// The size of all lines, in bytes.
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

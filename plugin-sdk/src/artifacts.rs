//! The powers `artifacts` and `artifact-list`: files in the results directory of a task.
//!
//! For runners, listers and requirement resolvers it is the task or the requirement of the current
//! call: the functions of this module. A result format may read the files of any task: [`of_task`].
//!
//! The name of a file is one path component of at most 255 bytes that does not begin with a dot and
//! has no control characters. Any other name fails with `invalid`.

use crate::attributes::Attributes;
use crate::backend;
use crate::error::Error;
use crate::excerpt;

pub use crate::excerpt::Excerpt;

/// One file.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact {
    /// The file's name.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
    /// Further data; no names are defined yet.
    pub more: Attributes,
}

/// A part of a list of files.
#[derive(Clone, Debug, PartialEq)]
pub struct ArtifactPage {
    /// At most 4,096 files.
    pub entries: Vec<Artifact>,
    /// Where the next page starts; none after the last one.
    pub cursor: Option<String>,
}

/// Appends bytes to a file, and creates the file if necessary. The bytes count to the limit of the
/// task's [messages](crate::messages).
///
/// # Errors
/// `limit`, `invalid`, `not-permitted`, `io`.
pub fn write(name: &str, bytes: &[u8]) -> Result<(), Error> {
    backend::artifact_write(name, bytes)
}

/// Reads up to `length` bytes (at most 1 MiB) of a file, from `offset`. The result is shorter only
/// at the end of the file. The output of a process is complete once the process has ended.
///
/// # Errors
/// `not-found`, `invalid`, `not-permitted`, `io`.
pub fn read(name: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    backend::artifact_read(None, name, offset, length)
}

/// Returns the size of a file, in bytes.
///
/// # Errors
/// `not-found`, `invalid`, `not-permitted`, `io`.
pub fn size(name: &str) -> Result<u64, Error> {
    backend::artifact_size(None, name)
}

/// Lists the files, sorted by name.
///
/// # Errors
/// `not-permitted`, `io`.
pub fn list() -> Result<Vec<Artifact>, Error> {
    list_all(None)
}

/// Lists a part of the files, from a cursor or from the first one.
///
/// # Errors
/// `invalid` for a cursor that no page had, `not-permitted`, `io`.
pub fn list_page(cursor: Option<&str>) -> Result<ArtifactPage, Error> {
    backend::list_artifacts(None, cursor)
}

/// The files of a task of the job that a result format reports. `id` is the task's id.
///
/// ```
/// use persea_plugin_sdk::artifacts;
/// use persea_plugin_sdk::testing::{Artifacts, Host};
///
/// let files = Artifacts::new().task_file("1-a", "stderr", "oops");
/// let _host = Host::new().artifacts(files).install();
/// assert_eq!(artifacts::of_task("1-a").read("stderr", 1, 9)?, b"ops");
/// # Ok::<(), persea_plugin_sdk::Error>(())
/// ```
pub fn of_task(id: &str) -> TaskArtifacts<'_> {
    TaskArtifacts(id)
}

/// The files of a task: see [`of_task`].
#[derive(Clone, Copy, Debug)]
pub struct TaskArtifacts<'a>(&'a str);

impl TaskArtifacts<'_> {
    /// Reads a file, as [`read`] does.
    ///
    /// # Errors
    /// `not-found`, `invalid`, `not-permitted`, `io`.
    pub fn read(&self, name: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        backend::artifact_read(Some(self.0), name, offset, length)
    }

    /// Reads a file as text for a report. A file of more than `limit` bytes is shortened to its
    /// beginning and its end, at most half the limit each, cut between characters.
    ///
    /// # Errors
    /// `not-found`, `invalid`, `not-permitted`, `io`.
    pub fn excerpt(&self, name: &str, limit: u64) -> Result<Excerpt, Error> {
        excerpt::read(self, name, limit)
    }

    /// Returns the size of a file, in bytes.
    ///
    /// # Errors
    /// `not-found`, `invalid`, `not-permitted`, `io`.
    pub fn size(&self, name: &str) -> Result<u64, Error> {
        backend::artifact_size(Some(self.0), name)
    }

    /// Lists the files, sorted by name.
    ///
    /// # Errors
    /// `not-found` for an unknown task, `not-permitted`, `io`.
    pub fn list(&self) -> Result<Vec<Artifact>, Error> {
        list_all(Some(self.0))
    }

    /// Lists a part of the files, from a cursor or from the first one.
    ///
    /// # Errors
    /// `not-found` for an unknown task, `invalid` for a cursor that no page had, `not-permitted`,
    /// `io`.
    pub fn list_page(&self, cursor: Option<&str>) -> Result<ArtifactPage, Error> {
        backend::list_artifacts(Some(self.0), cursor)
    }
}

fn list_all(task: Option<&str>) -> Result<Vec<Artifact>, Error> {
    let mut entries = Vec::new();
    let mut cursor = None;
    loop {
        let page = backend::list_artifacts(task, cursor.as_deref())?;
        entries.extend(page.entries);
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(entries);
        }
    }
}

//! Owns what exists before a plugin is called: the project's files, the files of tasks, and the
//! destination of the report.

use super::state::normal;
use std::collections::BTreeMap;

/// The files of a project, in memory. Adding a file adds its parent directories.
#[derive(Clone, Debug, Default)]
pub struct Files(pub(super) BTreeMap<String, Entry>);

#[derive(Clone, Debug)]
pub(crate) enum Entry {
    File { bytes: Vec<u8>, executable: bool },
    Directory,
    Other,
}

impl Files {
    /// Creates a project without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file.
    #[must_use]
    pub fn file(self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        self.add(
            path.into(),
            Entry::File {
                bytes,
                executable: false,
            },
        )
    }

    /// Adds an executable file.
    #[must_use]
    pub fn executable(self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        self.add(
            path.into(),
            Entry::File {
                bytes,
                executable: true,
            },
        )
    }

    /// Adds an empty directory.
    #[must_use]
    pub fn directory(self, path: impl Into<String>) -> Self {
        self.add(path.into(), Entry::Directory)
    }

    /// Adds a pipe, a socket or a link to nothing.
    #[must_use]
    pub fn other(self, path: impl Into<String>) -> Self {
        self.add(path.into(), Entry::Other)
    }

    fn add(mut self, path: String, entry: Entry) -> Self {
        for (end, _) in path.match_indices('/').filter(|(end, _)| *end > 0) {
            let parent = path.get(..end).unwrap_or_default();
            self.0.entry(normal(parent)).or_insert(Entry::Directory);
        }
        self.0.insert(normal(&path), entry);
        self
    }
}

/// Files in the results directories of tasks, before the plugin is called.
#[derive(Clone, Debug, Default)]
pub struct Artifacts(pub(super) BTreeMap<(Option<String>, String), Vec<u8>>);

impl Artifacts {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file of a runner's current task.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.insert((None, name.into()), bytes.into());
        self
    }

    /// Adds a file of a task in the job that a result format reports. `task` is the task's id.
    #[must_use]
    pub fn task_file(
        mut self,
        task: impl Into<String>,
        name: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
    ) -> Self {
        self.0
            .insert((Some(task.into()), name.into()), bytes.into());
        self
    }
}

/// The destination of a result format's report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reports {
    pub(super) stream: bool,
}

impl Reports {
    /// A file. The report can be overwritten.
    pub fn file() -> Self {
        Self { stream: false }
    }

    /// A stream. The report can only be appended to.
    pub fn stream() -> Self {
        Self { stream: true }
    }
}

//! Fakes of the host for unit tests. In a native build they implement the powers, each for the
//! thread that installs it.
//!
//! ```
//! use persea_plugin_sdk::process::{self, Command, Output};
//! use persea_plugin_sdk::testing::{Answer, Files, Host, Processes};
//! use persea_plugin_sdk::workspace;
//!
//! let host = Host::new()
//!     .files(Files::new().file("src/a.c", "int main;").executable("run.sh", "#!/bin/sh\n"))
//!     .processes(Processes::new(|command| match command.program.as_str() {
//!         "cc" => Answer::code(1).stderr("a.c: no\n"),
//!         _ => Answer::missing(),
//!     }))
//!     .install();
//! assert!(workspace::stat("run.sh")?.executable);
//! let exit = process::run(&Command::new("cc").stderr(Output::file("stderr")))?;
//! assert_eq!(exit.code, Some(1));
//! assert_eq!(host.artifact("stderr").as_deref(), Some(&b"a.c: no\n"[..]));
//! assert_eq!(host.commands().len(), 1);
//! # Ok::<(), persea_plugin_sdk::Error>(())
//! ```
//!
//! The fakes fail with the same error codes as the host, and have no limits of time or size. A
//! power without a fake behaves as if it were empty: there are no files, and no program is found.

mod processes;
pub(crate) mod state;
#[cfg(test)]
mod tests;

pub use processes::{Answer, Processes};

use crate::error::Error;
use crate::fetch::Source;
use crate::log::Level;
use crate::process::{self, Command};
use crate::program_runner::ProgramRunner;
use crate::runner::{Outcome, Task};
use state::{STATE, State};
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// The files of a project, in memory. Adding a file adds its parent directories.
#[derive(Clone, Debug, Default)]
pub struct Files(BTreeMap<String, Entry>);

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
            self.0
                .entry(state::normal(parent))
                .or_insert(Entry::Directory);
        }
        self.0.insert(state::normal(&path), entry);
        self
    }
}

/// Files in the results directories of tasks, before the plugin is called.
#[derive(Clone, Debug, Default)]
pub struct Artifacts(BTreeMap<(Option<String>, String), Vec<u8>>);

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
    stream: bool,
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

/// A set of fakes, to be configured and installed.
#[derive(Debug, Default)]
#[must_use = "the fakes have no effect before `install`"]
pub struct Host {
    state: State,
}

impl Host {
    /// Creates a host without files and programs, whose report is a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the project's files.
    pub fn files(mut self, files: Files) -> Self {
        self.state.files = files.0;
        self
    }

    /// Sets the processes: what each command prints, and how it ends.
    pub fn processes(mut self, processes: Processes) -> Self {
        self.state.processes = Some(processes);
        self
    }

    /// Sets the files in the tasks' results directories.
    pub fn artifacts(mut self, artifacts: Artifacts) -> Self {
        self.state.artifacts = artifacts.0;
        self
    }

    /// Adds a download at a location. Checksums are not compared.
    pub fn download(mut self, location: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.state.downloads.insert(location.into(), bytes.into());
        self
    }

    /// Sets the tasks of a batch.
    pub fn tasks(mut self, tasks: impl IntoIterator<Item = Task>) -> Self {
        self.state.tasks = tasks.into_iter().collect();
        self
    }

    /// Sets the destination of the report.
    pub fn reports(mut self, reports: Reports) -> Self {
        self.state.stream = reports.stream;
        self
    }

    /// Installs the fakes for this thread, until the returned value is dropped. Fakes that were
    /// installed before are then in effect again.
    pub fn install(self) -> Installed {
        crate::facade::install();
        let before = STATE.replace(Some(self.state));
        Installed {
            before,
            thread: PhantomData,
        }
    }
}

/// Installed fakes, which have recorded what the plugin did.
#[derive(Debug)]
#[must_use = "the fakes are removed when this is dropped"]
pub struct Installed {
    before: Option<State>,
    thread: PhantomData<*const ()>,
}

impl Installed {
    /// The log messages, in order.
    pub fn log(&self) -> Vec<(Level, String)> {
        state::with(|state| state.log.clone())
    }

    /// The messages about progress, in order.
    pub fn progress(&self) -> Vec<String> {
        state::with(|state| state.progress.clone())
    }

    /// The outcomes of the tasks of a batch, in order.
    pub fn outcomes(&self) -> Vec<Result<Outcome, Error>> {
        state::with(|state| state.outcomes.clone())
    }

    /// Runs a task with a program runner: runs the first of its commands whose program exists, as
    /// the host would, with the faked processes.
    ///
    /// # Errors
    /// The errors of the runner.
    pub fn run_program<P: ProgramRunner>(&self, task: &Task) -> Result<Outcome, Error> {
        let mut end = Err(Error::new("invalid", "the runner returned no command"));
        for command in P::commands(task)? {
            end = process::run(&command);
            match &end {
                Err(error) if error.code == "not-found" => {}
                _ => break,
            }
        }
        P::judge(task, end)
    }

    /// The task's whiteboard.
    pub fn whiteboard(&self) -> String {
        state::with(|state| state.whiteboard.clone())
    }

    /// The commands that were started, in order, including those that failed to start.
    pub fn commands(&self) -> Vec<Command> {
        state::with(|state| state.commands.clone())
    }

    /// The bytes that were written to a process's standard input, and whether it was closed.
    /// `process` counts the started processes from 0.
    pub fn stdin(&self, process: usize) -> Option<(Vec<u8>, bool)> {
        state::with(|state| {
            state
                .children
                .get(process)
                .map(|child| (child.stdin.clone(), child.closed))
        })
    }

    /// The signals that were sent to a process. `process` counts the started processes from 0.
    pub fn signals(&self, process: usize) -> Vec<i32> {
        state::with(|state| {
            state
                .children
                .get(process)
                .map(|child| child.signals.clone())
        })
        .unwrap_or_default()
    }

    /// The content of a file of the current task.
    pub fn artifact(&self, name: &str) -> Option<Vec<u8>> {
        state::with(|state| state.artifacts.get(&(None, name.to_owned())).cloned())
    }

    /// The sources that the plugin tried to download, in order.
    pub fn fetched(&self) -> Vec<Source> {
        state::with(|state| state.fetched.clone())
    }

    /// The bytes that are stored in the cache under a name.
    pub fn cached(&self, name: &str) -> Option<Vec<u8>> {
        state::with(|state| state.cache.get(name).cloned())
    }

    /// The report; none if the plugin did not open it.
    pub fn report(&self) -> Option<Vec<u8>> {
        state::with(|state| state.report.clone())
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        STATE.set(self.before.take());
    }
}

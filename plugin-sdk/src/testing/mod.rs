//! A host for unit tests: fakes that answer the powers natively, in the thread that installs them.
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
//! The fakes answer with the codes that the host has; they know no limits of time or size. What no fake was given for
//! answers as if it were empty: no files, no program that can be found.

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

/// The files of a project, in memory. The directories above what is added are there too.
#[derive(Clone, Debug, Default)]
pub struct Files(BTreeMap<String, Entry>);

#[derive(Clone, Debug)]
pub(crate) enum Entry {
    File { bytes: Vec<u8>, executable: bool },
    Directory,
    Other,
}

impl Files {
    /// An empty project.
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

    /// Adds a file that may be run.
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

    /// Adds a pipe, a socket, or a link that leads nowhere.
    #[must_use]
    pub fn other(self, path: impl Into<String>) -> Self {
        self.add(path.into(), Entry::Other)
    }

    fn add(mut self, path: String, entry: Entry) -> Self {
        for (end, _) in path.match_indices('/').filter(|(end, _)| *end > 0) {
            let above = path.get(..end).unwrap_or_default();
            self.0
                .entry(state::normal(above))
                .or_insert(Entry::Directory);
        }
        self.0.insert(state::normal(&path), entry);
        self
    }
}

/// Files that are in tasks' results directories before the plugin is called.
#[derive(Clone, Debug, Default)]
pub struct Artifacts(BTreeMap<(Option<String>, String), Vec<u8>>);

impl Artifacts {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file of the task that a runner runs.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.insert((None, name.into()), bytes.into());
        self
    }

    /// Adds a file of a task of the job that a result format reports.
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

/// Where a result format's report goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reports {
    stream: bool,
}

impl Reports {
    /// Into a file.
    pub fn file() -> Self {
        Self { stream: false }
    }

    /// Into a pipe: what is written can't be written over.
    pub fn stream() -> Self {
        Self { stream: true }
    }
}

/// Puts the fakes together.
#[derive(Debug, Default)]
#[must_use = "nothing is faked before `install`"]
pub struct Host {
    state: State,
}

impl Host {
    /// A host without files, without programs, whose report is a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the project's files.
    pub fn files(mut self, files: Files) -> Self {
        self.state.files = files.0;
        self
    }

    /// Sets how processes end.
    pub fn processes(mut self, processes: Processes) -> Self {
        self.state.processes = Some(processes);
        self
    }

    /// Sets which files tasks have left.
    pub fn artifacts(mut self, artifacts: Artifacts) -> Self {
        self.state.artifacts = artifacts.0;
        self
    }

    /// Adds what can be fetched from a location. Its checksum is not looked at.
    pub fn download(mut self, location: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.state.downloads.insert(location.into(), bytes.into());
        self
    }

    /// Sets the tasks of a batch.
    pub fn tasks(mut self, tasks: impl IntoIterator<Item = Task>) -> Self {
        self.state.tasks = tasks.into_iter().collect();
        self
    }

    /// Sets where the report goes.
    pub fn reports(mut self, reports: Reports) -> Self {
        self.state.stream = reports.stream;
        self
    }

    /// Answers the powers of this thread from now on, until what is returned is dropped.
    pub fn install(self) -> Installed {
        crate::facade::install();
        let before = STATE.replace(Some(self.state));
        Installed {
            before,
            thread: PhantomData,
        }
    }
}

/// The installed fakes: what the plugin did can be asked of them.
#[derive(Debug)]
#[must_use = "the fakes are removed when this is dropped"]
pub struct Installed {
    before: Option<State>,
    thread: PhantomData<*const ()>,
}

impl Installed {
    /// What was logged.
    pub fn log(&self) -> Vec<(Level, String)> {
        state::with(|state| state.log.clone())
    }

    /// Messages about progress.
    pub fn progress(&self) -> Vec<String> {
        state::with(|state| state.progress.clone())
    }

    /// How the tasks of a batch ended, in order.
    pub fn outcomes(&self) -> Vec<Result<Outcome, Error>> {
        state::with(|state| state.outcomes.clone())
    }

    /// What a program runner makes of a task: its commands are started as the host would, by the fakes.
    ///
    /// # Errors
    /// Those of the runner.
    pub fn run_program<P: ProgramRunner>(&self, task: &Task) -> Result<Outcome, Error> {
        let mut end = Err(Error::new("invalid", "there is no command"));
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

    /// What was started, in order, also what failed to start.
    pub fn commands(&self) -> Vec<Command> {
        state::with(|state| state.commands.clone())
    }

    /// What was written to the standard input of a started process, and whether it was closed. The first process is 0.
    pub fn stdin(&self, process: usize) -> Option<(Vec<u8>, bool)> {
        state::with(|state| {
            state
                .children
                .get(process)
                .map(|child| (child.stdin.clone(), child.closed))
        })
    }

    /// The signals that a started process was sent. The first process is 0.
    pub fn signals(&self, process: usize) -> Vec<i32> {
        state::with(|state| {
            state
                .children
                .get(process)
                .map(|child| child.signals.clone())
        })
        .unwrap_or_default()
    }

    /// A file of the task.
    pub fn artifact(&self, name: &str) -> Option<Vec<u8>> {
        state::with(|state| state.artifacts.get(&(None, name.to_owned())).cloned())
    }

    /// What was asked to be fetched, in order.
    pub fn fetched(&self) -> Vec<Source> {
        state::with(|state| state.fetched.clone())
    }

    /// What the plugin has in its cache under a name.
    pub fn cached(&self, name: &str) -> Option<Vec<u8>> {
        state::with(|state| state.cache.get(name).cloned())
    }

    /// The report, or none where it was not opened.
    pub fn report(&self) -> Option<Vec<u8>> {
        state::with(|state| state.report.clone())
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        STATE.set(self.before.take());
    }
}

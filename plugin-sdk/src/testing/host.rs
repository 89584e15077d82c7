//! Owns the configuration of the fakes, and what they recorded.

use super::files::{Artifacts, Files, Reports};
use super::limits::{FUNCTIONS, Fault, Limits};
use super::processes::Processes;
use super::state::{self, STATE, State};
use crate::cases::Case;
use crate::description::Description;
use crate::error::Error;
use crate::export::role_mistake;
use crate::fetch::Source;
use crate::log::Level;
use crate::model::Runnable;
use crate::process::{self, Command};
use crate::program_runner::ProgramRunner;
use crate::runner::{Outcome, Task};
use crate::varianter::Variation;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::time::Duration;

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

    /// Adds a download at a location. Of checksums only the form is checked, and none is needed.
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

    /// Sets when the time of the call is up, on the clock of the fakes. From then on the task is
    /// interrupted: its processes have ended by SIGTERM, and polls and pages fail.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.state.deadline = Some(deadline);
        self
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.state.limits = limits;
        self
    }

    /// Makes every call of a function fail with an error. `function` is the name in the contract:
    /// `process.start`, `process.child.read`, `cases.finish`. Writing to the log and reading the
    /// clock cannot fail.
    ///
    /// ```
    /// use persea_plugin_sdk::testing::Host;
    /// use persea_plugin_sdk::{Error, messages};
    ///
    /// let _host = Host::new().fault("messages.progress", Error::new("limit", "full")).install();
    /// assert_eq!(messages::progress("half").unwrap_err().code, "limit");
    /// ```
    ///
    /// # Panics
    /// If no power has such a function.
    pub fn fault(self, function: &str, error: Error) -> Self {
        self.fault_after(function, 0, error)
    }

    /// Makes a function work for some calls, and all later ones fail with an error, as
    /// [`fault`](Self::fault) does.
    ///
    /// # Panics
    /// If no power has such a function.
    #[expect(clippy::panic, reason = "a bug in a test")]
    pub fn fault_after(mut self, function: &str, calls: u64, error: Error) -> Self {
        let Some(known) = FUNCTIONS.iter().find(|known| **known == function) else {
            panic!("no power has a function {function} that can fail");
        };
        self.state.faults.insert(known, Fault { calls, error });
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

    /// The cases that the plugin started, in order.
    pub fn started_cases(&self) -> Vec<Vec<String>> {
        state::with(|state| state.started_cases.clone())
    }

    /// The cases that the plugin finished, in order.
    pub fn cases(&self) -> Vec<Case> {
        state::with(|state| state.cases.clone())
    }

    /// The runnables that the plugin added with pages, in order.
    pub fn runnables(&self) -> Vec<Runnable> {
        state::with(|state| state.runnables.clone())
    }

    /// The variations that the plugin added with pages, in order.
    pub fn variations(&self) -> Vec<Variation> {
        state::with(|state| state.variations.clone())
    }

    /// The number of items in each page that the plugin added, in order.
    pub fn pages(&self) -> Vec<usize> {
        state::with(|state| state.pages.clone())
    }

    /// Whether a limit refused a page. The host then drops the whole answer, whatever the plugin
    /// returns.
    pub fn is_page_refused(&self) -> bool {
        state::with(|state| state.page_refused)
    }

    /// The time on the clock of the fakes.
    pub fn now(&self) -> Duration {
        state::with(|state| state.now)
    }

    /// Moves the clock of the fakes on.
    pub fn advance(&self, time: Duration) {
        state::with(|state| state.now = state.now.saturating_add(time));
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

    /// The bytes that a process got as standard input, and whether it was closed.
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

/// Checks a description as the host would: the form of its name, and that it has exactly these
/// roles. The unit test that [`export!`](crate::export) makes calls this.
///
/// # Panics
/// If the description has a mistake.
#[expect(clippy::panic, reason = "the result of a unit test")]
pub fn check_description(description: &Description, roles: &[&str]) {
    let name = &description.name;
    let is_valid = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_valid) {
        panic!(
            "{name:?} is no name of a plugin: at most 64 lower-case letters, digits and hyphens"
        );
    }
    if let Some(mistake) = role_mistake(description, roles) {
        panic!("{mistake}");
    }
    let mut keys = BTreeSet::new();
    for setting in &description.settings {
        if !keys.insert(&setting.key) {
            panic!("the description has the setting {} twice", setting.key);
        }
        if setting.summary.is_empty() {
            panic!("the setting {} has no summary", setting.key);
        }
    }
}

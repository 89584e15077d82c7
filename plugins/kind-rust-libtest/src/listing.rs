//! Owns the list of tests: asks each test binary for its tests, several at once, and turns the
//! answers into runnables. A binary that does not answer costs only its own tests: it becomes one
//! runnable, which ends ERROR.

use std::collections::HashSet;
use std::time::Duration;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Child, Command, Output};

use crate::cargo::{self, Binary};
use crate::harness::own_harnesses;
use crate::program::{self, Harness};
use crate::variables::directory_of;
use crate::{KIND, LIST_TIMEOUT, RUN_IGNORED, reference};
use persea_exec_command::files;
use persea_exec_command::listing::{NoList, deadline, wait};

/// The number of binaries that are asked at the same time.
const AT_ONCE: usize = 8;

/// The longest list of a binary, in bytes: 64 MiB.
const LONGEST: usize = 64 << 20;

/// The most that a message shows of what a binary has printed, in characters.
const SHOWN: usize = 100;

/// A binary to be listed.
struct Listed {
    id: String,
    /// The absolute path.
    path: String,
    /// The directory in which its tests run.
    directory: Option<String>,
    env: Vec<(String, String)>,
    /// Whether the target has a harness of its own, which need not list tests.
    has_own_harness: bool,
}

/// What the user wants of ignored tests.
#[derive(Clone, Copy, PartialEq)]
enum Ignored {
    Skip,
    Run,
    Only,
}

/// Lists the tests of a runnable.
///
/// # Errors
/// `failed` where the build fails, `not-found` without cargo, `invalid` for a uri that is none.
pub(crate) fn list(task: &Task) -> Result<Vec<Runnable>, Error> {
    let runnable = &task.runnable;
    if program::is_test(runnable) {
        return Ok(vec![runnable.clone()]);
    }
    let Some(uri) = runnable.uri.as_deref() else {
        let message = "kind rust-libtest needs a uri: cargo:DIR, or the path of a test binary";
        return Err(Error::new("invalid", message));
    };
    if !uri.starts_with(reference::SCHEME) {
        let binary = Listed {
            id: uri.rsplit('/').next().unwrap_or(uri).to_owned(),
            path: cargo::absolute(task, uri),
            directory: None,
            env: Vec::new(),
            has_own_harness: false,
        };
        return ask(task, &[binary], &[]);
    }
    let reference = cargo::parse(uri)?;
    let build = cargo::build(task, &reference)?;
    let mut manifests: Vec<&str> = build
        .binaries
        .iter()
        .map(|binary| binary.manifest.as_str())
        .collect();
    manifests.dedup();
    let own = match manifests.is_empty() {
        true => Vec::new(),
        false => own_harnesses(&manifests),
    };
    let listed = |binary: &Binary| Listed {
        has_own_harness: {
            let is = |it: &crate::harness::OwnHarness| {
                it.is(&binary.manifest, &binary.kind, &binary.target)
            };
            own.iter().any(is)
        },
        id: binary.id.clone(),
        path: binary.path.clone(),
        directory: Some(directory_of(&binary.manifest).to_owned()),
        env: binary.env.clone(),
    };
    let binaries: Vec<Listed> = build.binaries.iter().map(listed).collect();
    let mut tests = ask(task, &binaries, &reference.filters)?;
    if reference.has_doctests {
        tests.extend(build.documented.into_iter().map(|(package, name)| {
            Runnable::new(KIND)
                .uri(uri)
                .kwarg(program::DOCTESTS, package)
                .identifier(name)
        }));
    }
    // What the user has given to the runnable as a whole holds for each of its tests.
    for test in &mut tests {
        test.env.extend(runnable.env.iter().cloned());
        test.tags.clone_from(&runnable.tags);
        test.requirements.clone_from(&runnable.requirements);
        for (name, value) in runnable.more.iter() {
            test.more.insert(name, value.clone());
        }
    }
    Ok(tests)
}

/// Asks binaries for their tests.
fn ask(task: &Task, binaries: &[Listed], filters: &[String]) -> Result<Vec<Runnable>, Error> {
    let timeout = LIST_TIMEOUT.get(&task.settings);
    let wanted = match RUN_IGNORED.get(&task.settings) {
        "too" => Ignored::Run,
        "only" => Ignored::Only,
        _ => Ignored::Skip,
    };
    let mut runnables = Vec::new();
    for (chunk, binaries) in binaries.chunks(AT_ONCE).enumerate() {
        let started: Vec<_> = binaries
            .iter()
            .enumerate()
            .map(|(index, binary)| {
                let name = format!("{}", chunk * AT_ONCE + index);
                Questions::start(task, binary, filters, name)
            })
            .collect();
        let until = deadline(timeout);
        for (binary, questions) in binaries.iter().zip(started) {
            let answer = questions.and_then(|questions| questions.answer(until, timeout));
            runnables.extend(binary.runnables(task, answer, wanted)?);
        }
    }
    Ok(runnables)
}

/// The two questions to a binary: for all tests, and for those that are ignored.
struct Questions {
    all: Child,
    ignored: Child,
    /// What tells the files of this binary from those of others.
    name: String,
}

/// The tests of a binary, in its order.
#[derive(Default)]
struct Tests {
    all: Vec<String>,
    ignored: HashSet<String>,
}

impl Questions {
    fn start(
        task: &Task,
        binary: &Listed,
        filters: &[String],
        name: String,
    ) -> Result<Self, NoList> {
        let start = |which: &str, args: &[&str]| {
            let mut command = Command::new(&binary.path)
                .args(filters)
                .args(["--list", "--format", "terse"])
                .args(args.iter().copied())
                .stdout(Output::file(format!("{which}-{name}")))
                .stderr(Output::file(format!("{which}-{name}.log")));
            for (name, value) in &binary.env {
                command = command.env(name, value);
            }
            command.env.extend(task.runnable.env.iter().cloned());
            command.cwd.clone_from(&binary.directory);
            process::start(&command)
        };
        let all = start("tests", &[])?;
        let ignored = start("ignored", &["--ignored"])?;
        Ok(Self { all, ignored, name })
    }

    /// Waits for both answers, until a time on the clock of the call, if there is one.
    fn answer(self, until: Option<Duration>, timeout: Duration) -> Result<Tests, NoList> {
        let mut lists = Vec::new();
        for (child, which) in [(&self.all, "tests"), (&self.ignored, "ignored")] {
            let Some(exit) = wait(child, until)? else {
                return Err(NoList::Fault(format!(
                    "it did not list its tests within {} s (`{}`)",
                    timeout.as_secs_f64(),
                    LIST_TIMEOUT.key()
                )));
            };
            let file = format!("{which}-{}", self.name);
            if !exit.success() {
                let ended = persea_exec_command::describe_exit(&exit);
                let log = files::tail(&format!("{file}.log"), 4096)?;
                let last = log.lines().rev().find(|line| !line.trim().is_empty());
                let last = last
                    .map(|line| format!(": {}", shown(line)))
                    .unwrap_or_default();
                let question = match which {
                    "tests" => "--list",
                    _ => "--list --ignored",
                };
                return Err(NoList::Fault(format!("with `{question}` it {ended}{last}")));
            }
            lists.push(parse(&files::whole(&file, LONGEST)?).map_err(NoList::Fault)?);
        }
        let mut lists = lists.into_iter();
        let (all, ignored) = (
            lists.next().unwrap_or_default(),
            lists.next().unwrap_or_default(),
        );
        let mut known = HashSet::new();
        if let Some(twice) = all.iter().find(|name| !known.insert(name.as_str())) {
            return Err(NoList::Fault(format!("it lists `{}` twice", shown(twice))));
        }
        if let Some(other) = ignored.iter().find(|name| !known.contains(name.as_str())) {
            let other = shown(other);
            return Err(NoList::Fault(format!(
                "it lists `{other}` only with --ignored"
            )));
        }
        let ignored = ignored.into_iter().collect();
        Ok(Tests { all, ignored })
    }
}

/// Reads the names in a list: lines such as `a::b: test`.
fn parse(list: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(list)
        .map_err(|_| "it printed a list of tests that is not UTF-8 text".to_owned())?;
    let lines = text.lines().filter(|line| !line.is_empty());
    let name = |line: &str| {
        let name = line
            .strip_suffix(": test")
            .or_else(|| line.strip_suffix(": benchmark"));
        name.map(str::to_owned)
            .ok_or_else(|| format!("it printed `{}` in place of a list of tests", shown(line)))
    };
    lines.map(name).collect()
}

/// The beginning of a text, for messages.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl Listed {
    /// The runnables of a binary that has answered, or has not.
    fn runnables(
        &self,
        task: &Task,
        answer: Result<Tests, NoList>,
        wanted: Ignored,
    ) -> Result<Vec<Runnable>, Error> {
        let tests = match answer {
            Ok(tests) if tests.all.is_empty() && self.has_own_harness => None,
            Ok(tests) => Some(tests),
            Err(NoList::Failed(error)) => return Err(error),
            Err(NoList::Fault(_)) if self.has_own_harness => None,
            Err(NoList::Fault(why)) => {
                let fault = format!("{} has no list of tests: {why}", self.path);
                let runnable = self.runnable(task).kwarg(program::FAULT, fault);
                return Ok(vec![runnable.identifier(&self.id)]);
            }
        };
        let Some(tests) = tests else {
            // A program of its own kind, which is one test as a whole.
            let whole = self
                .runnable(task)
                .kwarg(program::HARNESS, Harness::None.name());
            return Ok(vec![whole.identifier(&self.id)]);
        };
        let runnable = |name: String| {
            let is_ignored = tests.ignored.contains(&name);
            if wanted == Ignored::Only && !is_ignored {
                return None;
            }
            let mut runnable = self.runnable(task);
            if self.has_own_harness {
                runnable = runnable.kwarg(program::HARNESS, Harness::Own.name());
            }
            let identifier = format!("{}${name}", self.id);
            runnable = runnable
                .args([name, "--exact".to_owned()])
                .identifier(identifier);
            if is_ignored && wanted != Ignored::Skip {
                runnable = runnable.args(["--include-ignored"]);
            }
            Some(runnable)
        };
        Ok(tests.all.iter().cloned().filter_map(runnable).collect())
    }

    /// What all runnables of the binary have in common.
    fn runnable(&self, task: &Task) -> Runnable {
        let mut runnable = Runnable::new(KIND).uri(relative(task, &self.path));
        if let Some(directory) = &self.directory {
            runnable = runnable.kwarg(program::DIRECTORY, relative(task, directory));
        }
        runnable.env = self
            .env
            .iter()
            .map(|(name, value)| (name.clone(), Some(value.clone())))
            .collect();
        runnable
    }
}

/// A path in the project as a relative one, so that it is the same in every checkout.
fn relative(task: &Task, path: &str) -> String {
    let inside = task
        .project_dir()
        .and_then(|project| path.strip_prefix(project));
    match inside {
        Some("") => ".".to_owned(),
        Some(rest) => rest.strip_prefix('/').unwrap_or(path).to_owned(),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;

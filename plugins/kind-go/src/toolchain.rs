//! Owns Go: its commands, its version, and the packages that `go list` finds.

use persea_exec_command::{describe_exit, files};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command, Output};
use serde::Deserialize;

use crate::GO;
use crate::reference::GoReference;

/// The longest output of `go list` that is read, in bytes: 256 MiB.
const LONGEST: usize = 256 << 20;

/// The most that a message shows of what Go has printed, in characters.
const SHOWN: usize = 1_000;

/// A version of Go. A development version counts as the newest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Version {
    /// The number after `go1.`.
    minor: u32,
}

impl Version {
    /// Reads what `go env GOVERSION` prints: `go1.19.8`, `devel go1.28-abc`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("devel ").unwrap_or(text);
        let rest = rest.strip_prefix("go1.")?;
        let end = rest.find(|letter: char| !letter.is_ascii_digit());
        let minor = rest.get(..end.unwrap_or(rest.len()))?;
        Some(Self {
            minor: minor.parse().ok()?,
        })
    }

    /// Value of `-test.v`: Go 1.20 and later can mark their own lines.
    pub(crate) fn verbosity(self) -> &'static str {
        match self.minor < 20 {
            true => "true",
            false => "test2json",
        }
    }
}

/// A package of `go list -json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ListedPackage {
    pub(crate) import_path: String,
    pub(crate) dir: String,
    test_go_files: Vec<String>,
    #[serde(rename = "XTestGoFiles")]
    external_test_go_files: Vec<String>,
    error: Option<PackageError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PackageError {
    err: String,
}

impl ListedPackage {
    pub(crate) fn has_tests(&self) -> bool {
        !self.test_go_files.is_empty() || !self.external_test_go_files.is_empty()
    }

    /// What is wrong with a package that cannot even be built.
    pub(crate) fn fault(&self) -> Option<&str> {
        // The build of a package with tests says more.
        let error = self.error.as_ref().filter(|_| !self.has_tests());
        error.map(|error| error.err.trim())
    }
}

/// What Go has said about a reference.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The version as Go writes it.
    pub(crate) version: String,
    pub(crate) packages: Vec<ListedPackage>,
}

/// Returns a path of the project as an absolute one, where the project's directory is known.
pub(crate) fn absolute(task: &Task, path: &str) -> String {
    match (task.project_dir(), path) {
        (Some(project), ".") => project.to_owned(),
        (Some(project), path) if !path.starts_with('/') => format!("{project}/{path}"),
        _ => path.to_owned(),
    }
}

/// Parses the reference of a runnable's uri.
///
/// # Errors
/// `invalid`, with what is wrong.
pub(crate) fn parse(uri: &str) -> Result<GoReference, Error> {
    GoReference::parse(uri).map_err(|why| Error::new("invalid", why))
}

/// Returns a command of Go in a directory, with the environment of the runnable.
pub(crate) fn command(task: &Task, directory: &str) -> Command {
    let mut command = Command::new(GO.get(&task.settings)).cwd(directory);
    command.env.extend(task.runnable.env.iter().cloned());
    command
}

/// Returns the reason why Go could not be started, with what to do.
pub(crate) fn missing(task: &Task, error: &Error) -> Error {
    if error.code != "not-found" {
        return error.clone();
    }
    let message = format!(
        "{}; install Go where the tests run (https://go.dev/dl, or a package such as `golang-go`), \
         or set {} to the path of `{}`",
        error.message,
        GO.key(),
        GO.get(&task.settings)
    );
    Error::new("not-found", message)
}

/// Asks Go for its version and for the packages of a reference.
///
/// # Errors
/// `not-found` where there is no Go; `failed` with Go's message where it finds no packages;
/// `invalid` where it prints something else.
pub(crate) fn list(task: &Task, reference: &GoReference) -> Result<Listed, Error> {
    let directory = absolute(task, &reference.directory);
    let go = GO.get(&task.settings);
    let version = command(task, &directory)
        .args(["env", "GOVERSION"])
        .stdout(Output::file("version"))
        .stderr(Output::file("version.log"));
    let version = process::start(&version).map_err(|error| missing(task, &error))?;
    let packages = command(task, &directory)
        .args(["list", "-e", "-json"])
        .args(reference.listing_options())
        .arg(reference.pattern())
        .stdout(Output::file("packages"))
        .stderr(Output::file("packages.log"));
    let packages = process::start(&packages).map_err(|error| missing(task, &error))?;
    let exit = version.wait()?;
    let printed = files::text("version", 1 << 20)?;
    let version = printed.trim().to_owned();
    if !exit.success() || Version::read(&version).is_none() {
        let printed = match version.is_empty() {
            true => files::last_line("version.log")?.unwrap_or_default(),
            false => persea_exec_command::results::shown(&version, 100),
        };
        let message = format!(
            "`{go} env GOVERSION` {} and printed `{printed}`; is it Go 1.16 or later?",
            describe_exit(&exit)
        );
        return Err(Error::new("invalid", message));
    }
    let exit = packages.wait()?;
    if !exit.success() {
        let log = files::tail("packages.log", 16 << 10)?;
        let said = said(&log);
        let message = match said.is_empty() {
            true => format!("`{go} list` {}", describe_exit(&exit)),
            false => said,
        };
        return Err(Error::new("failed", message));
    }
    let listed = files::whole("packages", LONGEST)?;
    let stream = serde_json::Deserializer::from_slice(&listed).into_iter();
    let packages: Result<Vec<ListedPackage>, _> = stream.collect();
    let packages = packages.map_err(|error| {
        let message = format!("`{go} list` printed no JSON of the known format: {error}");
        Error::new("invalid", message)
    })?;
    if packages.is_empty() {
        let log = said(&files::tail("packages.log", 16 << 10)?);
        let message = format!("there are no Go packages in {directory}: {log}");
        return Err(Error::new("empty", message.trim_end_matches([':', ' '])));
    }
    let is_wrong = |package: &&ListedPackage| package.import_path.is_empty();
    if packages.iter().any(|package| is_wrong(&package)) {
        let message = format!("`{go} list` printed a package without an import path; is it Go?");
        return Err(Error::new("invalid", message));
    }
    Ok(Listed { version, packages })
}

/// What Go has said, in one line.
fn said(log: &str) -> String {
    let lines = log
        .lines()
        .filter(|line| !line.starts_with("go: downloading "));
    let text: Vec<&str> = lines.collect();
    let line = persea_exec_command::results::one_line(&text.join("\n"));
    persea_exec_command::results::shown(&line, SHOWN)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use persea_plugin_sdk::testing::{Answer, Host, Processes};

    #[test]
    fn version_decides_how_lines_are_marked() {
        for (text, verbosity) in [
            ("go1.16", "true"),
            ("go1.19.8", "true"),
            ("go1.20rc1", "test2json"),
            ("go1.27.3", "test2json"),
            ("devel go1.28-0a1b Mon", "test2json"),
        ] {
            assert_eq!(
                Version::read(text).unwrap().verbosity(),
                verbosity,
                "{text}"
            );
        }
        for text in ["", "go2", "gccgo 12", "go1."] {
            assert_eq!(Version::read(text), None, "{text}");
        }
    }

    /// The answer of Go whose `go list` ends so.
    fn listed(list: Answer) -> Result<Listed, Error> {
        let answer = move |command: &Command| match command.args.first().map(String::as_str) {
            Some("env") => Answer::code(0).stdout("go1.19.8\n"),
            _ => list.clone(),
        };
        let _host = Host::new().processes(Processes::new(answer)).install();
        let task = Task::new("1-t", Runnable::new(crate::KIND)).with("project-dir", "/w");
        list_dot(&task)
    }

    fn list_dot(task: &Task) -> Result<Listed, Error> {
        list(task, &GoReference::parse("go:.").unwrap())
    }

    #[test]
    fn packages_are_read() {
        let json = r#"{"ImportPath": "m", "Dir": "/w", "TestGoFiles": ["a_test.go"]}
                      {"ImportPath": "m/x", "Dir": "/w/x", "XTestGoFiles": ["x_test.go"]}
                      {"ImportPath": "m/n", "Dir": "/w/n", "Error": {"Err": "no files\n"}}"#;
        let listed = listed(Answer::code(0).stdout(json)).unwrap();
        let found: Vec<_> = listed
            .packages
            .iter()
            .map(|it| (it.has_tests(), it.fault()))
            .collect();
        assert_eq!(
            found,
            [(true, None), (true, None), (false, Some("no files"))]
        );
        assert_eq!(listed.version, "go1.19.8");
    }

    #[test]
    fn fault_of_go_is_explained() {
        for (answer, code, words) in [
            (
                Answer::code(1).stderr("go: go.mod file not found\nin any parent\n"),
                "failed",
                "go: go.mod file not found; in any parent",
            ),
            (
                Answer::signal(9),
                "failed",
                "`go list` ended by signal 9 (SIGKILL)",
            ),
            (
                Answer::code(0).stdout("hello"),
                "invalid",
                "printed no JSON of the known format",
            ),
            (
                Answer::code(0).stdout("{}"),
                "invalid",
                "without an import path",
            ),
            (
                Answer::code(0).stderr("go: warning: \"./...\" matched no packages\n"),
                "empty",
                "there are no Go packages in /w: go: warning",
            ),
        ] {
            let error = listed(answer).unwrap_err();
            assert_eq!(error.code, code, "{error}");
            assert!(error.message.contains(words), "{error}");
        }
        let task = Task::new("1-t", Runnable::new(crate::KIND));
        let _host = Host::new()
            .processes(Processes::always(Answer::missing()))
            .install();
        let error = list_dot(&task).unwrap_err();
        assert!(
            error.message.contains("install Go where the tests run"),
            "{error}"
        );
    }

    #[test]
    fn other_version_is_explained() {
        let task = Task::new("1-t", Runnable::new(crate::KIND));
        let old = Answer::code(0).stdout("\n");
        let _host = Host::new().processes(Processes::always(old)).install();
        let error = list_dot(&task).unwrap_err();
        assert!(error.message.contains("is it Go 1.16 or later?"), "{error}");
    }
}

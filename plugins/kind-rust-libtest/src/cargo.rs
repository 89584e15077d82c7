//! Owns the build: runs cargo, and reads which test binaries it has made and how cargo itself would
//! start them. Does not know what is in a binary.

mod errors;
mod messages;

use std::collections::BTreeMap;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Child, Command, Exit, Output};

use crate::reference::CargoReference;
use crate::variables::{Libraries, Surroundings};
use crate::{CARGO, reference};
use messages::{Message, Metadata, TargetMessage, is_library};
use persea_exec_command::files;

pub(crate) use errors::summary;
pub(crate) use messages::{BuildScript, Package};

/// The longest output of cargo that is read, in bytes: 256 MiB.
const LONGEST: usize = 256 << 20;

/// A test binary.
#[derive(Debug)]
pub(crate) struct Binary {
    /// The name that cargo-nextest has for the binary: `package`, `package::test`,
    /// `package::bin/name`.
    pub(crate) id: String,
    /// The absolute path.
    pub(crate) path: String,
    /// The absolute path of the package's manifest.
    pub(crate) manifest: String,
    /// Cargo's word for the kind of target, such as `test`; `lib` for every kind of library.
    pub(crate) kind: String,
    /// The target's name.
    pub(crate) target: String,
    /// The variables with which cargo would start it.
    pub(crate) env: Vec<(String, String)>,
}

/// The result of a build.
#[derive(Debug)]
pub(crate) struct Build {
    /// The test binaries, by name.
    pub(crate) binaries: Vec<Binary>,
    /// The packages with documentation tests, as `name@version`.
    pub(crate) documented: Vec<(String, String)>,
}

/// Returns a command of cargo in the directory of a reference.
pub(crate) fn command(task: &Task, reference: &CargoReference) -> Command {
    Command::new(CARGO.get(&task.settings))
        .env("CARGO_TERM_COLOR", "never")
        .cwd(absolute(task, &reference.directory))
}

/// Returns a path of the project as an absolute one, where the project's directory is known.
pub(crate) fn absolute(task: &Task, path: &str) -> String {
    match (task.project_dir(), path) {
        (Some(project), ".") => project.to_owned(),
        (Some(project), path) if !path.starts_with('/') => format!("{project}/{path}"),
        _ => path.to_owned(),
    }
}

/// Returns the reason why cargo could not be started, with what to do.
pub(crate) fn missing(cargo: &str, error: &Error) -> Error {
    if error.code != "not-found" {
        return error.clone();
    }
    let message = format!(
        "{}; install Rust where the tests run (https://rustup.rs, or a package such as `cargo`), \
         or set {} to the path of `{cargo}`",
        error.message,
        CARGO.key()
    );
    Error::new("not-found", message)
}

/// Builds the test binaries of a reference.
///
/// # Errors
/// `not-found` where there is no cargo; `failed` with the compiler's message where the build fails.
pub(crate) fn build(task: &Task, reference: &CargoReference) -> Result<Build, Error> {
    let cargo = CARGO.get(&task.settings);
    let test = command(task, reference)
        .args([
            "test",
            "--no-run",
            "--message-format=json-render-diagnostics",
        ])
        .args(
            reference
                .shared
                .iter()
                .chain(&reference.packages)
                .chain(&reference.targets),
        )
        .stdout(Output::file("build"))
        .stderr(Output::file("build.log"));
    let test = process::start(&test).map_err(|error| missing(cargo, &error))?;
    // Short processes, which the build need not wait for.
    let metadata = command(task, reference)
        .args(["metadata", "--no-deps", "--format-version=1"])
        .stdout(Output::file("metadata"))
        .stderr(Output::file("metadata.log"));
    let metadata = process::start(&metadata).map_err(|error| missing(cargo, &error))?;
    let rustc = start_rustc(task, reference);
    let inherited = process::start(
        &Command::new("printenv")
            .arg("LD_LIBRARY_PATH")
            .stdout(Output::file("library-path")),
    );
    let shown = reference.shown("metadata");
    succeed(&shown, &metadata.wait()?, "metadata.log")?;
    let metadata = files::whole("metadata", LONGEST)?;
    let metadata: Metadata = serde_json::from_slice(&metadata).map_err(|error| {
        let message = format!("`{cargo} metadata` printed no JSON of the known format: {error}");
        Error::new("invalid", message)
    })?;
    let sysroot = finish_rustc(rustc)?;
    let inherited = inherited.and_then(|child| child.wait());
    let inherited = match inherited {
        Ok(_) => String::from_utf8_lossy(&files::whole("library-path", 1 << 20)?).into_owned(),
        Err(_) => String::new(),
    };
    let shown = reference.shown("test --no-run");
    succeed(&shown, &test.wait()?, "build.log")?;
    let messages = messages::read(&files::whole("build", LONGEST)?).map_err(|why| {
        let message = format!("`{cargo} test --no-run` printed {why}; is it a cargo?");
        Error::new("invalid", message)
    })?;
    Ok(collect(&metadata, &messages, sysroot, inherited.trim_end()))
}

/// Checks how a command of cargo has ended.
fn succeed(shown: &str, exit: &Exit, log: &str) -> Result<(), Error> {
    if exit.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&files::whole(log, LONGEST)?).into_owned();
    let ended = persea_exec_command::describe_exit(exit);
    let message = match errors::summary(&text) {
        Some(summary) => format!("{summary}; `{shown}` shows all"),
        None => format!("`{shown}` {ended} without an error message"),
    };
    Err(Error::new("failed", message))
}

/// Starts rustc, which knows where its libraries are; none where there is no rustc, because then
/// cargo says so.
fn start_rustc(task: &Task, reference: &CargoReference) -> Option<Child> {
    let print = Command::new("rustc")
        .args(["--print", "sysroot", "--print", "target-libdir"])
        .args(
            reference
                .triple
                .iter()
                .flat_map(|triple| ["--target", triple]),
        )
        .cwd(absolute(task, &reference.directory))
        .stdout(Output::file("rustc"));
    process::start(&print).ok()
}

/// Where the toolchain is.
#[derive(Debug, Default)]
struct Sysroot {
    /// The directory of the target's standard library, empty if it is unknown.
    standard: String,
    /// The directory of the compiler's libraries, empty if it is unknown.
    compiler: String,
    /// The path of its cargo, if it has one.
    cargo: Option<String>,
}

fn finish_rustc(rustc: Option<Child>) -> Result<Sysroot, Error> {
    let Some(rustc) = rustc else {
        return Ok(Sysroot::default());
    };
    let exit = rustc.wait()?;
    let printed = files::whole("rustc", 1 << 20)?;
    let printed = String::from_utf8_lossy(&printed);
    let mut lines = printed.lines();
    let (Some(root), Some(target), true) = (lines.next(), lines.next(), exit.success()) else {
        return Ok(Sysroot::default());
    };
    let cargo = format!("{root}/bin/cargo");
    let exists = process::run(&Command::new("test").args(["-x", &cargo]));
    Ok(Sysroot {
        standard: target.to_owned(),
        compiler: format!("{root}/lib"),
        cargo: exists.is_ok_and(|exit| exit.success()).then_some(cargo),
    })
}

/// Puts together what cargo has said.
fn collect(metadata: &Metadata, messages: &[Message], sysroot: Sysroot, inherited: &str) -> Build {
    let packages: BTreeMap<&str, &Package> = metadata
        .packages
        .iter()
        .map(|package| (package.id.as_str(), package))
        .collect();
    let libraries = Libraries {
        linked: Vec::new(),
        standard: sysroot.standard,
        compiler: sysroot.compiler,
        inherited: inherited.to_owned(),
    };
    let mut surroundings = Surroundings::new(sysroot.cargo, libraries);
    for message in messages {
        match message {
            Message::BuildScriptExecuted(script) => surroundings.add_script(script),
            Message::CompilerArtifact(artifact) => {
                if let (Some(path), false) = (&artifact.executable, artifact.profile.test)
                    && artifact.target.kind.iter().any(|kind| kind == "bin")
                {
                    surroundings.add_program(&artifact.package_id, &artifact.target.name, path);
                }
            }
            Message::Other => {}
        }
    }
    let mut build = Build {
        binaries: Vec::new(),
        documented: Vec::new(),
    };
    for message in messages {
        let Message::CompilerArtifact(artifact) = message else {
            continue;
        };
        let (Some(path), true) = (&artifact.executable, artifact.profile.test) else {
            continue;
        };
        let package = packages.get(artifact.package_id.as_str()).copied();
        let target = &artifact.target;
        let kind = kind(target);
        let name = package.map_or(target.name.as_str(), |package| package.name.as_str());
        build.binaries.push(Binary {
            id: binary_id(name, &kind, &target.name),
            path: path.clone(),
            manifest: artifact.manifest_path.clone(),
            env: surroundings.of(&artifact.package_id, package, &kind, path),
            kind,
            target: target.name.clone(),
        });
        if let Some(package) = package
            && let Some(library) = package.documented()
        {
            let spec = format!("{}@{}", package.name, package.version);
            build
                .documented
                .push((spec, format!("{}::doc/{library}", package.name)));
        }
    }
    build.binaries.sort_by(|one, other| one.id.cmp(&other.id));
    build.documented.sort();
    build.documented.dedup();
    build
}

fn kind(target: &TargetMessage) -> String {
    let mut kinds = target.kind.iter();
    match kinds.find(|kind| !is_library(kind)) {
        Some(kind) => kind.clone(),
        None => "lib".to_owned(),
    }
}

/// The name of a binary. These are the names of cargo-nextest.
fn binary_id(package: &str, kind: &str, target: &str) -> String {
    match kind {
        "lib" => package.to_owned(),
        "test" => format!("{package}::{target}"),
        other => format!("{package}::{other}/{target}"),
    }
}

/// Parses the reference of a runnable's uri.
///
/// # Errors
/// `invalid`, with what is wrong.
pub(crate) fn parse(uri: &str) -> Result<CargoReference, Error> {
    reference::CargoReference::parse(uri).map_err(|why| Error::new("invalid", why))
}

#[cfg(test)]
mod tests;

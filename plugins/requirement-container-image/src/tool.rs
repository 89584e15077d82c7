//! Owns the commands of podman and docker. Both have the same commands; their outputs differ a
//! little. Does not know about requirements.

use persea_plugin_sdk::process::{self, Output, Pipe};
use persea_plugin_sdk::{Error, messages};
use persea_requirement_tool::{execute, find_program, program, query, query_ok, shell};

/// Id of an image, in hexadecimal digits, and one of its names, if it has any.
pub(crate) type ListedImage = (String, Option<String>);

/// Prefixes of references from which podman takes an image without a registry
/// (containers-transports(5)).
const TRANSPORTS: [&str; 7] = [
    "containers-storage",
    "dir",
    "docker-archive",
    "docker-daemon",
    "oci",
    "oci-archive",
    "sif",
];

/// Printed in place of a missing name.
const NO_NAME: &str = "<none>";

/// A program that manages container images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Podman,
    Docker,
}

impl Tool {
    /// In the order in which an environment is searched.
    const ALL: [Self; 2] = [Self::Podman, Self::Docker];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }

    pub(crate) fn from_name(name: &str) -> Result<Self, Error> {
        let mut all = Self::ALL.into_iter();
        all.find(|tool| tool.name() == name).ok_or_else(|| {
            let message = format!("unknown container tool `{name}`; use podman or docker");
            Error::new("invalid", message)
        })
    }

    /// Returns the first tool that the environment has.
    pub(crate) fn detect() -> Result<Self, Error> {
        for tool in Self::ALL {
            if find_program(tool.name())?.is_some() {
                return Ok(tool);
            }
        }
        let message = "this environment has neither podman nor docker; install one of them";
        Err(Error::new("not-found", message))
    }

    /// Whether a reference is the location of an archive or the like instead of an image's name.
    pub(crate) fn is_transport(self, reference: &str) -> bool {
        let transport = reference.split_once(':').map(|(transport, _)| transport);
        self == Self::Podman && transport.is_some_and(|name| TRANSPORTS.contains(&name))
    }

    /// Whether an image with a name or id exists.
    pub(crate) fn has(self, reference: &str) -> Result<bool, Error> {
        match self {
            Self::Podman => {
                let command = program(self.name(), ["image", "exists", reference]);
                match query(command.clone())?.exit.code() {
                    Some(0) => Ok(true),
                    Some(1) => Ok(false),
                    _ => query_ok(command).map(|_| true),
                }
            }
            Self::Docker => {
                if query(self.inspect(reference))?.succeeded() {
                    return Ok(true);
                }
                // The exit code is the same for a missing image and an unreachable daemon.
                let server = ["version", "--format", "{{.Server.Version}}"];
                query_ok(program(self.name(), server)).map(|_| false)
            }
        }
    }

    fn inspect(self, reference: &str) -> process::Command {
        program(
            self.name(),
            ["image", "inspect", "--format", "{{.Id}}", reference],
        )
    }

    /// Returns all images, each once for every name.
    pub(crate) fn images(self) -> Result<Vec<ListedImage>, Error> {
        let format = "{{.ID}} {{.Repository}}:{{.Tag}}";
        let list = ["image", "ls", "--all", "--no-trunc", "--format", format];
        let listed = query_ok(program(self.name(), list))?;
        let images = listed.lines().filter_map(|line| {
            let (id, name) = line.split_once(' ')?;
            let name = (!name.contains(NO_NAME)).then(|| name.to_owned());
            Some((digits(id)?.to_owned(), name))
        });
        Ok(images.collect())
    }

    /// Pulls an image and returns its id. The tool's output becomes progress messages.
    pub(crate) fn pull(self, reference: &str) -> Result<String, Error> {
        let line = r#"exec "$@" 2>&1"#;
        let command = shell(line, [self.name(), "pull", reference]).stdout(Output::Pipe);
        let child = process::start(&command)?;
        let (mut rest, mut output) = (Vec::new(), PullOutput::default());
        loop {
            let chunk = child.read(Pipe::Stdout, 1 << 16)?;
            if chunk.is_empty() {
                break;
            }
            rest.extend(chunk);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                output.add_line(&line);
            }
        }
        output.add_line(&rest);
        if !child.wait()?.success() {
            let why = output.error.unwrap_or(output.last_line);
            let message = format!("cannot pull {reference} with {}: {why}", self.name());
            return Err(Error::new("failed", message));
        }
        // podman's last line is the id, docker's is the name.
        if let Some(id) = digits(&output.last_line) {
            return Ok(id.to_owned());
        }
        let id = query_ok(self.inspect(reference))?;
        digits(id.trim()).map(str::to_owned).ok_or_else(|| {
            let name = self.name();
            let message = format!("{name} printed {id:?} as the id of {reference}");
            Error::new("failed", message)
        })
    }

    /// Removes a name; without its last name, the image is removed too.
    pub(crate) fn remove(self, reference: &str) -> Result<(), Error> {
        execute(program(self.name(), ["rmi", reference])).map_err(|error| {
            let last_line = error.detail.text("last-line").unwrap_or_default();
            let message = format!(
                "cannot remove the image {reference}: {last_line}; remove it by \
                 `{} rmi {reference}` when nothing uses it any more",
                self.name()
            );
            match error.code.as_str() {
                "failed" => Error { message, ..error },
                _ => error,
            }
        })
    }

    /// Gives an image a name.
    pub(crate) fn tag(self, image: &str, name: &str) -> Result<(), Error> {
        execute(program(self.name(), ["tag", image, name]))
    }
}

/// Returns the digits of an id, which may have the algorithm's name before them.
fn digits(id: &str) -> Option<&str> {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    let is_id = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(digits)
}

/// Output of a pull.
#[derive(Default)]
struct PullOutput {
    last_line: String,
    /// Line with the error. It need not be the last one: a server's answer may follow.
    error: Option<String>,
}

impl PullOutput {
    /// Adds a line, and reports it as progress unless it is blank.
    fn add_line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        // The host refuses messages beyond a limit. The pull does not depend on them.
        let _ = messages::progress(line);
        if line.starts_with("Error") {
            self.error = Some(line.to_owned());
        }
        line.clone_into(&mut self.last_line);
    }
}

//! podman and docker: what they are asked and what they answer. Their commands are the same, what they print is nearly so. It must not
//! know why an image is wanted.

use persea_plugin_sdk::process::{self, Output, Stream};
use persea_plugin_sdk::{Error, status};
use persea_requirement_tool::{act, ask, ask_surely, find, program, shell};

/// An image's id, in hexadecimal digits, and one of its names, if it has any.
pub(crate) type Named = (String, Option<String>);

/// What podman takes an image from that is no registry (containers-transports(5)).
const TRANSPORTS: [&str; 7] = [
    "containers-storage",
    "dir",
    "docker-archive",
    "docker-daemon",
    "oci",
    "oci-archive",
    "sif",
];

/// How they show that there's no name.
const NONE: &str = "<none>";

/// A program that has images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Podman,
    Docker,
}

impl Tool {
    /// In the order in which they are looked for.
    const ALL: [Self; 2] = [Self::Podman, Self::Docker];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self, Error> {
        let mut all = Self::ALL.into_iter();
        all.find(|tool| tool.name() == name).ok_or_else(|| {
            let message = format!("container images are had by podman or docker, not by `{name}`");
            Error::new("invalid", message)
        })
    }

    /// The first that is there.
    pub(crate) fn found() -> Result<Self, Error> {
        for tool in Self::ALL {
            if find(tool.name())?.is_some() {
                return Ok(tool);
            }
        }
        let message = "there is neither podman nor docker in this environment; install one of them";
        Err(Error::new("not-found", message))
    }

    /// Whether a reference leads to an archive or the like, and names no image.
    pub(crate) fn is_transport(self, reference: &str) -> bool {
        let transport = reference.split_once(':').map(|(transport, _)| transport);
        self == Self::Podman && transport.is_some_and(|name| TRANSPORTS.contains(&name))
    }

    /// Whether there is an image of a name or id.
    pub(crate) fn has(self, reference: &str) -> Result<bool, Error> {
        match self {
            Self::Podman => {
                let command = program(self.name(), ["image", "exists", reference]);
                match ask(command.clone())?.exit.code {
                    Some(0) => Ok(true),
                    Some(1) => Ok(false),
                    _ => ask_surely(command).map(|_| true),
                }
            }
            Self::Docker => {
                if ask(self.inspect(reference))?.is_yes() {
                    return Ok(true);
                }
                // It ends alike where there is no such image and where its daemon can't be reached.
                let server = ["version", "--format", "{{.Server.Version}}"];
                ask_surely(program(self.name(), server)).map(|_| false)
            }
        }
    }

    fn inspect(self, reference: &str) -> process::Command {
        program(
            self.name(),
            ["image", "inspect", "--format", "{{.Id}}", reference],
        )
    }

    /// All images with all their names.
    pub(crate) fn images(self) -> Result<Vec<Named>, Error> {
        let format = "{{.ID}} {{.Repository}}:{{.Tag}}";
        let list = ["image", "ls", "--all", "--no-trunc", "--format", format];
        let listed = ask_surely(program(self.name(), list))?;
        let images = listed.lines().filter_map(|line| {
            let (id, name) = line.split_once(' ')?;
            let name = (!name.contains(NONE)).then(|| name.to_owned());
            Some((digits(id)?.to_owned(), name))
        });
        Ok(images.collect())
    }

    /// Pulls an image; its id. What the tool says meanwhile is told as progress.
    pub(crate) fn pull(self, reference: &str) -> Result<String, Error> {
        let line = r#"exec "$@" 2>&1"#;
        let command = shell(line, [self.name(), "pull", reference]).stdout(Output::Pipe);
        let child = process::start(&command)?;
        let (mut rest, mut said) = (Vec::new(), Said::default());
        loop {
            let piece = child.read(Stream::Stdout, 1 << 16)?;
            if piece.is_empty() {
                break;
            }
            rest.extend(piece);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                said.line(&line);
            }
        }
        said.line(&rest);
        if child.wait()?.code != Some(0) {
            let why = said.error.unwrap_or(said.last);
            let message = format!("{reference} can't be pulled with {}: {why}", self.name());
            return Err(Error::new("failed", message));
        }
        // podman's last word is the id, docker's is the name.
        if let Some(id) = digits(&said.last) {
            return Ok(id.to_owned());
        }
        let id = ask_surely(self.inspect(reference))?;
        digits(id.trim()).map(str::to_owned).ok_or_else(|| {
            let message = format!("{} says {id:?} of {reference}, which is no id", self.name());
            Error::new("failed", message)
        })
    }

    /// Removes a name, and with the last name its image.
    pub(crate) fn remove(self, reference: &str) -> Result<(), Error> {
        act(program(self.name(), ["rmi", reference])).map_err(|error| {
            let words = error.detail.text("last-words").unwrap_or_default();
            let message = format!(
                "the image {reference} is left: {words}; `{} rmi {reference}` removes it when nothing uses it any more",
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
        act(program(self.name(), ["tag", image, name]))
    }
}

/// The digits of an id, with or without the name of the algorithm before them.
fn digits(id: &str) -> Option<&str> {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    let is_id = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(digits)
}

/// What a tool says while it pulls.
#[derive(Default)]
struct Said {
    last: String,
    /// Not always the last line: what a server has answered may follow in many.
    error: Option<String>,
}

impl Said {
    /// Takes a line, and tells it as progress if there is anything in it.
    fn line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        // Over the limit of messages there is less to be seen, and nothing else.
        let _ = status::progress(line);
        if line.starts_with("Error") {
            self.error = Some(line.to_owned());
        }
        line.clone_into(&mut self.last);
    }
}

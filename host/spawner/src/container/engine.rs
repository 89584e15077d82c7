//! Owns the connection to a container engine: Podman or Docker, by the REST API that both have
//! (<https://docs.docker.com/reference/api/engine/>). Does not know what containers are for.

mod socket;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bollard::errors::Error;
use bollard::models::{ContainerConfig, ContainerCreateBody, ImageInspect};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateImageOptionsBuilder, ListContainersOptionsBuilder,
    ListImagesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::StreamExt as _;
use rustix::process::{getegid, geteuid};

use crate::SpawnError;
use crate::owner::HOST;

pub(super) use socket::find_socket;

/// How long the engine may take for one answer: 60 s, also while other containers keep it busy.
const TIMEOUT_SECONDS: u64 = 60;

/// How long the engine may take for its first answers: 10 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The status code of an answer about something that does not exist.
const NOT_FOUND: u16 = 404;

/// How long a container or image may resist its removal: 10 s.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The time between two attempts to remove something: 50 ms.
const REMOVAL_INTERVAL: Duration = Duration::from_millis(50);

/// A connected engine. Clones share the connection.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    docker: Docker,
    /// Whether the engine runs without privileges. Root in its containers is then the user.
    is_rootless: bool,
    is_podman: bool,
}

/// An image that the engine has.
#[derive(Clone, Debug)]
pub(super) struct Image {
    name: String,
    id: String,
}

impl Image {
    /// The name by which it was asked for.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The engine's id, which no other image ever gets.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

/// Whether a missing image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulls {
    Yes,
    /// By the setting.
    Never,
    /// A third-party plugin has made the test that names the image.
    NotForPlugins,
}

/// Labels of a container or image, with its id.
type Labelled = (String, HashMap<String, String>);

impl Engine {
    /// Connects to the engine at this socket.
    ///
    /// # Errors
    /// No engine answers there.
    pub(super) async fn connect(socket: &Path) -> Result<Engine, SpawnError> {
        let path = socket.to_string_lossy();
        let failed = |error: Error| SpawnError::Engine {
            what: format!("the container engine at {path} can't be used"),
            reason: reason(&error),
        };
        let docker = Docker::connect_with_unix(&path, TIMEOUT_SECONDS, API_DEFAULT_VERSION)
            .map_err(failed)?;
        let answers = Box::pin(async {
            let docker = docker.negotiate_version().await?;
            let (info, version) = (docker.info().await?, docker.version().await?);
            Ok((docker, info.security_options, version.components))
        });
        let answers = tokio::time::timeout(CONNECT_TIMEOUT, answers).await;
        let answers = answers.unwrap_or(Err(Error::RequestTimeoutError));
        let (docker, options, components) = answers.map_err(failed)?;
        let mut components = components.iter().flatten();
        let is_podman = components.any(|it| it.name.contains("Podman"));
        let is_rootless = options
            .iter()
            .flatten()
            .any(|option| option == "rootless" || option.contains("name=rootless"));
        Ok(Engine {
            docker,
            is_rootless,
            is_podman,
        })
    }

    /// Checks whether the engine lets a client choose the program that runs containers.
    ///
    /// # Errors
    /// The engine would ignore the choice without saying so.
    pub(super) fn may_choose_runtime(&self, runtime: Option<&str>) -> Result<(), SpawnError> {
        match runtime {
            Some(runtime) if self.is_podman => Err(SpawnError::Invalid(format!(
                "the setting `spawner.container.runtime` asks for `{runtime}`, and Podman lets no \
                 client choose: write `runtime = \"{runtime}\"` below `[engine]` in \
                 containers.conf instead"
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// The user and group of processes in containers, so that files of results belong to the host's
    /// user.
    pub(super) fn user(&self) -> String {
        match self.is_rootless {
            true => "0:0".to_owned(),
            false => format!("{}:{}", geteuid().as_raw(), getegid().as_raw()),
        }
    }

    /// Returns an image, and pulls it if the engine does not have it, where that is allowed.
    ///
    /// # Errors
    /// There is no such image, or it is for another architecture.
    pub(super) async fn image(&self, name: &str, pulls: Pulls) -> Result<Image, SpawnError> {
        let failed = |error: &Error| SpawnError::Engine {
            what: format!("the image `{name}` can't be used"),
            reason: reason(error),
        };
        let inspected = match self.docker.inspect_image(name).await {
            Ok(found) => found,
            Err(error) if status(&error) != Some(NOT_FOUND) => return Err(failed(&error)),
            Err(_) if pulls != Pulls::Yes => {
                let why = match pulls {
                    Pulls::NotForPlugins => "a plugin has made the test, and may not fetch images",
                    Pulls::Never | Pulls::Yes => "`spawner.container.pull` is false",
                };
                return Err(SpawnError::Engine {
                    what: format!("the container engine has no image `{name}`"),
                    reason: format!(
                        "{why}: `podman pull {name}` or `docker pull {name}` fetches it"
                    ),
                });
            }
            Err(_) => {
                self.pull(name).await?;
                let inspected = self.docker.inspect_image(name).await;
                inspected.map_err(|error| failed(&error))?
            }
        };
        let ImageInspect {
            id, architecture, ..
        } = inspected;
        let is_right = |it: &String| it.is_empty() || it == architecture_of_this_machine();
        if let Some(other) = architecture.filter(|it| !is_right(it)) {
            return Err(SpawnError::Engine {
                what: format!("the image `{name}` can't run here"),
                reason: format!(
                    "it is for {other}, and this machine is {}",
                    architecture_of_this_machine()
                ),
            });
        }
        Ok(Image {
            name: name.to_owned(),
            id: id.unwrap_or_else(|| name.to_owned()),
        })
    }

    async fn pull(&self, name: &str) -> Result<(), SpawnError> {
        tracing::info!("pulling the image {name}");
        let options = CreateImageOptionsBuilder::new().from_image(name).build();
        let mut steps = std::pin::pin!(self.docker.create_image(Some(options), None, None));
        while let Some(step) = steps.next().await {
            step.map_err(|error| SpawnError::Engine {
                what: format!("the image `{name}` can't be pulled"),
                reason: format!(
                    "{}; for a registry that wants a password, pull it yourself: `podman pull \
                     {name}` or `docker pull {name}`",
                    reason(&error)
                ),
            })?;
        }
        Ok(())
    }

    /// Creates a container, and returns its id.
    pub(super) async fn create(
        &self,
        body: ContainerCreateBody,
        image: &Image,
    ) -> Result<String, SpawnError> {
        let created = self.docker.create_container(None, body).await;
        let created = created.map_err(|error| container_failed("created", &image.name, &error))?;
        for warning in created.warnings {
            tracing::debug!("the container engine warns: {warning}");
        }
        Ok(created.id)
    }

    /// Starts a container.
    pub(super) async fn start(&self, container: &str, image: &str) -> Result<(), SpawnError> {
        let started = self.docker.start_container(container, None).await;
        started.map_err(|error| container_failed("started", image, &error))
    }

    /// Waits until a container has ended, and returns that as an error.
    pub(super) async fn ended(&self, container: &str, image: &str) -> SpawnError {
        let options = WaitContainerOptionsBuilder::new()
            .condition("not-running")
            .build();
        let mut ends = std::pin::pin!(self.docker.wait_container(container, Some(options)));
        let reason = match ends.next().await {
            Some(Ok(ended)) => format!("it ended with exit code {}", ended.status_code),
            Some(Err(Error::DockerContainerWaitError { code, .. })) => {
                format!("it ended with exit code {code}")
            }
            Some(Err(error)) => reason(&error),
            None => "it ended".to_owned(),
        };
        SpawnError::Engine {
            what: format!("the helper can't run in a container of the image `{image}`"),
            reason,
        }
    }

    /// Ends a container, and removes it with everything in it. Usually the engine is removing it
    /// already, and may then answer with an error. So this asks until the container is gone, and
    /// logs a failure after [`REMOVAL_TIMEOUT`].
    pub(super) async fn remove(&self, container: &str) {
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let remove = || {
            self.docker
                .remove_container(container, Some(options.clone()))
        };
        if let Err(why) = until_gone(remove).await {
            tracing::warn!("cannot remove the container {container}: {why}");
        }
    }

    /// Keeps the files of a container as an image.
    pub(super) async fn commit(
        &self,
        container: &str,
        name: &str,
        labels: HashMap<String, String>,
    ) -> Result<Image, SpawnError> {
        // Nothing runs in the container that writes.
        let options = CommitContainerOptionsBuilder::new()
            .container(container)
            .pause(false)
            .build();
        let config = ContainerConfig {
            labels: Some(labels),
            ..ContainerConfig::default()
        };
        let committed = self.docker.commit_container(options, config).await;
        let committed = committed.map_err(|error| SpawnError::Engine {
            what: format!("the container with `{name}` can't be kept as an image"),
            reason: reason(&error),
        })?;
        Ok(Image {
            name: format!("with {name}"),
            id: committed.id,
        })
    }

    /// Removes images side by side. One whose files are below another one's can only go when that
    /// one has gone. A failure is logged after [`REMOVAL_TIMEOUT`].
    pub(super) async fn remove_images(&self, ids: impl IntoIterator<Item = String>) {
        let options = RemoveImageOptionsBuilder::new().noprune(true).build();
        let removals = ids.into_iter().map(|id| {
            let options = &options;
            async move {
                let remove = || self.docker.remove_image(&id, Some(options.clone()), None);
                if let Err(why) = until_gone(remove).await {
                    tracing::warn!("cannot remove the image {id} of a snapshot: {why}");
                }
            }
        });
        futures_util::future::join_all(removals).await;
    }

    /// The containers that hosts of Persea have made.
    pub(super) async fn labelled_containers(&self) -> Vec<Labelled> {
        let filters = HashMap::from([("label".to_owned(), vec![HOST.to_owned()])]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let found = self.docker.list_containers(Some(options)).await;
        let found = found.inspect_err(|error| {
            tracing::warn!("cannot list left-over containers: {}", reason(error));
        });
        let found = found.unwrap_or_default().into_iter();
        found.filter_map(|it| Some((it.id?, it.labels?))).collect()
    }

    /// The images that hosts of Persea have made.
    pub(super) async fn labelled_images(&self) -> Vec<Labelled> {
        let filters = HashMap::from([("label".to_owned(), vec![HOST.to_owned()])]);
        let options = ListImagesOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let found = self.docker.list_images(Some(options)).await;
        let found = found.inspect_err(|error| {
            tracing::warn!("cannot list left-over images: {}", reason(error));
        });
        let found = found.unwrap_or_default().into_iter();
        found.map(|it| (it.id, it.labels)).collect()
    }
}

/// Asks for a removal until what is to be removed does not exist.
async fn until_gone<T, F>(remove: impl Fn() -> F) -> Result<(), String>
where
    F: Future<Output = Result<T, Error>>,
{
    let begun = Instant::now();
    loop {
        match remove().await {
            Ok(_) => return Ok(()),
            Err(error) => match status(&error) {
                Some(NOT_FOUND) => return Ok(()),
                Some(_) if begun.elapsed() < REMOVAL_TIMEOUT => {
                    tokio::time::sleep(REMOVAL_INTERVAL).await;
                }
                Some(_) | None => return Err(reason(&error)),
            },
        }
    }
}

fn container_failed(what: &str, image: &str, error: &Error) -> SpawnError {
    SpawnError::Engine {
        what: format!("a container of the image `{image}` can't be {what}"),
        reason: reason(error),
    }
}

/// The engine's name for the architecture of this machine.
fn architecture_of_this_machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// The reason of an error, with all its causes.
fn reason(error: &Error) -> String {
    let mut text = match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Error::RequestTimeoutError => "it does not answer in time".to_owned(),
        other => other.to_string(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    text
}

//! Owns where the socket of a container engine is. Does not talk to the engine.

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::getuid;

use crate::SpawnError;

/// The variables that name an engine for all tools.
const VARIABLES: [&str; 2] = ["CONTAINER_HOST", "DOCKER_HOST"];

/// The setting that names an engine.
const SETTING: &str = "spawner.container.engine";

/// Returns the socket of an engine that takes connections: the one that the setting names, that of
/// a variable, Podman's, or Docker's.
///
/// # Errors
/// None takes connections, or the named one is not a UNIX socket.
pub(in crate::container) fn find_socket(configured: Option<&str>) -> Result<PathBuf, SpawnError> {
    find(configured, |name| std::env::var_os(name), connect)
}

fn connect(path: &Path) -> io::Result<()> {
    UnixStream::connect(path).map(drop)
}

fn find(
    configured: Option<&str>,
    variable: impl Fn(&str) -> Option<OsString>,
    connect: impl Fn(&Path) -> io::Result<()>,
) -> Result<PathBuf, SpawnError> {
    let by_setting = configured.map(|url| (format!("the setting `{SETTING}`"), url.to_owned()));
    let by_variable = || {
        let mut set = VARIABLES.iter().filter_map(|name| {
            let url = variable(name).filter(|url| !url.is_empty())?;
            Some((
                format!("the variable `{name}`"),
                url.to_string_lossy().into_owned(),
            ))
        });
        set.next()
    };
    if let Some((source, url)) = by_setting.or_else(by_variable) {
        let path = match url.strip_prefix("unix://") {
            Some(path) => Path::new(path),
            None if url.starts_with('/') => Path::new(&url),
            None => {
                return Err(SpawnError::Engine {
                    what: format!("the container engine of {source} can't be used"),
                    reason: format!(
                        "`{url}` is not a UNIX socket of this machine, whose files the containers \
                         have to see; expected `unix:///PATH`"
                    ),
                });
            }
        };
        return match connect(path) {
            Ok(()) => Ok(path.to_path_buf()),
            Err(error) => Err(SpawnError::Engine {
                what: format!("the container engine at {}, from {source}", path.display()),
                reason: format!(
                    "{error}: start that engine, or leave {source} out to use Podman's or Docker's \
                     usual socket"
                ),
            }),
        };
    }
    let mut tried = Vec::new();
    for path in usual_sockets(&variable) {
        match connect(&path) {
            Ok(()) => return Ok(path),
            Err(error) => tried.push(format!("{}: {error}", path.display())),
        }
    }
    Err(SpawnError::Engine {
        what: "the spawner `container` needs Podman or Docker, and no socket of them takes \
               connections"
            .to_owned(),
        reason: format!("{}; {}", tried.join(", "), how_to_start()),
    })
}

/// The sockets of engines, in the order in which they are tried.
fn usual_sockets(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let user = getuid();
    if user.is_root() {
        all.push(PathBuf::from("/run/podman/podman.sock"));
    } else {
        let runtime = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
        let runtime = runtime.unwrap_or_else(|| format!("/run/user/{}", user.as_raw()).into());
        all.push(runtime.join("podman/podman.sock"));
        all.push(runtime.join("docker.sock"));
    }
    all.push(PathBuf::from("/run/docker.sock"));
    all
}

/// The command that makes Podman take connections.
fn how_to_start() -> String {
    let user = if getuid().is_root() { "" } else { "--user " };
    format!(
        "`systemctl {user}enable --now podman.socket` starts Podman's (Debian: `apt-get install \
         podman`)"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn found(
        configured: Option<&str>,
        variables: &[(&str, &str)],
        open: &[&str],
    ) -> Result<String, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let connect = |path: &Path| match open.iter().any(|it| Path::new(it) == path) {
            true => Ok(()),
            false => Err(io::ErrorKind::ConnectionRefused.into()),
        };
        let found = find(configured, variable, connect);
        let found = found.map(|path| path.display().to_string());
        found.map_err(|error| error.to_string())
    }

    #[test]
    fn setting_wins_over_variables_and_they_over_the_usual_sockets() {
        let both = [
            ("CONTAINER_HOST", "unix:///b"),
            ("DOCKER_HOST", "unix:///c"),
        ];
        let open = ["/a", "/b", "/c", "/run/docker.sock"];
        assert_eq!(found(Some("unix:///a"), &both, &open).unwrap(), "/a");
        assert_eq!(found(Some("/a"), &both, &open).unwrap(), "/a");
        assert_eq!(found(None, &both, &open).unwrap(), "/b");
        let docker = [("CONTAINER_HOST", ""), ("DOCKER_HOST", "unix:///c")];
        assert_eq!(found(None, &docker, &open).unwrap(), "/c");
        assert_eq!(found(None, &[], &open).unwrap(), "/run/docker.sock");
    }

    #[test]
    fn named_engine_that_does_not_answer_is_an_error_and_no_other_one_is_taken() {
        let error = found(Some("unix:///a"), &[], &["/run/docker.sock"]).unwrap_err();
        assert!(
            error.contains("at /a, from the setting `spawner.container.engine`"),
            "{error}"
        );
        assert!(error.contains("start that engine"), "{error}");
        let ssh = [("CONTAINER_HOST", "ssh://host/run/podman.sock")];
        let error = found(None, &ssh, &["/run/docker.sock"]).unwrap_err();
        assert!(error.contains("the variable `CONTAINER_HOST`"), "{error}");
        assert!(error.contains("expected `unix:///PATH`"), "{error}");
    }

    #[test]
    fn without_an_engine_the_error_names_every_socket_and_what_to_type() {
        let error = found(None, &[], &[]).unwrap_err();
        assert!(error.contains("podman/podman.sock: "), "{error}");
        assert!(error.contains("/run/docker.sock: "), "{error}");
        assert!(error.contains("enable --now podman.socket"), "{error}");
    }
}

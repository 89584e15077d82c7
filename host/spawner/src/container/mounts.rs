//! Owns which files of this machine a container sees, and where. Does not talk to the engine.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bollard::models::{Mount, MountType};

use crate::SpawnError;
use crate::environment::private::{PendingRemovals, PrivateDirectory, remove};

/// The path of the helper's program in a container.
pub(super) const HELPER_PATH: &str = "/run/persea/helper";

/// The directory of the socket in a container.
const CHANNEL: &str = "/run/persea/channel";

/// The path of the socket in a container.
pub(super) const SOCKET_PATH: &str = "/run/persea/channel/socket";

/// The name of the socket in its directory.
const SOCKET: &str = "socket";

/// The longest path of a socket, in bytes: see unix(7).
const MAX_SOCKET_PATH: usize = 107;

/// Directories of a container that cannot be replaced.
const OF_THE_ENGINE: [&str; 3] = ["/proc", "/sys", "/dev"];

/// The name of the work directory in the directory for temporary files.
const WORK: &str = "work";

/// The name of the directory that all tests of a job share.
const COMMON: &str = "common";

/// The files of the machine that containers see.
#[derive(Debug)]
pub(crate) struct Mounts {
    /// The project, in which processes start.
    project: PathBuf,
    /// The host's directory for temporary files. A container sees an own directory there.
    temporary: PathBuf,
    /// Paths that containers do not see.
    hidden: BTreeSet<PathBuf>,
    configured: Vec<ConfiguredMount>,
}

/// An entry of the setting `spawner.container.mounts`.
#[derive(Debug, PartialEq, Eq)]
struct ConfiguredMount {
    source: PathBuf,
    target: PathBuf,
    is_writable: bool,
}

impl ConfiguredMount {
    /// Reads `PATH`, `PATH:TARGET`, each also with `:rw`.
    fn parse(text: &str) -> Result<ConfiguredMount, SpawnError> {
        let (paths, is_writable) = match text.strip_suffix(":rw") {
            Some(paths) => (paths, true),
            None => (text.strip_suffix(":ro").unwrap_or(text), false),
        };
        let (source, target) = paths.split_once(':').unwrap_or((paths, paths));
        let wrong = |why: &str| {
            SpawnError::Invalid(format!(
                "`{text}` in the setting `spawner.container.mounts` can't be mounted: {why}; \
                 expected `PATH` or `PATH:PATH-IN-CONTAINER`, each also with `:rw`"
            ))
        };
        for path in [source, target] {
            if !path.starts_with('/') {
                return Err(wrong(&format!("`{path}` is not an absolute path")));
            }
        }
        if target.contains(':') {
            return Err(wrong("it has more than two paths"));
        }
        let source = PathBuf::from(source);
        match source.metadata() {
            Ok(_) => Ok(ConfiguredMount {
                source,
                target: PathBuf::from(target),
                is_writable,
            }),
            Err(error) => Err(wrong(&error.to_string())),
        }
    }
}

impl ConfiguredMount {
    /// Checks whether the mount leaves what every container has: the `own` paths, and directories
    /// of the engine.
    fn check_target(&self, own: &[&PathBuf]) -> Result<(), SpawnError> {
        let covers = |path: &Path| path.starts_with(&self.target);
        let of_engine = OF_THE_ENGINE.map(Path::new);
        let is_in_engines = of_engine.iter().any(|it| self.target.starts_with(it));
        let hidden = own.iter().map(|path| path.as_path()).chain(of_engine);
        match hidden.into_iter().find(|path| covers(path)) {
            None if !is_in_engines => Ok(()),
            covered => Err(SpawnError::Invalid(format!(
                "the setting `spawner.container.mounts` can't mount anything at {}: {} has to be \
                 visible in the container",
                self.target.display(),
                covered.unwrap_or(&self.target).display()
            ))),
        }
    }
}

impl Mounts {
    /// Reads the configured mounts. `hidden` are paths that containers must not see.
    ///
    /// # Errors
    /// A mount has another form, or its path does not exist.
    pub(super) fn new(
        project: PathBuf,
        temporary: PathBuf,
        hidden: Vec<PathBuf>,
        configured: &[String],
    ) -> Result<Mounts, SpawnError> {
        for path in [&project, &temporary] {
            check_path(path)?;
        }
        // The kernel's limit of a socket's path is 107 bytes.
        let socket = temporary
            .join("containers/100000")
            .join(CHANNEL_NAME)
            .join(SOCKET);
        if socket.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(SpawnError::Invalid(format!(
                "the path of the directory for temporary files, {}, is too long for a socket: set \
                 TMPDIR to a shorter one",
                temporary.display()
            )));
        }
        let configured = configured.iter().map(|text| ConfiguredMount::parse(text));
        let configured: Vec<ConfiguredMount> = configured.collect::<Result<_, _>>()?;
        let helper = PathBuf::from(HELPER_PATH);
        let own = [&project, &temporary, &helper];
        for mount in &configured {
            check_path(&mount.source)?;
            check_path(&mount.target)?;
            mount.check_target(&own)?;
        }
        // A relative path begins at the project.
        let hidden = hidden.iter().map(|path| project.join(path)).collect();
        Ok(Mounts {
            project,
            temporary,
            hidden,
            configured,
        })
    }

    /// The project.
    pub(super) fn project(&self) -> &Path {
        &self.project
    }

    /// Hides a path from containers that are made later.
    pub(super) fn hide(&mut self, path: &Path) {
        self.hidden.insert(path.to_path_buf());
    }

    /// The path of the work directory, in every container.
    pub(super) fn work_dir(&self) -> PathBuf {
        self.temporary.join(WORK)
    }

    /// All mounts of one container.
    ///
    /// # Errors
    /// A directory that covers a hidden one cannot be made.
    pub(super) fn of(
        &self,
        helper: &Path,
        own: &OwnDirectory,
        private: Option<&PrivateDirectory>,
        writable: Option<&Path>,
    ) -> Result<Vec<Mount>, SpawnError> {
        let mut all = vec![
            bind(helper, Path::new(HELPER_PATH), false)?,
            bind(&own.path.join(CHANNEL_NAME), Path::new(CHANNEL), false)?,
            bind(&self.project, &self.project, false)?,
        ];
        for mount in &self.configured {
            all.push(bind(&mount.source, &mount.target, mount.is_writable)?);
        }
        let configured = self.configured.iter().map(|it| (&it.source, &it.target));
        let shown = [(&self.project, &self.project)]
            .into_iter()
            .chain(configured);
        let mut covered: Vec<PathBuf> = Vec::new();
        for (source, target) in shown {
            for path in &self.hidden {
                let Ok(below) = path.strip_prefix(source) else {
                    continue;
                };
                let hidden = target.join(below);
                // Paths are in order, so a hidden directory comes before what is in it.
                if path == source || covered.iter().any(|it| hidden.starts_with(it)) {
                    continue;
                }
                match path.symlink_metadata() {
                    Ok(found) if found.is_dir() => {
                        // Not a file system in memory: Podman copies what is below into it.
                        all.push(bind(&own.make_empty(covered.len())?, &hidden, true)?);
                        covered.push(hidden);
                    }
                    Ok(_) => all.push(bind(Path::new("/dev/null"), &hidden, false)?),
                    Err(_) => {}
                }
            }
        }
        all.push(bind(&own.path.join(FILES_NAME), &self.temporary, true)?);
        if let Some(path) = writable {
            all.push(bind(path, path, true)?);
        }
        if let Some(private) = private {
            all.push(bind(&private.path, &private.shown, true)?);
        }
        Ok(all)
    }
}

/// Checks whether engines take a path as it is. Podman makes a line of comma-separated values of
/// each mount, so a comma in a path would begin an option.
fn check_path(path: &Path) -> Result<(), SpawnError> {
    let is_plain = |text: &str| !text.contains([',', '"']) && !text.contains(char::is_control);
    match path.to_str() {
        Some(text) if is_plain(text) => Ok(()),
        Some(_) | None => Err(SpawnError::Invalid(format!(
            "the spawner `container` can't use {path:?}: the path has a comma, a quotation mark or \
             a control character, or is not UTF-8"
        ))),
    }
}

/// A bind mount of a path of this machine.
fn bind(source: &Path, target: &Path, is_writable: bool) -> Result<Mount, SpawnError> {
    check_path(source)?;
    check_path(target)?;
    Ok(Mount {
        typ: Some(MountType::BIND),
        source: source.to_str().map(str::to_owned),
        target: target.to_str().map(str::to_owned),
        read_only: Some(!is_writable),
        ..Mount::default()
    })
}

/// The name of the socket's directory in an [`OwnDirectory`].
const CHANNEL_NAME: &str = "channel";

/// The name, in an [`OwnDirectory`], of what the container sees as the directory for temporary
/// files.
const FILES_NAME: &str = "files";

/// The directory of this machine that belongs to one container. It is removed in the background
/// when this is dropped.
#[derive(Debug)]
pub(super) struct OwnDirectory {
    path: PathBuf,
    removals: PendingRemovals,
}

impl OwnDirectory {
    /// Makes the directory with this name.
    pub(super) fn make(root: &Path, name: &str, removals: &PendingRemovals) -> io::Result<Self> {
        let path = root.join(name);
        // Everybody in the container may use the directory; outside of it, only the host's user
        // reaches `root`.
        for directory in [
            path.clone(),
            path.join(CHANNEL_NAME),
            path.join(FILES_NAME),
            path.join(FILES_NAME).join(COMMON),
        ] {
            std::fs::create_dir(&directory)?;
            std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o777))?;
        }
        Ok(Self {
            path,
            removals: std::sync::Arc::clone(removals),
        })
    }

    /// Makes an empty directory, to cover another one. The engine makes the mount points of what is
    /// shown below that one in it.
    fn make_empty(&self, number: usize) -> Result<PathBuf, SpawnError> {
        let path = self.path.join(format!("empty-{number}"));
        let made = std::fs::create_dir(&path);
        made.map_err(|error| {
            SpawnError::Invalid(format!("{} can't be made: {error}", path.display()))
        })?;
        Ok(path)
    }

    /// The path of the work directory on this machine.
    pub(super) fn work_dir(&self) -> PathBuf {
        self.path.join(FILES_NAME).join(WORK)
    }

    /// The path of the socket on this machine.
    pub(super) fn socket(&self) -> PathBuf {
        self.path.join(CHANNEL_NAME).join(SOCKET)
    }
}

impl Drop for OwnDirectory {
    fn drop(&mut self) {
        remove(std::mem::take(&mut self.path), &self.removals);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn mount_is_read_only_at_the_same_path_unless_the_text_says_otherwise() {
        for (text, source, target, is_writable) in [
            ("/usr", "/usr", "/usr", false),
            ("/usr:ro", "/usr", "/usr", false),
            ("/usr:rw", "/usr", "/usr", true),
            ("/usr:/opt/usr", "/usr", "/opt/usr", false),
            ("/usr:/opt/usr:rw", "/usr", "/opt/usr", true),
        ] {
            let expected = ConfiguredMount {
                source: source.into(),
                target: target.into(),
                is_writable,
            };
            assert_eq!(ConfiguredMount::parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn mount_of_another_form_is_an_error_with_its_text() {
        for (text, words) in [
            ("usr", "`usr` is not an absolute path"),
            ("/usr:opt", "`opt` is not an absolute path"),
            ("/usr:/opt:/x", "more than two paths"),
            ("/does/not/exist", "No such file or directory"),
            ("", "`` is not an absolute path"),
        ] {
            let error = ConfiguredMount::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert!(
                error.contains(&format!("`{text}` in the setting")),
                "{error}"
            );
        }
    }

    #[test]
    fn path_that_an_engine_would_read_as_options_is_refused() {
        let make = |project: &str, temporary: &str, mounts: &[String]| {
            let made = Mounts::new(project.into(), temporary.into(), Vec::new(), mounts);
            made.map(drop).map_err(|error| error.to_string())
        };
        let refused = |project: &str, temporary: &str, mounts: &[String], words: &str| {
            let error = make(project, temporary, mounts).unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        make("/a b:c'd", "/tmp/persea-1", &[]).unwrap();
        for odd in ["/p,src=/etc", "/p\"q", "/p\nq"] {
            refused(odd, "/tmp/persea-1", &[], "has a comma");
            refused("/p", odd, &[], "has a comma");
        }
        let long = format!("/{}", "x".repeat(90));
        refused("/p", &long, &[], "set TMPDIR to a shorter one");
        for target in [
            "/",
            "/proc",
            "/dev/shm",
            "/tmp",
            "/p",
            "/run",
            "/run/persea",
        ] {
            let mount = [format!("/usr:{target}")];
            refused("/p/q", "/tmp/persea-1", &mount, "can't mount anything at");
        }
        make("/p/q", "/tmp/persea-1", &["/usr:/opt:rw".to_owned()]).unwrap();
    }

    #[test]
    fn hidden_path_below_the_project_is_covered_and_others_are_not_mounted() {
        let root = tempfile::tempdir().unwrap();
        let project = root.path().join("project");
        std::fs::create_dir_all(project.join("results/job")).unwrap();
        std::fs::write(project.join("secret"), "").unwrap();
        let hidden = vec![
            project.join("results"),
            "results".into(),
            project.join("secret"),
            project.join("results/job"),
            project.join("missing"),
            project.clone(),
            root.path().to_path_buf(),
            "/etc".into(),
        ];
        let mounts = Mounts::new(project.clone(), "/tmp/persea-x".into(), hidden, &[]).unwrap();
        let removals = PendingRemovals::default();
        let own = OwnDirectory::make(root.path(), "1", &removals).unwrap();
        let all = mounts.of(Path::new("/helper"), &own, None, None).unwrap();
        let over = |name: &str| {
            let target = project.join(name).to_string_lossy().into_owned();
            let found = all.iter().find(|it| it.target.as_ref() == Some(&target));
            found.map(|it| (it.typ, it.source.as_deref()))
        };
        let empty = own.path.join("empty-0").to_string_lossy().into_owned();
        assert_eq!(
            over("results"),
            Some((Some(MountType::BIND), Some(&*empty)))
        );
        assert_eq!(
            over("secret"),
            Some((Some(MountType::BIND), Some("/dev/null")))
        );
        assert_eq!(over("results/job"), None);
        assert_eq!(over("missing"), None);
        assert_eq!(all.len(), 3 + 2 + 1);
    }
}

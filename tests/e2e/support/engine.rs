//! Owns a container engine for tests: Podman with storage, socket and settings of its own, ended
//! with the last test that uses it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use super::{Fixture, Ran, finish, wait_until};

/// The image with BusyBox that every engine has.
pub const IMAGE: &str = "localhost/busybox:latest";

/// A running Podman.
pub struct Engine {
    directory: tempfile::TempDir,
    /// A process in the mount namespace of the engine.
    namespace: Child,
    service: Mutex<Child>,
}

impl Engine {
    /// The engine that all tests share.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Engine>> = Mutex::new(Weak::new());
        let mut shared = SHARED
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(engine) = shared.upgrade() {
            return engine;
        }
        let engine = Arc::new(Self::start());
        *shared = Arc::downgrade(&engine);
        engine
    }

    /// Starts an engine.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        // A machine without the capability to raise limits, and with hybrid control groups, needs
        // other settings than Podman's own.
        let containers = "[containers]\n\
                          default_ulimits = [\"nofile=20000:20000\", \"nproc=30000:30000\"]\n\
                          netns = \"none\"\n\
                          [engine]\n\
                          runtime = \"runc\"\n\
                          cgroup_manager = \"cgroupfs\"\n\
                          events_logger = \"file\"\n";
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{0}/storage\"\nrunroot = \"{0}/run\"\n",
            path.display()
        );
        std::fs::write(path.join("containers.conf"), containers).unwrap();
        std::fs::write(path.join("storage.conf"), storage).unwrap();
        std::fs::write(path.join("registries.conf"), "").unwrap();
        let namespace = namespace();
        let service = serve(&podman_in(path, &namespace), path);
        let engine = Self {
            directory,
            namespace,
            service: Mutex::new(service),
        };
        engine.import(IMAGE, &[], "");
        engine
    }

    /// The program `podman` with the engine's settings.
    pub fn podman(&self, args: &[&str]) -> Command {
        let mut command = podman_in(self.directory.path(), &self.namespace);
        command.args(args);
        command
    }

    /// Runs `podman` to its end, which must be a success.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.podman(args);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        finish(command.spawn().unwrap()).code(0)
    }

    /// Makes an image of BusyBox with further files, perhaps for another architecture.
    pub fn import(&self, name: &str, files: &[&str], architecture: &str) {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for directory in ["bin", "dev", "etc", "opt", "proc", "sys", "tmp"] {
            std::fs::create_dir(root.join(directory)).unwrap();
        }
        std::fs::copy("/bin/busybox", root.join("bin/busybox"))
            .expect("busybox, of Debian's package busybox-static");
        let installed = Command::new(root.join("bin/busybox"))
            .args(["--install", "-s"])
            .arg(root.join("bin"))
            .status();
        assert!(installed.unwrap().success());
        // The links have the path of the directory in which they were made.
        for entry in std::fs::read_dir(root.join("bin")).unwrap().flatten() {
            if entry.file_type().unwrap().is_symlink() {
                std::fs::remove_file(entry.path()).unwrap();
                std::os::unix::fs::symlink("busybox", entry.path()).unwrap();
            }
        }
        std::fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n").unwrap();
        for file in files {
            std::fs::write(root.join(file), "").unwrap();
        }
        let archive = self.directory.path().join("image.tar");
        let mut pack = Command::new("tar");
        pack.arg("-C").arg(root).arg("-cf").arg(&archive).arg(".");
        assert!(pack.status().unwrap().success());
        let archive = archive.to_str().unwrap();
        let mut args = vec!["import", archive, name];
        let option = format!("--arch={architecture}");
        if !architecture.is_empty() {
            args.insert(1, &option);
        }
        self.run(&args);
    }

    /// The socket, as the setting for the engine has it.
    pub fn url(&self) -> String {
        format!("unix://{}/podman.sock", self.directory.path().display())
    }

    /// Makes the engine that of a project's user.
    pub fn configure(&self, project: &Fixture) {
        let settings = self.settings();
        project.user_config(&format!("run.spawner = \"container\"\n{settings}"));
    }

    /// The settings with which the spawner uses the engine.
    pub fn settings(&self) -> String {
        format!(
            "spawner.container.engine = \"{}\"\nspawner.container.image = \"{IMAGE}\"\n",
            self.url()
        )
    }

    /// Kills the service with SIGKILL.
    pub fn kill(&self) {
        let mut service = self.service.lock().unwrap();
        service.kill().unwrap();
        service.wait().unwrap();
    }

    /// Starts the service again.
    pub fn restart(&self) {
        let podman = self.podman(&[]);
        *self.service.lock().unwrap() = serve(&podman, self.directory.path());
    }

    /// The ids of the containers of a project's hosts, in any state. A label names the host's
    /// directory for temporary files, which is in the project's.
    pub fn containers_of(&self, project: &Fixture) -> Vec<String> {
        let ran = self.run(&[
            "ps",
            "--all",
            "--no-trunc",
            "--filter",
            "label=persea.temporary",
            "--format",
            "{{.ID}} {{index .Labels \"persea.temporary\"}}",
        ]);
        let root = project.root().display().to_string();
        let lines = ran.stdout.lines().filter(|line| line.contains(&root));
        let ids = lines.filter_map(|line| line.split_whitespace().next());
        ids.map(str::to_owned).collect()
    }

    /// No container of the project's hosts is left, within the time that anything may take.
    #[track_caller]
    pub fn assert_no_containers_of(&self, project: &Fixture) {
        wait_until("all containers are removed", || {
            match self.containers_of(project).as_slice() {
                [] => Ok(()),
                left => Err(format!("{left:?}")),
            }
        });
    }
}

/// Starts the service, and waits until it takes connections.
fn serve(podman: &Command, path: &Path) -> Child {
    let socket = path.join("podman.sock");
    let _ = std::fs::remove_file(&socket);
    let url = format!("unix://{}", socket.display());
    let mut command = Command::new(podman.get_program());
    command.args(podman.get_args());
    super::process::equip_as(&mut command, podman);
    let child = command
        .args(["system", "service", "--time=0", &url])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nsenter, of Debian's package util-linux");
    wait_until("Podman, of Debian's package of that name", || {
        std::os::unix::net::UnixStream::connect(&socket).map_err(|error| error.to_string())
    });
    child
}

/// Starts a process in a mount namespace of its own. The mounts of the engine appear only there,
/// and disappear with it: they come and go while other tests list those of the machine.
fn namespace() -> Child {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sleep", "infinity"]);
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    wait_until("the namespace", || {
        match of(&child.id().to_string()) != of("self") {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        }
    });
    child
}

fn podman_in(path: &Path, namespace: &Child) -> Command {
    let mut command = Command::new("nsenter");
    command
        .args(["--target", &namespace.id().to_string(), "--mount", "podman"])
        .env("CONTAINERS_CONF", path.join("containers.conf"))
        .env("CONTAINERS_STORAGE_CONF", path.join("storage.conf"))
        .env("CONTAINERS_REGISTRIES_CONF", path.join("registries.conf"))
        .env_remove("CONTAINER_HOST");
    command
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Removes what a failed test has left, which would keep the directory in use.
        let _ = self
            .podman(&["rm", "--all", "--force", "--time=0"])
            .output();
        self.kill();
        let _ = self.namespace.kill();
        let _ = self.namespace.wait();
    }
}

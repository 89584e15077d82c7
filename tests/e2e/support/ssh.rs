//! Owns ssh servers for tests: OpenSSH's `sshd` on high ports of loopback addresses, each of which
//! is a host of its own to the binary, with keys and settings of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Fixture, MARK, wait_until};

/// The path of the server. It refuses to run by a relative one.
const SSHD: &str = "/usr/sbin/sshd";

/// Hosts of one project.
pub struct Hosts {
    servers: Vec<Server>,
    /// Keys and settings. Outside of the project's directory, because each process with a path in
    /// that one counts as one of the project.
    files: tempfile::TempDir,
    /// The directory for temporary files of all hosts.
    tmp: PathBuf,
}

struct Server {
    name: String,
    port: u16,
    child: Child,
}

/// A port that nothing listens on.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Makes a key without a password.
fn key(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status();
    assert!(
        made.expect("ssh-keygen, of Debian's package openssh-client")
            .success()
    );
}

impl Hosts {
    /// Starts a server for each name, and makes these the hosts of the project's user. Processes
    /// there have the project's mark, and a directory for temporary files in the project's.
    pub fn start(project: &Fixture, names: &[&str]) -> Self {
        Self::start_with(project, names, "")
    }

    /// [`Hosts::start`] with more lines for the configuration of the servers.
    pub fn start_with(project: &Fixture, names: &[&str], more: &str) -> Self {
        Self::start_below(project, names, more, &[])
    }

    /// [`Hosts::start_with`], with the servers started by another program.
    pub fn start_below(project: &Fixture, names: &[&str], more: &str, wrapper: &[&str]) -> Self {
        let tmp = project.root().join("hosts/tmp");
        std::fs::create_dir_all(&tmp).unwrap();
        let files = tempfile::tempdir().unwrap();
        // `sshd` insists on it.
        std::fs::create_dir_all("/run/sshd").unwrap();
        key(&files.path().join("user"));
        let mut hosts = Self {
            servers: Vec::new(),
            files,
            tmp,
        };
        for name in names {
            key(&hosts.files.path().join(name));
            let port = free_port();
            let config = format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/{name}\nPidFile none\n\
                 AuthorizedKeysFile {0}/user.pub\nStrictModes no\nUsePAM no\n\
                 PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
                 SetEnv {MARK}={1} TMPDIR={2} HOST_NAME={name} XDG_CACHE_HOME={3}\n{more}\n",
                hosts.files.path().display(),
                project.mark,
                hosts.tmp.display(),
                project.root().join("hosts/cache").display(),
            );
            std::fs::write(hosts.files.path().join(format!("{name}.conf")), config).unwrap();
            let child = hosts.serve(name, port, wrapper);
            hosts.servers.push(Server {
                name: (*name).to_owned(),
                port,
                child,
            });
        }
        hosts.know();
        let config = hosts.servers.iter().map(|Server { name, port, .. }| {
            format!("Host {name}\nHostName 127.0.0.1\nPort {port}\nHostKeyAlias {name}\n")
        });
        let config = config.collect::<String>()
            + &format!(
                "Host *\nUser root\nIdentityFile {0}/user\nIdentitiesOnly yes\n\
                 UserKnownHostsFile {0}/known\nGlobalKnownHostsFile none\nIdentityAgent none\n",
                hosts.files.path().display()
            );
        std::fs::write(hosts.files.path().join("config"), config).unwrap();
        project.user_config(&format!("run.spawner = \"ssh\"\n{}", hosts.settings()));
        hosts
    }

    /// The settings with which the spawner uses the hosts.
    pub fn settings(&self) -> String {
        let names: Vec<&str> = self.servers.iter().map(|it| it.name.as_str()).collect();
        format!(
            "spawner.ssh.hosts = {names:?}\nspawner.ssh.lease = 3\n\
             spawner.ssh.options = [\"-F\", \"{}/config\"]\n",
            self.files.path().display()
        )
    }

    /// [`Hosts::start`], with hosts that see neither the project nor the results nor anything else
    /// of the user. All of them see the directory `hosts` beside the project.
    pub fn start_apart(project: &Fixture, names: &[&str]) -> Self {
        Self::start_apart_with(project, names, "true")
    }

    /// [`Hosts::start_apart`], with a command that prepares the file system of the hosts.
    pub fn start_apart_with(project: &Fixture, names: &[&str], prepare: &str) -> Self {
        let home = project.root().join("home");
        std::fs::create_dir_all(&home).unwrap();
        let script = format!(
            "mount -t tmpfs none {} && mount -t tmpfs none {} && {prepare} && exec \"$@\"",
            home.display(),
            project.project().display(),
        );
        let wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"];
        Self::start_below(project, names, "", &wrapper)
    }

    fn serve(&self, name: &str, port: u16, wrapper: &[&str]) -> Child {
        let config = self.files.path().join(format!("{name}.conf"));
        let (program, arguments) = match wrapper {
            [] => (SSHD, &[][..]),
            [program, arguments @ ..] => (*program, arguments),
        };
        let mut command = Command::new(program);
        command.args(arguments);
        if !wrapper.is_empty() {
            command.arg(SSHD);
        }
        let log = std::fs::File::create(self.files.path().join(format!("{name}.log"))).unwrap();
        let child = command
            .args(["-D", "-e", "-f"])
            .arg(config)
            // The server is no process of the project.
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sshd, of Debian's package openssh-server");
        wait_until("sshd", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())
        });
        child
    }

    /// Writes the hosts' present keys to the list of known ones.
    fn know(&self) {
        let lines = self.servers.iter().map(|Server { name, .. }| {
            let public = self.files.path().join(format!("{name}.pub"));
            format!("{name} {}", std::fs::read_to_string(public).unwrap())
        });
        std::fs::write(self.files.path().join("known"), lines.collect::<String>()).unwrap();
    }

    fn server(&mut self, name: &str) -> &mut Server {
        let mut servers = self.servers.iter_mut();
        servers.find(|server| server.name == name).unwrap()
    }

    /// Forgets the keys of all hosts.
    pub fn forget_keys(&self) {
        std::fs::write(self.files.path().join("known"), "").unwrap();
    }

    /// Makes the known key of a host another one than the host has.
    pub fn change_key(&self, name: &str) {
        let other = self.files.path().join("other");
        key(&other);
        let public = std::fs::read_to_string(self.files.path().join("other.pub")).unwrap();
        std::fs::write(self.files.path().join("known"), format!("{name} {public}")).unwrap();
    }

    /// Takes the key of the user away from all hosts.
    pub fn lock_out(&self) {
        std::fs::write(self.files.path().join("user.pub"), "").unwrap();
    }

    /// The files in the hosts' directory for temporary files.
    pub fn left_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.tmp).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.collect()
    }

    /// Neither a process of the project nor a file is left on any host, within the time that
    /// anything may take.
    #[track_caller]
    pub fn assert_nothing_left(&self, project: &Fixture) {
        project.assert_no_strays();
        wait_until("all files are removed from the hosts", || {
            match self.left_files().as_slice() {
                [] => Ok(()),
                left => Err(format!("{left:?}")),
            }
        });
    }

    /// The server's processes that serve connections.
    fn sessions(&mut self, name: &str) -> Vec<u32> {
        let server = self.server(name).child.id();
        let children = |pid: u32| {
            let path = format!("/proc/{pid}/task/{pid}/children");
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let pids = text.split_whitespace().map(|pid| pid.parse().unwrap());
            pids.collect::<Vec<u32>>()
        };
        // Below a wrapper, the server is a child of it.
        let all = children(server);
        let is_server = |pid: &u32| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
            line.is_ok_and(|line| line.starts_with(SSHD))
        };
        all.into_iter()
            .flat_map(|pid| match is_server(&pid) {
                true => children(pid),
                false => vec![pid],
            })
            .collect()
    }

    /// Sends a signal to each process of the server that serves a connection.
    pub fn signal_sessions(&mut self, name: &str, signal: &str) {
        let sessions = self.sessions(name);
        assert!(!sessions.is_empty(), "nobody is connected to {name}");
        for session in sessions {
            super::signal(session, signal);
        }
    }

    /// Stops a server for new connections, and kills those that there are.
    pub fn kill(&mut self, name: &str) {
        let sessions = self.sessions(name);
        let server = self.server(name);
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        for session in sessions {
            super::signal(session, "KILL");
        }
    }

    /// Cuts the network between this machine and a host: everything that listens for it stands
    /// still, and nothing is closed.
    pub fn cut(&mut self, name: &str) {
        let sessions = self.sessions(name);
        let server = self.server(name).child.id();
        for process in sessions.into_iter().chain([server]) {
            super::signal(process, "STOP");
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let names: Vec<String> = self.servers.iter().map(|it| it.name.clone()).collect();
        for name in names {
            for session in self.sessions(&name) {
                let _ = Command::new("kill")
                    .args(["-KILL", &session.to_string()])
                    .stderr(Stdio::null())
                    .status();
            }
            let server = self.server(&name);
            let _ = server.child.kill();
            let _ = server.child.wait();
        }
    }
}

//! Ways out of the sandbox, each a program that is run twice: on the machine itself, where it must get out, and in a sandbox, where it must
//! not. So a case that fails for a reason of its own is noticed. `sandbox/ways.py` has the programs.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Ran, Sandbox, finish};

mod kernel;
mod results;

const NOBODY: u32 = 65534;

/// Who runs the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    Root,
    Nobody,
}

const USERS: [User; 2] = [User::Root, User::Nobody];

/// What the machine has around the project: what must not answer, and what must not be read.
pub struct Machine {
    pub sandbox: Sandbox,
    user: User,
    /// A file system of its own lies at [`Machine::directory`].
    mounted: bool,
    process: Child,
    _sockets: (UnixListener, UnixDatagram, UnixListener, UnixDatagram),
    _pipe: std::fs::File,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Machine {
    pub fn new(user: User) -> Self {
        let sandbox = Sandbox::new();
        sandbox.file("ways.py", include_str!("sandbox/ways.py"));
        sandbox.file("expected/answers", "42\n");
        sandbox.file("persea.toml", "spawner.sandbox.hide = ['expected']\n");
        sandbox.file("../machine/file", "of the machine\n");
        for secret in [
            ".ssh/id_ed25519",
            ".aws/credentials",
            ".netrc",
            ".config/persea/config.toml",
        ] {
            sandbox.file(&format!("../home/{secret}"), "# secret\n");
        }
        let path = |name: &str| sandbox.root().join("machine").join(name);
        let pipe = path("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let both = std::fs::File::options().read(true).write(true).open(&pipe);
        let name = |kind: &str| {
            let name = format!("{}-{kind}", abstract_name(&sandbox));
            SocketAddr::from_abstract_name(name).unwrap()
        };
        let sockets = (
            UnixListener::bind(path("stream")).unwrap(),
            UnixDatagram::bind(path("datagram")).unwrap(),
            UnixListener::bind_addr(&name("stream")).unwrap(),
            UnixDatagram::bind_addr(&name("datagram")).unwrap(),
        );
        let mut process = Command::new("sleep");
        if user == User::Nobody {
            process.uid(NOBODY).gid(NOBODY);
        }
        let machine = Self {
            user,
            mounted: false,
            process: process.arg("12345").spawn().unwrap(),
            _sockets: sockets,
            _pipe: both.unwrap(),
            sandbox,
        };
        if user == User::Nobody {
            let root = machine.sandbox.root();
            std::fs::copy(env!("CARGO_BIN_EXE_persea"), root.join("persea")).unwrap();
            let mut chown = Command::new("chown");
            let owner = format!("{NOBODY}:{NOBODY}");
            let done = chown.args(["-R", &owner]).arg(root).status().unwrap();
            assert!(done.success(), "these tests run as root");
            let everybody = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(root, everybody).unwrap();
        }
        machine
    }

    /// The same with another file system at its directory.
    pub fn mounted(user: User) -> Self {
        let mut machine = Self::new(user);
        machine.mounted = true;
        machine
    }

    fn directory(&self) -> PathBuf {
        self.sandbox.root().join("machine")
    }

    /// The binary, started by the user.
    pub fn persea(&self, args: &[&str]) -> Command {
        let as_root = self.sandbox.persea(args);
        let mut words: Vec<std::ffi::OsString> = Vec::new();
        if self.mounted {
            let mount = "mount --bind \"$0\" \"$0\" && exec \"$@\"";
            words.extend(["unshare", "--mount", "sh", "-c", mount].map(Into::into));
            words.push(self.directory().into());
        }
        match self.user {
            User::Root => words.push(as_root.get_program().into()),
            User::Nobody => {
                let become_nobody = [
                    "setpriv",
                    "--reuid=65534",
                    "--regid=65534",
                    "--clear-groups",
                ];
                words.extend(become_nobody.map(Into::into));
                words.push(self.sandbox.root().join("persea").into());
            }
        }
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args(args)
            .current_dir(self.sandbox.project())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in as_root.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if self.user == User::Nobody {
            command.env("XDG_CACHE_HOME", self.sandbox.root().join("cache"));
        }
        let secret = self.sandbox.root().join("home/.ssh/id_ed25519");
        command
            .env("MACHINE", self.directory())
            .env("SECRET", secret)
            .env("PID", self.process.id().to_string())
            .env("ABSTRACT", abstract_name(&self.sandbox));
        command
    }

    /// Runs these tests with a spawner.
    pub fn run(&self, spawner: &str, tests: &[Value]) -> Ran {
        self.sandbox
            .file("job.json", Value::from(tests).to_string());
        let args = ["run", "--spawner", spawner, "job.json"];
        finish(self.persea(&args).spawn().unwrap())
    }

    /// Each of these ways leads out on the machine itself, and none from a sandbox.
    #[track_caller]
    pub fn assert_held(&self, ways: &[&str]) {
        self.assert_all("process", ways, "PASS");
        self.assert_all("sandbox", ways, "FAIL");
        self.sandbox.assert_no_strays();
    }

    #[track_caller]
    fn assert_all(&self, spawner: &str, ways: &[&str], status: &str) {
        let mut tests: Vec<Value> = ways.iter().map(|way| test(way)).collect();
        tests.push(beside());
        let ran = self.run(spawner, &tests);
        let job = self.sandbox.job();
        assert_eq!(job.status("beside"), "PASS", "{ran}");
        for way in ways {
            let said = || job.artifact(way, "stdout");
            assert_eq!(
                job.status(way),
                status,
                "{:?}, {spawner}: {}{ran}",
                self.user,
                said()
            );
            // Not by a mistake of its own.
            let end = if status == "PASS" {
                ": out"
            } else {
                ": held: "
            };
            assert!(said().starts_with(&format!("{way}{end}")), "{}", said());
        }
    }
}

fn abstract_name(sandbox: &Sandbox) -> String {
    format!("persea{}", sandbox.root().display())
}

fn test(way: &str) -> Value {
    json!({"kind": "exec-test", "uri": "python3", "args": ["ways.py", way], "identifier": way})
}

/// A test that is nobody else's matter.
fn beside() -> Value {
    json!({
        "kind": "exec-test", "uri": "/bin/true", "args": ["answer-of-the-test-beside"], "identifier": "beside",
    })
}

/// Sockets and pipes in a directory of the machine.
const ANSWERS: [&str; 5] = [
    "socket_of_the_machine",
    "datagrams_of_the_machine",
    "socket_by_a_link",
    "socket_by_a_descriptor",
    "pipe_of_the_machine_written",
];

#[test]
fn sockets_and_pipes_of_the_machine_are_unreachable() {
    for user in USERS {
        Machine::new(user).assert_held(&ANSWERS);
    }
}

#[test]
fn sockets_and_pipes_of_another_file_system_are_unreachable() {
    for user in USERS {
        Machine::mounted(user).assert_held(&ANSWERS);
    }
}

#[test]
fn abstract_sockets_are_unreachable_even_with_a_network() {
    let ways = [
        "abstract_socket",
        "abstract_datagrams",
        "abstract_socket_of_a_child",
    ];
    for user in USERS {
        let machine = Machine::new(user);
        machine.assert_held(&ways);
        let settings = "spawner.sandbox.network = true\n";
        let config = "../home/.config/persea/config.toml";
        machine.sandbox.file(config, settings);
        machine.assert_held(&ways);
    }
}

#[test]
fn sandbox_with_a_network_can_use_own_abstract_sockets() {
    let machine = Machine::new(User::Root);
    let config = "../home/.config/persea/config.toml";
    machine
        .sandbox
        .file(config, "spawner.sandbox.network = true\n");
    let script = "import os, socket
server = socket.socket(socket.AF_UNIX)
server.bind('\\0persea-own')
server.listen()
socket.socket(socket.AF_UNIX).connect('\\0persea-own')";
    let own = json!({"kind": "exec-test", "uri": "python3", "args": ["-c", script]});
    let ran = machine.run("sandbox", &[own]);
    ran.code(0);
}

#[test]
fn results_of_jobs_are_hidden_from_tests() {
    let ways = ["journal_of_the_job", "arguments_of_other_tests"];
    for user in USERS {
        let machine = Machine::new(user);
        machine.assert_held(&ways);
        // Also where they are made in the project itself.
        for results in [".", "results"] {
            let options = ["run", "--spawner", "sandbox", "--results-dir", results];
            let tests: Vec<Value> = ways.iter().map(|way| test(way)).chain([beside()]).collect();
            machine
                .sandbox
                .file("job.json", Value::from(tests).to_string());
            for _ in 0..2 {
                let args = [&options[..], &["job.json"]].concat();
                let ran = finish(machine.persea(&args).spawn().unwrap());
                assert!(
                    ran.stdout.contains("PASS 1 | ERROR 0 | FAIL 2"),
                    "{results}: {ran}"
                );
            }
        }
    }
}

#[test]
fn paths_hidden_by_a_project_are_hidden_from_its_tests() {
    let ways = [
        "expected_results",
        "expected_results_by_a_link",
        "expected_results_by_the_root_of_a_process",
        "expected_results_made_a_hard_link",
        "expected_results_where_they_were_moved_to",
    ];
    for user in USERS {
        let machine = Machine::new(user);
        machine.assert_held(&ways);
        let answers = machine.sandbox.project().join("expected/answers");
        assert_eq!(std::fs::read_to_string(answers).unwrap(), "42\n");
    }
}

/// Keys and tokens in the home directory.
const SECRETS: [&str; 4] = [
    "ssh_key",
    "cloud_token",
    "configuration_of_persea",
    "file_of_tokens",
];

#[test]
fn secrets_of_the_home_directory_are_hidden() {
    for user in USERS {
        Machine::new(user).assert_held(&SECRETS);
    }
}

#[test]
fn only_the_user_can_show_hidden_paths() {
    for user in USERS {
        let machine = Machine::new(user);
        let show = "spawner.sandbox.show = ['~/.ssh', '~/.aws/credentials', 'expected']\n";
        machine.sandbox.file("persea.toml", show);
        machine.assert_all("sandbox", &SECRETS, "FAIL");
        machine
            .sandbox
            .file("../home/.config/persea/config.toml", show);
        let hide = "spawner.sandbox.hide = ['expected', '~/.netrc']\n";
        machine.sandbox.file("persea.toml", hide);
        let shown = ["ssh_key", "cloud_token", "expected_results"];
        machine.assert_all("sandbox", &shown, "PASS");
        let hidden = ["file_of_tokens", "configuration_of_persea"];
        machine.assert_all("sandbox", &hidden, "FAIL");
    }
}

#[test]
fn shown_socket_is_reachable() {
    let machine = Machine::new(User::Root);
    let stream = machine.directory().join("stream");
    let show = format!("spawner.sandbox.show = ['{}']\n", stream.display());
    machine
        .sandbox
        .file("../home/.config/persea/config.toml", show);
    machine.assert_all("sandbox", &["socket_of_the_machine"], "PASS");
    machine.assert_all("sandbox", &["datagrams_of_the_machine"], "FAIL");
}

#[test]
fn hiding_the_project_itself_is_refused() {
    let sandbox = Sandbox::new();
    let hide = r#"spawner.sandbox.hide=[".."]"#;
    let args = ["run", "--spawner", "sandbox", "--set", hide, "/bin/true"];
    let ran = sandbox.run(&args).code(2);
    assert!(ran.stderr.contains("spawner.sandbox.hide"), "{ran}");
}

//! Owns ways out of the sandbox. Each is a function of `sandbox/ways.py` that runs twice: outside
//! of a sandbox, where it must succeed, and in one, where it must not. So a way that fails by a
//! fault of its own is noticed.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};

use serde_json::{Value, json};

use crate::support::recipes::{exec, with};
use crate::support::{Fixture, Ran, finish};

mod kernel;
mod results;

const NOBODY: u32 = 65534;

/// A program that runs a command as that user.
const AS_NOBODY: [&str; 4] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
];

/// The user who runs the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    Root,
    Nobody,
}

const USERS: [User; 2] = [User::Root, User::Nobody];

/// The surroundings of a project: sockets, pipes and a process that must be unreachable from a
/// sandbox, and secrets that must be unreadable.
pub struct Machine {
    pub fixture: Fixture,
    user: User,
    /// The commands of a shell that mount something for the host. `$0` is [`Machine::directory`].
    mounts: Option<&'static str>,
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
        let fixture = Fixture::new();
        fixture.file("ways.py", include_str!("sandbox/ways.py"));
        fixture.file("expected/answers", "42\n");
        fixture.file("persea.toml", "spawner.sandbox.hide = ['expected']\n");
        fixture.file("../machine/file", "of the machine\n");
        for secret in [
            ".ssh/id_ed25519",
            ".aws/credentials",
            ".netrc",
            ".config/persea/config.toml",
        ] {
            fixture.file(&format!("../home/{secret}"), "# secret\n");
        }
        let path = |name: &str| fixture.root().join("machine").join(name);
        let pipe = path("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let both = std::fs::File::options().read(true).write(true).open(&pipe);
        let name = |kind: &str| {
            let name = format!("{}-{kind}", abstract_name(&fixture));
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
            mounts: None,
            process: process.arg("12345").spawn().unwrap(),
            _sockets: sockets,
            _pipe: both.unwrap(),
            fixture,
        };
        if user == User::Nobody {
            let root = machine.fixture.root();
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

    /// A machine whose directory is another file system.
    pub fn mounted(user: User) -> Self {
        let mut machine = Self::new(user);
        machine.mounts = Some("mount --bind \"$0\" \"$0\"");
        machine
    }

    /// A machine whose directory has this mode, and another file system below it.
    pub fn with_mount_below(user: User, mode: u32) -> Self {
        let mut machine = Self::new(user);
        let directory = machine.directory();
        std::fs::create_dir(directory.join("sub")).unwrap();
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(directory, mode).unwrap();
        machine.mounts = Some("mount -t tmpfs tmpfs \"$0/sub\"");
        machine
    }

    fn directory(&self) -> PathBuf {
        self.fixture.root().join("machine")
    }

    /// The binary, started by the user, with the variables that `ways.py` reads.
    pub fn persea(&self, args: &[&str]) -> Command {
        let as_root = self.fixture.persea(args);
        let mut words: Vec<std::ffi::OsString> = Vec::new();
        if let Some(mounts) = self.mounts {
            let script = format!("{mounts} && exec \"$@\"");
            words.extend(["unshare", "--mount", "sh", "-c", &script].map(Into::into));
            words.push(self.directory().into());
        }
        match self.user {
            User::Root => words.push(as_root.get_program().into()),
            User::Nobody => {
                words.extend(AS_NOBODY.map(Into::into));
                words.push(self.fixture.root().join("persea").into());
            }
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(args);
        self.fixture.equip(&mut command);
        if self.user == User::Nobody {
            command.env("XDG_CACHE_HOME", self.fixture.root().join("cache"));
        }
        let secret = self.fixture.root().join("home/.ssh/id_ed25519");
        command
            .env("MACHINE", self.directory())
            .env("SECRET", secret)
            .env("PID", self.process.id().to_string())
            .env("ABSTRACT", abstract_name(&self.fixture));
        command
    }

    /// Runs these tests with a spawner.
    pub fn run(&self, spawner: &str, tests: &[Value]) -> Ran {
        self.fixture.recipe("job.json", tests);
        let args = ["run", "--spawner", spawner, "job.json"];
        finish(self.persea(&args).spawn().unwrap())
    }

    /// Each of these ways succeeds outside of a sandbox, and none succeeds in one.
    #[track_caller]
    pub fn assert_held(&self, ways: &[&str]) {
        self.assert_all("process", ways, "PASS");
        self.assert_all("sandbox", ways, "FAIL");
        self.fixture.assert_no_strays();
    }

    /// With this spawner, each of these ways ends with this status, and for the reason expected.
    #[track_caller]
    fn assert_all(&self, spawner: &str, ways: &[&str], status: &str) {
        let mut tests: Vec<Value> = ways.iter().map(|way| test(way)).collect();
        tests.push(beside());
        let ran = self.run(spawner, &tests);
        let job = self.fixture.job();
        assert_eq!(job.status("beside"), "PASS", "{ran}");
        for way in ways {
            let printed = job.artifact(way, "stdout");
            let context = || format!("{:?}, {spawner}: {printed}{ran}", self.user);
            assert_eq!(job.status(way), status, "{}", context());
            // The way failed because it was held, and not by a fault of its own.
            let end = match status {
                "PASS" => ": out",
                _ => ": held: ",
            };
            assert!(printed.starts_with(&format!("{way}{end}")), "{printed}");
        }
    }
}

fn abstract_name(fixture: &Fixture) -> String {
    format!("persea{}", fixture.root().display())
}

/// A test that tries this way.
fn test(way: &str) -> Value {
    with(exec(way, "python3"), "args", json!(["ways.py", way]))
}

/// Another test, whose arguments must be hidden.
fn beside() -> Value {
    let args = json!(["answer-of-the-test-beside"]);
    with(exec("beside", "/bin/true"), "args", args)
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
fn sockets_and_pipes_beside_a_mount_are_unreachable() {
    for user in USERS {
        // Another user than root sees the first directory by its entries, and the second one empty.
        for mode in [0o755, 0o1777] {
            Machine::with_mount_below(user, mode).assert_held(&ANSWERS);
        }
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
        machine
            .fixture
            .user_config("spawner.sandbox.network = true\n");
        machine.assert_held(&ways);
    }
}

#[test]
fn sandbox_with_a_network_can_use_own_abstract_sockets() {
    let machine = Machine::new(User::Root);
    machine
        .fixture
        .user_config("spawner.sandbox.network = true\n");
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
        // Also where the results directory is in the project.
        for results in [".", "results"] {
            let options = ["run", "--spawner", "sandbox", "--results-dir", results];
            let tests: Vec<Value> = ways.iter().map(|way| test(way)).chain([beside()]).collect();
            machine.fixture.recipe("job.json", &tests);
            // The second job could read the results of the first.
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
        let answers = machine.fixture.project().join("expected/answers");
        assert_eq!(std::fs::read_to_string(answers).unwrap(), "42\n");
    }
}

/// Ways to read keys and tokens in the home directory.
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
        machine.fixture.file("persea.toml", show);
        machine.assert_all("sandbox", &SECRETS, "FAIL");
        machine.fixture.user_config(show);
        let hide = "spawner.sandbox.hide = ['expected', '~/.netrc']\n";
        machine.fixture.file("persea.toml", hide);
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
    machine.fixture.user_config(&show);
    machine.assert_all("sandbox", &["socket_of_the_machine"], "PASS");
    machine.assert_all("sandbox", &["datagrams_of_the_machine"], "FAIL");
}

#[test]
fn hiding_the_project_itself_is_refused() {
    let fixture = Fixture::new();
    let hide = r#"spawner.sandbox.hide=[".."]"#;
    let args = ["run", "--spawner", "sandbox", "--set", hide, "/bin/true"];
    let ran = fixture.run(&args).code(2);
    let project = fixture.project().canonicalize().unwrap();
    let why = format!(
        "the setting `spawner.sandbox.hide` hides {}, in which tests start: hide paths in it \
         instead",
        project.display()
    );
    assert_eq!(ran.stderr.trim().trim_start_matches("x "), why);
    fixture.assert_no_job();
}

//! Owns the command line of the program `ssh`, and what its errors mean. Does not know what runs on
//! the other side.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::SpawnError;
use crate::launch::private_dir;
use crate::remote::link::Route;

/// The longest path of a UNIX socket, without what `ssh` appends to it while it makes one.
const MAX_SOCKET_PATH: usize = 107 - 17;

/// How long a host may take to answer a new connection: 10 s. The user's options and configuration
/// can say otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of unanswered questions after which `ssh` takes a connection for lost.
const UNANSWERED: u32 = 2;

/// The user's `ssh`.
#[derive(Debug)]
pub(super) struct Client {
    /// Further arguments of the user.
    options: Vec<String>,
    /// The lease of helpers, before whose end a lost connection has to be noticed.
    lease: Duration,
    /// The directory for temporary files.
    temporary: PathBuf,
    /// The directory of the connections' sockets, made when it is needed.
    sockets: OnceLock<PathBuf>,
}

/// What a started `ssh` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Makes a connection for itself and others.
    Master,
    /// Uses the connection of a master.
    Guest,
}

impl Client {
    pub(super) fn new(options: Vec<String>, lease: Duration, temporary: PathBuf) -> Self {
        Self {
            options,
            lease,
            temporary,
            sockets: OnceLock::new(),
        }
    }

    /// Removes the directory of the sockets.
    pub(super) fn close(&self) {
        if let Some(sockets) = self.sockets.get() {
            let _ = std::fs::remove_dir_all(sockets);
        }
    }

    /// The path of a connection's socket.
    fn socket(&self, id: &str) -> PathBuf {
        let sockets = self.sockets.get().map(PathBuf::as_path);
        sockets
            .unwrap_or(&self.temporary)
            .join(id.get(..8).unwrap_or(id))
    }

    /// Makes the directory for sockets, if it is not there.
    fn prepare_sockets(&self) -> io::Result<()> {
        if self.sockets.get().is_none() {
            let made = private_dir(&self.temporary, "s")?;
            if let Err(surplus) = self.sockets.set(made) {
                // Another connection was faster.
                std::fs::remove_dir(surplus)?;
            }
        }
        Ok(())
    }

    /// The program that runs a command on a host, over a connection with this socket.
    fn command(&self, role: Role, socket: &Path, host: &str, script: &str) -> Command {
        // The program replaces `%` and a letter.
        let socket = socket.to_string_lossy().replace('%', "%%");
        // Twice in half of the lease, and not more often than each second.
        let alive = (self.lease.as_secs() / 6).max(1);
        let mut ssh = Command::new("ssh");
        // The first value of an option counts: these come before the user's.
        ssh.args(["-T", "-x", "-oBatchMode=yes", "-oRemoteCommand=none"])
            .args(["-oControlPersist=no", "-oClearAllForwardings=yes"])
            .args(["-oEscapeChar=none"]);
        match role {
            Role::Master => ssh.arg("-oControlMaster=yes"),
            // Without its master it must not make a connection of its own.
            Role::Guest => ssh.args(["-oControlMaster=no", "-oProxyCommand=false"]),
        };
        ssh.arg("-S")
            .arg(socket)
            .args(&self.options)
            .args(["-oLogLevel=ERROR", "-oConnectionAttempts=1"])
            .arg(format!("-oConnectTimeout={}", CONNECT_TIMEOUT.as_secs()))
            .arg(format!("-oServerAliveInterval={alive}"))
            .arg(format!("-oServerAliveCountMax={UNANSWERED}"))
            // A login shell of any kind reads it.
            .args(["--", host, &format!("exec /bin/sh -c '{script}'")])
            .stderr(Stdio::piped())
            // A signal of the terminal is for the host, which ends its connections in order.
            .process_group(0);
        ssh
    }

    /// Checks that the program is there.
    pub(super) fn check(&self) -> Result<(), SpawnError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut directories = std::env::split_paths(&path);
        match directories.any(|directory| directory.join("ssh").is_file()) {
            true => Ok(()),
            false => Err(SpawnError::Invalid(MISSING.to_owned())),
        }
    }

    /// Why a host could not be connected to. `words` is what `ssh` has written to its standard
    /// error, `output` what came instead of the expected lines.
    fn explain(&self, host: &str, words: &str, output: &str) -> String {
        let by_hand = self.by_hand(host);
        match cause(words) {
            Cause::NameUnknown => format!(
                "its name is not known: correct `--hosts` or `spawner.ssh.hosts`, or give it an \
                 address in ~/.ssh/config ({words})"
            ),
            Cause::KeyChanged => format!(
                "its host key is not the one that it had before, so it may be another machine; if \
                 it was set up anew, remove the old key (`ssh-keygen -R`), and accept the new one \
                 by `{by_hand}`"
            ),
            Cause::KeyUnknown => format!(
                "its host key is not known yet: connect once by hand, and compare the key: \
                 `{by_hand}`"
            ),
            Cause::Refused => format!(
                "it does not let you in without a password: set up a key with `ssh-keygen` and \
                 `ssh-copy-id`, until `{by_hand} true` asks for nothing ({words})"
            ),
            Cause::Away => format!(
                "it does not answer: is it switched on, and does an ssh server run there? Try \
                 `{by_hand} true` ({words})"
            ),
            Cause::Other if words.is_empty() => {
                format!("its login shell does not run commands: {output}; try `{by_hand} true`")
            }
            Cause::Other => format!("{words}; {output}; try `{by_hand} true`"),
        }
    }

    /// The command that connects by hand.
    fn by_hand(&self, host: &str) -> String {
        let options = self.options.iter().map(|option| format!("{option} "));
        format!("ssh {}{host}", options.collect::<String>())
    }
}

/// The way to a host over ssh.
pub(super) struct SshRoute {
    client: Arc<Client>,
    host: Arc<str>,
}

impl SshRoute {
    pub(super) fn new(client: Arc<Client>, host: Arc<str>) -> Self {
        Self { client, host }
    }
}

impl Route for SshRoute {
    fn program(&self) -> &'static str {
        "ssh"
    }

    fn keeper(&self, id: &str, script: &str) -> Result<Command, SpawnError> {
        let client = &self.client;
        client.prepare_sockets().map_err(|error| SpawnError::Host {
            host: Arc::clone(&self.host),
            reason: format!("cannot make a directory for sockets: {error}").into(),
        })?;
        let socket = client.socket(id);
        if socket.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(SpawnError::Invalid(format!(
                "the path of the directory for temporary files is too long for the sockets of \
                 `ssh`, {}: set TMPDIR to a shorter one",
                client.temporary.display()
            )));
        }
        Ok(client.command(Role::Master, &socket, &self.host, script))
    }

    fn guest(&self, id: &str, script: &str) -> Command {
        let socket = self.client.socket(id);
        self.client
            .command(Role::Guest, &socket, &self.host, script)
    }

    fn explain(&self, words: &str, output: &str) -> String {
        self.client.explain(&self.host, words, output)
    }

    fn missing(&self) -> &'static str {
        MISSING
    }
}

/// The error of a machine without the program.
const MISSING: &str = "the program `ssh` is missing: install OpenSSH's client (Debian: \
                                  `apt-get install openssh-client`)";

/// Why a host could not be connected to.
#[derive(Debug, PartialEq, Eq)]
enum Cause {
    NameUnknown,
    KeyChanged,
    KeyUnknown,
    Refused,
    Away,
    Other,
}

/// Reads the cause from the messages of OpenSSH.
fn cause(words: &str) -> Cause {
    let has = |text: &str| words.contains(text);
    if has("HOST IDENTIFICATION HAS CHANGED") || has("host key has just changed") {
        Cause::KeyChanged
    } else if has("Host key verification failed") {
        Cause::KeyUnknown
    } else if has("Permission denied (") || has("Too many authentication failures") {
        Cause::Refused
    } else if has("Could not resolve hostname") {
        Cause::NameUnknown
    } else if [
        "Connection refused",
        "Connection timed out",
        "Connection reset",
        "Connection closed by",
        "No route to host",
        "Network is unreachable",
        "Operation timed out",
        "timed out during banner exchange",
        "not responding",
    ]
    .into_iter()
    .any(has)
    {
        Cause::Away
    } else {
        Cause::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_openssh_are_understood() {
        for (words, expected) in [
            (
                "ssh: Could not resolve hostname none: Name or service not known",
                Cause::NameUnknown,
            ),
            (
                "@ REMOTE HOST IDENTIFICATION HAS CHANGED! @; Host key verification failed.",
                Cause::KeyChanged,
            ),
            (
                "No ED25519 host key is known; Host key verification failed.",
                Cause::KeyUnknown,
            ),
            ("me@a: Permission denied (publickey).", Cause::Refused),
            (
                "ssh: connect to host a port 22: Connection refused",
                Cause::Away,
            ),
            ("bash: exec: 1: not found", Cause::Other),
        ] {
            assert_eq!(cause(words), expected, "{words}");
        }
    }

    #[test]
    fn hosts_options_come_before_those_of_the_user() {
        let options = vec!["-F".to_owned(), "file".to_owned()];
        let client = Client::new(options, Duration::from_secs(30), PathBuf::from("/tmp"));
        let command = client.command(Role::Guest, Path::new("/tmp/a%b"), "me@a", "true");
        let args: Vec<_> = command.get_args().map(|it| it.to_string_lossy()).collect();
        let at = |text: &str| args.iter().position(|it| it == text);
        assert!(at("-oBatchMode=yes") < at("-F"));
        assert!(at("-oProxyCommand=false") < at("-F") && at("-F").is_some());
        assert!(at("/tmp/a%%b").is_some());
        let script = "exec /bin/sh -c 'true'";
        assert_eq!(args.last().map(|it| &**it), Some(script));
        assert!(at("--") < at("me@a"));
    }
}

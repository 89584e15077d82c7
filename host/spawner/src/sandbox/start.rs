//! Owns the start of a sandbox: the command of bubblewrap with its namespaces, and the mapping of
//! user ids. Does not know what the sandbox sees.

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Child, Command, Stdio};

use persea_helper::GUARD_ARGUMENT;
use rustix::process::{getgid, getuid};

use super::layer::SandboxLayer;
use super::tools::find;
use super::{SandboxSpawner, view};
use crate::launch::{RemainingSetup, children};

/// The capabilities of root in a sandbox: enough to install packages and to change the user. Root
/// in the sandbox is root for the kernel too. Without further capabilities it can mount nothing,
/// above all no other `/proc` in which the kernel's settings are writable. Container engines have
/// the same list.
const CAPABILITIES: [&str; 11] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

impl SandboxSpawner {
    /// Starts the processes that make a sandbox, with the helper in it. Returns what is left to do
    /// once they run.
    pub(super) fn start(
        &self,
        layer: &SandboxLayer,
        view: &[OsString],
        network: bool,
        (requests, replies): (&PipeReader, &PipeWriter),
    ) -> io::Result<(Child, Option<RemainingSetup>)> {
        let is_root = getuid().is_root();
        // Root's sandbox has all user ids of this machine, so that packages can be installed. Only
        // a process outside of the namespace can map them.
        let ids = match is_root {
            true => Some((io::pipe()?, io::pipe()?)),
            false => None,
        };
        let (filter, mut writer) = io::pipe()?;
        // Does not block: the filter fits into the pipe's buffer.
        writer.write_all(&self.filter)?;
        drop(writer);
        let child = self.helper.run(|program| {
            let mut inherited = vec![filter.as_fd()];
            inherited.extend(program.descriptor());
            let mut namespaces: Vec<OsString> = Vec::new();
            let mut add =
                |argument: &dyn AsRef<OsStr>| namespaces.push(argument.as_ref().to_owned());
            add(&"--seccomp");
            add(&filter.as_raw_fd().to_string());
            add(&"--cap-drop");
            add(&"ALL");
            match &ids {
                Some(((_, info), (go, _))) => {
                    inherited.extend([info.as_fd(), go.as_fd()]);
                    add(&"--info-fd");
                    add(&info.as_raw_fd().to_string());
                    add(&"--userns-block-fd");
                    add(&go.as_raw_fd().to_string());
                    for capability in CAPABILITIES {
                        add(&"--cap-add");
                        add(&capability);
                    }
                }
                None => {
                    add(&"--uid");
                    add(&getuid().to_string());
                    add(&"--gid");
                    add(&getgid().to_string());
                }
            }
            let path = std::env::var_os("PATH").unwrap_or_default();
            // With a path, the standard library can start it by posix_spawn, although the
            // environment variables differ.
            let unshare = find("unshare", &path).unwrap_or_else(|| "unshare".into());
            let mut command = Command::new(program.path());
            // The guard ends the processes that make the sandbox if the host is killed meanwhile.
            command
                .arg(GUARD_ARGUMENT)
                .arg(std::process::id().to_string())
                .arg(unshare);
            // All processes of the sandbox can read the environment variables of bubblewrap and the
            // helper, in /proc.
            command.env_clear().env("PATH", path);
            if !is_root {
                command.args(["--user", "--map-root-user"]);
            }
            command
                .args([
                    "--mount",
                    "--propagation",
                    "private",
                    "sh",
                    "-c",
                    view::SCRIPT,
                    "sh",
                ])
                .args(self.layers(layer, is_root))
                .args(view)
                .args([
                    "--unshare-user",
                    "--unshare-pid",
                    "--unshare-ipc",
                    "--unshare-uts",
                ])
                .args((!network).then_some("--unshare-net"))
                .args(namespaces)
                // The helper is process 1. bubblewrap's own process 1 would keep the channel open,
                // and nothing in the sandbox can kill or stop process 1.
                .args(["--as-pid-1", "--die-with-parent", "--"])
                .arg(program.path())
                .stdin(requests.try_clone()?)
                .stdout(replies.try_clone()?)
                .stderr(Stdio::piped());
            children::start(&mut command, &inherited)
        })?;
        let rest = ids.map(|((info, _), (_, go))| -> RemainingSetup {
            Box::pin(async move {
                tokio::task::spawn_blocking(move || map_ids(info, go))
                    .await
                    .unwrap_or_else(|e| Err(io::Error::other(e)))
            })
        });
        Ok((child, rest))
    }
}

/// Maps all user and group ids of this machine into the namespace of a sandbox, once bubblewrap has
/// reported its process id. bubblewrap waits for that.
fn map_ids(mut info: PipeReader, mut go: PipeWriter) -> io::Result<()> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Info {
        child_pid: u32,
    }
    let mut text = Vec::new();
    let mut piece = [0; 1024];
    // Reads one JSON object of several lines, and not up to the end of the pipe: other processes
    // may keep the pipe open.
    while !text.ends_with(b"}\n") {
        match info.read(&mut piece)? {
            0 => break,
            count => text.extend(piece.iter().take(count)),
        }
    }
    let Ok(Info { child_pid }) = serde_json::from_slice(&text) else {
        return Err(io::Error::other("bubblewrap did not make the sandbox"));
    };
    for map in ["uid_map", "gid_map"] {
        std::fs::write(format!("/proc/{child_pid}/{map}"), "0 0 4294967295\n")?;
    }
    go.write_all(b"\n")
}

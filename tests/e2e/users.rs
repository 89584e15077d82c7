//! Runs the binary as somebody else than root, with a number that no other test has: limits on a user's processes then count
//! this test's only.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::Sandbox;

/// A user of a project.
pub struct User {
    number: u32,
}

impl User {
    /// Gives the project to a user of its own, with a copy of the binary that he can read. None where the tests are not run by
    /// root: then all of them are run by somebody else anyway.
    pub fn of(sandbox: &Sandbox) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let number =
            100_000 + std::process::id() % 10_000 * 100 + NEXT.fetch_add(1, Ordering::Relaxed);
        std::fs::copy(env!("CARGO_BIN_EXE_persea"), sandbox.root().join("persea")).unwrap();
        std::fs::create_dir_all(sandbox.root().join("home")).unwrap();
        let user = Self { number };
        user.own(sandbox);
        Some(user)
    }

    /// Gives him what was added to the project meanwhile.
    pub fn own(&self, sandbox: &Sandbox) {
        let number = self.number;
        let owned = Command::new("chown")
            .args(["-R", &format!("{number}:{number}")])
            .arg(sandbox.root())
            .status()
            .unwrap();
        assert!(owned.success());
        let everybody = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(sandbox.root(), everybody).unwrap();
    }

    /// The binary as this user, started by a program that takes a command as its last arguments, such as `prlimit`.
    pub fn persea(&self, sandbox: &Sandbox, starter: &[&str], args: &[&str]) -> Command {
        let number = self.number;
        let mut command = Command::new("setpriv");
        command
            .args([&format!("--reuid={number}"), &format!("--regid={number}")])
            .arg("--clear-groups")
            .args(starter)
            .arg(sandbox.root().join("persea"))
            .args(args)
            .current_dir(sandbox.project())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in sandbox.persea(&[]).get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("XDG_CACHE_HOME", sandbox.root().join("cache"));
        command
    }
}

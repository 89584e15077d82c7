//! Owns running the binary as another user than root. Each test gets a user id that no other test
//! has, so that a limit on a user's processes counts the processes of this test only.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Fixture;

/// The owner of a project.
pub struct User {
    pub id: u32,
}

impl User {
    /// Gives the project to a user of its own, with a copy of the binary that this user can read.
    /// Returns none where the tests do not run as root: no test runs as root then.
    pub fn of(fixture: &Fixture) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let id = 100_000 + std::process::id() % 10_000 * 100 + NEXT.fetch_add(1, Ordering::Relaxed);
        std::fs::copy(env!("CARGO_BIN_EXE_persea"), fixture.root().join("persea")).unwrap();
        std::fs::create_dir_all(fixture.root().join("home")).unwrap();
        let user = Self { id };
        user.own(fixture);
        Some(user)
    }

    /// Gives the user the files that were added to the project meanwhile.
    pub fn own(&self, fixture: &Fixture) {
        let id = self.id;
        let owned = Command::new("chown")
            .args(["-R", &format!("{id}:{id}")])
            .arg(fixture.root())
            .status()
            .unwrap();
        assert!(owned.success());
        let everybody = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(fixture.root(), everybody).unwrap();
    }

    /// The binary as this user, started by a program that takes a command as its last arguments,
    /// such as `prlimit`.
    pub fn persea(&self, fixture: &Fixture, wrapper: &[&str], args: &[&str]) -> Command {
        let id = self.id;
        let mut command = Command::new("setpriv");
        command
            .args([&format!("--reuid={id}"), &format!("--regid={id}")])
            .arg("--clear-groups")
            .args(wrapper)
            .arg(fixture.root().join("persea"))
            .args(args);
        fixture.equip(&mut command);
        command.env("XDG_CACHE_HOME", fixture.root().join("cache"));
        command
    }
}

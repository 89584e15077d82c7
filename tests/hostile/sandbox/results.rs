//! Owns files that tests leave in their results: they grant nobody a privilege. And the sandbox's
//! own directories under every umask.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{AS_NOBODY, Machine, User};
use crate::support::recipes::{exec, requiring, shell, with};
use crate::support::{finish, signal, wait_until, wrapped};

/// A Python program that leaves two programs with set-user-id bits and all capabilities, one of
/// them below 40 directories.
const LEAVE: &str = r#"
import os, shutil, struct, sys
def leave(path):
    shutil.copy("/bin/sh", path)
    # Revision 2 of the format, with all capabilities effective.
    capabilities = struct.pack("<5I", 0x02000001, 0xffffffff, 0, 0x1ff, 0)
    os.setxattr(path, "security.capability", capabilities)
    os.chmod(path, 0o6755)
    assert os.stat(path).st_mode & 0o6000 and "security.capability" in os.listxattr(path)
here = sys.argv[1]
leave(os.path.join(here, "program"))
deep = os.path.join(here, *["d"] * 40)
os.makedirs(deep)
leave(os.path.join(deep, "program"))
"#;

/// All files called `program` below a directory.
fn programs(directory: &Path) -> Vec<std::path::PathBuf> {
    let found = walk(directory);
    found
        .into_iter()
        .filter(|path| path.ends_with("program"))
        .collect()
}

fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(walk(&entry.path())),
            false => all.push(entry.path()),
        }
    }
    all
}

/// A command run as the user nobody.
fn as_nobody(command: &[&str]) -> Command {
    let mut setpriv = Command::new(AS_NOBODY[0]);
    setpriv.args(&AS_NOBODY[1..]).args(command);
    setpriv
}

fn has_capabilities(program: &Path) -> bool {
    let mut list = [0; 64];
    rustix::fs::getxattr(program, "security.capability", &mut list).is_ok()
}

/// Lets everybody traverse the directories above those of the jobs.
fn let_everybody_reach_jobs(machine: &Machine) {
    let root = machine.fixture.root();
    for above in root.join("home/persea/job-results").ancestors() {
        if above.starts_with(root) {
            std::fs::set_permissions(above, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

/// Whether the user nobody can run a program.
fn runs_as_nobody(program: &Path) -> bool {
    // Below a shell, because setpriv itself still has the capabilities of root.
    let mut run = as_nobody(&["sh", "-c", "exec \"$0\" -p -c true"]);
    run.arg(program).output().unwrap().status.success()
}

#[test]
fn programs_of_running_and_killed_jobs_are_out_of_reach() {
    let machine = Machine::new(User::Root);
    machine.fixture.file("leave.py", LEAVE);
    let leaves = "python3 leave.py \"$AVOCADO_TEST_OUTPUTDIR\" && echo done >&2; exec sleep 1000";
    let recipe = [shell("leaves", leaves)];
    machine.fixture.recipe("job.json", &recipe);
    let mut host = machine
        .persea(&["run", "--spawner", "sandbox", "job.json"])
        .spawn()
        .unwrap();
    let jobs = machine.fixture.root().join("home/persea/job-results");
    wait_until("the test has left its programs", || {
        let all = match jobs.exists() {
            true => walk(&jobs),
            false => Vec::new(),
        };
        let is_done = |path: &&std::path::PathBuf| {
            path.ends_with("stderr") && std::fs::read(path).is_ok_and(|text| text == b"done\n")
        };
        all.iter().find(is_done).map(drop).ok_or(format!("{all:?}"))
    });
    let_everybody_reach_jobs(&machine);
    let programs = programs(&jobs);
    let unreachable = || {
        for program in &programs {
            let mode = program.metadata().unwrap().mode();
            assert_eq!(mode & 0o7777, 0o6755, "{}", program.display());
            assert!(!runs_as_nobody(program), "{}", program.display());
        }
    };
    assert_eq!(programs.len(), 2);
    unreachable();
    signal(host.id(), "KILL");
    host.wait().unwrap();
    machine.fixture.assert_no_strays();
    unreachable();
}

#[test]
fn programs_left_in_results_grant_no_privileges() {
    let machine = Machine::new(User::Root);
    machine.fixture.file("leave.py", LEAVE);
    let leaves = shell(
        "leaves",
        "exec python3 leave.py \"$AVOCADO_TEST_OUTPUTDIR\"",
    );
    let setup = "python3 leave.py \"$(ls -d ../home/persea/job-results/job-*/dependencies/*)\"";
    let requirement = json!({
        "type": "command", "label": "leaves", "scope": "job", "setup": setup, "teardown": "true",
    });
    let needs = requiring(exec("needs", "/bin/true"), &json!([requirement]));
    machine.run("sandbox", &[leaves, needs]).code(0);
    let job = machine.fixture.job();
    let programs = programs(&job.0);
    assert_eq!(programs.len(), 4, "{programs:?}");
    let_everybody_reach_jobs(&machine);
    for program in &programs {
        let mode = program.metadata().unwrap().mode();
        assert_eq!(mode & 0o7777, 0o755, "{}", program.display());
        assert!(!has_capabilities(program), "{}", program.display());
        assert!(!runs_as_nobody(program));
    }
    // Everybody may read the reports.
    let mut read = as_nobody(&["cat"]);
    let read = read.arg(job.0.join("results.json")).output();
    assert!(read.unwrap().status.success());
}

#[test]
fn sandbox_works_under_every_umask() {
    let script = "cd / && ls / /usr >/dev/null && touch /tmp/new && test -r /etc/passwd";
    let sh = ["sh", "-c", script];
    for (user, umask) in [
        (User::Root, "000"),
        (User::Root, "077"),
        (User::Root, "777"),
        (User::Nobody, "000"),
        (User::Nobody, "077"),
    ] {
        let machine = Machine::new(user);
        let words = match user {
            // The test runs as another user than the host.
            User::Root => [&AS_NOBODY[..], &sh].concat(),
            User::Nobody => sh.to_vec(),
        };
        let test = with(exec("enters", words[0]), "args", json!(words[1..]));
        machine.fixture.recipe("job.json", &[test]);
        let persea = machine.persea(&["run", "--spawner", "sandbox", "job.json"]);
        let set_umask = format!("umask {umask}; exec \"$0\" \"$@\"");
        let mut command = wrapped(&["sh", "-c", &set_umask], &persea);
        let ran = finish(command.spawn().unwrap());
        assert_eq!(
            machine.fixture.job().status("enters"),
            "PASS",
            "{user:?} {umask}: {ran}"
        );
    }
}

//! What tests leave in their results, and who can use that afterwards.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Machine, User};
use crate::support::finish;

/// Leaves programs that run as root for whoever runs them, by bit and by capability, also deep below.
const LEAVE: &str = r#"
import os, shutil, struct, sys
def leave(path):
    shutil.copy("/bin/sh", path)
    # All capabilities, effective; of revision 2.
    os.setxattr(path, "security.capability", struct.pack("<5I", 0x02000001, 0xffffffff, 0, 0x1ff, 0))
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

fn has_capabilities(program: &Path) -> bool {
    let mut list = [0; 64];
    rustix::fs::getxattr(program, "security.capability", &mut list).is_ok()
}

#[test]
fn programs_left_in_results_grant_no_privileges() {
    let machine = Machine::new(User::Root);
    machine.sandbox.file("leave.py", LEAVE);
    let leaves = json!({
        "kind": "exec-test", "uri": "/bin/sh", "identifier": "leaves",
        "args": ["-c", "exec python3 leave.py \"$AVOCADO_TEST_OUTPUTDIR\""],
    });
    let setup = "python3 leave.py \"$(ls -d ../home/persea/job-results/job-*/dependencies/*)\"";
    let mut needs =
        json!({"kind": "exec-test", "uri": "/bin/true", "identifier": "needs", "kwargs": {}});
    needs["kwargs"]["dependencies"] = json!([
        {"type": "command", "label": "leaves", "scope": "job", "setup": setup, "teardown": "true"}
    ]);
    machine.run("sandbox", &[leaves, needs]).code(0);
    let job = machine.sandbox.job();
    let programs = programs(&job.0);
    assert_eq!(programs.len(), 4, "{programs:?}");
    // Everybody may go as far as the job's directory.
    for above in machine
        .sandbox
        .root()
        .join("home/persea/job-results")
        .ancestors()
    {
        if above.starts_with(machine.sandbox.root()) {
            std::fs::set_permissions(above, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    for program in &programs {
        let mode = program.metadata().unwrap().mode();
        assert_eq!(mode & 0o7777, 0o755, "{}", program.display());
        assert!(!has_capabilities(program), "{}", program.display());
        let mut run = Command::new("setpriv");
        run.args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            // By another program: setpriv itself still has root's capabilities.
            .args(["sh", "-c", "exec \"$0\" -p -c true"])
            .arg(program);
        assert!(!run.output().unwrap().status.success());
    }
    // The reports are for everybody.
    let mut read = Command::new("setpriv");
    read.args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat"])
        .arg(job.0.join("results.json"));
    assert!(read.output().unwrap().status.success());
}

#[test]
fn sandbox_works_under_every_umask() {
    let script = "cd / && ls / /usr >/dev/null && touch /tmp/new && test -r /etc/passwd";
    let as_nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
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
            // Somebody else than who runs the host.
            User::Root => [&as_nobody[..], &sh].concat(),
            User::Nobody => sh.to_vec(),
        };
        let test = json!({
            "kind": "exec-test", "uri": words[0], "args": words[1..], "identifier": "enters",
        });
        machine
            .sandbox
            .file("job.json", Value::from(vec![test]).to_string());
        let persea = machine.persea(&["run", "--spawner", "sandbox", "job.json"]);
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
            .arg(persea.get_program())
            .args(persea.get_args())
            .current_dir(machine.sandbox.project())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        for (name, value) in persea.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let ran = finish(command.spawn().unwrap());
        assert_eq!(
            machine.sandbox.job().status("enters"),
            "PASS",
            "{user:?} {umask}: {ran}"
        );
    }
}

//! What tests do to reach the channel between host and helper: whoever could write there would give himself any result.

use serde_json::{Value, json};

use crate::support::users::User;
use crate::support::{Sandbox, finish};

/// Tries to reach other processes' descriptors, memory and execution, and writes rubbish and forged ends of tests wherever it
/// gets in. Prints what it has reached, as a list, and fails.
const REACHES: &str = r#"
import ctypes, os, signal, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
PIDFD_OPEN, PIDFD_GETFD = 434, 438
PTRACE_ATTACH, PTRACE_DETACH, PTRACE_SEIZE = 16, 17, 0x4206

def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])

def exited(number):
    # Reply::Exited: exit code 0, no signal, 0 ns, clean, nothing left.
    body = b"\2" + varint(number) + b"\1\0" + b"\0" + b"\0" + b"\1" + b"\0"
    return struct.pack("<I", len(body)) + body

FORGED = b"".join(exited(number) for number in range(1, 400)) + b"rubbish" * 1000

reached = []

def forge(what, fd):
    reached.append(what)
    try:
        os.set_blocking(fd, False)
        os.write(fd, FORGED)
    except OSError:
        pass

def attack(pid):
    for number in range(64):
        for flags in (os.O_RDWR, os.O_WRONLY, os.O_RDONLY):
            try:
                forge(f"{pid} opens {number}", os.open(f"/proc/{pid}/fd/{number}", flags | os.O_NONBLOCK))
            except OSError:
                pass
    pidfd = libc.syscall(PIDFD_OPEN, pid, 0)
    for number in range(64):
        fd = libc.syscall(PIDFD_GETFD, pidfd, number, 0)
        if fd >= 0:
            forge(f"{pid} copies {number}", fd)
    for name in ("mem", "environ", "maps", "auxv"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                file.read(1)
            reached.append(f"{pid} reads {name}")
        except OSError:
            pass
    for name in ("exe", "cwd", "root"):
        try:
            reached.append(f"{pid} {name} is " + os.readlink(f"/proc/{pid}/{name}"))
        except OSError:
            pass
    buffer = ctypes.create_string_buffer(8)
    piece = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
    there = (ctypes.c_size_t * 2)(0x400000, 8)
    for name in ("process_vm_readv", "process_vm_writev"):
        ctypes.set_errno(0)
        getattr(libc, name)(pid, piece, 1, there, 1, 0)
        if ctypes.get_errno() != 1:
            reached.append(f"{pid} {name}: {ctypes.get_errno()}")
    for request in (PTRACE_SEIZE, PTRACE_ATTACH):
        if libc.ptrace(request, pid, 0, 0) == 0:
            reached.append(f"{pid} is traced")
            libc.ptrace(PTRACE_DETACH, pid, 0, 0)

def parent(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rsplit(")", 1)[1].split()[1])

if sys.argv[1] == "all":
    # In a sandbox: whoever is there and is not the test itself.
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    pids = [pid for pid in pids if pid != os.getpid()]
else:
    # On the machine: the helper and the host.
    pids = [os.getppid(), parent(os.getppid())]
assert pids
for pid in pids:
    attack(pid)
for fd in range(3, 64):
    try:
        os.write(fd, FORGED)
        reached.append(f"was left {fd}")
    except OSError:
        pass
if sys.argv[1] == "all":
    for name in (signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        os.kill(1, name)
print(reached)
sys.exit(1)
"#;

fn attack(name: &str, whom: &str) -> Value {
    let args = ["-c", REACHES, whom];
    json!({"kind": "exec-test", "uri": "/usr/bin/python3", "args": args, "identifier": name})
}

fn honest(name: &str) -> Value {
    let args = ["-c", "echo honest; exit 3"];
    json!({"kind": "exec-test", "uri": "/bin/sh", "args": args, "identifier": name})
}

/// Looks that every test failed, as it did, and that nobody has reached anything.
#[track_caller]
fn assert_unreached(sandbox: &Sandbox) {
    let job = sandbox.job();
    for name in ["before", "after"] {
        assert_eq!(job.status(name), "FAIL");
        assert_eq!(job.reason(name), "exited with code 3");
    }
    for name in ["attack-1", "attack-2"] {
        let said = job.artifact(name, "stdout");
        assert_eq!(said, "[]\n", "{}", job.artifact(name, "stderr"));
        assert_eq!(job.status(name), "FAIL");
        assert_eq!(job.reason(name), "exited with code 1");
    }
    sandbox.assert_no_strays();
}

fn job(whom: &str) -> String {
    let tests = [
        honest("before"),
        attack("attack-1", whom),
        attack("attack-2", whom),
        honest("after"),
    ];
    json!(tests).to_string()
}

#[test]
fn test_of_root_in_a_sandbox_cannot_reach_the_helper_channel() {
    let sandbox = Sandbox::new();
    sandbox.file("job.json", job("all"));
    let slot = ["--spawner", "sandbox", "--max-parallel-tasks", "1"];
    let args = [&["run"], &slot[..], &["job.json"]].concat();
    let ran = sandbox.run(&args).code(1);
    assert_eq!(ran.stderr, "", "{ran}");
    assert_unreached(&sandbox);
}

#[test]
fn test_of_a_user_reaches_neither_helper_nor_host() {
    for (spawner, whom) in [("sandbox", "all"), ("process", "parents")] {
        let sandbox = Sandbox::new();
        sandbox.file("job.json", job(whom));
        let slot = ["--spawner", spawner, "--max-parallel-tasks", "1"];
        let args = [&["run"], &slot[..], &["job.json"]].concat();
        let mut command = match User::of(&sandbox) {
            Some(user) => user.persea(&sandbox, &[], &args),
            None => sandbox.persea(&args),
        };
        let ran = finish(command.spawn().unwrap()).code(1);
        assert_eq!(ran.stderr, "", "{spawner}: {ran}");
        assert_unreached(&sandbox);
    }
}

#[test]
fn test_in_a_sandbox_cannot_delay_its_timeout() {
    let sandbox = Sandbox::new();
    let script = "kill -STOP 1; kill -STOP -1; while :; do :; done";
    let args = [
        "-c",
        &format!("for n in 1 2 3 4; do ({script}) & done; {script}"),
    ];
    let test = json!([{"kind": "exec-test", "uri": "/bin/sh", "args": args, "identifier": "busy"}]);
    sandbox.file("job.json", test.to_string());
    let args = [
        "run",
        "--spawner",
        "sandbox",
        "--task-timeout",
        "1",
        "job.json",
    ];
    let ran = sandbox.run(&args).code(8);
    assert_eq!(sandbox.job().status("busy"), "INTERRUPTED", "{ran}");
    let took = sandbox.job().test("busy")["time_elapsed"].as_f64().unwrap();
    assert!((1.0..6.0).contains(&took), "{took} s: {ran}");
    sandbox.assert_no_strays();
}

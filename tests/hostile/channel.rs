//! Owns the channel between host and helper: a test that could write to it would forge any result,
//! so no test reaches it.

use serde_json::{Value, json};

use crate::support::recipes::{exec, shell, with};
use crate::support::users::User;
use crate::support::{Fixture, finish};

/// A Python program that tries to reach descriptors, memory and execution of other processes,
/// writes forged results and garbage to every descriptor that it gets, prints a list of what it
/// reached, and fails.
const ATTACK: &str = r#"
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
                fd = os.open(f"/proc/{pid}/fd/{number}", flags | os.O_NONBLOCK)
                forge(f"{pid} opens {number}", fd)
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
    # In a sandbox: every other process.
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

fn attack(name: &str, targets: &str) -> Value {
    let args = json!(["-c", ATTACK, targets]);
    with(exec(name, "/usr/bin/python3"), "args", args)
}

fn honest(name: &str) -> Value {
    shell(name, "echo honest; exit 3")
}

/// Every test has its true result, and no attack reached anything.
#[track_caller]
fn assert_unreached(fixture: &Fixture) {
    let job = fixture.job();
    for name in ["before", "after"] {
        assert_eq!(job.status(name), "FAIL");
        assert_eq!(job.reason(name), "exited with code 3");
    }
    for name in ["attack-1", "attack-2"] {
        let reached = job.artifact(name, "stdout");
        assert_eq!(reached, "[]\n", "{}", job.artifact(name, "stderr"));
        assert_eq!(job.status(name), "FAIL");
        assert_eq!(job.reason(name), "exited with code 1");
    }
    fixture.assert_no_strays();
}

/// Tests that attack `all` processes or their `parents`, between two honest ones.
fn attacks(targets: &str) -> [Value; 4] {
    [
        honest("before"),
        attack("attack-1", targets),
        attack("attack-2", targets),
        honest("after"),
    ]
}

#[test]
fn test_of_root_in_a_sandbox_cannot_reach_the_helper_channel() {
    let fixture = Fixture::new();
    fixture.recipe("job.json", &attacks("all"));
    let slot = ["--spawner", "sandbox", "--max-parallel-tasks", "1"];
    let args = [&["run"], &slot[..], &["job.json"]].concat();
    let ran = fixture.run(&args).code(1);
    assert_eq!(ran.stderr, "", "{ran}");
    assert_unreached(&fixture);
}

#[test]
fn test_of_a_user_reaches_neither_helper_nor_host() {
    for (spawner, targets) in [("sandbox", "all"), ("process", "parents")] {
        let fixture = Fixture::new();
        fixture.recipe("job.json", &attacks(targets));
        let slot = ["--spawner", spawner, "--max-parallel-tasks", "1"];
        let args = [&["run"], &slot[..], &["job.json"]].concat();
        let mut command = match User::of(&fixture) {
            Some(user) => user.persea(&fixture, &[], &args),
            None => fixture.persea(&args),
        };
        let ran = finish(command.spawn().unwrap()).code(1);
        assert_eq!(ran.stderr, "", "{spawner}: {ran}");
        assert_unreached(&fixture);
    }
}

#[test]
fn test_in_a_sandbox_cannot_delay_its_timeout() {
    let fixture = Fixture::new();
    let script = "kill -STOP 1; kill -STOP -1; while :; do :; done";
    let script = format!("for n in 1 2 3 4; do ({script}) & done; {script}");
    fixture.recipe("job.json", &[shell("busy", &script)]);
    let args = [
        "run",
        "--spawner",
        "sandbox",
        "--task-timeout",
        "1",
        "job.json",
    ];
    let ran = fixture.run(&args).code(8);
    assert_eq!(fixture.job().status("busy"), "INTERRUPTED", "{ran}");
    let reason = fixture.job().reason("busy");
    assert_eq!(reason, "Test interrupted: Timeout reached");
    let took = fixture.job().test("busy")["time_elapsed"].as_f64().unwrap();
    // The timeout, a second until SIGKILL, and as much again for a machine that is busy.
    assert!((1.0..4.0).contains(&took), "{took} s: {ran}");
    fixture.assert_no_strays();
}

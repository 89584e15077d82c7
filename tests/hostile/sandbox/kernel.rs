//! Owns ways out of the sandbox through the kernel: namespaces, mounts, keys, other processes, and
//! system calls that the filter refuses.

use std::process::Command;

use serde_json::json;

use super::{Machine, USERS, User};
use crate::support::recipes::exec;

#[test]
fn kernel_interfaces_are_blocked_for_every_user() {
    let ways = [
        "user_namespace_by_unshare",
        "user_namespace_by_clone",
        "user_namespace_by_clone3",
        "user_namespace_with_other_bits",
        "new_key",
        "key_of_the_session",
        "named_session_of_others",
        "list_of_keys",
        "faults_in_user_space",
        "io_uring",
        "hypervisor",
        "signal_for_the_machine",
        "process_of_the_machine_traced",
        "descriptor_of_another_process",
        "root_of_another_process",
    ];
    for user in USERS {
        Machine::new(user).assert_held(&ways);
    }
}

#[test]
fn privileged_kernel_interfaces_are_blocked_for_root() {
    Machine::new(User::Root).assert_held(&[
        "namespaces_of_another_process",
        "mount_namespace",
        "cgroups_by_a_user_namespace",
        "mount_by_the_old_call",
        "mount_by_the_new_calls",
        "tree_of_mounts",
        "bpf_map",
        "performance_events",
        "log_of_the_kernel",
        "input_for_a_terminal",
        "input_for_a_terminal_with_other_bits",
        "device_file",
        "setting_of_the_kernel",
        "cgroup_of_the_machine",
        "handle_of_a_file",
        "root_above_a_chroot",
    ]);
}

#[test]
fn x32_numbers_do_not_bypass_the_filter() {
    // Most kernels lack that ABI, so it may fail outside of a sandbox too.
    let machine = Machine::new(User::Nobody);
    machine.assert_all("sandbox", &["io_uring_with_an_x32_number"], "FAIL");
}

/// Compiles a program into the project.
fn compile(machine: &Machine, name: &str, source: &str) {
    let source = machine.sandbox.file(&format!("{name}.c"), source);
    let program = machine.sandbox.project().join(name);
    let mut cc = Command::new("cc");
    let done = cc.arg("-o").arg(program).arg(source).status().unwrap();
    assert!(done.success(), "{name}");
}

/// The system calls that a compiled program tries, each with its result.
fn results_of(machine: &Machine, spawner: &str, name: &str) -> Vec<(String, String)> {
    let ran = machine.run(spawner, &[exec(name, &format!("./{name}"))]);
    assert_eq!(machine.sandbox.job().status(name), "PASS", "{ran}");
    let stdout = machine.sandbox.job().artifact(name, "stdout");
    let pairs = stdout.lines().filter_map(|line| line.split_once(' '));
    pairs
        .map(|(call, result)| (call.into(), result.into()))
        .collect()
}

#[test]
fn each_filtered_call_is_refused() {
    let machine = Machine::new(User::Root);
    compile(&machine, "calls", include_str!("calls.c"));
    let on_machine = results_of(&machine, "process", "calls");
    let in_sandbox = results_of(&machine, "sandbox", "calls");
    assert!(in_sandbox.len() >= 40, "{in_sandbox:?}");
    for ((call, without), (_, with)) in on_machine.iter().zip(&in_sandbox) {
        assert_eq!(with, "Operation not permitted", "{call}");
        assert_ne!(without, "Operation not permitted", "{call}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn each_filtered_32_bit_call_is_refused() {
    let machine = Machine::new(User::Root);
    compile(&machine, "calls32", include_str!("calls32.c"));
    let on_machine = results_of(&machine, "process", "calls32");
    let in_sandbox = results_of(&machine, "sandbox", "calls32");
    assert!(in_sandbox.len() >= 20, "{in_sandbox:?}");
    for (call, result) in in_sandbox {
        let errno = if call == "socketcall" { "-38" } else { "-1" };
        assert_eq!(result, errno, "{call}");
    }
    let mut others = on_machine.iter().filter(|(call, _)| call != "clone");
    assert!(others.all(|(_, result)| result != "-1"), "{on_machine:?}");
}

#[test]
fn filter_allows_ordinary_programs() {
    let script = r#"
import ctypes, multiprocessing, os, socket, subprocess, tempfile, threading
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
with multiprocessing.Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]
subprocess.run(["sh", "-c", "perl -e 'fork or exit'; true | cat"], check=True)
for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
    socket.socket(family, socket.SOCK_DGRAM).close()
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
libc = ctypes.CDLL(None)
assert libc.unshare(0x200 | 0x400) == 0, "CLONE_FS and CLONE_FILES"
assert libc.personality(0xffffffff) >= 0
if os.fork() == 0: assert libc.ptrace(0, 0, 0, 0) == 0; os._exit(0)
assert os.wait()[1] == 0
"#;
    for user in USERS {
        let machine = Machine::new(user);
        let works = json!({"kind": "exec-test", "uri": "python3", "args": ["-c", script]});
        machine.run("sandbox", &[works]).code(0);
    }
}

//! Owns ways out of the sandbox through the kernel: namespaces, mounts, keys, other processes, and
//! system calls that the filter refuses.

use std::process::Command;

use serde_json::{Value, json};

use super::{Machine, USERS, User};
use crate::support::recipes::{exec, with};

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

/// Compiles `calls.c` into the project with these options.
fn compile(machine: &Machine, name: &str, options: &[&str]) {
    let source = machine.fixture.file("calls.c", include_str!("calls.c"));
    let program = machine.fixture.project().join(name);
    let mut cc = Command::new("cc");
    cc.args(options).arg("-o").arg(program).arg(source);
    assert!(cc.status().unwrap().success(), "{name}");
}

/// What a test prints, which must pass: pairs of words, such as a system call with its result.
fn results_of(machine: &Machine, spawner: &str, test: &Value) -> Vec<(String, String)> {
    let ran = machine.run(spawner, std::slice::from_ref(test)).code(0);
    let name = test["identifier"].as_str().unwrap();
    let stdout = machine.fixture.job().artifact(name, "stdout");
    let pairs = stdout.lines().filter_map(|line| line.split_once(' '));
    let pairs: Vec<_> = pairs
        .map(|(call, result)| (call.into(), result.into()))
        .collect();
    assert!(!pairs.is_empty(), "{ran}");
    pairs
}

/// Each call of the program fails in a sandbox with the filter's error, and not so outside.
fn assert_each_call_is_refused(name: &str, options: &[&str], least: usize) {
    let machine = Machine::new(User::Root);
    compile(&machine, name, options);
    let test = exec(name, &format!("./{name}"));
    let on_machine = results_of(&machine, "process", &test);
    let in_sandbox = results_of(&machine, "sandbox", &test);
    // A test of the filter compares the names in calls.c with the filter's.
    assert_eq!(in_sandbox.len(), least, "{in_sandbox:?}");
    assert_eq!(on_machine.len(), in_sandbox.len());
    for ((call, without), (same, with)) in on_machine.iter().zip(&in_sandbox) {
        let refused = match call.as_str() {
            "clone3" | "socketcall" => "Function not implemented",
            "socket" => "Address family not supported by protocol",
            _ => "Operation not permitted",
        };
        assert_eq!((call, with.as_str()), (same, refused));
        assert_ne!(without, refused, "{call}");
    }
}

#[test]
fn each_filtered_call_is_refused() {
    let generic = 48;
    let calls = if cfg!(target_arch = "x86_64") {
        generic + 9
    } else {
        generic
    };
    assert_each_call_is_refused("calls", &[], calls);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn each_filtered_32_bit_call_is_refused() {
    assert_each_call_is_refused("calls32", &["-DI386"], 63);
}

#[test]
fn only_five_families_of_sockets_can_be_made() {
    // In the kernels up to 6.18 the last one is AF_MCTP, 45. The kernel itself would load modules
    // for some, so the others are tried in the sandbox only.
    let script = "import os, socket, sys
for family in map(int, sys.argv[1:]):
    try:
        socket.socket(family, socket.SOCK_DGRAM).close()
        print(family, 'made')
    except OSError as error:
        print(family, os.strerror(error.errno))";
    let unsupported = "Address family not supported by protocol";
    let test = |families: &[u32]| {
        let families = families.iter().map(u32::to_string);
        let args: Vec<String> = ["-c".into(), script.into()]
            .into_iter()
            .chain(families)
            .collect();
        with(exec("families", "python3"), "args", json!(args))
    };
    let allowed = [1, 2, 10, 16, 17];
    for user in USERS {
        let machine = Machine::new(user);
        let on_machine = results_of(&machine, "process", &test(&allowed));
        let all: Vec<u32> = (0..64).collect();
        let in_sandbox = results_of(&machine, "sandbox", &test(&all));
        assert_eq!(in_sandbox.len(), all.len());
        let is_supported = |pair: &&(String, String)| pair.1 != unsupported;
        let families = |pairs: &[(String, String)]| -> Vec<String> {
            let pairs = pairs.iter().filter(is_supported);
            pairs.map(|(family, _)| family.clone()).collect()
        };
        assert_eq!(families(&in_sandbox), families(&on_machine), "{user:?}");
        assert!(
            families(&in_sandbox).contains(&"1".to_owned()),
            "{in_sandbox:?}"
        );
    }
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
